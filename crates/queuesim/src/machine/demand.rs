//! What requests ask of a machine, whatever the queues: work alone, without waiting.

use super::{Kind, Machine, Place, Stage};
use crate::simulation::Load;

/// The least work with which the requests can be served; batches count as if all were full.
pub(super) struct Demand {
    /// By request: how long it takes alone, without a batch's window, ns.
    pub(super) requests: Vec<u64>,
    pub(super) cores: Load,
    pub(super) locks: Vec<Load>,
    pub(super) stations: Vec<Load>,
}

/// Work of one request, ns.
struct Own {
    alone: u64,
    cores: f64,
    locks: Vec<f64>,
    stations: Vec<f64>,
}

pub(super) fn demand(machine: &Machine, stages: &[Stage], count: usize) -> Demand {
    let mut sums = Demand {
        requests: Vec::with_capacity(count),
        cores: Load::default(),
        locks: vec![Load::default(); machine.locks.len()],
        stations: vec![Load::default(); machine.stations.len()],
    };
    let (locks, stations) = (machine.locks.len(), machine.stations.len());
    let mut own = Own { alone: 0, cores: 0.0, locks: vec![0.0; locks], stations: vec![0.0; stations] };
    for request in 0..count {
        stages.iter().for_each(|stage| own.add(machine, stage, request));
        sums.requests.push(std::mem::take(&mut own.alone));
        sums.cores.add(std::mem::take(&mut own.cores));
        for (sum, ns) in sums.locks.iter_mut().zip(&mut own.locks) {
            sum.add(std::mem::take(ns));
        }
        for (sum, ns) in sums.stations.iter_mut().zip(&mut own.stations) {
            sum.add(std::mem::take(ns));
        }
    }
    sums
}

impl Own {
    fn add(&mut self, machine: &Machine, stage: &Stage, request: usize) {
        let durations = stage.phases.iter().map(|phase| (phase.kind, phase.ns.get(request)));
        let index = match &stage.place {
            Place::Station(station) => *station,
            Place::Each(stations) => stations[request] as usize,
            Place::Delay => {
                self.alone += durations.map(|(_, ns)| ns).sum::<u64>();
                return;
            }
        };
        let station = &machine.stations[index];
        for (kind, ns) in durations {
            self.alone += ns;
            self.occupy(index, station.lock, kind, ns as f64);
        }
        if let Some(batch) = &station.batch {
            for (kind, ns) in &batch.fixed {
                self.alone += ns;
                self.occupy(index, station.lock, *kind, *ns as f64 / batch.max as f64);
            }
        }
    }

    fn occupy(&mut self, station: usize, lock: Option<usize>, kind: Kind, ns: f64) {
        self.stations[station] += ns;
        if kind != Kind::Away {
            self.cores += ns;
        }
        if let (Kind::Held { .. }, Some(lock)) = (kind, lock) {
            self.locks[lock] += ns;
        }
    }
}
