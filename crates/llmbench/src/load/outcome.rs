//! What a load test leaves: figures, verdicts and errors of every run of every point.

use std::collections::BTreeMap;

use benchstats::mean;
use loadgen::driver::Usage;
use loadgen::lateness::{Lateness, Verdict};
use loadgen::serving::figures::Figures;
use loadgen::serving::target::HttpVersion;
use loadgen::serving::verdict::ClientError;
use loadgen::serving::{Run, Truth};
use record::results::Estimate;
use serde::{Deserialize, Serialize};

use super::account::Account;
use super::points::Point;

/// Runs from which on an interval is given.
pub const LEAST_RUNS: usize = 5;

/// Confidence level of the intervals.
pub const LEVEL: f64 = 0.95;

/// One point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointOutcome {
    pub point: Point,
    pub runs: Vec<RunOutcome>,
}

/// One run of a point. Times are in ns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunOutcome {
    /// From 1.
    pub run: u32,
    /// RFC 3339, UTC.
    pub started: String,
    pub figures: Figures,
    pub verdict: Verdict,
    pub lateness: Lateness,
    pub usage: Usage,
    pub connections: Connections,
    /// CPU time of the client's thread for each chunk with content, and whatever else it did; None without chunks.
    pub cpu_per_chunk_ns: Option<f64>,
    /// By stamps of this run where there are any, else by the calibration.
    pub client_error: Option<ClientError>,
    /// What the calibration of this machine says of such a load; None where it is beyond what was calibrated.
    pub calibrated_error: Option<ClientError>,
    /// What the stamps of our mock say.
    pub truth: Option<TruthFigures>,
    /// By class: how many, and what the first said.
    pub errors: BTreeMap<String, Failed>,
    /// What the server counted, where it has a page of counters.
    pub account: Option<Account>,
    pub notes: Vec<String>,
}

/// What requests went over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    pub http_version: HttpVersion,
    /// Opened before the first request was due.
    pub before: usize,
    /// Opened later, because all were taken or one had ended.
    pub during: usize,
}

/// Requests that failed in one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    pub count: u64,
    pub first: String,
}

/// Received less written, ns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TruthFigures {
    pub chunks: u64,
    pub error_mean: f64,
    pub error_p50: u64,
    pub error_p99: u64,
    pub error_max: u64,
    /// Of first chunks: the error of TTFT.
    pub first_mean: f64,
    pub first_p99: u64,
    /// Chunk gaps as they were written.
    pub gap_p50: u64,
    pub gap_p99: u64,
}

impl TruthFigures {
    /// Of the stamps of a run.
    pub fn of(truth: &Truth) -> Self {
        let at = |histogram: &loadgen::serving::histogram::Histogram, p| histogram.quantile(p).unwrap_or(0);
        Self {
            chunks: truth.error.count(),
            error_mean: truth.error.mean().unwrap_or(0.0),
            error_p50: at(&truth.error, 0.5),
            error_p99: at(&truth.error, 0.99),
            error_max: truth.error.max().unwrap_or(0),
            first_mean: truth.first_error.mean().unwrap_or(0.0),
            first_p99: at(&truth.first_error, 0.99),
            gap_p50: at(&truth.gaps, 0.5),
            gap_p99: at(&truth.gaps, 0.99),
        }
    }
}

/// Failures by the names of their classes.
pub fn errors(run: &Run) -> BTreeMap<String, Failed> {
    let named = |(class, failures): (&loadgen::outcome::ErrorClass, &loadgen::outcome::Failures)| {
        (class.name().to_owned(), Failed { count: failures.count, first: failures.first.clone() })
    };
    run.errors.0.iter().map(named).collect()
}

impl PointOutcome {
    /// True if every run can be used.
    pub fn is_valid(&self) -> bool {
        !self.runs.is_empty() && self.runs.iter().all(|run| run.verdict.is_valid())
    }

    /// Requests that failed, in all runs.
    pub fn failed(&self) -> usize {
        self.runs.iter().map(|run| run.figures.failed).sum()
    }

    /// A figure over the runs: geometric mean with a t interval of the logarithms from five runs on, the mean alone below that; None
    /// where a run has no such figure.
    pub fn estimate(&self, of: impl Fn(&Figures) -> Option<f64>) -> Option<Estimate> {
        let values: Vec<f64> = self.runs.iter().map(|run| of(&run.figures)).collect::<Option<_>>()?;
        let runs = u32::try_from(values.len()).unwrap_or(u32::MAX);
        let samples = self.runs.iter().map(|run| run.figures.completed).sum::<usize>();
        let estimate = |point, lower, upper, method: &str| Estimate {
            point,
            lower,
            upper,
            level: LEVEL,
            method: method.to_owned(),
            runs,
            samples: u32::try_from(samples).unwrap_or(u32::MAX),
        };
        if values.len() >= LEAST_RUNS
            && let Ok(interval) = mean::log_t(&values, LEVEL)
        {
            return Some(estimate(interval.point, Some(interval.lower), Some(interval.upper), "log-t"));
        }
        (!values.is_empty()).then(|| estimate(values.iter().sum::<f64>() / values.len() as f64, None, None, "mean"))
    }
}
