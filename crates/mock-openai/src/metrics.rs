//! Counters and histograms, and their text for Prometheus under vLLM's names.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::engine::Counts;
use crate::truth::{Outcome, Truth};

/// Upper bounds of the buckets of latencies, s: 1 ms to 2,560 s as vLLM has them.
const BOUNDS_S: [f64; 22] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
];

/// A histogram of durations that any thread adds to.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_S.len()],
    count: AtomicU64,
    sum_ns: AtomicU64,
}

impl Histogram {
    pub fn observe(&self, ns: u64) {
        let seconds = ns as f64 / 1e9;
        let bucket = BOUNDS_S.partition_point(|bound| *bound < seconds);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Relaxed);
        }
        self.count.fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(ns, Relaxed);
    }

    fn write(&self, name: &str, what: &str, labels: &str, out: &mut String) {
        family(name, "histogram", what, out);
        let mut below = 0;
        for (bucket, bound) in self.buckets.iter().zip(BOUNDS_S) {
            below += bucket.load(Relaxed);
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound:?}\"}} {below}");
        }
        let count = self.count.load(Relaxed).max(below);
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "{name}_count{{{labels}}} {count}");
        let _ = writeln!(out, "{name}_sum{{{labels}}} {:?}", self.sum_ns.load(Relaxed) as f64 / 1e9);
    }
}

/// All that is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    engine: Mutex<Counts>,
    prompt_tokens: AtomicU64,
    generation_tokens: AtomicU64,
    queue: Histogram,
    prefill: Histogram,
    decode: Histogram,
    first_token: Histogram,
    end_to_end: Histogram,
    stopped: AtomicU64,
    length: AtomicU64,
    aborted: AtomicU64,
    refused: AtomicU64,
    /// How late the engine's thread was at the end of a step.
    step_late: Histogram,
    /// Pauses in accepting connections because the process may open no more files.
    pub accepts_paused: AtomicU64,
}

impl Metrics {
    /// What the engine holds after its last step, and how late it was.
    pub fn engine(&self, counts: Counts, late_ns: Option<u64>) {
        *self.engine.lock().unwrap_or_else(PoisonError::into_inner) = counts;
        if let Some(late_ns) = late_ns {
            self.step_late.observe(late_ns);
        }
    }

    /// What the engine holds.
    pub fn counts(&self) -> Counts {
        *self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tokens were given to sockets or answers.
    pub fn generated(&self, tokens: u64) {
        self.generation_tokens.fetch_add(tokens, Relaxed);
    }

    /// A request is over.
    pub fn finished(&self, truth: &Truth, stopped: bool) {
        match truth.outcome {
            Outcome::Complete if stopped => &self.stopped,
            Outcome::Complete => &self.length,
            Outcome::Aborted | Outcome::Cut => &self.aborted,
            Outcome::Refused => &self.refused,
        }
        .fetch_add(1, Relaxed);
        if truth.outcome == Outcome::Refused {
            return;
        }
        for choice in &truth.choices {
            if let (Some(queued), Some(admitted)) = (choice.queued_ns, choice.admitted_ns) {
                self.queue.observe(admitted.saturating_sub(queued));
                self.prompt_tokens.fetch_add(u64::from(choice.prompt_tokens), Relaxed);
            }
            if let (Some(admitted), Some(first)) = (choice.admitted_ns, choice.first_token_ns) {
                self.prefill.observe(first.saturating_sub(admitted));
            }
            if let (Some(first), Some(last)) = (choice.first_token_ns, choice.last_token_ns) {
                self.decode.observe(last.saturating_sub(first));
            }
        }
        if let Some(&written) = truth.written_ns.first() {
            self.first_token.observe(written.saturating_sub(truth.received_ns));
            self.end_to_end.observe(truth.finished_ns.saturating_sub(truth.received_ns));
        }
    }

    /// The text format of Prometheus, version 0.0.4.
    pub fn text(&self, model: &str) -> String {
        let labels = format!(
            "engine=\"0\",model_name=\"{}\"",
            model.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
        );
        let counts = self.counts();
        let mut out = String::with_capacity(16 << 10);
        let usage = counts.blocks_used as f64 / counts.blocks.max(1) as f64;
        for (name, what, value) in [
            ("vllm:num_requests_running", "Sequences in the engine's batch.", counts.running as f64),
            ("vllm:num_requests_waiting", "Sequences that wait for the engine.", counts.waiting as f64),
            ("vllm:kv_cache_usage_perc", "Share of the KV cache that sequences hold (1 is all of it).", usage),
        ] {
            family(name, "gauge", what, &mut out);
            let _ = writeln!(out, "{name}{{{labels}}} {value:?}");
        }
        let total = |counter: &AtomicU64| counter.load(Relaxed);
        for (name, what, value) in [
            (
                "vllm:prompt_tokens_total",
                "Prompt tokens of admitted sequences, as their requests end.",
                total(&self.prompt_tokens),
            ),
            ("vllm:generation_tokens_total", "Tokens given to clients.", total(&self.generation_tokens)),
            ("vllm:prefix_cache_queries_total", "Prompt tokens that were looked up.", counts.prefix_queries),
            ("vllm:prefix_cache_hits_total", "Prompt tokens that were found.", counts.prefix_hits),
            ("vllm:num_preemptions_total", "Sequences put back for want of KV blocks.", counts.preemptions),
            ("mock:steps_total", "Steps of the engine.", counts.steps),
            (
                "mock:accepts_paused_total",
                "Pauses in accepting connections, for want of files.",
                total(&self.accepts_paused),
            ),
        ] {
            family(name, "counter", what, &mut out);
            let _ = writeln!(out, "{name}{{{labels}}} {value}");
        }
        family("vllm:request_success_total", "counter", "Requests by the reason of their end.", &mut out);
        for (reason, value) in
            [("stop", &self.stopped), ("length", &self.length), ("abort", &self.aborted), ("error", &self.refused)]
        {
            let _ =
                writeln!(out, "vllm:request_success_total{{{labels},finished_reason=\"{reason}\"}} {}", total(value));
        }
        for (name, what, histogram) in [
            (
                "vllm:time_to_first_token_seconds",
                "From the request's last byte to the write of the first token.",
                &self.first_token,
            ),
            ("vllm:e2e_request_latency_seconds", "From the request's last byte to the answer's.", &self.end_to_end),
            ("vllm:request_queue_time_seconds", "From ready to admitted.", &self.queue),
            ("vllm:request_prefill_time_seconds", "From admitted to the first token.", &self.prefill),
            ("vllm:request_decode_time_seconds", "From the first token to the last.", &self.decode),
            ("mock:step_late_seconds", "How late the engine's thread was at the end of a step.", &self.step_late),
        ] {
            histogram.write(name, what, &labels, &mut out);
        }
        out
    }
}

fn family(name: &str, kind: &str, what: &str, out: &mut String) {
    let _ = writeln!(out, "# HELP {name} {what}\n# TYPE {name} {kind}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_closed_above() {
        let histogram = Histogram::default();
        for ns in [1_000_000, 1_000_001, 30_000_000, 9_000_000_000_000] {
            histogram.observe(ns);
        }
        let mut text = String::new();
        histogram.write("x", "", "a=\"b\"", &mut text);
        for line in [
            "x_bucket{a=\"b\",le=\"0.001\"} 1",
            "x_bucket{a=\"b\",le=\"0.005\"} 2",
            "x_bucket{a=\"b\",le=\"0.02\"} 2",
            "x_bucket{a=\"b\",le=\"0.04\"} 3",
            "x_bucket{a=\"b\",le=\"2560.0\"} 3",
            "x_bucket{a=\"b\",le=\"+Inf\"} 4",
            "x_count{a=\"b\"} 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn names_and_labels() {
        let text = Metrics::default().text("a\"b");
        assert!(text.contains("vllm:num_requests_running{engine=\"0\",model_name=\"a\\\"b\"} 0.0\n"));
        assert!(
            text.contains(
                "vllm:request_success_total{engine=\"0\",model_name=\"a\\\"b\",finished_reason=\"length\"} 0\n"
            )
        );
    }
}
