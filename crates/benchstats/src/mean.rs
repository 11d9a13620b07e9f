//! Intervals for the mean of one figure over runs.

use crate::dist::student_t_quantile;
use crate::interval::{Interval, StatsError, check_finite, check_level, logs, mean_and_error};

/// The geometric mean over runs, `exp(mean ± t·s/√n)` of the logarithms, with `n − 1` degrees of freedom.
///
/// `values`: one a run, above zero, in any unit; the interval is in the same unit. Right for times and rates, whose noise
/// multiplies. What it estimates is the geometric mean of a run's value; for a noise of 5% that is 0.1% below the mean.
///
/// Errors: [`StatsError::OneRun`] with one value (no interval, no claim), [`StatsError::Empty`], [`StatsError::BadValue`] for a
/// value that is not finite or not above zero, [`StatsError::BadArgument`] for a level outside (0, 1).
pub fn log_t(values: &[f64], level: f64) -> Result<Interval, StatsError> {
    check_level(level)?;
    let (mean, error) = mean_and_error(&logs(values)?)?;
    let half = student_t_quantile(0.5 + level / 2.0, (values.len() - 1) as f64) * error;
    Ok(Interval { point: mean.exp(), lower: (mean - half).exp(), upper: (mean + half).exp(), level })
}

/// The arithmetic mean over runs, `mean ± t·s/√n`, with `n − 1` degrees of freedom.
///
/// For shares, fractions and coefficients, which may be 0 or negative. The interval of a share may reach beyond `[0, 1]`;
/// [`Interval::cut`] cuts it. Errors as of [`log_t`], except that any finite value is allowed.
pub fn linear_t(values: &[f64], level: f64) -> Result<Interval, StatsError> {
    check_level(level)?;
    check_finite(values)?;
    let (mean, error) = mean_and_error(values)?;
    let half = student_t_quantile(0.5 + level / 2.0, (values.len() - 1) as f64) * error;
    Ok(Interval { point: mean, lower: mean - half, upper: mean + half, level })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Student (1908), the extra hours of sleep by drug 1, n = 10: mean 0.75, s = 1.78901, t = 2.26216.
    #[test]
    fn linear_interval_of_students_sleep_data() {
        let hours = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
        let interval = linear_t(&hours, 0.95).unwrap();
        assert!((interval.point - 0.75).abs() < 1e-12);
        assert!((interval.lower - -0.5297804).abs() < 1e-6);
        assert!((interval.upper - 2.0297804).abs() < 1e-6);
    }

    #[test]
    fn log_interval_is_the_linear_one_of_the_logs() {
        let values = [10.0, 12.0, 9.0, 11.0];
        let logs: Vec<f64> = values.iter().map(|value: &f64| value.ln()).collect();
        let (log, linear) = (log_t(&values, 0.9).unwrap(), linear_t(&logs, 0.9).unwrap());
        assert!((log.point - (10.0_f64 * 12.0 * 9.0 * 11.0).powf(0.25)).abs() < 1e-12);
        assert!((log.lower.ln() - linear.lower).abs() < 1e-12);
        assert!((log.upper.ln() - linear.upper).abs() < 1e-12);
    }

    #[test]
    fn one_run_has_no_interval() {
        assert_eq!(log_t(&[3.0], 0.95), Err(StatsError::OneRun));
        assert_eq!(linear_t(&[], 0.95), Err(StatsError::Empty));
    }

    #[test]
    fn values_without_a_logarithm_are_named() {
        assert_eq!(log_t(&[3.0, 0.0], 0.95), Err(StatsError::BadValue { index: 1, value: 0.0 }));
        assert!(matches!(linear_t(&[1.0, f64::NAN], 0.95), Err(StatsError::BadValue { index: 1, .. })));
        assert!(matches!(log_t(&[1.0, 2.0], 1.0), Err(StatsError::BadArgument(_))));
    }
}
