//! A benefit at low load and at high load, and whether the load takes it away: a two-by-two comparison within runs.

use benchstats::{Interval, Paired, StatsError, paired};

/// One run: a figure of which less is better (a latency, ns) without and with what is to help, at low and at high load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoByTwo {
    pub low_without: f64,
    pub low_with: f64,
    pub high_without: f64,
    pub high_with: f64,
}

/// Benefits across runs. A benefit is `without / with`: 2 is half the time, 1 is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interaction {
    pub low: Paired,
    pub high: Paired,
    /// The benefit at high load over that at low load, paired within runs: below 1 the load takes some away. This is the
    /// interaction of a two-by-two design on the log scale, whose main effects and runs cancel.
    pub ratio: Paired,
}

/// What became of the benefit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// None at low load: there is nothing to take away.
    NoBenefit,
    /// There at low load, and within the noise floor at high load.
    Vanishes,
    /// Less at high load, but there.
    Shrinks,
    /// Between the loads there is no difference beyond the noise floor.
    Stays,
    /// More at high load.
    Grows,
    Inconclusive,
}

impl Interaction {
    /// Across runs.
    ///
    /// # Errors
    /// Those of [`paired::of_ratios`]: fewer than two runs, a figure that is not above zero.
    pub fn of(runs: &[TwoByTwo], level: f64) -> Result<Self, StatsError> {
        let of = |ratio: fn(&TwoByTwo) -> f64| {
            let ratios: Vec<f64> = runs.iter().map(ratio).collect();
            paired::of_ratios(&ratios, level)
        };
        Ok(Self {
            low: of(|run| run.low_without / run.low_with)?,
            high: of(|run| run.high_without / run.high_with)?,
            ratio: of(|run| (run.high_without / run.high_with) / (run.low_without / run.low_with))?,
        })
    }

    /// What became of the benefit, where differences up to `floor` (0.02 for 2%) are noise. An equivalence needs the 90% interval
    /// inside the floor (two one-sided tests at 5%, Schuirmann 1987).
    pub fn fate(&self, floor: f64) -> Fate {
        let (least, most) = (1.0 / (1.0 + floor), 1.0 + floor);
        let inside = |interval: Interval| interval.lower > least && interval.upper < most;
        let low = self.low.interval;
        if low.lower <= most {
            return if inside(self.low.at(0.9)) || low.upper < most { Fate::NoBenefit } else { Fate::Inconclusive };
        }
        let ratio = self.ratio.interval;
        if ratio.upper < least {
            // Harm at high load is no benefit either.
            if self.high.at(0.9).upper < most { Fate::Vanishes } else { Fate::Shrinks }
        } else if ratio.lower > most {
            Fate::Grows
        } else if inside(self.ratio.at(0.9)) {
            Fate::Stays
        } else {
            Fate::Inconclusive
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs with these benefits at low and high load; what a run shares differs wildly between runs.
    fn runs(low: f64, high: f64, noise: &[f64]) -> Vec<TwoByTwo> {
        noise
            .iter()
            .enumerate()
            .map(|(run, noise)| {
                let shared = 1e6 * (1.0 + run as f64 * 3.0);
                TwoByTwo {
                    low_without: shared * low * noise,
                    low_with: shared,
                    high_without: shared * 50.0 * high,
                    high_with: shared * 50.0 * noise,
                }
            })
            .collect()
    }

    const QUIET: [f64; 5] = [1.0, 1.004, 0.996, 1.002, 0.998];

    #[test]
    fn benefits_and_their_interaction_are_found() {
        let interaction = Interaction::of(&runs(3.0, 1.5, &QUIET), 0.95).unwrap();
        assert!(interaction.low.interval.contains(3.0) && interaction.high.interval.contains(1.5));
        assert!(interaction.ratio.interval.contains(0.5) && interaction.ratio.interval.relative_half_width() < 0.02);
    }

    #[test]
    fn each_fate_has_its_data() {
        let fate = |low, high, noise: &[f64]| Interaction::of(&runs(low, high, noise), 0.95).unwrap().fate(0.02);
        assert_eq!(fate(3.0, 1.0, &QUIET), Fate::Vanishes);
        assert_eq!(fate(3.0, 0.7, &QUIET), Fate::Vanishes);
        assert_eq!(fate(3.0, 1.5, &QUIET), Fate::Shrinks);
        assert_eq!(fate(3.0, 3.0, &QUIET), Fate::Stays);
        assert_eq!(fate(3.0, 6.0, &QUIET), Fate::Grows);
        assert_eq!(fate(1.0, 1.0, &QUIET), Fate::NoBenefit);
        assert_eq!(fate(0.5, 1.0, &QUIET), Fate::NoBenefit);
        let loud = [1.0, 1.9, 0.5, 1.4, 0.7];
        assert_eq!(fate(1.3, 1.0, &loud), Fate::Inconclusive);
        assert_eq!(fate(30.0, 20.0, &loud), Fate::Inconclusive);
    }

    #[test]
    fn one_run_says_nothing() {
        assert_eq!(Interaction::of(&runs(2.0, 2.0, &[1.0]), 0.95), Err(StatsError::OneRun));
    }
}
