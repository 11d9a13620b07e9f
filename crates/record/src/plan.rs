//! What will be measured: cells, subjects, runs. A plan is data; the same configuration and seed give the same plan.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The operation that a cell times, as the worker is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Op {
    /// `parse`, `template`, `tokenize`, `collate`, `handoff`, `total` (all of them, one request), `batch` (a batch of
    /// requests made ready by a pool of threads), `serve` (a strategy as a server, driven with load), `hold` and `victim` (what
    /// a call does to the GIL), `load` (an engine is constructed).
    pub name: String,
    pub engine: String,
    pub call_path: String,
    /// Threads that the op itself uses (`window` timing and `batch`); 1 elsewhere.
    pub threads: u32,
    /// Parameters of the op: for `total` and `batch` the call path of each stage and `mode`; for `batch` its size.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
}

/// How a block of a cell is timed inside the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Timing {
    /// `loops` calls back to back under one pair of stamps.
    Loop,
    /// Every call is a sample of its own (with its stages).
    Each,
    /// `op.threads` long-lived threads start at a barrier and call until the window is over; completions are counted.
    Window { window_ns: u64 },
    /// The first call in a fresh process, once a run, before anything else is called in that process.
    First,
    /// A stretch of about `span_ns` that the worker drives by itself, once a run and after all rounds. What happens in it is between the suite
    /// that plans the cell and the worker that measures it.
    #[serde(alias = "load")]
    Stretch {
        /// What the worker is to do; it alone reads this.
        #[serde(alias = "drive")]
        order: Value,
        span_ns: u64,
        /// The calibration makes a block of it, too. The readings of that block are kept, and the cell's worker is told them in every run.
        #[serde(default, skip_serializing_if = "is_false")]
        calibrated: bool,
        /// Ids of calibrated cells whose readings the worker is told as well. A cell for which none of them could be measured is an error.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        needs: Vec<String>,
    },
}

/// One point of an experiment's axes at one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Unique in the plan and stable across plans: `anatomy/python/template/transformers.apply_chat_template/tokens=1000`.
    pub id: String,
    pub experiment_id: u32,
    pub experiment: String,
    /// Id of a [`SubjectSpec`].
    pub subject: String,
    pub op: Op,
    pub timing: Timing,
    /// `inline`, `threads`, `rayon`, …
    pub strategy: String,
    /// `cold`, `warm` or `repeat`.
    pub cache: String,
    /// Axis to value: `tokens`, `turns`, `threads`, `batch`, `mode`, …
    pub axes: BTreeMap<String, Value>,
    /// Id of a [`WorkloadSpec`].
    pub workload: String,
    /// Cells with the same group must have the same checks as its reference.
    pub check: Option<Check>,
    /// This cell is the A/A twin of that one: the same cell under another name.
    pub twin_of: Option<String>,
    /// Length of a block that calibration aims at, ns.
    pub target_ns: u64,
    /// The `engine/call_path` pairs that its worker needs for it: they are imported at the worker's start, and a cell is not to be had where one
    /// of them is not. Empty where the worker itself calls no engine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub engines: Vec<String>,
    /// Cells with the same name here are compared with each other; in each round they are visited one after the other (in
    /// shuffled order), so that the machine's drift meets them alike. Empty: a cell by itself.
    #[serde(default)]
    pub beside: String,
}

/// Which other cells a cell's output is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// `text:<workload>`, `ids:<workload>`, …
    pub group: String,
    pub reference: bool,
}

/// A process that can measure cells. Everything that is fixed when a process starts belongs here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubjectSpec {
    /// `native`, `python`, `python-3.13t`, …
    pub id: String,
    /// `native` or `python`.
    pub kind: String,
    pub program: PathBuf,
    pub args: Vec<String>,
    /// Set on top of a cleaned environment.
    pub env: BTreeMap<String, String>,
    /// SHA-256 of the lock that its packages come from, if they do.
    pub lock: Option<String>,
    /// Not to be had: its cells become rows with this reason, which names the remedy.
    pub unavailable: Option<Unavailable>,
}

/// Why a subject cannot run here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailable {
    /// What is missing and what to do.
    pub reason: String,
    /// True when the suite needs it: the rows are errors, and the exit code says so.
    pub required: bool,
}

/// How many runs, and when to stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Runs {
    /// Numbers of runs after which the results are looked at; the last is the most that are made.
    pub looks: Vec<u32>,
    /// Stop at a look when this share of the comparisons has a half-width of at most `target_half_width`.
    pub target_share: f64,
    pub target_half_width: f64,
    /// Wall time after which no further run is started, s.
    pub budget_s: f64,
    /// Rounds of a run: the blocks of a cell whose block is as long as it aims to be. A cell whose calls are longer than
    /// that is visited in fewer rounds, evenly spread, so that it takes about as much time in all, but at least in three.
    pub blocks: u32,
}

/// The whole of what will be measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub schema: u32,
    pub suite: String,
    /// `quick` or `full`.
    pub profile: String,
    pub seed: u64,
    /// Unix seconds; the one time that templates see.
    pub timestamp: i64,
    pub model: ModelIdentity,
    pub subjects: Vec<SubjectSpec>,
    pub workloads: Vec<WorkloadSpec>,
    pub cells: Vec<Cell>,
    pub runs: Runs,
    /// The experiments' settings after all overrides, as the analysis needs them (axes, `requests`, `gpu_step_ms`, …).
    pub settings: BTreeMap<String, Value>,
}

/// Which model, beyond doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelIdentity {
    /// As the user named it: `built-in`, a folder's name, a Hugging Face id.
    pub name: String,
    /// SHA-256 over tokenizer.json, tokenizer_config.json and the template.
    pub sha256: String,
}

/// A set of requests with one shape.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkloadSpec {
    /// `words-t1000-n1`: kind, tokens, turns.
    pub id: String,
    /// `words` (words that people write), `letters` (random letters, the worst case for caches), `dataset`, or
    /// `corpus/<kind of text>`: bare texts of a size in bytes.
    pub kind: String,
    /// Tokens of each rendered prompt by the model's own tokenizer, within 1%. 0 for a dataset and a corpus.
    pub tokens: u32,
    /// Turns of each conversation. 0 for a dataset and a corpus.
    pub turns: u32,
    /// Requests that are measured.
    pub pool: u32,
    /// Further requests, of disjoint text, for warming up.
    pub warmup: u32,
    /// Bytes (UTF-8) of each text of a corpus. 0 for all other kinds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes: u32,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_load_cell_of_an_older_folder_is_a_stretch() {
        let drive = json!({"kind": "share", "share": 0.7, "of": "c"});
        let older = json!({"kind": "load", "drive": drive, "span_ns": 5});
        let read: Timing = serde_json::from_value(older).unwrap();
        assert_eq!(read, Timing::Stretch { order: drive.clone(), span_ns: 5, calibrated: false, needs: Vec::new() });
        let written = serde_json::to_value(&read).unwrap();
        assert_eq!(written, json!({"kind": "stretch", "order": drive, "span_ns": 5}));
    }
}
