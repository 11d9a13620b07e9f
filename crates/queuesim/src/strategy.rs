//! A way to spread a pipeline over cores, described by measured times: what `advise` compares.

use crate::arrivals::Arrivals;
use crate::error::QueueError;
use crate::gil::{FrontEnd, Gil};
use crate::headroom::{Headroom, largest_rate, least_count};
use crate::machine::{Batch, Kind, LockRules, Phase};
use crate::pools::{Balance, Pool, Replicas};
use crate::service::{Draws, Service};
use crate::sidecar::Sidecar;
use crate::simulation::{Simulation, Window};

/// What is done for a request at one place, part by part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Work(pub Vec<(Kind, Service)>);

impl Work {
    /// One part of one kind.
    pub fn one(kind: Kind, service: Service) -> Self {
        Self(vec![(kind, service)])
    }

    /// Mean, ns.
    pub fn mean_ns(&self) -> f64 {
        self.0.iter().map(|(_, service)| service.mean_ns()).sum()
    }

    /// The phases of the requests that `draws` stands for.
    ///
    /// Errors: [`QueueError::Empty`] for a service without samples.
    pub fn phases(&self, draws: &Draws) -> Result<Vec<Phase>, QueueError> {
        self.0.iter().map(|(kind, service)| Ok(Phase { kind: *kind, ns: service.column(draws)? })).collect()
    }
}

/// Where the work runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// On the front end's only thread.
    Inline,
    /// On threads of the front end's process. Without a lock: free-threaded Python, or a native server.
    Threads { workers: usize, lock: Option<LockRules> },
    /// On processes behind one queue.
    Processes { workers: usize },
    /// Each of several processes is a whole server.
    Replicas { replicas: usize, balance: Balance },
    /// In another process, at the end of a connection.
    Sidecar { workers: usize, hop_ns: u64 },
}

/// A strategy on a number of cores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strategy {
    pub name: String,
    pub cores: usize,
    pub layout: Layout,
    /// What the front end does before the work, with the overhead of handing it over.
    pub before: Work,
    /// The work, per request.
    pub work: Work,
    /// What the front end does after the work.
    pub after: Work,
    /// How workers take requests; not for [`Layout::Inline`] and [`Layout::Replicas`], which have no queue to take them from.
    pub batch: Option<Batch>,
}

/// Runs a strategy on one schedule. With the same `seed`, request i is the same measured request in every strategy whose
/// samples are as many.
///
/// Errors: as [`crate::machine::Machine::run`]; [`QueueError::BadValue`] for a batch where the layout has none.
pub fn simulate(strategy: &Strategy, arrivals: &Arrivals, seed: u64) -> Result<Simulation, QueueError> {
    let draws = Draws::new(arrivals.len(), seed);
    let front = FrontEnd { before: strategy.before.phases(&draws)?, after: strategy.after.phases(&draws)? };
    let work = strategy.work.phases(&draws)?;
    let (cores, batch) = (strategy.cores, strategy.batch.clone());
    let serial = || front.before.iter().chain(&work).chain(&front.after).cloned().collect::<Vec<_>>();
    match (&strategy.layout, batch) {
        (Layout::Inline | Layout::Replicas { .. }, Some(batch)) => Err(QueueError::BadValue {
            what: "the batch of a strategy without workers",
            value: batch.max as f64,
            remedy: "leave the batch out, or choose threads, processes or a sidecar",
        }),
        (Layout::Inline, None) => Replicas { cores, replicas: 1, balance: Balance::Shared }.run(arrivals, &serial()),
        (Layout::Replicas { replicas, balance }, None) => {
            Replicas { cores, replicas: *replicas, balance: *balance }.run(arrivals, &serial())
        }
        (Layout::Threads { workers, lock }, batch) => {
            Gil { cores, threads: *workers, lock: lock.clone(), batch }.run(arrivals, &front, &work)
        }
        (Layout::Processes { workers }, batch) => Pool { cores, workers: *workers, batch }.run(arrivals, &front, &work),
        (Layout::Sidecar { workers, hop_ns }, batch) => {
            Sidecar { cores, workers: *workers, hop_ns: *hop_ns, batch }.run(arrivals, &front, &work)
        }
    }
}

/// The `p`-quantile of a strategy's latency on a schedule, ns; infinite where the load is more than some resource can serve,
/// since then the latency is only as long as the schedule lets the queue grow.
///
/// Errors: as [`simulate`].
pub fn latency_ns(
    strategy: &Strategy,
    arrivals: &Arrivals,
    seed: u64,
    window: Window,
    p: f64,
) -> Result<f64, QueueError> {
    let simulation = simulate(strategy, arrivals, seed)?;
    if simulation.is_overloaded() {
        return Ok(f64::INFINITY);
    }
    Ok(crate::simulation::percentile(&simulation.sorted_ns(window), p) as f64)
}

/// The break point: the largest rate at which the `p`-quantile stays within `limit_ns`. None if no rate does.
///
/// Errors: as [`simulate`].
pub fn break_point(
    strategy: &Strategy,
    arrivals: &Arrivals,
    seed: u64,
    p: f64,
    limit_ns: f64,
) -> Result<Option<Headroom>, QueueError> {
    largest_rate(arrivals, limit_ns, |scaled| latency_ns(strategy, scaled, seed, Window::STEADY, p))
}

/// The fewest cores, up to `most`, with which the `p`-quantile stays within `limit_ns`; `with_cores` gives the strategy for a number
/// of cores (its workers usually follow it). None if none are enough.
///
/// Errors: as [`simulate`].
pub fn least_cores(
    with_cores: impl Fn(usize) -> Strategy,
    most: usize,
    arrivals: &Arrivals,
    seed: u64,
    p: f64,
    limit_ns: f64,
) -> Result<Option<usize>, QueueError> {
    least_count(most, limit_ns, |cores| latency_ns(&with_cores(cores), arrivals, seed, Window::STEADY, p))
}
