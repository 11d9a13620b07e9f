//! A whole preprocessing run as data: four experiments in the shape that the suites give them, with everything that a
//! report must be able to show: intervals, one row without one, a mismatch, errors with long and hostile texts, a package
//! that is not there, findings of each kind, warnings. The figures are made up; their sizes are those of a real machine.

mod experiments;

use std::collections::BTreeMap;

use record::plan::{ModelIdentity, Plan, Runs, SubjectSpec, Unavailable};
use record::protocol::Ready;
use record::results::*;
use serde_json::json;

pub const RUN_ID: &str = "20261124T035745Z-preprocessing-1f0c9a7e";

/// What a tokenizer of a stranger may say: markup, escape sequences, many lines.
pub const HOSTILE: &str = "template error: <script>alert(\"x\")</script> & `code` | pipe\n  at line 3: {% for m in messages %}\u{1b}[31m\n  \
     see https://example.invalid/issue?a=1&b=2 for the reason that nobody will ever read to its end because it goes on and on";

pub fn results() -> Results {
    let experiments =
        vec![experiments::anatomy(), experiments::history_tax(), experiments::gpu_wait(), experiments::gil_scaling()];
    Results {
        schema: record::SCHEMA,
        run_id: RUN_ID.into(),
        suite: "preprocessing".into(),
        records: records(),
        experiments,
    }
}

pub fn estimate(point: f64, relative: f64) -> Estimate {
    Estimate {
        point,
        lower: Some(point / (1.0 + relative)),
        upper: Some(point * (1.0 + relative)),
        level: 0.95,
        method: "log-t".into(),
        runs: 5,
        samples: 15,
    }
}

pub fn record(experiment_id: u32, experiment: &str, cell: &str, estimate: Option<Estimate>) -> Record {
    Record {
        schema: record::SCHEMA,
        run_id: RUN_ID.into(),
        suite: "preprocessing".into(),
        experiment_id,
        experiment: experiment.into(),
        cell_id: cell.into(),
        subject: "python".into(),
        engine: "hf-tokenizers".into(),
        engine_version: "0.23.1".into(),
        call_path: "Tokenizer.encode".into(),
        strategy: "inline".into(),
        workers: 1,
        interpreter: "CPython 3.12.1".into(),
        gil: "enabled".into(),
        cache: "warm".into(),
        model_sha: "9f".repeat(32),
        workload_sha: "3c".repeat(32),
        axes: BTreeMap::from([("tokens".to_owned(), json!(1000)), ("turns".to_owned(), json!(3))]),
        stage: "tokenize".into(),
        metric: "time".into(),
        unit: "ns".into(),
        estimate,
        baseline_cell_id: None,
        verdict: None,
        status: Status::Ok,
        error: None,
    }
}

fn failed(experiment_id: u32, experiment: &str, cell: &str, status: Status, error: &str) -> Record {
    Record { status, error: Some(error.into()), ..record(experiment_id, experiment, cell, None) }
}

fn records() -> Vec<Record> {
    let base = "anatomy/python/tokenize/transformers.__call__/tokens=1000";
    let mut out = vec![
        record(1, "anatomy", base, Some(estimate(1.842e6, 0.021))),
        Record {
            baseline_cell_id: Some(base.into()),
            verdict: Some("faster".into()),
            metric: "time_ratio".into(),
            unit: "ratio".into(),
            estimate: Some(estimate(0.2415, 0.018)),
            ..record(1, "anatomy", "anatomy/native/tokenize/encode_fast/tokens=1000", None)
        },
        Record {
            metric: "noise_floor".into(),
            unit: "1".into(),
            estimate: Some(estimate(0.0234, 0.001)),
            ..record(1, "anatomy", "anatomy/python/tokenize/twin/tokens=1000", None)
        },
        failed(
            1,
            "anatomy",
            "anatomy/python/tokenize/tiktoken.encode/tokens=1000",
            Status::Mismatch,
            "ids differ from tokenizers 0.23 at position 17 of request 3: 1043 instead of 220",
        ),
        failed(1, "anatomy", "anatomy/python/template/jinja2.render/tokens=1000", Status::Error, HOSTILE),
        failed(
            1,
            "anatomy",
            "anatomy/python/collate/torch.pad_sequence/tokens=1000",
            Status::Unavailable,
            "torch is not installed in this environment; install it there and pass --no-env --python PYTHON",
        ),
        failed(
            2,
            "history-tax",
            "history-tax/python/total/turns=100",
            Status::Timeout,
            "the block took longer than 60 s; the worker was stopped",
        ),
    ];
    for threads in [1, 2, 4, 8, 16, 32] {
        out.push(failed(
            4,
            "gil-scaling",
            &format!("gil-scaling/python-3.13t/tokenize/Tokenizer.encode/threads={threads}"),
            Status::Unavailable,
            "no free-threaded Python was found; install one with `uv python install 3.13t` and pass --python python3.13t",
        ));
    }
    out
}

fn fact(key: &str, title: &str, value: &str, verdict: FactVerdict, remedy: Option<&str>) -> Fact {
    Fact { key: key.into(), title: title.into(), value: value.into(), verdict, remedy: remedy.map(str::to_owned) }
}

pub fn run_info() -> RunInfo {
    let subject = |id: &str, kind: &str, unavailable: Option<Unavailable>| SubjectSpec {
        id: id.into(),
        kind: kind.into(),
        program: "python3".into(),
        args: vec![],
        env: BTreeMap::new(),
        lock: None,
        unavailable,
    };
    RunInfo {
        schema: record::SCHEMA,
        run_id: RUN_ID.into(),
        llmbench: "0.1.0".into(),
        binary_sha256: "ab12".repeat(16),
        started: "2026-11-24T03:57:45Z".into(),
        command: ["llmbench", "run", "preprocessing", "--quick", "--seed", "7"].map(str::to_owned).to_vec(),
        options: serde_json::Value::Null,
        plan_sha256: "1f0c9a7e".repeat(8),
        plan: Plan {
            schema: record::SCHEMA,
            suite: "preprocessing".into(),
            profile: "quick".into(),
            seed: 7,
            timestamp: 1_795_492_665,
            model: ModelIdentity { name: "built-in".into(), sha256: "9f".repeat(32) },
            subjects: vec![
                subject("native", "native", None),
                subject("python", "python", None),
                subject(
                    "python-3.13t",
                    "python",
                    Some(Unavailable { reason: "no free-threaded Python was found".into(), required: false }),
                ),
            ],
            workloads: vec![],
            cells: vec![],
            runs: Runs { looks: vec![5], target_share: 0.8, target_half_width: 0.05, budget_s: 150.0, blocks: 3 },
            settings: BTreeMap::new(),
        },
        loops: BTreeMap::new(),
        workload_sha256: BTreeMap::from([
            ("words-t1000-n3".to_owned(), "3c".repeat(32)),
            ("words-t10000-n100".to_owned(), "d4".repeat(32)),
        ]),
        subjects: BTreeMap::from([
            (
                "native".to_owned(),
                Ready {
                    worker: "native".into(),
                    interpreter: "rustc 1.95.0".into(),
                    gil: "none".into(),
                    versions: BTreeMap::from([
                        ("minijinja".to_owned(), "3.1.0".to_owned()),
                        ("tokenizers".to_owned(), "0.23.1".to_owned()),
                    ]),
                    ..Ready::default()
                },
            ),
            (
                "python".to_owned(),
                Ready {
                    worker: "python".into(),
                    interpreter: "CPython 3.12.1".into(),
                    gil: "enabled".into(),
                    versions: ["jinja2 3.1.6", "numpy 2.4.0", "pydantic 2.13.1", "tiktoken 0.14.0", "tokenizers 0.23.1", "transformers 5.4.0"]
                        .iter()
                        .filter_map(|v| v.split_once(' '))
                        .map(|(name, version)| (name.to_owned(), version.to_owned()))
                        .collect(),
                    ..Ready::default()
                },
            ),
        ]),
        machine: vec![
            fact("cpu.model", "CPU", "Intel(R) Xeon(R) Processor @ 2.60GHz", FactVerdict::Info, None),
            fact("cpu.cores", "CPU cores", "2 physical, 2 logical, SMT off", FactVerdict::Info, None),
            fact("cpu.effective", "Effective cores", "2 (affinity 2, cgroup quota none)", FactVerdict::Ok, None),
            fact(
                "cpu.governor",
                "CPU governor",
                "powersave",
                FactVerdict::Warn,
                Some("sudo cpupower frequency-set --governor performance"),
            ),
            fact("cpu.turbo", "Turbo boost", "unknown", FactVerdict::Unknown, None),
            fact("load.average", "Load average (1 min)", "3.41", FactVerdict::Bad, Some("stop other work on this machine and run again")),
            fact("memory.total", "Memory", "16.8 GB", FactVerdict::Info, None),
            fact("gpu.0", "GPU", "none", FactVerdict::Info, None),
            fact("os.kernel", "Kernel", "Linux 6.12.9", FactVerdict::Info, None),
            fact("clock.source", "Clock source", "tsc", FactVerdict::Ok, None),
        ],
        boot_id: None,
        stopped: Some("runs".into()),
        wall_s: BTreeMap::from([
            ("calibration".to_owned(), 9.3),
            ("runs".to_owned(), 128.4),
            ("setup".to_owned(), 41.0),
            ("timed_share".to_owned(), 0.71),
        ]),
        warnings: vec!["Lag-1 autocorrelation of the runs is 0.42: the intervals hold for this session only; run again on an idle machine.".into()],
    }
}
