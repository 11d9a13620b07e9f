//! A figure with its uncertainty, and what can keep one from being computed.

use std::fmt;

/// A point estimate with a two-sided confidence interval. All four are in the unit of the data; `level` is a fraction.
///
/// `lower` and `upper` are infinite where the data do not bound that side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub point: f64,
    pub lower: f64,
    pub upper: f64,
    /// Confidence level, `0.95`.
    pub level: f64,
}

impl Interval {
    /// Half of the interval's width as a fraction of the point: `(upper − lower) / (2·|point|)`.
    ///
    /// Infinite where a side is unbounded or the point is 0 and the interval is not.
    pub fn relative_half_width(&self) -> f64 {
        let half = (self.upper - self.lower) / 2.0;
        if half == 0.0 { 0.0 } else { half / self.point.abs() }
    }

    /// True if `value` lies in the closed interval.
    pub fn contains(&self, value: f64) -> bool {
        self.lower <= value && value <= self.upper
    }

    /// The interval cut to `[low, high]`, for a quantity that cannot lie outside (a share lies in `[0, 1]`).
    ///
    /// Cutting away impossible values loses no coverage. The point moves only if it lay outside itself.
    pub fn cut(self, low: f64, high: f64) -> Self {
        let cut = |value: f64| value.max(low).min(high);
        Self { point: cut(self.point), lower: cut(self.lower), upper: cut(self.upper), level: self.level }
    }
}

/// Why a figure could not be computed.
#[derive(Debug, Clone, PartialEq)]
pub enum StatsError {
    /// No value at all.
    Empty,
    /// One run: it has a value, but no interval and no claim can be made from it.
    OneRun,
    /// A value that cannot be used: not finite, or not above zero where a logarithm is taken.
    BadValue { index: usize, value: f64 },
    /// Two lists that belong together differ in length.
    Lengths { left: usize, right: usize },
    /// An argument outside its range; the text names it and the range.
    BadArgument(&'static str),
    /// A fit with too few observations for its columns.
    TooFew { observations: usize, columns: usize },
    /// A column of a fit is a combination of those before it (or all zero).
    Collinear { column: usize },
}

impl fmt::Display for StatsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "there are no values; measure at least two runs"),
            Self::OneRun => write!(f, "one run gives no interval and no claim; measure at least two runs"),
            Self::BadValue { index, value } => {
                write!(f, "value {index} is {value}, which cannot be used here; leave the run out or measure it again")
            }
            Self::Lengths { left, right } => {
                write!(f, "{left} values cannot be paired with {right}; keep only the runs that have both")
            }
            Self::BadArgument(what) => write!(f, "{what}"),
            Self::TooFew { observations, columns } => write!(
                f,
                "{observations} observations are too few to fit {columns} columns; measure at least {}",
                columns + 1
            ),
            Self::Collinear { column } => write!(
                f,
                "column {column} of the fit is a combination of the columns before it; vary its axis independently or leave it out"
            ),
        }
    }
}

impl std::error::Error for StatsError {}

/// A confidence level must lie strictly between 0 and 1.
pub(crate) fn check_level(level: f64) -> Result<(), StatsError> {
    if level > 0.0 && level < 1.0 {
        Ok(())
    } else {
        Err(StatsError::BadArgument("the confidence level must lie between 0 and 1, for example 0.95"))
    }
}

/// Every value must be finite.
pub(crate) fn check_finite(values: &[f64]) -> Result<(), StatsError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(StatsError::BadValue { index, value: values[index] }),
        None => Ok(()),
    }
}

/// Logarithms of values that must be finite and above zero.
pub(crate) fn logs(values: &[f64]) -> Result<Vec<f64>, StatsError> {
    match values.iter().position(|value| !(value.is_finite() && *value > 0.0)) {
        Some(index) => Err(StatsError::BadValue { index, value: values[index] }),
        None => Ok(values.iter().map(|value| value.ln()).collect()),
    }
}

/// Mean and its standard error, `s/√n` with `s² = Σ(x − x̄)²/(n − 1)`, of at least two values.
pub(crate) fn mean_and_error(values: &[f64]) -> Result<(f64, f64), StatsError> {
    match values {
        [] => Err(StatsError::Empty),
        [_] => Err(StatsError::OneRun),
        _ => {
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            Ok((mean, (squares / (n - 1.0) / n).sqrt()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_width_is_relative_to_the_point() {
        let interval = Interval { point: 2.0, lower: 1.9, upper: 2.1, level: 0.95 };
        assert!((interval.relative_half_width() - 0.05).abs() < 1e-12);
        let unbounded = Interval { upper: f64::INFINITY, ..interval };
        assert_eq!(unbounded.relative_half_width(), f64::INFINITY);
    }

    #[test]
    fn cut_keeps_the_point_inside() {
        let share = Interval { point: 0.98, lower: 0.94, upper: 1.02, level: 0.95 };
        let cut = share.cut(0.0, 1.0);
        assert_eq!((cut.point, cut.lower, cut.upper), (0.98, 0.94, 1.0));
    }

    #[test]
    fn errors_name_the_remedy_in_one_sentence() {
        let text = StatsError::OneRun.to_string();
        assert_eq!(text, "one run gives no interval and no claim; measure at least two runs");
    }
}
