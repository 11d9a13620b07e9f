//! What requests ask of a machine, whatever the queues: work alone, without waiting.

use super::{Kind, Machine, Place, Stage};

/// Sums of work, ns.
pub(super) struct Demand {
    /// By request: how long it takes alone, without a batch's window.
    pub(super) requests: Vec<u64>,
    pub(super) cores: f64,
    pub(super) locks: Vec<f64>,
    pub(super) stations: Vec<f64>,
}

/// The least work with which `count` requests can be served; batches count as if all were full.
pub(super) fn demand(machine: &Machine, stages: &[Stage], count: usize) -> Demand {
    let mut sums = Demand {
        requests: vec![0; count],
        cores: 0.0,
        locks: vec![0.0; machine.locks.len()],
        stations: vec![0.0; machine.stations.len()],
    };
    for stage in stages {
        for request in 0..count {
            let index = match &stage.place {
                Place::Station(station) => *station,
                Place::Each(stations) => stations[request] as usize,
                Place::Delay => {
                    sums.requests[request] += stage.phases.iter().map(|phase| phase.ns.get(request)).sum::<u64>();
                    continue;
                }
            };
            let station = &machine.stations[index];
            let mut add = |kind: Kind, ns: f64| {
                sums.stations[index] += ns;
                if kind != Kind::Away {
                    sums.cores += ns;
                }
                if let (Kind::Held { .. }, Some(lock)) = (kind, station.lock) {
                    sums.locks[lock] += ns;
                }
            };
            for phase in &stage.phases {
                let ns = phase.ns.get(request);
                sums.requests[request] += ns;
                add(phase.kind, ns as f64);
            }
            if let Some(batch) = &station.batch {
                for (kind, ns) in &batch.fixed {
                    sums.requests[request] += ns;
                    add(*kind, *ns as f64 / batch.max as f64);
                }
            }
        }
    }
    sums
}
