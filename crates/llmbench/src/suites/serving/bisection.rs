//! The largest rate that holds, by doubling and then halving the bracket on the log scale.

use benchstats::{Interval, StatsError, mean};

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// Offer this rate, requests a second, and report what came of it.
    Try(f64),
    Done(Found),
}

/// What a search found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Found {
    /// The level holds at `holds` and not at `fails`, which are as near as was asked for.
    Between { holds: f64, fails: f64 },
    /// It holds at the highest rate that may be tried.
    AtLeast(f64),
    /// It does not hold at the lowest.
    Below(f64),
}

impl Found {
    /// The rate in one figure: the geometric middle of the bracket. None where only a bound was found.
    pub fn rate(self) -> Option<f64> {
        match self {
            Self::Between { holds, fails } => Some((holds * fails).sqrt()),
            Self::AtLeast(_) | Self::Below(_) => None,
        }
    }
}

/// Bounds of a search, requests a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    pub lowest: f64,
    pub highest: f64,
    /// Where it begins.
    pub start: f64,
    /// The bracket is narrow enough when `fails/holds` is at most this much above 1.
    pub resolution: f64,
}

/// A search under way. Each try is its caller's; this only says which.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    bounds: Bounds,
    holds: Option<f64>,
    fails: Option<f64>,
    tried: Vec<(f64, bool)>,
}

/// Doubling and halving: from 1 to 10⁶ and to 1% takes 27 steps.
const MOST_STEPS: usize = 64;

impl Search {
    /// # Errors
    /// A sentence about bounds that are no bounds.
    pub fn new(bounds: Bounds) -> Result<Self, String> {
        let Bounds { lowest, highest, start, resolution } = bounds;
        let ordered = 0.0 < lowest && lowest <= start && start <= highest && highest.is_finite();
        if !ordered {
            return Err(format!(
                "a search from {start} between {lowest} and {highest} requests/s is none; give 0 < lowest ≤ start ≤ highest"
            ));
        }
        if !(resolution > 0.0 && resolution <= 1.0) {
            return Err(format!("a resolution of {resolution} is none; give one above 0 and at most 1, as 0.05"));
        }
        Ok(Self { bounds, holds: None, fails: None, tried: Vec::new() })
    }

    /// What to do next.
    pub fn step(&self) -> Step {
        let Bounds { lowest, highest, start, resolution } = self.bounds;
        match (self.holds, self.fails) {
            (None, None) => Step::Try(start),
            (Some(holds), None) if holds >= highest => Step::Done(Found::AtLeast(highest)),
            (Some(holds), None) => Step::Try((holds * 2.0).min(highest)),
            (None, Some(fails)) if fails <= lowest => Step::Done(Found::Below(lowest)),
            (None, Some(fails)) => Step::Try((fails / 2.0).max(lowest)),
            (Some(holds), Some(fails)) => {
                if fails / holds <= 1.0 + resolution || self.tried.len() >= MOST_STEPS {
                    Step::Done(Found::Between { holds, fails })
                } else {
                    Step::Try((holds * fails).sqrt())
                }
            }
        }
    }

    /// Reports whether the level held at the rate of the last [`Step::Try`].
    pub fn report(&mut self, rate: f64, held: bool) {
        self.tried.push((rate, held));
        let side = if held { &mut self.holds } else { &mut self.fails };
        *side = Some(rate);
    }

    /// All that was tried, in order.
    pub fn tried(&self) -> &[(f64, bool)] {
        &self.tried
    }
}

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
    use super::*;

    fn search(bounds: Bounds, mut holds: impl FnMut(f64) -> bool) -> (Found, usize) {
        let mut search = Search::new(bounds).unwrap();
        loop {
            match search.step() {
                Step::Try(rate) => {
                    assert!((bounds.lowest..=bounds.highest).contains(&rate), "{rate}");
                    let held = holds(rate);
                    search.report(rate, held);
                }
                Step::Done(found) => return (found, search.tried().len()),
            }
        }
    }

    const BOUNDS: Bounds = Bounds { lowest: 0.5, highest: 1000.0, start: 4.0, resolution: 0.02 };

    #[test]
    fn a_known_threshold_lies_in_the_bracket() {
        for threshold in [0.6, 3.99, 4.0, 4.01, 97.3, 999.0] {
            let (found, steps) = search(BOUNDS, |rate| rate <= threshold);
            let Found::Between { holds, fails } = found else { panic!("{threshold}: {found:?}") };
            assert!(holds <= threshold && threshold < fails && fails / holds <= 1.02, "{threshold}: {found:?}");
            assert!(steps <= 18, "{threshold}: {steps} steps");
        }
    }

    #[test]
    fn beyond_the_bounds_only_a_bound_is_said() {
        assert_eq!(search(BOUNDS, |_| true).0, Found::AtLeast(1000.0));
        assert_eq!(search(BOUNDS, |_| false).0, Found::Below(0.5));
        assert_eq!(Found::Below(0.5).rate(), None);
        assert!(Search::new(Bounds { start: 2000.0, ..BOUNDS }).is_err());
        assert!(Search::new(Bounds { resolution: 0.0, ..BOUNDS }).is_err());
        assert!(Search::new(Bounds { lowest: 0.0, ..BOUNDS }).is_err());
    }

    #[test]
    fn answers_that_contradict_each_other_still_end() {
        let mut turn = 0;
        let (found, steps) = search(BOUNDS, |_| {
            turn += 1;
            turn % 3 == 0
        });
        assert!(steps <= MOST_STEPS && matches!(found, Found::Between { .. }), "{found:?}");
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
            let found: Vec<Found> =
                (0..5).map(|_| search(BOUNDS, |rate| rate * (0.03 * normal()).exp() <= 50.0).0).collect();
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
