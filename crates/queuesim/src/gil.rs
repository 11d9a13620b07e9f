//! One process whose threads share a lock: an event loop and a thread pool in Python.
//!
//! What counts is how often a request takes the lock, more than for how long: behind a C call that holds it for 10 ms, a
//! front end that needs it for 20 µs waits 10 ms each time. So the phases of a front end and of a worker should follow what
//! they really do: every system call that releases the lock (a read, a poll, the byte that wakes an event loop up) is a short
//! free phase between two held ones. [`executor`] adds those of a thread pool's worker.

use crate::arrivals::Arrivals;
use crate::error::{QueueError, at_least_one};
use crate::machine::{Batch, Kind, LockRules, Phase};
use crate::pipeline::{FrontEnd, Pipeline, Workers};
use crate::service::Column;
use crate::simulation::Simulation;

/// Worker threads behind a queue, beside a front end of one thread, all under one lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gil {
    pub cores: usize,
    /// Worker threads.
    pub threads: usize,
    /// None: free-threaded or native; held phases run as free ones.
    pub lock: Option<LockRules>,
    /// None: each worker takes one request at a time.
    pub batch: Option<Batch>,
}

impl Gil {
    /// Every request passes the front end, a worker, and the front end again. Resources: `cores`, `lock` (if there is one),
    /// `front end`, `workers`.
    ///
    /// Errors: as [`crate::machine::Machine::run`].
    pub fn run(&self, arrivals: &Arrivals, front: &FrontEnd, work: &[Phase]) -> Result<Simulation, QueueError> {
        let workers = Workers { count: self.threads, phases: work.to_vec(), batch: self.batch.clone() };
        let (cores, lock, front) = (self.cores, self.lock.clone(), front.clone());
        Pipeline { cores, turn_ns: None, lock, front, hop_ns: 0, workers: vec![workers] }.run(arrivals)
    }
}

/// What a worker of a Python thread pool does around its work, ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Executor {
    /// Bytecode before the work: taking it from the queue.
    pub take_ns: u64,
    /// Bytecode after the work: storing the result.
    pub store_ns: u64,
    /// The system call that wakes the event loop up; it releases the lock.
    pub wake_ns: u64,
    /// Bytecode after that, until the worker waits again.
    pub rest_ns: u64,
}

/// A worker's phases with what a thread pool adds around them.
pub fn executor(work: Vec<Phase>, around: Executor) -> Vec<Phase> {
    let phase = |kind, ns| Phase { kind, ns: Column::Same(ns) };
    std::iter::once(phase(Kind::BYTECODE, around.take_ns))
        .chain(work)
        .chain([
            phase(Kind::BYTECODE, around.store_ns),
            phase(Kind::Free, around.wake_ns),
            phase(Kind::BYTECODE, around.rest_ns),
        ])
        .collect()
}

/// Splits service times (ns) into `pieces` alternations of a held and a free phase, so that a share `hold` of each is held. A
/// thread that gives the lock up in many short pieces lets others in sooner than one that holds it in one piece.
///
/// `kind` is what the held phases are. Sums are kept to the ns.
///
/// Errors: [`QueueError::BadValue`] for a share outside [0, 1], [`QueueError::Zero`].
pub fn split(services_ns: &[u64], hold: f64, pieces: usize, kind: Kind) -> Result<Vec<Phase>, QueueError> {
    if !(0.0..=1.0).contains(&hold) {
        return Err(QueueError::BadValue { what: "the hold share", value: hold, remedy: "give a share from 0 to 1" });
    }
    at_least_one("the number of pieces", pieces)?;
    let parts = pieces as u64;
    // Piece k of n is the difference of two rounded prefixes, so that the pieces add up exactly.
    let piece = |total: u64, k: u64| total * (k + 1) / parts - total * k / parts;
    let held = |ns: u64| (ns as f64 * hold).round() as u64;
    let column = |of: &dyn Fn(u64) -> u64| Column::Each(services_ns.iter().map(|ns| of(*ns)).collect());
    Ok((0..parts)
        .flat_map(|k| {
            [
                Phase { kind, ns: column(&|ns| piece(held(ns), k)) },
                Phase { kind: Kind::Free, ns: column(&|ns| piece(ns - held(ns), k)) },
            ]
        })
        .collect())
}
