//! Where more load no longer means more answers: the knee of a closed loop, and what lies behind it.
//!
//! By operational analysis (Denning and Buzen 1978; Lazowska et al. 1984, ch. 5) a closed system with `n` requests under way has a
//! throughput of at most `min(n/R₁, X_max)`, where `R₁` is the response time without queueing and `X_max` the plateau. The two
//! bounds meet at `n* = X_max·R₁`: below it every further client adds throughput, above it only waiting.

use benchstats::{Interval, StatsError, mean, paired};

/// A closed loop at one concurrency, in one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoadPoint {
    /// Requests under way at once.
    pub concurrency: u32,
    /// Answers a second.
    pub throughput: f64,
    /// From sending to the last byte, mean over the requests, ns.
    pub response_ns: f64,
    /// What is said to grow, ns: the TTFT at some percentile.
    pub latency_ns: f64,
}

/// What a row of points says, with 95% intervals across runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Wall {
    /// The concurrency `X_max·R₁`.
    pub knee: Interval,
    /// `X_max`, answers a second: of a run, the mean throughput of its points within 5% of the best. The best alone would be high by
    /// its noise.
    pub plateau: Interval,
    /// The two concurrencies that are compared.
    pub from: u32,
    pub to: u32,
    /// Throughput there over throughput here.
    pub throughput_growth: Interval,
    /// Latency there over latency here.
    pub latency_growth: Interval,
}

/// What the comparison shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// Latency grew by more than throughput, and most of the added clients brought nothing.
    Wall,
    /// Throughput grew nearly as the clients did.
    Scales,
    /// The intervals do not say.
    Inconclusive,
}

/// Share of the added clients below which they are said to have brought nothing, and above which the system scales.
const LITTLE: f64 = 0.5;
const NEARLY: f64 = 0.8;
/// Points whose throughput is at most so much below the best are the plateau.
const NEAR: f64 = 0.05;

impl Wall {
    /// Of runs that each hold the same concurrencies, between the smallest of them and the largest.
    ///
    /// `R₁` is the response time at the smallest concurrency `n₁`, which holds no queueing where `n₁` is 1; otherwise it overstates
    /// the response without a queue, and the knee is an upper bound.
    ///
    /// # Errors
    /// Those of the intervals; [`StatsError::BadArgument`] where there are fewer than two concurrencies or a run lacks one.
    pub fn of(runs: &[Vec<LoadPoint>]) -> Result<Self, StatsError> {
        let mut levels: Vec<u32> = runs.iter().flatten().map(|point| point.concurrency).collect();
        levels.sort_unstable();
        levels.dedup();
        let (Some(&from), Some(&to)) = (levels.first(), levels.last()) else { return Err(StatsError::Empty) };
        if from == to {
            return Err(StatsError::BadArgument("a knee needs at least two concurrencies"));
        }
        let at = |run: &[LoadPoint], level: u32| run.iter().find(|point| point.concurrency == level).copied();
        if runs.iter().any(|run| levels.iter().any(|level| at(run, *level).is_none())) {
            return Err(StatsError::BadArgument("every run must hold every concurrency"));
        }
        let of = |figure: &dyn Fn(&[LoadPoint]) -> f64| -> Vec<f64> { runs.iter().map(|run| figure(run)).collect() };
        let first = |run: &[LoadPoint], take: fn(&LoadPoint) -> f64| at(run, from).as_ref().map_or(f64::NAN, take);
        let last = |run: &[LoadPoint], take: fn(&LoadPoint) -> f64| at(run, to).as_ref().map_or(f64::NAN, take);
        let growth = |take: fn(&LoadPoint) -> f64| {
            let ratios = of(&|run| last(run, take) / first(run, take));
            paired::of_ratios(&ratios, 0.95).map(|paired| paired.interval)
        };
        Ok(Self {
            knee: mean::log_t(&of(&|run| plateau(run) * first(run, |point| point.response_ns) / 1e9), 0.95)?,
            plateau: mean::log_t(&of(&plateau), 0.95)?,
            from,
            to,
            throughput_growth: growth(|point| point.throughput)?,
            latency_growth: growth(|point| point.latency_ns)?,
        })
    }

    /// What the growths show.
    pub fn growth(&self) -> Growth {
        let clients = f64::from(self.to) / f64::from(self.from);
        // Of the clients that were added, the share that brought what the first ones bring: (x − 1)/(c − 1).
        let share = |growth: f64| (growth - 1.0) / (clients - 1.0);
        if share(self.throughput_growth.upper) < LITTLE && self.latency_growth.lower > self.throughput_growth.upper {
            Growth::Wall
        } else if share(self.throughput_growth.lower) > NEARLY {
            Growth::Scales
        } else {
            Growth::Inconclusive
        }
    }
}

/// The mean throughput of the points near the best.
fn plateau(run: &[LoadPoint]) -> f64 {
    let best = run.iter().map(|point| point.throughput).fold(0.0, f64::max);
    let near: Vec<f64> = run.iter().map(|point| point.throughput).filter(|x| *x >= best * (1.0 - NEAR)).collect();
    near.iter().sum::<f64>() / near.len() as f64
}

/// Requests under way that Little's law (1961) gives, `throughput × response`, over those that were: 1 where all is counted.
///
/// It holds for any system over a stretch that begins and ends empty, whatever is in it. Beyond a few percent something was
/// counted wrong: answers that failed, a client that could not hold its concurrency, a response time of others.
pub fn little(throughput: f64, response_ns: f64, in_flight: f64) -> f64 {
    throughput * response_ns / 1e9 / in_flight
}

/// Deviation of [`little`] from 1 that is worth a warning. The ends of a stretch, where the loop fills and empties, alone make
/// `1/k` for `k` requests a client.
pub const LITTLE_TOLERANCE: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    /// A closed loop on one server with `s` ns of service and think time zero, and `d` ns of delay without queueing, by its
    /// asymptotes: exact for constant times.
    fn ideal(levels: &[u32], service_ns: f64, delay_ns: f64, noise: f64) -> Vec<LoadPoint> {
        levels
            .iter()
            .map(|&n| {
                let alone = service_ns + delay_ns;
                let throughput = (f64::from(n) / alone).min(1.0 / service_ns) * 1e9 * noise;
                let response_ns = f64::from(n) / throughput * 1e9;
                LoadPoint { concurrency: n, throughput, response_ns, latency_ns: response_ns }
            })
            .collect()
    }

    const LEVELS: [u32; 4] = [1, 4, 20, 400];

    #[test]
    fn the_knee_of_a_known_system_is_found() {
        // 10 ms of service, 50 ms in all: the server is full with 5 requests under way, at 100 a second.
        let noises = [0.98, 1.0, 1.01, 1.02, 0.99];
        let runs: Vec<_> = noises.iter().map(|noise| ideal(&LEVELS, 10e6, 40e6, *noise)).collect();
        let wall = Wall::of(&runs).unwrap();
        // The noise of throughput and of response cancel in their product: the knee is exact.
        assert!((wall.knee.point - 5.0).abs() < 1e-9 && wall.knee.relative_half_width() < 1e-9, "{wall:?}");
        assert!(wall.plateau.contains(100.0), "{wall:?}");
        assert!((wall.throughput_growth.point - 5.0).abs() < 1e-9);
        assert!((wall.latency_growth.point - 80.0).abs() < 1e-6);
        assert_eq!((wall.from, wall.to, wall.growth()), (1, 400, Growth::Wall));
    }

    #[test]
    fn a_system_that_is_never_full_scales() {
        let runs: Vec<_> = [1.0, 1.01, 0.99].iter().map(|noise| ideal(&[1, 2, 4], 1e6, 99e6, *noise)).collect();
        let wall = Wall::of(&runs).unwrap();
        assert_eq!(wall.growth(), Growth::Scales);
        // The plateau was not reached, so the product says no more than the largest concurrency.
        assert!((wall.knee.point - 4.0).abs() < 1e-9);
    }

    #[test]
    fn noise_beyond_the_effect_is_inconclusive() {
        let point =
            |n, throughput, latency_ns| LoadPoint { concurrency: n, throughput, response_ns: latency_ns, latency_ns };
        let runs =
            [vec![point(1, 100.0, 1e6), point(2, 110.0, 1.1e6)], vec![point(1, 100.0, 1e6), point(2, 190.0, 3e6)]];
        assert_eq!(Wall::of(&runs).unwrap().growth(), Growth::Inconclusive);
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let run = ideal(&LEVELS, 1e6, 1e6, 1.0);
        assert_eq!(Wall::of(&[]), Err(StatsError::Empty));
        assert_eq!(Wall::of(std::slice::from_ref(&run)), Err(StatsError::OneRun));
        assert!(Wall::of(&[run.clone(), run[..2].to_vec()]).is_err());
        assert!(Wall::of(&[run[..1].to_vec(), run[..1].to_vec()]).is_err());
    }

    #[test]
    fn littles_law_holds_for_any_arrivals_and_service() {
        // One server, first come first served, times of no distribution: Lindley (1952).
        let gaps = [3.0, 1.0, 0.5, 7.0, 0.1, 0.1, 2.0, 9.0, 0.3];
        let services = [1.0, 2.5, 0.2, 1.0, 4.0, 3.0, 0.5, 0.7, 2.0];
        let (mut clock, mut free) = (0.0_f64, 0.0_f64);
        let mut spans = Vec::new();
        for (gap, service) in gaps.iter().zip(services) {
            clock += gap;
            free = free.max(clock) + service;
            spans.push((clock, free));
        }
        let start = spans[0].0;
        let end = free;
        let mean_response = spans.iter().map(|(from, to)| to - from).sum::<f64>() / spans.len() as f64;
        // Requests under way, integrated event by event.
        let mut events: Vec<(f64, f64)> = spans.iter().flat_map(|&(from, to)| [(from, 1.0), (to, -1.0)]).collect();
        events.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut at, mut now, mut area) = (start, 0.0, 0.0);
        for (time, change) in events {
            area += now * (time - at);
            (at, now) = (time, now + change);
        }
        let in_flight = area / (end - start);
        let throughput = spans.len() as f64 / (end - start);
        assert!((little(throughput, mean_response * 1e9, in_flight) - 1.0).abs() < 1e-12);
        // One answer in nine that is not counted shows.
        let lost = little(throughput * 8.0 / 9.0, mean_response * 1e9, in_flight);
        assert!((lost - 1.0).abs() > LITTLE_TOLERANCE);
    }
}
