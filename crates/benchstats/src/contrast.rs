//! What was compared within the runs, on the scale on which its noise adds.

use crate::dist::student_t_quantile;
use crate::interval::{Interval, StatsError, check_finite, check_level, logs, mean_and_error};
use crate::paired::Paired;

/// How two figures of a run are compared, and so on which scale the runs are averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scale {
    /// As a ratio, above zero: averaged as logarithms.
    Ratio,
    /// As a difference, in the unit of the figures: averaged as it is.
    Difference,
}

/// One comparison over the runs: `mean ± t·se` on its scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contrast {
    pub scale: Scale,
    /// Mean over the runs: of the logarithms of ratios, or of the differences.
    pub mean: f64,
    /// Standard error of `mean`, `s/√n`.
    pub se: f64,
    /// Degrees of freedom, `n − 1`.
    pub df: u32,
}

impl Contrast {
    /// Of one value a run: a ratio above zero, or a difference in its unit.
    ///
    /// # Errors
    /// [`StatsError::OneRun`], [`StatsError::Empty`], [`StatsError::BadValue`] (the index is the run).
    pub fn of(scale: Scale, values: &[f64]) -> Result<Self, StatsError> {
        let (mean, se) = match scale {
            Scale::Ratio => mean_and_error(&logs(values)?)?,
            Scale::Difference => {
                check_finite(values)?;
                mean_and_error(values)?
            }
        };
        Ok(Self { scale, mean, se, df: (values.len() - 1) as u32 })
    }

    /// Half-width of the interval of `mean`: `t·s/√n`; NaN for a level outside (0, 1).
    pub fn half_width(&self, level: f64) -> f64 {
        if check_level(level).is_err() {
            return f64::NAN;
        }
        student_t_quantile(0.5 + level / 2.0, f64::from(self.df)) * self.se
    }

    /// The interval of the ratio or of the difference; NaN bounds for a level outside (0, 1), which no verdict accepts.
    pub fn at(&self, level: f64) -> Interval {
        let half = self.half_width(level);
        let out = |value: f64| match self.scale {
            Scale::Ratio => value.exp(),
            Scale::Difference => value,
        };
        Interval { point: out(self.mean), lower: out(self.mean - half), upper: out(self.mean + half), level }
    }
}

impl From<&Paired> for Contrast {
    fn from(paired: &Paired) -> Self {
        Self { scale: Scale::Ratio, mean: paired.mean_log, se: paired.se_log, df: paired.df }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paired;

    #[test]
    fn a_contrast_of_ratios_is_the_paired_ratio() {
        let ratios = [1.9, 2.0, 2.1, 2.05];
        let (contrast, paired) =
            (Contrast::of(Scale::Ratio, &ratios).unwrap(), paired::of_ratios(&ratios, 0.95).unwrap());
        assert_eq!(contrast, Contrast::from(&paired));
        assert_eq!(contrast.at(0.9), paired.at(0.9));
    }

    #[test]
    fn a_difference_keeps_its_unit_and_its_sign() {
        // Mean 2, s = √2, se = 1, t(0.975, 1) = 12.7062.
        let contrast = Contrast::of(Scale::Difference, &[-1.0, -3.0]).unwrap();
        let interval = contrast.at(0.95);
        assert!((interval.point + 2.0).abs() < 1e-12 && (interval.lower + 14.706204736174705).abs() < 1e-9);
        assert_eq!(Contrast::of(Scale::Ratio, &[1.0, -3.0]), Err(StatsError::BadValue { index: 1, value: -3.0 }));
        assert_eq!(Contrast::of(Scale::Difference, &[1.0]), Err(StatsError::OneRun));
    }
}
