//! Points of load: a rate of arrivals, or a number of users.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::varying::{Strategy, Varying};

/// The most points of one command.
const MOST: usize = 64;

/// One point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// Open loop: requests/s, and the most in flight.
    Rate { rate: f64, cap: Option<usize> },
    /// Closed loop: so many in flight.
    Concurrency { users: usize },
    /// Open loop: the times of a file.
    Trace { cap: Option<usize> },
    /// Open loop: from one rate to another, requests/s.
    Ramp { strategy: Strategy, from: f64, to: f64, cap: Option<usize> },
    /// Open loop: one rate after another; the highest is `peak`, requests/s.
    Steps { peak: f64, cap: Option<usize> },
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate { rate, .. } => write!(f, "{rate} req/s"),
            Self::Concurrency { users: 1 } => f.write_str("1 user"),
            Self::Concurrency { users } => write!(f, "{users} users"),
            Self::Trace { .. } => f.write_str("trace"),
            Self::Ramp { from, to, .. } => write!(f, "{from} to {to} req/s"),
            Self::Steps { peak, .. } => write!(f, "steps to {peak} req/s"),
        }
    }
}

impl Point {
    /// Connections that it will use as far as can be known beforehand; more are opened when they are needed.
    pub fn connections(&self) -> usize {
        match *self {
            Self::Concurrency { users } => users,
            Self::Rate { cap: Some(cap), .. }
            | Self::Trace { cap: Some(cap) }
            | Self::Ramp { cap: Some(cap), .. }
            | Self::Steps { cap: Some(cap), .. } => cap,
            Self::Rate { rate, cap: None } => a_second(rate),
            Self::Ramp { from, to, cap: None, .. } => a_second(from.max(to)),
            Self::Steps { peak, cap: None } => a_second(peak),
            Self::Trace { cap: None } => 64,
        }
    }
}

/// A second's arrivals: an answer that takes longer needs more connections, and these are counted as opened late.
fn a_second(rate: f64) -> usize {
    (rate.ceil() as usize).clamp(8, 512)
}

/// Numbers from a list: `1,2,4`, a sweep by doubling `1..64`, by steps `10..50+10` or by a factor `1..100x10`; `inf` where it is
/// allowed.
///
/// # Errors
/// A sentence that names what cannot be read.
pub fn numbers(text: &str) -> Result<Vec<f64>, String> {
    let mut all = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part.split_once("..") {
            None => all.push(number(part)?),
            Some((from, rest)) => sweep(number(from)?, rest, part, &mut all)?,
        }
    }
    if all.is_empty() {
        return Err("give a number, a list (1,2,4) or a sweep (1..64)".to_owned());
    }
    if all.len() > MOST {
        return Err(format!("{} points are too many: give at most {MOST}", all.len()));
    }
    Ok(all)
}

fn sweep(from: f64, rest: &str, part: &str, all: &mut Vec<f64>) -> Result<(), String> {
    let (to, next): (f64, Box<dyn Fn(f64) -> f64>) = match (rest.split_once('+'), rest.split_once('x')) {
        (Some((to, step)), _) => {
            let step = number(step)?;
            (number(to)?, Box::new(move |value| value + step))
        }
        (_, Some((to, factor))) => {
            let factor = number(factor)?;
            if factor <= 1.0 {
                return Err(format!("the sweep `{part}` does not get on: give a factor above 1"));
            }
            (number(to)?, Box::new(move |value| value * factor))
        }
        _ => (number(rest)?, Box::new(|value| value * 2.0)),
    };
    if !(from.is_finite() && to.is_finite()) || to < from {
        return Err(format!("the sweep `{part}` goes nowhere: give the smaller end first"));
    }
    let mut value = from;
    // The end belongs to it, whatever rounding did.
    while value <= to * (1.0 + 1e-9) {
        all.push(value);
        if all.len() > MOST {
            return Err(format!("the sweep `{part}` has too many points: give at most {MOST}"));
        }
        value = next(value);
    }
    Ok(())
}

fn number(text: &str) -> Result<f64, String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("inf") {
        return Ok(f64::INFINITY);
    }
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if value > 0.0 && value.is_finite() {
        Ok(value)
    } else {
        Err(format!("`{text}` lets no request through: give a number above 0"))
    }
}

/// The points of a command.
///
/// A rate of `inf` offers everything at once; with a cap that is a closed loop, as other load generators have it.
///
/// # Errors
/// A sentence: neither is given, or the numbers make no points.
pub fn points(
    rates: Option<&[f64]>,
    concurrencies: Option<&[f64]>,
    varying: Option<&Varying>,
    requests: usize,
) -> Result<Vec<Point>, String> {
    let users = |value: f64| -> Result<usize, String> {
        if value.fract() == 0.0 && value <= 1e6 {
            Ok(value as usize)
        } else {
            Err(format!("a concurrency of {value} is not possible: give a whole number up to 1000000"))
        }
    };
    let caps: Vec<usize> =
        concurrencies.unwrap_or_default().iter().map(|&value| users(value)).collect::<Result<_, _>>()?;
    let one_cap = match caps.as_slice() {
        [] => None,
        [cap] => Some(*cap),
        _ if rates.is_some() || varying.is_some() => {
            return Err("with a rate, --max-concurrency is a cap: give one number".to_owned());
        }
        _ => None,
    };
    if let Some(varying) = varying {
        if rates.is_some() {
            return Err(
                "--request-rate is one rate for the whole run: leave it out with --arrivals, --ramp-up-strategy or --rate-steps, which say \
                 when requests are due"
                    .to_owned(),
            );
        }
        return Ok(vec![match varying {
            Varying::Trace => Point::Trace { cap: one_cap },
            &Varying::Ramp { strategy, from, to } => Point::Ramp { strategy, from, to, cap: one_cap },
            Varying::Steps(steps) => {
                Point::Steps { peak: steps.iter().map(|step| step.rate).fold(0.0, f64::max), cap: one_cap }
            }
        }]);
    }
    match rates {
        Some(rates) => Ok(rates
            .iter()
            .map(|&rate| match (rate.is_finite(), one_cap) {
                (true, cap) => Point::Rate { rate, cap },
                (false, cap) => Point::Concurrency { users: cap.unwrap_or(requests).min(requests).max(1) },
            })
            .collect()),
        None if !caps.is_empty() => Ok(caps.into_iter().map(|users| Point::Concurrency { users }).collect()),
        None => Err(
            "how much load? Give --request-rate (requests/s, open loop) or --max-concurrency (users, closed loop): a number, a list \
             (1,2,4) or a sweep (1..64)"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_sweeps() {
        assert_eq!(numbers("1, 2.5,4"), Ok(vec![1.0, 2.5, 4.0]));
        assert_eq!(numbers("1..64"), Ok(vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]));
        assert_eq!(numbers("1..10"), Ok(vec![1.0, 2.0, 4.0, 8.0]));
        assert_eq!(numbers("10..30+10,100"), Ok(vec![10.0, 20.0, 30.0, 100.0]));
        assert_eq!(numbers("0.1..1x3.1622776601683795").unwrap().len(), 3);
        assert_eq!(numbers("inf"), Ok(vec![f64::INFINITY]));
        for bad in ["", "0", "-1", "x", "4..1", "1..inf", "1..2x1", "1..2+0", "1..1000+1", "nan"] {
            assert!(numbers(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn points_of_both_loops() {
        let rate = |rate, cap| Point::Rate { rate, cap };
        let users = |users| Point::Concurrency { users };
        assert_eq!(points(Some(&[1.0, 2.0]), None, None, 10), Ok(vec![rate(1.0, None), rate(2.0, None)]));
        assert_eq!(points(Some(&[1.0]), Some(&[8.0]), None, 10), Ok(vec![rate(1.0, Some(8))]));
        assert_eq!(points(None, Some(&[1.0, 8.0]), None, 10), Ok(vec![users(1), users(8)]));
        assert_eq!(points(Some(&[f64::INFINITY]), Some(&[8.0]), None, 100), Ok(vec![users(8)]));
        assert_eq!(points(Some(&[f64::INFINITY]), None, None, 100), Ok(vec![users(100)]));
        assert!(points(None, None, None, 10).unwrap_err().contains("--request-rate"));
        assert!(points(Some(&[1.0]), Some(&[1.0, 2.0]), None, 10).is_err());
        assert!(points(None, Some(&[1.5]), None, 10).is_err());
        assert_eq!(points(None, Some(&[4.0]), Some(&Varying::Trace), 10), Ok(vec![Point::Trace { cap: Some(4) }]));
        assert!(points(Some(&[1.0]), None, Some(&Varying::Trace), 10).is_err());
    }
}
