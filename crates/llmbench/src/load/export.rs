//! Results as JSON with the keys of `vllm bench serve`, so that existing dashboards read them, and what these have no key for
//! under `llmbench`.
//!
//! Two differences are stated in each file: latencies count from when a request was due (`latency_from`), and percentiles are by
//! nearest rank (those clients interpolate).

use std::path::Path;

use loadgen::outcome::Outcome;
use loadgen::serving::Run;
use loadgen::serving::record::From;
use loadgen::serving::samples_file;
use loadgen::serving::target::HttpVersion;
use serde_json::{Map, Value, json};
use server_api::json::Raw;

use super::outcome::RunOutcome;
use super::points::Point;
use super::table::Metric;

/// What is the same in all files of a command.
#[derive(Debug, Clone)]
pub struct Header {
    pub backend: String,
    pub model: Option<String>,
    pub tokenizer: Option<String>,
    pub base_url: String,
    pub http_version: HttpVersion,
    pub workload: String,
    pub num_prompts: Option<usize>,
    pub burstiness: f64,
    pub label: Option<String>,
    pub metadata: Vec<(String, String)>,
    pub seed: u64,
    /// Metrics and percentiles to write.
    pub metrics: Vec<Metric>,
    pub percentiles: Vec<f64>,
}

/// One run of a point as one JSON object.
pub fn run(header: &Header, point: Point, outcome: &RunOutcome) -> Value {
    let figures = &outcome.figures;
    let (rate, concurrency) = match point {
        Point::Rate { rate, cap } => (json!(rate), json!(cap)),
        Point::Concurrency { users } => (json!("inf"), json!(users)),
        Point::Trace { cap } => (json!("trace"), json!(cap)),
        Point::Ramp { cap, .. } | Point::Steps { cap, .. } => (json!("inf"), json!(cap)),
    };
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| drop(out.insert(key.to_owned(), value));
    put("date", json!(compact(&outcome.started)));
    put("endpoint_type", json!(header.backend));
    put("backend", json!(header.backend));
    put("label", json!(header.label));
    put("model_id", json!(header.model));
    put("tokenizer_id", json!(header.tokenizer));
    put("num_prompts", json!(header.num_prompts.unwrap_or(figures.sent)));
    for (key, value) in &header.metadata {
        put(key, json!(value));
    }
    put("request_rate", rate);
    put("burstiness", json!(header.burstiness));
    put("max_concurrency", concurrency);
    if let Point::Ramp { strategy, from, to, .. } = point {
        put("ramp_up_strategy", json!(strategy));
        put("ramp_up_start_rps", json!(from));
        put("ramp_up_end_rps", json!(to));
    }
    put("duration", json!(figures.duration_s));
    put("completed", json!(figures.completed));
    put("failed", json!(figures.failed));
    put("total_input_tokens", json!(figures.input_tokens));
    put("total_output_tokens", json!(figures.output_tokens));
    put("request_throughput", json!(figures.request_throughput));
    put("request_goodput", json!(figures.goodput));
    put("output_throughput", json!(figures.output_throughput));
    put("total_token_throughput", json!(figures.total_throughput));
    put("max_concurrent_requests", json!(figures.most_in_flight));
    for metric in &header.metrics {
        let Some(distribution) = metric.of(figures) else { continue };
        let key = metric.key();
        put(&format!("mean_{key}_ms"), json!(distribution.mean / 1e6));
        put(&format!("median_{key}_ms"), json!(distribution.median() / 1e6));
        put(&format!("std_{key}_ms"), json!(distribution.std / 1e6));
        for percentile in &header.percentiles {
            put(&format!("p{percentile}_{key}_ms"), json!(distribution.percentile(*percentile).map(|ns| ns / 1e6)));
        }
    }
    put(
        "llmbench",
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "base_url": header.base_url,
            "http_version": header.http_version,
            "workload": header.workload,
            "seed": header.seed,
            "point": point,
            "latency_from": "scheduled",
            "percentile_method": "nearest-rank",
            "valid": outcome.verdict.is_valid(),
            "reasons": outcome.verdict.reasons.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "run": outcome,
        }),
    );
    Value::Object(out)
}

/// Adds the lists of `--save-detailed`, in seconds as those files have them.
///
/// # Errors
/// When the file of samples cannot be read.
pub fn add_details(out: &mut Value, run: &Run, samples: &Path) -> std::io::Result<()> {
    let count = run.records.len();
    let (mut itls, mut texts) = (vec![Value::Array(Vec::new()); count], vec![String::new(); count]);
    samples_file::read(samples, |entry| {
        let index = entry.request as usize;
        if index < count {
            itls[index] = entry.gaps_ns.iter().map(|gap| json!(*gap as f64 / 1e9)).collect();
            texts[index] = Raw(&entry.text).decode();
        }
    })?;
    let list = |of: &dyn Fn(&loadgen::serving::record::Record) -> Value| run.records.iter().map(of).collect::<Vec<_>>();
    let seconds = |ns: Option<u64>| json!(ns.map_or(0.0, |ns| ns as f64 / 1e9));
    let lists = json!({
        "input_lens": list(&|record| json!(record.prompt_tokens)),
        "output_lens": list(&|record| json!(record.output_tokens)),
        "start_times": list(&|record| json!(record.scheduled_ns.saturating_sub(run.start_ns) as f64 / 1e9)),
        "ttfts": list(&|record| seconds(record.ttft_ns(From::Scheduled))),
        "itls": itls,
        "generated_texts": texts,
        "errors": list(&|record| match record.outcome {
            Outcome::Failed(class) => json!(class.name()),
            Outcome::Ok | Outcome::Pending => json!(""),
        }),
    });
    if let (Value::Object(out), Value::Object(lists)) = (out, lists) {
        out.extend(lists);
    }
    Ok(())
}

/// The name of a result file, as those clients form it: `[label-]rateqps[-concurrencyN]-model-date.json`.
pub fn file_name(header: &Header, point: Point, started: &str) -> String {
    let label = header.label.clone().unwrap_or_else(|| header.backend.clone());
    let load = match point {
        Point::Rate { rate, cap: None } => format!("{rate}qps"),
        Point::Rate { rate, cap: Some(cap) } => format!("{rate}qps-concurrency{cap}"),
        Point::Concurrency { users } => format!("infqps-concurrency{users}"),
        Point::Trace { .. } => "trace".to_owned(),
        Point::Ramp { strategy, from, to, cap } => {
            let cap = cap.map(|cap| format!("-concurrency{cap}")).unwrap_or_default();
            format!("ramp-up-{strategy}-{from}qps-{to}qps{cap}")
        }
        Point::Steps { peak, .. } => format!("steps-{peak}qps"),
    };
    let model = header.model.as_deref().unwrap_or("model");
    let model = model.rsplit('/').next().unwrap_or(model);
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    format!("{label}-{load}-{model}-{}", compact(started)).chars().map(plain).collect::<String>() + ".json"
}

/// `20261124-120000` of `2026-11-24T12:00:00Z`.
fn compact(started: &str) -> String {
    started.replace(['-', ':', 'Z'], "").replace('T', "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::varying::Strategy;

    #[test]
    fn names_of_files() {
        let header = Header {
            backend: "openai-chat".to_owned(),
            model: Some("Qwen/Qwen3-0.6B".to_owned()),
            tokenizer: None,
            base_url: String::new(),
            http_version: HttpVersion::Http1,
            workload: String::new(),
            num_prompts: None,
            burstiness: 1.0,
            label: None,
            metadata: Vec::new(),
            seed: 0,
            metrics: Vec::new(),
            percentiles: Vec::new(),
        };
        let name = |point| file_name(&header, point, "2026-11-24T12:34:56Z");
        assert_eq!(name(Point::Rate { rate: 2.5, cap: None }), "openai-chat-2.5qps-Qwen3-0.6B-20261124-123456.json");
        assert_eq!(
            name(Point::Ramp { strategy: Strategy::Linear, from: 1.0, to: 9.5, cap: Some(4) }),
            "openai-chat-ramp-up-linear-1qps-9.5qps-concurrency4-Qwen3-0.6B-20261124-123456.json"
        );
        assert_eq!(
            name(Point::Concurrency { users: 8 }),
            "openai-chat-infqps-concurrency8-Qwen3-0.6B-20261124-123456.json"
        );
    }
}
