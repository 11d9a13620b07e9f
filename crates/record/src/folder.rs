//! The run folder: `OUTPUT/<utc>-<suite>-<plan8>/`, and `OUTPUT/latest`, a link to the newest.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;
use thiserror::Error;

use crate::SCHEMA;
use crate::results::RunInfo;

/// Name of the link to the newest run folder.
pub const LATEST: &str = "latest";
/// Name of the file that describes a run.
pub const RUN_JSON: &str = "run.json";
/// Name of the file with the raw samples.
pub const SAMPLES: &str = "samples.jsonl";

/// What can be wrong with a run folder.
#[derive(Debug, Error)]
pub enum FolderError {
    #[error("no space is left on the device that holds {}: free {mib} MiB, or pass --output with a folder on another device", path.display())]
    NoSpace { path: PathBuf, mib: u64 },
    #[error("cannot {what} {}: {source}; check that the folder is there and may be used", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is no run folder: it has no run.json; give one of the folders below the output folder, or `latest`", .0.display())]
    NotARun(PathBuf),
    #[error("{} is damaged ({detail}): restore the file, or measure again", path.display())]
    Damaged { path: PathBuf, detail: String },
    #[error("{}", other_schema(path, writer.as_deref(), *found))]
    Schema {
        path: PathBuf,
        /// Version of the llmbench that wrote it, if the folder says.
        writer: Option<String>,
        found: u64,
    },
    #[error("{} names no schema version, so it is no run of llmbench; give a run folder, or `latest`", .0.display())]
    NoSchema(PathBuf),
    #[error("{} is not a link, so it cannot point to the newest run; move it away or pass --output", .0.display())]
    LatestTaken(PathBuf),
}

/// Which version the folder has, which one is read here, and how the two can meet.
fn other_schema(path: &Path, writer: Option<&str>, found: u64) -> String {
    let written = writer.map_or(String::new(), |writer| format!(", written by llmbench {writer}"));
    let remedy = match (found > u64::from(SCHEMA), writer) {
        (true, Some(writer)) => format!("update llmbench to {writer} or newer"),
        (true, None) => "update llmbench to the version that wrote it".to_owned(),
        (false, Some(writer)) => format!("use llmbench {writer} for it, or measure again"),
        (false, None) => "use the llmbench that wrote it, or measure again".to_owned(),
    };
    let ours = env!("CARGO_PKG_VERSION");
    format!(
        "{} is a run folder of schema {found}{written}, and this llmbench {ours} reads schema {SCHEMA}: {remedy}",
        path.display()
    )
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
    /// Makes `output/<utc>-<suite>-<plan8>/` with `workload/` and `plots/`. `output/latest` stays where it is until
    /// [`RunFolder::make_latest`].
    ///
    /// `utc` is the time as it stands in the name: `20261124T035746Z`. If the folder is there already, `-2`, `-3`, … is
    /// appended.
    ///
    /// # Errors
    /// When the folder cannot be made, or `output/latest` is something else than a link.
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
        Ok(Self { path })
    }

    /// Points `latest`, beside this folder, to it. Done once the set-up has succeeded: until then the link leads to the
    /// run before, which is whole.
    ///
    /// # Errors
    /// When the link cannot be made.
    pub fn make_latest(&self) -> Result<(), FolderError> {
        let link = self.path.with_file_name(LATEST);
        let temporary = self.path.with_file_name(format!(".{LATEST}-{}", std::process::id()));
        let _ = fs::remove_file(&temporary);
        std::os::unix::fs::symlink(self.run_id(), &temporary)
            .and_then(|()| fs::rename(&temporary, &link))
            .map_err(|e| FolderError::io("make the link", &link, 0, e))
    }

    /// Removes the folder of a run whose set-up failed. What cannot be removed does no harm: without a `run.json` it is no
    /// run.
    pub fn discard(self) {
        let _ = fs::remove_dir_all(&self.path);
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
        let Some(found) = value.get("schema").and_then(Value::as_u64) else {
            return Err(FolderError::NoSchema(path));
        };
        if found != u64::from(SCHEMA) {
            let writer = value.get("llmbench").and_then(Value::as_str).map(str::to_owned);
            return Err(FolderError::Schema { path: self.path.clone(), writer, found });
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
