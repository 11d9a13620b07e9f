//! When requests arrive: schedules that are computed before a run from a seed, in nanoseconds from its start.
//!
//! A schedule has two axes. The [`Intensity`] says how many requests a second are due at each moment (constant, a ramp,
//! steps). The [`Spacing`] says how they scatter around it (evenly, Poisson, gamma). Both are joined by time rescaling: the
//! arrivals `u₁ ≤ u₂ ≤ …` of a process of rate 1 are mapped to `tᵢ = Λ⁻¹(uᵢ)`, where `Λ(t) = ∫₀ᵗ λ(s) ds` is the expected
//! number of arrivals until `t` (Daley and Vere-Jones, An Introduction to the Theory of Point Processes I, 7.4). For Poisson
//! spacing this is the inhomogeneous Poisson process, exactly.
//!
//! Nothing is rescaled afterwards: a Poisson schedule of `n` arrivals lasts `n/λ ± √n/λ`, as a Poisson process does. (Some
//! clients stretch the gaps so that their sum is exactly `n/λ`; the result is no longer Poisson.)

mod intensity;
mod sampler;
mod trace;

pub use intensity::{Intensity, Step};
pub use sampler::Sampler;
pub use trace::{TraceError, parse_trace, read_trace};

use serde::{Deserialize, Serialize};

/// The most arrivals of one schedule; more would not fit into memory beside their records.
pub const MOST_ARRIVALS: usize = 50_000_000;

/// How arrivals scatter around their intensity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spacing {
    /// Equal gaps; the first arrival is at 0.
    Even,
    /// Independent exponential gaps, coefficient of variation 1.
    Poisson,
    /// Independent gamma gaps, as in `vllm bench serve --burstiness`: shape `b` and scale `1/(λ·b)`, so mean `1/λ` and
    /// coefficient of variation `1/√b`. Burstiness 1 is Poisson, below 1 is burstier, above 1 more even.
    Gamma { burstiness: f64 },
}

/// Where a schedule ends: at a number of arrivals or at a time, whichever is first. One of the two is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Extent {
    /// Most arrivals.
    pub count: Option<usize>,
    /// Arrivals lie before this time, ns from the start.
    pub duration_ns: Option<u64>,
}

impl Extent {
    /// This many arrivals.
    pub fn count(count: usize) -> Self {
        Self { count: Some(count), duration_ns: None }
    }

    /// All arrivals before this time, ns from the start.
    pub fn duration(duration_ns: u64) -> Self {
        Self { count: None, duration_ns: Some(duration_ns) }
    }
}

/// Arrival times in ascending order, ns from the start of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    times_ns: Vec<u64>,
    duration_ns: u64,
}

/// Why a schedule cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ArrivalError {
    #[error("a rate of {0} requests/s is not possible: give a finite rate above 0")]
    Rate(f64),
    #[error("a burstiness of {0} is not possible: give a finite number above 0 (1 is Poisson, below 1 is burstier)")]
    Burstiness(f64),
    #[error("a schedule needs an end: give a number of requests or a duration")]
    Endless,
    #[error("a step or ramp of no length is not possible: give each a duration above 0")]
    NoLength,
    #[error("steps are empty: give at least one rate with its duration")]
    NoSteps,
    #[error("the schedule would have more than {MOST_ARRIVALS} requests: lower the rate or shorten the run")]
    TooMany,
    #[error("the schedule has no request: lengthen the run or raise the rate")]
    Empty,
    #[error("arrival {0} is before the one in front of it: sort the times")]
    Unsorted(usize),
}

impl Schedule {
    /// A schedule from a seed. The same arguments give the same times: the random stream is ChaCha8 and all sampling is
    /// written here, so only the last bit of the platform's `ln` and `cos` can make a difference (1 ns).
    ///
    /// # Errors
    /// [`ArrivalError`] for a rate, burstiness or extent that makes no schedule.
    pub fn generate(intensity: &Intensity, spacing: Spacing, extent: Extent, seed: u64) -> Result<Self, ArrivalError> {
        intensity.check()?;
        if let Spacing::Gamma { burstiness } = spacing
            && !(burstiness.is_finite() && burstiness > 0.0)
        {
            return Err(ArrivalError::Burstiness(burstiness));
        }
        if extent.count.is_none() && extent.duration_ns.is_none() {
            return Err(ArrivalError::Endless);
        }
        let count = extent.count.unwrap_or(usize::MAX);
        let end_ns = extent.duration_ns.unwrap_or(u64::MAX);
        let mut sampler = Sampler::new(seed, "arrivals");
        let mut times_ns = Vec::with_capacity(count.min(1 << 20));
        let mut due = 0.0;
        while times_ns.len() < count {
            due += match spacing {
                Spacing::Even if times_ns.is_empty() => 0.0,
                Spacing::Even => 1.0,
                Spacing::Poisson => sampler.exponential(),
                Spacing::Gamma { burstiness } => sampler.gamma(burstiness) / burstiness,
            };
            // A float to integer cast saturates, so a far time ends the loop.
            let time_ns = (intensity.inverse(due) * 1e9).round() as u64;
            if time_ns >= end_ns {
                break;
            }
            if times_ns.len() == MOST_ARRIVALS {
                return Err(ArrivalError::TooMany);
            }
            times_ns.push(time_ns);
        }
        Self::new(times_ns, extent.duration_ns)
    }

    /// A schedule of given times (ns from the start, ascending), for instance of a trace.
    ///
    /// `duration_ns` is the length of the window in which arrivals were possible; without it, the window ends one mean gap
    /// after the last arrival, so that count over duration is the rate.
    ///
    /// # Errors
    /// [`ArrivalError::Empty`], [`ArrivalError::Unsorted`].
    pub fn new(times_ns: Vec<u64>, duration_ns: Option<u64>) -> Result<Self, ArrivalError> {
        let (Some(&first), Some(&last)) = (times_ns.first(), times_ns.last()) else { return Err(ArrivalError::Empty) };
        if let Some(index) = times_ns.windows(2).position(|pair| pair[0] > pair[1]) {
            return Err(ArrivalError::Unsorted(index + 1));
        }
        let gaps = (times_ns.len() - 1).max(1) as u64;
        let duration_ns = duration_ns.unwrap_or(last + ((last - first) / gaps).max(1));
        Ok(Self { times_ns, duration_ns: duration_ns.max(last + 1) })
    }

    /// The part of the schedule within an extent.
    ///
    /// # Errors
    /// [`ArrivalError::Empty`] when nothing is left.
    pub fn cut(mut self, extent: Extent) -> Result<Self, ArrivalError> {
        let end_ns = extent.duration_ns.unwrap_or(u64::MAX);
        let within = self.times_ns.partition_point(|&time| time < end_ns);
        let kept = within.min(extent.count.unwrap_or(usize::MAX));
        self.times_ns.truncate(kept);
        // Where the count ends the schedule, the window ends with the last arrival.
        let duration = (kept == within).then(|| self.duration_ns.min(end_ns));
        Self::new(self.times_ns, duration)
    }

    /// Arrival times, ns from the start, ascending.
    pub fn times_ns(&self) -> &[u64] {
        &self.times_ns
    }

    /// Length of the window in which arrivals were possible, ns; all arrivals lie before it.
    pub fn duration_ns(&self) -> u64 {
        self.duration_ns
    }

    /// Number of arrivals.
    pub fn len(&self) -> usize {
        self.times_ns.len()
    }

    /// False: a schedule has at least one arrival.
    pub fn is_empty(&self) -> bool {
        self.times_ns.is_empty()
    }

    /// Arrivals per second over the duration.
    pub fn rate(&self) -> f64 {
        self.times_ns.len() as f64 / (self.duration_ns as f64 / 1e9)
    }
}

#[cfg(test)]
mod tests;
