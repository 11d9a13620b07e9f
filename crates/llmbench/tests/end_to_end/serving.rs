//! The serving suite with real workers: the mock, the sidecar between, and the gate that compares what the strategies get.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::Value;

use super::model;
use super::shell::{Shell, code};
use super::world::turn;

const SETTINGS: &str = "quick = true\nexp = [3]\nruns = [2]\nmodel = \"model\"\n\
    [experiment.sidecar.axes]\ntokens = [200]\nturns = [3]\nconcurrency = [1, 2]\n\
    [experiment.sidecar.params]\nspan_ms = 200\n";

/// Runs the experiment, and gives the exit code, the rows and the samples of the runs.
fn measured(shell: &Shell, more: &[&str]) -> (i32, Vec<Value>, Vec<Value>) {
    shell.file("settings.toml", SETTINGS);
    let args = [&["run", "serving", "--config", "settings.toml", "--no-plots"], more].concat();
    let output = shell.output(&args);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let folder = shell.path("output/latest");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_else(|_| panic!("{name}: {stderr}"));
    let results: Value = serde_json::from_str(&read("results.json")).unwrap();
    let records = results["records"].as_array().unwrap().clone();
    let events = read("samples.jsonl");
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let samples = events.filter(|event| event["event"] == "sample").map(|event| event["sample"].clone());
    (code(&output), records, samples.collect())
}

/// The strategy of a sample, from the name of its cell.
fn strategy(sample: &Value) -> &str {
    let axis = sample["cell_id"].as_str().unwrap().split("strategy=").nth(1).unwrap();
    axis.split([',', '#']).next().unwrap()
}

/// A mock with a template and a tokenizer of its own, for as long as this lives.
struct Mock {
    child: Child,
    url: String,
}

impl Mock {
    fn start(shell: &Shell, model: &str) -> Self {
        let args = ["mock", "--port", "0", "--step-ms", "1", "--tokenizer", model];
        let mut child = shell.command(&args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut url).unwrap();
        Self { child, url: url.trim().to_owned() }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn all_strategies_pass_the_gate_on_the_mock() {
    let _turn = turn();
    let shell = Shell::new();
    model::write(&shell.path("model"), model::CHATML);
    let (code, records, samples) = measured(&shell, &[]);
    assert_eq!(code, 0, "{records:#?}");
    // On a busy machine the client may have been late; then the row says so.
    assert!(records.iter().all(|record| record["status"] == "ok" || record["status"] == "invalid"), "{records:#?}");
    // 4 strategies at 2 loads and a twin at each, in 2 runs.
    assert_eq!(samples.len(), 20);
    for sample in &samples {
        let reading = |name: &str| sample["readings"][name].as_f64();
        for name in ["gate_requests", "gate_counts", "gate_texts"] {
            assert_eq!(reading(name), Some(4.0), "{name} of {}", strategy(sample));
        }
        // The prompts are as long as the workload wants them, within a word.
        let tokens = reading("prompt_tokens").unwrap();
        assert!((tokens / 200.0 - 1.0).abs() < 0.05, "{tokens} in {}", strategy(sample));
        assert_eq!(
            reading("sidecar_cpu_ns_per_request").is_some(),
            strategy(sample) == "sidecar",
            "{}",
            strategy(sample)
        );
        assert_eq!(reading("failed"), Some(0.0));
    }
}

#[test]
fn a_server_with_another_template_fails_the_gate_for_messages_alone() {
    let _turn = turn();
    let shell = Shell::new();
    model::write(&shell.path("model"), model::CHATML);
    model::write(&shell.path("other"), &format!("Be brief.\n{}", model::CHATML));
    let mock = Mock::start(&shell, "other");
    let (code, records, samples) = measured(&shell, &["--base-url", &mock.url]);
    assert_eq!(code, 101, "a check mismatched");
    let of = |strategy: &str| -> Vec<&Value> {
        records.iter().filter(|record| record["axes"]["strategy"] == strategy).collect()
    };
    assert!(!of("messages").is_empty());
    for record in of("messages") {
        assert_eq!(record["status"], "mismatch", "{record}");
        let error = record["error"].as_str().unwrap();
        assert!(error.contains("prompt tokens as messages") && error.contains("template"), "{error}");
        assert!(record["estimate"].is_null() || record["metric"] != "tax", "{record}");
    }
    // What the client and the sidecar have prepared does not depend on the server's template.
    for strategy in ["text", "sidecar", "ids"] {
        let rows = of(strategy);
        assert!(rows.iter().any(|record| record["metric"] == "ttft_p50" && record["estimate"]["point"].is_number()));
        assert!(rows.iter().all(|record| record["status"] == "ok" || record["status"] == "invalid"), "{rows:#?}");
    }
    assert!(samples.iter().all(|sample| strategy(sample) != "messages"));
}
