//! A front end and the workers behind it: the shape that [`crate::gil`], [`crate::pools`] and [`crate::sidecar`] share.

use crate::arrivals::Arrivals;
use crate::error::QueueError;
use crate::machine::{Batch, Kind, LockRules, Machine, Phase, Place, Stage, Station};
use crate::service::Column;
use crate::simulation::Simulation;

/// Name of the front end among the resources.
pub const FRONT: &str = "front end";
/// Name of the workers among the resources; `workers 1`, … of those behind the first.
pub const WORKERS: &str = "workers";

/// What the front end, one thread, does for each request before and after its work. Both parts wait in one queue, of which it
/// does all that is there before it releases the lock. What a worker does around the work (taking it, waking the front end
/// up) belongs to the worker's phases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrontEnd {
    pub before: Vec<Phase>,
    pub after: Vec<Phase>,
}

/// Threads or processes behind one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workers {
    pub count: usize,
    /// What they do for each request.
    pub phases: Vec<Phase>,
    /// None: each takes one request at a time.
    pub batch: Option<Batch>,
}

/// Every request passes the front end, each pool of workers in turn, and the front end again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    pub cores: usize,
    /// See [`Machine::turn_ns`].
    pub turn_ns: Option<u64>,
    /// The lock that the front end and all workers share. None: held phases run as free ones.
    pub lock: Option<LockRules>,
    pub front: FrontEnd,
    /// One way between the front end and the workers, ns: a delay in which nobody works.
    pub hop_ns: u64,
    pub workers: Vec<Workers>,
}

impl Pipeline {
    /// Resources: `cores`, `lock` (if there is one), `front end`, `workers`.
    ///
    /// Errors: as [`Machine::run`].
    pub fn run(&self, arrivals: &Arrivals) -> Result<Simulation, QueueError> {
        let lock = self.lock.as_ref().map(|_| 0);
        let mut stations =
            vec![Station { name: FRONT.into(), threads: 1, lock, keeps_lock: lock.is_some(), batch: None }];
        let mut stages = Vec::new();
        let hop = (self.hop_ns > 0).then(|| Stage {
            place: Place::Delay,
            phases: vec![Phase { kind: Kind::Away, ns: Column::Same(self.hop_ns) }],
        });
        let visit = |phases: &Vec<Phase>| {
            (!phases.is_empty()).then(|| Stage { place: Place::Station(0), phases: phases.clone() })
        };
        stages.extend(visit(&self.front.before));
        stages.extend(hop.clone());
        for (index, workers) in self.workers.iter().enumerate() {
            let name = if index == 0 { WORKERS.into() } else { format!("{WORKERS} {index}") };
            stages.push(Stage { place: Place::Station(stations.len()), phases: workers.phases.clone() });
            let batch = workers.batch.clone();
            stations.push(Station { name, threads: workers.count, lock, keeps_lock: false, batch });
        }
        stages.extend(hop);
        stages.extend(visit(&self.front.after));
        let locks = self.lock.iter().cloned().collect();
        Machine { cores: self.cores, turn_ns: self.turn_ns, locks, stations }.run(arrivals, &stages)
    }
}
