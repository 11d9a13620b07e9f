//! A worker process: start, ask, time out, end, reap.
//!
//! A worker is the leader of a process group of its own, so that it can be ended with all that it started, and so that
//! Ctrl-C in a terminal reaches the parent alone. A [`Subject`] that is dropped ends its group and reaps the worker. On
//! Linux the kernel ends the worker too when the thread that started it goes away: start subjects from a thread that lives
//! as long as they do.

mod environment;
mod error;
mod pipes;
mod process;
mod server;

use std::time::{Duration, Instant};

use crate::interrupt::Interrupt;
use crate::schedule::Launch;
use record::plan::SubjectSpec;
use record::protocol::{Answer, ModelPaths, PROTOCOL, Ready, Request};

pub use environment::{INHERIT_VAR, environment};
pub use error::SubjectError;
use process::Process;
pub use server::Server;

/// A running worker.
#[derive(Debug)]
pub struct Subject {
    id: String,
    process: Process<Answer>,
    /// The request under way: its name, its cell.
    asked: Option<(&'static str, Option<String>)>,
}

impl Subject {
    /// Starts a worker; it has said nothing yet.
    ///
    /// # Errors
    /// [`SubjectError::Start`] when its program cannot be run.
    pub fn start(spec: &SubjectSpec, launch: Launch, interrupt: &Interrupt) -> Result<Self, SubjectError> {
        let process = Process::start(&spec.program, &spec.args, environment(spec, launch), interrupt)?;
        Ok(Self { id: spec.id.clone(), process, asked: None })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends `hello` without waiting, so that several workers can load at the same time; [`Subject::ready`] waits.
    ///
    /// # Errors
    /// As [`Subject::send`].
    pub fn hello(&mut self, model: &ModelPaths, timestamp: i64, engines: &[String]) -> Result<(), SubjectError> {
        self.send(&Request::Hello { protocol: PROTOCOL, model: model.clone(), timestamp, engines: engines.to_vec() })
    }

    /// Waits for the answer to [`Subject::hello`].
    ///
    /// # Errors
    /// As [`Subject::ask`]; [`SubjectError::Protocol`] when the worker speaks another version of the protocol.
    pub fn ready(&mut self, timeout: Duration) -> Result<Ready, SubjectError> {
        let mut ready = None;
        self.collect(timeout, &mut |answer| {
            if let Answer::Ready(answer) = answer {
                ready = Some(*answer);
            }
        })?;
        match ready {
            Some(ready) if ready.protocol == PROTOCOL => Ok(ready),
            Some(ready) => Err(self.process.broken(format!(
                "it speaks version {} of the protocol, not {PROTOCOL}; the worker and llmbench must be of one version",
                ready.protocol
            ))),
            None => Err(self.process.broken("it answered hello without ready".to_owned())),
        }
    }

    /// Sends a request and returns its answers, the closing `done` (`ready`, `dump`) included.
    ///
    /// # Errors
    /// [`SubjectError::Cell`] when the worker reports an error of the cell (it lives on). After every other error the worker
    /// is gone: it said `fatal`, died, was late, wrote something that is no answer, or somebody interrupted.
    pub fn ask(&mut self, request: &Request, timeout: Duration) -> Result<Vec<Answer>, SubjectError> {
        let mut answers = Vec::new();
        self.ask_each(request, timeout, &mut |answer| answers.push(answer))?;
        Ok(answers)
    }

    /// As [`Subject::ask`], handing over each answer as it comes.
    ///
    /// # Errors
    /// As [`Subject::ask`].
    pub fn ask_each(
        &mut self,
        request: &Request,
        timeout: Duration,
        take: &mut dyn FnMut(Answer),
    ) -> Result<(), SubjectError> {
        self.send(request)?;
        self.collect(timeout, take)
    }

    /// Sends a request without waiting.
    ///
    /// # Errors
    /// [`SubjectError::Protocol`] when it cannot be put into words.
    pub fn send(&mut self, request: &Request) -> Result<(), SubjectError> {
        self.process.send(request)?;
        self.asked = Some(match request {
            Request::Hello { .. } => ("hello", None),
            Request::Prepare { cell_id, .. } => ("prepare", Some(cell_id.clone())),
            Request::Block { cell_id, .. } => ("block", Some(cell_id.clone())),
            Request::Dump { cell_id, .. } => ("dump", Some(cell_id.clone())),
            Request::Bye => ("bye", None),
        });
        Ok(())
    }

    fn collect(&mut self, timeout: Duration, take: &mut dyn FnMut(Answer)) -> Result<(), SubjectError> {
        let (verb, cell) = self.asked.take().unwrap_or(("nothing", None));
        let deadline = Instant::now() + timeout;
        loop {
            match self.process.next(verb, timeout, deadline)? {
                Answer::Fatal { kind, message } => {
                    self.process.gave_up();
                    return Err(SubjectError::Fatal { kind, message });
                }
                answer @ Answer::Ready(_) if verb == "hello" => {
                    take(answer);
                    return Ok(());
                }
                answer if cell_of(&answer) != cell.as_deref() || cell.is_none() => {
                    let about = cell_of(&answer).unwrap_or("the worker");
                    let asked = cell.as_deref().unwrap_or(verb);
                    let detail = format!("it answered about {about} when it was asked about {asked}");
                    return Err(self.process.broken(detail));
                }
                Answer::Error { kind, message, .. } => return Err(SubjectError::Cell { kind, message }),
                answer @ (Answer::Dump { .. } | Answer::Done { .. }) => {
                    take(answer);
                    return Ok(());
                }
                answer => take(answer),
            }
        }
    }

    /// Asks the worker to exit, waits a little, and ends it if it does not.
    pub fn end(self) {
        self.process.end(&Request::Bye);
    }

    /// What the worker wrote last to its stdout or stderr, to explain what happened.
    pub fn last_line(&self) -> Option<String> {
        self.process.last_line()
    }
}

fn cell_of(answer: &Answer) -> Option<&str> {
    match answer {
        Answer::Ready(_) | Answer::Fatal { .. } => None,
        Answer::Check { cell_id, .. }
        | Answer::Done { cell_id, .. }
        | Answer::Dump { cell_id, .. }
        | Answer::Error { cell_id, .. } => Some(cell_id),
        Answer::Sample(sample) => Some(&sample.cell_id),
    }
}
