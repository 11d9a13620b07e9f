//! A run folder whose times follow known laws, so that every answer can be computed by hand.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use record::folder::RunFolder;
use record::measurements::Measurements;
use record::plan::{Cell, ModelIdentity, Op, Plan, Runs, SubjectSpec, Timing};
use record::protocol::{Ready, Sample};
use record::results::{Record, RunInfo};
use record::samples::Event;
use serde_json::{Value, json};

/// a + b·messages + c·tokens of a call path, ns.
pub struct Law(pub &'static str, pub &'static str, pub &'static str, pub &'static str, pub [f64; 3]);

/// Subject, operation, engine, call path, coefficients. With 39 messages and 2,000 tokens a request takes 1.6 ms in Python
/// (template 0.568, encode 0.932) and 0.945 ms in Rust.
pub const LAWS: [Law; 12] = [
    Law("python", "parse", "pydantic", "json.loads+model_validate", [15e3, 1e3, 5.0]),
    Law("python", "template", "transformers", "apply_chat_template", [60e3, 12e3, 20.0]),
    Law("python", "template", "jinja2", "render", [20e3, 8e3, 15.0]),
    Law("python", "tokenize", "hf-tokenizers", "encode", [20e3, 300.0, 450.0]),
    Law("python", "tokenize", "hf-tokenizers", "encode_batch", [25e3, 300.0, 430.0]),
    Law("python", "tokenize", "transformers", "__call__", [120e3, 300.0, 450.0]),
    Law("python", "collate", "numpy", "pad", [15e3, 0.0, 10.0]),
    Law("native", "parse", "serde", "serde_json.from_slice", [5e3, 300.0, 2.0]),
    Law("native", "template", "minijinja", "render", [10e3, 2e3, 5.0]),
    Law("native", "tokenize", "hf-tokenizers", "encode", [15e3, 200.0, 400.0]),
    Law("native", "tokenize", "hf-tokenizers", "encode_fast", [14e3, 200.0, 390.0]),
    Law("native", "collate", "native", "pad", [1e3, 0.0, 1.0]),
];

/// The sizes that `llmbench advise` measures for 2,000 tokens in 20 turns.
pub const SIZES: [(u32, u32); 4] = [(2000, 20), (2000, 40), (4000, 20), (4000, 40)];

/// A server under load, as experiment 5 measures it.
pub struct Serving {
    pub strategy: &'static str,
    /// Closed loop, requests/s.
    pub capacity: f64,
    pub cpu_ns: f64,
    pub service_ns: f64,
}

/// A run to be written.
pub struct Fixture {
    pub laws: Vec<&'static Law>,
    pub sizes: Vec<(u32, u32)>,
    pub serving: Vec<Serving>,
}

impl Fixture {
    /// Experiment 1 at [`SIZES`].
    pub fn stages() -> Self {
        Self { laws: LAWS.iter().collect(), sizes: SIZES.to_vec(), serving: Vec::new() }
    }

    /// With servers whose differences are known: front ends of 100 µs and 20 µs, hand-overs of 80 µs and 12 µs.
    pub fn servers() -> Self {
        let serving = |strategy, capacity, cpu_ns, service_ns| Serving { strategy, capacity, cpu_ns, service_ns };
        Self {
            serving: vec![
                serving("inline", 1e9 / 1.9e6, 1.85e6, 1.8e6),
                serving("executor-1", 1e9 / 2.0e6, 1.93e6, 1.85e6),
                serving("rust-inline", 1e9 / 1.02e6, 1.01e6, 1.0e6),
                serving("rust-threads", 1e9 / 0.55e6, 1.022e6, 1.0e6),
            ],
            ..Self::stages()
        }
    }

    /// Writes the run into `output` and points `latest` to it.
    pub fn write(&self, output: &Path) -> RunFolder {
        let folder = RunFolder::create(output, "20261124T035745Z", "preprocessing", "1f0c9a7e").unwrap();
        let mut cells = Vec::new();
        let mut samples = Vec::new();
        for Law(subject, op, engine, call_path, [a, b, c]) in &self.laws {
            for &(tokens, turns) in &self.sizes {
                let cell = stage(subject, op, engine, call_path, tokens, turns);
                let ns = a + b * f64::from(2 * turns - 1) + c * f64::from(tokens);
                samples.push(sample(&cell.id, ns, BTreeMap::new(), BTreeMap::new()));
                cells.push(cell);
            }
        }
        for it in &self.serving {
            for load in ["capacity", "70%"] {
                let cell = served(it.strategy, load);
                let share = if load == "capacity" { 1.0 } else { 0.7 };
                let readings = BTreeMap::from([
                    ("server_cpu_ns_per_request".to_owned(), it.cpu_ns),
                    ("service_mean_ns".to_owned(), it.service_ns),
                ]);
                // Nine of ten requests at 0.9 of the mean, one at 1.9.
                let times = (0..400).map(|i| (it.service_ns * if i % 10 == 0 { 1.9 } else { 0.9 }) as u64).collect();
                let series = BTreeMap::from([("service_ns".to_owned(), times)]);
                let series = if load == "capacity" { BTreeMap::new() } else { series };
                samples.push(sample(&cell.id, 1e9 / (it.capacity * share), readings, series));
                cells.push(cell);
            }
        }
        folder.write_info(&info(&folder, cells)).unwrap();
        let mut lines = String::new();
        for run in 0..3 {
            let mut put = |event: &Event| writeln!(lines, "{}", serde_json::to_string(event).unwrap()).unwrap();
            put(&Event::RunStart { run });
            samples.iter().for_each(|sample| put(&Event::Sample { run, sample: sample.clone() }));
            put(&Event::RunComplete { run, wall_ns: 10_000_000, busy_ns: 9_000_000 });
        }
        std::fs::write(folder.samples_path(), lines).unwrap();
        folder.make_latest().unwrap();
        folder
    }

    /// Written and read again.
    pub fn read(&self) -> Read {
        let dir = tempfile::tempdir().unwrap();
        let folder = self.write(dir.path());
        let measurements = Measurements::read(&folder).unwrap();
        Read { info: folder.read_info().unwrap(), measurements, records: Vec::new(), _dir: dir }
    }
}

/// A run as the library reads it.
pub struct Read {
    pub info: RunInfo,
    pub measurements: Measurements,
    pub records: Vec<Record>,
    _dir: tempfile::TempDir,
}

fn axes(tokens: u32, turns: u32) -> BTreeMap<String, Value> {
    BTreeMap::from([("tokens".to_owned(), json!(tokens)), ("turns".to_owned(), json!(turns))])
}

fn stage(subject: &str, op: &str, engine: &str, call_path: &str, tokens: u32, turns: u32) -> Cell {
    Cell {
        id: format!("anatomy/{subject}/{op}/{engine}.{call_path}/tokens={tokens},turns={turns}"),
        experiment_id: 1,
        experiment: "anatomy".into(),
        subject: subject.into(),
        op: Op {
            name: op.into(),
            engine: engine.into(),
            call_path: call_path.into(),
            threads: 1,
            params: BTreeMap::new(),
        },
        timing: Timing::Loop,
        strategy: "inline".into(),
        cache: "warm".into(),
        axes: axes(tokens, turns),
        workload: format!("words-t{tokens}-n{turns}"),
        check: None,
        twin_of: None,
        target_ns: 8_000_000,
        engines: Vec::new(),
        beside: String::new(),
    }
}

fn served(strategy: &str, load: &str) -> Cell {
    let (tokens, turns) = SIZES[0];
    let mut cell = stage("python-servers", "serve", "hf-tokenizers", "encode", tokens, turns);
    cell.id = format!("strategies/python-servers/serve/{strategy}/load={load}");
    cell.experiment_id = 5;
    cell.experiment = "strategies".into();
    cell.strategy = strategy.into();
    cell.axes.extend([("strategy".to_owned(), json!(strategy)), ("load".to_owned(), json!(load))]);
    cell.timing =
        Timing::Stretch { order: json!({"kind": load}), span_ns: 1_000_000_000, calibrated: false, needs: Vec::new() };
    cell
}

fn sample(cell: &str, ns: f64, readings: BTreeMap<String, f64>, series: BTreeMap<String, Vec<u64>>) -> Sample {
    let calls = 1000;
    Sample {
        cell_id: cell.into(),
        block: 0,
        start_ns: 1,
        end_ns: 1 + (ns * calls as f64).round() as u64,
        calls,
        readings,
        series,
        ..Sample::default()
    }
}

fn info(folder: &RunFolder, cells: Vec<Cell>) -> RunInfo {
    let subject = |id: &str, kind: &str| SubjectSpec {
        id: id.into(),
        kind: kind.into(),
        program: "program".into(),
        args: Vec::new(),
        env: BTreeMap::new(),
        lock: None,
        unavailable: None,
    };
    let ready =
        |interpreter: &str, gil: &str| Ready { interpreter: interpreter.into(), gil: gil.into(), ..Ready::default() };
    RunInfo {
        schema: record::SCHEMA,
        run_id: folder.run_id(),
        llmbench: "0.1.0".into(),
        binary_sha256: "ab12".repeat(16),
        started: "2026-11-24T03:57:45Z".into(),
        command: ["llmbench", "run", "preprocessing", "--quick"].map(str::to_owned).to_vec(),
        options: serde_json::Value::Null,
        plan_sha256: "1f0c9a7e".repeat(8),
        plan: Plan {
            schema: record::SCHEMA,
            suite: "preprocessing".into(),
            profile: "quick".into(),
            seed: 1,
            timestamp: 1_795_492_665,
            model: ModelIdentity { name: "built-in".into(), sha256: "9f".repeat(32) },
            subjects: vec![subject("native", "native"), subject("python", "python"), subject("python-servers", "load")],
            workloads: Vec::new(),
            cells,
            runs: Runs { looks: vec![3], target_share: 0.8, target_half_width: 0.05, budget_s: 150.0, blocks: 3 },
            settings: BTreeMap::from([("effective_cores".to_owned(), json!(2))]),
        },
        loops: BTreeMap::new(),
        workload_sha256: BTreeMap::new(),
        subjects: BTreeMap::from([
            ("native".to_owned(), ready("rustc 1.95.0", "none")),
            ("python".to_owned(), ready("CPython 3.12.1", "enabled")),
        ]),
        machine: Vec::new(),
        boot_id: None,
        stopped: Some("runs".into()),
        wall_s: BTreeMap::new(),
        warnings: Vec::new(),
    }
}
