//! Percentiles of independent calls and their distribution-free intervals.

use crate::dist::{binomial_cdf, binomial_survival};
use crate::interval::{Interval, StatsError, check_finite, check_level};

/// Which of the sorted values bound a percentile. Indices start at 0; None where `n` is too small to bound that side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuantileInterval {
    pub lower: Option<usize>,
    pub upper: Option<usize>,
}

/// The order statistics that hold the `p`-quantile between them with at least `level` confidence, whatever the distribution
/// (David and Nagaraja, Order Statistics, section 7.1).
///
/// With `X ~ Binomial(n, p)` the count of values at or below the quantile, the lower bound is the largest rank `l` with
/// `P(X ≤ l − 1) ≤ (1 − level)/2`, the upper the smallest rank `u` with `P(X ≥ u) ≤ (1 − level)/2`. Two-sided 95% at p99 has
/// an upper bound from n = 368 on, since 0.99³⁶⁸ < 0.025.
///
/// The calls must be independent. `p` or `level` outside (0, 1) gives no bounds.
pub fn quantile_interval(n: usize, p: f64, level: f64) -> QuantileInterval {
    if !(p > 0.0 && p < 1.0) || check_level(level).is_err() {
        return QuantileInterval { lower: None, upper: None };
    }
    let miss = (1.0 - level) / 2.0;
    let calls = n as u64;
    // Rank l (from 1) is index l − 1, and P(X ≤ index) grows with the index: count the indices that still pass.
    let below = first_index(n, |index| binomial_cdf(index as u64, calls, p) > miss);
    // Rank u is index u − 1, and P(X ≥ u) = P(X > index) falls with it: the first index that passes.
    let above = first_index(n, |index| binomial_survival(index as u64, calls, p) <= miss);
    QuantileInterval {
        lower: below.checked_sub(1),
        // P(X > n − 1) = pⁿ is the last chance; `binomial_survival` is exact there.
        upper: (above < n).then_some(above),
    }
}

/// The fewest independent calls of which a percentile can be told: from there on both sides of its two-sided 95% interval are
/// bounded by a value that was observed, `p^n ≤ 0.025` and `(1 − p)^n ≤ 0.025` (David and Nagaraja, section 7.1).
///
/// p50 needs 6 calls, p90 36, p95 72, p99 368, p99.9 3,688. With fewer the largest value stands for the percentile, whatever it
/// happens to be, so that nothing is shown. `p` outside (0, 1) is told of no number of calls.
pub fn calls_needed(p: f64) -> u64 {
    if !(p > 0.0 && p < 1.0) {
        return u64::MAX;
    }
    let least = |share: f64| (0.025_f64.ln() / share.ln() - 1e-9).ceil();
    least(p).max(least(1.0 - p)).max(1.0) as u64
}

/// The `p`-quantile of values in ascending order: the smallest value that at least a share `p` of them does not exceed
/// (type 1 of Hyndman and Fan 1996, also called nearest rank). It is always a value that was observed, and it always lies
/// within [`quantile_interval`]. None if there is no value or `p` lies outside `[0, 1]`.
pub fn quantile<T: Copy>(sorted: &[T], p: f64) -> Option<T> {
    sorted.get(rank(sorted.len() as u64, p)? as usize - 1).copied()
}

/// The nearest rank of the `p`-quantile among `n` values, from 1 to `n`. None if there is no value or `p` lies outside `[0, 1]`.
pub fn rank(n: u64, p: f64) -> Option<u64> {
    // 0.99 · 100 is 99.00000000000001 in binary, and must still be rank 99.
    (n > 0 && (0.0..=1.0).contains(&p)).then(|| ((p * n as f64 - 1e-9).ceil() as u64).clamp(1, n))
}

/// The `p`-quantile of values in ascending order with its interval; infinite where a side is not bounded.
///
/// Errors: [`StatsError::Empty`], [`StatsError::BadValue`] for a value that is not finite, [`StatsError::BadArgument`] for `p`, the
/// level, or values out of order.
pub fn quantile_with_interval(sorted: &[f64], p: f64, level: f64) -> Result<Interval, StatsError> {
    check_level(level)?;
    check_finite(sorted)?;
    if !sorted.is_sorted() {
        return Err(StatsError::BadArgument("a percentile needs its values in ascending order"));
    }
    if !(p > 0.0 && p < 1.0) {
        return Err(StatsError::BadArgument("a percentile needs a share between 0 and 1, for example 0.99"));
    }
    let point = quantile(sorted, p).ok_or(StatsError::Empty)?;
    let bounds = quantile_interval(sorted.len(), p, level);
    Ok(Interval {
        point,
        lower: bounds.lower.map_or(f64::NEG_INFINITY, |index| sorted[index]),
        upper: bounds.upper.map_or(f64::INFINITY, |index| sorted[index]),
        level,
    })
}

/// The first index in `0..n` where the monotone predicate holds, `n` if nowhere.
fn first_index(n: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn p99_needs_368_calls() {
        assert_eq!(quantile_interval(367, 0.99, 0.95).upper, None);
        assert_eq!(quantile_interval(368, 0.99, 0.95).upper, Some(367));
        assert!(quantile_interval(367, 0.99, 0.95).lower.is_some());
        // p99.9: ln 0.025 / ln 0.999 = 3687.03.
        assert_eq!(quantile_interval(3687, 0.999, 0.95).upper, None);
        assert_eq!(quantile_interval(3688, 0.999, 0.95).upper, Some(3687));
        // The median: 2·0.5^6 = 3.1% misses, so six values are enough and five are not.
        assert_eq!(quantile_interval(5, 0.5, 0.95).upper, None);
        let six = quantile_interval(6, 0.5, 0.95);
        assert_eq!((six.lower, six.upper), (Some(0), Some(5)));
    }

    #[test]
    fn the_rule_of_percentiles_is_that_of_their_intervals() {
        assert_eq!([0.5, 0.9, 0.95, 0.99, 0.999].map(calls_needed), [6, 36, 72, 368, 3688]);
        for p in [0.1, 0.5, 0.9, 0.95, 0.99] {
            let needs = calls_needed(p) as usize;
            let is_bounded = |n: usize| {
                let bounds = quantile_interval(n, p, 0.95);
                bounds.lower.is_some() && bounds.upper.is_some()
            };
            assert!(is_bounded(needs) && !is_bounded(needs - 1), "{p}");
        }
        assert_eq!((calls_needed(0.0), calls_needed(1.0), calls_needed(f64::NAN)), (u64::MAX, u64::MAX, u64::MAX));
    }

    /// By hand: P(X ≤ 7) = 0.75%, P(X ≤ 8) = 2.71%, P(X ≥ 15) = 6.35%, P(X = 16) = 1.00%: ranks 8 and 16.
    #[test]
    fn upper_quartile_of_sixteen() {
        let bounds = quantile_interval(16, 0.75, 0.95);
        assert_eq!((bounds.lower, bounds.upper), (Some(7), Some(15)));
    }

    #[test]
    fn nearest_rank() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.99), Some(99.0));
        assert_eq!(quantile(&values, 0.5), Some(50.0));
        assert_eq!(quantile(&values, 0.0), Some(1.0));
        assert_eq!(quantile(&values, 1.0), Some(100.0));
        assert_eq!(quantile::<f64>(&[], 0.5), None);
        assert_eq!(quantile(&values, 1.1), None);
    }

    #[test]
    fn a_small_sample_has_no_upper_bound_at_p99() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        let interval = quantile_with_interval(&values, 0.99, 0.95).unwrap();
        assert_eq!(interval.upper, f64::INFINITY);
        assert!(interval.lower >= 90.0);
        assert!(quantile_with_interval(&[2.0, 1.0], 0.5, 0.95).is_err());
        assert_eq!(quantile_with_interval(&[], 0.5, 0.95), Err(StatsError::Empty));
    }

    proptest! {
        #[test]
        fn bounds_are_as_tight_as_allowed(n in 1_usize..3000, p in 0.01_f64..0.999) {
            let bounds = quantile_interval(n, p, 0.95);
            if let Some(lower) = bounds.lower {
                prop_assert!(binomial_cdf(lower as u64, n as u64, p) <= 0.025);
            }
            let next = bounds.lower.map_or(0, |lower| lower + 1);
            prop_assert!(next >= n || binomial_cdf(next as u64, n as u64, p) > 0.025);
            if let Some(upper) = bounds.upper {
                prop_assert!(binomial_survival(upper as u64, n as u64, p) <= 0.025);
                prop_assert!(upper == 0 || binomial_survival(upper as u64 - 1, n as u64, p) > 0.025);
            }
            let rank = super::rank(n as u64, p).unwrap() as usize - 1;
            prop_assert!(bounds.lower.is_none_or(|lower| lower <= rank));
            prop_assert!(bounds.upper.is_none_or(|upper| upper >= rank));
        }
    }
}
