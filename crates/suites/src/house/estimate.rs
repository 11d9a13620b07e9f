//! Figures across runs with their intervals, and what is made of them.

use std::collections::BTreeMap;

use benchstats::{Interval, mean};
use record::results::Estimate;

/// Confidence level of every interval that is shown.
pub const LEVEL: f64 = 0.95;

/// Values by run, without the runs' numbers.
pub fn values(by_run: &BTreeMap<u32, f64>) -> Vec<f64> {
    by_run.values().copied().collect()
}

/// Mean on the log scale with a t interval across runs; a point alone for one run.
pub fn log_estimate(values: &[f64], samples: u32) -> Option<Estimate> {
    let usable = !values.is_empty() && values.iter().all(|value| *value > 0.0);
    usable.then(|| match mean::log_t(values, LEVEL) {
        Ok(interval) => estimate(&interval, "log-t", values.len(), samples),
        Err(_) => point_only(values[0], values.len(), samples),
    })
}

/// Mean with a t interval across runs, for shares and fractions.
pub fn linear_estimate(values: &[f64], samples: u32) -> Option<Estimate> {
    (!values.is_empty()).then(|| match mean::linear_t(values, LEVEL) {
        Ok(interval) => estimate(&interval, "t", values.len(), samples),
        Err(_) => point_only(values[0], values.len(), samples),
    })
}

/// Ratio of two derived series (sums of stages, rates), paired by run.
pub fn ratio_estimate(
    numerator: &BTreeMap<u32, f64>,
    denominator: &BTreeMap<u32, f64>,
    samples: u32,
) -> Option<Estimate> {
    let ratios: Vec<f64> = numerator
        .iter()
        .filter_map(|(run, above)| denominator.get(run).filter(|below| **below > 0.0).map(|below| above / below))
        .collect();
    log_estimate(&ratios, samples).map(|estimate| Estimate { method: "paired-log-t".to_owned(), ..estimate })
}

/// An interval as a record keeps it; bounds that are not finite are absent.
pub fn estimate(interval: &Interval, method: &str, runs: usize, samples: u32) -> Estimate {
    Estimate {
        point: interval.point,
        lower: Some(interval.lower).filter(|bound| bound.is_finite()),
        upper: Some(interval.upper).filter(|bound| bound.is_finite()),
        level: interval.level,
        method: method.to_owned(),
        runs: u32::try_from(runs).unwrap_or(u32::MAX),
        samples,
    }
}

/// Each value multiplied by a positive factor (another unit).
pub fn scaled(estimate: &Estimate, factor: f64) -> Estimate {
    Estimate {
        point: estimate.point * factor,
        lower: estimate.lower.map(|bound| bound * factor),
        upper: estimate.upper.map(|bound| bound * factor),
        ..estimate.clone()
    }
}

/// `factor / estimate`: a time as a rate, a time ratio as a speed-up.
pub fn inverse_of(factor: f64, estimate: &Estimate) -> Estimate {
    Estimate {
        point: factor / estimate.point,
        lower: estimate.upper.map(|bound| factor / bound),
        upper: estimate.lower.map(|bound| factor / bound),
        ..estimate.clone()
    }
}

/// The bounds of an estimate that has both.
pub fn interval(estimate: &Estimate) -> Option<Interval> {
    let (lower, upper) = (estimate.lower?, estimate.upper?);
    Some(Interval { point: estimate.point, lower, upper, level: estimate.level })
}

/// `1 / estimate`.
pub fn inverse(estimate: &Estimate) -> Estimate {
    inverse_of(1.0, estimate)
}

/// A figure of one run, or of none: without an interval.
pub fn point_only(point: f64, runs: usize, samples: u32) -> Estimate {
    Estimate {
        point,
        lower: None,
        upper: None,
        level: LEVEL,
        method: "one-run".to_owned(),
        runs: u32::try_from(runs).unwrap_or(u32::MAX),
        samples,
    }
}
