//! The ways of spreading the pipeline over cores: their names, the engines that they run on, and the servers that do them.

use serde::Serialize;
use serde_json::{Value, json};

/// Most requests of a micro-batch.
pub const MOST_BATCH: usize = 64;

/// A set of engines that a strategy runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StackName {
    /// `transformers.apply_chat_template`, the tokenizer itself, numpy.
    Transformers,
    /// jinja2 without the layer above it.
    Lean,
    /// All in Rust.
    Native,
    /// As `transformers`, on an interpreter that ran without the GIL.
    FreeThreaded,
}

/// A way, from the simplest to what takes another language and more parts: of equals the first is recommended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    Inline,
    InlineLean,
    #[serde(rename = "executor-1")]
    Executor1,
    ExecutorThreads,
    MicroBatch,
    ServerProcesses,
    ProcessPool,
    FreeThreaded,
    SidecarRust,
    RustInline,
    RustThreads,
}

impl Way {
    /// All of them, the simplest first.
    pub const ALL: [Self; 11] = [
        Self::Inline,
        Self::InlineLean,
        Self::Executor1,
        Self::ExecutorThreads,
        Self::MicroBatch,
        Self::ServerProcesses,
        Self::ProcessPool,
        Self::FreeThreaded,
        Self::SidecarRust,
        Self::RustInline,
        Self::RustThreads,
    ];

    /// As in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inline => "inline asyncio",
            Self::InlineLean => "inline, jinja2 only",
            Self::Executor1 => "executor, 1 thread",
            Self::ExecutorThreads => "executor, threads",
            Self::MicroBatch => "micro-batch",
            Self::ServerProcesses => "server processes",
            Self::ProcessPool => "process pool",
            Self::FreeThreaded => "free-threaded",
            Self::SidecarRust => "Rust sidecar",
            Self::RustInline => "Rust, one thread",
            Self::RustThreads => "Rust threads",
        }
    }

    /// In a sentence: `build …`.
    pub fn what(self) -> &'static str {
        match self {
            Self::Inline => "everything on the asyncio event loop",
            Self::InlineLean => "everything on the event loop, jinja2 called without transformers",
            Self::Executor1 => "an asyncio front end with an executor of one thread",
            Self::ExecutorThreads => "an asyncio front end with an executor of one thread a core (GIL)",
            Self::MicroBatch => "a queue in front of encode_batch, templates on threads",
            Self::ServerProcesses => "one server process a core behind one port",
            Self::ProcessPool => "an asyncio front end with one worker process a core",
            Self::FreeThreaded => "an executor of one thread a core on free-threaded Python",
            Self::SidecarRust => "an asyncio front end that passes requests to a Rust sidecar",
            Self::RustInline => "a Rust server of one thread",
            Self::RustThreads => "a Rust server with one worker thread a core",
        }
    }

    /// Cores that it can use, of those that are there.
    pub fn most_cores(self, cores: usize) -> usize {
        match self {
            Self::Inline | Self::InlineLean | Self::RustInline => 1,
            Self::Executor1 => cores.min(2),
            _ => cores,
        }
    }

    /// Name of the strategy in experiment 5, where it has this way.
    pub fn measured_as(self) -> Option<&'static str> {
        match self {
            Self::Inline => Some("inline"),
            Self::InlineLean => None,
            Self::Executor1 => Some("executor-1"),
            Self::ExecutorThreads => Some("executor-shared"),
            Self::MicroBatch => Some("micro-batch-0"),
            Self::ServerProcesses => Some("http-uvicorn"),
            Self::ProcessPool => Some("processes-bytes"),
            Self::FreeThreaded => Some("free-threaded"),
            Self::SidecarRust => Some("sidecar-rust"),
            Self::RustInline => Some("rust-inline"),
            Self::RustThreads => Some("rust-threads"),
        }
    }

    /// The engines that it runs on.
    pub fn stack(self) -> StackName {
        match self {
            Self::InlineLean => StackName::Lean,
            Self::FreeThreaded => StackName::FreeThreaded,
            Self::SidecarRust | Self::RustInline | Self::RustThreads => StackName::Native,
            _ => StackName::Transformers,
        }
    }

    /// The server that does it. Stages are those of the model.
    pub fn server(self) -> ServerOf {
        let (kind, strategy, params) = match self {
            Self::Inline | Self::InlineLean => ("python", "inline", json!({})),
            Self::Executor1 => ("python", "executor", json!({"threads": 1})),
            Self::ExecutorThreads => ("python", "executor", json!({"objects": "shared"})),
            Self::MicroBatch => ("python", "micro-batch", json!({"wait_ms": 0, "max_batch": MOST_BATCH})),
            Self::ServerProcesses => ("python", "http-workers", json!({"server": "uvicorn"})),
            Self::ProcessPool => ("python", "process-pool", json!({"result": "bytes"})),
            Self::FreeThreaded => ("python", "free-threaded", json!({"objects": "shared"})),
            Self::SidecarRust => ("python", "sidecar", json!({"sidecar": "rust"})),
            Self::RustInline => ("native", "rust-inline", json!({})),
            Self::RustThreads => ("native", "rust-threads", json!({})),
        };
        let pipeline = match (kind, self) {
            ("native", _) => ["minijinja/render", "hf-tokenizers/encode", "native/pad"],
            (_, Self::InlineLean) => ["jinja2/render", "hf-tokenizers/encode", "numpy/pad"],
            _ => ["transformers/apply_chat_template", "hf-tokenizers/encode", "numpy/pad"],
        };
        ServerOf { kind, strategy, params, pipeline }
    }
}

/// How a way is started as a server of experiment 5.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerOf {
    /// `native` or `python`.
    pub kind: &'static str,
    pub strategy: &'static str,
    pub params: Value,
    /// Call paths of template, tokenize, collate.
    pub pipeline: [&'static str; 3],
}
