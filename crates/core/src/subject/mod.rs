//! A worker process: start, ask, time out, end, reap.
//!
//! A worker is the leader of a process group of its own, so that it can be ended with all that it started, and so that
//! Ctrl-C in a terminal reaches the parent alone. A [`Subject`] that is dropped ends its group and reaps the worker. On
//! Linux the kernel ends the worker too when the thread that started it goes away: start subjects from a thread that lives
//! as long as they do.

mod environment;
mod error;
mod pipes;

use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::interrupt::Interrupt;
use crate::plan::SubjectSpec;
use crate::protocol::{ANSWER_FD_VAR, Answer, ModelPaths, PROTOCOL, Ready, Request};
use crate::schedule::Launch;

pub use environment::environment;
pub use error::SubjectError;
use pipes::{Answers, Line, Requests, Tail};

/// How often a wait looks at the interrupt, and so how late an answer to Ctrl-C can be.
const POLL: Duration = Duration::from_millis(100);
/// How long a worker may take to exit after it closed its answers or was told `bye`.
const EXIT_GRACE: Duration = Duration::from_secs(2);
/// How much of a line that is no answer is shown, characters.
const SHOWN: usize = 80;

/// A running worker.
#[derive(Debug)]
pub struct Subject {
    id: String,
    child: Child,
    requests: Requests,
    answers: Answers,
    tail: Tail,
    interrupt: Interrupt,
    /// The request under way: its name, its cell.
    asked: Option<(&'static str, Option<String>)>,
    ended: bool,
}

impl Subject {
    /// Starts a worker; it has said nothing yet.
    ///
    /// # Errors
    /// [`SubjectError::Start`] when its program cannot be run.
    pub fn start(spec: &SubjectSpec, launch: Launch, interrupt: &Interrupt) -> Result<Self, SubjectError> {
        let failed = |source| SubjectError::Start { program: spec.program.clone(), source };
        let (answer_read, answer_write) = std::io::pipe().map_err(failed)?;
        let (error_read, error_write) = std::io::pipe().map_err(failed)?;
        let answer_fd = answer_write.as_raw_fd();
        let mut command = Command::new(&spec.program);
        command
            .args(&spec.args)
            .env_clear()
            .envs(environment(spec, launch))
            .env(ANSWER_FD_VAR, answer_fd.to_string())
            .stdin(Stdio::piped())
            .stdout(error_write.try_clone().map_err(failed)?)
            .stderr(error_write)
            .process_group(0);
        let parent = rustix::process::getpid();
        // SAFETY: between fork and exec only system calls are made; nothing is allocated and no lock is taken.
        unsafe {
            command.pre_exec(move || prepare_child(answer_fd, parent));
        }
        let mut child = command.spawn().map_err(failed)?;
        // The parent's copies of the write ends must go, or the end of the worker would not be seen.
        drop(command);
        drop(answer_write);
        let stdin = child.stdin.take();
        Ok(Self {
            id: spec.id.clone(),
            child,
            requests: Requests::new(stdin),
            answers: Answers::new(answer_read),
            tail: Tail::new(error_read),
            interrupt: interrupt.clone(),
            asked: None,
            ended: false,
        })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
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
            Some(ready) => Err(self.broken(format!(
                "it speaks version {} of the protocol, not {PROTOCOL}; the worker and llmbench must be of one version",
                ready.protocol
            ))),
            None => Err(self.broken("it answered hello without ready".to_owned())),
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
        let mut line = serde_json::to_vec(request).map_err(|e| SubjectError::Protocol { detail: e.to_string() })?;
        line.push(b'\n');
        // A worker that is gone is noticed when its answer is waited for.
        self.requests.send(line);
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
            if self.interrupt.is_set() {
                self.kill();
                return Err(SubjectError::Interrupted);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = match self.answers.next(left.min(POLL)) {
                Ok(Line::Answer(answer)) => *answer,
                Ok(Line::Garbage(text)) => {
                    self.kill();
                    return Err(SubjectError::Garbage { shown: shorten(&text) });
                }
                Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                    self.kill();
                    return Err(SubjectError::Timeout { verb, timeout, last: self.tail.last_line() });
                }
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Err(self.died()),
            };
            match answer {
                Answer::Fatal { kind, message } => {
                    self.wait_for_exit(EXIT_GRACE);
                    self.kill();
                    return Err(SubjectError::Fatal { kind, message });
                }
                Answer::Ready(_) if verb == "hello" => {
                    take(answer);
                    return Ok(());
                }
                answer if cell_of(&answer) != cell.as_deref() || cell.is_none() => {
                    let about = cell_of(&answer).unwrap_or("the worker");
                    let asked = cell.as_deref().unwrap_or(verb);
                    let detail = format!("it answered about {about} when it was asked about {asked}");
                    return Err(self.broken(detail));
                }
                Answer::Error { kind, message, .. } => return Err(SubjectError::Cell { kind, message }),
                Answer::Dump { .. } | Answer::Done { .. } => {
                    take(answer);
                    return Ok(());
                }
                answer => take(answer),
            }
        }
    }

    /// Asks the worker to exit, waits a little, and ends it if it does not.
    pub fn end(mut self) {
        if !self.ended && self.send(&Request::Bye).is_ok() {
            self.wait_for_exit(EXIT_GRACE);
        }
    }

    /// What the worker wrote last to its stdout or stderr, to explain what happened.
    pub fn last_line(&self) -> Option<String> {
        self.tail.last_line()
    }

    fn broken(&mut self, detail: String) -> SubjectError {
        self.kill();
        SubjectError::Protocol { detail }
    }

    /// The answers ended: the worker exited, or closed them and must.
    fn died(&mut self) -> SubjectError {
        let by_itself = self.wait_for_exit(EXIT_GRACE);
        let status = self.kill();
        self.tail.settle();
        let status = if by_itself { status } else { None };
        SubjectError::Died { status, last: self.tail.last_line() }
    }

    /// Waits until the worker is no more than a status to be reaped; false if it still runs. Its id (and so its group's)
    /// stays taken, so that the group can be ended without hitting a stranger.
    fn wait_for_exit(&mut self, limit: Duration) -> bool {
        let Some(pid) = self.group() else { return true };
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_micros(200);
        loop {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
            match waitid(WaitId::Pid(pid), options) {
                Ok(None) if Instant::now() < deadline => std::thread::sleep(pause),
                Ok(None) => return false,
                Ok(Some(_)) | Err(_) => return true,
            }
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Ends the group and reaps the worker. A worker that had exited keeps its own status.
    fn kill(&mut self) -> Option<ExitStatus> {
        if self.ended {
            return None;
        }
        self.ended = true;
        if let Some(group) = self.group() {
            // Fails only when nothing of the group is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
        self.child.wait().ok()
    }

    fn group(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs in the child between fork and exec.
fn prepare_child(answer_fd: i32, parent: Pid) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above.
        if rustix::process::getppid() != Some(parent) {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = parent;
    // SAFETY: the descriptor is open in the parent, hence in its fork; only its close-on-exec mark is taken away.
    if unsafe { libc::fcntl(answer_fd, libc::F_SETFD, 0) } == -1 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
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

fn shorten(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
