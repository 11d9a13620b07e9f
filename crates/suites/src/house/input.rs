//! What the analysis of an experiment reads: the cells of a point, what was measured of them, and the verdicts on their comparisons.

use std::collections::BTreeMap;

use record::measurements::Measurements;
use record::plan::{Cell, Plan};
use record::results::{Figure, Finding, RunInfo, Table};

use super::comparison::{Comparison, Quantity};
use super::floor::Floor;
use super::judged::{self, Judged};
use super::point::Point;
use super::status;
use crate::present;
use crate::settings::ExperimentSettings;
use crate::spec::ExperimentSpec;

/// What an experiment's analysis reads: of one point, or of all of them where it compares across points.
pub struct AnalysisInput<'a> {
    pub plan: &'a Plan,
    pub info: &'a RunInfo,
    pub measurements: &'a Measurements,
    pub settings: &'a ExperimentSettings,
    pub spec: &'a ExperimentSpec,
    /// The point whose cells these are; of no axes where they are of all.
    pub point: Point,
    /// The cells that are looked at, twins among them.
    pub(crate) cells: Vec<&'a Cell>,
    /// Verdicts on all comparisons of the experiment.
    pub(crate) judged: &'a [Judged],
}

/// What an experiment says of a point.
#[derive(Debug, Default)]
pub struct Said {
    pub findings: Vec<Finding>,
    pub tables: Vec<Table>,
    pub figures: Vec<Figure>,
    pub warnings: Vec<String>,
}

impl<'a> AnalysisInput<'a> {
    /// The cells of this point.
    pub fn cells(&self) -> impl Iterator<Item = &'a Cell> + '_ {
        self.cells.iter().copied()
    }

    /// The cells of this point that are no twins.
    pub fn own_cells(&self) -> Vec<&'a Cell> {
        self.cells().filter(|cell| cell.twin_of.is_none()).collect()
    }

    /// The verdict on the cell's comparison with its baseline.
    pub fn judged(&self, row: &Cell) -> Option<&'a Judged> {
        self.judged.iter().find(|judged| judged.row == row.id && judged.over.is_none())
    }

    /// The verdict on a comparison that was declared.
    pub fn judged_of(&self, comparison: &Comparison) -> Option<&'a Judged> {
        self.judged.iter().find(|judged| {
            (&judged.row, &judged.baseline, judged.quantity, &judged.over)
                == (&comparison.row, &comparison.baseline, comparison.quantity, &comparison.over)
        })
    }

    /// Judges comparisons that the figures themselves have chosen, as a family of their own.
    pub fn judge(&self, comparisons: &[Comparison]) -> Vec<Judged> {
        judged::judge(comparisons, self.measurements, |_| &self.cells)
    }

    /// The noise floor of a quantity at a cell of this point.
    pub fn floor(&self, cell: &Cell, quantity: Quantity) -> Floor {
        Floor::of_cell(cell, quantity, self.measurements, &self.cells)
    }

    /// What the marks behind judged figures mean, for the notes of this point's tables.
    pub fn marks(&self) -> String {
        let here = |judged: &&Judged| judged.over.is_none() && self.cells.iter().any(|cell| cell.id == judged.row);
        Floor::marks(self.judged.iter().filter(here).map(|judged| &judged.floor))
    }

    /// Why a cell has no figure, or must not be used.
    pub fn error(&self, cell_id: &str) -> Option<String> {
        let cell = self.cells.iter().find(|cell| cell.id == cell_id)?;
        status::error(self.measurements, cell)
    }

    /// Length of every single sample of a cell by run, ns.
    pub fn sample_times(&self, cell_id: &str) -> BTreeMap<u32, Vec<f64>> {
        self.measurements.sample_times(cell_id).unwrap_or_default()
    }

    /// The subjects of these cells, Python first: it is what the Rust rows are compared with.
    pub fn subjects(&self) -> Vec<String> {
        let mut subjects = present::distinct(self.cells().map(|cell| cell.subject.clone()));
        subjects.sort_by_key(|subject| subject == "native");
        subjects
    }

    /// The kind of a subject: `native`, `python`.
    pub fn kind(&self, subject: &str) -> &'a str {
        self.plan.subjects.iter().find(|spec| spec.id == subject).map_or("", |spec| spec.kind.as_str())
    }

    /// Cores that this process could use: affinity ∩ cgroup quota.
    pub fn effective_cores(&self) -> u32 {
        let cores = self.plan.settings.get("effective_cores").and_then(serde_json::Value::as_u64);
        cores.and_then(|cores| u32::try_from(cores).ok()).unwrap_or(1)
    }

    /// A subject as a heading: `python: CPython 3.12.1, GIL enabled`.
    pub fn subject_title(&self, subject: &str) -> String {
        match self.info.subjects.get(subject) {
            Some(ready) if ready.gil == "none" => format!("{subject} ({})", ready.interpreter),
            Some(ready) => format!("{subject} ({}, GIL {})", ready.interpreter, ready.gil),
            None => subject.to_owned(),
        }
    }
}
