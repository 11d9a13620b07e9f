//! Verdicts on the comparisons of an experiment.

use std::collections::BTreeMap;

use benchstats::verdict::{self, Claim, Verdict};
use benchstats::{Contrast, Interval};
use record::measurements::Measurements;
use record::plan::Cell;
use record::results::Estimate;

use super::comparison::{Comparison, Quantity};
use super::estimate::{self, LEVEL};
use super::floor::Floor;
use super::status;

/// A comparison with its verdict.
#[derive(Debug, Clone)]
pub struct Judged {
    pub row: String,
    pub baseline: String,
    pub quantity: Quantity,
    /// The other pair of cells that it is set against.
    pub over: Option<(String, String)>,
    /// Row over baseline, or row less baseline in the unit; 95%, not adjusted.
    pub estimate: Estimate,
    pub contrast: Contrast,
    /// At the Holm-adjusted level of its family.
    pub adjusted: Interval,
    pub verdict: Verdict,
    pub floor: Floor,
}

impl Judged {
    /// How many times faster the row is than its baseline.
    pub fn speedup(&self) -> Estimate {
        estimate::inverse(&self.estimate)
    }
}

/// Judges comparisons: Holm (1979) within each family, each against the noise floor of its own quantity. Comparisons of cells that were not
/// measured, or whose output was wrong or could not be checked, are left out: they are never ranked. One without a floor claims nothing,
/// and takes nothing from the others of its family.
///
/// `cells`: those among which the twins of a comparison are looked for, by the comparison's row.
pub fn judge<'a>(
    comparisons: &[Comparison],
    measurements: &Measurements,
    cells: impl Fn(&Comparison) -> &'a [&'a Cell],
) -> Vec<Judged> {
    let mut judged: Vec<(&str, Judged)> = comparisons
        .iter()
        .filter_map(|comparison| {
            let cells = cells(comparison);
            let usable = |id: &str| {
                cells.iter().find(|cell| cell.id == id).is_some_and(|cell| status::is_usable(measurements, cell))
            };
            if !comparison.cells().all(usable) {
                return None;
            }
            let contrast = comparison.contrast(measurements).ok()?;
            let floor = Floor::of(comparison, measurements, cells);
            Some((comparison.family.as_str(), undecided(comparison, measurements, contrast, floor)))
        })
        .collect();
    let mut families: BTreeMap<&str, Vec<(usize, Claim)>> = BTreeMap::new();
    for (index, (family, judged)) in judged.iter().enumerate() {
        if let Some(floor) = judged.floor.known() {
            families.entry(family).or_default().push((index, floor.claim(judged.contrast)));
        }
    }
    for (_, members) in families {
        let claims: Vec<Claim> = members.iter().map(|(_, claim)| *claim).collect();
        for ((index, _), judgement) in members.iter().zip(verdict::judge(&claims, 1.0 - LEVEL)) {
            let judged = &mut judged[*index].1;
            judged.adjusted = judgement.adjusted;
            judged.verdict = match judgement.verdict {
                Verdict::Slower if judged.quantity.more_is_better => Verdict::Faster,
                Verdict::Faster if judged.quantity.more_is_better => Verdict::Slower,
                verdict => verdict,
            };
        }
    }
    judged.into_iter().map(|(_, judged)| judged).collect()
}

fn undecided(comparison: &Comparison, measurements: &Measurements, contrast: Contrast, floor: Floor) -> Judged {
    let method = match contrast.scale {
        benchstats::Scale::Ratio => "paired-log-t",
        benchstats::Scale::Difference => "paired-t",
    };
    let samples = measurements.cell(&comparison.row).map_or(0, |cell| cell.samples());
    let interval = contrast.at(LEVEL);
    let runs = contrast.df as usize + 1;
    Judged {
        row: comparison.row.clone(),
        baseline: comparison.baseline.clone(),
        quantity: comparison.quantity,
        over: comparison.over.clone(),
        estimate: estimate::estimate(&interval, method, runs, u32::try_from(samples).unwrap_or(u32::MAX)),
        contrast,
        adjusted: interval,
        verdict: Verdict::Inconclusive,
        floor,
    }
}
