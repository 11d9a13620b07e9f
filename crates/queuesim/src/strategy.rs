//! A way to spread a pipeline over cores, described by measured times: what `advise` compares.

use crate::arrivals::Arrivals;
use crate::error::QueueError;
use crate::headroom::{Headroom, largest_rate, least_count};
use crate::machine::{Batch, Kind, LockRules, Phase};
use crate::pipeline::{FrontEnd, Pipeline, Workers};
use crate::pools::{Balance, Replicas};
use crate::service::{Draws, Service};
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
    Threads { lock: Option<LockRules> },
    /// On processes, one worker each.
    Processes,
    /// Each of several processes is a whole server of one thread.
    Replicas { replicas: usize, balance: Balance },
    /// In another process, at the end of a connection; one way takes `hop_ns`.
    Sidecar { hop_ns: u64 },
}

/// A part of the work, by workers behind one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Threads or processes. Does not matter to [`Layout::Inline`] and [`Layout::Replicas`], whose only thread does all parts.
    pub workers: usize,
    /// The work, per request.
    pub work: Work,
    /// How the workers take requests; only where there is a queue to take them from.
    pub batch: Option<Batch>,
}

/// A strategy on a number of cores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strategy {
    pub name: String,
    pub cores: usize,
    /// See [`crate::machine::Machine::turn_ns`].
    pub turn_ns: Option<u64>,
    /// Time in which nobody works on a request and which no load changes, ns: threads and processes that wake up, sockets.
    pub away_ns: u64,
    pub layout: Layout,
    /// What the front end does before the work, with the overhead of handing it over.
    pub before: Work,
    /// The work, part after part (rendering on threads, then tokenizing in batches).
    pub parts: Vec<Part>,
    /// What the front end does after the work.
    pub after: Work,
}

impl Strategy {
    /// Mean time of a request alone, ns, without a batch's fixed phases, a window and hops.
    pub fn mean_ns(&self) -> f64 {
        self.before.mean_ns() + self.parts.iter().map(|part| part.work.mean_ns()).sum::<f64>() + self.after.mean_ns()
    }
}

/// Runs a strategy on one schedule. With the same `seed`, request i is the same measured request in every strategy whose
/// samples are as many.
///
/// Errors: as [`crate::machine::Machine::run`]; [`QueueError::BadValue`] for a batch where the layout has no workers.
pub fn simulate(strategy: &Strategy, arrivals: &Arrivals, seed: u64) -> Result<Simulation, QueueError> {
    let mut simulation = on_cores(strategy, arrivals, seed)?;
    // A delay that all have alike moves every departure by as much.
    for latency in &mut simulation.latencies_ns {
        *latency += strategy.away_ns;
    }
    Ok(simulation)
}

fn on_cores(strategy: &Strategy, arrivals: &Arrivals, seed: u64) -> Result<Simulation, QueueError> {
    let draws = Draws::new(arrivals.len(), seed);
    let front = FrontEnd { before: strategy.before.phases(&draws)?, after: strategy.after.phases(&draws)? };
    let workers = strategy.parts.iter().map(|part| {
        let phases = part.work.phases(&draws)?;
        Ok(Workers { count: part.workers, phases, batch: part.batch.clone() })
    });
    let workers = workers.collect::<Result<Vec<_>, QueueError>>()?;
    let (cores, turn_ns) = (strategy.cores, strategy.turn_ns);
    let (replicas, balance) = match &strategy.layout {
        Layout::Inline => (1, Balance::Shared),
        Layout::Replicas { replicas, balance } => (*replicas, *balance),
        Layout::Threads { lock } => {
            return Pipeline { cores, turn_ns, lock: lock.clone(), front, hop_ns: 0, workers }.run(arrivals);
        }
        Layout::Processes => return Pipeline { cores, turn_ns, lock: None, front, hop_ns: 0, workers }.run(arrivals),
        Layout::Sidecar { hop_ns } => {
            return Pipeline { cores, turn_ns, lock: None, front, hop_ns: *hop_ns, workers }.run(arrivals);
        }
    };
    if let Some(batch) = strategy.parts.iter().find_map(|part| part.batch.as_ref()) {
        return Err(QueueError::BadValue {
            what: "the batch of a strategy without workers",
            value: batch.max as f64,
            remedy: "leave the batch out, or choose threads, processes or a sidecar",
        });
    }
    let work = workers.into_iter().flat_map(|workers| workers.phases);
    let phases: Vec<Phase> = front.before.into_iter().chain(work).chain(front.after).collect();
    Replicas { cores, turn_ns, replicas, balance }.run(arrivals, &phases)
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
