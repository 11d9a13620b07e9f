//! The native worker: `llmbench worker`, a process that measures cells and speaks the protocol of
//! [`record::protocol`].
//!
//! ```text
//! requests (stdin) ─> [server] ─> [ops]  what is called      ─┐
//!                        │        [inputs], [model]  on what  ├─> [timing], [window]  how it is timed
//! answers (own fd)  <─ [channel]  [pools]  in which threads  ─┘
//! ```
//!
//! `llmbench worker load` is the worker of [`load`], which drives servers; `llmbench worker serve` is one ([`serve`](mod@serve));
//! `llmbench worker serving` asks servers of models ([`serving`]).
//!
//! The thread that serves is the one that is timed, except in `window` and `batch`, which have threads of their own.

mod channel;
pub mod child;
pub mod clock;
mod fault;
mod inputs;
pub mod load;
mod load_worker;
mod model;
mod ops;
mod pools;
mod serve;
mod server;
pub mod serving;
#[cfg(test)]
mod tests;
mod timing;
mod window;

use std::env;
use std::fs::File;
use std::io::{self, BufRead, Write};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::process::ExitCode;

use record::protocol::ANSWER_FD_VAR;
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use channel::Channel;
use server::Server;

pub use clock::now;
pub use fault::{FAULT_VAR, Fault};

/// What a worker is told before its first request.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// A fault for tests.
    pub fault: Option<Fault>,
    /// When the process started, by [`now`]; `ready` tells how long loading took from here.
    pub started_ns: u64,
}

/// The hidden verb `llmbench worker`. Call it first thing: the descriptor and the standard output are taken over here.
///
/// Exits with 0 after `bye`, the end of the input, or a `fatal` answer; with 2 when it was not started by llmbench.
pub fn main() -> ExitCode {
    let started_ns = now();
    match take_over().and_then(|answers| Ok((answers, fault()?))) {
        Ok((answers, fault)) => {
            match work(answers, Setup { fault, started_ns }) {
                Ok(()) => ExitCode::SUCCESS,
                // The parent is gone: nobody reads the answers.
                Err(error) => {
                    eprintln!("the worker cannot answer: {error}");
                    ExitCode::FAILURE
                }
            }
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

/// What this process is to be: `llmbench worker` times calls, `llmbench worker load` drives servers, and
/// `llmbench worker serve` is one.
fn work(answers: File, setup: Setup) -> io::Result<()> {
    let requests = io::stdin().lock();
    match env::args().nth(2).as_deref() {
        Some("load") => load::Loader::new(Channel::new(answers), setup.started_ns)?.run(requests),
        Some("serving") => serving::Serving::new(Channel::new(answers), setup.started_ns).run(requests),
        Some("serve") => serve::run(requests, &Channel::new(answers), setup.fault),
        _ => serve(requests, answers, setup),
    }
}

/// Answers `requests` until `bye`, the end of the input, or a `fatal` answer.
///
/// # Errors
/// When requests cannot be read or answers cannot be written.
pub fn serve(requests: impl BufRead, answers: impl Write + Send + 'static, setup: Setup) -> io::Result<()> {
    Server::new(Channel::new(answers), setup).run(requests)
}

/// Takes the answer descriptor, hides it from child processes, and points the standard output at the standard error.
fn take_over() -> Result<File, String> {
    let text = env::var(ANSWER_FD_VAR)
        .map_err(|_| format!("llmbench worker is started by llmbench itself: {ANSWER_FD_VAR} is not set"))?;
    let number: RawFd = text
        .parse()
        .ok()
        .filter(|&number| number > 2)
        .ok_or_else(|| format!("{ANSWER_FD_VAR} must be the number of a descriptor above 2, not {text}"))?;
    let closed =
        |error: rustix::io::Errno| format!("the descriptor {number} of {ANSWER_FD_VAR} cannot be used: {error}");
    // SAFETY: the number is only asked about here; a descriptor that is not open gives an error.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
    let flags = fcntl_getfd(borrowed).map_err(closed)?;
    fcntl_setfd(borrowed, flags | FdFlags::CLOEXEC).map_err(closed)?;
    // SAFETY: the descriptor is open, the parent passed it for this purpose, and nothing else in this process owns it.
    let answers = File::from(unsafe { OwnedFd::from_raw_fd(number) });
    rustix::stdio::dup2_stdout(io::stderr())
        .map_err(|error| format!("the standard output cannot be pointed at the standard error: {error}"))?;
    Ok(answers)
}

fn fault() -> Result<Option<Fault>, String> {
    match env::var(FAULT_VAR) {
        Ok(text) if !text.is_empty() => Fault::parse(&text).map(Some),
        _ => Ok(None),
    }
}
