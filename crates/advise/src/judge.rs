//! Which ways meet the service level, with how many cores, and how much load they take until they do not.

use loadgen::arrivals::{Extent, Intensity, Schedule, Spacing};
use queuesim::headroom::Headroom;
use queuesim::strategy::{Strategy, break_point, latency_ns, least_cores, simulate};
use queuesim::{Arrivals, Explanation, Simulation, Window, gpu};
use rayon::prelude::*;
use serde::Serialize;

use super::candidates;
use super::evidence::{Evidence, Origin, Size};
use super::model::Model;
use super::question::Question;
use super::way::Way;

/// A way that meets the level: on how many cores, and on how many with the reserve.
type Met = (Way, usize, Option<usize>);

/// Of the latency that is judged.
pub const P: f64 = 0.99;
/// A recommendation must meet the level with this much more load: a forecast of the load that is 25% off is a usual one.
pub const RESERVE: f64 = 1.25;
/// Rates of the figure, as multiples of the asked one.
const CURVE: [f64; 10] = [0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0];
/// Hours of a month.
const MONTH_H: f64 = 730.0;
/// If the cores do not do, up to so many times as many are tried.
const DOUBLINGS: u32 = 4;

/// Verdict on one way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    pub way: Way,
    pub name: &'static str,
    pub meets: bool,
    /// The fewest with which it meets the level; where none do, the number that carries the most.
    pub cores: usize,
    /// The fewest with which it meets the level at [`RESERVE`] times the load.
    pub cores_with_reserve: Option<usize>,
    /// ns; none where the load is more than it can serve.
    pub p50_ns: Option<f64>,
    pub p99_ns: Option<f64>,
    /// The resource that is offered the most, and how much of it the load needs.
    pub busiest: String,
    pub utilization: f64,
    /// The part of the slowest percent's latency that is waiting for the GIL.
    pub gil_share_of_p99: f64,
    /// Largest rate that meets the level on `cores`, requests a second.
    pub breaks_at: Option<f64>,
    /// That over the asked rate.
    pub headroom: Option<f64>,
    pub usd_per_million: f64,
    pub usd_per_month: f64,
    pub kingman: Option<Kingman>,
    pub gpu: Option<Starved>,
    /// The weakest origin among the times of its stages.
    pub origin: Origin,
    /// Why it is extrapolated; empty: it is not.
    pub extrapolated: Vec<String>,
    /// Rate, requests a second, and p99, ns.
    pub curve: Vec<(f64, f64)>,
}

/// The formula's parts; see [`Explanation`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kingman {
    pub resource: String,
    pub servers: usize,
    pub utilization: f64,
    pub gap_scv: f64,
    pub service_scv: f64,
    pub mean_service_ns: f64,
    /// Mean wait by the formula, ns; none from a utilization of 1 on.
    pub wait_ns: Option<f64>,
    /// Mean wait that the simulation found, ns, at all resources together.
    pub simulated_wait_ns: f64,
}

/// Shares of the time in which the GPU has no batch; see [`gpu::Starvation`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Starved {
    pub overlapped: f64,
    pub serial: f64,
    pub by_load: f64,
}

/// All ways, and which to take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdicts {
    pub judged: Vec<Judged>,
    pub recommended: Option<Way>,
    pub runner_up: Option<Way>,
    /// Where nothing meets the level: what would.
    pub remedy: Option<Remedy>,
}

/// What would meet a level that nothing meets.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Remedy {
    /// This way on more cores.
    Cores { way: Way, cores: usize },
    /// This way at a smaller load.
    Rate { way: Way, rps: f64 },
    /// Not even a request alone is fast enough: the least p99 of any way at almost no load, ns.
    Nothing { way: Way, p99_ns: f64 },
}

/// What changes with the size of the request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    pub what: &'static str,
    pub size: Size,
    /// The way recommended now, on its cores: its p99 then, ns; none where it is overloaded.
    pub p99_ns: Option<f64>,
    pub still_meets: bool,
    /// What would be recommended then, with its cores.
    pub then: Option<(Way, usize)>,
}

/// A question on its schedule.
pub struct Judge<'a> {
    question: &'a Question,
    effective_cores: u32,
    arrivals: Arrivals,
}

/// The arrivals of a question: the same for simulation and measurement.
///
/// # Errors
/// A sentence for a rate or burstiness that makes no schedule.
pub fn schedule(question: &Question) -> Result<Schedule, String> {
    let spacing =
        if question.burstiness == 1.0 { Spacing::Poisson } else { Spacing::Gamma { burstiness: question.burstiness } };
    let intensity = Intensity::Constant { rate: question.rps };
    Schedule::generate(&intensity, spacing, Extent::count(question.requests), question.seed)
        .map_err(|error| error.to_string())
}

impl<'a> Judge<'a> {
    /// # Errors
    /// As [`schedule`].
    pub fn new(question: &'a Question, effective_cores: u32) -> Result<Self, String> {
        let arrivals = Arrivals::new(schedule(question)?.times_ns().to_vec()).map_err(|error| error.to_string())?;
        Ok(Self { question, effective_cores, arrivals })
    }

    /// Judges every way whose times the model has.
    ///
    /// # Errors
    /// The sentence of a simulation that cannot be made.
    pub fn all(&self, model: &Model, evidence: &Evidence) -> Result<Verdicts, String> {
        let rates: Vec<Option<f64>> = Way::ALL.iter().map(|way| evidence.measured_rate(way.measured_as()?)).collect();
        let judged: Result<Vec<Option<Judged>>, String> =
            Way::ALL.par_iter().zip(rates).map(|(way, rate)| self.way(model, *way, rate)).collect();
        let judged: Vec<Judged> = judged?.into_iter().flatten().collect();
        let order = ranked(judged.iter().filter(|it| it.meets).map(|it| (it.way, it.cores, it.cores_with_reserve)));
        let remedy = if order.is_empty() { self.remedy(model, &judged)? } else { None };
        Ok(Verdicts { judged, recommended: order.first().copied(), runner_up: order.get(1).copied(), remedy })
    }

    /// p99 of a way, ns; infinite where it is overloaded.
    fn p99(&self, model: &Model, way: Way, cores: usize, factor: f64) -> Result<f64, String> {
        let Some(strategy) = way.on_cores(model, cores) else { return Ok(f64::INFINITY) };
        let arrivals = self.at(factor)?;
        latency_ns(&strategy, &arrivals, self.question.seed, Window::STEADY, P).map_err(|error| error.to_string())
    }

    fn at(&self, factor: f64) -> Result<Arrivals, String> {
        if factor == 1.0 {
            return Ok(self.arrivals.clone());
        }
        self.arrivals.at_rate(self.arrivals.rate() * factor).map_err(|error| error.to_string())
    }

    /// The fewest cores that meet the level at a multiple of the load.
    fn least(&self, model: &Model, way: Way, factor: f64) -> Result<Option<usize>, String> {
        let most = way.most_cores(self.question.cores);
        let Some(largest) = way.on_cores(model, most) else { return Ok(None) };
        let family = |cores: usize| way.on_cores(model, cores).unwrap_or_else(|| largest.clone());
        least_cores(family, most, &self.at(factor)?, self.question.seed, P, self.question.p99_ns)
            .map_err(|error| error.to_string())
    }

    fn way(&self, model: &Model, way: Way, measured_rate: Option<f64>) -> Result<Option<Judged>, String> {
        let most = way.most_cores(self.question.cores);
        if way.on_cores(model, most).is_none() {
            return Ok(None);
        }
        let least = self.least(model, way, 1.0)?;
        let cores = match least {
            Some(cores) => cores,
            None => self.carries_most(model, way, most)?,
        };
        let Some(strategy) = way.on_cores(model, cores) else { return Ok(None) };
        let seed = self.question.seed;
        let found = simulate(&strategy, &self.arrivals, seed).map_err(|error| error.to_string())?;
        let summary = found.summary(Window::STEADY);
        let finite = |ns: u64| (!found.is_overloaded()).then_some(ns as f64);
        let breaks =
            break_point(&strategy, &self.arrivals, seed, P, self.question.p99_ns).map_err(|error| error.to_string())?;
        let mut curve = Vec::new();
        for factor in CURVE {
            let p99 = self.p99(model, way, cores, factor)?;
            if p99.is_finite() {
                curve.push((self.question.rps * factor, p99));
            }
        }
        let (busiest, utilization) =
            found.bottleneck().map_or((String::new(), 0.0), |(resource, offered)| (resource.name.clone(), offered));
        let per_hour = cores as f64 * self.question.cpu_hour_price;
        let origin = way.origin(model);
        Ok(Some(Judged {
            way,
            name: way.name(),
            meets: least.is_some(),
            cores,
            cores_with_reserve: self.least(model, way, RESERVE)?,
            p50_ns: finite(summary.p50_ns),
            p99_ns: finite(summary.p99_ns),
            busiest,
            utilization,
            gil_share_of_p99: found.lock_share_of_tail(Window::STEADY, P),
            breaks_at: breaks.map(|it| it.ratio * self.question.rps),
            headroom: breaks.map(|it| it.ratio),
            usd_per_million: per_hour / (self.question.rps * 3600.0) * 1e6,
            usd_per_month: per_hour * MONTH_H,
            kingman: found.explanation().map(|it| Kingman::of(it, summary.mean_wait_ns)),
            gpu: self.starved(&found)?,
            origin,
            extrapolated: self.extrapolated(cores, origin, measured_rate),
            curve,
        }))
    }

    /// The number of cores, of 1, 2, 4, … and all, that carries the most within the level: more threads under a lock can carry less.
    fn carries_most(&self, model: &Model, way: Way, most: usize) -> Result<usize, String> {
        let mut best = (most, 0.0);
        let doubling =
            std::iter::successors(Some(1_usize), |cores| cores.checked_mul(2)).take_while(|cores| *cores < most);
        for cores in doubling.chain([most]) {
            let Some(strategy) = way.on_cores(model, cores) else { continue };
            let rate = self.breaks(&strategy)?.map_or(0.0, |it| it.rate);
            if rate > best.1 {
                best = (cores, rate);
            }
        }
        Ok(best.0)
    }

    fn breaks(&self, strategy: &Strategy) -> Result<Option<Headroom>, String> {
        break_point(strategy, &self.arrivals, self.question.seed, P, self.question.p99_ns)
            .map_err(|error| error.to_string())
    }

    fn starved(&self, found: &Simulation) -> Result<Option<Starved>, String> {
        let Some(engine) = self.question.gpu else { return Ok(None) };
        let starved = gpu::starvation(&found.arrivals_ns, &found.departures_ns(), engine.step_ns, engine.batch)
            .map_err(|error| error.to_string())?;
        Ok(Some(Starved { overlapped: starved.overlapped, serial: starved.serial, by_load: starved.by_load }))
    }

    fn extrapolated(&self, cores: usize, origin: Origin, measured_rate: Option<f64>) -> Vec<String> {
        let mut reasons = Vec::new();
        if cores > self.effective_cores as usize {
            reasons.push(format!("{cores} cores, and the measured machine has {}", self.effective_cores));
        }
        if let Some(rate) = measured_rate.filter(|rate| *rate < self.question.rps) {
            reasons.push(format!("it was measured up to {}", record::format::rate(rate, "requests")));
        }
        if origin >= Origin::Extrapolated {
            reasons.push("its stages were not measured at sizes around this one".to_owned());
        }
        reasons
    }

    /// More cores, else less load, else nothing.
    fn remedy(&self, model: &Model, judged: &[Judged]) -> Result<Option<Remedy>, String> {
        for doubling in 1..=DOUBLINGS {
            let cores = self.question.cores << doubling;
            for it in judged.iter().filter(|it| it.way.most_cores(cores) == cores) {
                if self.p99(model, it.way, cores, 1.0)? <= self.question.p99_ns {
                    return Ok(Some(Remedy::Cores { way: it.way, cores }));
                }
            }
        }
        let fastest = judged.iter().filter_map(|it| Some((it.way, it.breaks_at?))).max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((way, rps)) = fastest {
            return Ok(Some(Remedy::Rate { way, rps }));
        }
        let mut least: Option<(Way, f64)> = None;
        for it in judged {
            let p99_ns = self.p99(model, it.way, it.cores, 1e-3)?;
            if least.is_none_or(|(_, best)| p99_ns < best) {
                least = Some((it.way, p99_ns));
            }
        }
        Ok(least.map(|(way, p99_ns)| Remedy::Nothing { way, p99_ns }))
    }

    /// What if the conversation has twice the messages, at the same tokens and with twice as many.
    ///
    /// # Errors
    /// As [`Judge::all`].
    pub fn changes(&self, evidence: &Evidence, verdicts: &Verdicts) -> Result<Vec<Change>, String> {
        let Size { tokens, turns } = self.question.size;
        let mut changes = Vec::new();
        for (what, size) in [
            ("twice the messages, same tokens", Size { tokens, turns: 2 * turns }),
            ("twice the conversation", Size { tokens: 2 * tokens, turns: 2 * turns }),
        ] {
            let model = candidates::model_of(evidence, size);
            let now = verdicts.judged.iter().find(|it| Some(it.way) == verdicts.recommended);
            let p99_ns = match now {
                Some(it) => Some(self.p99(&model, it.way, it.cores, 1.0)?).filter(|p99| p99.is_finite()),
                None => None,
            };
            let met: Result<Vec<Option<Met>>, String> = Way::ALL
                .par_iter()
                .map(|way| {
                    let least = self.least(&model, *way, 1.0)?;
                    let Some(cores) = least else { return Ok(None) };
                    Ok(Some((*way, cores, self.least(&model, *way, RESERVE)?)))
                })
                .collect();
            let met: Vec<Met> = met?.into_iter().flatten().collect();
            let then = ranked(met.iter().copied()).first().copied();
            let then = then.and_then(|way| met.iter().find(|it| it.0 == way).map(|it| (way, it.1)));
            let still_meets = p99_ns.is_some_and(|p99| p99 <= self.question.p99_ns);
            changes.push(Change { what, size, p99_ns, still_meets, then });
        }
        Ok(changes)
    }
}

/// Ways that meet the level, best first: the fewest cores with a reserve, then the fewest without one, then the simplest.
fn ranked(met: impl Iterator<Item = (Way, usize, Option<usize>)>) -> Vec<Way> {
    let mut met: Vec<_> = met.collect();
    met.sort_by_key(|(way, cores, reserve)| (reserve.unwrap_or(usize::MAX), *cores, *way));
    met.into_iter().map(|(way, ..)| way).collect()
}

impl Kingman {
    fn of(it: Explanation, simulated_wait_ns: f64) -> Self {
        Self {
            resource: it.resource,
            servers: it.servers,
            utilization: it.utilization,
            gap_scv: it.gap_scv,
            service_scv: it.service_scv,
            mean_service_ns: it.mean_service_ns,
            wait_ns: it.wait_ns.is_finite().then_some(it.wait_ns),
            simulated_wait_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewest_cores_with_a_reserve_then_without_then_the_simplest() {
        let met = [
            (Way::RustThreads, 1, Some(1)),
            (Way::Inline, 1, None),
            (Way::RustInline, 1, Some(1)),
            (Way::ProcessPool, 2, Some(3)),
        ];
        let order = ranked(met.into_iter());
        assert_eq!(order, [Way::RustInline, Way::RustThreads, Way::ProcessPool, Way::Inline]);
    }
}
