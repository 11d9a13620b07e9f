//! `time = a + b·messages + c·tokens`, fitted in each run.

use std::collections::{BTreeMap, BTreeSet};

use benchstats::fit;
use record::results::Estimate;

use super::rows::{self, LEVEL};
use record::format;

/// At this level the lack-of-fit test rejects the straight line.
const REJECT: f64 = 0.05;
/// A miss smaller than this fraction of the time matters to nobody, however clearly it is seen.
const MATTERS: f64 = 0.05;

/// The coefficients across runs, and whether the line is true.
pub struct Fit {
    /// a, ns.
    pub per_request: Estimate,
    /// b, ns a message.
    pub per_message: Estimate,
    /// c, ns a token.
    pub per_token: Estimate,
    /// Coefficient of messages² when that term is added, ns.
    pub per_message_squared: Option<Estimate>,
    lack_of_fit: Option<fit::LackOfFit>,
}

/// Fits times observed at (tokens, messages), each by run in ns. None with fewer than four points or no common run.
pub fn fit(observations: &[(u64, u64, &BTreeMap<u32, f64>)], samples: u32) -> Option<Fit> {
    let runs: Vec<u32> = common_runs(observations);
    let line: Vec<Vec<f64>> =
        observations.iter().map(|(tokens, messages, _)| vec![1.0, *messages as f64, *tokens as f64]).collect();
    let curve: Vec<Vec<f64>> = line.iter().map(|row| vec![row[0], row[1], row[2], row[1] * row[1]]).collect();
    let means: Vec<f64> = observations
        .iter()
        .map(|(_, _, times)| runs.iter().filter_map(|run| times.get(run)).sum::<f64>() / runs.len().max(1) as f64)
        .collect();
    // Noise grows with the time: relative errors count, and the weights belong to the point, not to one observation of it.
    let weights = fit::relative_weights(&means).ok()?;
    let straight = across(observations, &runs, &line, &weights)?;
    let bent = across(observations, &runs, &curve, &weights);
    let estimate = |interval: &benchstats::Interval| rows::estimate(interval, "wls-t", runs.len(), samples);
    Some(Fit {
        per_request: estimate(&straight[0]),
        per_message: estimate(&straight[1]),
        per_token: estimate(&straight[2]),
        per_message_squared: bent.as_ref().map(|bent| estimate(&bent[3])),
        lack_of_fit: fit::lack_of_fit_over_runs(&line, &by_run(observations, &runs)).ok(),
    })
}

fn common_runs(observations: &[(u64, u64, &BTreeMap<u32, f64>)]) -> Vec<u32> {
    let mut sets = observations.iter().map(|(_, _, times)| times.keys().copied().collect::<BTreeSet<u32>>());
    let first = sets.next().unwrap_or_default();
    sets.fold(first, |common, runs| common.intersection(&runs).copied().collect()).into_iter().collect()
}

/// The times of each run, in the order of the observations.
fn by_run(observations: &[(u64, u64, &BTreeMap<u32, f64>)], runs: &[u32]) -> Vec<Vec<f64>> {
    runs.iter().map(|run| observations.iter().filter_map(|(_, _, times)| times.get(run).copied()).collect()).collect()
}

/// The coefficients of each run, and their t intervals across runs.
fn across(
    observations: &[(u64, u64, &BTreeMap<u32, f64>)],
    runs: &[u32],
    columns: &[Vec<f64>],
    weights: &[f64],
) -> Option<Vec<benchstats::Interval>> {
    let mut per_run = Vec::new();
    for y in by_run(observations, runs) {
        let fitted = fit::weighted(columns, &y, weights, LEVEL).ok()?;
        per_run.push(fitted.coefficients.iter().map(|coefficient| coefficient.point).collect());
    }
    fit::across_runs(&per_run, LEVEL).ok()
}

impl Fit {
    /// Whether the line holds, in a word: `yes`, `no (misses by 12%)`, `within 3%` for a miss that is seen but small.
    pub fn lack_of_fit_word(&self) -> String {
        match &self.lack_of_fit {
            None => "untested".to_owned(),
            Some(test) if test.p >= REJECT => "yes".to_owned(),
            Some(test) if test.worst < MATTERS => format!("within {}", format::percent(test.worst)),
            Some(test) => format!("no, off by {}", format::percent(test.worst)),
        }
    }

    /// The same as the end of a sentence.
    pub fn straightness(&self) -> String {
        match &self.lack_of_fit {
            None => "whether the straight line holds could not be tested".to_owned(),
            Some(test) if test.p >= REJECT => format!("the straight line is not rejected (p = {:.2})", test.p),
            Some(test) if test.worst < MATTERS => {
                format!("the straight line misses by at most {}", format::percent(test.worst))
            }
            Some(test) => {
                let bend = self.per_message_squared.as_ref().map_or("", |term| match (term.lower, term.upper) {
                    (Some(lower), _) if lower > 0.0 => " (messages grow dearer as there are more of them)",
                    (_, Some(upper)) if upper < 0.0 => " (messages grow cheaper as there are more of them)",
                    _ => "",
                });
                format!("the straight line does not hold, it misses by up to {}{bend}", format::percent(test.worst))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times from a known law, with the given relative deviations by run.
    fn observed(law: impl Fn(f64, f64) -> f64, noise: &[f64]) -> Vec<(u64, u64, BTreeMap<u32, f64>)> {
        let mut all = Vec::new();
        for tokens in [10_000_u64, 50_000] {
            for messages in [1_u64, 19, 99, 199] {
                let times = noise
                    .iter()
                    .enumerate()
                    .map(|(run, noise)| {
                        // A deviation of the point's own, so that the repeats scatter.
                        let own = 1.0
                            + 0.003 * f64::from(((tokens / 1000 + messages) as u32 * 7 + run as u32 * 5) % 11)
                            - 0.015;
                        (run as u32, law(messages as f64, tokens as f64) * noise * own)
                    })
                    .collect();
                all.push((tokens, messages, times));
            }
        }
        all
    }

    fn fitted(all: &[(u64, u64, BTreeMap<u32, f64>)]) -> Fit {
        let observations: Vec<_> = all.iter().map(|(tokens, messages, times)| (*tokens, *messages, times)).collect();
        fit(&observations, 1).unwrap()
    }

    #[test]
    fn a_straight_law_is_recovered_and_not_rejected() {
        let all = observed(|m, t| 50_000.0 + 2_000.0 * m + 300.0 * t, &[1.0, 1.02, 0.98, 1.01, 0.99]);
        let fit = fitted(&all);
        assert!((fit.per_message.point / 2_000.0 - 1.0).abs() < 0.3, "{:?}", fit.per_message);
        assert!((fit.per_token.point / 300.0 - 1.0).abs() < 0.03, "{:?}", fit.per_token);
        assert!(fit.lack_of_fit.as_ref().unwrap().worst < 0.03);
    }

    #[test]
    fn a_quadratic_law_is_told_from_a_line() {
        let all = observed(|m, t| 50_000.0 + 100.0 * m * m + 30.0 * t, &[1.0, 1.02, 0.98, 1.01, 0.99]);
        let fit = fitted(&all);
        assert!(fit.lack_of_fit_word().starts_with("no, off by"), "{}", fit.lack_of_fit_word());
        assert!(fit.straightness().contains("grow dearer"));
        let squared = fit.per_message_squared.unwrap();
        assert!(squared.lower.unwrap() > 0.0 && (squared.point / 100.0 - 1.0).abs() < 0.2, "{squared:?}");
    }
}
