//! The server that is asked: one that was named, or our mock, which is started here.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use loadgen::serving::backend::Backend;
use loadgen::serving::probe;
use loadgen::serving::target::Target;
use serde::{Deserialize, Serialize};

use crate::worker::driving::Refusal;

/// Environment variable with the server that is asked, as JSON.
pub const TARGET_VAR: &str = "LLMBENCH_TARGET";

/// The mock says where it listens within this time.
const START: Duration = Duration::from_secs(30);
/// For the list of models.
const PROBE_NS: u64 = 10_000_000_000;

/// The server that is asked; plain data, without a secret in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetCommand {
    /// Where it is; none for our mock.
    pub base_url: Option<String>,
    /// The server's name of the model; none: the first of its list.
    pub model: Option<String>,
    /// The environment variable that holds the key.
    pub key_env: Option<String>,
    /// This program, which is the mock as well.
    pub program: PathBuf,
    /// Arguments of the mock.
    pub mock: Vec<String>,
}

/// The server, once it is needed.
pub struct Servers {
    command: Option<TargetCommand>,
    running: Option<Running>,
}

/// A server that can be asked.
pub struct Running {
    pub target: Target,
    /// The server's name of the model.
    pub model: Option<String>,
    /// Never shown.
    key: Option<String>,
    mock: Option<Mock>,
    /// Whether it closes connections that it said it would keep, once that was tried.
    closes: OnceCell<bool>,
}

impl Servers {
    pub fn from_env() -> Self {
        let command = std::env::var(TARGET_VAR).ok().and_then(|text| serde_json::from_str(&text).ok());
        Self { command, running: None }
    }

    /// The server; a mock that has ended is started again.
    ///
    /// # Errors
    /// It cannot be reached or started; the sentence says why.
    pub fn get(&mut self) -> Result<&Running, Refusal> {
        let gone = self.running.as_mut().and_then(|running| running.mock.as_mut()).is_some_and(Mock::has_ended);
        if gone {
            self.stop();
        }
        if self.running.is_none() {
            let command = self.command.as_ref().ok_or_else(|| {
                Refusal::failed(format!("this worker asks servers of models and was not told which ({TARGET_VAR})"))
            })?;
            self.running = Some(Running::start(command)?);
        }
        self.running.as_ref().ok_or_else(|| Refusal::failed("the server is gone"))
    }

    /// Ends the mock, if there is one.
    pub fn stop(&mut self) {
        self.running = None;
    }
}

impl Running {
    /// # Errors
    /// It cannot be reached or started, has no such model, or its key is not in the environment.
    pub fn start(command: &TargetCommand) -> Result<Self, Refusal> {
        let (url, mock) = match &command.base_url {
            Some(url) => (url.clone(), None),
            None => {
                let (mock, url) = Mock::start(command).map_err(Refusal::failed)?;
                (url, Some(mock))
            }
        };
        let target: Target = url.parse().map_err(Refusal::failed)?;
        let key = match &command.key_env {
            None => None,
            Some(name) => Some(std::env::var(name).map_err(|_| {
                Refusal::failed(format!(
                    "the environment has no {name}, which is to hold the key; set it, or leave out --api-key-env"
                ))
            })?),
        };
        let models = probe::models(&target, key.as_deref(), PROBE_NS)
            .map_err(|error| Refusal::failed(format!("{target} cannot be asked: {error}")))?;
        let model = match (&command.model, models) {
            (Some(name), Some(known)) if !known.contains(name) && !known.is_empty() => {
                return Err(Refusal::failed(format!(
                    "the server {target} has no model {name:?}; it has: {}; name one of them with --model-name",
                    known.join(", ")
                )));
            }
            (Some(name), _) => Some(name.clone()),
            (None, known) => known.and_then(|known| known.into_iter().next()),
        };
        Ok(Self { target, model, key, mock, closes: OnceCell::new() })
    }

    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Whether it closes connections after an answer that it said it would keep (as llama.cpp does after a stream), found out with one request. Requests
    /// then have connections of their own: the next one would be lost in a connection that is about to close.
    pub fn closes(&self, backend: Backend, body: &[u8], timeout_ns: u64) -> bool {
        *self.closes.get_or_init(|| {
            // What is wrong with a request shows when the load is sent.
            probe::probe(&self.target, backend, self.key(), body, timeout_ns).is_ok_and(|probe| probe.closes)
        })
    }

    pub fn is_mock(&self) -> bool {
        self.mock.is_some()
    }

    /// Root of the server's processes, where it was started here.
    pub fn pid(&self) -> Option<u32> {
        self.mock.as_ref().map(|mock| mock.child.id())
    }

    /// What a record says of it.
    pub fn described(&self) -> BTreeMap<String, String> {
        let shown = if self.is_mock() { "llmbench mock".to_owned() } else { self.target.to_string() };
        let model = self.model.clone().unwrap_or_else(|| "unnamed".to_owned());
        BTreeMap::from([("server".to_owned(), shown), ("server_model".to_owned(), model)])
    }
}

/// Our mock as a process of its own.
struct Mock {
    child: Child,
}

impl Mock {
    fn start(command: &TargetCommand) -> Result<(Self, String), String> {
        let mut child = Command::new(&command.program)
            .args(&command.mock)
            .env_remove(TARGET_VAR)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", command.program.display()))?;
        let stdout = child.stdout.take();
        let mock = Self { child };
        let stdout = stdout.ok_or("the mock has no standard output")?;
        let (say, said) = channel();
        // What it writes later is of no interest, but a full pipe would stop it.
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stdout);
            let mut first = String::new();
            let read = lines.read_line(&mut first);
            // Nobody waits any more when it came too late.
            let _ = say.send(read.map(|_| first));
            let _ = io_sink(&mut lines);
        });
        match said.recv_timeout(START) {
            Ok(Ok(first)) if !first.trim().is_empty() => Ok((mock, first.trim().to_owned())),
            Ok(_) => Err("the mock ended before it listened; `llmbench mock` says why".to_owned()),
            Err(_) => Err(format!("the mock did not say where it listens within {} s", START.as_secs())),
        }
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

fn io_sink(from: &mut impl Read) -> std::io::Result<u64> {
    std::io::copy(from, &mut std::io::sink())
}

impl Drop for Mock {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
