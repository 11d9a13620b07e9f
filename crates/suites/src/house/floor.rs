//! The noise floor of a comparison: what its quantity shows where there is nothing to show, between a cell and its A/A twin.

use benchstats::verdict::{self, Claim, LEAST_FLOOR, MOST_FLOOR};
use benchstats::{Contrast, Scale};
use record::measurements::Measurements;
use record::plan::Cell;

use super::comparison::{Comparison, Quantity};
use super::status;
use record::format;

/// What noise alone may show.
#[derive(Debug, Clone, PartialEq)]
pub enum Floor {
    Known(KnownFloor),
    /// Nothing can be told from noise; the reason, as the end of a sentence.
    Unknown(String),
}

/// A floor that twins have shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KnownFloor {
    /// Of a ratio a fraction (0.02 is 2%), of a difference in its unit.
    pub value: f64,
    /// Of a difference what it is small or large against, in its unit; 1 of a ratio.
    pub size: f64,
    pub scale: Scale,
}

impl KnownFloor {
    /// The claim of a contrast against this floor.
    pub fn claim(&self, contrast: Contrast) -> Claim {
        match self.scale {
            Scale::Ratio => Claim::ratio(contrast, self.value),
            Scale::Difference => {
                Claim { contrast, margin: self.value, may_be_equal: self.value <= MOST_FLOOR * self.size }
            }
        }
    }

    /// As a share of what is compared.
    pub fn share(&self) -> f64 {
        self.value / self.size
    }

    /// `2.3%`, or `1.20 ms`.
    pub fn words(&self) -> String {
        match self.scale {
            Scale::Ratio => format::percent(self.value),
            Scale::Difference => format::duration(self.value),
        }
    }
}

impl Floor {
    /// The floor, where it is known.
    pub fn known(&self) -> Option<&KnownFloor> {
        match self {
            Self::Known(known) => Some(known),
            Self::Unknown(_) => None,
        }
    }

    /// Of a comparison, among the cells of its point. The twins that speak of it are those of its own cells; for a cell that has none, those that agree with it
    /// in the most axes. The largest of what they show counts, and never less than 2% (of the baseline, for a difference).
    pub fn of(comparison: &Comparison, measurements: &Measurements, cells: &[&Cell]) -> Self {
        let of_pair = |row: &str, baseline: &str| -> Result<Vec<(String, String)>, String> {
            let mut twins = Vec::new();
            for id in [row, baseline] {
                let Some(cell) = cells.iter().find(|cell| cell.id == id) else { continue };
                twins.extend(twins_of(cell, measurements, cells)?);
            }
            Ok(twins)
        };
        let here = match of_pair(&comparison.row, &comparison.baseline) {
            Ok(twins) => twins,
            Err(reason) => return Self::Unknown(reason),
        };
        let there = match comparison.over.as_ref().map(|(row, baseline)| of_pair(row, baseline)).transpose() {
            Ok(twins) => twins,
            Err(reason) => return Self::Unknown(reason),
        };
        let alike = |twin: &(String, String)| Comparison::new(&twin.0, &twin.1, comparison.quantity);
        let nothing: Vec<Comparison> = match there {
            None => here.iter().map(alike).collect(),
            Some(there) => {
                here.iter().flat_map(|one| there.iter().map(move |other| alike(one).over(&other.0, &other.1))).collect()
            }
        };
        let mut noise = 0.0_f64;
        for nothing in &nothing {
            match nothing.contrast(measurements) {
                Ok(contrast) => noise = noise.max(verdict::noise(&contrast)),
                Err(_) => return Self::Unknown(format!("the A/A twin {} has fewer than two runs", nothing.row)),
            }
        }
        let size = comparison.size(measurements);
        let value = match comparison.quantity.scale {
            Scale::Ratio => LEAST_FLOOR.max(noise.exp_m1()),
            Scale::Difference => (LEAST_FLOOR * size).max(noise),
        };
        Self::Known(KnownFloor { value, size, scale: comparison.quantity.scale })
    }

    /// Of a cell's own quantity, as in a comparison of the cell with another one like it.
    pub fn of_cell(cell: &Cell, quantity: Quantity, measurements: &Measurements, cells: &[&Cell]) -> Self {
        Self::of(&Comparison::new(&cell.id, &cell.id, quantity), measurements, cells)
    }

    /// What the marks behind a judged figure mean, for the notes of a table: of all floors that stand in it.
    pub fn marks<'a>(floors: impl Iterator<Item = &'a Self>) -> String {
        let (mut known, mut unknown): (Vec<&KnownFloor>, Vec<&str>) = (Vec::new(), Vec::new());
        for floor in floors {
            match floor {
                Self::Known(floor) => known.push(floor),
                Self::Unknown(reason) => unknown.push(reason),
            }
        }
        known.sort_by(|a, b| a.value.total_cmp(&b.value));
        let floor = match (known.first(), known.last()) {
            (Some(least), Some(most)) if least.words() == most.words() => least.words(),
            (Some(least), Some(most)) => format!("{} to {}", least.words(), most.words()),
            _ => String::new(),
        };
        match (floor.is_empty(), unknown.first()) {
            (false, None) => format!("= is inside the noise floor of {floor}, ? inconclusive."),
            (true, None) => "? inconclusive.".to_owned(),
            (true, Some(reason)) => {
                format!(
                    "There is no noise floor, because {reason}: nothing is called a difference, and ? is all that can be said."
                )
            }
            (false, Some(reason)) => format!(
                "= is inside the noise floor of {floor}, ? inconclusive; where there is no floor, because {reason}, nothing is called a difference."
            ),
        }
    }
}

/// The twins that speak of a cell, each with the cell that it is the twin of.
fn twins_of(cell: &Cell, measurements: &Measurements, cells: &[&Cell]) -> Result<Vec<(String, String)>, String> {
    let twins = || cells.iter().filter_map(|twin| Some((*twin, twin.twin_of.as_deref()?)));
    let usable = |twin: &Cell, of: &str| {
        let of = cells.iter().find(|cell| cell.id == of);
        of.is_some_and(|of| status::is_usable(measurements, of)) && status::is_usable(measurements, twin)
    };
    if let Some((twin, of)) = twins().find(|(_, of)| *of == cell.id) {
        return match usable(twin, of) {
            true => Ok(vec![(twin.id.clone(), of.to_owned())]),
            false => Err(format!("the A/A twin {} was not measured", twin.id)),
        };
    }
    let agreement = |twin: &Cell| twin.axes.iter().filter(|(name, value)| cell.axes.get(*name) == Some(value)).count();
    let Some(most) = twins().map(|(twin, _)| agreement(twin)).max() else {
        return Err("no A/A twin was planned".to_owned());
    };
    let near: Vec<(&Cell, &str)> = twins().filter(|(twin, _)| agreement(twin) == most).collect();
    let found: Vec<(String, String)> = near
        .iter()
        .filter(|(twin, of)| usable(twin, of))
        .map(|(twin, of)| (twin.id.clone(), (*of).to_owned()))
        .collect();
    match (found.is_empty(), near.first()) {
        (true, Some((twin, _))) => Err(format!("the A/A twin {} was not measured", twin.id)),
        _ => Ok(found),
    }
}
