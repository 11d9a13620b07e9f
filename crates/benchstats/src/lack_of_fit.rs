//! Whether a fitted line misses more than the scatter of repeated observations explains.

use crate::dist::f_survival;
use crate::fit::{check_shapes, weighted};
use crate::interval::StatsError;

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

/// Tests the model of [`weighted`] against the scatter of observations that share all their columns.
///
/// Arguments as of [`weighted`]. Weights should depend on the point, not on the single observation: with noise of 5% and
/// weights `1/y²` from each observation the test is a little off its size, with weights from the points' means it is exact.
/// Observations of one run share that run's noise; divide it out first (or hand in ratios), or the test finds too little.
///
/// Errors: as of [`weighted`], and [`StatsError::BadArgument`] if no point is repeated or there are not more points than
/// columns.
pub fn lack_of_fit(rows: &[Vec<f64>], y: &[f64], weights: &[f64]) -> Result<LackOfFit, StatsError> {
    let columns = check_shapes(rows, y, weights)?;
    let fit = weighted(rows, y, weights, 0.95)?;
    let mut order: Vec<usize> = (0..y.len()).collect();
    let compare = |left: &usize, right: &usize| {
        let pairs = rows[*left].iter().zip(&rows[*right]);
        pairs.map(|(a, b)| a.total_cmp(b)).find(|ordering| ordering.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    };
    order.sort_by(compare);

    let (mut points, mut misfit, mut repeats, mut worst) = (0, 0.0, 0.0, 0.0_f64);
    for group in order.chunk_by(|left, right| compare(left, right).is_eq()) {
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
    let (df_misfit, df_repeats) = (points - columns, y.len() - points);
    let f = (misfit / df_misfit as f64) / (repeats / df_repeats as f64);
    Ok(LackOfFit { f, df_misfit, df_repeats, p: f_survival(f, df_misfit as f64, df_repeats as f64), worst })
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
}
