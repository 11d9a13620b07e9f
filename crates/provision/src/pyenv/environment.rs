//! An environment made from a lock, once, and found again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::child::{self, End};
use super::discover::Surroundings;
use super::pip::{Meter, failure};
use super::{EnvError, Interpreter};
use crate::cache::{self, CacheError, Lock};

/// Written last: a folder without it is half-made.
const MARKER: &str = "llmbench-env.json";
/// The lock, as it was installed.
const LOCK_FILE: &str = "requirements.lock";

/// An environment with exactly the packages of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    pub python: PathBuf,
    pub dir: PathBuf,
    /// SHA-256 of the lock's text.
    pub lock_sha: String,
    /// False if it was there already.
    pub made: bool,
}

/// How far the making of an environment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvProgress<'a> {
    /// Another process makes the same environment.
    Waiting,
    /// An empty environment is being made with this tool (`uv` or `venv`).
    Creating { tool: &'static str },
    /// A package is being fetched; so many are here.
    Package { done: usize, total: usize, name: &'a str },
    /// All are here and are being unpacked.
    Installing { total: usize },
}

/// How an environment is made.
pub struct EnsureOptions<'a> {
    /// For all of it.
    pub timeout: Duration,
    /// Asked many times a second; once true, the tool is ended and the result is [`EnvError::Cancelled`].
    pub cancel: &'a dyn Fn() -> bool,
    /// The program `uv`, if it is to be used.
    pub uv: Option<PathBuf>,
}

impl Default for EnsureOptions<'_> {
    /// Half an hour, not to be cancelled, with `uv` where it is on PATH.
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30 * 60), cancel: &|| false, uv: Surroundings::from_env().which("uv") }
    }
}

/// What [`MARKER`] holds.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
pub(super) struct Marker {
    pub lock_sha: String,
    version: String,
    base: PathBuf,
}

impl Environment {
    /// Finds or makes `cache_root/envs/<lock>-<version>-<interpreter>`, with 8 hex digits each for the lock's text and the
    /// interpreter's real path. With `uv` where it is there, else (or if it fails) with `venv` and `pip`. Nothing but
    /// wheels with a hash in the lock is installed. A half-made environment is made anew; of two processes one waits.
    pub fn ensure(
        interpreter: &Interpreter,
        lock: &str,
        cache_root: &Path,
        options: &EnsureOptions,
        progress: &mut dyn FnMut(EnvProgress),
    ) -> Result<Self, EnvError> {
        let (mut this, marker) = Self::planned(interpreter, lock, cache_root);
        let maker = Maker { interpreter, lock, dir: &this.dir, deadline: Instant::now() + options.timeout, options };
        let is_ready = || this.is_ready(&marker);
        this.made = maker.once(&marker, &is_ready, progress, &mut |progress| maker.make(progress))?;
        Ok(this)
    }

    /// The environment that [`Environment::ensure`] has made already.
    pub fn find(interpreter: &Interpreter, lock: &str, cache_root: &Path) -> Option<Self> {
        let (this, marker) = Self::planned(interpreter, lock, cache_root);
        this.is_ready(&marker).then_some(this)
    }

    /// Where the environment of a lock and an interpreter belongs, and what its marker says when it is complete.
    fn planned(interpreter: &Interpreter, lock: &str, cache_root: &Path) -> (Self, Marker) {
        let (name, marker) = planned(interpreter, lock);
        let dir = cache_root.join("envs").join(name);
        (Self { python: dir.join("bin/python"), dir, lock_sha: marker.lock_sha.clone(), made: false }, marker)
    }

    /// Complete, of this lock and interpreter, and the interpreter behind it is still there.
    fn is_ready(&self, wanted: &Marker) -> bool {
        wanted.is_of(&self.dir) && self.python.exists()
    }
}

/// The name of what is made of a lock for an interpreter, and what its marker says when it is complete.
pub(super) fn planned(interpreter: &Interpreter, lock: &str) -> (String, Marker) {
    let lock_sha = hex::encode(Sha256::digest(lock));
    let real = hex::encode(Sha256::digest(interpreter.real.as_os_str().as_encoded_bytes()));
    let name = format!("{}-{}-{}", &lock_sha[..8], interpreter.version, &real[..8]);
    (name, Marker { lock_sha, version: interpreter.version.to_string(), base: interpreter.real.clone() })
}

impl Marker {
    /// True if the folder is complete and made of the same.
    pub(super) fn is_of(&self, dir: &Path) -> bool {
        let marker = fs::read(dir.join(MARKER)).ok();
        let marker: Option<Self> = marker.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        marker.as_ref() == Some(self)
    }
}

/// Fills an empty folder, and tells how far it is.
pub(super) type Make<'a> = dyn FnMut(&mut dyn FnMut(EnvProgress)) -> Result<(), EnvError> + 'a;

/// The making of one folder of packages.
pub(super) struct Maker<'a> {
    pub interpreter: &'a Interpreter,
    pub lock: &'a str,
    pub dir: &'a Path,
    pub deadline: Instant,
    pub options: &'a EnsureOptions<'a>,
}

impl Maker<'_> {
    /// Makes the folder unless it is ready: of several processes one does it, and a half-made folder does not stay. True if it
    /// was made.
    pub(super) fn once(
        &self,
        marker: &Marker,
        is_ready: &dyn Fn() -> bool,
        progress: &mut dyn FnMut(EnvProgress),
        make: &mut Make<'_>,
    ) -> Result<bool, EnvError> {
        if is_ready() {
            return Ok(false);
        }
        let patience = self.options.timeout + Duration::from_secs(60);
        let name = self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let lock_file = self.dir.with_file_name(format!(".{name}.lock"));
        let _lock = Lock::acquire(&lock_file, patience, &mut || {
            progress(EnvProgress::Waiting);
        })?;
        if is_ready() {
            return Ok(false);
        }
        if let Err(e) = make(progress) {
            // A full disk is not left full.
            let _ = fs::remove_dir_all(self.dir);
            return Err(e);
        }
        let json = serde_json::to_vec(marker).unwrap_or_default();
        cache::write_atomically(&self.dir.join(MARKER), &json)?;
        Ok(true)
    }

    fn make(&self, progress: &mut dyn FnMut(EnvProgress)) -> Result<(), EnvError> {
        let missing = self.missing_module();
        if let Some(uv) = &self.options.uv {
            match self.with_uv(uv, progress) {
                Ok(()) => return Ok(()),
                // pip reads other settings (an index, certificates), so it may reach what uv does not.
                Err(e) if worth_another_tool(&e) && missing.is_none() => {
                    tracing::info!("{e}; trying venv and pip");
                }
                Err(e) => return Err(e),
            }
        }
        if let Some(module) = missing {
            let i = self.interpreter;
            return Err(EnvError::NoVenv { path: i.path.clone(), version: i.version.clone(), module });
        }
        self.with_pip(progress)
    }

    /// Debian has `venv` without `ensurepip`, which it needs.
    fn missing_module(&self) -> Option<&'static str> {
        let i = self.interpreter;
        [("venv", i.has_venv), ("ensurepip", i.has_ensurepip)].into_iter().find(|(_, has)| !has).map(|(name, _)| name)
    }

    fn with_uv(&self, uv: &Path, progress: &mut dyn FnMut(EnvProgress)) -> Result<(), EnvError> {
        progress(EnvProgress::Creating { tool: "uv" });
        self.clear()?;
        let mut venv = child::command(uv);
        venv.args(["venv", "--no-progress", "--no-project", "--python"]).arg(&self.interpreter.path).arg(self.dir);
        self.run("uv", venv, &mut |_| {})?;
        let lock = self.write_lock()?;
        let mut install = uv_install(uv, &self.dir.join("bin/python"));
        install.arg("-r").arg(lock);
        self.install("uv", install, progress)
    }

    fn with_pip(&self, progress: &mut dyn FnMut(EnvProgress)) -> Result<(), EnvError> {
        progress(EnvProgress::Creating { tool: "venv" });
        self.clear()?;
        let mut venv = child::command(&self.interpreter.path);
        venv.args(["-I", "-m", "venv"]).arg(self.dir);
        self.run("venv", venv, &mut |_| {})?;
        let lock = self.write_lock()?;
        let mut install = pip_install(&self.dir.join("bin/python"));
        install.arg("-r").arg(lock);
        self.install("pip", install, progress)
    }

    pub(super) fn install(
        &self,
        tool: &'static str,
        command: Command,
        progress: &mut dyn FnMut(EnvProgress),
    ) -> Result<(), EnvError> {
        let mut meter = Meter::new(self.lock);
        self.run(tool, command, &mut |line| {
            tracing::debug!("{tool}: {line}");
            if let Some(step) = meter.hear(line) {
                progress(step);
            }
        })
    }

    pub(super) fn run(
        &self,
        tool: &'static str,
        command: Command,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<(), EnvError> {
        let program = PathBuf::from(command.get_program());
        let left = self.deadline.saturating_duration_since(Instant::now());
        let outcome = child::run(command, left, self.options.cancel, on_line)
            .map_err(|source| EnvError::Start { program, source })?;
        match outcome.end {
            End::Cancelled => Err(EnvError::Cancelled),
            End::TimedOut => Err(EnvError::TimedOut { tool, after_s: self.options.timeout.as_secs() }),
            End::Exit(_) if outcome.success() => Ok(()),
            End::Exit(_) => Err(failure(tool, &outcome, &self.interpreter.version, self.dir)),
        }
    }

    pub(super) fn clear(&self) -> Result<(), EnvError> {
        match fs::remove_dir_all(self.dir) {
            Err(e) if self.dir.exists() => Err(CacheError::writing("remove", self.dir, e).into()),
            _ => Ok(()),
        }
    }

    pub(super) fn write_lock(&self) -> Result<PathBuf, EnvError> {
        let path = self.dir.join(LOCK_FILE);
        cache::write_atomically(&path, self.lock.as_bytes())?;
        Ok(path)
    }
}

/// `uv`, about to install wheels with hashes for an interpreter.
pub(super) fn uv_install(uv: &Path, python: &Path) -> Command {
    let mut install = child::command(uv);
    install.args(["pip", "install", "--no-progress", "--require-hashes", "--only-binary", ":all:", "--python"]);
    install.arg(python);
    install
}

/// `pip` of an interpreter, about to do the same.
pub(super) fn pip_install(python: &Path) -> Command {
    let mut install = child::command(python);
    install.args(["-I", "-m", "pip", "install", "--require-hashes", "--no-input", "--disable-pip-version-check"]);
    // pip speaks of the network only when it tries again, so it is told to, whatever its settings say.
    install.args(["--no-color", "--progress-bar", "off", "--retries", "3", "--only-binary", ":all:"]);
    install
}

/// Where another tool may do better.
pub(super) fn worth_another_tool(e: &EnvError) -> bool {
    matches!(e, EnvError::Network { .. } | EnvError::Failed { .. } | EnvError::Start { .. } | EnvError::NoWheel { .. })
}
