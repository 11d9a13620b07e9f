//! What queueing makes of the price of a strategy over the floor.

use benchstats::{Interval, StatsError, paired};

/// How many times the tax at low load the tax at high load is, paired within runs: what queueing makes of it.
///
/// # Errors
/// Lists of unlike length, fewer than two runs; [`StatsError::BadValue`] with the run in which one of the taxes is not above zero: then a multiple of it
/// means nothing.
pub fn multiplied(low: &[(f64, f64)], high: &[(f64, f64)], level: f64) -> Result<Interval, StatsError> {
    if low.len() != high.len() {
        return Err(StatsError::Lengths { left: low.len(), right: high.len() });
    }
    let tax = |pairs: &[(f64, f64)]| -> Vec<f64> { pairs.iter().map(|(own, floor)| own - floor).collect() };
    paired::ratio(&tax(high), &tax(low), level).map(|paired| paired.interval)
}

#[cfg(test)]
mod tests {
    use super::*;

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
