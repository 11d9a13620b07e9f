//! What a speed-up over threads says.

use crate::interval::{Interval, StatsError};

/// "Scales": the speed-up is above this share of what the control reaches with the same threads.
pub const OF_CONTROL: f64 = 0.8;

/// "Does not scale": the speed-up is below this.
pub const BARELY: f64 = 1.2;

/// The verdict on a speed-up at all effective cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scaling {
    /// The lower bound of `S / S_control` is above 0.8.
    Scales,
    /// The upper bound of `S` is below 1.2.
    DoesNotScale,
    /// Neither, or both: where the control does not speed up either, the machine cannot tell.
    Inconclusive,
}

impl Scaling {
    /// The word that stands in a record: `scales`, `does_not_scale`, `inconclusive`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scales => "scales",
            Self::DoesNotScale => "does_not_scale",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// The serial fraction of a speed-up `s` on `n ≥ 2` processors, `(1/s − 1/n) / (1 − 1/n)` (Karp and Flatt 1990, "Measuring
/// parallel processor performance"). 0: perfect; 1: no speed-up; above 1: slower than one; below 0: better than perfect.
///
/// Meaningful only up to the effective cores; None for `n < 2` or a speed-up not above zero.
pub fn serial_fraction(s: f64, n: u32) -> Option<f64> {
    if n < 2 || s.is_nan() || s <= 0.0 {
        return None;
    }
    let share = 1.0 / f64::from(n);
    Some((1.0 / s - share) / (1.0 - share))
}

/// The serial fraction with its interval: the function falls with the speed-up, so the bounds are the transformed bounds,
/// exchanged, and the coverage is that of the speed-up's interval.
///
/// Errors: [`StatsError::BadArgument`] for `n < 2` or a bound not above zero.
pub fn karp_flatt(speedup: &Interval, n: u32) -> Result<Interval, StatsError> {
    let of = |s| {
        serial_fraction(s, n)
            .ok_or(StatsError::BadArgument("Karp-Flatt needs at least two processors and a speed-up above zero"))
    };
    Ok(Interval {
        point: of(speedup.point)?,
        lower: of(speedup.upper)?,
        upper: of(speedup.lower)?,
        level: speedup.level,
    })
}

/// The verdict on a call path at all effective cores.
///
/// `s`: the speed-up against the same threads at one, paired within the run. `s_over_control`: `S / S_control`, paired within
/// the run, where `S_control` is the native control's speed-up at the same count; without a control nothing is said to scale.
pub fn judge_scaling(s: &Interval, s_over_control: Option<&Interval>) -> Scaling {
    let scales = s_over_control.is_some_and(|ratio| ratio.lower > OF_CONTROL);
    let does_not = s.upper < BARELY;
    match (scales, does_not) {
        (true, false) => Scaling::Scales,
        (false, true) => Scaling::DoesNotScale,
        _ => Scaling::Inconclusive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(lower: f64, point: f64, upper: f64) -> Interval {
        Interval { point, lower, upper, level: 0.95 }
    }

    #[test]
    fn amdahl_is_recovered() {
        for n in [2_u32, 4, 16] {
            for serial in [0.0, 0.1, 0.5, 1.0] {
                let s = 1.0 / (serial + (1.0 - serial) / f64::from(n));
                assert!((serial_fraction(s, n).unwrap() - serial).abs() < 1e-12);
            }
        }
        assert!(serial_fraction(2.2, 2).unwrap() < 0.0);
        assert_eq!(serial_fraction(1.0, 1), None);
        assert_eq!(serial_fraction(0.0, 4), None);
    }

    #[test]
    fn bounds_change_places() {
        let e = karp_flatt(&interval(1.5, 1.6, 2.0), 2).unwrap();
        assert!((e.lower - 0.0).abs() < 1e-12);
        assert!((e.point - 0.25).abs() < 1e-12);
        assert!((e.upper - 1.0 / 3.0).abs() < 1e-12);
        assert!(karp_flatt(&interval(-0.1, 1.6, 2.0), 2).is_err());
    }

    #[test]
    fn verdicts() {
        let good = interval(0.85, 0.95, 1.05);
        let fast = interval(1.7, 1.8, 1.9);
        let flat = interval(0.9, 1.0, 1.1);
        assert_eq!(judge_scaling(&fast, Some(&good)), Scaling::Scales);
        assert_eq!(judge_scaling(&fast, None), Scaling::Inconclusive);
        assert_eq!(judge_scaling(&fast, Some(&interval(0.79, 0.9, 1.0))), Scaling::Inconclusive);
        assert_eq!(judge_scaling(&flat, Some(&interval(0.4, 0.5, 0.6))), Scaling::DoesNotScale);
        assert_eq!(judge_scaling(&flat, None), Scaling::DoesNotScale);
        assert_eq!(judge_scaling(&interval(1.0, 1.1, 1.2), None), Scaling::Inconclusive);
        // One core for both: the control stands still too.
        assert_eq!(judge_scaling(&flat, Some(&good)), Scaling::Inconclusive);
    }
}
