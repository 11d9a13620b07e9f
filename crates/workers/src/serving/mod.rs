//! The worker that asks servers of models: `llmbench worker serving`. A cell is a way to ask and how much at once; a block is a
//! stretch of load.
//!
//! ```text
//! requests (stdin) ─> [Serving] ─> [server]  the server that was named, or our mock, started here
//!                         ├──────> [sidecar] between client and server, where a cell asks for it
//!                         ├──────> [gate]    do the ways to ask get the same answers
//!                         ├──────> [asks]    bodies: messages, text or ids, shared or unique
//!                         ├──────> [drive]   load, and what a client saw
//!                         ├──────> [accounts] what the server counted meanwhile, and what it used
//!                         ├──────> [limit]   the largest rate that holds a service level
//!                         └──────> [patience] how long all that may take
//! ```

mod accounts;
mod asks;
mod drive;
mod gate;
mod limit;
mod patience;
mod server;
mod sidecar;

use std::collections::HashMap;
use std::io::{self, BufRead};
use std::path::Path;
use std::rc::Rc;

use engines::versions;
use loadgen::order::{self, LoadOrder};
use loadgen::serving::server::Found;
use record::plan::Op;
use record::protocol::{Answer, Inputs, ModelPaths, PROTOCOL, Ready, Sample};

use super::channel::Channel;
use super::clock::{self, now};
use super::load_worker::{self, LoadWorker, Refusal};
use asks::{Form, Pool, Way};
use drive::Drive;
use gate::Gates;
use server::{Running, Servers};
use sidecar::{Sidecar, Sidecars};

/// Of the requests, the part that warms a further form of them.
const SHARE_TO_WARM: usize = 8;

/// State of the process.
pub struct Serving {
    channel: Channel,
    started_ns: u64,
    model: Option<ModelPaths>,
    pools: Vec<(Inputs, Rc<Pool>)>,
    cells: HashMap<String, Cell>,
    servers: Servers,
    sidecars: Sidecars,
    gates: Gates,
    /// Files of requests that the server has met, and by which way.
    met: Vec<(Inputs, Door)>,
    /// What one request showed, by its way and the output tokens it asked for.
    found: Vec<(Door, u32, Found)>,
}

/// By what requests come to the server: what is warmed when the first of them has come.
type Door = (Form, bool);

struct Cell {
    way: Way,
    inputs: Inputs,
    pool: Rc<Pool>,
}

impl Serving {
    pub fn new(channel: Channel, started_ns: u64) -> Self {
        Self {
            channel,
            started_ns,
            model: None,
            pools: Vec::new(),
            cells: HashMap::new(),
            servers: Servers::from_env(),
            sidecars: Sidecars::default(),
            gates: Gates::default(),
            met: Vec::new(),
            found: Vec::new(),
        }
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

/// The server, and the sidecar before it where one is wanted; what has ended is started again.
fn reach<'a>(
    servers: &'a mut Servers,
    sidecars: &'a mut Sidecars,
    model: &Path,
    through_sidecar: bool,
) -> Result<(&'a Running, Option<&'a Sidecar>), Refusal> {
    let command = servers.command().cloned();
    let server = servers.get(model)?;
    let sidecar = match command.filter(|_| through_sidecar) {
        Some(command) => Some(sidecars.get(&command, &server.access.target, model)?),
        None => None,
    };
    Ok((server, sidecar))
}

impl LoadWorker for Serving {
    fn hello(&mut self, model: ModelPaths, _timestamp: i64) -> Result<Ready, String> {
        let server = self.servers.get(&model.dir).map_err(|refusal| refusal.message)?;
        let mut build = server.described();
        build.insert("simulated".to_owned(), server.is_mock().to_string());
        if let Some(family) = accounts::family(server) {
            build.insert("server_family".to_owned(), family.to_owned());
        }
        self.model = Some(model);
        Ok(Ready {
            protocol: PROTOCOL,
            pid: std::process::id(),
            worker: "serving".to_owned(),
            interpreter: format!("rustc {}", versions::RUSTC),
            gil: "none".to_owned(),
            build,
            clock_pair_ns: clock::pair_ns(),
            load_ns: now() - self.started_ns,
            prepare_limit_ns: Some(patience::prepare_ns(&self.servers.patience())),
            ..Ready::default()
        })
    }

    fn prepare(
        &mut self,
        cell_id: &str,
        op: &Op,
        drive: &order::Drive,
        span_ns: u64,
        inputs: &Inputs,
    ) -> Result<u64, Refusal> {
        let Some(model) = &self.model else { return Err(Refusal::failed("the first request must be hello")) };
        if op.name != "ask" {
            return Err(Refusal::failed(format!("this worker asks servers of models and cannot time {}", op.name)));
        }
        let way = Way::of(op).map_err(Refusal::failed)?;
        let pool = match self.pools.iter().find(|(known, _)| known == inputs) {
            Some((_, pool)) => Rc::clone(pool),
            None => {
                let pool = Rc::new(Pool::read(inputs, &model.dir).map_err(Refusal::failed)?);
                self.pools.push((inputs.clone(), Rc::clone(&pool)));
                pool
            }
        };
        let patience = self.servers.patience();
        if let Some(extent) = way.gate {
            let (server, sidecar) = reach(&mut self.servers, &mut self.sidecars, &model.dir, way.sidecar)?;
            self.gates.hold(&gate::Asked {
                server,
                sidecar,
                way: &way,
                inputs,
                pool: &pool,
                extent,
                patience: &patience,
            })?;
        }
        self.cells.insert(cell_id.to_owned(), Cell { way, inputs: inputs.clone(), pool });
        Ok(patience::block_ns(&patience, drive, span_ns))
    }

    fn block(&mut self, cell_id: &str, block: u32, load: &LoadOrder, offset: u64) -> Result<Vec<Answer>, Refusal> {
        let Some(cell) = self.cells.get(cell_id) else {
            return Err(Refusal::failed(format!(
                "the cell {cell_id} was not prepared in this worker; prepare it first"
            )));
        };
        let Some(model) = &self.model else { return Err(Refusal::failed("the first request must be hello")) };
        let patience = self.servers.patience();
        let (server, sidecar) = reach(&mut self.servers, &mut self.sidecars, &model.dir, cell.way.sidecar)?;
        let door = (cell.way.form, cell.way.sidecar);
        let (tokens, patience) = (cell.way.output_tokens, &patience);
        let known = self.found.iter().find(|(of, long, _)| *of == door && *long == tokens);
        let known = known.map(|(.., found)| found.clone());
        let mut drive = Drive {
            server,
            sidecar,
            way: &cell.way,
            pool: &cell.pool,
            patience,
            found: Found::default(),
            offset: offset as usize,
        };
        if let Some(found) = known {
            drive.found = found;
        } else {
            drive.found = drive.look();
            self.found.push((door, tokens, drive.found.clone()));
        }
        let what = (cell.inputs.clone(), door);
        if !cell.way.unique && !self.met.contains(&what) {
            // A prefix cache goes by ids, which all forms end in: what one has shown to it, it has met in all. The others have only
            // their own path through the server to warm.
            let is_first = !self.met.iter().any(|(inputs, _)| *inputs == cell.inputs);
            drive.warm(if is_first { cell.pool.len() } else { cell.pool.len().div_ceil(SHARE_TO_WARM) })?;
            self.met.push(what);
        }
        let mut sample = drive.block(load)?;
        sample.readings.insert("single_use".to_owned(), f64::from(u8::from(drive.found.closes)));
        if let Some(extent) = cell.way.gate {
            sample.readings.extend(self.gates.readings(&cell.inputs, extent));
        }
        Ok(vec![Answer::Sample(Sample { cell_id: cell_id.to_owned(), block, ..sample })])
    }

    fn stop(&mut self) {
        self.sidecars.stop();
        self.servers.stop();
    }
}
