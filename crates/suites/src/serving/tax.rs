//! What a way of sending requests costs over another: differences within runs, and what load makes of them.

use benchstats::{Interval, StatsError, mean, paired};

/// The price of one way over the floor, across runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tax {
    /// Mean of the differences way − floor, ns.
    pub difference: Interval,
    /// The difference as a share of the way's own figure.
    pub share: Interval,
}

/// Whether there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paid {
    /// The way costs more than the floor.
    More,
    /// It costs less.
    Less,
    /// The interval holds zero.
    Unclear,
}

impl Tax {
    /// Figures of the way and of the floor, ns, one a run, in the order of the runs.
    ///
    /// # Errors
    /// Lists of unlike length, fewer than two runs, a figure that is not finite.
    pub fn of(way_ns: &[f64], floor_ns: &[f64], level: f64) -> Result<Self, StatsError> {
        if way_ns.len() != floor_ns.len() {
            return Err(StatsError::Lengths { left: way_ns.len(), right: floor_ns.len() });
        }
        let pairs = || way_ns.iter().zip(floor_ns);
        let differences: Vec<f64> = pairs().map(|(way, floor)| way - floor).collect();
        let shares: Vec<f64> = pairs().map(|(way, floor)| 1.0 - floor / way).collect();
        Ok(Self { difference: mean::linear_t(&differences, level)?, share: mean::linear_t(&shares, level)? })
    }

    /// Whether the interval of the difference lies on one side of zero.
    pub fn paid(&self) -> Paid {
        if self.difference.lower > 0.0 {
            Paid::More
        } else if self.difference.upper < 0.0 {
            Paid::Less
        } else {
            Paid::Unclear
        }
    }
}

/// How many times the tax at low load the tax at high load is, paired within runs: what queueing makes of it.
///
/// # Errors
/// As of [`Tax::of`]; [`StatsError::BadValue`] with the run in which one of the taxes is not above zero: then a multiple of it
/// means nothing.
pub fn multiplied(low: &[(f64, f64)], high: &[(f64, f64)], level: f64) -> Result<Interval, StatsError> {
    if low.len() != high.len() {
        return Err(StatsError::Lengths { left: low.len(), right: high.len() });
    }
    let tax = |pairs: &[(f64, f64)]| -> Vec<f64> { pairs.iter().map(|(way, floor)| way - floor).collect() };
    paired::ratio(&tax(high), &tax(low), level).map(|paired| paired.interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_tax_is_found_whatever_the_runs_share() {
        // Runs differ by 100 ms, the tax is 6 ms ± 0.1 ms.
        let floor = [19e6, 119e6, 219e6, 319e6];
        let way: Vec<f64> = floor.iter().zip([6.0e6, 6.1e6, 5.9e6, 6.0e6]).map(|(floor, tax)| floor + tax).collect();
        let tax = Tax::of(&way, &floor, 0.95).unwrap();
        assert!(
            (tax.difference.point - 6e6).abs() < 1.0 && tax.difference.upper < 6.2e6 && tax.difference.lower > 5.8e6
        );
        assert_eq!(tax.paid(), Paid::More);
        assert_eq!(Tax::of(&floor, &way, 0.95).unwrap().paid(), Paid::Less);
        assert_eq!(Tax::of(&floor, &[19e6, 120e6, 218e6, 319e6], 0.95).unwrap().paid(), Paid::Unclear);
    }

    #[test]
    fn queueing_multiplies_it() {
        // The facts of a real server: 25.6 and 19.3 ms alone, 204 and 117 ms at concurrency 20.
        let low = [(25.6, 19.3), (25.7, 19.4), (25.5, 19.2)];
        let high = [(204.0, 117.0), (206.0, 117.0), (202.0, 117.0)];
        let times = multiplied(&low, &high, 0.95).unwrap();
        assert!(times.contains(87.0 / 6.3) && times.relative_half_width() < 0.1, "{times:?}");
        assert!(multiplied(&low, &[(1.0, 2.0), (3.0, 1.0), (3.0, 1.0)], 0.95).is_err());
        assert!(matches!(multiplied(&low[..2], &high, 0.95), Err(StatsError::Lengths { .. })));
    }
}
