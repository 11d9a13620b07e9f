//! Work that is handed to another process over a connection.

use crate::arrivals::Arrivals;
use crate::error::QueueError;
use crate::machine::{Batch, Phase};
use crate::pipeline::{FrontEnd, Pipeline, Workers};
use crate::simulation::Simulation;

/// A front end of one thread, a hop to a sidecar, its workers, and the hop back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sidecar {
    pub cores: usize,
    pub workers: usize,
    /// One way, ns: a delay in which nobody works. What sending costs the two sides belongs to their phases.
    pub hop_ns: u64,
    /// None: each worker takes one request at a time.
    pub batch: Option<Batch>,
}

impl Sidecar {
    /// Resources: `cores` (shared by both processes), `front end`, `workers`.
    ///
    /// Errors: as [`crate::machine::Machine::run`].
    pub fn run(&self, arrivals: &Arrivals, front: &FrontEnd, work: &[Phase]) -> Result<Simulation, QueueError> {
        let workers = Workers { count: self.workers, phases: work.to_vec(), batch: self.batch.clone() };
        let (cores, hop_ns, front) = (self.cores, self.hop_ns, front.clone());
        Pipeline { cores, turn_ns: None, lock: None, front, hop_ns, workers: vec![workers] }.run(arrivals)
    }
}
