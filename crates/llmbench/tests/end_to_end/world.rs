//! A folder in which llmbench runs with real workers, one run at a time, and what it left there.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::environment::{self, Python};

/// Stands in `HF_TOKEN` during every run; no output and no file may show it.
pub const TOKEN: &str = "hf_secretvalue";

/// After this a run hangs.
const PATIENCE: Duration = Duration::from_secs(600);

/// The turn of one test among those that measure: two runs at once would take each other's cores.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A temporary folder and a Python environment, for the time of one test's turn.
pub struct World {
    dir: TempDir,
    pub python: &'static Python,
    _turn: MutexGuard<'static, ()>,
}

impl World {
    /// None, after a line on stderr, where Python rows cannot be measured.
    pub fn new() -> Option<Self> {
        let python = environment::python()?;
        let turn = turn();
        let dir = tempfile::tempdir().unwrap();
        Some(Self { dir, python, _turn: turn })
    }

    /// One with this `settings.toml`.
    pub fn with_settings(settings: &str) -> Option<Self> {
        let world = Self::new()?;
        std::fs::write(world.path("settings.toml"), settings).unwrap();
        Some(world)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `llmbench` as a user calls it, with the tests' cache and a token.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_llmbench"));
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["LLMBENCH_", "HF_", "PYTHON"].iter().any(|prefix| text.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("LLMBENCH_CACHE", &self.python.cache)
            .env("HF_TOKEN", TOKEN)
            .stdin(Stdio::null());
        command
    }

    /// Starts a command line.
    pub fn start(&self, mut command: Command) -> Running<'_> {
        let file = |name: &str| File::create(self.path(name)).unwrap();
        let child = command.stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
        Running { child, world: self }
    }

    /// Runs a command line to its end.
    pub fn finish(&self, command: Command) -> Finished {
        self.start(command).wait()
    }

    /// `llmbench run preprocessing --config settings.toml` and more arguments, to its end.
    pub fn measure(&self, more: &[&str]) -> Finished {
        self.finish(self.command(&[&MEASURE[..], more].concat()))
    }

    /// What stands in the newest run folder.
    pub fn latest(&self) -> Run {
        Run::read(&self.path("output/latest").canonicalize().unwrap())
    }

    /// The bytes of all files below the run folders.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let output = self.path("output");
        if output.is_dir() { files_below(&output) } else { Vec::new() }
    }
}

/// The command that measures with the settings of the test.
pub const MEASURE: [&str; 4] = ["run", "preprocessing", "--config", "settings.toml"];

/// A command line that runs.
pub struct Running<'a> {
    child: Child,
    world: &'a World,
}

impl Running<'_> {
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits until the events of the newest run folder are such; fails if the process ends before.
    pub fn until(&mut self, what: &str, such: impl Fn(&[Value]) -> bool) {
        let start = Instant::now();
        let samples = self.world.path("output/latest/samples.jsonl");
        while !such(&events(&samples)) {
            let ended = self.child.try_wait().unwrap();
            let late = start.elapsed() > PATIENCE;
            if ended.is_some() || late {
                let _ = self.child.kill();
                panic!("{what} was awaited in vain ({ended:?}): {}", self.read("stderr"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for its end, and looks whether the token shows anywhere.
    pub fn wait(mut self) -> Finished {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > PATIENCE {
                let _ = self.child.kill();
                panic!("llmbench hangs: {}", self.read("stderr"));
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let finished =
            Finished { code: status.code().unwrap_or(-1), stdout: self.read("stdout"), stderr: self.read("stderr") };
        for (name, text) in [("stdout", &finished.stdout), ("stderr", &finished.stderr)] {
            assert!(!text.contains(TOKEN), "{name} shows the token: {text}");
        }
        for (path, bytes) in self.world.files() {
            let shown = bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes());
            assert!(!shown, "{} shows the token", path.display());
        }
        finished
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8(std::fs::read(self.world.path(name)).unwrap()).unwrap()
    }
}

/// How a command line ended; `code` is -1 where a signal ended it.
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Fails, with what was written to stderr, if it ended in another way.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.stderr);
        self
    }
}

/// A run folder.
pub struct Run {
    pub folder: PathBuf,
    /// `run.json`.
    pub info: Value,
    /// The rows of `results.json`.
    pub records: Vec<Value>,
    /// `samples.jsonl`.
    pub events: Vec<Value>,
}

impl Run {
    fn read(folder: &Path) -> Self {
        let json =
            |name: &str| -> Value { serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap() };
        let records = json("results.json")["records"].as_array().unwrap().clone();
        assert!(!records.is_empty());
        let events = events(&folder.join("samples.jsonl"));
        Self { folder: folder.to_owned(), info: json("run.json"), records, events }
    }

    /// The rows whose field has this value.
    pub fn rows<'a>(&'a self, field: &'a str, value: &'a str) -> impl Iterator<Item = &'a Value> {
        self.records.iter().filter(move |record| record[field] == value)
    }

    /// Events of a kind.
    pub fn events<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["event"] == kind)
    }

    /// Fails unless every row has this status, or is one of `but`.
    #[track_caller]
    pub fn all_ok_but(&self, but: impl Fn(&Value) -> bool) {
        for record in self.records.iter().filter(|record| !but(record)) {
            assert!(record["status"] == "ok" && record["estimate"]["point"].is_number(), "{record:#}");
        }
    }

    /// The ids of the cells of the plan.
    pub fn cells(&self) -> &[Value] {
        self.info["plan"]["cells"].as_array().unwrap()
    }

    /// The texts of a file of the workload, a JSON value a line.
    pub fn workload(&self, id: &str, form: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.join(format!("workload/{id}.{form}.jsonl"))).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The whole lines of `samples.jsonl`; none before it is there.
fn events(path: &Path) -> Vec<Value> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines = bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// Paths and bytes of the files below a folder, by name; links are not followed.
pub fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                left.push(entry.path());
            } else if kind.is_file() {
                found.push((entry.path(), std::fs::read(entry.path()).unwrap()));
            }
        }
    }
    found.sort();
    found
}
