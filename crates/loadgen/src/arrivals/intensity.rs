//! How many requests a second are due at each moment of a run.

use serde::{Deserialize, Serialize};

use super::ArrivalError;

/// Requests per second over time, and the inverse of its integral.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intensity {
    /// The same rate throughout, requests/s.
    Constant { rate: f64 },
    /// From one rate (requests/s, 0 is possible) to another in a straight line; afterwards the last one stays.
    Ramp { from: f64, to: f64, duration_ns: u64 },
    /// From one rate to another (requests/s, both above 0), by the same factor in the same time; afterwards the last one stays.
    Exponential { from: f64, to: f64, duration_ns: u64 },
    /// One rate after another; afterwards the last one stays.
    Steps { steps: Vec<Step> },
}

/// A rate that holds for a while. A rate of 0 is a pause, except in the last step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Requests/s.
    pub rate: f64,
    pub duration_ns: u64,
}

impl Intensity {
    /// Says whether a schedule can be made of it.
    ///
    /// # Errors
    /// A rate that is negative, not finite, or 0 where it must last for ever; a part of no length.
    pub fn check(&self) -> Result<(), ArrivalError> {
        let rates: &[f64] = match self {
            Self::Constant { rate } => &[*rate],
            Self::Ramp { from, to, .. } | Self::Exponential { from, to, .. } => &[*from, *to],
            Self::Steps { steps } => &steps.iter().map(|step| step.rate).collect::<Vec<_>>(),
        };
        if let Some(&rate) = rates.iter().find(|rate| !rate.is_finite() || **rate < 0.0) {
            return Err(ArrivalError::Rate(rate));
        }
        let last = *rates.last().ok_or(ArrivalError::NoSteps)?;
        // A ramp down to 0 has a last arrival; steps and constants need a rate that goes on.
        if last <= 0.0 && !matches!(self, Self::Ramp { from, .. } if *from > 0.0) {
            return Err(ArrivalError::Rate(last));
        }
        // No factor leads away from 0.
        if let Self::Exponential { from, .. } = self
            && *from <= 0.0
        {
            return Err(ArrivalError::Rate(*from));
        }
        let no_length = match self {
            Self::Constant { .. } => false,
            Self::Ramp { duration_ns, .. } | Self::Exponential { duration_ns, .. } => *duration_ns == 0,
            Self::Steps { steps } => steps.iter().any(|step| step.duration_ns == 0),
        };
        if no_length { Err(ArrivalError::NoLength) } else { Ok(()) }
    }

    /// Mean rate over the part in which the rate changes, requests/s: `(a + b)/2` of a ramp, `(b − a)/ln(b/a)` of an exponential one.
    /// A number of requests over it is how long they take.
    pub fn mean_rate(&self) -> f64 {
        match self {
            Self::Constant { rate } => *rate,
            Self::Ramp { from, to, .. } => (from + to) / 2.0,
            Self::Exponential { from, to, .. } if from == to => *from,
            Self::Exponential { from, to, .. } => (to - from) / (to / from).ln(),
            Self::Steps { steps } => {
                let expected: f64 = steps.iter().map(|step| step.rate * step.duration_ns as f64).sum();
                expected / self.length_ns().unwrap_or(1).max(1) as f64
            }
        }
    }

    /// How long the rate changes, ns; None where it never does.
    pub fn length_ns(&self) -> Option<u64> {
        match self {
            Self::Constant { .. } => None,
            Self::Ramp { duration_ns, .. } | Self::Exponential { duration_ns, .. } => Some(*duration_ns),
            Self::Steps { steps } => {
                Some(steps.iter().fold(0, |length: u64, step| length.saturating_add(step.duration_ns)))
            }
        }
    }

    /// The highest rate, requests/s.
    pub fn peak(&self) -> f64 {
        match self {
            Self::Constant { rate } => *rate,
            Self::Ramp { from, to, .. } | Self::Exponential { from, to, .. } => from.max(*to),
            Self::Steps { steps } => steps.iter().map(|step| step.rate).fold(0.0, f64::max),
        }
    }

    /// `Λ⁻¹(due)`: the second at which `due` arrivals are expected to have come; infinite if that never happens.
    pub(super) fn inverse(&self, due: f64) -> f64 {
        match self {
            Self::Constant { rate } => due / rate,
            Self::Ramp { from, to, duration_ns } => ramp(*from, *to, *duration_ns as f64 / 1e9, due),
            Self::Exponential { from, to, duration_ns } => exponential(*from, *to, *duration_ns as f64 / 1e9, due),
            Self::Steps { steps } => {
                let (mut start, mut left) = (0.0, due);
                for (index, step) in steps.iter().enumerate() {
                    let (length, in_step) = (step.duration_ns as f64 / 1e9, step.rate * step.duration_ns as f64 / 1e9);
                    if left < in_step || (index + 1 == steps.len() && step.rate > 0.0) {
                        return start + left / step.rate;
                    }
                    start += length;
                    left -= in_step;
                }
                f64::INFINITY
            }
        }
    }
}

/// `Λ(t) = a·t + (b − a)·t²/(2d)` up to `d`, solved for `t`: with `k = (b − a)/d`, `t = 2u / (a + √(a² + 2ku))`, the form of
/// the quadratic's root that does not cancel.
fn ramp(from: f64, to: f64, length: f64, due: f64) -> f64 {
    let whole = (from + to) / 2.0 * length;
    if due >= whole {
        return if to > 0.0 { length + (due - whole) / to } else { f64::INFINITY };
    }
    if due == 0.0 {
        return 0.0;
    }
    let slope = (to - from) / length;
    2.0 * due / (from + (from * from + 2.0 * slope * due).max(0.0).sqrt())
}

/// `Λ(t) = a·d/k·(e^(kt/d) − 1)` up to `d`, with `k = ln(b/a)`, solved for `t`: `t = d/k·ln(1 + ku/(ad))`.
fn exponential(from: f64, to: f64, length: f64, due: f64) -> f64 {
    let k = (to / from).ln();
    // Where the rates are one, the line is straight.
    if k.abs() < 1e-9 {
        return due / from;
    }
    let whole = (to - from) / k * length;
    if due >= whole { length + (due - whole) / to } else { length / k * (k * due / (from * length)).ln_1p() }
}
