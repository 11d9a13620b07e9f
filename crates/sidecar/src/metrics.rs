//! What a sidecar counts, as Prometheus reads it.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of stages on this machine, seconds.
const STAGE: [f64; 16] =
    [0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0];
/// Upper bounds of waits for the upstream, seconds.
const UPSTREAM: [f64; 16] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Counts of durations by bound.
pub struct Histogram {
    bounds: &'static [f64; 16],
    /// One more than bounds: what is above all.
    counts: [AtomicU64; 17],
    sum_ns: AtomicU64,
}

impl Histogram {
    fn new(bounds: &'static [f64; 16]) -> Self {
        Self { bounds, counts: Default::default(), sum_ns: AtomicU64::new(0) }
    }

    /// Counts one duration, ns.
    pub fn observe_ns(&self, ns: u64) {
        let seconds = ns as f64 / 1e9;
        let at = self.bounds.iter().position(|bound| seconds <= *bound).unwrap_or(self.bounds.len());
        self.counts[at].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(ns, Relaxed);
    }

    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        self.observe_ns(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many were counted, and their mean in seconds; none without any.
    pub fn mean_s(&self) -> Option<f64> {
        let count: u64 = self.counts.iter().map(|count| count.load(Relaxed)).sum();
        (count > 0).then(|| self.sum_ns.load(Relaxed) as f64 / 1e9 / count as f64)
    }

    fn write(&self, name: &str, help: &str, out: &mut String) {
        head(name, "histogram", help, out);
        let mut count = 0;
        for (bound, counted) in self.bounds.iter().zip(&self.counts) {
            count += counted.load(Relaxed);
            line(out, format_args!("{name}_bucket{{le=\"{bound}\"}} {count}"));
        }
        count += self.counts[self.bounds.len()].load(Relaxed);
        line(out, format_args!("{name}_bucket{{le=\"+Inf\"}} {count}"));
        line(out, format_args!("{name}_sum {}", self.sum_ns.load(Relaxed) as f64 / 1e9));
        line(out, format_args!("{name}_count {count}"));
    }
}

/// How a chat request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The whole answer was handed to the client's socket.
    Answered,
    /// 4xx of ours.
    Refused,
    /// 503: the queue was full, or the sidecar drains.
    Overloaded,
    /// The upstream's own error status was passed on.
    UpstreamStatus,
    /// The upstream could not be reached, went silent, broke off, or sent what its API does not.
    UpstreamFailed,
    /// The client went before it had its answer.
    ClientGone,
    /// A mistake of ours.
    Internal,
}

const OUTCOMES: [(Outcome, &str); 7] = [
    (Outcome::Answered, "answered"),
    (Outcome::Refused, "refused"),
    (Outcome::Overloaded, "overloaded"),
    (Outcome::UpstreamStatus, "upstream_status"),
    (Outcome::UpstreamFailed, "upstream_failed"),
    (Outcome::ClientGone, "client_gone"),
    (Outcome::Internal, "internal"),
];

/// All counters of a sidecar.
pub struct Metrics {
    outcomes: [AtomicU64; OUTCOMES.len()],
    pub in_flight: AtomicU64,
    pub prompt_tokens: AtomicU64,
    pub upstream_connections: AtomicU64,
    /// Waiting for a worker.
    pub queue: Histogram,
    pub json: Histogram,
    pub template: Histogram,
    pub tokenize: Histogram,
    /// From sending to the upstream to the first byte of its answer's body, or its head where it has none.
    pub upstream_first: Histogram,
    /// From sending to the upstream to the end of its answer.
    pub upstream: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            outcomes: Default::default(),
            in_flight: AtomicU64::new(0),
            prompt_tokens: AtomicU64::new(0),
            upstream_connections: AtomicU64::new(0),
            queue: Histogram::new(&STAGE),
            json: Histogram::new(&STAGE),
            template: Histogram::new(&STAGE),
            tokenize: Histogram::new(&STAGE),
            upstream_first: Histogram::new(&UPSTREAM),
            upstream: Histogram::new(&UPSTREAM),
        }
    }
}

impl Metrics {
    /// A chat request has ended.
    pub fn ended(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].fetch_add(1, Relaxed);
    }

    /// How many ended so.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize].load(Relaxed)
    }

    /// The text that Prometheus reads (exposition format 0.0.4). `queued` requests wait for a worker; bodies of `held` bytes are there.
    pub fn render(&self, queued: usize, held: usize) -> String {
        let mut out = String::with_capacity(8 << 10);
        let name = "llmbench_sidecar_requests_total";
        head(name, "counter", "Chat requests by how they ended.", &mut out);
        for (outcome, word) in OUTCOMES {
            line(&mut out, format_args!("{name}{{outcome=\"{word}\"}} {}", self.count(outcome)));
        }
        for (name, kind, help, value) in [
            ("in_flight", "gauge", "Chat requests under way.", self.in_flight.load(Relaxed)),
            ("queued", "gauge", "Chat requests that wait for a worker.", queued as u64),
            ("held_bytes", "gauge", "Bytes of requests that are read or wait.", held as u64),
            ("prompt_tokens_total", "counter", "Tokens of prompts sent upstream.", self.prompt_tokens.load(Relaxed)),
            (
                "upstream_connections_total",
                "counter",
                "Connections opened to the upstream.",
                self.upstream_connections.load(Relaxed),
            ),
        ] {
            let name = format!("llmbench_sidecar_{name}");
            head(&name, kind, help, &mut out);
            line(&mut out, format_args!("{name} {value}"));
        }
        for (name, help, histogram) in [
            ("queue", "Waiting for a worker.", &self.queue),
            ("json", "Reading the request's JSON and writing the upstream's.", &self.json),
            ("template", "Rendering the chat template.", &self.template),
            ("tokenize", "Tokenizing the prompt.", &self.tokenize),
            ("upstream_first_byte", "From sending upstream to the first byte of the answer.", &self.upstream_first),
            ("upstream", "From sending upstream to the end of the answer.", &self.upstream),
        ] {
            histogram.write(&format!("llmbench_sidecar_{name}_seconds"), help, &mut out);
        }
        out
    }
}

fn head(name: &str, kind: &str, help: &str, out: &mut String) {
    line(out, format_args!("# HELP {name} {help}"));
    line(out, format_args!("# TYPE {name} {kind}"));
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_end_with_all() {
        let metrics = Metrics::default();
        for ns in [10_000, 20_000, 20_001, 7_000_000_000] {
            metrics.template.observe_ns(ns);
        }
        metrics.ended(Outcome::ClientGone);
        let text = metrics.render(3, 7);
        for line in [
            "llmbench_sidecar_template_seconds_bucket{le=\"0.00002\"} 2",
            "llmbench_sidecar_template_seconds_bucket{le=\"0.00005\"} 3",
            "llmbench_sidecar_template_seconds_bucket{le=\"5\"} 3",
            "llmbench_sidecar_template_seconds_bucket{le=\"+Inf\"} 4",
            "llmbench_sidecar_template_seconds_count 4",
            "llmbench_sidecar_requests_total{outcome=\"client_gone\"} 1",
            "llmbench_sidecar_requests_total{outcome=\"answered\"} 0",
            "llmbench_sidecar_queued 3",
            "llmbench_sidecar_held_bytes 7",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
        }
        let mean = metrics.template.mean_s().unwrap();
        assert!((mean - 7.000_050_001 / 4.0).abs() < 1e-9, "{mean}");
    }

    #[test]
    fn every_outcome_has_its_place() {
        for (at, (outcome, _)) in OUTCOMES.iter().enumerate() {
            assert_eq!(*outcome as usize, at);
        }
    }
}
