//! A rate of arrivals that changes during a run: ramps, named as `vllm bench serve` names them, and steps.

use std::fmt;

use loadgen::arrivals::{Extent, Intensity, Step};
use serde::{Deserialize, Serialize};

/// How a ramp gets from its first rate to its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// In a straight line.
    Linear,
    /// By the same factor in the same time.
    Exponential,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linear => "linear",
            Self::Exponential => "exponential",
        })
    }
}

/// What was asked for: times of a file (their rates are their own), a ramp, or steps.
#[derive(Debug, Clone, PartialEq)]
pub enum Varying {
    Trace,
    /// Requests/s.
    Ramp {
        strategy: Strategy,
        from: f64,
        to: f64,
    },
    Steps(Vec<Step>),
}

impl Varying {
    /// The rate over time. A ramp takes as long as the run: its duration, else the time in which so many requests are expected.
    ///
    /// # Errors
    /// A ramp without an end, or rates that make no schedule.
    pub fn intensity(&self, extent: Extent) -> Result<Option<Intensity>, String> {
        let intensity = match self {
            Self::Trace => return Ok(None),
            Self::Steps(steps) => Intensity::Steps { steps: steps.clone() },
            Self::Ramp { strategy, from, to } => {
                let ramp = |duration_ns| match strategy {
                    Strategy::Linear => Intensity::Ramp { from: *from, to: *to, duration_ns },
                    Strategy::Exponential => Intensity::Exponential { from: *from, to: *to, duration_ns },
                };
                let duration_ns = match (extent.duration_ns, extent.count) {
                    (Some(duration_ns), _) => duration_ns,
                    (None, Some(count)) => (count as f64 / ramp(1).mean_rate() * 1e9).round() as u64,
                    (None, None) => return Err("a ramp needs an end: give --num-prompts or --duration".to_owned()),
                };
                ramp(duration_ns)
            }
        };
        intensity.check().map_err(|error| error.to_string())?;
        Ok(Some(intensity))
    }

    /// How long it lasts by itself, ns; None where the run says.
    pub fn length_ns(&self) -> Option<u64> {
        match self {
            Self::Steps(steps) => Intensity::Steps { steps: steps.clone() }.length_ns(),
            Self::Trace | Self::Ramp { .. } => None,
        }
    }
}

/// Steps from a list of rates with their durations: `10:30s,20:2m`; units are ms, s (also without a unit), m and h.
///
/// # Errors
/// A sentence that names what cannot be read.
pub fn steps(text: &str) -> Result<Vec<Step>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let steps: Vec<Step> = parts.map(step).collect::<Result<_, _>>()?;
    match steps.last() {
        None => Err("give at least one step as RATE:DURATION, for instance 10:30s,20:30s".to_owned()),
        Some(last) if last.rate == 0.0 => {
            Err("the last step has no request: a rate of 0 is a pause between steps".to_owned())
        }
        Some(_) => Ok(steps),
    }
}

fn step(part: &str) -> Result<Step, String> {
    let (rate, duration) =
        part.split_once(':').ok_or_else(|| format!("`{part}` is no step: write RATE:DURATION, for instance 10:30s"))?;
    let rate: f64 = rate.trim().parse().map_err(|_| format!("`{rate}` is no number of requests/s"))?;
    if !(rate.is_finite() && rate >= 0.0) {
        return Err(format!("a rate of {rate} requests/s is not possible: give a number from 0 on"));
    }
    let duration = duration.trim();
    let digits = duration.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_ns = match &duration[digits.len()..] {
        "ms" => 1e6,
        "" | "s" => 1e9,
        "m" | "min" => 60e9,
        "h" => 3600e9,
        unit => return Err(format!("`{unit}` is no unit of time: use ms, s, m or h")),
    };
    let value: f64 = digits.parse().map_err(|_| format!("`{duration}` is no duration: write for instance 30s"))?;
    let duration_ns = (value * unit_ns).round();
    if duration_ns >= 1.0 && duration_ns < u64::MAX as f64 {
        Ok(Step { rate, duration_ns: duration_ns as u64 })
    } else {
        Err(format!("a step of `{duration}` is not possible: give a duration above 0"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn steps_are_read() {
        let step = |rate, duration_ns| Step { rate, duration_ns };
        assert_eq!(
            steps("10:30s, 0:500ms,2.5:2m,7:4"),
            Ok(vec![step(10.0, 30 * SECOND), step(0.0, SECOND / 2), step(2.5, 120 * SECOND), step(7.0, 4 * SECOND)])
        );
        for bad in ["", "10", "x:1s", "10:0s", "-1:1s", "1:1d", "1:s", "nan:1s", "10:1s,0:1s", "1:-5s", "1:inf"] {
            assert!(steps(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_ramp_takes_as_long_as_the_run() {
        let ramp = |strategy| Varying::Ramp { strategy, from: 10.0, to: 30.0 };
        let linear = ramp(Strategy::Linear).intensity(Extent::count(100)).unwrap();
        assert_eq!(linear, Some(Intensity::Ramp { from: 10.0, to: 30.0, duration_ns: 5 * SECOND }));
        let timed = ramp(Strategy::Exponential).intensity(Extent::duration(7 * SECOND)).unwrap();
        assert_eq!(timed, Some(Intensity::Exponential { from: 10.0, to: 30.0, duration_ns: 7 * SECOND }));
        // (30 − 10)/ln 3 = 18.2 requests/s on average.
        let counted = ramp(Strategy::Exponential).intensity(Extent::count(182)).unwrap().unwrap();
        assert!(counted.length_ns().unwrap().abs_diff(10 * SECOND) < SECOND / 50, "{counted:?}");
        assert!(ramp(Strategy::Linear).intensity(Extent::default()).is_err());
        assert_eq!(Varying::Steps(steps("1:2s,2:3s").unwrap()).length_ns(), Some(5 * SECOND));
    }
}
