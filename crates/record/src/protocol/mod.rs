//! The worker protocol: JSON Lines, requests on the worker's stdin, answers on a descriptor of its own.
//!
//! The parent makes a pipe and passes its write end to the worker as the descriptor whose number stands in
//! [`ANSWER_FD_VAR`]. The worker marks it close-on-exec, and points its own stdout at stderr, so that a stray print of a
//! library corrupts nothing. One request is under way at a time. `prepare` and `block` end with `done` or `error`.
//!
//! A known failure of one cell is an `error` (the worker lives on). A known failure of the worker is `fatal`, after which
//! it exits with 0. Any other exit is a crash, and the last line of stderr is its message.

pub mod serve;
pub mod target;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::plan::{Op, Timing};

/// Version of the protocol; `hello` and `ready` carry it and must agree.
pub const PROTOCOL: u32 = 1;

/// Environment variable with the number of the descriptor that answers go to.
pub const ANSWER_FD_VAR: &str = "LLMBENCH_ANSWER_FD";

/// What the parent asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// First request: load the model, import what `engines` need. Answered by `ready` or `fatal`.
    Hello {
        protocol: u32,
        model: ModelPaths,
        /// Unix seconds, UTC; what `strftime_now` in a template shows, so that both languages render the same bytes.
        timestamp: i64,
        /// The `engine/call_path` pairs that this worker will be asked for; others need not be imported.
        engines: Vec<String>,
    },
    /// Makes a cell ready: loads its inputs, computes the checks asked for, warms it up on the warm-up requests.
    /// Answered by `check` (if asked for) and `done`, or `error`.
    Prepare {
        cell_id: String,
        op: Op,
        timing: Timing,
        inputs: Inputs,
        /// How many requests, from the first of the pool on, are run and hashed into `check`. 0: none.
        check: u32,
        /// Warm up for at least this long (ns) and at least one call; 0: not at all (a `first` cell).
        warmup_ns: u64,
    },
    /// Measures. Answered by one `sample` or more and then `done`, or `error`.
    Block {
        cell_id: String,
        block: u32,
        /// `loop`: calls under one pair of stamps; `each`: samples; `window`: unused; `first`: 1.
        loops: u64,
        /// Index into the pool at which the calls start; they go on cyclically.
        offset: u64,
        /// Untimed calls on warm-up requests before the first stamp, for at least this long (ns); 0: none.
        settle_ns: u64,
        /// Of a `stretch` cell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stretch: Option<Stretch>,
    },
    /// The full output of one request of the pool, to locate a mismatch. Answered by `dump` or `error`.
    Dump { cell_id: String, index: u32 },
    /// The worker exits with 0.
    Bye,
}

/// What the worker of a `stretch` cell is told beside the order in its timing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stretch {
    /// The same for all cells of a run; none in the calibration, whose block's readings are what was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// What the calibration found, as readings by the id of their cell: of the cell itself and of those that it needs, as far as they were measured.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub found: BTreeMap<String, BTreeMap<String, f64>>,
}

/// Where the model's files lie. All of them are read from here and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelPaths {
    /// A folder with exactly `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja` (already resolved).
    pub dir: PathBuf,
    /// Name of the vocabulary when it is one that `tiktoken` has under its own name (`o200k_base`), else none.
    pub tiktoken: Option<TiktokenVocabulary>,
}

/// What it takes to construct a `tiktoken.Encoding` offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TiktokenVocabulary {
    pub name: String,
    /// A `.tiktoken` file: one line a token, base64 of its bytes, a space, its rank.
    pub ranks: PathBuf,
    pub pattern: String,
    pub special_tokens: BTreeMap<String, u32>,
}

/// The inputs of a cell: files that the parent wrote before the first run, the same for every subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// JSON Lines: one OpenAI chat-completions request body a line. Pool first, then the warm-up requests.
    pub requests: PathBuf,
    /// JSON Lines: the rendered prompt of the same request, as a JSON string.
    pub texts: PathBuf,
    /// Requests that are measured.
    pub pool: u32,
    /// Requests after them, of disjoint text, for warming up.
    pub warmup: u32,
}

/// What the worker answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Answer {
    Ready(Box<Ready>),
    Check {
        cell_id: String,
        /// One lower-case hex SHA-256 a request.
        hashes: Vec<String>,
    },
    Sample(Sample),
    Done {
        cell_id: String,
        /// Time spent in warm-up or settling calls, ns.
        #[serde(default)]
        warm_ns: u64,
        /// After `prepare`: a block of this cell ends by itself within this, whatever is measured, ns; later the worker hangs and is ended.
        /// Absent from workers that cannot know: the runner goes by what calls took in the calibration.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit_ns: Option<u64>,
    },
    Dump {
        cell_id: String,
        index: u32,
        output: Output,
    },
    /// Ends the cell; the worker goes on.
    Error {
        cell_id: String,
        #[serde(default)]
        kind: ErrorKind,
        message: String,
    },
    /// Ends the worker.
    Fatal {
        #[serde(default)]
        kind: ErrorKind,
        message: String,
    },
}

/// Says whether a cell failed or is merely not to be had here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    #[default]
    Failed,
    /// The engine or the call path is not installed here, or does not support this model. The message has the remedy.
    Unavailable,
    /// It worked, and its output is not the right one. The message says where.
    Mismatch,
}

/// What the worker is, after its imports.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    pub protocol: u32,
    pub pid: u32,
    /// `native` or `python`.
    pub worker: String,
    /// `CPython 3.12.1`, `rustc 1.95.0`.
    pub interpreter: String,
    /// GIL state after the imports: `enabled`, `disabled`, or `none` (native).
    pub gil: String,
    /// Build flags and other facts of the interpreter that matter to a comparison.
    #[serde(default)]
    pub build: BTreeMap<String, String>,
    /// Package or crate to version.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    /// `engine/call_path` that cannot be used here, and why.
    #[serde(default)]
    pub unavailable: BTreeMap<String, String>,
    /// Median cost of a pair of clock readings, ns.
    pub clock_pair_ns: u64,
    /// Median cost of one turn of the timing loop around an empty call, ns.
    pub loop_overhead_ns: u64,
    /// Time from process start to here that went into imports and loading, ns.
    pub load_ns: u64,
    /// Making a cell ready ends by itself within this, ns; absent from workers that cannot know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare_limit_ns: Option<u64>,
}

/// One measurement, in nanoseconds of CLOCK_MONOTONIC.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub cell_id: String,
    pub block: u32,
    pub start_ns: u64,
    pub end_ns: u64,
    pub calls: u64,
    /// Wall time by stage within the sample, ns, where the op has stages.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stages: BTreeMap<String, u64>,
    /// `window`: the time in which all threads were at work, and the calls in it; one entry a thread.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub threads: Vec<ThreadCount>,
    /// Collections of Python's cyclic garbage collector during the sample.
    #[serde(default)]
    pub gc: u64,
    /// What else was read off during the sample, by name with its unit (`cpu_ns`, `held_share`, `lateness_p99_ns`); finite.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub readings: BTreeMap<String, f64>,
    /// One number a request, by name with its unit (`latency_ns`, `service_ns`), in the order of the arrivals.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub series: BTreeMap<String, Vec<u64>>,
}

impl Sample {
    /// Nanoseconds a call; of a `window` sample, the inverse of the summed rates of its threads, all over the same time.
    pub fn ns_per_call(&self) -> f64 {
        if self.threads.is_empty() {
            (self.end_ns - self.start_ns) as f64 / self.calls as f64
        } else {
            1.0 / self.threads.iter().map(ThreadCount::rate).sum::<f64>()
        }
    }

    /// Length of the sample, ns.
    pub fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }
}

/// What one thread did between two stamps of CLOCK_MONOTONIC, ns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ThreadCount {
    pub start_ns: u64,
    pub end_ns: u64,
    /// Calls; one that reached over an edge counts with the share of its time that lies inside.
    pub calls: f64,
}

impl ThreadCount {
    /// What calls that ended at `ends`, back to back from `began` on, come to between two stamps, all in ns.
    ///
    /// A thread that waits for its turn at an edge (for a core, for an interpreter's lock) would gain by that wait if only its
    /// completed calls and the time up to them counted: with two threads under the GIL and a window of 40 ms by a tenth.
    pub fn between(start_ns: u64, end_ns: u64, began: u64, ends: &[u64]) -> Self {
        let mut from = began;
        let mut calls = 0.0;
        for &end in ends {
            let inside = end.min(end_ns).saturating_sub(from.max(start_ns));
            calls += inside as f64 / end.saturating_sub(from).max(1) as f64;
            from = end;
        }
        Self { start_ns, end_ns, calls }
    }

    /// Calls per nanosecond.
    pub fn rate(&self) -> f64 {
        self.calls / (self.end_ns.saturating_sub(self.start_ns)).max(1) as f64
    }
}

/// The output of an operation, as `dump` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    Text(String),
    Ids(Vec<u32>),
}
