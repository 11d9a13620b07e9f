//! Packages beside an environment: what only some rows need, in a folder of its own, so that it breaks nothing of the others.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::environment::{Maker, Marker, pip_install, planned, uv_install, worth_another_tool};
use super::{EnsureOptions, EnvError, EnvProgress, Environment, Interpreter};
use crate::cache::CacheError;

/// A folder of packages that a process puts behind those of its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// To be appended to `sys.path`.
    pub dir: PathBuf,
    /// False if it was there already.
    pub made: bool,
}

impl Overlay {
    /// Finds or makes `cache_root/overlays/<package>-<lock>-<version>-<interpreter>` for an environment of the same
    /// interpreter. What the lock names is installed whole, also what the environment has: which of the two is imported
    /// is the environment's, since the overlay stands behind it.
    ///
    /// # Errors
    /// As [`Environment::ensure`].
    pub fn ensure(
        environment: &Environment,
        interpreter: &Interpreter,
        (package, lock): (&str, &str),
        cache_root: &Path,
        options: &EnsureOptions,
        progress: &mut dyn FnMut(EnvProgress),
    ) -> Result<Self, EnvError> {
        let (name, marker): (String, Marker) = planned(interpreter, lock);
        let dir = cache_root.join("overlays").join(format!("{package}-{name}"));
        let maker = Maker { interpreter, lock, dir: &dir, deadline: Instant::now() + options.timeout, options };
        let made = maker
            .once(&marker, &|| marker.is_of(&dir), progress, &mut |progress| make(&maker, environment, progress))?;
        Ok(Self { dir, made })
    }
}

fn make(maker: &Maker, environment: &Environment, progress: &mut dyn FnMut(EnvProgress)) -> Result<(), EnvError> {
    // An environment that uv made has no pip.
    let has_pip = environment.dir.join("bin/pip").exists();
    if let Some(uv) = &maker.options.uv {
        let lock = empty(maker)?;
        let mut install = uv_install(uv, &environment.python);
        install.arg("--target").arg(maker.dir).arg("-r").arg(lock);
        match maker.install("uv", install, progress) {
            Err(e) if worth_another_tool(&e) && has_pip => tracing::info!("{e}; trying pip"),
            outcome => return outcome,
        }
    }
    let lock = empty(maker)?;
    let mut install = pip_install(&environment.python);
    install.arg("--target").arg(maker.dir).arg("-r").arg(lock);
    maker.install("pip", install, progress)
}

/// An empty folder with nothing but the lock, whose path is returned.
fn empty(maker: &Maker) -> Result<PathBuf, EnvError> {
    maker.clear()?;
    fs::create_dir_all(maker.dir).map_err(|e| CacheError::writing("make", maker.dir, e))?;
    maker.write_lock()
}
