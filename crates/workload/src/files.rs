//! The two files of a workload: written under other names, flushed to the disk, then renamed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Summary, WorkloadError, WorkloadFiles, WorkloadSpec, paths};

struct Part {
    to: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
}

impl Part {
    fn new(to: PathBuf) -> Result<Self, WorkloadError> {
        let mut temporary = to.clone().into_os_string();
        temporary.push(".part");
        let temporary = PathBuf::from(temporary);
        let file =
            File::create(&temporary).map_err(|source| WorkloadError::Write { path: temporary.clone(), source })?;
        Ok(Self { to, temporary, file: BufWriter::with_capacity(1 << 20, file) })
    }

    fn line<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WorkloadError> {
        let write = |file: &mut BufWriter<File>| -> io::Result<()> {
            serde_json::to_writer(&mut *file, value)?;
            file.write_all(b"\n")
        };
        write(&mut self.file).map_err(|source| self.failed(source))
    }

    fn finish(&mut self) -> Result<(), WorkloadError> {
        let finish = |file: &mut BufWriter<File>| -> io::Result<()> {
            file.flush()?;
            file.get_ref().sync_all()
        };
        finish(&mut self.file)
            .and_then(|()| fs::rename(&self.temporary, &self.to))
            .map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> WorkloadError {
        WorkloadError::Write { path: self.to.clone(), source }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Renamed already, unless writing failed.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Writes requests and their rendered prompts side by side.
pub(crate) struct Files {
    requests: Part,
    texts: Part,
    counts: Vec<usize>,
}

impl Files {
    pub(crate) fn create(dir: &Path, id: &str) -> Result<Self, WorkloadError> {
        fs::create_dir_all(dir).map_err(|source| WorkloadError::Write { path: dir.to_owned(), source })?;
        let (requests, texts) = paths(dir, id);
        Ok(Self { requests: Part::new(requests)?, texts: Part::new(texts)?, counts: Vec::new() })
    }

    pub(crate) fn push(&mut self, body: &Value, text: &str, tokens: usize) -> Result<(), WorkloadError> {
        self.counts.push(tokens);
        self.requests.line(body)?;
        self.texts.line(text)
    }

    pub(crate) fn finish(mut self, spec: WorkloadSpec, skipped: u32) -> Result<WorkloadFiles, WorkloadError> {
        self.requests.finish()?;
        self.texts.finish()?;
        let (requests, texts) = (self.requests.to.clone(), self.texts.to.clone());
        let sha256 = hash(&requests, &texts).map_err(|source| self.requests.failed(source))?;
        Ok(WorkloadFiles { spec, requests, texts, sha256, tokens: Summary::of(&self.counts), skipped })
    }
}

/// Lower-case hex SHA-256 over the bytes of the one file and then of the other.
///
/// # Errors
/// When one of them cannot be read.
pub fn hash(requests: &Path, texts: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    for path in [requests, texts] {
        let mut file = File::open(path)?;
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                n => hash.update(&buffer[..n]),
            }
        }
    }
    Ok(hex::encode(hash.finalize()))
}
