//! Python interpreters of this machine, and environments for the Python subject.
//!
//! [`discover`] looks for interpreters and asks each what it is. [`Environment::ensure`] makes an environment from a lock
//! with hashes, once per lock and interpreter. [`no_env`] looks at what an interpreter has installed already. No child
//! that is started here sees `HF_TOKEN` or another secret of the environment.

mod child;
mod discover;
mod environment;
mod error;
mod installed;
mod interpreter;
mod overlay;
mod pip;

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub use discover::{Discovery, Rejected, Surroundings, discover};
pub use environment::{EnsureOptions, EnvProgress, Environment};
pub use error::EnvError;
pub use installed::{Installed, no_env};
pub use interpreter::{Found, Interpreter, Version};
pub use overlay::Overlay;

use crate::cache::{self, CacheError};

/// Writes the worker's Python sources to `cache_root/worker/<first 16 digits of their SHA-256>/` and returns that folder.
/// `files` are paths relative to it and their content; the folder appears completely or not at all.
pub fn install_sources(files: &[(&str, &[u8])], cache_root: &Path) -> Result<PathBuf, CacheError> {
    let mut sorted = files.to_vec();
    sorted.sort();
    let mut sha = Sha256::new();
    for (name, bytes) in &sorted {
        sha.update(name.as_bytes());
        sha.update([0]);
        sha.update((bytes.len() as u64).to_le_bytes());
        sha.update(bytes);
    }
    let name = hex::encode(sha.finalize());
    cache::install(&cache_root.join("worker"), &name[..16], files)
}
