//! Work that is handed to another process over a connection.

use crate::arrivals::Arrivals;
use crate::error::QueueError;
use crate::gil::{FrontEnd, WORKERS, around, front_station};
use crate::machine::{Batch, Kind, Machine, Phase, Place, Stage, Station};
use crate::service::Column;
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
    /// Errors: as [`Machine::run`].
    pub fn run(&self, arrivals: &Arrivals, front: &FrontEnd, work: &[Phase]) -> Result<Simulation, QueueError> {
        let machine = Machine {
            cores: self.cores,
            locks: Vec::new(),
            stations: vec![
                front_station(None),
                Station {
                    name: WORKERS.into(),
                    threads: self.workers,
                    lock: None,
                    keeps_lock: false,
                    batch: self.batch.clone(),
                },
            ],
        };
        let hop =
            Stage { place: Place::Delay, phases: vec![Phase { kind: Kind::Away, ns: Column::Same(self.hop_ns) }] };
        let work = Stage { place: Place::Station(1), phases: work.to_vec() };
        machine.run(arrivals, &around(front, vec![hop.clone(), work, hop]))
    }
}
