//! The largest rate that holds, across runs, and what follows from it.

use benchstats::{Interval, StatsError, mean};
use loadgen::rate_search::Found;

/// The rate across runs: the geometric mean of what each run's search found, at 95%.
///
/// A search that is finished says `holds < rate < fails`; the interval is widened on either side by half of its own resolution, which
/// the scatter between runs does not show where all searches tried the same rates.
///
/// # Errors
/// Fewer than two runs, or a run that found a bound only.
pub fn across_runs(found: &[Found]) -> Result<Interval, StatsError> {
    let rates: Vec<f64> = found
        .iter()
        .enumerate()
        .map(|(index, found)| found.rate().ok_or(StatsError::BadValue { index, value: f64::NAN }))
        .collect::<Result<_, _>>()?;
    let interval = mean::log_t(&rates, 0.95)?;
    let width = |found: &Found| match found {
        Found::Between { holds, fails } => (fails / holds).sqrt(),
        Found::AtLeast(_) | Found::Below(_) => 1.0,
    };
    let widest = found.iter().map(width).fold(1.0, f64::max);
    Ok(Interval { lower: interval.lower / widest, upper: interval.upper * widest, ..interval })
}

/// Machines for a demand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Replicas {
    /// By the lower bound of what one carries: enough with 97.5% confidence.
    pub enough: u64,
    /// By the upper bound: fewer are certainly too few.
    pub at_least: u64,
    /// USD an hour of `enough` replicas.
    pub cost_per_hour: f64,
    /// USD for a million requests at the demand.
    pub cost_per_million: f64,
}

/// How many replicas carry `demand` requests a second where one carries `rate`, at `price` USD an hour each. Requests are taken to
/// be spread evenly; a burst that meets one replica alone is not in it.
pub fn replicas(demand: f64, rate: &Interval, price: f64) -> Replicas {
    let of = |rate: f64| (demand / rate).ceil().max(1.0);
    let enough = of(rate.lower);
    let cost_per_hour = enough * price;
    Replicas {
        enough: enough as u64,
        at_least: of(rate.upper) as u64,
        cost_per_hour,
        cost_per_million: cost_per_hour / (demand * 3600.0) * 1e6,
    }
}

#[cfg(test)]
mod tests {
    use loadgen::rate_search::{Bounds, Search, Step};

    use super::*;

    const BOUNDS: Bounds = Bounds { lowest: 0.5, highest: 1000.0, start: 4.0, resolution: 0.02 };

    fn search(mut holds: impl FnMut(f64) -> bool) -> Found {
        let mut search = Search::new(BOUNDS).unwrap();
        loop {
            match search.step() {
                Step::Try(rate) => search.report(rate, holds(rate)),
                Step::Done(found) => return found,
            }
        }
    }

    #[test]
    fn the_interval_across_runs_holds_the_truth_as_often_as_it_says() {
        // Each try is decided by a noisy figure: the level holds at `rate` when a lognormal of σ = 3% times the rate is below 50.
        let mut state = 1_u64;
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
        };
        let mut normal = move || {
            let (a, b) = (uniform(), uniform());
            (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
        };
        let repeats = 400;
        let mut held = 0;
        for _ in 0..repeats {
            let found: Vec<Found> = (0..5).map(|_| search(|rate| rate * (0.03 * normal()).exp() <= 50.0)).collect();
            held += usize::from(across_runs(&found).unwrap().contains(50.0));
        }
        let coverage = held as f64 / f64::from(repeats);
        assert!(coverage > 0.93, "{coverage}");
    }

    #[test]
    fn replicas_follow_from_the_bounds() {
        let rate = Interval { point: 10.0, lower: 9.0, upper: 11.0, level: 0.95 };
        let replicas = replicas(100.0, &rate, 2.0);
        assert_eq!((replicas.enough, replicas.at_least), (12, 10));
        assert!((replicas.cost_per_hour - 24.0).abs() < 1e-12);
        // 24 USD for 360,000 requests.
        assert!((replicas.cost_per_million - 24.0 / 0.36).abs() < 1e-9);
        assert_eq!(super::replicas(0.5, &rate, 2.0).enough, 1);
    }
}
