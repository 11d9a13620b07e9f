//! Did the generator do what it says? A verdict on it, not on the server.

use benchstats::order::quantile;
use serde::{Deserialize, Serialize};

use crate::driver::{Mode, Run};
use crate::outcome::Record;

/// Lateness at p99 above which a run is invalid, ns; or this share of the median latency, if that is more.
pub const LATE_NS: u64 = 1_000_000;
pub const LATE_SHARE: f64 = 0.01;

/// The share of a core above which the generator's thread counts as saturated: at a higher one, bursts queue in it.
pub const SATURATED: f64 = 0.8;

/// Three figures of a distribution, ns (nearest rank; 0 without values).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    pub count: usize,
    pub p50_ns: u64,
    pub p99_ns: u64,
    pub max_ns: u64,
}

impl Spread {
    /// Of values in any order.
    pub fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        let at = |p| quantile(&values, p).unwrap_or(0);
        Self { count: values.len(), p50_ns: at(0.5), p99_ns: at(0.99), max_ns: at(1.0) }
    }
}

/// How late requests left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lateness {
    /// Last byte written less scheduled arrival, of all requests that were sent.
    pub sent: Spread,
    /// The generator's own part, on which the verdict rests: the wait for the cap is left out (it is counted in
    /// `Run::client_limited`), and where the socket was full because the server did not read, the first write counts, not the last.
    pub own: Spread,
    /// How late the thread woke from the sleeps that ended with an arrival.
    pub timer: Spread,
    /// Requests that the socket did not take at once.
    pub held_back: usize,
}

impl Lateness {
    /// Of all requests of a run.
    pub fn of(run: &Run) -> Self {
        let sent = run.records.iter().filter(|record| record.sent_ns > 0);
        let began = run.records.iter().filter(|record| record.began_ns > 0);
        Self {
            sent: Spread::of(sent.map(|record| record.sent_ns.saturating_sub(record.scheduled_ns)).collect()),
            own: Spread::of(began.map(own_lateness).collect()),
            timer: Spread::of(run.wake_late_ns.iter().map(|&late| u64::from(late)).collect()),
            held_back: run.records.iter().filter(|record| record.held_back).count(),
        }
    }
}

impl Lateness {
    /// What is wrong with it where a limit holds. Requests of both loops have a time at which they are due, and the wait for a client that is
    /// late is in their latencies: in an open loop since the arrival, in a closed one since the answer before it. The timer has a say in open loops
    /// only: a closed one sleeps until a due time at its start alone, and what came of that is in the lateness.
    pub(crate) fn reasons(&self, mode: Mode, limit_ns: u64) -> impl Iterator<Item = Reason> + use<> {
        let (own, timer) = (self.own.p99_ns, self.timer.p99_ns);
        let late = (own > limit_ns).then_some(Reason::Late { p99_ns: own, limit_ns });
        let is_open = matches!(mode, Mode::Open { .. });
        let timer_late = (is_open && timer > limit_ns).then_some(Reason::TimerLate { p99_ns: timer, limit_ns });
        late.into_iter().chain(timer_late)
    }
}

fn own_lateness(record: &Record) -> u64 {
    let left = if record.held_back { record.began_ns } else { record.sent_ns };
    left.saturating_sub(record.released_ns)
}

/// Why a point cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Requests left late.
    Late { p99_ns: u64, limit_ns: u64 },
    /// The generator's thread used nearly all of a core: `share` of it.
    Saturated { share: f64 },
    /// The thread's sleeps ended late (open loop): the machine did not give it a CPU in time.
    TimerLate { p99_ns: u64, limit_ns: u64 },
    /// What the client received, it received so late at p99 (`llmbench calibrate`, or stamps of the server).
    ClientError { p99_ns: u64, limit_ns: u64 },
    /// No request was answered.
    NoAnswer,
    /// The run was stopped before its end.
    EndedEarly,
}

/// What does not make a point invalid, and must be shown beside it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// The cap on requests in flight held so many, `mean_ns` each.
    ClientLimited { waited: usize, mean_ns: u64 },
    /// The server did not read so many requests at once: its socket was full, or it had not accepted the connection.
    HeldBack { requests: usize },
    /// So many connections were opened during the run.
    OpenedLate { connections: usize },
    /// So many answers belong to no waiting request.
    Strays { answers: u64 },
}

/// Whether a point can be used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Empty: VALID.
    pub reasons: Vec<Reason>,
    pub notes: Vec<Note>,
}

impl Verdict {
    /// Judges a run. `median_latency_ns` from the scheduled arrival sets the scale of lateness.
    pub fn of(run: &Run, lateness: &Lateness, median_latency_ns: Option<u64>) -> Self {
        let mut reasons = Vec::new();
        let share = median_latency_ns.map_or(0, |median| (median as f64 * LATE_SHARE) as u64);
        reasons.extend(lateness.reasons(run.mode, share.max(LATE_NS)));
        if run.usage.share() > SATURATED {
            reasons.push(Reason::Saturated { share: run.usage.share() });
        }
        if !run.records.iter().any(Record::is_ok) {
            reasons.push(Reason::NoAnswer);
        }
        if run.ended_early {
            reasons.push(Reason::EndedEarly);
        }
        Self { reasons, notes: notes(run, lateness) }
    }

    /// True without a reason against it.
    pub fn is_valid(&self) -> bool {
        self.reasons.is_empty()
    }
}

fn notes(run: &Run, lateness: &Lateness) -> Vec<Note> {
    let limited = run.client_limited;
    let strays = run.strays.duplicated + run.strays.late + run.strays.unknown;
    let connections = run.opened_late.connect_ns.len();
    let all = [
        (limited.waited > 0).then(|| Note::ClientLimited {
            waited: limited.waited,
            mean_ns: limited.total_ns / limited.waited.max(1) as u64,
        }),
        (lateness.held_back > 0).then_some(Note::HeldBack { requests: lateness.held_back }),
        (connections > 0).then_some(Note::OpenedLate { connections }),
        (strays > 0).then_some(Note::Strays { answers: strays }),
    ];
    all.into_iter().flatten().collect()
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |ns: u64| ns as f64 / 1e6;
        match *self {
            Self::Late { p99_ns, limit_ns } => write!(
                f,
                "requests left {:.2} ms late at p99, over {:.2} ms: lower the load or free a core",
                ms(p99_ns),
                ms(limit_ns)
            ),
            Self::Saturated { share } => {
                write!(f, "the generator used {:.0}% of a core: lower the rate or use another machine", share * 100.0)
            }
            Self::TimerLate { p99_ns, limit_ns } => write!(
                f,
                "the generator woke {:.2} ms late at p99, over {:.2} ms: the machine is too busy to time requests",
                ms(p99_ns),
                ms(limit_ns)
            ),
            Self::ClientError { p99_ns, limit_ns } => write!(
                f,
                "chunks were seen {:.2} ms after they were sent at p99, over {:.2} ms: lower the load or free a core for the client",
                ms(p99_ns),
                ms(limit_ns)
            ),
            Self::NoAnswer => write!(f, "no request was answered: look at the errors"),
            Self::EndedEarly => write!(f, "the run was stopped before its end"),
        }
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::ClientLimited { waited, mean_ns } => write!(
                f,
                "client-limited: the cap on requests in flight held {waited} requests for {:.2} ms on average",
                mean_ns as f64 / 1e6
            ),
            Self::HeldBack { requests } => {
                write!(f, "the server did not take {requests} requests from the socket at once")
            }
            Self::OpenedLate { connections } => write!(f, "{connections} connections were opened during the run"),
            Self::Strays { answers } => write!(f, "{answers} answers belong to no waiting request"),
        }
    }
}
