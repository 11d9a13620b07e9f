//! What was found: one row a cell and metric, and what is said and drawn from the rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// State of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Ok,
    /// The output differs from the reference; never ranked.
    Mismatch,
    /// There was no reference to compare the output with; never ranked.
    Unchecked,
    Error,
    Timeout,
    /// Optional and not to be had here.
    Unavailable,
    Skipped,
    /// Measured, but a rule of the method says that the figure must not be used.
    Invalid,
}

/// A figure with its uncertainty. `lower` and `upper` are absent where there is no interval (one run).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    pub point: f64,
    pub lower: Option<f64>,
    pub upper: Option<f64>,
    /// Confidence level, 0.95.
    pub level: f64,
    /// `log-t`, `paired-log-t`, `t`, …
    pub method: String,
    pub runs: u32,
    pub samples: u32,
}

/// One row of `results.csv` and `results.json`: a cell and a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub schema: u32,
    pub run_id: String,
    pub suite: String,
    pub experiment_id: u32,
    pub experiment: String,
    pub cell_id: String,
    pub subject: String,
    pub engine: String,
    pub engine_version: String,
    pub call_path: String,
    pub strategy: String,
    pub workers: u32,
    pub interpreter: String,
    pub gil: String,
    pub cache: String,
    pub model_sha: String,
    pub workload_sha: String,
    pub axes: BTreeMap<String, Value>,
    pub stage: String,
    pub metric: String,
    pub unit: String,
    /// None when the row has no figure (error, unavailable, …).
    pub estimate: Option<Estimate>,
    pub baseline_cell_id: Option<String>,
    /// Of a comparison: `faster`, `slower`, `equivalent`, `inconclusive`; of scaling: `scales`, `does_not_scale`, `inconclusive`.
    pub verdict: Option<String>,
    pub status: Status,
    pub error: Option<String>,
}

/// How far the data carry a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Support {
    Supported,
    NotSupported,
    Inconclusive,
}

/// A sentence computed from estimates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    pub experiment: String,
    /// What was asked, as a statement: `tokenize takes the largest share`.
    pub claim: String,
    pub support: Support,
    /// The sentence with its figures, units and intervals.
    pub sentence: String,
    /// Cells that it rests on.
    pub cells: Vec<String>,
    /// True for the one finding that stands at the head of the experiment.
    #[serde(default)]
    pub headline: bool,
}

/// A table for the terminal (80 columns) and the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    pub id: String,
    pub title: String,
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
    /// Lines below the table: what a baseline is, what a mark means.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    pub title: String,
    /// True: right-aligned figure.
    pub numeric: bool,
    /// Columns with a higher number go first when the terminal is too narrow; 0 always stays.
    pub drop: u8,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub values: Vec<CellValue>,
    pub status: Status,
    /// Rows with the same group stand together; a rule separates groups.
    #[serde(default)]
    pub group: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellValue {
    pub text: String,
    /// What a sortable table sorts by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<f64>,
}

/// A figure as data; the report draws it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// File name without extension: `anatomy-stages`.
    pub id: String,
    pub title: String,
    pub kind: FigureKind,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
    /// One sentence: what to see and what the bars mean (interval, level, runs).
    pub caption: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FigureKind {
    /// One bar a category (`x.categories`), stacked over the series; horizontal.
    StackedBars,
    /// Bars side by side, one colour a series, with intervals.
    GroupedBars,
    /// Lines with markers and intervals over a numeric x.
    Lines,
    /// One point with its interval a category, horizontal, with a reference line at 1 (a forest plot of ratios).
    Ratios,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// With the unit: `time per request (ms)`.
    pub label: String,
    pub log: bool,
    /// Names of the categories, in order; empty for a numeric axis.
    #[serde(default)]
    pub categories: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    pub name: String,
    pub points: Vec<Point>,
    /// Drawn dashed and grey: an ideal, a control.
    #[serde(default)]
    pub reference: bool,
}

/// For a categorical axis `x` is the index of the category.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub x: f64,
    pub y: f64,
    pub lower: Option<f64>,
    pub upper: Option<f64>,
}

/// All that an experiment says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExperimentResult {
    pub id: u32,
    /// `anatomy`
    pub name: String,
    pub question: String,
    /// `lower` or `higher`: which way is better.
    pub better: String,
    /// How it was measured, a paragraph each.
    pub method: Vec<String>,
    /// What could make the answer wrong, a sentence each.
    pub threats: Vec<String>,
    /// The command that measures it again.
    pub command: String,
    pub findings: Vec<Finding>,
    pub tables: Vec<Table>,
    pub figures: Vec<Figure>,
    /// What was seen and what to do: noise, outliers, drift.
    pub warnings: Vec<String>,
}

/// `results.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    pub schema: u32,
    pub run_id: String,
    pub suite: String,
    pub experiments: Vec<ExperimentResult>,
    pub records: Vec<Record>,
}

/// How good a fact of the machine is for measuring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactVerdict {
    Ok,
    /// Widens intervals or shifts figures; measuring goes on.
    Warn,
    /// Makes figures wrong; `--strict-env` refuses.
    Bad,
    /// Could not be found out here.
    Unknown,
    /// Nothing to judge.
    Info,
}

/// One thing that is known (or known to be unknown) about where the run took place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// `cpu.governor`, `memory.total`, `cgroup.cpu.quota`, …
    pub key: String,
    /// For people: `CPU governor`.
    pub title: String,
    /// With its unit; `unknown` where it could not be read.
    pub value: String,
    pub verdict: FactVerdict,
    /// The command or action that would mend it.
    pub remedy: Option<String>,
}

/// `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    pub schema: u32,
    pub run_id: String,
    /// Version of llmbench and the SHA-256 of its binary.
    pub llmbench: String,
    pub binary_sha256: String,
    /// RFC 3339, UTC.
    pub started: String,
    /// The command line, secrets left out.
    pub command: Vec<String>,
    /// What was asked for, as whoever made the run keeps it, so that it can be gone on with; null in folders that have none.
    #[serde(default)]
    pub options: serde_json::Value,
    pub plan_sha256: String,
    pub plan: crate::plan::Plan,
    /// Loops of a block by cell, from the calibration.
    pub loops: BTreeMap<String, u64>,
    /// Workload id to SHA-256 of its files.
    pub workload_sha256: BTreeMap<String, String>,
    /// Subject id to what the worker said of itself.
    pub subjects: BTreeMap<String, crate::protocol::Ready>,
    pub machine: Vec<Fact>,
    /// Linux boot id, to notice a resume on another boot.
    pub boot_id: Option<String>,
    /// Why the runs ended: `target`, `budget`, `runs`, `interrupted`; none while running.
    pub stopped: Option<String>,
    /// Wall time, s, of set-up, calibration and runs, and the share of the runs inside timed blocks or warm-up.
    pub wall_s: BTreeMap<String, f64>,
    pub warnings: Vec<String>,
}
