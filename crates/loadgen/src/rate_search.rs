//! The largest rate that holds, by doubling and then halving the bracket on the log scale.

use serde::{Deserialize, Serialize};

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
    /// It holds at this rate: the highest that may be tried, or that was when the search had to end.
    AtLeast(f64),
    /// It does not hold at this rate: the lowest that may be tried, or that was.
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
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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

    /// What is known after the tries until now, of a search that has to end; None before the first.
    pub fn so_far(&self) -> Option<Found> {
        match (self.holds, self.fails) {
            (Some(holds), Some(fails)) => Some(Found::Between { holds, fails }),
            (Some(holds), None) => Some(Found::AtLeast(holds)),
            (None, Some(fails)) => Some(Found::Below(fails)),
            (None, None) => None,
        }
    }

    /// All that was tried, in order.
    pub fn tried(&self) -> &[(f64, bool)] {
        &self.tried
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
    fn a_search_that_has_to_end_says_what_it_knows() {
        let mut search = Search::new(BOUNDS).unwrap();
        assert_eq!(search.so_far(), None);
        search.report(4.0, false);
        assert_eq!((search.so_far(), search.step()), (Some(Found::Below(4.0)), Step::Try(2.0)));
        search.report(2.0, true);
        assert_eq!(search.so_far(), Some(Found::Between { holds: 2.0, fails: 4.0 }));
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
}
