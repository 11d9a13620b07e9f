//! Takes requests, one at a time, and answers them.

use std::collections::HashMap;
use std::io::{self, BufRead};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use engines::{EngineError, catalog, versions};
use record::plan;
use record::plan::Timing;
use record::protocol::{self, Answer, ErrorKind, ModelPaths, PROTOCOL, Ready, Request, Sample};

use super::Setup;
use super::channel::Channel;
use super::clock::{self, now};
use super::inputs::Inputs;
use super::model::{Model, unknown};
use super::ops::{self, Op};
use super::pools::Pools;
use super::timing;
use super::window::panicked;

/// State of one worker process.
pub struct Server {
    channel: Channel,
    setup: Setup,
    model: Option<Model>,
    inputs: Vec<Rc<Inputs>>,
    cells: HashMap<String, Cell>,
    pools: Pools,
}

/// A cell that was prepared.
struct Cell {
    op: Arc<dyn Op>,
    timing: Timing,
    threads: usize,
    inputs: Rc<Inputs>,
    /// Counts the warm-up calls.
    turn: Arc<AtomicUsize>,
}

impl Server {
    pub fn new(channel: Channel, setup: Setup) -> Self {
        Self { channel, setup, model: None, inputs: Vec::new(), cells: HashMap::new(), pools: Pools::default() }
    }

    /// Answers requests until `bye`, the end of the input, or a request that cannot be understood.
    pub fn run(mut self, mut requests: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if requests.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let outcome = match serde_json::from_slice(&line) {
                Ok(Request::Bye) => return Ok(()),
                Ok(request) => self.answer(request)?,
                Err(error) => Err(format!("a request cannot be understood ({error}): {}", shown(&line))),
            };
            if let Err(message) = outcome {
                return self.channel.answer(&Answer::Fatal { kind: ErrorKind::Failed, message });
            }
        }
    }

    /// Answers one request; the inner error ends the worker.
    fn answer(&mut self, request: Request) -> io::Result<Result<(), String>> {
        let (cell_id, asked) = match request {
            Request::Hello { protocol, model, timestamp, engines } => {
                return self.hello(protocol, model, timestamp, &engines);
            }
            Request::Bye => return Ok(Ok(())),
            Request::Prepare { .. } | Request::Block { .. } | Request::Dump { .. } if self.model.is_none() => {
                return Ok(Err("the first request must be hello".to_owned()));
            }
            Request::Prepare { cell_id, op, timing, inputs, check, warmup_ns } => {
                let asked = caught(|| self.prepare(&cell_id, &op, timing, &inputs, check, warmup_ns));
                (cell_id, asked)
            }
            Request::Block { cell_id, block, loops, offset, settle_ns, stretch: _ } => {
                let asked = caught(|| self.block(&cell_id, block, loops, offset, settle_ns));
                (cell_id, asked)
            }
            Request::Dump { cell_id, index } => {
                let asked = caught(|| self.dump(&cell_id, index));
                (cell_id, asked)
            }
        };
        let answers = asked.unwrap_or_else(|error| {
            let kind = match error {
                EngineError::Failed(_) => ErrorKind::Failed,
                EngineError::Unavailable(_) => ErrorKind::Unavailable,
            };
            vec![Answer::Error { cell_id, kind, message: error.to_string() }]
        });
        for answer in &answers {
            self.channel.answer(answer)?;
        }
        Ok(Ok(()))
    }

    fn hello(
        &mut self,
        protocol: u32,
        paths: ModelPaths,
        timestamp: i64,
        engines: &[String],
    ) -> io::Result<Result<(), String>> {
        if protocol != PROTOCOL {
            return Ok(Err(format!(
                "this worker speaks version {PROTOCOL} of the protocol and was asked for {protocol}; use the worker that comes with this llmbench"
            )));
        }
        let model = Model::new(paths, timestamp, self.setup.fault.clone(), self.channel.clone());
        model.load(engines);
        self.model = Some(model);
        let missing = engines.iter().filter(|pair| !catalog::contains(pair));
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let load_ns = now() - self.setup.started_ns;
        let ready = Ready {
            protocol: PROTOCOL,
            pid: std::process::id(),
            worker: "native".to_owned(),
            interpreter: format!("rustc {}", versions::RUSTC),
            gil: "none".to_owned(),
            build: [("opt_level", versions::OPT_LEVEL), ("target", versions::TARGET)].map(owned).into(),
            versions: catalog::packages().into_iter().map(owned).collect(),
            unavailable: missing.map(|pair| (pair.clone(), unknown(pair).to_string())).collect(),
            clock_pair_ns: clock::pair_ns(),
            loop_overhead_ns: clock::loop_overhead_ns(),
            load_ns,
            prepare_limit_ns: None,
        };
        self.channel.answer(&Answer::Ready(Box::new(ready)))?;
        Ok(Ok(()))
    }

    fn prepare(
        &mut self,
        cell_id: &str,
        op: &plan::Op,
        timing: Timing,
        inputs: &protocol::Inputs,
        check: u32,
        warmup_ns: u64,
    ) -> Result<Vec<Answer>, EngineError> {
        // An older cell of that name must not be measured when this one cannot be made.
        self.cells.remove(cell_id);
        let inputs = self.inputs(inputs)?;
        let model = self.model.as_ref().ok_or_else(|| EngineError::failed("there is no model"))?;
        let threads = ops::threads(op)?;
        let cell =
            Cell { op: ops::make(op, &inputs, model, &mut self.pools)?, timing, threads, inputs, turn: Arc::default() };
        let mut answers = Vec::new();
        if check > 0 {
            let checked = (check as usize).min(cell.inputs.extent.pool);
            let hashes = (0..checked).map(|index| cell.op.call(index)?.digest()).collect::<Result<_, _>>()?;
            answers.push(Answer::Check { cell_id: cell_id.to_owned(), hashes });
        }
        let mut warm_ns = cell.warm(warmup_ns, &mut self.pools)?;
        if warmup_ns > 0 {
            warm_ns += cell.op.warm_pool(&cell.turn, warmup_ns)?;
        }
        self.cells.insert(cell_id.to_owned(), cell);
        answers.push(Answer::Done { cell_id: cell_id.to_owned(), warm_ns, limit_ns: None });
        Ok(answers)
    }

    fn block(
        &mut self,
        cell_id: &str,
        block: u32,
        loops: u64,
        offset: u64,
        settle_ns: u64,
    ) -> Result<Vec<Answer>, EngineError> {
        let cell = self.cells.get(cell_id).ok_or_else(|| not_prepared(cell_id))?;
        let extent = cell.inputs.extent;
        let offset = usize::try_from(offset % extent.pool as u64).map_err(EngineError::failed)?;
        if loops == 0 && matches!(cell.timing, Timing::Loop | Timing::Each) {
            return Err(EngineError::Failed("a block must have at least one loop".to_owned()));
        }
        let mut warm_ns = 0;
        let mut hashes = None;
        let samples: Vec<Sample> = match cell.timing {
            Timing::First => {
                let (sample, produced) = timing::time_first(cell.op.as_ref(), offset)?;
                hashes = Some(vec![produced.digest()?]);
                vec![sample]
            }
            Timing::Window { window_ns } => {
                warm_ns = cell.warm(settle_ns, &mut self.pools)?;
                vec![self.pools.window(cell.threads)?.time(&cell.op, extent, offset, window_ns)?]
            }
            Timing::Loop => {
                warm_ns = cell.warm(settle_ns, &mut self.pools)?;
                vec![timing::time_loop(cell.op.as_ref(), extent.pool, offset, loops)?]
            }
            Timing::Stretch { .. } => {
                return Err(EngineError::Unavailable("this worker does not drive servers".to_owned()));
            }
            Timing::Each => {
                warm_ns = cell.warm(settle_ns, &mut self.pools)?;
                timing::time_each(cell.op.as_ref(), extent.pool, offset, loops)?
            }
        };
        let named = |sample: Sample| Answer::Sample(Sample { cell_id: cell_id.to_owned(), block, ..sample });
        let mut answers: Vec<Answer> = samples.into_iter().map(named).collect();
        answers.extend(hashes.map(|hashes| Answer::Check { cell_id: cell_id.to_owned(), hashes }));
        answers.push(Answer::Done { cell_id: cell_id.to_owned(), warm_ns, limit_ns: None });
        Ok(answers)
    }

    fn dump(&mut self, cell_id: &str, index: u32) -> Result<Vec<Answer>, EngineError> {
        let cell = self.cells.get(cell_id).ok_or_else(|| not_prepared(cell_id))?;
        let pool = cell.inputs.extent.pool;
        if index as usize >= pool {
            return Err(EngineError::Failed(format!("there is no request {index} in a pool of {pool}")));
        }
        let output = cell.op.call(index as usize)?.dump()?;
        Ok(vec![Answer::Dump { cell_id: cell_id.to_owned(), index, output }])
    }

    /// The inputs of those files, read at the first time.
    fn inputs(&mut self, wanted: &protocol::Inputs) -> Result<Rc<Inputs>, EngineError> {
        if let Some(known) = self.inputs.iter().find(|inputs| inputs.is(wanted)) {
            return Ok(Rc::clone(known));
        }
        let inputs = Rc::new(Inputs::new(wanted)?);
        self.inputs.push(Rc::clone(&inputs));
        Ok(inputs)
    }
}

impl Cell {
    /// Untimed calls for at least that long, in the threads that the cell is timed in; 0: none. Returns the time, ns.
    fn warm(&self, duration_ns: u64, pools: &mut Pools) -> Result<u64, EngineError> {
        let extent = self.inputs.extent;
        match self.timing {
            Timing::Window { .. } => {
                // Also without a warm-up the threads start now, and not in the first block.
                let threads = pools.window(self.threads)?;
                if duration_ns == 0 { Ok(0) } else { threads.warm(&self.op, extent, &self.turn, duration_ns) }
            }
            _ if duration_ns == 0 => Ok(0),
            _ => timing::warm(self.op.as_ref(), extent, &self.turn, duration_ns),
        }
    }
}

/// Runs `work`; a panic in it is an error of the cell.
fn caught<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
}

fn not_prepared(cell_id: &str) -> EngineError {
    EngineError::Failed(format!("the cell {cell_id} was not prepared in this worker; prepare it first"))
}

/// The start of a line, for a message.
fn shown(line: &[u8]) -> String {
    const SHOWN: usize = 80;
    let text = String::from_utf8_lossy(line.trim_ascii());
    let start: String = text.chars().take(SHOWN).collect();
    if start.len() < text.len() { format!("{start}…") } else { start }
}
