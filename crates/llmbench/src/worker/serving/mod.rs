//! The worker that asks servers of models: `llmbench worker serving`. A cell is a way to ask and how much at once; a block is a
//! stretch of load.
//!
//! ```text
//! requests (stdin) ─> [Serving] ─> [server]  the server that was named, or our mock, started here
//!                         ├──────> [asks]    bodies: messages, text or ids, shared or unique
//!                         ├──────> [drive]   load, and what a client saw
//!                         ├──────> [accounts] what the server counted meanwhile, and what it used
//!                         └──────> [limit]   the largest rate that holds a service level
//! ```

mod accounts;
mod asks;
mod drive;
mod level;
mod limit;
mod server;

use std::collections::HashMap;
use std::io::{self, BufRead};
use std::rc::Rc;

use llmbench_core::plan::{Op, Timing};
use llmbench_core::protocol::{Answer, Inputs, LoadOrder, ModelPaths, PROTOCOL, Ready, Sample};
use llmbench_engines::versions;

use super::channel::Channel;
use super::clock::{self, now};
use super::driving::{self, Driving, Refusal};
use asks::{Form, Pool, Way};
use drive::Drive;
pub use level::Level;
use server::Servers;
pub use server::{TARGET_VAR, TargetCommand};

/// State of the process.
pub struct Serving {
    channel: Channel,
    started_ns: u64,
    model: Option<ModelPaths>,
    pools: Vec<(Inputs, Rc<Pool>)>,
    cells: HashMap<String, Cell>,
    servers: Servers,
    /// Files and forms of requests that the server has met.
    met: Vec<(Inputs, Form)>,
}

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
            met: Vec::new(),
        }
    }

    /// Answers requests until `bye` or the end of the input.
    ///
    /// # Errors
    /// When requests cannot be read or answers cannot be written.
    pub fn run(self, requests: impl BufRead) -> io::Result<()> {
        let channel = self.channel.clone();
        driving::run(self, &channel, requests)
    }
}

impl Driving for Serving {
    fn hello(&mut self, model: ModelPaths, _timestamp: i64) -> Result<Ready, String> {
        self.model = Some(model);
        let server = self.servers.get().map_err(|refusal| refusal.message)?;
        let mut build = server.described();
        build.insert("simulated".to_owned(), server.is_mock().to_string());
        if let Some(family) = accounts::family(server) {
            build.insert("server_family".to_owned(), family.to_owned());
        }
        Ok(Ready {
            protocol: PROTOCOL,
            pid: std::process::id(),
            worker: "serving".to_owned(),
            interpreter: format!("rustc {}", versions::RUSTC),
            gil: "none".to_owned(),
            build,
            clock_pair_ns: clock::pair_ns(),
            load_ns: now() - self.started_ns,
            ..Ready::default()
        })
    }

    fn prepare(&mut self, cell_id: &str, op: &Op, timing: &Timing, inputs: &Inputs) -> Result<(), Refusal> {
        let Some(model) = &self.model else { return Err(Refusal::failed("the first request must be hello")) };
        if op.name != "ask" || !matches!(timing, Timing::Load { .. }) {
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
        self.cells.insert(cell_id.to_owned(), Cell { way, inputs: inputs.clone(), pool });
        Ok(())
    }

    fn block(&mut self, cell_id: &str, block: u32, load: &LoadOrder, offset: u64) -> Result<Vec<Answer>, Refusal> {
        let Some(cell) = self.cells.get(cell_id) else {
            return Err(Refusal::failed(format!(
                "the cell {cell_id} was not prepared in this worker; prepare it first"
            )));
        };
        let server = self.servers.get()?;
        let drive = Drive { server, way: &cell.way, pool: &cell.pool, offset: offset as usize };
        let what = (cell.inputs.clone(), cell.way.form);
        if !cell.way.unique && !self.met.contains(&what) {
            drive.warm()?;
            self.met.push(what);
        }
        let sample = drive.block(load)?;
        Ok(vec![Answer::Sample(Sample { cell_id: cell_id.to_owned(), block, ..sample })])
    }

    fn stop(&mut self) {
        self.servers.stop();
    }
}
