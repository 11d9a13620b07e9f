//! The ways of spreading the pipeline over cores: the rows of experiment 5.

use serde_json::{Value, json};

/// How many workers a way has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// There is but one place where the work is done.
    One,
    /// The axis `workers` applies.
    Axis,
}

/// One way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// On the axis `strategy`.
    pub name: &'static str,
    /// Kind of the servers: `native` or `python`.
    pub kind: &'static str,
    /// As the server knows it.
    pub strategy: &'static str,
    pub workers: Workers,
    /// What it is, in a few words.
    pub what: &'static str,
    options: &'static str,
}

const fn spread(
    name: &'static str,
    kind: &'static str,
    strategy: &'static str,
    workers: Workers,
    options: &'static str,
    what: &'static str,
) -> Spread {
    Spread { name, kind, strategy, workers, what, options }
}

use Workers::{Axis, One};

/// The row that all others are compared with.
pub const BASELINE: &str = "inline";

/// All ways, Python first; within a language from the plainest on.
pub const SPREADS: [Spread; 25] = [
    spread("inline", "python", "inline", One, "{}", "on the asyncio event loop"),
    spread("executor-1", "python", "executor", One, r#"{"threads":1}"#, "asyncio, executor of one thread"),
    spread(
        "executor-shared",
        "python",
        "executor",
        Axis,
        r#"{"objects":"shared"}"#,
        "executor of N threads, one tokenizer",
    ),
    spread(
        "executor-copies",
        "python",
        "executor",
        Axis,
        r#"{"objects":"per-thread"}"#,
        "executor of N threads, a copy each",
    ),
    spread("micro-batch-0", "python", "micro-batch", Axis, r#"{"wait_ms":0}"#, "queue before encode_batch, no wait"),
    spread("micro-batch-0.5", "python", "micro-batch", Axis, r#"{"wait_ms":0.5}"#, "queue before encode_batch, 0.5 ms"),
    spread("micro-batch-2", "python", "micro-batch", Axis, r#"{"wait_ms":2}"#, "queue before encode_batch, 2 ms"),
    spread(
        "inner-on-1",
        "python",
        "inner-parallelism",
        One,
        r#"{"parallelism":"on","threads":1}"#,
        "tokenizer's own threads, one caller",
    ),
    spread(
        "inner-off-n",
        "python",
        "inner-parallelism",
        Axis,
        r#"{"parallelism":"off"}"#,
        "N callers, tokenizer's threads off",
    ),
    spread(
        "inner-on-n",
        "python",
        "inner-parallelism",
        Axis,
        r#"{"parallelism":"on"}"#,
        "N callers, each with the tokenizer's threads",
    ),
    spread(
        "processes-pickle",
        "python",
        "process-pool",
        Axis,
        r#"{"result":"pickle"}"#,
        "process pool, pickled results",
    ),
    spread(
        "processes-bytes",
        "python",
        "process-pool",
        Axis,
        r#"{"result":"bytes"}"#,
        "process pool, results as bytes",
    ),
    spread(
        "processes-shared",
        "python",
        "process-pool",
        Axis,
        r#"{"result":"shared-memory"}"#,
        "process pool, results in shared memory",
    ),
    spread(
        "http-uvicorn",
        "python",
        "http-workers",
        Axis,
        r#"{"server":"uvicorn"}"#,
        "N uvicorn processes on one port",
    ),
    spread(
        "http-granian",
        "python",
        "http-workers",
        Axis,
        r#"{"server":"granian"}"#,
        "N granian processes on one port",
    ),
    spread("sidecar-python", "python", "sidecar", Axis, r#"{"sidecar":"python"}"#, "asyncio front, Python sidecars"),
    spread("sidecar-rust", "python", "sidecar", Axis, r#"{"sidecar":"rust"}"#, "asyncio front, one Rust sidecar"),
    spread("subinterpreters", "python", "subinterpreters", Axis, "{}", "templates in subinterpreters"),
    spread(
        "free-threaded",
        "python",
        "free-threaded",
        Axis,
        r#"{"objects":"shared"}"#,
        "threads without the GIL, one tokenizer",
    ),
    spread(
        "free-threaded-copies",
        "python",
        "free-threaded",
        Axis,
        r#"{"objects":"per-thread"}"#,
        "threads without the GIL, a copy each",
    ),
    spread("pass-through", "python", "pass-through", One, "{}", "ids come with the request: the floor"),
    spread("rust-inline", "native", "rust-inline", One, "{}", "Rust, on one tokio thread"),
    spread("rust-blocking", "native", "rust-spawn-blocking", Axis, "{}", "Rust, tokio with bounded spawn_blocking"),
    spread("rust-rayon", "native", "rust-rayon", Axis, "{}", "Rust, a rayon pool"),
    spread("rust-threads", "native", "rust-threads", Axis, "{}", "Rust, dedicated threads"),
];

impl Spread {
    /// The parameters of its server.
    pub fn options(&self) -> Value {
        serde_json::from_str(self.options).unwrap_or_else(|_| json!({}))
    }

    /// Call paths of its stages: the same engines for all ways of a language.
    pub fn pipeline(&self) -> Value {
        if self.name == "subinterpreters" {
            // transformers imports tokenizers, whose extension loads in the main interpreter only.
            return json!({"template": "jinja2/render", "tokenize": "hf-tokenizers/encode", "collate": "numpy/pad"});
        }
        if self.kind == "native" {
            json!({"template": "minijinja/render", "tokenize": "hf-tokenizers/encode", "collate": "native/pad"})
        } else {
            json!({
                "template": "transformers/apply_chat_template",
                "tokenize": "hf-tokenizers/encode",
                "collate": "numpy/pad",
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_options_are_objects() {
        let all = SPREADS;
        let names: std::collections::BTreeSet<&str> = all.iter().map(|spread| spread.name).collect();
        assert_eq!(names.len(), all.len());
        for spread in all {
            assert!(serde_json::from_str::<serde_json::Map<String, Value>>(spread.options).is_ok(), "{}", spread.name);
        }
        assert!(names.contains(BASELINE));
    }
}
