//! A plan of fake cells, and what it takes to measure it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use record::SCHEMA;
use record::folder::RunFolder;
use record::hash::{plan_sha256, plan8};
use record::measurements::Measurements;
use record::plan::WorkloadSpec;
use record::plan::{Cell, Check, ModelIdentity, Op, Plan, Runs, SubjectSpec, Timing};
use record::protocol::{Inputs, ModelPaths};
use record::results::RunInfo;
use runner::interrupt::Interrupt;
use runner::{Identity, Job, Limits, MeasureError, Observer, Options, Outcome, Progress, measure};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The interpreter itself, not a shim that finds it.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let asked = std::process::Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
        let asked = asked.expect("the tests need a python3 on PATH");
        PathBuf::from(String::from_utf8(asked.stdout).unwrap().trim())
    })
}

/// A subject that runs the fake worker. `folder` is where it leaves its marks.
pub fn fake(id: &str, folder: &Path, env: &[(&str, &str)]) -> SubjectSpec {
    let mut all: BTreeMap<String, String> =
        env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    all.insert("FAKE_NAME".to_owned(), id.to_owned());
    all.insert("FAKE_FLAGS".to_owned(), folder.display().to_string());
    all.insert("FAKE_LOG".to_owned(), folder.join("log").display().to_string());
    SubjectSpec {
        id: id.to_owned(),
        kind: "python".to_owned(),
        program: python().to_owned(),
        args: vec!["-S".to_owned(), concat!(env!("CARGO_MANIFEST_DIR"), "/tests/runner/fake_worker.py").to_owned()],
        env: all,
        lock: None,
        unavailable: None,
    }
}

/// A cell whose calls take 1 ms of the fake clock; `params` may say otherwise.
pub fn cell(id: &str, subject: &str, params: Value) -> Cell {
    let mut all: BTreeMap<String, Value> = BTreeMap::from([("ns".to_owned(), json!(1_000_000))]);
    all.extend(params.as_object().unwrap().clone());
    let engine = all.remove("engine").map_or("fake".to_owned(), |e| e.as_str().unwrap().to_owned());
    Cell {
        id: id.to_owned(),
        engines: vec![format!("{engine}/encode")],
        experiment_id: 1,
        experiment: "anatomy".to_owned(),
        subject: subject.to_owned(),
        op: Op { name: "tokenize".to_owned(), engine, call_path: "encode".to_owned(), threads: 1, params: all },
        timing: Timing::Loop,
        strategy: "inline".to_owned(),
        cache: "warm".to_owned(),
        axes: BTreeMap::new(),
        workload: "w".to_owned(),
        check: Some(Check { group: "text:w".to_owned(), reference: false }),
        twin_of: None,
        target_ns: 10_000_000,
        beside: String::new(),
    }
}

pub fn reference(mut cell: Cell) -> Cell {
    cell.check = Some(Check { group: "text:w".to_owned(), reference: true });
    cell
}

pub fn plan(subjects: Vec<SubjectSpec>, cells: Vec<Cell>) -> Plan {
    Plan {
        schema: SCHEMA,
        suite: "preprocessing".to_owned(),
        profile: "quick".to_owned(),
        seed: 7,
        timestamp: 1_780_000_000,
        model: ModelIdentity { name: "built-in".to_owned(), sha256: "ab".repeat(32) },
        subjects,
        workloads: vec![WorkloadSpec {
            id: "w".to_owned(),
            kind: "words".to_owned(),
            tokens: 1000,
            turns: 1,
            pool: 8,
            warmup: 2,
            bytes: 0,
        }],
        cells,
        runs: Runs { looks: vec![3], target_share: 0.8, target_half_width: 0.05, budget_s: 600.0, blocks: 3 },
        settings: BTreeMap::new(),
    }
}

/// A folder to measure in, and how.
pub struct Bench {
    pub dir: TempDir,
    pub folder: RunFolder,
    pub interrupt: Interrupt,
    pub limits: Limits,
    pub identity: Option<Identity>,
}

/// Remembers everything in words, and may interrupt.
pub struct Notes<'a> {
    pub lines: Vec<String>,
    pub interrupt_at: &'a dyn Fn(&Progress<'_>) -> bool,
    pub interrupt: Interrupt,
}

impl Observer for Notes<'_> {
    fn observe(&mut self, progress: Progress<'_>) {
        if (self.interrupt_at)(&progress) {
            self.interrupt.trigger();
        }
        self.lines.push(format!("{progress:?}"));
    }
}

pub fn marks() -> TempDir {
    tempfile::tempdir().unwrap()
}

impl Bench {
    pub fn new(plan: &Plan) -> Self {
        Self::at(plan, &std::env::temp_dir())
    }

    /// With its output in a new folder below `place`.
    pub fn at(plan: &Plan, place: &Path) -> Self {
        let dir = tempfile::tempdir_in(place).unwrap();
        let hash = plan_sha256(plan);
        let folder = RunFolder::create(dir.path(), "20261124T000000Z", &plan.suite, plan8(&hash)).unwrap();
        folder.make_latest().unwrap();
        let info = RunInfo {
            schema: SCHEMA,
            run_id: folder.run_id(),
            llmbench: "0.1.0".to_owned(),
            binary_sha256: "b1".repeat(32),
            started: "2026-11-24T00:00:00Z".to_owned(),
            command: vec!["llmbench".to_owned()],
            options: serde_json::Value::Null,
            plan_sha256: hash,
            plan: plan.clone(),
            loops: BTreeMap::new(),
            workload_sha256: BTreeMap::new(),
            subjects: BTreeMap::new(),
            machine: Vec::new(),
            boot_id: Some("boot-1".to_owned()),
            stopped: None,
            wall_s: BTreeMap::new(),
            warnings: Vec::new(),
        };
        folder.write_info(&info).unwrap();
        let limits = Limits { block_min: Duration::from_secs(60), ..Limits::default() };
        Self { dir, folder, interrupt: Interrupt::new(), limits, identity: None }
    }

    pub fn measure(&self, plan: &Plan) -> Result<Outcome, MeasureError> {
        self.measure_with(plan, &|_| false, &mut |_| vec![1.0]).0
    }

    pub fn measure_with(
        &self,
        plan: &Plan,
        interrupt_at: &dyn Fn(&Progress<'_>) -> bool,
        look: &mut dyn FnMut(&Measurements) -> Vec<f64>,
    ) -> (Result<Outcome, MeasureError>, Vec<String>) {
        let model = ModelPaths { dir: PathBuf::from("."), tiktoken: None };
        let job = Job {
            plan,
            folder: &self.folder,
            inputs: &|_| Inputs { requests: PathBuf::new(), texts: PathBuf::new(), pool: 8, warmup: 2 },
            model: &model,
            interrupt: &self.interrupt,
            options: Options { resume: self.identity.clone(), limits: self.limits.clone() },
        };
        let mut notes = Notes { lines: Vec::new(), interrupt_at, interrupt: self.interrupt.clone() };
        let outcome = measure(&job, &mut notes, look);
        (outcome, notes.lines)
    }

    pub fn read(&self) -> Measurements {
        Measurements::read(&self.folder).unwrap()
    }

    /// The same folder, to be resumed by the same binary.
    pub fn resumed(mut self) -> Self {
        self.interrupt = Interrupt::new();
        self.identity = Some(Identity { binary_sha256: "b1".repeat(32), boot_id: Some("boot-1".to_owned()) });
        self
    }
}

/// `name pid kind cell` of every request that fake workers got.
pub fn log(marks: &TempDir) -> Vec<[String; 4]> {
    let text = std::fs::read_to_string(marks.path().join("log")).unwrap_or_default();
    let fields = |line: &str| {
        let mut parts = line.splitn(4, ' ').map(str::to_owned);
        std::array::from_fn(|_| parts.next().unwrap())
    };
    text.lines().map(fields).collect()
}

/// Waits until a process is gone (or a zombie of somebody else).
pub fn gone(pid: &str) -> bool {
    for _ in 0..2000 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit(')').next().unwrap().trim_start().chars().next();
        if matches!(state, None | Some('Z' | 'X')) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}
