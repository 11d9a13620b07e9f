//! Random data whose truth is known, and counting.
#![allow(dead_code)]

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// A seeded source of normal deviates (Box-Muller).
pub struct Source {
    rng: ChaCha8Rng,
    spare: Option<f64>,
}

impl Source {
    pub fn new(seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), spare: None }
    }

    /// A standard normal deviate.
    pub fn normal(&mut self) -> f64 {
        if let Some(value) = self.spare.take() {
            return value;
        }
        let (u, v): (f64, f64) = (1.0 - self.uniform(), self.uniform());
        let radius = (-2.0 * u.ln()).sqrt();
        let (sin, cos) = (2.0 * std::f64::consts::PI * v).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.rng.random::<f64>()
    }

    /// A stationary AR(1) series with standard deviation 1.
    pub fn ar1(&mut self, n: usize, phi: f64) -> Vec<f64> {
        let innovation = (1.0 - phi * phi).sqrt();
        let mut series = vec![self.normal(); n];
        for i in 1..n {
            series[i] = phi * series[i - 1] + innovation * self.normal();
        }
        series
    }
}

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// A proportion estimated from trials.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rate {
    pub hits: u64,
    pub trials: u64,
}

impl Rate {
    pub fn add(&mut self, hit: bool) {
        self.hits += u64::from(hit);
        self.trials += 1;
    }

    pub fn percent(&self) -> f64 {
        100.0 * self.hits as f64 / self.trials as f64
    }

    /// Standard error of a true rate of `percent` over these trials, in percentage points.
    pub fn error(&self, percent: f64) -> f64 {
        (percent * (100.0 - percent) / self.trials as f64).max(0.0).sqrt()
    }

    /// Asserts that the rate lies in `[low, high]` percent, give or take three standard errors.
    pub fn assert_within(&self, low: f64, high: f64, what: &str) {
        let rate = self.percent();
        println!("{what}: {rate:.2}% of {}", self.trials);
        let slack_low = 3.0 * self.error(low);
        let slack_high = 3.0 * self.error(high);
        assert!(
            rate >= low - slack_low && rate <= high + slack_high,
            "{what}: {rate:.2}% of {} lies outside {low}% to {high}%",
            self.trials
        );
    }

    /// Asserts that the rate is the published one, give or take half a point and three standard errors.
    pub fn assert_near(&self, published: f64, what: &str) {
        self.assert_within((published - 0.5).max(0.0), (published + 0.5).min(100.0), what);
    }

    /// Asserts that the rate lies in `[low, high]` percent as measured, with no allowance.
    pub fn assert_measured(&self, low: f64, high: f64, what: &str) {
        let rate = self.percent();
        println!("{what}: {rate:.2}% of {}", self.trials);
        assert!((low..=high).contains(&rate), "{what}: {rate:.2}% of {} lies outside {low}% to {high}%", self.trials);
    }
}
