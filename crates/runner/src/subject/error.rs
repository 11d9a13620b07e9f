//! What can befall a worker, in words for the table of results.

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use record::protocol::ErrorKind;

/// Why a request has no answer.
#[derive(Debug)]
pub enum SubjectError {
    /// The program could not be run.
    Start { program: PathBuf, source: io::Error },
    /// The worker reported that this cell failed; it lives on.
    Cell { kind: ErrorKind, message: String },
    /// The worker reported that it cannot work, and exited.
    Fatal { kind: ErrorKind, message: String },
    /// The worker ended without being asked to. `status` is absent when it only closed its answers and was ended for it.
    Died { status: Option<ExitStatus>, last: Option<String> },
    /// No answer in time; the worker was ended.
    Timeout { verb: &'static str, timeout: Duration, last: Option<String> },
    /// Something on the answer channel that is no answer (its first 80 characters); the worker was ended.
    Garbage { shown: String },
    /// An answer that does not fit the request; the worker was ended.
    Protocol { detail: String },
    /// Somebody asked to stop; the worker was ended.
    Interrupted,
}

impl SubjectError {
    /// True when the worker is still there to be asked.
    pub fn lives_on(&self) -> bool {
        matches!(self, Self::Cell { .. })
    }
}

impl fmt::Display for SubjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { program, source } => {
                write!(f, "the worker {} could not be started: {source}", program.display())
            }
            Self::Cell { message, .. } | Self::Fatal { message, .. } => f.write_str(message),
            Self::Died { status, last } => {
                write!(f, "the worker died ({})", how(*status))?;
                with_last(f, last.as_deref())
            }
            Self::Timeout { verb, timeout, last } => {
                let seconds = timeout.as_secs_f64();
                write!(f, "the worker did not finish {verb} within {seconds:.3} s and was ended")?;
                with_last(f, last.as_deref())
            }
            Self::Garbage { shown } => {
                write!(f, "the worker wrote something that is no answer and was ended: {shown:?}")
            }
            Self::Protocol { detail } => write!(f, "the worker broke the protocol and was ended: {detail}"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for SubjectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn with_last(f: &mut fmt::Formatter<'_>, last: Option<&str>) -> fmt::Result {
    last.map_or(Ok(()), |line| write!(f, ": {line}"))
}

fn how(status: Option<ExitStatus>) -> String {
    let Some(status) = status else { return "it closed its answers but did not exit".to_owned() };
    match (status.signal(), status.code()) {
        (Some(9), _) => "signal 9, out of memory?".to_owned(),
        (Some(signal), _) => format!("signal {signal}{}", signal_name(signal)),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => status.to_string(),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGSEGV => ", segmentation fault",
        libc::SIGABRT => ", abort",
        libc::SIGILL => ", illegal instruction: is this build for another CPU?",
        libc::SIGBUS => ", bus error",
        libc::SIGTERM => ", terminated",
        _ => "",
    }
}
