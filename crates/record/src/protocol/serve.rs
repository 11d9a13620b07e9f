//! The contract of strategies that are servers. Control is JSON Lines as with workers; data is a Unix stream socket or HTTP.
//!
//! A request frame is a u32 (little-endian) with the payload's length, a u64 id, and the payload: the body of an OpenAI
//! chat-completions request. A response frame is the same with this payload: a status byte (0: ok, 1: error), three u64 of
//! CLOCK_MONOTONIC (received: the whole frame was read; started: the work began; finished: the result is ready, not yet written),
//! then the ids as u32 little-endian, or the message of the error as UTF-8. Many requests are in flight a connection, answered in
//! any order. Over HTTP, `POST /prepare` carries the same body and brings the same payload.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ErrorKind, Inputs, ModelPaths};

/// Environment variable with the [`ServerCommand`], as JSON.
pub const SERVER_VAR: &str = "LLMBENCH_SERVER";

/// How servers are started; the harness puts it into the environment of the worker that starts them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerCommand {
    pub program: PathBuf,
    pub args: Vec<String>,
    /// On top of that worker's environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The program is a Python interpreter.
    pub python: bool,
}

/// What the harness asks a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerRequest {
    /// First request. Answered by `ready` or `fatal`.
    Start(Box<StartServer>),
    /// Answered by `stats`.
    Stats,
    /// Counters to zero. Answered by `done`.
    Reset,
    /// Refuse what is new, finish what is in flight. Answered by `done`.
    Drain,
    /// Exit with 0, children reaped.
    Bye,
}

impl ServerRequest {
    /// As it stands in `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Stats => "stats",
            Self::Reset => "reset",
            Self::Drain => "drain",
            Self::Bye => "bye",
        }
    }
}

/// What a server is to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StartServer {
    pub protocol: u32,
    pub model: ModelPaths,
    /// Unix seconds; what templates see.
    pub timestamp: i64,
    /// `inline`, `executor`, `micro-batch`, …
    pub strategy: String,
    /// Threads or processes, by the strategy; at least 1.
    pub workers: u32,
    /// What else the strategy wants to know.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    /// `template`, `tokenize`, `collate` to `engine/call_path`.
    pub pipeline: BTreeMap<String, String>,
    /// Its warm-up requests are run before `ready`.
    pub inputs: Inputs,
    /// Where a Unix socket goes.
    pub socket: PathBuf,
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerAnswer {
    Ready(Box<ServerReady>),
    Stats(ServerStats),
    Done,
    /// Ends the server.
    Fatal {
        #[serde(default)]
        kind: ErrorKind,
        message: String,
    },
}

impl ServerAnswer {
    /// As it stands in `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ready(_) => "ready",
            Self::Stats(_) => "stats",
            Self::Done => "done",
            Self::Fatal { .. } => "fatal",
        }
    }
}

/// A server that serves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerReady {
    pub protocol: u32,
    pub pid: u32,
    /// `unix:PATH` or `http://127.0.0.1:PORT`.
    pub endpoint: String,
    /// All processes that serve.
    #[serde(default)]
    pub processes: Vec<u32>,
    pub interpreter: String,
    /// As in the worker's `ready`.
    pub gil: String,
    #[serde(default)]
    pub build: BTreeMap<String, String>,
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
}

/// Counters since the last reset.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerStats {
    pub received: u64,
    pub answered: u64,
    pub failed: u64,
    pub in_flight: u64,
    /// Lateness of a heartbeat on the event loop, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loop_lag: Option<LoopLag>,
    /// Of a micro-batch queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batches: Option<Batches>,
    /// Requests that each process answered, where several listen on one port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_process: Vec<u64>,
}

/// ns
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LoopLag {
    pub samples: u64,
    pub p50_ns: u64,
    pub p99_ns: u64,
    pub max_ns: u64,
}

/// Sizes of the batches that were made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Batches {
    pub count: u64,
    pub mean_size: f64,
    pub max_size: u64,
}
