//! Interpreters and environments, with shell scripts in the place of Python where a failure is needed, and the real
//! `python3` where its answer is.
#![cfg(unix)]

mod discovery;
mod environment;
mod fake;
mod real;
