//! A server that a test started, its control and its clients.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::workload::{POOL, WARM_UP, Workload};

/// After this a server hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// The answers go to the descriptor that was the standard output.
const SHELL: &str = "exec \"$0\" \"$@\" 3>&1 1>&2";

/// A folder with a workload, in which servers run.
pub struct World {
    pub dir: TempDir,
    pub workload: Workload,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let workload = Workload::write(dir.path());
        Self { dir, workload }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("s.sock")
    }

    /// A request `start` for this strategy.
    pub fn order(&self, strategy: &str, workers: u32, params: Value) -> Value {
        let Workload { model, requests, texts, .. } = &self.workload;
        json!({"type": "start", "protocol": 1, "model": {"dir": model, "tiktoken": null}, "timestamp": 1_700_000_000,
            "strategy": strategy, "workers": workers, "params": params, "socket": self.socket(),
            "pipeline": {"template": "minijinja/render", "tokenize": "hf-tokenizers/encode", "collate": "native/pad"},
            "inputs": {"requests": requests, "texts": texts, "pool": POOL, "warmup": WARM_UP}})
    }

    /// A server that is ready.
    pub fn serve(&self, strategy: &str, workers: u32, params: Value) -> Server {
        let mut server = Server::launch(native());
        let ready = server.ask(&self.order(strategy, workers, params));
        assert_eq!(ready["type"], "ready", "{strategy}: {ready}");
        assert_eq!(ready["pid"], server.child.id());
        assert_eq!(ready["processes"], json!([server.child.id()]));
        assert_eq!(ready["gil"], "none");
        assert_eq!(ready["endpoint"], format!("unix:{}", self.socket().display()));
        server
    }

    pub fn connect(&self) -> Client {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { stream }
    }
}

/// The command of the native server.
pub fn native() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", SHELL, env!("CARGO_BIN_EXE_llmbench"), "worker", "serve"]);
    command
}

/// The command of another program, whose answers are taken in the same way.
pub fn other(words: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", SHELL]).args(words);
    command
}

pub struct Server {
    pub child: Child,
    control: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Server {
    pub fn launch(mut command: Command) -> Self {
        let command = command.env("LLMBENCH_ANSWER_FD", "3").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let control = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, control, answers }
    }

    pub fn tell(&mut self, request: &Value) {
        self.control.as_mut().unwrap().write_all(format!("{request}\n").as_bytes()).unwrap();
    }

    /// The next answer; null at their end.
    pub fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        if line.is_empty() { Value::Null } else { serde_json::from_str(&line).unwrap() }
    }

    pub fn ask(&mut self, request: &Value) -> Value {
        self.tell(request);
        self.answer()
    }

    pub fn ask_for(&mut self, kind: &str) -> Value {
        self.ask(&json!({ "type": kind }))
    }

    /// `received`, `answered`, `failed`, `in_flight`.
    pub fn counts(&mut self) -> [u64; 4] {
        let stats = self.ask_for("stats");
        assert_eq!(stats["type"], "stats");
        ["received", "answered", "failed", "in_flight"].map(|name| stats[name].as_u64().unwrap())
    }

    /// Says goodbye and waits for the end.
    pub fn bye(mut self) -> ExitStatus {
        self.tell(&json!({"type": "bye"}));
        self.wait()
    }

    /// Closes the standard input and waits for the end.
    pub fn close(mut self) -> ExitStatus {
        self.control = None;
        self.wait()
    }

    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status,
                None if Instant::now() > deadline => panic!("the server does not end"),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection.
pub struct Client {
    stream: UnixStream,
}

/// A frame from the server.
pub struct Answer {
    pub id: u64,
    pub status: u8,
    /// received, started, finished
    pub stamps: [u64; 3],
    pub body: Vec<u8>,
}

impl Answer {
    pub fn message(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

impl Client {
    pub fn send(&mut self, id: u64, body: &[u8]) {
        let length = u32::try_from(body.len()).unwrap().to_le_bytes();
        self.raw(&[&length[..], &id.to_le_bytes(), body].concat());
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// None when the server closed the connection.
    pub fn receive(&mut self) -> Option<Answer> {
        let mut header = [0; 12];
        if self.stream.read_exact(&mut header).is_err() {
            return None;
        }
        let mut payload = vec![0; u32::from_le_bytes(header[..4].try_into().unwrap()) as usize];
        self.stream.read_exact(&mut payload).unwrap();
        let stamp = |at: usize| u64::from_le_bytes(payload[at..at + 8].try_into().unwrap());
        Some(Answer {
            id: u64::from_le_bytes(header[4..].try_into().unwrap()),
            status: payload[0],
            stamps: [stamp(1), stamp(9), stamp(17)],
            body: payload[25..].to_vec(),
        })
    }

    pub fn ask(&mut self, id: u64, body: &[u8]) -> Answer {
        self.send(id, body);
        let answer = self.receive().unwrap();
        assert_eq!(answer.id, id);
        answer
    }
}
