//! Whether a fitted line misses more than the scatter of repeated observations explains.

use std::cmp::Ordering;

use crate::dist::f_survival;
use crate::fit::{check_shapes, relative_weights, weighted};
use crate::interval::{StatsError, logs};

/// The F test of lack of fit (Draper and Smith, Applied Regression Analysis, section 2.1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LackOfFit {
    /// Mean square of the misfit over mean square of the repeats; infinite if the repeats agree exactly and the line misses.
    pub f: f64,
    /// Distinct points less columns.
    pub df_misfit: usize,
    /// Observations less distinct points.
    pub df_repeats: usize,
    /// `P(F > f)` if the model were right; small means that the line misses.
    pub p: f64,
    /// The largest `|mean of a point's repeats − ŷ| / |ŷ|`: how far the line misses where it misses most. With very precise
    /// data `p` finds misses that matter to nobody; this says whether they do.
    pub worst: f64,
}

/// Tests the model of [`weighted`] against the scatter of independent observations that share all their columns.
///
/// Arguments as of [`weighted`]. For cells that were measured in runs use [`lack_of_fit_over_runs`]: what the observations of a
/// run share would count as scatter here, and the test would hardly ever find anything.
///
/// Errors: as of [`weighted`], and [`StatsError::BadArgument`] if no point is repeated or there are not more points than
/// columns.
pub fn lack_of_fit(rows: &[Vec<f64>], y: &[f64], weights: &[f64]) -> Result<LackOfFit, StatsError> {
    let columns = check_shapes(rows, y, weights)?;
    let fit = weighted(rows, y, weights, 0.95)?;
    let mut order: Vec<usize> = (0..y.len()).collect();
    order.sort_by(|left, right| compare(&rows[*left], &rows[*right]));

    let (mut points, mut misfit, mut repeats, mut worst) = (0, 0.0, 0.0, 0.0_f64);
    for group in order.chunk_by(|left, right| compare(&rows[*left], &rows[*right]).is_eq()) {
        points += 1;
        let weight: f64 = group.iter().map(|index| weights[*index]).sum();
        let mean = group.iter().map(|index| weights[*index] * y[*index]).sum::<f64>() / weight;
        let miss = mean - fit.fitted[group[0]];
        misfit += weight * miss * miss;
        worst = worst.max((miss / fit.fitted[group[0]]).abs());
        repeats += group.iter().map(|index| weights[*index] * (y[*index] - mean).powi(2)).sum::<f64>();
    }
    if points == y.len() {
        return Err(StatsError::BadArgument("a lack-of-fit test needs points that were measured more than once"));
    }
    if points <= columns {
        return Err(StatsError::BadArgument("a lack-of-fit test needs more distinct points than columns"));
    }
    Ok(test(misfit, points - columns, repeats, y.len() - points, worst))
}

/// The same test where every run visits every point once, with noise in proportion to the value (weights `1/y²`).
///
/// `rows`: the distinct points. `per_run`: one list a run with a value above zero for each point. Each run is divided by its
/// own level (its geometric mean over the points, relative to all runs), so that a slow run is no scatter; the model is fitted
/// to the points' means over runs with weights `1/mean²`; the scatter is what is left between runs and points, with
/// `(runs − 1)·(points − 1)` degrees of freedom.
///
/// Errors: as of [`weighted`] for the means, [`StatsError::OneRun`] with one run, [`StatsError::Lengths`] for a run that lacks a point.
pub fn lack_of_fit_over_runs(rows: &[Vec<f64>], per_run: &[Vec<f64>]) -> Result<LackOfFit, StatsError> {
    if per_run.len() < 2 {
        return Err(if per_run.is_empty() { StatsError::Empty } else { StatsError::OneRun });
    }
    let points = rows.len();
    let mut levels = Vec::with_capacity(per_run.len());
    for run in per_run {
        if run.len() != points {
            return Err(StatsError::Lengths { left: points, right: run.len() });
        }
        levels.push(logs(run)?.iter().sum::<f64>() / points as f64);
    }
    let runs = per_run.len() as f64;
    let overall = levels.iter().sum::<f64>() / runs;
    let levelled: Vec<Vec<f64>> = per_run
        .iter()
        .zip(&levels)
        .map(|(run, level)| run.iter().map(|value| value * (overall - level).exp()).collect())
        .collect();
    let means: Vec<f64> = (0..points).map(|point| levelled.iter().map(|run| run[point]).sum::<f64>() / runs).collect();
    let fit = weighted(rows, &means, &relative_weights(&means)?, 0.95)?;

    let (mut misfit, mut repeats, mut worst) = (0.0, 0.0, 0.0_f64);
    for (point, mean) in means.iter().enumerate() {
        misfit += runs * (1.0 - fit.fitted[point] / mean).powi(2);
        repeats += levelled.iter().map(|run| (run[point] / mean - 1.0).powi(2)).sum::<f64>();
        worst = worst.max((mean / fit.fitted[point] - 1.0).abs());
    }
    Ok(test(misfit, fit.df, repeats, (per_run.len() - 1) * (points - 1), worst))
}

fn compare(left: &[f64], right: &[f64]) -> Ordering {
    let mut pairs = left.iter().zip(right).map(|(a, b)| a.total_cmp(b));
    pairs.find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
}

fn test(misfit: f64, df_misfit: usize, repeats: f64, df_repeats: usize, worst: f64) -> LackOfFit {
    let f = (misfit / df_misfit as f64) / (repeats / df_repeats as f64);
    LackOfFit { f, df_misfit, df_repeats, p: f_survival(f, df_misfit as f64, df_repeats as f64), worst }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(x: &[f64]) -> Vec<Vec<f64>> {
        x.iter().map(|x| vec![1.0, *x]).collect()
    }

    /// By hand: x = 0, 0, 1, 1, 2, 2 and y = 0, 2, 3, 5, 0, 2. The means 1, 4, 1 have the fitted line y = 2; misfit
    /// 2·(1 + 4 + 1) = 12 on 1, repeats 3·2 = 6 on 3: F = 12/2 = 6, P(F(1,3) > 6) = 2·P(T₃ > √6) = 0.09172.
    #[test]
    fn by_hand() {
        let rows = line(&[0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
        let test = lack_of_fit(&rows, &[0.0, 3.0, 0.0, 2.0, 5.0, 2.0], &[1.0; 6]).unwrap();
        assert!((test.f - 6.0).abs() < 1e-9, "{test:?}");
        assert_eq!((test.df_misfit, test.df_repeats), (1, 3));
        let by_t = 2.0 * crate::dist::student_t_cdf(-6.0_f64.sqrt(), 3.0);
        assert!((test.p - by_t).abs() < 1e-12);
        assert!((test.worst - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_bend_is_found_and_its_size_is_told() {
        let x: Vec<f64> = (0..20).map(|i| f64::from(i % 5)).collect();
        let y: Vec<f64> =
            x.iter().enumerate().map(|(i, x)| 100.0 + 5.0 * x * x + if i % 2 == 0 { 0.1 } else { -0.1 }).collect();
        let test = lack_of_fit(&line(&x), &y, &[1.0; 20]).unwrap();
        assert!(test.p < 1e-6, "{test:?}");
        assert!(test.worst > 0.05 && test.worst < 0.2, "{test:?}");
    }

    #[test]
    fn needs_repeats_and_points() {
        let y = [1.0, 2.0, 2.0, 3.0];
        assert!(matches!(lack_of_fit(&line(&[1.0, 2.0, 3.0, 4.0]), &y, &[1.0; 4]), Err(StatsError::BadArgument(_))));
        assert!(matches!(lack_of_fit(&line(&[1.0, 2.0, 1.0, 2.0]), &y, &[1.0; 4]), Err(StatsError::BadArgument(_))));
    }

    /// Two runs at levels 1 and 3 that agree but for ±10% at one point of a line.
    #[test]
    fn the_level_of_a_run_is_no_scatter() {
        let rows = line(&[1.0, 2.0, 3.0, 4.0]);
        let run = vec![11.0, 12.0, 13.0, 14.0];
        let tripled: Vec<f64> = run.iter().map(|value| 3.0 * value).collect();
        let straight = lack_of_fit_over_runs(&rows, &[run.clone(), tripled]).unwrap();
        assert!(straight.worst < 1e-12, "{straight:?}");
        assert_eq!((straight.df_misfit, straight.df_repeats), (2, 3));

        let bent = vec![11.0, 14.0, 14.0, 11.0];
        let noisy: Vec<f64> = bent.iter().zip([3.01, 2.99, 3.0, 3.0]).map(|(value, factor)| value * factor).collect();
        let test = lack_of_fit_over_runs(&rows, &[bent, noisy]).unwrap();
        assert!(test.p < 0.001 && test.worst > 0.1, "{test:?}");

        assert_eq!(lack_of_fit_over_runs(&rows, std::slice::from_ref(&run)), Err(StatsError::OneRun));
        assert!(lack_of_fit_over_runs(&rows, &[run, vec![1.0]]).is_err());
    }
}
