//! One process whose threads share a lock: an event loop and a thread pool in Python.

use crate::arrivals::Arrivals;
use crate::error::QueueError;
use crate::machine::{Batch, Kind, LockRules, Machine, Phase, Place, Stage, Station};
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

/// What the front end, one thread, does for each request before and after its work. Both parts wait in one queue, of which it
/// does all that is there before it releases the lock. What a worker does around the work (taking it, waking the front end
/// up) belongs to the worker's phases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrontEnd {
    pub before: Vec<Phase>,
    pub after: Vec<Phase>,
}

/// Name of the front end among the resources.
pub const FRONT: &str = "front end";
/// Name of the workers among the resources.
pub const WORKERS: &str = "workers";

impl Gil {
    /// Every request passes the front end, a worker, and the front end again. Resources: `cores`, `lock` (if there is one),
    /// `front end`, `workers`.
    ///
    /// Errors: as [`Machine::run`].
    pub fn run(&self, arrivals: &Arrivals, front: &FrontEnd, work: &[Phase]) -> Result<Simulation, QueueError> {
        let lock = self.lock.as_ref().map(|_| 0);
        let machine = Machine {
            cores: self.cores,
            locks: self.lock.iter().cloned().collect(),
            stations: vec![
                front_station(lock),
                Station {
                    name: WORKERS.into(),
                    threads: self.threads,
                    lock,
                    keeps_lock: false,
                    batch: self.batch.clone(),
                },
            ],
        };
        machine.run(arrivals, &around(front, vec![Stage { place: Place::Station(1), phases: work.to_vec() }]))
    }
}

/// The front end as a station of one thread, an event loop.
pub(crate) fn front_station(lock: Option<usize>) -> Station {
    Station { name: FRONT.into(), threads: 1, lock, keeps_lock: true, batch: None }
}

/// Stages between the two visits to the front end, station 0; a visit without phases is left out.
pub(crate) fn around(front: &FrontEnd, inner: Vec<Stage>) -> Vec<Stage> {
    let visit =
        |phases: &Vec<Phase>| (!phases.is_empty()).then(|| Stage { place: Place::Station(0), phases: phases.clone() });
    visit(&front.before).into_iter().chain(inner).chain(visit(&front.after)).collect()
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
    crate::error::at_least_one("the number of pieces", pieces)?;
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
