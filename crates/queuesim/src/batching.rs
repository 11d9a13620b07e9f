//! A micro-batch queue.

use crate::arrivals::Arrivals;
use crate::error::{QueueError, same_length};
use crate::machine::{Batch, Kind, Machine, Phase, Place, Stage, Station};
use crate::pipeline::WORKERS;
use crate::service::Column;
use crate::simulation::Simulation;

/// `workers` servers that take the requests in batches. A batch of n lasts `a + b₁ + … + bₙ`: the batch's fixed phases, and the
/// requests' own times. The resource is `workers`; each has a core of its own.
///
/// `services_ns` are the bᵢ, one a request.
///
/// Errors: as [`Machine::run`].
pub fn batching(
    arrivals: &Arrivals,
    services_ns: &[u64],
    workers: usize,
    batch: &Batch,
) -> Result<Simulation, QueueError> {
    same_length("the list of service times", arrivals.len(), services_ns.len())?;
    let machine = Machine {
        cores: workers,
        turn_ns: None,
        locks: Vec::new(),
        stations: vec![Station {
            name: WORKERS.into(),
            threads: workers,
            lock: None,
            keeps_lock: false,
            batch: Some(batch.clone()),
        }],
    };
    let phases = vec![Phase { kind: Kind::Free, ns: Column::Each(services_ns.to_vec()) }];
    machine.run(arrivals, &[Stage { place: Place::Station(0), phases }])
}
