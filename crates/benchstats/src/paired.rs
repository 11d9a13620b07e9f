//! The ratio of two figures that were measured in the same runs.

use crate::dist::student_t_quantile;
use crate::interval::{Interval, StatsError, check_level, logs, mean_and_error};

/// A paired ratio with what is needed to give its interval at any level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paired {
    /// The ratio, `exp(mean_log ± t·se_log)`.
    pub interval: Interval,
    /// Mean over runs of `ln(numerator / denominator)`.
    pub mean_log: f64,
    /// Standard error of `mean_log`, `s/√n`.
    pub se_log: f64,
    /// Degrees of freedom, `n − 1`.
    pub df: u32,
}

impl Paired {
    /// The interval of the ratio at another level; NaN bounds for a level outside (0, 1), which no verdict accepts.
    pub fn at(&self, level: f64) -> Interval {
        let half = self.half_width_log(level);
        Interval {
            point: self.mean_log.exp(),
            lower: (self.mean_log - half).exp(),
            upper: (self.mean_log + half).exp(),
            level,
        }
    }

    /// Half-width of the interval of `mean_log`: `t·s/√n`.
    pub fn half_width_log(&self, level: f64) -> f64 {
        if check_level(level).is_err() {
            return f64::NAN;
        }
        student_t_quantile(0.5 + level / 2.0, f64::from(self.df)) * self.se_log
    }
}

/// `exp(mean ± t·s/√n)` of `ln(numerator / denominator)`, run by run: what the runs share cancels.
///
/// Both lists hold one value a run in the order of the runs, above zero, in the same unit.
///
/// Errors: [`StatsError::Lengths`] if they differ in length, [`StatsError::OneRun`], [`StatsError::Empty`],
/// [`StatsError::BadValue`] (the index is the run), [`StatsError::BadArgument`] for the level.
pub fn ratio(numerator: &[f64], denominator: &[f64], level: f64) -> Result<Paired, StatsError> {
    check_level(level)?;
    if numerator.len() != denominator.len() {
        return Err(StatsError::Lengths { left: numerator.len(), right: denominator.len() });
    }
    let ratios: Vec<f64> =
        logs(numerator)?.iter().zip(logs(denominator)?).map(|(above, below)| above - below).collect();
    of_logs(&ratios, level)
}

/// `exp(mean ± t·s/√n)` of ratios that were formed within the runs, one a run, above zero.
///
/// Errors: [`StatsError::OneRun`], [`StatsError::Empty`], [`StatsError::BadValue`] (the index is the run),
/// [`StatsError::BadArgument`] for the level.
pub fn of_ratios(ratios: &[f64], level: f64) -> Result<Paired, StatsError> {
    check_level(level)?;
    of_logs(&logs(ratios)?, level)
}

fn of_logs(ratios: &[f64], level: f64) -> Result<Paired, StatsError> {
    let (mean_log, se_log) = mean_and_error(ratios)?;
    let mut paired = Paired {
        interval: Interval { point: f64::NAN, lower: f64::NAN, upper: f64::NAN, level },
        mean_log,
        se_log,
        df: (ratios.len() - 1) as u32,
    };
    paired.interval = paired.at(level);
    Ok(paired)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_runs_share_cancels() {
        // Run 2 was three times slower for both: the ratio does not see it.
        let paired = ratio(&[2.0, 6.0, 2.2], &[1.0, 3.0, 1.1], 0.95).unwrap();
        assert!((paired.interval.point - 2.0).abs() < 1e-12);
        assert!(paired.interval.relative_half_width() < 1e-12);
        assert_eq!(paired.df, 2);
    }

    #[test]
    fn interval_by_hand() {
        let paired = ratio(&[1.0_f64.exp(), 3.0_f64.exp()], &[1.0, 1.0], 0.95).unwrap();
        // Logs 1 and 3: mean 2, s = √2, se = 1, t(0.975, 1) = 12.7062.
        assert!((paired.mean_log - 2.0).abs() < 1e-12);
        assert!((paired.se_log - 1.0).abs() < 1e-12);
        assert!((paired.interval.lower.ln() - (2.0 - 12.706204736174705)).abs() < 1e-9);
        assert!((paired.at(0.5).upper.ln() - 3.0).abs() < 1e-9);
        assert!(paired.at(1.0).lower.is_nan());
    }

    #[test]
    fn ratios_of_runs_are_taken_as_they_are() {
        let by_runs = ratio(&[2.0, 6.3, 2.1], &[1.0, 3.0, 1.1], 0.95).unwrap();
        assert_eq!(of_ratios(&[2.0, 6.3 / 3.0, 2.1 / 1.1], 0.95).unwrap().df, by_runs.df);
        assert!((of_ratios(&[2.0, 2.1, 2.1 / 1.1], 0.95).unwrap().mean_log - by_runs.mean_log).abs() < 1e-12);
        assert_eq!(of_ratios(&[1.0, 0.0], 0.95), Err(StatsError::BadValue { index: 1, value: 0.0 }));
    }

    #[test]
    fn lists_must_belong_together() {
        assert_eq!(ratio(&[1.0, 2.0], &[1.0], 0.95), Err(StatsError::Lengths { left: 2, right: 1 }));
        assert_eq!(ratio(&[1.0], &[1.0], 0.95), Err(StatsError::OneRun));
    }
}
