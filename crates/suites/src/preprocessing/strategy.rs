//! The strategies: how the pipeline is spread over cores. The rows of experiment 5.

use serde_json::{Value, json};

/// How many workers a strategy has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// There is but one place where the work is done.
    One,
    /// The axis `workers` applies.
    Axis,
}

/// One strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strategy {
    /// On the axis `strategy`.
    pub name: &'static str,
    /// Kind of the servers: `native` or `python`.
    pub kind: &'static str,
    /// As the server knows it.
    pub server: &'static str,
    pub workers: Workers,
    /// What it is, in a few words.
    pub what: &'static str,
    options: &'static str,
}

const fn strategy(
    name: &'static str,
    kind: &'static str,
    server: &'static str,
    workers: Workers,
    options: &'static str,
    what: &'static str,
) -> Strategy {
    Strategy { name, kind, server, workers, what, options }
}

use Workers::{Axis, One};

/// The row that all others are compared with.
pub const BASELINE: &str = "inline";

/// All strategies, Python first; within a language from the plainest on.
pub const STRATEGIES: [Strategy; 25] = [
    strategy("inline", "python", "inline", One, "{}", "on the asyncio event loop"),
    strategy("executor-1", "python", "executor", One, r#"{"threads":1}"#, "asyncio, executor of one thread"),
    strategy(
        "executor-shared",
        "python",
        "executor",
        Axis,
        r#"{"objects":"shared"}"#,
        "executor of N threads, one tokenizer",
    ),
    strategy(
        "executor-copies",
        "python",
        "executor",
        Axis,
        r#"{"objects":"per-thread"}"#,
        "executor of N threads, a copy each",
    ),
    strategy("micro-batch-0", "python", "micro-batch", Axis, r#"{"wait_ms":0}"#, "queue before encode_batch, no wait"),
    strategy(
        "micro-batch-0.5",
        "python",
        "micro-batch",
        Axis,
        r#"{"wait_ms":0.5}"#,
        "queue before encode_batch, 0.5 ms",
    ),
    strategy("micro-batch-2", "python", "micro-batch", Axis, r#"{"wait_ms":2}"#, "queue before encode_batch, 2 ms"),
    strategy(
        "inner-on-1",
        "python",
        "inner-parallelism",
        One,
        r#"{"parallelism":"on","threads":1}"#,
        "tokenizer's own threads, one caller",
    ),
    strategy(
        "inner-off-n",
        "python",
        "inner-parallelism",
        Axis,
        r#"{"parallelism":"off"}"#,
        "N callers, tokenizer's threads off",
    ),
    strategy(
        "inner-on-n",
        "python",
        "inner-parallelism",
        Axis,
        r#"{"parallelism":"on"}"#,
        "N callers, each with the tokenizer's threads",
    ),
    strategy(
        "processes-pickle",
        "python",
        "process-pool",
        Axis,
        r#"{"result":"pickle"}"#,
        "process pool, pickled results",
    ),
    strategy(
        "processes-bytes",
        "python",
        "process-pool",
        Axis,
        r#"{"result":"bytes"}"#,
        "process pool, results as bytes",
    ),
    strategy(
        "processes-shared",
        "python",
        "process-pool",
        Axis,
        r#"{"result":"shared-memory"}"#,
        "process pool, results in shared memory",
    ),
    strategy(
        "http-uvicorn",
        "python",
        "http-workers",
        Axis,
        r#"{"server":"uvicorn"}"#,
        "N uvicorn processes on one port",
    ),
    strategy(
        "http-granian",
        "python",
        "http-workers",
        Axis,
        r#"{"server":"granian"}"#,
        "N granian processes on one port",
    ),
    strategy("sidecar-python", "python", "sidecar", Axis, r#"{"sidecar":"python"}"#, "asyncio front, Python sidecars"),
    strategy("sidecar-rust", "python", "sidecar", Axis, r#"{"sidecar":"rust"}"#, "asyncio front, one Rust sidecar"),
    strategy("subinterpreters", "python", "subinterpreters", Axis, "{}", "templates in subinterpreters"),
    strategy(
        "free-threaded",
        "python",
        "free-threaded",
        Axis,
        r#"{"objects":"shared"}"#,
        "threads without the GIL, one tokenizer",
    ),
    strategy(
        "free-threaded-copies",
        "python",
        "free-threaded",
        Axis,
        r#"{"objects":"per-thread"}"#,
        "threads without the GIL, a copy each",
    ),
    strategy("pass-through", "python", "pass-through", One, "{}", "ids come with the request: the floor"),
    strategy("rust-inline", "native", "rust-inline", One, "{}", "Rust, on one tokio thread"),
    strategy("rust-blocking", "native", "rust-spawn-blocking", Axis, "{}", "Rust, tokio with bounded spawn_blocking"),
    strategy("rust-rayon", "native", "rust-rayon", Axis, "{}", "Rust, a rayon pool"),
    strategy("rust-threads", "native", "rust-threads", Axis, "{}", "Rust, dedicated threads"),
];

impl Strategy {
    /// The parameters of its server.
    pub fn options(&self) -> Value {
        serde_json::from_str(self.options).unwrap_or_else(|_| json!({}))
    }

    /// Call paths of its stages: the same engines for all strategies of a language.
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
        let all = STRATEGIES;
        let names: std::collections::BTreeSet<&str> = all.iter().map(|strategy| strategy.name).collect();
        assert_eq!(names.len(), all.len());
        for strategy in all {
            assert!(
                serde_json::from_str::<serde_json::Map<String, Value>>(strategy.options).is_ok(),
                "{}",
                strategy.name
            );
        }
        assert!(names.contains(BASELINE));
    }
}
