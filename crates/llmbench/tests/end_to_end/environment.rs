//! The Python environment of the tests: made from the project's lock, once, in one cache that all tests share.
//!
//! `LLMBENCH_TEST_CACHE` names another cache folder than the one below cargo's target folder.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use provision::pyenv::{EnsureOptions, EnvError, Environment, Surroundings, discover};

/// What stands in the environment, as in the binary.
const LOCK: &str = include_str!("../../../../python/requirements.lock");

/// An interpreter with the packages of the lock, and the cache that it lies in.
pub struct Python {
    pub program: PathBuf,
    pub cache: PathBuf,
}

/// The environment of the interpreter that llmbench takes when none is named. None, with a line on stderr, where there is
/// no interpreter or no way to fetch packages.
pub fn python() -> Option<&'static Python> {
    static PYTHON: OnceLock<Result<Python, String>> = OnceLock::new();
    let python = PYTHON.get_or_init(|| {
        let cache = cache();
        match ensure(LOCK, &cache) {
            Ok(environment) => Ok(Python { program: environment.python, cache }),
            Err(error) if is_excuse(&error) => Err(error.to_string()),
            Err(error) => panic!("no Python environment could be made: {error}"),
        }
    });
    match python {
        Ok(python) => Some(python),
        Err(reason) => {
            skipped(reason);
            None
        }
    }
}

/// The interpreter of an environment from another lock, in the same cache. None, with a line on stderr, as [`python`].
pub fn with_lock(lock: &str) -> Option<PathBuf> {
    match ensure(lock, &cache()) {
        Ok(environment) => Some(environment.python),
        Err(error) if is_excuse(&error) => {
            skipped(&error.to_string());
            None
        }
        Err(error) => panic!("no Python environment could be made: {error}"),
    }
}

/// Says that a test is left out. Written past the test harness, which hides what a test that passes prints.
pub fn skipped(reason: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {reason}");
}

fn cache() -> PathBuf {
    match std::env::var_os("LLMBENCH_TEST_CACHE") {
        Some(cache) if !cache.is_empty() => cache.into(),
        // The same folder for all packages of the workspace.
        _ => Path::new(env!("CARGO_TARGET_TMPDIR")).join("llmbench-cache"),
    }
}

fn ensure(lock: &str, cache: &Path) -> Result<Environment, EnvError> {
    let discovery = discover(&[], &Surroundings::from_env());
    let interpreter = discovery.default_choice()?;
    Environment::ensure(interpreter, lock, cache, &EnsureOptions::default(), &mut |_| {})
}

/// What a machine may lack without the project being at fault.
fn is_excuse(error: &EnvError) -> bool {
    matches!(error, EnvError::NoInterpreter | EnvError::NoVenv { .. } | EnvError::Network { .. })
}
