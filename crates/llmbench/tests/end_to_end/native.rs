//! Runs without Python: the native rows are measured, the Python rows say what is missing.

use serde_json::Value;

use super::model;
use super::shell::{Shell, code};
use super::world::turn;

const SETTINGS: &str = "quick = true\nexp = [4]\nruns = [2]\nblocks = 3\n\
    [experiment.gil-scaling.axes]\ntokens = [4000]\nturns = [1]\nthreads = [1, 2]\n\
    [experiment.gil-scaling.params]\nwindow_ms = 10\n";

#[test]
fn native_rows_are_measured_and_python_rows_name_the_remedy() {
    let _turn = turn();
    let shell = Shell::new();
    model::write(&shell.path("model"), model::CHATML);
    shell.file("settings.toml", SETTINGS);
    let args = ["run", "preprocessing", "--config", "settings.toml", "--model", "model", "--python", "/nonexistent"];
    let output = shell.command(&args).env("HF_TOKEN", "hf_secret123").output().unwrap();
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(code(&output), 100, "{stderr}");

    let folder = shell.path("output/latest");
    let results = std::fs::read(folder.join("results.json")).unwrap();
    let results: Value = serde_json::from_slice(&results).unwrap();
    let records = results["records"].as_array().unwrap();
    let of = |subject: &str| -> Vec<&Value> { records.iter().filter(|r| r["subject"] == subject).collect() };
    assert!(!of("native").is_empty() && !of("python").is_empty());
    for record in of("native") {
        // Their reference is a Python row, so what they give is measured and cannot be checked.
        assert!(record["status"] == "ok" || record["status"] == "unchecked", "{record}");
        // The serial fraction alone can be negative: a speed-up beyond the number of threads is noise.
        let point = record["estimate"]["point"].as_f64().unwrap();
        assert!(point > 0.0 || record["metric"] == "serial_fraction" && point.is_finite(), "{record}");
    }
    for record in of("python") {
        assert_eq!(record["status"], "error", "{record}");
        assert!(record["error"].as_str().unwrap().contains("check the path"), "{record}");
    }

    for name in ["run.json", "samples.jsonl", "results.csv", "results.json", "report.html"] {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        assert!(!bytes.is_empty(), "{name}");
        assert!(!String::from_utf8_lossy(&bytes).contains("hf_secret123"), "{name} shows the token");
    }
    // The command that stands under the experiment, given to a shell, measures the same.
    let hash = |name: &str| -> Value {
        let info: Value = serde_json::from_slice(&std::fs::read(shell.path(name).join("run.json")).unwrap()).unwrap();
        info["plan_sha256"].clone()
    };
    let (planned, before) = (hash("output/latest"), folder.canonicalize().unwrap());
    let command = results["experiments"][0]["command"].as_str().unwrap();
    assert!(command.contains("--config settings.toml") && command.ends_with("--exp 4"), "{command}");
    let output = shell.sh(command);
    assert_eq!(code(&output), 100, "{}", String::from_utf8_lossy(&output.stderr));
    assert_ne!(folder.canonicalize().unwrap(), before, "it measured again");
    assert_eq!(hash("output/latest"), planned, "{command}");
    assert!(!stderr.contains("hf_secret123") && !String::from_utf8_lossy(&output.stdout).contains("hf_secret123"));
}
