//! A child process that is asked in JSON Lines: start, write, wait for a line, end, reap.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::interrupt::Interrupt;
use record::protocol::ANSWER_FD_VAR;

use super::error::SubjectError;
use super::pipes::{Answers, Line, Requests, Tail};

/// How often a wait looks at the interrupt, and so how late an answer to Ctrl-C can be.
const POLL: Duration = Duration::from_millis(100);
/// How long a process may take to exit after it closed its answers or was told to.
pub(super) const EXIT_GRACE: Duration = Duration::from_secs(2);
/// How much of a line that is no answer is shown, characters.
const SHOWN: usize = 80;

/// A running process whose answers are `A`.
#[derive(Debug)]
pub(super) struct Process<A> {
    child: Child,
    requests: Requests,
    answers: Answers<A>,
    tail: Tail,
    interrupt: Interrupt,
    ended: bool,
}

impl<A: DeserializeOwned + Send + 'static> Process<A> {
    /// Starts it as the leader of a process group of its own, with this environment and nothing else.
    pub(super) fn start(
        program: &Path,
        args: &[String],
        env: impl IntoIterator<Item = (OsString, OsString)>,
        interrupt: &Interrupt,
    ) -> Result<Self, SubjectError> {
        let failed = |source| SubjectError::Start { program: program.to_owned(), source };
        let (answer_read, answer_write) = io::pipe().map_err(failed)?;
        let (error_read, error_write) = io::pipe().map_err(failed)?;
        let answer_fd = answer_write.as_raw_fd();
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .envs(env)
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
        // The parent's copies of the write ends must go, or the end of the process would not be seen.
        drop(command);
        drop(answer_write);
        let stdin = child.stdin.take();
        Ok(Self {
            child,
            requests: Requests::new(stdin),
            answers: Answers::new(answer_read),
            tail: Tail::new(error_read),
            interrupt: interrupt.clone(),
            ended: false,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a request without waiting. A process that is gone is noticed when its answer is waited for.
    pub(super) fn send(&self, request: &impl Serialize) -> Result<(), SubjectError> {
        let mut line = serde_json::to_vec(request).map_err(|e| SubjectError::Protocol { detail: e.to_string() })?;
        line.push(b'\n');
        self.requests.send(line);
        Ok(())
    }

    /// The next answer before the deadline. After an error the process is gone. `verb` is what it was asked.
    pub(super) fn next(&mut self, verb: &'static str, timeout: Duration, deadline: Instant) -> Result<A, SubjectError> {
        loop {
            if self.interrupt.is_set() {
                self.kill();
                return Err(SubjectError::Interrupted);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.answers.next(left.min(POLL)) {
                Ok(Line::Answer(answer)) => return Ok(*answer),
                Ok(Line::Garbage(text)) => {
                    self.kill();
                    return Err(SubjectError::Garbage { shown: shorten(&text) });
                }
                Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                    self.kill();
                    return Err(SubjectError::Timeout { verb, timeout, last: self.tail.last_line() });
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(self.died()),
            }
        }
    }

    /// What it wrote last to its stdout or stderr, to explain what happened.
    pub(super) fn last_line(&self) -> Option<String> {
        self.tail.last_line()
    }

    /// It said that it cannot work.
    pub(super) fn gave_up(&mut self) {
        self.wait_for_exit(EXIT_GRACE);
        self.kill();
    }

    /// It broke the protocol.
    pub(super) fn broken(&mut self, detail: String) -> SubjectError {
        self.kill();
        SubjectError::Protocol { detail }
    }

    /// Asks it to exit, waits a little, and ends it if it does not.
    pub(super) fn end(mut self, farewell: &impl Serialize) {
        if !self.ended && self.send(farewell).is_ok() {
            self.wait_for_exit(EXIT_GRACE);
        }
    }

    /// The answers ended: the process exited, or closed them and must.
    fn died(&mut self) -> SubjectError {
        let by_itself = self.wait_for_exit(EXIT_GRACE);
        let status = self.kill();
        self.tail.settle();
        let status = if by_itself { status } else { None };
        SubjectError::Died { status, last: self.tail.last_line() }
    }
}

impl<A> Process<A> {
    /// Waits until the process is no more than a status to be reaped; false if it still runs. Its id (and so its group's)
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

    /// Ends the group and reaps the process. One that had exited keeps its own status.
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

impl<A> Drop for Process<A> {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs in the child between fork and exec.
fn prepare_child(answer_fd: i32, parent: Pid) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above.
        if rustix::process::getppid() != Some(parent) {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = parent;
    // SAFETY: the descriptor is open in the parent, hence in its fork; only its close-on-exec mark is taken away.
    if unsafe { libc::fcntl(answer_fd, libc::F_SETFD, 0) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn shorten(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
