//! How much load a system takes until it breaks, and how many cores it needs.

use crate::arrivals::Arrivals;
use crate::error::QueueError;

/// The largest load that meets a limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Headroom {
    /// Requests a second.
    pub rate: f64,
    /// The value (for example p99, ns) at that rate.
    pub value: f64,
    /// That rate over the rate of the given arrivals: 1.5 means that the load can grow by half.
    pub ratio: f64,
}

/// How close the bisection comes to the rate, relative.
const PRECISION: f64 = 0.005;
/// How many rates are looked at to enclose the largest: up to 2¹⁹ times the given one, or down to 2⁻¹⁹.
const DOUBLINGS: u32 = 20;

/// The largest rate at which `value` stays within `limit`, over the same arrivals scaled to each rate (common random numbers, so that
/// a single queue's value only grows with the rate). Where it does not grow steadily (batches), it is the first crossing that
/// bisection finds. None if even the slowest rate misses the limit; a system that never does is reported at the fastest rate looked at.
///
/// Errors: those of `value` and of [`Arrivals::at_rate`].
pub fn largest_rate(
    arrivals: &Arrivals,
    limit: f64,
    mut value: impl FnMut(&Arrivals) -> Result<f64, QueueError>,
) -> Result<Option<Headroom>, QueueError> {
    let own = arrivals.rate();
    let mut at = |ratio: f64| value(&arrivals.at_rate(own * ratio)?);
    let (mut good, mut bad) = (None, None);
    let mut ratio = 1.0;
    for _ in 0..DOUBLINGS {
        let found = at(ratio)?;
        if found <= limit {
            good = Some((ratio, found));
        } else {
            bad = Some(ratio);
        }
        if good.is_some() && bad.is_some() {
            break;
        }
        ratio *= if good.is_some() { 2.0 } else { 0.5 };
    }
    let Some((mut low, mut value)) = good else { return Ok(None) };
    if let Some(mut high) = bad {
        while high / low > 1.0 + PRECISION {
            let middle = (low * high).sqrt();
            let found = at(middle)?;
            if found <= limit {
                (low, value) = (middle, found);
            } else {
                high = middle;
            }
        }
    }
    Ok(Some(Headroom { rate: own * low, value, ratio: low }))
}

/// The smallest count from 1 to `most` (cores, workers, replicas) at which `value` is within `limit`; None if none is. Every count
/// is tried in order, because more is not always better.
///
/// Errors: those of `value`.
pub fn least_count(
    most: usize,
    limit: f64,
    mut value: impl FnMut(usize) -> Result<f64, QueueError>,
) -> Result<Option<usize>, QueueError> {
    for count in 1..=most {
        if value(count)? <= limit {
            return Ok(Some(count));
        }
    }
    Ok(None)
}
