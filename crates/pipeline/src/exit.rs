//! How llmbench ends: the exit codes are part of its interface.

use std::process::ExitCode;

use thiserror::Error;

/// Exit codes, in the order of their precedence when several apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 130: Ctrl-C or SIGTERM; what was measured is kept.
    Interrupted,
    /// 1: llmbench is broken; please report it.
    Bug,
    /// 2: wrong arguments, configuration or input, or a place that cannot be written; the user can mend it.
    Usage,
    /// 4: the selection leaves nothing to do.
    NothingSelected,
    /// 103: `--strict-env` refused the environment.
    EnvironmentRefused,
    /// 101: engines that must agree gave different output.
    Mismatch,
    /// 100: some cells failed, every point of an experiment is INVALID, or the disk was full before all runs were made; what was measured is kept and reported.
    CellsFailed,
    /// 0.
    Success,
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Interrupted => 130,
            Self::Bug => 1,
            Self::Usage => 2,
            Self::NothingSelected => 4,
            Self::EnvironmentRefused => 103,
            Self::Mismatch => 101,
            Self::CellsFailed => 100,
            Self::Success => 0,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// A verb that ended early, with the sentence to print.
#[derive(Debug, Error)]
#[error("{message}")]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
}

impl Failure {
    /// Wrong arguments, configuration or input.
    pub fn usage(error: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Usage, message: error.to_string() }
    }

    /// Something that the user cannot mend.
    pub fn bug(error: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Bug, message: error.to_string() }
    }

    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several_wins() {
        assert_eq!([Exit::Success, Exit::CellsFailed, Exit::Mismatch].into_iter().min(), Some(Exit::Mismatch));
        assert_eq!([Exit::CellsFailed, Exit::Interrupted].into_iter().min(), Some(Exit::Interrupted));
    }
}
