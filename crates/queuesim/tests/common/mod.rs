//! Random inputs and batch means for the tests.
#![allow(dead_code)] // each test file uses its part

use queuesim::Arrivals;

/// `count` exponential durations with the given mean, ns: the gaps of a Poisson process.
pub fn exponential(mean_ns: f64, count: usize, seed: u64) -> Vec<u64> {
    let times = Arrivals::poisson(1e9 / mean_ns, count + 1, seed).unwrap();
    times.times_ns().windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Poisson arrivals that use `servers` servers of the given mean service time to the given share.
pub fn poisson(utilization: f64, servers: usize, mean_ns: f64, count: usize, seed: u64) -> Arrivals {
    Arrivals::poisson(utilization * servers as f64 * 1e9 / mean_ns, count, seed).unwrap()
}

/// Mean and its standard error from 40 batches; the first batch is left out as warm-up.
pub fn batch_means(values: &[u64], statistic: impl Fn(&[u64]) -> f64) -> (f64, f64) {
    let batches: Vec<f64> = values.chunks_exact(values.len() / 41).skip(1).map(statistic).collect();
    let count = batches.len() as f64;
    let mean = batches.iter().sum::<f64>() / count;
    let variance = batches.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, (variance / count).sqrt())
}

pub fn mean(values: &[u64]) -> f64 {
    values.iter().map(|value| *value as f64).sum::<f64>() / values.len() as f64
}

pub fn p99(values: &[u64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    queuesim::simulation::percentile(&sorted, 0.99) as f64
}

/// Within four standard errors, which themselves are small enough for the test to mean something.
pub fn assert_close(name: &str, found: (f64, f64), truth: f64, largest_error: f64) {
    let (value, error) = found;
    println!("{name}: {value:.1} ± {error:.1}, theory {truth:.1} ({:+.2}%)", (value / truth - 1.0) * 100.0);
    assert!(error < largest_error * truth, "{name}: a standard error of {error} is too wide to test {truth}");
    assert!((value - truth).abs() < 4.0 * error, "{name}: {value} ± {error}, theory says {truth}");
}
