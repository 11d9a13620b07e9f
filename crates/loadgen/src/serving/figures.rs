//! The figures of a run: each under a name of its own, with its definition.
//!
//! All latencies are of the requests that succeeded, and the number of those that failed stands beside them. Percentiles are by
//! nearest rank.

use benchstats::order::quantile;
use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::record::{Counted, From, Record};
use super::run::Run;
use super::slo::Slo;

/// The percentiles of every distribution.
pub const PERCENTILES: [f64; 7] = [10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0];

/// A distribution of durations (ns) or rates, or what is kept of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    pub count: u64,
    pub mean: f64,
    /// Divided by n, as `numpy.std` does.
    pub std: f64,
    pub max: f64,
    /// Percentile and value, ascending.
    pub percentiles: Vec<(f64, f64)>,
}

impl Distribution {
    /// Of values in any order, exact (nearest rank); None without values. Percentiles outside `[0, 100]` are left out.
    pub fn of(mut values: Vec<f64>, percentiles: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        values.sort_unstable_by(f64::total_cmp);
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let std = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
        let at = |percentile: f64| quantile(&values, percentile / 100.0).map(|value| (percentile, value));
        Some(Self {
            count: values.len() as u64,
            mean,
            std,
            max: values[values.len() - 1],
            percentiles: percentiles.iter().filter_map(|&percentile| at(percentile)).collect(),
        })
    }

    /// Of a histogram: quantiles are within 0.05%.
    pub fn of_histogram(histogram: &Histogram, percentiles: &[f64]) -> Option<Self> {
        let at = |percentile: f64| histogram.quantile(percentile / 100.0).map(|value| (percentile, value as f64));
        Some(Self {
            count: histogram.count(),
            mean: histogram.mean()?,
            std: histogram.std()?,
            max: histogram.max()? as f64,
            percentiles: percentiles.iter().filter_map(|&percentile| at(percentile)).collect(),
        })
    }

    /// The value of a percentile that was asked for.
    pub fn percentile(&self, percentile: f64) -> Option<f64> {
        self.percentiles.iter().find(|(of, _)| *of == percentile).map(|(_, value)| *value)
    }

    /// The median; the mean where it was not asked for.
    pub fn median(&self) -> f64 {
        self.percentile(50.0).unwrap_or(self.mean)
    }
}

/// The figures of one run. Times are in ns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Requests sent, succeeded and failed.
    pub sent: usize,
    pub completed: usize,
    pub failed: usize,
    /// From the start of the clock to the end of the last request, s.
    pub duration_s: f64,
    /// Prompt and output tokens of the requests that succeeded.
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// The least certain source of an output count among them.
    pub counted: Counted,
    /// Prompt tokens that came from the server's cache, where it says so.
    pub cached_tokens: u64,
    /// Requests that succeeded, a second of the duration.
    pub request_throughput: f64,
    /// Output tokens of these a second.
    pub output_throughput: f64,
    /// Prompt and output tokens of these a second.
    pub total_throughput: f64,
    /// Requests a second that succeeded and met every bound of the goodput's service level.
    pub goodput: Option<f64>,
    /// Mean number of requests between sent and done over the duration.
    pub concurrency: f64,
    pub most_in_flight: usize,
    /// TTFT: from scheduled to the first chunk with content.
    pub ttft: Option<Distribution>,
    /// The same from the last byte of the request.
    pub ttft_sent: Option<Distribution>,
    /// TTFO: from scheduled to the first chunk with content that is no reasoning.
    pub ttfo: Option<Distribution>,
    /// Chunk gap: from each chunk with content to the next, all requests pooled. Exports call it `itl`.
    pub gap: Option<Distribution>,
    /// TPOT: `(last − first chunk with content) / (output tokens − 1)`, one value a request of two tokens or more.
    pub tpot: Option<Distribution>,
    /// E2E: from scheduled to the last chunk with content.
    pub e2e: Option<Distribution>,
    /// The same from the last byte of the request.
    pub e2e_sent: Option<Distribution>,
    /// Speed a user sees: `1 / TPOT`, tokens/s, one value a request.
    pub speed: Option<Distribution>,
    /// Opening a connection, those before the start and those during the run.
    pub connect: Option<Distribution>,
}

impl Figures {
    /// Of a run, with these percentiles (and always the median).
    pub fn of(run: &Run, slo: Option<&Slo>, percentiles: &[f64]) -> Self {
        let mut percentiles = percentiles.to_vec();
        percentiles.push(50.0);
        percentiles.sort_unstable_by(f64::total_cmp);
        percentiles.dedup();
        let ok: Vec<&Record> = run.records.iter().filter(|record| record.is_ok()).collect();
        let duration_s = run.duration_ns.max(1) as f64 / 1e9;
        let tokens = |of: fn(&Record) -> u32| ok.iter().map(|record| u64::from(of(record))).sum::<u64>();
        let (input_tokens, output_tokens) =
            (tokens(|record| record.prompt_tokens), tokens(|record| record.output_tokens));
        let of = |value: &dyn Fn(&Record) -> Option<f64>| {
            Distribution::of(ok.iter().filter_map(|record| value(record)).collect(), &percentiles)
        };
        let ns = |value: Option<u64>| value.map(|ns| ns as f64);
        let open: u64 = run.records.iter().filter(|r| r.sent_ns > 0).map(|r| r.done_ns.saturating_sub(r.sent_ns)).sum();
        let connects = run.opening.connect_ns.iter().chain(&run.opened_late.connect_ns);
        Self {
            sent: run.records.len(),
            completed: ok.len(),
            failed: run.records.len() - ok.len(),
            duration_s,
            input_tokens,
            output_tokens,
            counted: ok.iter().map(|record| record.counted).min().unwrap_or_default(),
            cached_tokens: tokens(|record| record.cached_tokens),
            request_throughput: ok.len() as f64 / duration_s,
            output_throughput: output_tokens as f64 / duration_s,
            total_throughput: (input_tokens + output_tokens) as f64 / duration_s,
            goodput: slo.map(|slo| ok.iter().filter(|record| slo.is_met(record)).count() as f64 / duration_s),
            concurrency: open as f64 / run.duration_ns.max(1) as f64,
            most_in_flight: run.most_in_flight,
            ttft: of(&|record| ns(record.ttft_ns(From::Scheduled))),
            ttft_sent: of(&|record| ns(record.ttft_ns(From::Sent))),
            ttfo: of(&|record| ns(record.ttfo_ns(From::Scheduled))),
            gap: Distribution::of_histogram(&run.gaps, &percentiles),
            tpot: of(&Record::tpot_ns),
            e2e: of(&|record| ns(record.e2e_ns(From::Scheduled))),
            e2e_sent: of(&|record| ns(record.e2e_ns(From::Sent))),
            speed: of(&|record| record.tpot_ns().filter(|ns| *ns > 0.0).map(|ns| 1e9 / ns)),
            connect: Distribution::of(connects.map(|&ns| ns as f64).collect(), &percentiles),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_by_hand() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let distribution = Distribution::of(values, &[50.0, 99.0, 100.0]).unwrap();
        assert_eq!((distribution.count, distribution.mean, distribution.max), (100, 50.5, 100.0));
        assert_eq!(distribution.percentiles, [(50.0, 50.0), (99.0, 99.0), (100.0, 100.0)]);
        assert!((distribution.std - 28.866).abs() < 1e-3);
        assert_eq!(Distribution::of(Vec::new(), &[50.0]), None);
        let mut histogram = Histogram::new();
        (1..=100).for_each(|value| histogram.add(value));
        let binned = Distribution::of_histogram(&histogram, &[50.0, 99.0, 100.0]).unwrap();
        assert_eq!(binned.percentiles, distribution.percentiles);
        assert!((binned.std - distribution.std).abs() < 1e-6);
    }
}
