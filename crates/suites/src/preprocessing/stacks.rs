//! The call paths of this suite, and the stacks of call paths that make a whole pipeline.

use std::collections::BTreeMap;

use engines::python::PythonEngine;
use record::plan::WorkloadSpec;
use record::plan::{Cell, Op, Timing};
use serde_json::Value;

use crate::house::cells::{self, Draft};
use crate::present::Axes;
use crate::settings::{ExperimentSettings, PlannedSubject};

/// An API on an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallPath {
    pub op: &'static str,
    pub engine: &'static str,
    pub call_path: &'static str,
    /// Ground truth of its outputs' check group.
    pub reference: bool,
}

impl From<&'static PythonEngine> for CallPath {
    fn from(path: &'static PythonEngine) -> Self {
        Self { op: path.op, engine: path.engine, call_path: path.call_path, reference: false }
    }
}

/// One way to a prompt's ids, stage by stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stack {
    /// `transformers`, `lean`, `native`.
    pub name: &'static str,
    /// Kind of the subjects it runs in.
    pub kind: &'static str,
    pub parse: CallPath,
    pub template: CallPath,
    pub tokenize: CallPath,
    pub collate: CallPath,
    pub handoff: CallPath,
}

const fn path(op: &'static str, engine: &'static str, call_path: &'static str) -> CallPath {
    CallPath { op, engine, call_path, reference: false }
}

const fn reference(op: &'static str, engine: &'static str, call_path: &'static str) -> CallPath {
    CallPath { op, engine, call_path, reference: true }
}

const PYDANTIC: CallPath = path("parse", "pydantic", "json.loads+model_validate");
const APPLY_CHAT_TEMPLATE: CallPath = reference("template", "transformers", "apply_chat_template");
const JINJA2: CallPath = path("template", "jinja2", "render");
const PY_ENCODE: CallPath = path("tokenize", "hf-tokenizers", "encode");
const PY_ENCODE_BATCH: CallPath = path("tokenize", "hf-tokenizers", "encode_batch");
const TRANSFORMERS_CALL: CallPath = path("tokenize", "transformers", "__call__");
const TIKTOKEN: CallPath = path("tokenize", "tiktoken", "encode");
const NUMPY: CallPath = path("collate", "numpy", "pad");
const TORCH: CallPath = path("collate", "torch", "pad");
const MSGSPEC: CallPath = path("handoff", "msgspec", "msgpack.encode");
const PICKLE: CallPath = path("handoff", "pickle", "dumps");

const SERDE: CallPath = reference("parse", "serde", "serde_json.from_slice");
const MINIJINJA: CallPath = path("template", "minijinja", "render");
/// The reference of all ids.
pub const NATIVE_ENCODE: CallPath = reference("tokenize", "hf-tokenizers", "encode");
const ENCODE_FAST: CallPath = path("tokenize", "hf-tokenizers", "encode_fast");
const ENCODE_BATCH: CallPath = path("tokenize", "hf-tokenizers", "encode_batch");
const NATIVE_PAD: CallPath = reference("collate", "native", "pad");
const RMP: CallPath = path("handoff", "rmp", "encode");

/// What Python servers call: `transformers` for template and tokenizer.
pub const TRANSFORMERS: Stack = Stack {
    name: "transformers",
    kind: "python",
    parse: PYDANTIC,
    template: APPLY_CHAT_TEMPLATE,
    tokenize: TRANSFORMERS_CALL,
    collate: NUMPY,
    handoff: MSGSPEC,
};

/// Python without the layers: the compiled template and the tokenizer themselves.
pub const LEAN: Stack = Stack {
    name: "lean",
    kind: "python",
    parse: PYDANTIC,
    template: JINJA2,
    tokenize: PY_ENCODE,
    collate: NUMPY,
    handoff: MSGSPEC,
};

/// The same work in Rust.
pub const NATIVE: Stack = Stack {
    name: "native",
    kind: "native",
    parse: SERDE,
    template: MINIJINJA,
    tokenize: ENCODE_FAST,
    collate: NATIVE_PAD,
    handoff: RMP,
};

/// The stages of a pipeline in the order of the data.
pub const STAGES: [&str; 5] = ["parse", "template", "tokenize", "collate", "handoff"];

/// All stacks.
pub const STACKS: [Stack; 3] = [TRANSFORMERS, LEAN, NATIVE];

/// Every call path of a kind of subject. `tiktoken` and `torch` are there for those that can have them.
pub fn call_paths(kind: &str, tiktoken: bool, torch: bool) -> Vec<CallPath> {
    if kind == "native" {
        return vec![SERDE, MINIJINJA, NATIVE_ENCODE, ENCODE_FAST, ENCODE_BATCH, NATIVE_PAD, RMP];
    }
    let mut paths = vec![
        PYDANTIC,
        APPLY_CHAT_TEMPLATE,
        JINJA2,
        PY_ENCODE,
        PY_ENCODE_BATCH,
        TRANSFORMERS_CALL,
        NUMPY,
        MSGSPEC,
        PICKLE,
    ];
    if tiktoken {
        paths.push(TIKTOKEN);
    }
    if torch {
        paths.push(TORCH);
    }
    paths
}

impl CallPath {
    /// `engine/call_path`, as the worker protocol names it.
    pub fn pair(&self) -> String {
        format!("{}/{}", self.engine, self.call_path)
    }

    /// For people: `transformers.apply_chat_template`, `hf-tokenizers.encode`.
    pub fn label(&self) -> String {
        label(self.engine, self.call_path)
    }

    /// The operation that times this path alone.
    pub fn op(&self, threads: u32) -> Op {
        Op {
            name: self.op.to_owned(),
            engine: self.engine.to_owned(),
            call_path: self.call_path.to_owned(),
            threads,
            params: BTreeMap::new(),
        }
    }
}

/// `engine.call_path` for tables and figures.
pub fn label(engine: &str, call_path: &str) -> String {
    format!("{engine}.{call_path}")
}

impl Stack {
    /// The call path of a stage.
    pub fn stage(&self, stage: &str) -> Option<CallPath> {
        match stage {
            "parse" => Some(self.parse),
            "template" => Some(self.template),
            "tokenize" => Some(self.tokenize),
            "collate" => Some(self.collate),
            "handoff" => Some(self.handoff),
            _ => None,
        }
    }

    /// The operation that times one request through all stages.
    pub fn total(&self) -> Op {
        let params = STAGES
            .iter()
            .filter_map(|stage| self.stage(stage).map(|path| ((*stage).to_owned(), Value::from(path.pair()))))
            .collect();
        Op { name: "total".to_owned(), engine: "stack".to_owned(), call_path: self.name.to_owned(), threads: 1, params }
    }

    /// The operation that times a batch made ready by a pool of threads. `mode`: `stages` or `requests`.
    pub fn batch(&self, batch: u32, mode: &str, threads: u32) -> Op {
        let params = BTreeMap::from([
            ("batch".to_owned(), Value::from(batch)),
            ("mode".to_owned(), Value::from(mode)),
            ("template".to_owned(), Value::from(self.template.pair())),
            ("tokenize".to_owned(), Value::from(self.tokenize.pair())),
            ("collate".to_owned(), Value::from(self.collate.pair())),
        ]);
        Op { name: "batch".to_owned(), engine: "stack".to_owned(), call_path: self.name.to_owned(), threads, params }
    }
}

/// A call path alone, inline on one thread.
pub fn inline_cell(
    settings: &ExperimentSettings,
    subject: &PlannedSubject,
    path: &CallPath,
    axes: &Axes,
    workload: &WorkloadSpec,
    (beside, varied): (String, &[&str]),
) -> Cell {
    cells::cell(
        settings,
        Draft {
            subject,
            op: path.op(1),
            timing: Timing::Loop,
            strategy: "inline",
            axes: axes.clone(),
            workload,
            output: Some(output),
            reference: path.reference,
            beside,
            varied,
        },
    )
}

/// The kind of output of an op: outputs of one kind from the same inputs must be the same.
pub fn output(op: &Op) -> String {
    match op.name.as_str() {
        "parse" => "messages".to_owned(),
        "template" => "text".to_owned(),
        "collate" => "arrays/1".to_owned(),
        "batch" => format!("arrays/{}", op.params.get("batch").map(cells::plain).unwrap_or_default()),
        // tokenize, handoff and total all end in the prompt's ids.
        _ => "ids".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_group_has_one_reference_over_both_kinds() {
        let all: Vec<CallPath> =
            call_paths("native", true, true).into_iter().chain(call_paths("python", true, true)).collect();
        // handoff is checked by the ids in it, whose reference is the tokenizer.
        for stage in ["parse", "template", "tokenize", "collate"] {
            let references = all.iter().filter(|path| path.op == stage && path.reference).count();
            assert_eq!(references, 1, "{stage}");
        }
    }

    #[test]
    fn stacks_use_call_paths_that_their_kind_has() {
        for stack in STACKS {
            let paths = call_paths(stack.kind, false, false);
            for stage in STAGES {
                assert!(paths.contains(&stack.stage(stage).unwrap()), "{} {stage}", stack.name);
            }
        }
    }
}
