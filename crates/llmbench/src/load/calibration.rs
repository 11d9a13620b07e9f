//! What the client's error on this machine is, at which load: measured by `llmbench calibrate` against a server that stamps every chunk
//! just before it writes it, and kept in the cache folder.

use std::path::{Path, PathBuf};

use loadgen::serving::Run;
use loadgen::serving::verdict::{ClientError, ErrorSource};
use provision::cache::{self, CacheError};
use serde::{Deserialize, Serialize};

/// Version of the file.
const SCHEMA: u32 = 1;

/// The name of the file in the cache folder.
const FILE: &str = "calibration.json";

/// The error at p99 up to which a load counts as sustained, ns.
pub const SUSTAINED_NS: u64 = 1_000_000;

/// A calibration of one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    pub schema: u32,
    pub llmbench: String,
    /// What the error depends on: processor and cores.
    pub machine: String,
    /// RFC 3339, UTC.
    pub date: String,
    pub points: Vec<Calibrated>,
}

/// One load at which the error was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibrated {
    pub streams: usize,
    /// Chunks that were received a second.
    pub chunks_per_s: f64,
    /// Received less written, ns.
    pub error_mean_ns: f64,
    pub error_p50_ns: u64,
    pub error_p99_ns: u64,
    /// Of first chunks.
    pub ttft_error_mean_ns: f64,
    pub ttft_error_p99_ns: u64,
    /// Chunk gap at p99: received less written, ns.
    pub gap_p99_error_ns: i64,
    /// CPU time of the client a chunk, ns.
    pub cpu_per_chunk_ns: f64,
    /// Share of a core.
    pub share: f64,
}

impl Calibration {
    /// Of this machine, without points yet.
    pub fn new(machine: String, date: String) -> Self {
        Self { schema: SCHEMA, llmbench: env!("CARGO_PKG_VERSION").to_owned(), machine, date, points: Vec::new() }
    }

    /// Where it is kept.
    pub fn path(cache: &Path) -> PathBuf {
        cache.join(FILE)
    }

    /// Reads the one of this machine; None where there is none, or it is of another machine or version.
    pub fn read(cache: &Path, machine: &str) -> Option<Self> {
        let text = std::fs::read(Self::path(cache)).ok()?;
        let found: Self = serde_json::from_slice(&text).ok()?;
        (found.schema == SCHEMA && found.machine == machine && found.llmbench == env!("CARGO_PKG_VERSION"))
            .then_some(found)
    }

    /// Writes it.
    ///
    /// # Errors
    /// A cache folder that cannot be written.
    pub fn write(&self, cache: &Path) -> Result<PathBuf, CacheError> {
        let path = Self::path(cache);
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        cache::write_atomically(&path, &text)?;
        Ok(path)
    }

    /// The error that bounds that of a run: the least of those that were measured at no fewer streams and no fewer chunks a second.
    /// None where the run is beyond everything that was measured.
    pub fn error_of(&self, streams: usize, chunks_per_s: f64) -> Option<ClientError> {
        let covers = |point: &&Calibrated| point.streams >= streams && point.chunks_per_s >= chunks_per_s;
        let p99_ns = self.points.iter().filter(covers).map(|point| point.error_p99_ns).min()?;
        Some(ClientError { p99_ns, source: ErrorSource::Calibrated })
    }

    /// The same for a run as it was.
    pub fn error_of_run(&self, run: &Run) -> Option<ClientError> {
        let (streams, chunks_per_s) = load_of(run);
        self.error_of(streams, chunks_per_s)
    }

    /// The points whose error stays below a millisecond at p99.
    pub fn sustained(&self) -> impl Iterator<Item = &Calibrated> {
        self.points.iter().filter(|point| point.error_p99_ns < SUSTAINED_NS)
    }
}

/// What the client's error depends on: the processor and how many cores this process may use.
pub fn this_machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()));
    format!("{}, {cores} cores", model.unwrap_or(std::env::consts::ARCH))
}

/// Streams at once and chunks a second of a run.
pub fn load_of(run: &Run) -> (usize, f64) {
    let chunks: u64 = run.records.iter().map(|record| u64::from(record.chunks)).sum();
    (run.most_in_flight, chunks as f64 / (run.duration_ns.max(1) as f64 / 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(streams: usize, chunks_per_s: f64, error_p99_ns: u64) -> Calibrated {
        Calibrated {
            streams,
            chunks_per_s,
            error_mean_ns: 0.0,
            error_p50_ns: 0,
            error_p99_ns,
            ttft_error_mean_ns: 0.0,
            ttft_error_p99_ns: 0,
            gap_p99_error_ns: 0,
            cpu_per_chunk_ns: 0.0,
            share: 0.0,
        }
    }

    #[test]
    fn the_least_error_of_no_less_load_applies() {
        let mut calibration = Calibration::new("m".into(), String::new());
        calibration.points =
            vec![point(100, 10_000.0, 200_000), point(500, 50_000.0, 700_000), point(1000, 100_000.0, 4_000_000)];
        let error = |streams, chunks| calibration.error_of(streams, chunks).map(|error| error.p99_ns);
        assert_eq!((error(50, 5_000.0), error(100, 10_001.0)), (Some(200_000), Some(700_000)));
        assert_eq!((error(501, 1.0), error(1001, 1.0)), (Some(4_000_000), None));
        assert_eq!(calibration.sustained().count(), 2);
    }

    #[test]
    fn another_machine_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let calibration = Calibration::new("m".into(), "now".into());
        calibration.write(dir.path()).unwrap();
        assert_eq!(Calibration::read(dir.path(), "m"), Some(calibration));
        assert_eq!(Calibration::read(dir.path(), "other"), None);
    }
}
