//! The run folder: `OUTPUT/<utc>-<suite>-<plan8>/`, and `OUTPUT/latest`, a link to the newest.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;
use thiserror::Error;

use crate::SCHEMA;
use crate::record::RunInfo;

/// Name of the link to the newest run folder.
pub const LATEST: &str = "latest";
/// Name of the file that describes a run.
pub const RUN_JSON: &str = "run.json";
/// Name of the file with the raw samples.
pub const SAMPLES: &str = "samples.jsonl";

/// What can be wrong with a run folder.
#[derive(Debug, Error)]
pub enum FolderError {
    #[error("no space left on the device that holds {}: free {mib} MiB or pass --output", path.display())]
    NoSpace { path: PathBuf, mib: u64 },
    #[error("cannot {what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is no run folder: it has no run.json; give a folder below the output folder, or `latest`", .0.display())]
    NotARun(PathBuf),
    #[error("{} is damaged ({detail}); measure again", path.display())]
    Damaged { path: PathBuf, detail: String },
    #[error(
        "{} was written by llmbench {writer} (schema {found}); this is llmbench {} (schema {SCHEMA}): {}",
        path.display(),
        env!("CARGO_PKG_VERSION"),
        if *found > u64::from(SCHEMA) { format!("use llmbench {writer} or newer") } else { format!("use llmbench {writer}, or measure again") }
    )]
    Schema { path: PathBuf, writer: String, found: u64 },
    #[error("{} is not a link, so it cannot point to the newest run; move it away or pass --output", .0.display())]
    LatestTaken(PathBuf),
}

impl FolderError {
    /// The error for `source`; a full device gets a message of its own. `bytes` is what was to be written.
    pub(crate) fn io(what: &'static str, path: &Path, bytes: u64, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::StorageFull || source.kind() == io::ErrorKind::QuotaExceeded {
            Self::NoSpace { path: path.to_owned(), mib: bytes.div_ceil(1 << 20).max(1) }
        } else {
            Self::Io { what, path: path.to_owned(), source }
        }
    }

    /// True when the device is full.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }
}

/// A run folder that exists.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes `output/<utc>-<suite>-<plan8>/` with `workload/` and `plots/`, and points `output/latest` to it.
    ///
    /// `utc` is the time as it stands in the name: `20261124T035746Z`. If the folder is there already, `-2`, `-3`, … is
    /// appended.
    ///
    /// # Errors
    /// When the folder or the link cannot be made.
    pub fn create(output: &Path, utc: &str, suite: &str, plan8: &str) -> Result<Self, FolderError> {
        let make = |path: &Path| fs::create_dir_all(path).map_err(|e| FolderError::io("make", path, 0, e));
        make(output)?;
        let link = output.join(LATEST);
        if link.symlink_metadata().is_ok_and(|m| !m.file_type().is_symlink()) {
            return Err(FolderError::LatestTaken(link));
        }
        let base = format!("{utc}-{suite}-{plan8}");
        let mut name = base.clone();
        let mut number = 1;
        let path = loop {
            let path = output.join(&name);
            match fs::create_dir(&path) {
                Ok(()) => break path,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    number += 1;
                    name = format!("{base}-{number}");
                }
                Err(e) => return Err(FolderError::io("make", &path, 0, e)),
            }
        };
        make(&path.join("workload"))?;
        make(&path.join("plots"))?;
        let temporary = output.join(format!(".{LATEST}-{}", std::process::id()));
        let _ = fs::remove_file(&temporary);
        std::os::unix::fs::symlink(&name, &temporary)
            .and_then(|()| fs::rename(&temporary, &link))
            .map_err(|e| FolderError::io("make the link", &link, 0, e))?;
        Ok(Self { path })
    }

    /// Opens a run folder and checks its schema version. `run` is a path, or the name of a folder (or `latest`) in `output`.
    ///
    /// # Errors
    /// [`FolderError::NotARun`] without a `run.json`, [`FolderError::Schema`] for another version, [`FolderError::Damaged`]
    /// when `run.json` cannot be read as one.
    pub fn open(run: &Path, output: &Path) -> Result<Self, FolderError> {
        let path = if run.join(RUN_JSON).exists() { run.to_owned() } else { output.join(run) };
        // The link is resolved now: a later run that moves `latest` must not move this folder.
        let path = path.canonicalize().map_err(|_| FolderError::NotARun(run.to_owned()))?;
        if !path.join(RUN_JSON).is_file() {
            return Err(FolderError::NotARun(run.to_owned()));
        }
        let folder = Self { path };
        folder.checked_json()?;
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Name of the folder, which is the id of the run.
    pub fn run_id(&self) -> String {
        self.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
    }

    pub fn workload_dir(&self) -> PathBuf {
        self.path.join("workload")
    }

    pub fn plots_dir(&self) -> PathBuf {
        self.path.join("plots")
    }

    pub fn samples_path(&self) -> PathBuf {
        self.path.join(SAMPLES)
    }

    /// Writes a file of the folder (`results.csv`, `plots/anatomy.svg`) as a whole or not at all: under a temporary name,
    /// synced, then renamed.
    ///
    /// # Errors
    /// When it cannot be written; a full device gets a message of its own, and the temporary file is removed.
    pub fn write_atomic(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        write_atomic(&self.path.join(name), bytes)
    }

    /// Writes `run.json`.
    ///
    /// # Errors
    /// As [`RunFolder::write_atomic`].
    pub fn write_info(&self, info: &RunInfo) -> Result<(), FolderError> {
        let mut bytes = serde_json::to_vec_pretty(info).map_err(|e| self.damaged(&e))?;
        bytes.push(b'\n');
        self.write_atomic(RUN_JSON, &bytes)
    }

    /// Reads `run.json`.
    ///
    /// # Errors
    /// As [`RunFolder::open`].
    pub fn read_info(&self) -> Result<RunInfo, FolderError> {
        serde_json::from_value(self.checked_json()?).map_err(|e| self.damaged(&e))
    }

    fn checked_json(&self) -> Result<Value, FolderError> {
        let path = self.path.join(RUN_JSON);
        let bytes = fs::read(&path).map_err(|e| FolderError::io("read", &path, 0, e))?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|e| self.damaged(&e))?;
        let found = value.get("schema").and_then(Value::as_u64).unwrap_or(0);
        if found != u64::from(SCHEMA) {
            let writer = value.get("llmbench").and_then(Value::as_str).unwrap_or("of an unknown version");
            return Err(FolderError::Schema { path: self.path.clone(), writer: writer.to_owned(), found });
        }
        Ok(value)
    }

    fn damaged(&self, error: &serde_json::Error) -> FolderError {
        FolderError::Damaged { path: self.path.join(RUN_JSON), detail: error.to_string() }
    }
}

/// Writes `bytes` to `path` under a temporary name in the same folder, syncs it and renames it.
///
/// # Errors
/// As [`RunFolder::write_atomic`].
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    written.map_err(|e| {
        let _ = fs::remove_file(&temporary);
        FolderError::io("write", path, bytes.len() as u64, e)
    })
}
