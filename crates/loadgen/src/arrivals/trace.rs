//! Arrival times from a file.

use std::path::{Path, PathBuf};

use super::{ArrivalError, Schedule};

/// Why a trace cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error("cannot read the trace {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error(
        "line {line} of the trace is neither a number of seconds nor a JSON object with a `timestamp` in milliseconds: {text}"
    )]
    Line { line: usize, text: String },
    #[error("line {line} of the trace is before the line in front of it: sort the trace by time")]
    Unsorted { line: usize },
    #[error("a speed of {0} is not possible: give a finite number above 0 (2 plays the trace twice as fast)")]
    Speed(f64),
    #[error(transparent)]
    Schedule(#[from] ArrivalError),
}

/// Reads a trace file; see [`parse_trace`].
///
/// # Errors
/// [`TraceError`].
pub fn read_trace(path: &Path, speed: f64) -> Result<Schedule, TraceError> {
    let text = std::fs::read_to_string(path).map_err(|source| TraceError::Read { path: path.to_path_buf(), source })?;
    parse_trace(&text, speed)
}

/// A trace: one arrival a line, either a number of **seconds**, or a JSON object whose `timestamp` is in **milliseconds** (the
/// JSONL traces of Mooncake). Empty lines and lines that begin with `#` are passed over. The first arrival becomes the start;
/// `speed` 2 plays the trace in half the time.
///
/// # Errors
/// [`TraceError`], which names the line.
pub fn parse_trace(text: &str, speed: f64) -> Result<Schedule, TraceError> {
    if !(speed.is_finite() && speed > 0.0) {
        return Err(TraceError::Speed(speed));
    }
    let mut times_ns: Vec<u64> = Vec::new();
    let (mut first, mut last) = (None, f64::NEG_INFINITY);
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let seconds = seconds(line)
            .filter(|seconds| seconds.is_finite())
            .ok_or_else(|| TraceError::Line { line: line_number, text: line.chars().take(60).collect() })?;
        if seconds < last {
            return Err(TraceError::Unsorted { line: line_number });
        }
        last = seconds;
        let start = *first.get_or_insert(seconds);
        times_ns.push(((seconds - start) / speed * 1e9).round() as u64);
    }
    Ok(Schedule::new(times_ns, None)?)
}

fn seconds(line: &str) -> Option<f64> {
    if line.starts_with('{') {
        let object: serde_json::Value = serde_json::from_str(line).ok()?;
        return object.get("timestamp")?.as_f64().map(|milliseconds| milliseconds / 1e3);
    }
    line.parse().ok()
}
