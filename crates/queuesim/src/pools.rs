//! Several processes: a pool behind a front end, and replicas of a whole server.

use crate::arrivals::Arrivals;
use crate::error::{QueueError, at_least_one};
use crate::machine::{Batch, Machine, Phase, Place, Stage, Station};
use crate::pipeline::{FrontEnd, Pipeline, WORKERS, Workers};
use crate::random::Random;
use crate::simulation::Simulation;

/// A front end of one thread and worker processes behind one queue. The front end's phases include what a hand-over to
/// another process costs it: serialising, sending, receiving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    pub cores: usize,
    pub workers: usize,
    /// None: each worker takes one request at a time.
    pub batch: Option<Batch>,
}

impl Pool {
    /// Every request passes the front end, a worker, and the front end again; no lock is shared. Resources: `cores`,
    /// `front end`, `workers`.
    ///
    /// Errors: as [`Machine::run`].
    pub fn run(&self, arrivals: &Arrivals, front: &FrontEnd, work: &[Phase]) -> Result<Simulation, QueueError> {
        let workers = Workers { count: self.workers, phases: work.to_vec(), batch: self.batch.clone() };
        let (cores, front) = (self.cores, front.clone());
        Pipeline { cores, turn_ns: None, lock: None, front, hop_ns: 0, workers: vec![workers] }.run(arrivals)
    }
}

/// How requests find their replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Balance {
    /// One queue; a replica takes the next request when it is free.
    Shared,
    /// Each request goes to a random replica: a new connection a request, hashed by the kernel (`SO_REUSEPORT`).
    Random { seed: u64 },
    /// Each request comes over a random one of `connections` lasting connections, each of which was assigned to a random
    /// replica: with few connections some replicas stay busier than others.
    Connections { connections: usize, seed: u64 },
    /// Each request goes to the first replica with this probability, in thousandths, else to a random one of the others: shares that
    /// were measured.
    Uneven { busiest_permille: u32, seed: u64 },
}

/// Whole servers of one thread each, on one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replicas {
    pub cores: usize,
    /// See [`Machine::turn_ns`].
    pub turn_ns: Option<u64>,
    pub replicas: usize,
    pub balance: Balance,
}

impl Replicas {
    /// Every request is served by one replica, from its first phase to its last. Resources: `cores`, and `workers` or
    /// `worker 0`, `worker 1`, ….
    ///
    /// Errors: as [`Machine::run`]; [`QueueError::Zero`] without connections.
    pub fn run(&self, arrivals: &Arrivals, phases: &[Phase]) -> Result<Simulation, QueueError> {
        at_least_one("the number of replicas", self.replicas)?;
        let station = |name: String, threads| Station { name, threads, lock: None, keeps_lock: false, batch: None };
        let each = || (0..self.replicas).map(|index| station(format!("worker {index}"), 1)).collect();
        let (stations, place) = match self.balance {
            Balance::Shared => (vec![station(WORKERS.into(), self.replicas)], Place::Station(0)),
            Balance::Random { seed } => {
                let mut random = Random::new(seed);
                let assigned = (0..arrivals.len()).map(|_| random.index(self.replicas) as u32).collect();
                (each(), Place::Each(assigned))
            }
            Balance::Connections { connections, seed } => {
                at_least_one("the number of connections", connections)?;
                let mut random = Random::new(seed);
                let replica: Vec<u32> = (0..connections).map(|_| random.index(self.replicas) as u32).collect();
                let assigned = (0..arrivals.len()).map(|_| replica[random.index(connections)]).collect();
                (each(), Place::Each(assigned))
            }
            Balance::Uneven { busiest_permille, seed } => {
                let mut random = Random::new(seed);
                let assigned = (0..arrivals.len()).map(|_| {
                    let first = self.replicas == 1 || random.index(1000) < busiest_permille as usize;
                    if first { 0 } else { 1 + random.index(self.replicas - 1) as u32 }
                });
                let assigned = assigned.collect();
                (each(), Place::Each(assigned))
            }
        };
        let machine = Machine { cores: self.cores, turn_ns: self.turn_ns, locks: Vec::new(), stations };
        machine.run(arrivals, &[Stage { place, phases: phases.to_vec() }])
    }
}
