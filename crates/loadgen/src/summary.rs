//! Figures of a run, from all its requests.

use benchstats::order::{quantile, rank};
use serde::{Deserialize, Serialize};

use crate::driver::Run;
use crate::outcome::{Outcome, Record};

/// The part of a run that counts, ns from its start. It is chosen by the schedule before the results are known: requests due in it
/// count, whenever they end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub from_ns: u64,
    pub to_ns: u64,
}

impl Window {
    /// Leaves out a warm-up at the start and a tail at the end, in which the load falls off. None if nothing is left.
    pub fn within(run: &Run, warm_up_ns: u64, tail_ns: u64) -> Option<Self> {
        let to_ns = run.duration_ns.saturating_sub(tail_ns);
        (to_ns > warm_up_ns).then_some(Self { from_ns: warm_up_ns, to_ns })
    }

    /// The whole time in which requests were due.
    pub fn whole(run: &Run) -> Self {
        Self { from_ns: 0, to_ns: run.duration_ns.max(1) }
    }

    fn seconds(self) -> f64 {
        (self.to_ns - self.from_ns) as f64 / 1e9
    }
}

/// Durations of the answered requests, and how many were not answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latencies {
    sorted_ns: Vec<u64>,
    failed: usize,
}

impl Latencies {
    /// Of durations in any order.
    pub fn new(mut values_ns: Vec<u64>, failed: usize) -> Self {
        values_ns.sort_unstable();
        Self { sorted_ns: values_ns, failed }
    }

    /// The durations, ns, ascending: exact, nothing is binned.
    pub fn sorted_ns(&self) -> &[u64] {
        &self.sorted_ns
    }

    /// Requests without an answer.
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// The `p`-quantile among answered requests, ns ([`quantile`]). Where requests failed, it must be shown with their number.
    pub fn quantile_ns(&self, p: f64) -> Option<u64> {
        quantile(&self.sorted_ns, p)
    }

    /// The `p`-quantile among all requests, a failed one counting as never answered; None where that is never.
    pub fn quantile_of_all_ns(&self, p: f64) -> Option<u64> {
        let all = (self.sorted_ns.len() + self.failed) as u64;
        self.sorted_ns.get(rank(all, p)? as usize - 1).copied()
    }

    /// The mean of answered requests, ns.
    pub fn mean_ns(&self) -> Option<f64> {
        let count = self.sorted_ns.len();
        let sum: u128 = self.sorted_ns.iter().map(|&ns| u128::from(ns)).sum();
        (count > 0).then(|| sum as f64 / count as f64)
    }
}

/// What the server's own stamps say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerTimes {
    /// From received to started.
    pub wait: Latencies,
    /// From started to finished.
    pub service: Latencies,
    /// From the client's last byte to the server's received: the way there, and the server's front end not reading.
    pub way_there: Latencies,
    /// From the server's finished to the client's last byte: writing, and the way back.
    pub way_back: Latencies,
    /// Mean number of requests in service over the window. Over the number of workers it is the achieved utilization.
    pub in_service: f64,
}

/// Little's law, `L = λ·W`, over the window (Little 1961). Both sides are counted independently: the left from how many requests
/// are open at each moment, the right from the requests due in the window. They differ where the system is not steady (the queue
/// grows), and by at most the requests that are open at the window's two ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Little {
    /// L: mean number of requests between scheduled and done.
    pub open: f64,
    /// λ: requests due per second.
    pub rate: f64,
    /// W: mean time from scheduled to done, failed requests too, s.
    pub mean_s: f64,
}

impl Little {
    /// `L / (λ·W)`: 1 where the law holds.
    pub fn ratio(&self) -> f64 {
        self.open / (self.rate * self.mean_s)
    }
}

/// The figures of one run over one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub window: Window,
    /// Requests due in the window.
    pub due: usize,
    /// Of these, answered and failed.
    pub answered: usize,
    pub failed: usize,
    /// Requests due per second.
    pub rate: f64,
    /// Answers per second that came within the window, whenever they were due.
    pub throughput: f64,
    /// From the scheduled arrival to the last byte: the headline.
    pub from_scheduled: Latencies,
    /// From the last byte of the request to the last byte of the answer.
    pub from_sent: Latencies,
    /// From the scheduled arrival to the first byte of the answer.
    pub first_byte: Latencies,
    /// Where the transport carries the server's stamps.
    pub server: Option<ServerTimes>,
    pub little: Option<Little>,
}

impl Summary {
    /// Of the requests due in the window.
    pub fn of(run: &Run, window: Window) -> Self {
        let (from, to) = (run.start_ns + window.from_ns, run.start_ns + window.to_ns);
        // Records are in the order of their due times.
        let first = run.records.partition_point(|record| record.scheduled_ns < from);
        let last = run.records.partition_point(|record| record.scheduled_ns < to);
        let due = &run.records[first..last];
        let answered: Vec<&Record> = due.iter().filter(|record| record.is_ok()).collect();
        let failed = due.len() - answered.len();
        let latencies =
            |of: fn(&Record) -> u64| Latencies::new(answered.iter().map(|record| of(record)).collect(), failed);
        let seconds = window.seconds();
        let within = |record: &&Record| record.is_ok() && (from..to).contains(&record.done_ns);
        Self {
            window,
            due: due.len(),
            answered: answered.len(),
            failed,
            rate: due.len() as f64 / seconds,
            throughput: run.records.iter().filter(within).count() as f64 / seconds,
            from_scheduled: latencies(Record::latency_ns),
            from_sent: latencies(Record::service_latency_ns),
            first_byte: latencies(|record| record.first_byte_ns.saturating_sub(record.scheduled_ns)),
            server: server(run, &answered, failed, from, to),
            little: little(run, due, from, to),
        }
    }
}

fn server(run: &Run, answered: &[&Record], failed: usize, from: u64, to: u64) -> Option<ServerTimes> {
    let stamped: Vec<_> = answered.iter().filter_map(|record| Some((*record, record.server?))).collect();
    if stamped.is_empty() {
        return None;
    }
    let latencies = |of: &dyn Fn(&Record, crate::outcome::ServerStamps) -> u64| {
        Latencies::new(stamped.iter().map(|(record, stamps)| of(record, *stamps)).collect(), failed)
    };
    let all = run.records.iter().filter_map(|record| record.server);
    let busy: u64 = all.map(|stamps| overlap(stamps.started_ns, stamps.finished_ns, from, to)).sum();
    Some(ServerTimes {
        wait: latencies(&|_, stamps| stamps.started_ns.saturating_sub(stamps.received_ns)),
        service: latencies(&|_, stamps| stamps.finished_ns.saturating_sub(stamps.started_ns)),
        way_there: latencies(&|record, stamps| stamps.received_ns.saturating_sub(record.sent_ns)),
        way_back: latencies(&|record, stamps| record.done_ns.saturating_sub(stamps.finished_ns)),
        in_service: busy as f64 / (to - from) as f64,
    })
}

fn little(run: &Run, due: &[Record], from: u64, to: u64) -> Option<Little> {
    let ended = |record: &&Record| record.outcome != Outcome::Pending;
    let total: u64 = due.iter().filter(ended).map(Record::latency_ns).sum();
    let open: u64 = run.records.iter().map(|record| overlap(record.scheduled_ns, record.done_ns, from, to)).sum();
    let seconds = (to - from) as f64 / 1e9;
    (total > 0).then(|| Little {
        open: open as f64 / (to - from) as f64,
        rate: due.len() as f64 / seconds,
        mean_s: total as f64 / 1e9 / due.len() as f64,
    })
}

/// How much of `[start, end)` lies within `[from, to)`.
fn overlap(start: u64, end: u64, from: u64, to: u64) -> u64 {
    end.min(to).saturating_sub(start.max(from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{ClientLimited, Mode, Usage};
    use crate::outcome::{ErrorClass, Errors, ServerStamps, Strays};
    use crate::transport::Opening;

    /// Requests due each 10 ns from 1000 on, each open for 20 ns of which 5 in service.
    fn run(count: u64) -> Run {
        let record = |index: u64| {
            let due = 1000 + index * 10;
            Record {
                scheduled_ns: due,
                released_ns: due,
                began_ns: due + 1,
                sent_ns: due + 2,
                first_byte_ns: due + 19,
                done_ns: due + 20,
                server: Some(ServerStamps { received_ns: due + 5, started_ns: due + 8, finished_ns: due + 13 }),
                check: 0,
                bytes: 0,
                input: 0,
                held_back: false,
                outcome: Outcome::Ok,
            }
        };
        Run {
            mode: Mode::Open { cap: None },
            start_ns: 1000,
            duration_ns: count * 10,
            records: (0..count).map(record).collect(),
            errors: Errors::default(),
            strays: Strays::default(),
            opening: Opening::default(),
            opened_late: Opening::default(),
            client_limited: ClientLimited::default(),
            most_in_flight: 2,
            usage: Usage::default(),
            wake_late_ns: Vec::new(),
            unsent: 0,
            ended_early: false,
        }
    }

    #[test]
    fn a_steady_run_by_hand() {
        let run = run(100);
        let window = Window::within(&run, 200, 300).unwrap();
        let summary = Summary::of(&run, window);
        assert_eq!((summary.due, summary.answered, summary.failed), (50, 50, 0));
        assert!((summary.rate - 1e8).abs() < 1.0 && (summary.throughput - 1e8).abs() < 1.0);
        assert_eq!(summary.from_scheduled.quantile_ns(0.5), Some(20));
        assert_eq!(summary.from_sent.quantile_ns(1.0), Some(18));
        assert_eq!(summary.first_byte.quantile_ns(0.0), Some(19));
        let server = summary.server.unwrap();
        let median = |latencies: &Latencies| latencies.quantile_ns(0.5).unwrap();
        assert_eq!((median(&server.way_there), median(&server.wait)), (3, 3));
        assert_eq!((median(&server.service), median(&server.way_back)), (5, 7));
        assert!((server.in_service - 0.5).abs() < 1e-9);
        let little = summary.little.unwrap();
        assert!((little.open - 2.0).abs() < 1e-9 && (little.ratio() - 1.0).abs() < 1e-9, "{little:?}");
        assert_eq!(Window::within(&run, 600, 400), None);
    }

    #[test]
    fn failed_requests_are_counted_and_never_fast() {
        let mut run = run(100);
        for record in run.records.iter_mut().step_by(50) {
            record.outcome = Outcome::Failed(ErrorClass::Reset);
        }
        let summary = Summary::of(&run, Window::whole(&run));
        assert_eq!((summary.answered, summary.failed), (98, 2));
        assert_eq!(summary.from_scheduled.quantile_ns(0.99), Some(20));
        assert_eq!(summary.from_scheduled.quantile_of_all_ns(0.98), Some(20));
        assert_eq!(summary.from_scheduled.quantile_of_all_ns(0.99), None);
    }

    #[test]
    fn a_queue_that_grows_breaks_littles_law() {
        let mut run = run(100);
        for (index, record) in run.records.iter_mut().enumerate() {
            record.done_ns = record.scheduled_ns + index as u64 * 100;
        }
        let little = Summary::of(&run, Window::whole(&run)).little.unwrap();
        assert!(little.ratio() < 0.5, "{little:?}");
    }
}
