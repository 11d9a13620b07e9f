//! The server of the strategy at hand. One lives at a time, so that none idles beside another.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use loadgen::transport::Endpoint;
use record::plan::Op;
use record::protocol::serve::{SERVER_VAR, ServerCommand, ServerStats, StartServer};
use record::protocol::{ErrorKind, Inputs, ModelPaths, PROTOCOL};
use runner::interrupt::Interrupt;
use runner::subject::{Server, SubjectError};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::load_worker::Refusal;

/// A server imports its packages, starts its processes and warms them.
pub const START_TIMEOUT: Duration = Duration::from_secs(120);
pub const ASK_TIMEOUT: Duration = Duration::from_secs(30);
/// For the interpreter's own facts.
const DESCRIBE: &str = "import json,sys,platform\nfrom importlib import metadata\n\
def version(name):\n    try:\n        return metadata.version(name)\n    except Exception:\n        return None\n\
names=('transformers','tokenizers','jinja2','numpy','tiktoken','uvicorn','granian')\n\
print(json.dumps({'interpreter':platform.python_implementation()+' '+platform.python_version(),\
'gil':'enabled' if getattr(sys,'_is_gil_enabled',lambda:True)() else 'disabled',\
'versions':{n:v for n in names if (v:=version(n))}}))";

/// What is known of the servers before one is started.
#[derive(Debug, Default, Deserialize)]
pub struct Described {
    pub interpreter: Option<String>,
    pub gil: Option<String>,
    #[serde(default)]
    pub build: BTreeMap<String, String>,
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
}

/// Everything that makes a server the one that is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Strategy(StartServer);

impl Strategy {
    /// From the op of a `serve` cell: `params.strategy`, `params.pipeline`, `params.options`; `threads` are the workers.
    pub fn of(op: &Op, model: ModelPaths, timestamp: i64, inputs: Inputs) -> Result<Self, String> {
        let object = |name: &str| match op.params.get(name) {
            None => Ok(serde_json::Map::new()),
            Some(Value::Object(object)) => Ok(object.clone()),
            Some(other) => Err(format!("params.{name} of a serve cell must be an object, not {other}")),
        };
        let strategy = op.params.get("strategy").and_then(Value::as_str);
        let pipeline = object("pipeline")?.into_iter().map(|(stage, pair)| match pair {
            Value::String(pair) => Ok((stage, pair)),
            other => Err(format!("params.pipeline.{stage} must be engine/call_path, not {other}")),
        });
        Ok(Self(StartServer {
            protocol: PROTOCOL,
            model,
            timestamp,
            strategy: strategy.ok_or("a serve cell needs params.strategy")?.to_owned(),
            workers: op.threads.max(1),
            params: object("options")?.into_iter().collect(),
            pipeline: pipeline.collect::<Result<_, String>>()?,
            inputs,
            socket: PathBuf::new(),
        }))
    }

    /// It is sent ids and not messages.
    pub fn is_pass_through(&self) -> bool {
        self.0.strategy == "pass-through"
    }
}

/// A server that serves.
pub struct Running {
    strategy: Strategy,
    server: Server,
    pub endpoint: Endpoint,
}

impl Running {
    /// Root of the server's process tree.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    pub fn reset(&mut self) -> Result<(), SubjectError> {
        self.server.reset(ASK_TIMEOUT)
    }

    pub fn stats(&mut self) -> Result<ServerStats, SubjectError> {
        self.server.stats(ASK_TIMEOUT)
    }

    /// What the server wrote last to its stdout or stderr.
    pub fn last_line(&self) -> Option<String> {
        self.server.last_line()
    }
}

/// The one that runs, if one does.
pub struct Servers {
    command: Option<ServerCommand>,
    sockets: TempDir,
    started: u32,
    running: Option<Running>,
}

impl Servers {
    /// # Errors
    /// When no folder for sockets can be made.
    pub fn new() -> io::Result<Self> {
        let command = std::env::var(SERVER_VAR).ok().and_then(|text| serde_json::from_str(&text).ok());
        let sockets = tempfile::Builder::new().prefix("llmbench-").tempdir()?;
        Ok(Self { command, sockets, started: 0, running: None })
    }

    /// The interpreter of the servers and its packages.
    ///
    /// # Errors
    /// A sentence when there is no command, or its interpreter does not answer.
    pub fn describe(&self) -> Result<Described, String> {
        let command = self.command()?;
        if !command.python {
            return Ok(Described::default());
        }
        let program = command.program.display();
        let output = Command::new(&command.program).args(["-c", DESCRIBE]).envs(&command.env).output();
        let output = output.map_err(|error| format!("{program} cannot be started: {error}"))?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stderr);
            format!("{program} did not say what it is: {}", said.lines().last().unwrap_or("no output"))
        })
    }

    /// The server of that strategy; another one that runs is stopped first.
    pub fn get(&mut self, strategy: &Strategy) -> Result<&mut Running, Refusal> {
        if self.running.as_ref().is_none_or(|running| running.strategy != *strategy) {
            self.stop();
            let running = self.start(strategy)?;
            self.running = Some(running);
        }
        self.running.as_mut().ok_or_else(|| Refusal::failed("the server is gone"))
    }

    /// Stops the server that runs.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.server.stop();
        }
    }

    pub fn last_line(&self) -> Option<String> {
        self.running.as_ref().and_then(Running::last_line)
    }

    fn command(&self) -> Result<&ServerCommand, String> {
        self.command
            .as_ref()
            .ok_or_else(|| format!("this worker drives servers and was not told their command ({SERVER_VAR})"))
    }

    fn start(&mut self, strategy: &Strategy) -> Result<Running, Refusal> {
        let command = self.command().map_err(Refusal::failed)?;
        let mut env: BTreeMap<OsString, OsString> =
            std::env::vars_os().filter(|(name, _)| name != SERVER_VAR).collect();
        env.extend(command.env.iter().map(|(name, value)| (name.into(), value.into())));
        // Numbered: the socket of a server that did not clean up must not be met again.
        let mut start =
            StartServer { socket: self.sockets.path().join(format!("{}.sock", self.started)), ..strategy.0.clone() };
        if start.params.get("sidecar").and_then(Value::as_str) == Some("rust") {
            // The Rust sidecar is this program.
            let program = std::env::current_exe().map_err(Refusal::failed)?;
            start.params.insert("command".to_owned(), json!([program, "worker", "serve"]));
        }
        let (server, ready) =
            Server::start(&command.program, &command.args, &env, start, START_TIMEOUT, &Interrupt::new())
                .map_err(refusal)?;
        self.started += 1;
        let endpoint = ready.endpoint.parse().map_err(Refusal::failed)?;
        Ok(Running { strategy: strategy.clone(), server, endpoint })
    }
}

fn refusal(error: SubjectError) -> Refusal {
    let kind = match &error {
        SubjectError::Fatal { kind, .. } => *kind,
        _ => ErrorKind::Failed,
    };
    Refusal { kind, message: error.to_string().replacen("the worker", "the server", 1) }
}
