//! A benefit at low load and at high load, and whether the load takes it away: a two-by-two comparison within runs, whose interaction on the log scale is
//! the benefit at high load over that at low load. Main effects and runs cancel in it.

use benchstats::verdict::Verdict;

use crate::house::judged::Judged;

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

impl Fate {
    /// By the verdicts on the time with what is to help over the time without it: at low load, at high load, and at high over low load. All are of one
    /// family, and each is held against its own noise floor.
    pub fn of(low: &Judged, high: &Judged, between: &Judged) -> Self {
        match (low.verdict, between.verdict) {
            (Verdict::Equivalent | Verdict::Slower, _) => Self::NoBenefit,
            (Verdict::Inconclusive, _) => Self::Inconclusive,
            // The time with it grows against the time without it. Harm at high load is no benefit either.
            (Verdict::Faster, Verdict::Slower) if is_gone(high) => Self::Vanishes,
            (Verdict::Faster, Verdict::Slower) => Self::Shrinks,
            (Verdict::Faster, Verdict::Faster) => Self::Grows,
            (Verdict::Faster, Verdict::Equivalent) => Self::Stays,
            (Verdict::Faster, Verdict::Inconclusive) => Self::Inconclusive,
        }
    }
}

/// Whether no benefit beyond the noise is left: one side of two one-sided tests at 5% (Schuirmann 1987).
fn is_gone(high: &Judged) -> bool {
    high.floor.known().is_some_and(|floor| high.contrast.at(0.9).lower > 1.0 / (1.0 + floor.value))
}

#[cfg(test)]
mod tests {
    use record::plan::Cell;

    use super::*;
    use crate::house::comparison::{Comparison, Quantity};
    use crate::house::judged::judge;
    use crate::house::testing;

    const QUIET: [f64; 5] = [1.0, 1.004, 0.996, 1.002, 0.998];

    /// What becomes of a benefit of `low` times that is `high` times under load; what a run shares differs wildly between runs, and the twins repeat
    /// their cells but for the noise.
    fn fate(low: f64, high: f64, noise: &[f64]) -> Fate {
        let ids = ["low-with", "low-without", "high-with", "high-without"];
        let mut cells: Vec<Cell> = ids.iter().map(|id| testing::cell(id, &[("load", &id[..3])])).collect();
        for at in [0, 2] {
            cells.push(testing::twin(&cells[at]));
        }
        let values = |id: &str, run: usize| {
            let (shared, noise) = (1e6 * (1.0 + run as f64 * 3.0), noise[run]);
            match id {
                "low-with" => shared,
                "low-without" => shared * low * noise,
                "high-with" => shared * 50.0 * noise,
                "high-without" => shared * 50.0 * high,
                "low-with#twin" => shared * noise,
                _ => shared * 50.0,
            }
        };
        let measurements = testing::readings(&cells, noise.len(), "ttft_p50_ns", values);
        let pair = |load: &str| {
            let (with, without) = (format!("{load}-with"), format!("{load}-without"));
            (Comparison::new(&with, &without, Quantity::TTFT), with, without)
        };
        let ((at_low, with, without), (at_high, ..)) = (pair("low"), pair("high"));
        let cells: Vec<&Cell> = cells.iter().collect();
        let judged = judge(&[at_low, at_high.clone(), at_high.over(&with, &without)], &measurements, |_| &cells);
        Fate::of(&judged[0], &judged[1], &judged[2])
    }

    #[test]
    fn each_fate_has_its_data() {
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
}
