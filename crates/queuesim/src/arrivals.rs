//! When requests arrive.

use crate::error::QueueError;
use crate::random::Random;

const SECOND_NS: f64 = 1e9;

/// Arrival times in ns since any common start, in ascending order; at least one. Two may be equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrivals(Vec<u64>);

impl Arrivals {
    /// A given schedule.
    ///
    /// Errors: [`QueueError::Empty`], [`QueueError::Unordered`].
    pub fn new(times_ns: Vec<u64>) -> Result<Self, QueueError> {
        if times_ns.is_empty() {
            return Err(QueueError::Empty { what: "the arrival schedule" });
        }
        match times_ns.windows(2).position(|pair| pair[1] < pair[0]) {
            Some(index) => Err(QueueError::Unordered { index: index + 1 }),
            None => Ok(Self(times_ns)),
        }
    }

    /// `count` arrivals at `rate` requests a second with independent gamma gaps of shape `burstiness`: 1 is a Poisson process,
    /// below 1 the arrivals cluster, above 1 they become even. The squared coefficient of variation of the gaps is 1/burstiness.
    ///
    /// Errors: [`QueueError::Empty`], [`QueueError::BadValue`] for a rate or burstiness that is not above zero.
    pub fn renewal(rate: f64, burstiness: f64, count: usize, seed: u64) -> Result<Self, QueueError> {
        positive("the arrival rate", rate)?;
        positive("the burstiness", burstiness)?;
        let mut random = Random::new(seed);
        let gap = SECOND_NS / rate;
        let mut clock = 0.0;
        let times = (0..count).map(|_| {
            clock += gap * if burstiness == 1.0 { random.exponential() } else { random.gamma(burstiness) };
            clock.round() as u64
        });
        Self::new(times.collect())
    }

    /// A Poisson process: `count` arrivals at `rate` requests a second. Errors as [`Arrivals::renewal`].
    pub fn poisson(rate: f64, count: usize, seed: u64) -> Result<Self, QueueError> {
        Self::renewal(rate, 1.0, count, seed)
    }

    /// The same arrivals, faster or slower, at `rate` requests a second: every time since the first one is scaled, so that two
    /// rates are compared on the same random numbers.
    ///
    /// Errors: [`QueueError::BadValue`] for a rate that is not above zero, or where all arrivals come at one time.
    pub fn at_rate(&self, rate: f64) -> Result<Self, QueueError> {
        positive("the arrival rate", rate)?;
        let own = self.rate();
        if !own.is_finite() {
            return Err(QueueError::BadValue {
                what: "the rate of the given arrivals",
                value: own,
                remedy: "give arrivals at two or more different times",
            });
        }
        let first = self.0[0];
        let factor = own / rate;
        Ok(Self(self.0.iter().map(|time| ((time - first) as f64 * factor).round() as u64).collect()))
    }

    /// The times, ns.
    pub fn times_ns(&self) -> &[u64] {
        &self.0
    }

    /// How many requests arrive; never 0.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// From the first arrival to the last, ns.
    pub fn span_ns(&self) -> u64 {
        self.0[self.0.len() - 1] - self.0[0]
    }

    /// Mean arrival rate, requests a second: gaps over span. Infinite if all arrive at once.
    pub fn rate(&self) -> f64 {
        if self.span_ns() == 0 {
            return f64::INFINITY;
        }
        (self.0.len() - 1) as f64 * SECOND_NS / self.span_ns() as f64
    }

    /// Squared coefficient of variation of the gaps between arrivals; NaN with fewer than three arrivals.
    pub fn gap_scv(&self) -> f64 {
        scv(self.0.windows(2).map(|pair| pair[1] - pair[0]))
    }
}

/// Squared coefficient of variation (variance over squared mean, with n − 1); NaN with fewer than two values.
pub(crate) fn scv(values: impl Iterator<Item = u64> + Clone) -> f64 {
    let count = values.clone().count() as f64;
    let mean = values.clone().map(|value| value as f64).sum::<f64>() / count;
    let squares = values.map(|value| (value as f64 - mean).powi(2)).sum::<f64>();
    if count < 2.0 { f64::NAN } else { squares / (count - 1.0) / (mean * mean) }
}

fn positive(what: &'static str, value: f64) -> Result<(), QueueError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(QueueError::BadValue { what, value, remedy: "give a number above 0" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disorder_is_refused_and_named() {
        assert_eq!(Arrivals::new(vec![]), Err(QueueError::Empty { what: "the arrival schedule" }));
        assert_eq!(Arrivals::new(vec![1, 3, 2]), Err(QueueError::Unordered { index: 2 }));
        assert!(Arrivals::new(vec![2, 2]).is_ok());
        assert!(Arrivals::poisson(0.0, 10, 1).is_err());
        assert!(Arrivals::poisson(f64::NAN, 10, 1).is_err());
        assert!(Arrivals::new(vec![5, 5]).unwrap().at_rate(10.0).is_err());
    }

    /// Rate within 4 standard errors (1/√n = 0.22%); the squared coefficient of variation is 1/burstiness.
    #[test]
    fn rate_and_burstiness_are_as_asked() {
        for (burstiness, tolerance) in [(0.25, 0.15), (1.0, 0.03), (4.0, 0.01)] {
            let arrivals = Arrivals::renewal(500.0, burstiness, 200_000, 7).unwrap();
            assert!((arrivals.rate() / 500.0 - 1.0).abs() < 4.0 * (1.0 / burstiness / 200_000.0_f64).sqrt());
            let scv = arrivals.gap_scv();
            assert!((scv - 1.0 / burstiness).abs() < tolerance, "burstiness {burstiness}: {scv}");
        }
    }

    #[test]
    fn a_seed_fixes_the_schedule_and_a_rate_only_scales_it() {
        let one = Arrivals::poisson(100.0, 1000, 3).unwrap();
        assert_eq!(one, Arrivals::poisson(100.0, 1000, 3).unwrap());
        assert_ne!(one, Arrivals::poisson(100.0, 1000, 4).unwrap());
        let twice = one.at_rate(one.rate() * 2.0).unwrap();
        assert!((twice.rate() / one.rate() - 2.0).abs() < 1e-6);
        for (fast, slow) in twice.times_ns().iter().zip(one.times_ns()) {
            assert!((*fast as f64 * 2.0 - (slow - one.times_ns()[0]) as f64).abs() <= 1.0);
        }
    }
}
