//! Sends requests at their times (open loop) or as fast as answers come (closed loop), and keeps a record of each.
//!
//! One thread does everything: it sleeps until the next arrival or the next readable socket, whichever is first. So there is no
//! hand-over between threads whose delay would enter the stamps, and the generator's cost is the CPU time of this thread.

mod closed;
mod flight;
mod open;
mod thread;

pub use closed::run_closed;
pub use open::run_open;
pub(crate) use thread::{be_punctual, is_real_time, niceness, on_own_thread};

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::outcome::{Errors, Record, Strays};
use crate::transport::{OpenError, Opening};

/// What holds for every run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Connections that are opened before the clock starts. A closed loop over HTTP needs as many as its concurrency, of which
    /// HTTP/2 opens only those that it takes to carry so many requests at once. Frames need few: each carries any number of
    /// requests, and each has a socket buffer of its own. Where several processes accept on one port the system deals connections
    /// out at random: give several for each process, or some get more than their share.
    pub connections: usize,
    /// A request without an answer this long after its bytes were first offered has failed, ns.
    pub timeout_ns: u64,
    /// After the last answer the sockets are watched this long for answers too many, ns.
    pub linger_ns: u64,
    /// Request `i` carries payload `(offset + i) mod payloads`.
    pub offset: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { connections: 8, timeout_ns: 30_000_000_000, linger_ns: 20_000_000, offset: 0 }
    }
}

/// The strings to a run from other threads: a way to end it, and its counts while it lasts.
#[derive(Debug, Default)]
pub struct Control {
    stop: AtomicBool,
    pub(crate) sent: AtomicU64,
    pub(crate) answered: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) tokens: AtomicU64,
}

/// Counts of a run that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub sent: u64,
    pub answered: u64,
    pub failed: u64,
    /// Output tokens of the answered requests; 0 where answers have none.
    pub tokens: u64,
}

impl Control {
    /// Nothing more is sent; what is under way is waited for, and the run ends. Takes effect within 100 ms.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// True once somebody asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// How far the run is.
    pub fn progress(&self) -> Progress {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Progress {
            sent: read(&self.sent),
            answered: read(&self.answered),
            failed: read(&self.failed),
            tokens: read(&self.tokens),
        }
    }
}

/// How the load was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// At scheduled times, whatever the server does; with a cap, at most so many in flight.
    Open { cap: Option<usize> },
    /// A fixed number of requests in flight.
    Closed { concurrency: usize },
}

/// What the generator itself used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time of the generator's thread from the start of the clock to the end of the run, ns.
    pub cpu_ns: u64,
    /// The same on the wall, ns.
    pub wall_ns: u64,
    /// How long the thread was runnable without a CPU, ns; None where the system does not tell.
    pub run_delay_ns: Option<u64>,
    /// Niceness of the thread, from -20 (first) to 19.
    pub niceness: i32,
    /// The thread had a real-time policy: it did not wait for others.
    #[serde(default)]
    pub real_time: bool,
}

impl Usage {
    /// Share of one core.
    pub fn share(&self) -> f64 {
        self.cpu_ns as f64 / self.wall_ns.max(1) as f64
    }
}

/// What a cap on requests in flight did to an open loop. Requests that waited were client-limited: the wait is in their latency
/// from the scheduled arrival, and the server saw less load than was scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClientLimited {
    /// Requests that the cap held.
    pub waited: usize,
    /// Their waits together, ns.
    pub total_ns: u64,
    /// The longest, ns.
    pub longest_ns: u64,
}

/// Everything that a run left.
#[derive(Debug, Clone)]
pub struct Run {
    pub mode: Mode,
    /// Time 0 of the schedule, CLOCK_MONOTONIC, ns.
    pub start_ns: u64,
    /// Length of the time in which requests were due, ns.
    pub duration_ns: u64,
    /// One for each request that came due, in the order of their due times.
    pub records: Vec<Record>,
    pub errors: Errors,
    pub strays: Strays,
    /// Cost of the connections that were opened before the clock started.
    pub opening: Opening,
    /// Cost of those that were opened during the run.
    pub opened_late: Opening,
    pub client_limited: ClientLimited,
    pub most_in_flight: usize,
    pub usage: Usage,
    /// For each sleep that ended with an arrival's time: how late the thread woke, ns, ascending.
    pub wake_late_ns: Vec<u32>,
    /// Scheduled requests that were not sent because the run was stopped.
    pub unsent: usize,
    /// The run was stopped, or (closed loop) every slot lost its server.
    pub ended_early: bool,
}

/// Why there is no run.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("there is no payload to send: give at least one")]
    NoPayload,
    #[error("a concurrency or cap of 0 lets no request through: give at least 1")]
    NoConcurrency,
    #[error("a closed loop needs an end: give a number of requests or a duration")]
    Endless,
    #[error("cannot start the generator's thread: {0}")]
    Thread(std::io::Error),
    #[error("waiting for the sockets failed: {0}")]
    Wait(std::io::Error),
    #[error("the file of samples cannot be written: {0}; free some space or name another folder")]
    Samples(std::io::Error),
}
