//! A strategy as a server: start, ready, stats, drain, stop. Load reaches it over a socket of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::interrupt::Interrupt;
use record::protocol::serve::{ServerAnswer, ServerReady, ServerRequest, ServerStats, StartServer};

use super::error::SubjectError;
use super::process::Process;

/// A running server and its children.
#[derive(Debug)]
pub struct Server {
    process: Process<ServerAnswer>,
}

impl Server {
    /// Starts a server and waits until it serves, warmed.
    ///
    /// # Errors
    /// [`SubjectError::Start`] when its program cannot be run, [`SubjectError::Fatal`] when it says why it cannot serve; otherwise
    /// it died, was late or broke the protocol.
    pub fn start(
        program: &Path,
        args: &[String],
        env: &BTreeMap<OsString, OsString>,
        start: StartServer,
        timeout: Duration,
        interrupt: &Interrupt,
    ) -> Result<(Self, ServerReady), SubjectError> {
        let mut server = Self { process: Process::start(program, args, env.clone(), interrupt)? };
        match server.ask(&ServerRequest::Start(Box::new(start)), timeout)? {
            ServerAnswer::Ready(ready) => Ok((server, *ready)),
            other => Err(server.process.broken(format!("it answered start with {}", other.name()))),
        }
    }

    /// Pid of the process that was started; the root of its tree.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Counters since the last reset.
    ///
    /// # Errors
    /// When the server is gone, late, or answers something else.
    pub fn stats(&mut self, timeout: Duration) -> Result<ServerStats, SubjectError> {
        match self.ask(&ServerRequest::Stats, timeout)? {
            ServerAnswer::Stats(stats) => Ok(stats),
            other => Err(self.process.broken(format!("it answered stats with {}", other.name()))),
        }
    }

    /// Sets the counters to zero.
    ///
    /// # Errors
    /// As [`Server::stats`].
    pub fn reset(&mut self, timeout: Duration) -> Result<(), SubjectError> {
        self.done(&ServerRequest::Reset, timeout)
    }

    /// Waits until nothing is in flight; new requests are refused from here on.
    ///
    /// # Errors
    /// As [`Server::stats`].
    pub fn drain(&mut self, timeout: Duration) -> Result<(), SubjectError> {
        self.done(&ServerRequest::Drain, timeout)
    }

    /// What the server wrote last to its stdout or stderr, to explain what happened.
    pub fn last_line(&self) -> Option<String> {
        self.process.last_line()
    }

    /// Asks the server to exit, and ends it with all its children if it does not.
    pub fn stop(self) {
        self.process.end(&ServerRequest::Bye);
    }

    fn done(&mut self, request: &ServerRequest, timeout: Duration) -> Result<(), SubjectError> {
        match self.ask(request, timeout)? {
            ServerAnswer::Done => Ok(()),
            other => Err(self.process.broken(format!("it answered {} with {}", request.name(), other.name()))),
        }
    }

    fn ask(&mut self, request: &ServerRequest, timeout: Duration) -> Result<ServerAnswer, SubjectError> {
        self.process.send(request)?;
        match self.process.next(request.name(), timeout, Instant::now() + timeout)? {
            ServerAnswer::Fatal { kind, message } => {
                self.process.gave_up();
                Err(SubjectError::Fatal { kind, message })
            }
            answer => Ok(answer),
        }
    }
}
