//! The worker that drives servers: `llmbench worker load`. It speaks the same protocol as the others; a cell is a strategy, a
//! block is a stretch of load. It is a process of its own, so that the harness's threads do not disturb the generator.
//!
//! ```text
//! requests (stdin) ─> [Loader] ─> [servers]  one server at a time: start, keep, stop
//!                        └──────> [drive]    load, latencies, and what the server's processes used
//! ```

mod drive;
mod servers;

use std::collections::HashMap;
use std::io::{self, BufRead};
use std::rc::Rc;

use engines::{Tokenizer, versions};
use loadgen::check::check;
use loadgen::order::{self, LoadOrder};
use record::plan::Op;
use record::protocol::{self, Answer, ErrorKind, ModelPaths, PROTOCOL, Ready, Sample};
use sha2::{Digest, Sha256};

use super::channel::Channel;
use super::clock::{self, now};
use super::inputs::Inputs;
use super::load_worker::{self, LoadWorker, Refusal};
pub use drive::OPENING_GAP_NS;
use drive::{Drive, DriveError};
use servers::{Servers, Strategy};

/// Answers of the first requests whose hashes are reported.
const HASHED: usize = 8;

/// State of the process.
pub struct Loader {
    channel: Channel,
    started_ns: u64,
    model: Option<Model>,
    cells: HashMap<String, Cell>,
    inputs: Vec<Rc<Payloads>>,
    servers: Servers,
}

struct Model {
    paths: ModelPaths,
    timestamp: i64,
}

struct Cell {
    strategy: Strategy,
    payloads: Rc<Payloads>,
}

/// What is sent, and the right answers.
struct Payloads {
    inputs: protocol::Inputs,
    /// Bodies of the pool's requests.
    bodies: Vec<Vec<u8>>,
    /// Bodies that carry the ids, for a pass-through.
    ids: Vec<Vec<u8>>,
    /// Check of the right answer to each.
    expected: Vec<u64>,
    /// SHA-256 of the right answers to the first requests.
    hashes: Vec<String>,
}

impl Loader {
    /// # Errors
    /// When no folder for sockets can be made.
    pub fn new(channel: Channel, started_ns: u64) -> io::Result<Self> {
        Ok(Self {
            channel,
            started_ns,
            model: None,
            cells: HashMap::new(),
            inputs: Vec::new(),
            servers: Servers::new()?,
        })
    }

    /// Answers requests until `bye` or the end of the input.
    ///
    /// # Errors
    /// When requests cannot be read or answers cannot be written.
    pub fn run(self, requests: impl BufRead) -> io::Result<()> {
        let channel = self.channel.clone();
        load_worker::run(self, &channel, requests)
    }
}

impl LoadWorker for Loader {
    fn hello(&mut self, paths: ModelPaths, timestamp: i64) -> Result<Ready, String> {
        self.model = Some(Model { paths, timestamp });
        let server = self.servers.describe()?;
        Ok(Ready {
            protocol: PROTOCOL,
            pid: std::process::id(),
            worker: "load".to_owned(),
            interpreter: server.interpreter.unwrap_or_else(|| format!("rustc {}", versions::RUSTC)),
            gil: server.gil.unwrap_or_else(|| "none".to_owned()),
            build: server.build,
            versions: server.versions,
            clock_pair_ns: clock::pair_ns(),
            loop_overhead_ns: 0,
            load_ns: now() - self.started_ns,
            ..Ready::default()
        })
    }

    fn prepare(
        &mut self,
        cell_id: &str,
        op: &Op,
        drive: &order::Drive,
        span_ns: u64,
        inputs: &protocol::Inputs,
    ) -> Result<u64, Refusal> {
        let Some(model) = &self.model else { return Err(Refusal::failed("the first request must be hello")) };
        if op.name != "serve" {
            return Err(Refusal::failed(format!("this worker drives servers and cannot time {}", op.name)));
        }
        let payloads = match self.inputs.iter().find(|known| known.inputs == *inputs) {
            Some(known) => Rc::clone(known),
            None => {
                let made = Rc::new(Payloads::new(&model.paths, inputs)?);
                self.inputs.push(Rc::clone(&made));
                made
            }
        };
        let strategy =
            Strategy::of(op, model.paths.clone(), model.timestamp, inputs.clone()).map_err(Refusal::failed)?;
        self.cells.insert(cell_id.to_owned(), Cell { strategy, payloads });
        Ok(drive::limit_ns(drive, span_ns))
    }

    fn block(&mut self, cell_id: &str, block: u32, load: &LoadOrder, offset: u64) -> Result<Vec<Answer>, Refusal> {
        let Some(cell) = self.cells.get(cell_id) else {
            return Err(Refusal::failed(format!(
                "the cell {cell_id} was not prepared in this worker; prepare it first"
            )));
        };
        let server = self.servers.get(&cell.strategy)?;
        let payloads = &cell.payloads;
        let drive = Drive {
            server,
            bodies: if cell.strategy.is_pass_through() { &payloads.ids } else { &payloads.bodies },
            expected: &payloads.expected,
            offset: offset as usize,
        };
        match drive.block(load) {
            Ok(sample) => {
                let sample = Sample { cell_id: cell_id.to_owned(), block, ..sample };
                // All answers were compared with the right ones, so their hashes are those of the right ones.
                let check = Answer::Check { cell_id: cell_id.to_owned(), hashes: payloads.hashes.clone() };
                Ok(vec![Answer::Sample(sample), check])
            }
            Err(error) => {
                // A server that answered wrong or not at all is not used again.
                let last = self.servers.last_line();
                self.servers.stop();
                Err(refusal(error, last))
            }
        }
    }

    fn stop(&mut self) {
        self.servers.stop();
    }
}

fn refusal(error: DriveError, last: Option<String>) -> Refusal {
    let kind = match &error {
        DriveError::Mismatch(_) => ErrorKind::Mismatch,
        DriveError::Failed(_) => ErrorKind::Failed,
    };
    let (DriveError::Mismatch(message) | DriveError::Failed(message)) = error;
    let message = match last {
        Some(last) if kind == ErrorKind::Failed => format!("{message}; the server's last line: {last}"),
        _ => message,
    };
    Refusal { kind, message }
}

impl Payloads {
    fn new(model: &ModelPaths, wanted: &protocol::Inputs) -> Result<Self, Refusal> {
        let inputs = Inputs::new(wanted).map_err(Refusal::failed)?;
        let pool = inputs.extent.pool;
        let tokenizer = Tokenizer::load(&model.dir.join("tokenizer.json")).map_err(Refusal::failed)?;
        let ids = inputs.ids(&tokenizer).map_err(Refusal::failed)?;
        let bodies = inputs.lines().map_err(Refusal::failed)?.iter().take(pool).cloned().collect();
        let answers: Vec<Vec<u8>> =
            ids.iter().take(pool).map(|ids| ids.iter().flat_map(|id| id.to_le_bytes()).collect()).collect();
        let body = |ids: &Vec<u32>| serde_json::to_vec(&serde_json::json!({ "prompt_token_ids": ids }));
        Ok(Self {
            inputs: wanted.clone(),
            bodies,
            ids: ids.iter().take(pool).map(body).collect::<Result<_, _>>().map_err(Refusal::failed)?,
            expected: answers.iter().map(|answer| check(answer)).collect(),
            hashes: answers.iter().take(HASHED).map(|answer| hex::encode(Sha256::digest(answer))).collect(),
        })
    }
}
