//! Weighted least squares with a few columns.

use crate::dist::student_t_quantile;
use crate::interval::{Interval, StatsError, check_finite, check_level};
use crate::mean::linear_t;

pub use crate::lack_of_fit::{LackOfFit, lack_of_fit, lack_of_fit_over_runs};

/// A column whose part outside the columns before it is smaller than this fraction of itself adds nothing.
const COLLINEAR: f64 = 1e-9;

/// A fitted linear model.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// One a column, in the unit of `y` over the unit of the column. The intervals take the observations as independent.
    pub coefficients: Vec<Interval>,
    /// `√(Σ w·(y − ŷ)² / df)`: with weights `1/y²` a relative scatter (0.03 is 3%), with weights 1 in the unit of `y`.
    pub residual_sd: f64,
    /// `1 − Σ w·(y − ŷ)² / Σ w·(y − ȳ)²` about the weighted mean; NaN if all `y` are equal.
    pub r_squared: f64,
    /// Observations less columns.
    pub df: usize,
    /// `ŷ`, in the order of the observations.
    pub fitted: Vec<f64>,
}

/// Fits `y ≈ Σ coefficient·column` by minimizing `Σ w·(y − ŷ)²`.
///
/// `rows`: one an observation, all of the same length; a constant term is a column of ones. `weights`: one an observation,
/// above zero; for noise in proportion to the value, `1/y²`. `level`: of the coefficients' intervals,
/// `b ± t·√(residual variance · (XᵀWX)⁻¹)`.
///
/// Solved by Householder QR of the scaled columns (Golub and Van Loan, Matrix Computations, section 5.2), which does not
/// square the condition number as normal equations do.
///
/// Errors: [`StatsError::Lengths`], [`StatsError::BadValue`] (the index is the observation), [`StatsError::TooFew`] unless there are
/// more observations than columns, [`StatsError::Collinear`], [`StatsError::BadArgument`] for the level.
pub fn weighted(rows: &[Vec<f64>], y: &[f64], weights: &[f64], level: f64) -> Result<Fit, StatsError> {
    check_level(level)?;
    let columns = check_shapes(rows, y, weights)?;
    let df = y.len() - columns;

    let roots: Vec<f64> = weights.iter().map(|weight| weight.sqrt()).collect();
    let mut matrix: Vec<Vec<f64>> =
        (0..columns).map(|column| rows.iter().zip(&roots).map(|(row, root)| row[column] * root).collect()).collect();
    let scales = scale(&mut matrix)?;
    let mut right: Vec<f64> = y.iter().zip(&roots).map(|(y, root)| y * root).collect();
    let r = triangularize(&mut matrix, &mut right)?;
    let solution = back_substitute(&r, &right);
    let inverse = invert_upper(&r);

    let residual: f64 = right[columns..].iter().map(|value| value * value).sum();
    let residual_sd = (residual / df as f64).sqrt();
    let t = student_t_quantile(0.5 + level / 2.0, df as f64);
    let coefficients: Vec<Interval> = (0..columns)
        .map(|column| {
            // (XᵀX)⁻¹ = R⁻¹·R⁻ᵀ: its diagonal is the squared length of the rows of R⁻¹.
            let length: f64 = inverse.iter().map(|part| part[column] * part[column]).sum();
            let half = t * residual_sd * length.sqrt() / scales[column];
            let point = solution[column] / scales[column];
            Interval { point, lower: point - half, upper: point + half, level }
        })
        .collect();
    let fitted: Vec<f64> = rows
        .iter()
        .map(|row| row.iter().zip(&coefficients).map(|(value, coefficient)| value * coefficient.point).sum())
        .collect();
    Ok(Fit { coefficients, residual_sd, r_squared: 1.0 - residual / total(y, weights), df, fitted })
}

/// The weights `1/y²` for noise in proportion to the value.
///
/// Errors: [`StatsError::BadValue`] for a value that is not finite or not above zero.
pub fn relative_weights(y: &[f64]) -> Result<Vec<f64>, StatsError> {
    crate::interval::logs(y)?;
    Ok(y.iter().map(|y| 1.0 / (y * y)).collect())
}

/// Intervals of coefficients over runs: each run is fitted by itself, and `mean ± t·s/√n` is taken across them, because the
/// run is the unit and the observations within one are not independent.
///
/// `per_run`: one list of coefficients a run, all of the same length. Errors as of [`linear_t`], and [`StatsError::Lengths`].
pub fn across_runs(per_run: &[Vec<f64>], level: f64) -> Result<Vec<Interval>, StatsError> {
    let columns = per_run.first().ok_or(StatsError::Empty)?.len();
    if let Some(other) = per_run.iter().find(|run| run.len() != columns) {
        return Err(StatsError::Lengths { left: columns, right: other.len() });
    }
    (0..columns)
        .map(|column| {
            let values: Vec<f64> = per_run.iter().map(|run| run[column]).collect();
            linear_t(&values, level)
        })
        .collect()
}

/// The number of columns, if all shapes and values allow a fit.
pub(crate) fn check_shapes(rows: &[Vec<f64>], y: &[f64], weights: &[f64]) -> Result<usize, StatsError> {
    for other in [rows.len(), weights.len()] {
        if other != y.len() {
            return Err(StatsError::Lengths { left: y.len(), right: other });
        }
    }
    let columns = rows.first().ok_or(StatsError::Empty)?.len();
    for (index, row) in rows.iter().enumerate() {
        if row.len() != columns {
            return Err(StatsError::Lengths { left: columns, right: row.len() });
        }
        if let Some(value) = row.iter().find(|value| !value.is_finite()) {
            return Err(StatsError::BadValue { index, value: *value });
        }
    }
    check_finite(y)?;
    crate::interval::logs(weights)?;
    if columns == 0 {
        return Err(StatsError::BadArgument("a fit needs at least one column"));
    }
    if y.len() <= columns {
        return Err(StatsError::TooFew { observations: y.len(), columns });
    }
    Ok(columns)
}

/// Divides each column by its length and returns the lengths.
fn scale(matrix: &mut [Vec<f64>]) -> Result<Vec<f64>, StatsError> {
    let mut scales = Vec::with_capacity(matrix.len());
    for (index, column) in matrix.iter_mut().enumerate() {
        let length = norm(column);
        if length == 0.0 {
            return Err(StatsError::Collinear { column: index });
        }
        for value in column.iter_mut() {
            *value /= length;
        }
        scales.push(length);
    }
    Ok(scales)
}

/// Turns the columns into an upper triangle by reflections, applies them to `right`, and returns the triangle by rows.
fn triangularize(matrix: &mut [Vec<f64>], right: &mut [f64]) -> Result<Vec<Vec<f64>>, StatsError> {
    let columns = matrix.len();
    for k in 0..columns {
        let mut mirror: Vec<f64> = matrix[k][k..].to_vec();
        let length = norm(&mirror);
        if length < COLLINEAR {
            return Err(StatsError::Collinear { column: k });
        }
        // The sign avoids a difference of near values.
        mirror[0] += length.copysign(mirror[0]);
        let squared: f64 = mirror.iter().map(|value| value * value).sum();
        let reflect = |target: &mut [f64]| {
            let dot: f64 = target.iter().zip(&mirror).map(|(a, b)| a * b).sum();
            let factor = 2.0 * dot / squared;
            for (value, mirrored) in target.iter_mut().zip(&mirror) {
                *value -= factor * mirrored;
            }
        };
        for column in matrix[k..].iter_mut() {
            reflect(&mut column[k..]);
        }
        reflect(&mut right[k..]);
    }
    Ok((0..columns).map(|row| matrix.iter().map(|column| column[row]).collect()).collect())
}

fn back_substitute(r: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let mut solution = vec![0.0; r.len()];
    for row in (0..r.len()).rev() {
        let known: f64 = (row + 1..r.len()).map(|column| r[row][column] * solution[column]).sum();
        solution[row] = (right[row] - known) / r[row][row];
    }
    solution
}

/// The inverse of an upper triangle, by columns.
fn invert_upper(r: &[Vec<f64>]) -> Vec<Vec<f64>> {
    (0..r.len())
        .map(|column| {
            let mut unit = vec![0.0; r.len()];
            unit[column] = 1.0;
            back_substitute(r, &unit)
        })
        .collect()
}

/// `Σ w·(y − ȳ)²` about the weighted mean.
fn total(y: &[f64], weights: &[f64]) -> f64 {
    let weight: f64 = weights.iter().sum();
    let mean = y.iter().zip(weights).map(|(y, w)| y * w).sum::<f64>() / weight;
    y.iter().zip(weights).map(|(y, w)| w * (y - mean).powi(2)).sum()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// NIST StRD, Norris (certified): b0 −0.262323073774029, b1 1.00211681802045, residual sd 0.884796396144373,
    /// R² 0.999993745883712, standard errors 0.232818234301152 and 0.429796848199937E-03.
    #[test]
    fn nist_norris() {
        let y = [
            0.1, 338.8, 118.1, 888.0, 9.2, 228.1, 668.5, 998.5, 449.1, 778.9, 559.2, 0.3, 0.1, 778.1, 668.8, 339.3,
            448.9, 10.8, 557.7, 228.3, 998.0, 888.8, 119.6, 0.3, 0.6, 557.6, 339.3, 888.0, 998.5, 778.9, 10.2, 117.6,
            228.9, 668.4, 449.2, 0.2,
        ];
        let x = [
            0.2, 337.4, 118.2, 884.6, 10.1, 226.5, 666.3, 996.3, 448.6, 777.0, 558.2, 0.4, 0.6, 775.5, 666.9, 338.0,
            447.5, 11.6, 556.0, 228.1, 995.8, 887.6, 120.2, 0.3, 0.3, 556.8, 339.1, 887.2, 999.0, 779.0, 11.1, 118.3,
            229.2, 669.1, 448.9, 0.5,
        ];
        let rows: Vec<Vec<f64>> = x.iter().map(|x| vec![1.0, *x]).collect();
        let fit = weighted(&rows, &y, &[1.0; 36], 0.95).unwrap();
        let close = |got: f64, want: f64| assert!(((got - want) / want).abs() < 1e-9, "{got} {want}");
        close(fit.coefficients[0].point, -0.262323073774029);
        close(fit.coefficients[1].point, 1.00211681802045);
        close(fit.residual_sd, 0.884796396144373);
        close(fit.r_squared, 0.999993745883712);
        assert_eq!(fit.df, 34);
        let t = student_t_quantile(0.975, 34.0);
        for (coefficient, error) in fit.coefficients.iter().zip([0.232818234301152, 0.429796848199937e-3]) {
            close((coefficient.upper - coefficient.point) / t, error);
        }
    }

    /// The model of the history-tax experiment, time in ns = a + b·messages + c·tokens + d·messages², whose columns reach from 1
    /// to 100,000.
    #[test]
    fn exact_data_give_exact_coefficients() {
        let truth = [50_000.0, 2_000.0, 250.0, 3.5];
        let mut rows = Vec::new();
        for messages in [1.0, 19.0, 49.0, 99.0, 149.0, 199.0_f64] {
            for tokens in [10_000.0, 50_000.0, 100_000.0] {
                rows.push(vec![1.0, messages, tokens, messages * messages]);
            }
        }
        let y: Vec<f64> = rows.iter().map(|row| row.iter().zip(truth).map(|(x, b)| x * b).sum()).collect();
        let fit = weighted(&rows, &y, &relative_weights(&y).unwrap(), 0.95).unwrap();
        for (coefficient, want) in fit.coefficients.iter().zip(truth) {
            assert!(((coefficient.point - want) / want).abs() < 1e-9);
        }
        assert!(fit.residual_sd < 1e-12);
        assert!(fit.r_squared > 1.0 - 1e-12);
    }

    #[test]
    fn weights_count_like_repeats() {
        let rows: Vec<Vec<f64>> = [0.0, 1.0, 2.0].iter().map(|x| vec![1.0, *x]).collect();
        let double = weighted(&rows, &[1.0, 2.5, 2.0], &[1.0, 2.0, 1.0], 0.95).unwrap();
        let mut repeated = rows.clone();
        repeated.push(rows[1].clone());
        let repeats = weighted(&repeated, &[1.0, 2.5, 2.0, 2.5], &[1.0; 4], 0.95).unwrap();
        for (left, right) in double.coefficients.iter().zip(&repeats.coefficients) {
            assert!((left.point - right.point).abs() < 1e-12);
        }
        assert!((double.r_squared - repeats.r_squared).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_fitted_is_named() {
        let rows = |columns: [[f64; 3]; 4]| columns.map(|row| row.to_vec()).to_vec();
        let collinear = rows([[1.0, 1.0, 2.0], [1.0, 2.0, 3.0], [1.0, 3.0, 4.0], [1.0, 4.0, 5.0]]);
        let y = [1.0, 2.0, 3.0, 5.0];
        assert_eq!(weighted(&collinear, &y, &[1.0; 4], 0.95), Err(StatsError::Collinear { column: 2 }));
        assert_eq!(
            weighted(&collinear[..3], &y[..3], &[1.0; 3], 0.95),
            Err(StatsError::TooFew { observations: 3, columns: 3 })
        );
        assert!(matches!(
            weighted(&collinear, &y, &[1.0, 0.0, 1.0, 1.0], 0.95),
            Err(StatsError::BadValue { index: 1, .. })
        ));
        assert!(matches!(weighted(&collinear, &y[..3], &[1.0; 4], 0.95), Err(StatsError::Lengths { .. })));
    }

    #[test]
    fn runs_are_the_unit() {
        let per_run = vec![vec![1.0, 10.0], vec![3.0, 10.0]];
        let intervals = across_runs(&per_run, 0.95).unwrap();
        assert!((intervals[0].point - 2.0).abs() < 1e-12);
        assert!((intervals[0].upper - (2.0 + 12.706204736174705)).abs() < 1e-9);
        assert_eq!(intervals[1].upper, 10.0);
        assert_eq!(across_runs(&per_run[..1], 0.95), Err(StatsError::OneRun));
        assert!(across_runs(&[vec![1.0], vec![1.0, 2.0]], 0.95).is_err());
    }

    proptest! {
        /// The residuals of a least squares fit are orthogonal to every column.
        #[test]
        fn normal_equations_hold(values in prop::collection::vec((-10.0_f64..10.0, -5.0_f64..5.0, 0.1_f64..4.0), 6..30)) {
            let rows: Vec<Vec<f64>> = values.iter().enumerate().map(|(i, v)| vec![1.0, v.0, (i * i) as f64]).collect();
            let y: Vec<f64> = values.iter().map(|v| v.1).collect();
            let weights: Vec<f64> = values.iter().map(|v| v.2).collect();
            if let Ok(fit) = weighted(&rows, &y, &weights, 0.95) {
                let residuals: Vec<f64> = (0..y.len()).map(|i| weights[i] * (y[i] - fit.fitted[i])).collect();
                for column in 0..3 {
                    let dot: f64 = rows.iter().zip(&residuals).map(|(row, r)| r * row[column]).sum();
                    let terms = rows.iter().zip(weights.iter().zip(&y));
                    let size: f64 = terms.map(|(row, (w, y))| (w * y * row[column]).abs()).sum();
                    prop_assert!(dot.abs() <= 1e-9 * (1.0 + size));
                }
            }
        }
    }
}
