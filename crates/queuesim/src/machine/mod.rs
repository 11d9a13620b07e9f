//! A machine: cores that threads share, locks that they take turns on, stations at which requests queue for threads.
//!
//! The strategies of a server are arrangements of these parts: an event loop and a thread pool that share one lock (Python with the
//! GIL), a front end and worker processes (no lock in common), replicas, a micro-batch queue. [`Machine::run`] sends every request
//! through the same stages, event by event, with these rules:
//!
//! - A station has threads and one queue, first come first served. A thread takes a request (or a batch) and goes through its phases.
//! - Running phases need a core. With more running threads than cores, they take turns ([`Machine::turn_ns`]), or all run at the
//!   same reduced speed (processor sharing, the limit of short turns). A lock's holder has no privilege and keeps the lock while it
//!   is slowed or waits for its turn.
//! - A lock is handed over in the order in which threads asked for it. With a switch interval it follows CPython 3.12
//!   (`Python/ceval_gil.c`, `take_gil` and `drop_gil`): a thread that has waited for the interval without any change of holder asks the
//!   holder to drop the lock; the holder obeys at once in a preemptible phase, and at the end of the phase otherwise; then it queues
//!   again behind the others. A thread releases the lock after its last phase, unless its station keeps it (see
//!   [`Station::keeps_lock`]).
//! - Each hand-over to a waiting thread can cost a time in which nobody runs under the lock (waking a thread up).

mod cores;
mod demand;
mod engine;
mod lock;
mod turns;

use crate::arrivals::Arrivals;
use crate::error::{QueueError, at_least_one, same_length};
use crate::service::Column;
use crate::simulation::Simulation;

/// What a thread does during a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Runs on a core without a lock.
    Free,
    /// Runs on a core and holds the station's lock, if it has one. Preemptible: bytecode of an interpreter. Not preemptible: one
    /// call into C that does not release the lock.
    Held { preemptible: bool },
    /// Waits for something outside: no core, no lock, but the thread is occupied.
    Away,
}

impl Kind {
    /// Python bytecode under the GIL.
    pub const BYTECODE: Kind = Kind::Held { preemptible: true };
    /// A call into C that holds the GIL.
    pub const HELD_CALL: Kind = Kind::Held { preemptible: false };
}

/// A part of a stage, with its duration for each request, ns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    pub kind: Kind,
    pub ns: Column,
}

/// Where a stage takes place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At the station of this index.
    Station(usize),
    /// At a station of its own for each request (a connection that a balancer assigned).
    Each(Vec<u32>),
    /// Nowhere: a pure delay, such as a network hop, in which any number of requests can be at a time.
    Delay,
}

/// One visit of every request to a station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    pub place: Place,
    pub phases: Vec<Phase>,
}

/// From when a batch waits for more requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowFrom {
    /// From when its first request entered the queue.
    Arrival,
    /// From when a thread took its first request.
    Pickup,
}

/// How a station's threads take several requests at a time. A batch lasts its fixed phases and then, phase by phase, the sum
/// over its requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Most requests in a batch, at least 1. A full batch does not wait.
    pub max: usize,
    pub window_ns: u64,
    pub from: WindowFrom,
    /// What every batch takes whatever its size, ns.
    pub fixed: Vec<(Kind, u64)>,
}

/// Threads behind one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Station {
    /// The name of the resource; its servers are the threads.
    pub name: String,
    pub threads: usize,
    /// The lock that held phases take; without one they run as free ones.
    pub lock: Option<usize>,
    /// A thread that ends a request while it holds the lock goes on, without releasing it, with those that waited at its station when
    /// it got the lock: an event loop, which runs all that is ready before it polls again. For stations without batches.
    pub keeps_lock: bool,
    pub batch: Option<Batch>,
}

/// A lock that threads of one or several stations share: the GIL of one process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockRules {
    /// After how long a waiting thread asks the holder to drop the lock; 5 ms in CPython. None: never.
    pub switch_interval_ns: Option<u64>,
    /// From the release to the moment in which the next waiting thread runs, ns.
    pub hand_over_ns: u64,
}

/// CPython's default switch interval, 5 ms (`sys.getswitchinterval`).
pub const SWITCH_INTERVAL_NS: u64 = 5_000_000;

/// The parts. Resources of the result: `cores`, `lock` (`lock 1`, … for more than one), and the stations by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Cores that all running phases share.
    pub cores: usize,
    /// How long a thread keeps its core while others wait for one, ns; they wait in one queue, first come first served, and one
    /// that wakes takes no core away. So does Linux's fair scheduler since 6.6 (EEVDF with RUN_TO_PARITY), with turns of about
    /// 3 ms. None: processor sharing.
    pub turn_ns: Option<u64>,
    pub locks: Vec<LockRules>,
    pub stations: Vec<Station>,
}

impl Machine {
    /// Sends every request through the stages. Latencies end with the last stage; rounded to the ns.
    ///
    /// Errors: [`QueueError::Zero`], [`QueueError::Length`], [`QueueError::Unknown`], [`QueueError::Empty`] without stages,
    /// [`QueueError::BadValue`] for a batching station in two stages, or one that keeps its lock.
    pub fn run(&self, arrivals: &Arrivals, stages: &[Stage]) -> Result<Simulation, QueueError> {
        self.check(arrivals.len(), stages)?;
        Ok(engine::Engine::new(self, arrivals, stages).run())
    }

    fn check(&self, requests: usize, stages: &[Stage]) -> Result<(), QueueError> {
        at_least_one("the number of cores", self.cores)?;
        for station in &self.stations {
            at_least_one("the number of a station's threads", station.threads)?;
            if let Some(batch) = &station.batch {
                at_least_one("the largest batch", batch.max)?;
                if station.keeps_lock {
                    return Err(QueueError::BadValue {
                        what: "the largest batch of a station that keeps its lock",
                        value: batch.max as f64,
                        remedy: "leave out one of the two",
                    });
                }
            }
            if let Some(index) = station.lock.filter(|index| *index >= self.locks.len()) {
                return Err(QueueError::Unknown { what: "lock", index, count: self.locks.len() });
            }
        }
        if stages.is_empty() {
            return Err(QueueError::Empty { what: "the list of stages" });
        }
        for stage in stages {
            for phase in &stage.phases {
                if let Column::Each(values) = &phase.ns {
                    same_length("a phase", requests, values.len())?;
                }
            }
            let highest = match &stage.place {
                Place::Station(index) => Some(*index),
                Place::Each(indices) => {
                    same_length("a stage's list of stations", requests, indices.len())?;
                    indices.iter().max().map(|index| *index as usize)
                }
                Place::Delay => None,
            };
            if let Some(index) = highest.filter(|index| *index >= self.stations.len()) {
                return Err(QueueError::Unknown { what: "station", index, count: self.stations.len() });
            }
        }
        for (index, station) in self.stations.iter().enumerate() {
            let visits = stages.iter().filter(|stage| match &stage.place {
                Place::Station(at) => *at == index,
                Place::Each(all) => all.contains(&(index as u32)),
                Place::Delay => false,
            });
            if station.batch.is_some() && visits.count() > 1 {
                return Err(QueueError::BadValue {
                    what: "the number of stages at a batching station",
                    value: 2.0,
                    remedy: "give each of these stages a station of its own",
                });
            }
        }
        Ok(())
    }
}
