//! When to stop adding runs.

use std::time::Duration;

/// A plan of looks: after how many runs to look, and what is precise enough.
///
/// The rule looks at widths only, never at which side won, so looking often does not invent differences; how much it costs in
/// coverage is measured by `tests/looks.rs`.
#[derive(Debug, Clone, PartialEq)]
pub struct Looks {
    /// Numbers of runs, ascending: 10, 15, 20, 30.
    pub looks: Vec<u32>,
    /// The share of the comparisons that must be precise enough, 0.8.
    pub target_share: f64,
    /// The half-width (a fraction of the point) at which one is, 0.05.
    pub target_half_width: f64,
}

/// What to do after a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Go on to the next look.
    Continue,
    /// Precise enough.
    Target,
    /// The next look would not fit into the time.
    Budget,
    /// This was the last look.
    Runs,
}

impl Decision {
    /// The word that stands in `run.json`; none while going on.
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Continue => None,
            Self::Target => Some("target"),
            Self::Budget => Some("budget"),
            Self::Runs => Some("runs"),
        }
    }
}

impl Looks {
    /// What to do after the runs of look `look` (an index into `looks`; beyond the end counts as the last).
    ///
    /// `half_widths`: relative half-widths of the comparisons, one each; one that is not a number or infinite counts as not
    /// precise enough. `elapsed`: time that the runs so far took. `budget`: time that all runs may take.
    ///
    /// The reasons are tried in the order target, runs, budget. The time at the next look is foreseen in proportion to its
    /// runs. With no comparison there is no target to reach.
    pub fn decide(&self, look: usize, half_widths: &[f64], elapsed: Duration, budget: Duration) -> Decision {
        let precise = half_widths.iter().filter(|width| **width <= self.target_half_width).count();
        if precise > 0 && precise as f64 >= self.target_share * half_widths.len() as f64 - 1e-9 {
            return Decision::Target;
        }
        let (Some(now), Some(next)) = (self.looks.get(look), self.looks.get(look + 1)) else {
            return Decision::Runs;
        };
        let foreseen = elapsed.as_secs_f64() * f64::from(*next) / f64::from((*now).max(1));
        if foreseen > budget.as_secs_f64() {
            return Decision::Budget;
        }
        Decision::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn looks() -> Looks {
        Looks { looks: vec![10, 15, 20, 30], target_share: 0.8, target_half_width: 0.05 }
    }

    #[test]
    fn eight_comparisons_of_ten_are_enough() {
        let mut widths = vec![0.05; 8];
        widths.extend([0.2, f64::NAN]);
        let decide = |widths: &[f64]| looks().decide(0, widths, MINUTE, 30 * MINUTE);
        assert_eq!(decide(&widths), Decision::Target);
        widths[0] = 0.0501;
        assert_eq!(decide(&widths), Decision::Continue);
    }

    #[test]
    fn stops_before_the_budget_is_overrun() {
        let decide = |look, minutes: u32| looks().decide(look, &[1.0], minutes * MINUTE, 30 * MINUTE);
        // 21 minutes for 20 runs: 30 runs would take 31.5.
        assert_eq!(decide(2, 21), Decision::Budget);
        assert_eq!(decide(2, 20), Decision::Continue);
        assert_eq!(decide(0, 21), Decision::Budget);
    }

    #[test]
    fn the_last_look_ends_it() {
        assert_eq!(looks().decide(3, &[1.0], MINUTE, 30 * MINUTE), Decision::Runs);
        assert_eq!(looks().decide(3, &[0.01], MINUTE, 30 * MINUTE), Decision::Target);
        assert_eq!(looks().decide(9, &[1.0], MINUTE, 30 * MINUTE), Decision::Runs);
    }

    #[test]
    fn nothing_compared_is_no_target() {
        assert_eq!(looks().decide(0, &[], MINUTE, 30 * MINUTE), Decision::Continue);
    }
}
