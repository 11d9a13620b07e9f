//! A stretch of load on a server, and what it brought.

use std::collections::BTreeMap;

use loadgen::arrivals::{Extent, Intensity, Schedule, Spacing};
use loadgen::capacity::{MOST_FAILED, Point, search};
use loadgen::driver::{Control, Options, Run, run_closed, run_open};
use loadgen::lateness::{Lateness, Reason, Verdict};
use loadgen::order::{self, CAPACITY, CONCURRENCY, LoadOrder};
use loadgen::outcome::Verification;
use loadgen::proctree::process_tree;
use loadgen::summary::{Latencies, Summary, Window};
use loadgen::transport::{Endpoint, SocketOptions, Sockets};
use record::protocol::Sample;

use super::servers::{ASK_TIMEOUT, Running, START_TIMEOUT};

/// Most requests in flight in the search for the capacity.
const MOST_CONCURRENCY: usize = 128;
/// The part of a stretch that is left out at its start: queues fill, and the machine's clock rises.
const WARM_UP_SHARE: u64 = 5;
const MOST_WARM_UP_NS: u64 = 1_000_000_000;
/// A step of the search is this part of a block.
const SEARCH_SHARE: u64 = 2;
/// Requests one at a time take this part of a block, and so much at most.
const ALONE_SHARE: u64 = 8;
const MOST_ALONE_NS: u64 = 1_000_000_000;
/// Questions to the server around a stretch: counters to zero, counters.
const ASKS: u64 = 2;
/// Connections of frames; each carries any number of requests.
const CONNECTIONS: usize = 8;
/// HTTP/1.1 connections that are open before the clock starts; more are opened where they are needed, and counted. Of a few, all may
/// be one process's.
const HTTP_CONNECTIONS: usize = 64;
/// They are opened one by one, so that every process has slept since it accepted the last, ns.
pub const OPENING_GAP_NS: u64 = 2_000_000;

/// Within what time a block ends by itself, ns: the server may have to be started, and a request under way at the end of a stretch is waited
/// for as long as one may take.
pub fn limit_ns(drive: &order::Drive, span_ns: u64) -> u64 {
    let around = Options::default().timeout_ns + ASKS * ASK_TIMEOUT.as_nanos() as u64;
    let alone = MOST_ALONE_NS + Options::default().timeout_ns;
    let load = match drive {
        order::Drive::Capacity => u64::from(MOST_CONCURRENCY.ilog2() + 1) * (span_ns / SEARCH_SHARE + around),
        // Arrivals at random may take longer than on average.
        _ => 2 * span_ns + around,
    };
    START_TIMEOUT.as_nanos() as u64 + alone + load
}

/// Why a stretch is no measurement.
pub enum DriveError {
    /// Answers that are not the right ones.
    Mismatch(String),
    Failed(String),
}

impl DriveError {
    fn failed(error: impl ToString) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A server and what is sent to it.
pub struct Drive<'a> {
    pub server: &'a mut Running,
    pub bodies: &'a [Vec<u8>],
    /// Check of the right answer to each body.
    pub expected: &'a [u64],
    pub offset: usize,
}

impl Drive<'_> {
    /// Drives the server as ordered. The sample names no cell and block.
    pub fn block(mut self, order: &LoadOrder) -> Result<Sample, DriveError> {
        match order {
            LoadOrder::Search { span_ns } => self.search((span_ns / SEARCH_SHARE).max(1)),
            LoadOrder::Closed { concurrency, span_ns } => {
                let concurrency = usize::try_from(*concurrency).map_err(DriveError::failed)?;
                let alone = self.alone(*span_ns)?;
                let measured = self.measured(|drive| drive.closed(concurrency, *span_ns))?;
                let mut sample = measured.sample(concurrency, false);
                sample.readings.extend(alone.map(|ns| ("alone_latency_p50_ns".to_owned(), ns as f64)));
                Ok(sample)
            }
            LoadOrder::Open { per_s, requests, seed } => {
                let count = usize::try_from(*requests).map_err(DriveError::failed)?;
                let intensity = Intensity::Constant { rate: *per_s };
                let schedule = Schedule::generate(&intensity, Spacing::Poisson, Extent::count(count), *seed)
                    .map_err(DriveError::failed)?;
                let measured = self.measured(|drive| drive.open(&schedule))?;
                Ok(measured.sample(measured.run.most_in_flight, true))
            }
            LoadOrder::Limit { .. } => {
                Err(DriveError::failed("servers of strategies have no demand whose largest rate could be looked for"))
            }
        }
    }

    fn search(&mut self, span_ns: u64) -> Result<Sample, DriveError> {
        let mut start_ns = None;
        let found = search(MOST_CONCURRENCY, |concurrency| {
            let measured = self.measured(|drive| drive.closed(concurrency, span_ns))?;
            start_ns.get_or_insert(measured.run.start_ns);
            Ok(Some(Point {
                concurrency,
                throughput: measured.summary.throughput,
                failed: measured.summary.failed as f64 / measured.summary.due.max(1) as f64,
                valid: measured.verdict.is_valid(),
            }))
        })?;
        // Where the client was late everywhere, the best that was seen sets the rates; each stretch at them has a verdict of its own.
        let answered = found.points.iter().filter(|point| point.failed <= MOST_FAILED);
        let best = answered.max_by(|a, b| a.throughput.total_cmp(&b.throughput));
        let usable = found.plateau.zip(found.knee).or(best.map(|point| (point.throughput, point.concurrency)));
        let Some((plateau, knee)) = usable else {
            return Err(DriveError::Failed(
                "no point of the closed loop could be used to find the capacity".to_owned(),
            ));
        };
        let start_ns = start_ns.unwrap_or(0);
        // As many calls as the plateau's rate makes in a span: the sample's time of a call is the rate's inverse.
        let calls = ((plateau * span_ns as f64 / 1e9).round() as u64).max(1);
        let readings = BTreeMap::from([
            (CONCURRENCY.to_owned(), knee as f64),
            (CAPACITY.to_owned(), plateau),
            ("points".to_owned(), found.points.len() as f64),
        ]);
        let length = (calls as f64 / plateau * 1e9).round() as u64;
        Ok(Sample { start_ns, end_ns: start_ns + length.max(1), calls, readings, ..Sample::default() })
    }

    /// Makes a run with everything that is counted around it.
    fn measured(&mut self, run: impl FnOnce(&Self) -> Result<Run, DriveError>) -> Result<Measured, DriveError> {
        self.server.reset().map_err(DriveError::failed)?;
        let before = process_tree(self.server.pid());
        let run = run(self)?;
        let after = process_tree(self.server.pid());
        let stats = self.server.stats().map_err(DriveError::failed)?;
        verify(&run, self.expected)?;
        let warm_up = (run.duration_ns / WARM_UP_SHARE).min(MOST_WARM_UP_NS);
        let window = Window::within(&run, warm_up, 0).unwrap_or_else(|| Window::whole(&run));
        let summary = Summary::of(&run, window);
        let lateness = Lateness::of(&run);
        let verdict = Verdict::of(&run, &lateness, summary.from_scheduled.quantile_ns(0.5));
        let mut readings = BTreeMap::new();
        let mut read = |name: &str, value: f64| {
            readings.insert(name.to_owned(), value);
        };
        if let (Some(before), Some(after)) = (before, after) {
            let cpu = after.cpu_ns.saturating_sub(before.cpu_ns);
            let answered = run.records.iter().filter(|record| record.is_ok()).count();
            read("server_cpu_ns", cpu as f64);
            read("server_cpu_ns_per_request", cpu as f64 / answered.max(1) as f64);
            read("processes", after.processes.len() as f64);
            read("threads", after.threads as f64);
            if let Some(pss) = after.pss_bytes {
                read("pss_bytes", pss as f64);
            }
        }
        if let Some(lag) = stats.loop_lag {
            read("loop_lag_p50_ns", lag.p50_ns as f64);
            read("loop_lag_p99_ns", lag.p99_ns as f64);
            read("loop_lag_max_ns", lag.max_ns as f64);
        }
        let answered = stats.by_process.iter().sum::<u64>();
        if let Some(busiest) = stats.by_process.iter().max().filter(|_| answered > 0) {
            read("busiest_process_share", *busiest as f64 / answered as f64);
        }
        if let Some(batches) = stats.batches {
            read("batch_mean_size", batches.mean_size);
        }
        Ok(Measured { run, summary, lateness, verdict, readings })
    }

    /// Median latency of one request at a time on one connection: what a request takes that meets no other, with every thread and
    /// process on its way waking up for it.
    fn alone(&self, span_ns: u64) -> Result<Option<u64>, DriveError> {
        let span_ns = (span_ns / ALONE_SHARE).min(MOST_ALONE_NS);
        let options = self.options(1);
        let run = run_closed(self.sockets()?, self.bodies, 1, Extent::duration(span_ns), &options, &Control::default());
        let run = run.map_err(DriveError::failed)?;
        verify(&run, self.expected)?;
        Ok(Summary::of(&run, Window::whole(&run)).from_scheduled.quantile_ns(0.5))
    }

    fn closed(&self, concurrency: usize, span_ns: u64) -> Result<Run, DriveError> {
        let connections = self.connections(concurrency.min(CONNECTIONS), concurrency.max(HTTP_CONNECTIONS));
        run_closed(
            self.sockets()?,
            self.bodies,
            concurrency,
            Extent::duration(span_ns),
            &self.options(connections),
            &Control::default(),
        )
        .map_err(DriveError::failed)
    }

    fn open(&self, schedule: &Schedule) -> Result<Run, DriveError> {
        let connections = self.connections(CONNECTIONS, HTTP_CONNECTIONS);
        run_open(self.sockets()?, self.bodies, schedule, None, &self.options(connections), &Control::default())
            .map_err(DriveError::failed)
    }

    fn connections(&self, frames: usize, http: usize) -> usize {
        if matches!(self.server.endpoint, Endpoint::Http { .. }) { http } else { frames }
    }

    fn options(&self, connections: usize) -> Options {
        Options { connections, offset: self.offset, ..Options::default() }
    }

    fn sockets(&self) -> Result<Sockets, DriveError> {
        let is_http = matches!(self.server.endpoint, Endpoint::Http { .. });
        let opening_gap_ns = if is_http { OPENING_GAP_NS } else { 0 };
        let options = SocketOptions { opening_gap_ns, ..SocketOptions::default() };
        Sockets::new(self.server.endpoint.clone(), options).map_err(DriveError::failed)
    }
}

/// Every answer must be the right one for its request, and each request must have one.
fn verify(run: &Run, expected: &[u64]) -> Result<(), DriveError> {
    let found = Verification::of(&run.records, &run.strays, expected);
    if !found.is_clean() {
        let first =
            found.first_bad.map_or(String::new(), |index| format!("; the first is request {index} of the stretch"));
        return Err(DriveError::Mismatch(format!(
            "of {} requests {} got the answer of another request, {} a wrong one, {} none, and {} answers came twice{first}",
            run.records.len(),
            found.swapped,
            found.wrong,
            found.dropped,
            found.duplicated,
        )));
    }
    match run.errors.0.iter().next() {
        None => Ok(()),
        Some((class, failures)) => Err(DriveError::Failed(format!(
            "{} of {} requests failed ({}, the first: {})",
            run.errors.total(),
            run.records.len(),
            class.name(),
            failures.first
        ))),
    }
}

/// A run and everything that was counted around it.
struct Measured {
    run: Run,
    summary: Summary,
    lateness: Lateness,
    verdict: Verdict,
    readings: BTreeMap<String, f64>,
}

impl Measured {
    fn sample(&self, concurrency: usize, with_series: bool) -> Sample {
        let summary = &self.summary;
        let mut readings = self.readings.clone();
        let mut read = |name: &str, value: f64| {
            readings.insert(name.to_owned(), value);
        };
        read("concurrency", concurrency as f64);
        read("rate_per_s", summary.rate);
        read("throughput_per_s", summary.throughput);
        read("requests", summary.due as f64);
        read("valid", f64::from(u8::from(self.verdict.is_valid())));
        for reason in &self.verdict.reasons {
            read(reason_name(*reason), 1.0);
        }
        read("lateness_p50_ns", self.lateness.own.p50_ns as f64);
        read("lateness_p99_ns", self.lateness.own.p99_ns as f64);
        read("generator_cpu_ns", self.run.usage.cpu_ns as f64);
        read("generator_share", self.run.usage.share());
        read("generator_niceness", f64::from(self.run.usage.niceness));
        read("generator_real_time", f64::from(u8::from(self.run.usage.real_time)));
        quantiles("latency", &summary.from_scheduled, &mut read);
        quantiles("sent_latency", &summary.from_sent, &mut read);
        if let Some(server) = &summary.server {
            quantiles("wait", &server.wait, &mut read);
            quantiles("service", &server.service, &mut read);
            read("in_service", server.in_service);
        }
        if let Some(little) = &summary.little {
            read("little_ratio", little.ratio());
        }
        let window = summary.window;
        let calls = (summary.throughput * (window.to_ns - window.from_ns) as f64 / 1e9).round().max(1.0) as u64;
        Sample {
            start_ns: self.run.start_ns + window.from_ns,
            end_ns: self.run.start_ns + window.to_ns,
            calls,
            readings: readings.into_iter().filter(|(_, value)| value.is_finite()).collect(),
            series: if with_series { self.series() } else { BTreeMap::new() },
            ..Sample::default()
        }
    }

    /// Of the requests due in the window, by their arrival.
    fn series(&self) -> BTreeMap<String, Vec<u64>> {
        let from = self.run.start_ns + self.summary.window.from_ns;
        let to = self.run.start_ns + self.summary.window.to_ns;
        let due: Vec<_> = self
            .run
            .records
            .iter()
            .filter(|record| (from..to).contains(&record.scheduled_ns) && record.is_ok())
            .collect();
        let column = |name: &str, of: &dyn Fn(&loadgen::outcome::Record) -> u64| {
            (name.to_owned(), due.iter().map(|record| of(record)).collect::<Vec<u64>>())
        };
        let mut series = BTreeMap::from([
            column("arrival_ns", &|record| record.scheduled_ns - from),
            column("latency_ns", &|record| record.latency_ns()),
        ]);
        if due.iter().all(|record| record.server.is_some()) {
            series.extend([column("service_ns", &|record| {
                record.server.map_or(0, |server| server.finished_ns.saturating_sub(server.started_ns))
            })]);
        }
        series
    }
}

fn quantiles(name: &str, of: &Latencies, read: &mut impl FnMut(&str, f64)) {
    for (label, p) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
        if let Some(ns) = of.quantile_ns(p) {
            read(&format!("{name}_{label}_ns"), ns as f64);
        }
    }
    if let Some(mean) = of.mean_ns() {
        read(&format!("{name}_mean_ns"), mean);
    }
}

fn reason_name(reason: Reason) -> &'static str {
    match reason {
        Reason::Late { .. } => "invalid_late",
        Reason::Saturated { .. } => "invalid_saturated",
        Reason::TimerLate { .. } => "invalid_timer_late",
        Reason::ClientError { .. } => "invalid_client_error",
        Reason::NoAnswer => "invalid_no_answer",
        Reason::EndedEarly => "invalid_ended_early",
    }
}
