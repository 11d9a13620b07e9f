//! The protocol of workers that drive servers with load: a cell is a server or a way to ask it, a block is a stretch of load.

use std::io::{self, BufRead};

use record::plan::{Op, Timing};
use record::protocol::{Answer, ErrorKind, Inputs, LoadOrder, ModelPaths, PROTOCOL, Ready, Request};

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
pub trait Driving {
    /// Learns of the model, and says what it is; or why it cannot work at all.
    fn hello(&mut self, model: ModelPaths, timestamp: i64) -> Result<Ready, String>;

    /// Makes a cell ready, and says within what time each of its blocks ends by itself, ns.
    fn prepare(&mut self, cell_id: &str, op: &Op, timing: &Timing, inputs: &Inputs) -> Result<u64, Refusal>;

    /// Drives the server of a cell; the answers are those between the request and its `done`.
    fn block(&mut self, cell_id: &str, block: u32, load: &LoadOrder, offset: u64) -> Result<Vec<Answer>, Refusal>;

    /// Ends what it started.
    fn stop(&mut self);
}

/// Answers requests until `bye` or the end of the input.
///
/// # Errors
/// When requests cannot be read or answers cannot be written.
pub fn run(mut worker: impl Driving, channel: &Channel, requests: impl BufRead) -> io::Result<()> {
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
            Ok(request) => answer(&mut worker, channel, request)?,
            Err(error) => {
                let message = format!("a request cannot be understood ({error})");
                return channel.answer(&Answer::Fatal { kind: ErrorKind::Failed, message });
            }
        }
    }
    worker.stop();
    Ok(())
}

fn hello(worker: &mut impl Driving, protocol: u32, model: ModelPaths, timestamp: i64) -> Result<Ready, String> {
    if protocol != PROTOCOL {
        return Err(format!(
            "this worker speaks version {PROTOCOL} of the protocol and was asked for {protocol}; use the worker that comes with this llmbench"
        ));
    }
    worker.hello(model, timestamp)
}

fn answer(worker: &mut impl Driving, channel: &Channel, request: Request) -> io::Result<()> {
    let mut limit_ns = None;
    let (cell_id, answers) = match request {
        Request::Prepare { cell_id, op, timing, inputs, .. } => {
            let made = worker.prepare(&cell_id, &op, &timing, &inputs);
            limit_ns = made.as_ref().ok().copied();
            (cell_id, made.map(|_| Vec::new()))
        }
        Request::Block { cell_id, block, load, offset, .. } => {
            let made = match &load {
                Some(load) => worker.block(&cell_id, block, load, offset),
                None => Err(Refusal::failed("a block of a load cell needs its load")),
            };
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
