//! A strategy as a server: `llmbench worker serve`. It speaks the contract of [`record::protocol::serve`], and is also the
//! Rust sidecar behind the Python front end.
//!
//! ```text
//! control (stdin) ─> [run] ─> [front]  one event loop: accepts, counts, answers control, beats ([lag])
//!                                │
//! clients (socket) <─> [connection]  frames in, frames out
//!                                │
//!                          [strategy]  where the work of a request is done ─> [service]  what it is
//! ```
//!
//! Every strategy has the same front end, a current-thread tokio loop, so that rows differ only in where the pipeline runs.
//!
//! What a reader of the stamps should know: `received` is when the read returned that completed a request, and requests that one
//! read completes share it. `started` is where the pipeline runs, so that parsing, the queue and the way to a thread lie before
//! it; on the event loop itself (`rust-inline`, `pass-through`) parsing comes after it. `finished` is stamped on the event loop.
//! Requests in flight are not limited: an open loop must see the queue that it makes.

mod connection;
mod counters;
mod frames;
mod front;
mod lag;
mod service;
mod settings;
mod strategy;
mod threads;

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use engines::{EngineError, catalog, versions};
use record::protocol::serve::{ServerAnswer, ServerReady, ServerRequest, StartServer};
use record::protocol::{ErrorKind, PROTOCOL};

use super::channel::Channel;
use super::fault::Fault;
use front::Front;
use service::Maker;
use settings::Settings;

/// Serves until `bye`, the end of the requests, or an answer that had to be `fatal`.
///
/// # Errors
/// When requests cannot be read or answers cannot be written.
pub fn run(requests: impl BufRead, channel: &Channel, fault: Option<Fault>) -> io::Result<()> {
    let mut front = None;
    let outcome = converse(requests, channel, fault.as_ref(), &mut front);
    if let Some(front) = front {
        front.end();
    }
    outcome
}

fn converse(
    requests: impl BufRead,
    channel: &Channel,
    fault: Option<&Fault>,
    front: &mut Option<Front>,
) -> io::Result<()> {
    for line in requests.lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let failure = match serde_json::from_str(&line) {
            Ok(ServerRequest::Bye) => return Ok(()),
            Ok(ServerRequest::Start(start)) if front.is_none() => match begin(*start, channel, fault.cloned()) {
                Ok((started, ready)) => {
                    *front = Some(started);
                    answer(channel, &ServerAnswer::Ready(Box::new(ready)))?;
                    continue;
                }
                Err(error) => error,
            },
            Ok(ServerRequest::Start(_)) => EngineError::failed("this server was already started"),
            Ok(request) => match front {
                Some(front) => {
                    front.ask(request);
                    continue;
                }
                None => EngineError::Failed(format!("the first request must be start, not {}", request.name())),
            },
            Err(error) => EngineError::Failed(format!("a request cannot be understood ({error})")),
        };
        return answer(channel, &fatal(&failure));
    }
    Ok(())
}

/// Starts the front end, warmed, and says what serves.
fn begin(start: StartServer, channel: &Channel, fault: Option<Fault>) -> Result<(Front, ServerReady), EngineError> {
    let settings = Settings::of(&start)?;
    let maker = Maker::new(start, fault, channel.clone());
    let endpoint = format!("unix:{}", maker.start().socket.display());
    let front = Front::start(settings, maker, channel.clone())?;
    let pid = std::process::id();
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let ready = ServerReady {
        protocol: PROTOCOL,
        pid,
        endpoint,
        processes: vec![pid],
        interpreter: format!("rustc {}", versions::RUSTC),
        gil: "none".to_owned(),
        build: BTreeMap::from([("opt_level", versions::OPT_LEVEL), ("target", versions::TARGET)].map(owned)),
        versions: catalog::packages().into_iter().map(owned).collect(),
    };
    Ok((front, ready))
}

fn fatal(error: &EngineError) -> ServerAnswer {
    let kind = match error {
        EngineError::Failed(_) => ErrorKind::Failed,
        EngineError::Unavailable(_) => ErrorKind::Unavailable,
    };
    ServerAnswer::Fatal { kind, message: error.to_string() }
}

fn answer(channel: &Channel, answer: &ServerAnswer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    channel.raw(&line)
}
