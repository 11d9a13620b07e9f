//! A run of experiment 7 with the cells that planning makes and times of known truth.

use std::collections::BTreeMap;
use std::path::Path;

use record::folder::RunFolder;
use record::measurements::Measurements;
use record::plan::{Cell, ModelIdentity, Plan, SubjectSpec, Timing};
use record::protocol::{Sample, ThreadCount};
use record::results::{RunInfo, Status};
use record::samples::{Event, SamplesWriter};
use serde_json::Value;
use suites::planning;
use suites::settings::{ExperimentSettings, PlanContext, PlannedSubject};

pub const KINDS: [&str; 7] =
    ["english", "code", "chinese-japanese", "hindi-arabic", "emoji", "whitespace", "long-word"];
const RUNS: u32 = 5;
const BLOCKS: u32 = 3;

/// Times as fast as the reference.
fn speed(cell: &Cell) -> f64 {
    match (cell.subject.as_str(), cell.op.engine.as_str(), cell.op.call_path.as_str()) {
        ("native", "hf-tokenizers", "encode") => 1.0,
        ("native", "hf-tokenizers", _) => 1.1,
        ("native", "hf-tokenizers-rc", _) => 15.0,
        ("native", "fastokens", _) => 20.0,
        ("native", "bpe", _) => 8.0,
        ("native", "kitoken", _) => 4.0,
        ("native", "tiktoken-rs", _) => 6.0,
        ("native", "minijinja", _) => 30.0,
        (_, "tiktoken", _) => 5.0,
        (_, "jinja2", _) => 2.0,
        _ => 0.9,
    }
}

/// Truth, ns: linear in the bytes, but for one engine that is quadratic on one kind of text.
fn truth(cell: &Cell) -> f64 {
    let bytes = cell.axes.get("bytes").and_then(Value::as_u64).unwrap_or(1000) as f64;
    let quadratic = cell.op.engine == "kitoken"
        && cell.subject == "native"
        && cell.axes.get("kind").is_some_and(|kind| kind == "long-word");
    let linear = bytes * 300.0 / speed(cell);
    if quadratic { linear * bytes / 1000.0 } else { linear }
}

/// Up to half a per cent to either side, a function of what is measured and when.
fn noise(cell: &str, run: u32, block: u32) -> f64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in cell.bytes().chain(run.to_le_bytes()).chain(block.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    // What FNV mixes least are the lowest bits.
    let unit = ((hash >> 40) as f64) / f64::from(1u32 << 24);
    (0.01 * (unit - 0.5)).exp()
}

fn is_missing(cell: &Cell) -> bool {
    cell.subject == "python"
        && ["fastokens", "gigatoken", "kitoken", "tokie", "minijinja"].contains(&cell.op.engine.as_str())
}

pub struct World {
    dir: tempfile::TempDir,
    folder: RunFolder,
    pub info: RunInfo,
    pub measurements: Measurements,
}

fn subject(id: &str) -> PlannedSubject {
    PlannedSubject {
        id: id.to_owned(),
        kind: id.to_owned(),
        torch: false,
        free_threaded: false,
        serves: String::new(),
        variant_of: String::new(),
    }
}

fn plan() -> Plan {
    let suite = suites::find("preprocessing").unwrap();
    let spec = suite.spec().experiments.iter().find(|spec| spec.name == "engines").unwrap();
    let settings = [ExperimentSettings::layered(spec, &[&spec.quick])];
    let context = PlanContext {
        subjects: vec![subject("native"), subject("python")],
        drivers: Vec::new(),
        variants: Vec::new(),
        cores: 2,
        tiktoken: true,
        workload: "words".to_owned(),
    };
    let subjects = ["native", "python"].map(|id| SubjectSpec {
        id: id.to_owned(),
        kind: id.to_owned(),
        program: "worker".into(),
        args: Vec::new(),
        env: BTreeMap::new(),
        lock: None,
        unavailable: None,
    });
    let ingredients = planning::Ingredients {
        profile_name: "quick",
        profile: &suite.spec().quick,
        settings: &settings,
        context: &context,
        model: ModelIdentity { name: "built-in".to_owned(), sha256: "ab".repeat(32) },
        subjects: subjects.to_vec(),
        seed: 1,
        timestamp: 1_780_000_000,
        facts: BTreeMap::new(),
    };
    planning::plan(suite.as_ref(), ingredients).unwrap()
}

fn run_info(folder: &RunFolder, plan: Plan) -> RunInfo {
    RunInfo {
        schema: record::SCHEMA,
        run_id: folder.run_id(),
        llmbench: "0.1.0".to_owned(),
        binary_sha256: "cd".repeat(32),
        started: "2026-11-24T00:00:00Z".to_owned(),
        command: vec!["llmbench".to_owned()],
        options: serde_json::Value::Null,
        plan_sha256: "ef".repeat(32),
        plan,
        loops: BTreeMap::new(),
        workload_sha256: BTreeMap::new(),
        subjects: BTreeMap::new(),
        machine: Vec::new(),
        boot_id: None,
        stopped: Some("runs".to_owned()),
        wall_s: BTreeMap::new(),
        warnings: Vec::new(),
    }
}

fn sample(cell: &Cell, run: u32, block: u32) -> Sample {
    let ns = truth(cell) * noise(&cell.id, run, block);
    let calls = 1_000;
    let end_ns = 1_000 + (ns * calls as f64) as u64;
    let threads = match cell.timing {
        Timing::Window { .. } => {
            vec![ThreadCount { start_ns: 1_000, end_ns, calls: calls as f64 }; cell.op.threads as usize]
        }
        _ => Vec::new(),
    };
    Sample { cell_id: cell.id.clone(), block, start_ns: 1_000, end_ns, calls, threads, ..Sample::default() }
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), "20261124T000000Z", "preprocessing", "01234567").unwrap();
        let info = run_info(&folder, plan());
        folder.write_info(&info).unwrap();
        let mut writer = SamplesWriter::create(&folder.samples_path()).unwrap();
        let mut write = |event: Event| writer.write(&event).unwrap();
        for cell in info.plan.cells.iter().filter(|cell| is_missing(cell)) {
            write(Event::Cell {
                cell_id: cell.id.clone(),
                run: None,
                status: Status::Unavailable,
                message: format!("pip install {}", cell.op.engine),
            });
        }
        for run in 1..=RUNS {
            write(Event::RunStart { run });
            for cell in info.plan.cells.iter().filter(|cell| !is_missing(cell)) {
                let blocks = if cell.timing == Timing::First { 1 } else { BLOCKS };
                for block in 0..blocks {
                    write(Event::Sample { run, sample: sample(cell, run, block) });
                }
            }
            write(Event::RunComplete { run, wall_ns: 1_000_000_000, busy_ns: 900_000_000 });
        }
        writer.flush().unwrap();
        let measurements = Measurements::read(&folder).unwrap();
        Self { dir, folder, info, measurements }
    }

    /// A native engine gives wrong ids on a kind of text.
    pub fn differing(self, engine: &str, kind: &str) -> Self {
        let mut writer = SamplesWriter::resume(&self.folder.samples_path()).unwrap();
        let wrong = |cell: &&Cell| {
            cell.subject == "native"
                && cell.op.engine == engine
                && cell.op.name == "tokenize"
                && cell.axes.get("kind").is_some_and(|of| of == kind)
        };
        for cell in self.info.plan.cells.iter().filter(wrong) {
            let message = "request 0 differs from the reference at id 3: [1, 2] here, [1, 9] there".to_owned();
            let event = Event::Cell { cell_id: cell.id.clone(), run: None, status: Status::Mismatch, message };
            writer.write(&event).unwrap();
        }
        writer.flush().unwrap();
        self
    }

    /// Reads the folder again.
    pub fn read(self) -> Self {
        Self { measurements: Measurements::read(&self.folder).unwrap(), ..self }
    }

    pub fn folder(&self) -> &Path {
        assert!(self.dir.path().exists());
        self.folder.path()
    }
}

/// The id of a warm cell.
pub fn cell_of(plan: &Plan, subject: &str, engine: &str, kind: &str, bytes: u64) -> String {
    let is = |cell: &&Cell| {
        cell.subject == subject
            && cell.op.engine == engine
            && cell.op.name == "tokenize"
            && cell.cache == "warm"
            && cell.axes.get("kind").is_some_and(|of| of == kind)
            && cell.axes.get("bytes").and_then(Value::as_u64) == Some(bytes)
    };
    plan.cells.iter().find(is).unwrap().id.clone()
}
