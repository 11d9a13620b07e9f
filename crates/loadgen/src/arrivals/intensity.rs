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
    /// # Errors
    /// A rate that is negative, not finite, or 0 where it must last for ever; a part of no length.
    pub(super) fn check(&self) -> Result<(), ArrivalError> {
        let rates: &[f64] = match self {
            Self::Constant { rate } => &[*rate],
            Self::Ramp { from, to, .. } => &[*from, *to],
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
        let no_length = match self {
            Self::Constant { .. } => false,
            Self::Ramp { duration_ns, .. } => *duration_ns == 0,
            Self::Steps { steps } => steps.iter().any(|step| step.duration_ns == 0),
        };
        if no_length { Err(ArrivalError::NoLength) } else { Ok(()) }
    }

    /// `Λ⁻¹(due)`: the second at which `due` arrivals are expected to have come; infinite if that never happens.
    pub(super) fn inverse(&self, due: f64) -> f64 {
        match self {
            Self::Constant { rate } => due / rate,
            Self::Ramp { from, to, duration_ns } => ramp(*from, *to, *duration_ns as f64 / 1e9, due),
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
