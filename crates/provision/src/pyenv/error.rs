//! Why there is no Python environment, each with what to do about it.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::Version;
use crate::cache::CacheError;

/// Why no environment could be made. Each text is one sentence that ends with the remedy.
#[derive(Debug, Error)]
pub enum EnvError {
    #[error(
        "no Python 3.10 or newer was found: install one (Debian, Ubuntu: `sudo apt install python3 python3-venv`; macOS: \
         `brew install python`; anywhere: `uv python install 3.12`), or name one with --python"
    )]
    NoInterpreter,
    #[error(
        "{} cannot make environments (its module `{module}` is missing): install it (Debian, Ubuntu: \
         `sudo apt install python{}.{}-venv`) or uv, or use --no-env with an interpreter that has the packages",
        path.display(), version.major, version.minor
    )]
    NoVenv { path: PathBuf, version: Version, module: &'static str },
    #[error("{} could not be started ({source}): check it, or name another interpreter with --python", program.display())]
    Start { program: PathBuf, source: io::Error },
    #[error(
        "{tool} cannot reach the package index ({line}): check the network and proxy settings and try again, or {NO_ENV}"
    )]
    Network { tool: &'static str, line: String },
    #[error(
        "{tool} got a package that is not the one in the lock ({line}): clear the cache of {tool}, or look at what the \
         package index serves; to go without, {NO_ENV}"
    )]
    Hash { tool: &'static str, line: String },
    #[error(
        "there is no wheel of {package} for Python {version}: choose another interpreter with --python (CPython 3.10 to \
         3.14), or {NO_ENV}"
    )]
    NoWheel { package: String, version: Version },
    #[error("no space is left while {tool} fills {}: free some, or set LLMBENCH_CACHE to a folder on another disk", dir.display())]
    Full { tool: &'static str, dir: PathBuf },
    #[error("{tool} failed ({line}): {NO_ENV}, or choose another one with --python")]
    Failed { tool: &'static str, line: String },
    #[error("{tool} was not ready after {after_s} s and was ended: try again (what it fetched is kept), or {NO_ENV}")]
    TimedOut { tool: &'static str, after_s: u64 },
    #[error("interrupted")]
    Cancelled,
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// The way around an environment that cannot be made.
const NO_ENV: &str = "use --no-env with an interpreter that has the packages";
