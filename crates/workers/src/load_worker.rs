//! The protocol of workers that drive servers with load: a cell is a server or a way to ask it, a block is a stretch of load.

use std::collections::HashMap;
use std::io::{self, BufRead};

use loadgen::order::{Drive, LoadOrder, Told};
use record::plan::{Op, Timing};
use record::protocol::{Answer, ErrorKind, Inputs, ModelPaths, PROTOCOL, Ready, Request, Stretch};

use super::channel::Channel;

/// What a cell or a block could not bring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub kind: ErrorKind,
    pub message: String,
}

impl Refusal {
    pub fn failed(message: impl ToString) -> Self {
        Self { kind: ErrorKind::Failed, message: message.to_string() }
    }

    pub fn unavailable(message: impl ToString) -> Self {
        Self { kind: ErrorKind::Unavailable, message: message.to_string() }
    }
}

/// A worker of this kind.
pub trait LoadWorker {
    /// Learns of the model, and says what it is; or why it cannot work at all.
    fn hello(&mut self, model: ModelPaths, timestamp: i64) -> Result<Ready, String>;

    /// Makes a cell ready, and says within what time each of its blocks ends by itself, ns.
    fn prepare(&mut self, cell_id: &str, op: &Op, drive: &Drive, span_ns: u64, inputs: &Inputs)
    -> Result<u64, Refusal>;

    /// Drives the server of a cell; the answers are those between the request and its `done`.
    fn block(&mut self, cell_id: &str, block: u32, load: &LoadOrder, offset: u64) -> Result<Vec<Answer>, Refusal>;

    /// Ends what it started.
    fn stop(&mut self);
}

/// Answers requests until `bye` or the end of the input.
///
/// # Errors
/// When requests cannot be read or answers cannot be written.
pub fn run(mut worker: impl LoadWorker, channel: &Channel, requests: impl BufRead) -> io::Result<()> {
    let mut drives = Drives::new();
    for line in requests.lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        match serde_json::from_str(&line) {
            Ok(Request::Bye) => break,
            Ok(Request::Hello { protocol, model, timestamp, .. }) => {
                match hello(&mut worker, protocol, model, timestamp) {
                    Ok(ready) => channel.answer(&Answer::Ready(Box::new(ready)))?,
                    Err(message) => return channel.answer(&Answer::Fatal { kind: ErrorKind::Failed, message }),
                }
            }
            Ok(request) => answer(&mut worker, &mut drives, channel, request)?,
            Err(error) => {
                let message = format!("a request cannot be understood ({error})");
                return channel.answer(&Answer::Fatal { kind: ErrorKind::Failed, message });
            }
        }
    }
    worker.stop();
    Ok(())
}

fn hello(worker: &mut impl LoadWorker, protocol: u32, model: ModelPaths, timestamp: i64) -> Result<Ready, String> {
    if protocol != PROTOCOL {
        return Err(format!(
            "this worker speaks version {PROTOCOL} of the protocol and was asked for {protocol}; use the worker that comes with this llmbench"
        ));
    }
    worker.hello(model, timestamp)
}

/// What decides the load of each cell that is ready, and how long a stretch of it is, ns.
type Drives = HashMap<String, (Drive, u64)>;

fn prepare(
    worker: &mut impl LoadWorker,
    drives: &mut Drives,
    (cell_id, op, inputs): (&str, &Op, &Inputs),
    timing: &Timing,
) -> Result<u64, Refusal> {
    let Timing::Stretch { order, span_ns, .. } = timing else {
        return Err(Refusal::failed(format!("this worker drives servers and cannot time {}", op.name)));
    };
    let drive = Drive::of(order).map_err(Refusal::failed)?;
    let limit = worker.prepare(cell_id, op, &drive, *span_ns, inputs)?;
    drives.insert(cell_id.to_owned(), (drive, *span_ns));
    Ok(limit)
}

fn order(drives: &Drives, cell: &str, stretch: Option<&Stretch>) -> Result<LoadOrder, Refusal> {
    let (drive, span_ns) = drives
        .get(cell)
        .ok_or_else(|| Refusal::failed(format!("the cell {cell} was not prepared in this worker; prepare it first")))?;
    let stretch = stretch.ok_or_else(|| Refusal::failed("a block of a stretch needs what the calibration found"))?;
    let told = Told { cell, seed: stretch.seed, found: &stretch.found };
    drive.order(*span_ns, told).map_err(Refusal::failed)
}

fn answer(worker: &mut impl LoadWorker, drives: &mut Drives, channel: &Channel, request: Request) -> io::Result<()> {
    let mut limit_ns = None;
    let (cell_id, answers) = match request {
        Request::Prepare { cell_id, op, timing, inputs, .. } => {
            let made = prepare(worker, drives, (&cell_id, &op, &inputs), &timing);
            limit_ns = made.as_ref().ok().copied();
            (cell_id, made.map(|_| Vec::new()))
        }
        Request::Block { cell_id, block, stretch, offset, .. } => {
            let load = order(drives, &cell_id, stretch.as_ref());
            let made = load.and_then(|load| worker.block(&cell_id, block, &load, offset));
            (cell_id, made)
        }
        Request::Dump { cell_id, .. } => {
            let message = "a server's answers are compared where they arrive; there is no dump of them";
            (cell_id, Err(Refusal::unavailable(message)))
        }
        Request::Hello { .. } | Request::Bye => return Ok(()),
    };
    match answers {
        Ok(answers) => {
            for answer in &answers {
                channel.answer(answer)?;
            }
            channel.answer(&Answer::Done { cell_id, warm_ns: 0, limit_ns })
        }
        Err(Refusal { kind, message }) => channel.answer(&Answer::Error { cell_id, kind, message }),
    }
}
