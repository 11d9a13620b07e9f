//! Counts of durations in buckets of nearly equal relative width: pooled gaps of a run are too many to keep.

use benchstats::order::rank;
use serde::{Deserialize, Serialize};

/// Buckets an octave, as a power of two: 1,024, so that a bucket is at most 0.1% wide and its middle at most 0.05% off.
const BITS: u32 = 10;
const HALF: u64 = 1 << BITS;

/// A histogram of durations in ns. Below 2,048 ns every value has a bucket of its own; above, each octave has 1,024. Mean and
/// standard deviation are of the values themselves, not of buckets. It takes at most 450 kB.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum: f64,
    squares: f64,
    max: u64,
}

impl Histogram {
    /// Without values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a value.
    pub fn add(&mut self, value: u64) {
        let index = index(value);
        if index >= self.counts.len() {
            self.counts.resize(index + 1, 0);
        }
        self.counts[index] += 1;
        self.count += 1;
        self.sum += value as f64;
        self.squares += (value as f64).powi(2);
        self.max = self.max.max(value);
    }

    /// Adds all values of another histogram.
    pub fn merge(&mut self, other: &Self) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (to, from) in self.counts.iter_mut().zip(&other.counts) {
            *to += from;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.squares += other.squares;
        self.max = self.max.max(other.max);
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest value, ns, exact; None without values.
    pub fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    /// The mean, ns.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// The standard deviation of the values (divided by n, as `numpy.std` does), ns.
    pub fn std(&self) -> Option<f64> {
        let mean = self.mean()?;
        Some((self.squares / self.count as f64 - mean * mean).max(0.0).sqrt())
    }

    /// The `p`-quantile by nearest rank, ns: the middle of its bucket, within 0.05%.
    pub fn quantile(&self, p: f64) -> Option<u64> {
        let rank = rank(self.count, p)?;
        let mut seen = 0;
        let found = self.counts.iter().position(|&count| {
            seen += count;
            seen >= rank
        })?;
        Some(middle(found).min(self.max))
    }
}

fn index(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(BITS + 1);
    ((u64::from(shift) << BITS) + (value >> shift)) as usize
}

fn middle(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * HALF {
        return index;
    }
    let shift = (index >> BITS) - 1;
    (((index & (HALF - 1)) + HALF) << shift) + (1 << shift >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_values_are_exact_and_large_ones_near() {
        let mut histogram = Histogram::new();
        for value in 1..=100 {
            histogram.add(value * 10_000);
        }
        let p99 = histogram.quantile(0.99).unwrap() as f64;
        assert!((p99 / 990_000.0 - 1.0).abs() < 5e-4, "{p99}");
        assert_eq!(histogram.mean(), Some(505_000.0));
        assert!((histogram.std().unwrap() - 288_660.7).abs() < 0.1);
        assert_eq!((histogram.max(), histogram.count()), (Some(1_000_000), 100));
        let mut small = Histogram::new();
        (0..=2047).for_each(|value| small.add(value));
        assert_eq!((small.quantile(0.0), small.quantile(0.5), small.quantile(1.0)), (Some(0), Some(1023), Some(2047)));
        assert_eq!(Histogram::new().quantile(0.5), None);
    }

    proptest! {
        #[test]
        fn every_value_lies_in_its_bucket(value in any::<u64>()) {
            let at = index(value);
            prop_assert!(at < 56_320);
            let middle = middle(at);
            prop_assert_eq!(index(middle), at);
            prop_assert!(middle.abs_diff(value) as f64 <= value as f64 / 2048.0 + 1.0);
        }

        #[test]
        fn merging_is_counting_all(left in prop::collection::vec(0_u64..1 << 40, 0..50), right in prop::collection::vec(0_u64..1 << 40, 0..50)) {
            let of = |values: &[u64]| values.iter().fold(Histogram::new(), |mut histogram, &value| { histogram.add(value); histogram });
            let mut merged = of(&left);
            merged.merge(&of(&right));
            let all = of(&[left, right].concat());
            prop_assert_eq!(merged.quantile(0.9), all.quantile(0.9));
            prop_assert_eq!(merged.count(), all.count());
        }
    }
}
