//! `samples.jsonl`: what happened, one event a line, only ever appended to.
//!
//! A line counts when its line feed is there, so a tail that a crash cut off is dropped. Events of a run count when its
//! `run_complete` is there and no later `run_start` of the same run follows: an incomplete run stays in the file and is
//! ignored. In the same way a `calibration_start` voids an earlier calibration.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::folder::FolderError;
use crate::protocol::Sample;
use crate::results::Status;

/// Space that a full device should have before measuring goes on, bytes.
const ROOM: u64 = 64 << 20;

/// One line of `samples.jsonl`. `run` is absent during calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    CalibrationStart,
    /// What the calibration found for a cell.
    Calibration {
        cell_id: String,
        /// Calls (or samples, for `each`) of a block.
        loops: u64,
        /// Time of one call when it was calibrated, ns; rough.
        ns_per_call: f64,
        /// SHA-256 of the outputs for the first requests of the pool.
        hashes: Vec<String>,
        /// Readings of its block, of a `stretch` cell that is calibrated.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        found: BTreeMap<String, f64>,
    },
    CalibrationComplete {
        wall_ns: u64,
    },
    /// A verdict on a cell other than `ok`. It holds whether or not its run was completed.
    Cell {
        cell_id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<u32>,
        status: Status,
        message: String,
    },
    RunStart {
        run: u32,
    },
    Sample {
        run: u32,
        sample: Sample,
    },
    /// Something befell a worker.
    Worker {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<u32>,
        subject: String,
        what: WorkerEvent,
        message: String,
    },
    RunComplete {
        run: u32,
        /// From the start of its workers to their end, ns.
        wall_ns: u64,
        /// Of that, inside timed blocks and warm-up, ns.
        busy_ns: u64,
    },
}

/// What befell a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerEvent {
    Started,
    /// It died, broke the protocol or was ended for being late.
    Failed,
    /// It failed so often that its remaining cells were given up.
    GivenUp,
}

/// What can be wrong with `samples.jsonl`.
#[derive(Debug, Error)]
pub enum SamplesError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("{}: line {line} is damaged ({detail}); restore the file or measure again", path.display())]
    Line { path: PathBuf, line: u64, detail: String },
}

impl SamplesError {
    /// True when the device is full.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Folder(error) if error.is_no_space())
    }
}

/// Where a line lies in the file, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Counted from 1.
    pub line: u64,
    pub start: u64,
    pub end: u64,
}

/// Appends events.
#[derive(Debug)]
pub struct SamplesWriter {
    path: PathBuf,
    out: BufWriter<File>,
}

impl SamplesWriter {
    /// Opens a new file for a measurement that starts.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path) -> Result<Self, SamplesError> {
        Self::open(path)
    }

    /// Opens the file of a measurement that is resumed; a cut-off last line is cut away.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn resume(path: &Path) -> Result<Self, SamplesError> {
        if path.exists() {
            let io = |e| FolderError::io("read", path, 0, e);
            let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(io)?;
            let (whole, length) = whole_lines(&mut file).map_err(io)?;
            if whole < length {
                file.set_len(whole).map_err(io)?;
            }
        }
        Self::open(path)
    }

    fn open(path: &Path) -> Result<Self, SamplesError> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|e| FolderError::io("open", path, ROOM, e))?;
        Ok(Self { path: path.to_owned(), out: BufWriter::new(file) })
    }

    /// Adds an event; it is in the file after the next [`SamplesWriter::flush`].
    ///
    /// # Errors
    /// When it cannot be written; a full device gets a message of its own.
    pub fn write(&mut self, event: &Event) -> Result<(), SamplesError> {
        let written = serde_json::to_writer(&mut self.out, event)
            .map_err(std::io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"));
        written.map_err(|e| self.error(e))
    }

    /// Hands everything to the system, so that a crash of this process loses nothing.
    ///
    /// # Errors
    /// As [`SamplesWriter::write`].
    pub fn flush(&mut self) -> Result<(), SamplesError> {
        self.out.flush().map_err(|e| self.error(e))
    }

    fn error(&self, source: std::io::Error) -> SamplesError {
        FolderError::io("write", &self.path, ROOM, source).into()
    }
}

/// Length of the whole lines of a file, and of the file.
fn whole_lines(file: &mut File) -> std::io::Result<(u64, u64)> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut buffer = [0; 1 << 16];
    while end > 0 {
        let start = end.saturating_sub(buffer.len() as u64);
        let part = &mut buffer[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(i) = part.iter().rposition(|&b| b == b'\n') {
            return Ok((start + i as u64 + 1, length));
        }
        end = start;
    }
    Ok((0, length))
}

/// Reads the events in order. A missing file has none; a last line without its line feed is dropped.
///
/// # Errors
/// When the file cannot be read, when a line is no event (the error has its number), or what `take` returns.
pub fn read_events(path: &Path, take: &mut dyn FnMut(Event, Place) -> Result<(), String>) -> Result<(), SamplesError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(FolderError::io("read", path, 0, e).into()),
    };
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut buffer = Vec::new();
    let mut place = Place { line: 0, start: 0, end: 0 };
    loop {
        buffer.clear();
        let n = reader.read_until(b'\n', &mut buffer).map_err(|e| FolderError::io("read", path, 0, e))?;
        if buffer.pop() != Some(b'\n') {
            return Ok(());
        }
        place = Place { line: place.line + 1, start: place.end, end: place.end + n as u64 };
        let taken = serde_json::from_slice(&buffer).map_err(|e| e.to_string()).and_then(|e| take(e, place));
        taken.map_err(|detail| SamplesError::Line { path: path.to_owned(), line: place.line, detail })?;
    }
}

/// Reads the samples that lie between two places of the file.
///
/// # Errors
/// When the file cannot be read or has changed in between.
pub(crate) fn read_samples(path: &Path, start: u64, end: u64) -> Result<Vec<(u32, Sample)>, SamplesError> {
    let io = |e| FolderError::io("read", path, 0, e);
    let mut file = File::open(path).map_err(io)?;
    file.seek(SeekFrom::Start(start)).map_err(io)?;
    let mut samples = Vec::new();
    for line in BufReader::new(file.take(end - start)).lines() {
        let event = serde_json::from_str(&line.map_err(io)?);
        match event {
            Ok(Event::Sample { run, sample }) => samples.push((run, sample)),
            Ok(_) => {}
            Err(e) => {
                return Err(SamplesError::Line { path: path.to_owned(), line: 0, detail: e.to_string() });
            }
        }
    }
    Ok(samples)
}
