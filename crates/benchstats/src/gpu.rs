//! How long a GPU would wait for its batches.

use crate::interval::{StatsError, check_finite};

/// Fractions of the time, in `[0, 1]`, that a GPU with a given step would stand idle in one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Idle {
    /// The host prepares, then the GPU works: `E[T] / (E[T] + s)`.
    pub serial: f64,
    /// The host prepares the next batch while the GPU works on this one: `E[max(0, T − s)] / E[max(T, s)]`.
    pub overlapped: f64,
}

/// Idle fractions of one run, from the times `batch_ns` that its batches took to prepare and the GPU's step `step_ns` (both ns).
///
/// One value a run; intervals come from [`crate::mean::linear_t`] over runs. Times are renewed each step, so by the renewal
/// reward theorem the fractions are ratios of means over batches, not means of ratios.
///
/// Errors: [`StatsError::Empty`], [`StatsError::BadValue`] for a time that is negative or not finite, [`StatsError::BadArgument`] for a
/// step that is not above zero.
pub fn idle(batch_ns: &[f64], step_ns: f64) -> Result<Idle, StatsError> {
    if !(step_ns.is_finite() && step_ns > 0.0) {
        return Err(StatsError::BadArgument("the GPU's step must be longer than zero"));
    }
    if batch_ns.is_empty() {
        return Err(StatsError::Empty);
    }
    check_finite(batch_ns)?;
    if let Some(index) = batch_ns.iter().position(|time| *time < 0.0) {
        return Err(StatsError::BadValue { index, value: batch_ns[index] });
    }
    let batches = batch_ns.len() as f64;
    let mean = |of: &dyn Fn(f64) -> f64| batch_ns.iter().map(|time| of(*time)).sum::<f64>() / batches;
    let time = mean(&|time| time);
    Ok(Idle {
        serial: time / (time + step_ns),
        overlapped: mean(&|time| (time - step_ns).max(0.0)) / mean(&|time| time.max(step_ns)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // T = 10, 30 and s = 20: serial 20/40; overlapped (0 + 10)/2 over (20 + 30)/2.
        let idle = idle(&[10.0, 30.0], 20.0).unwrap();
        assert!((idle.serial - 0.5).abs() < 1e-12);
        assert!((idle.overlapped - 0.2).abs() < 1e-12);
    }

    #[test]
    fn overlap_hides_batches_that_are_faster_than_the_step() {
        assert_eq!(idle(&[5.0, 9.0], 10.0).unwrap().overlapped, 0.0);
        assert!((idle(&[40.0], 10.0).unwrap().overlapped - 0.75).abs() < 1e-12);
    }

    /// Against a step-by-step account of a double-buffered GPU: each step lasts max(T, s), of which T − s is waiting.
    #[test]
    fn agrees_with_a_walk_through_the_steps() {
        let times: Vec<f64> = (0..500).map(|i| f64::from((i * 7919) % 101)).collect();
        let (mut clock, mut busy) = (0.0, 0.0);
        for time in &times {
            let prepared = clock + time;
            let worked = clock + 40.0;
            busy += 40.0;
            clock = f64::max(prepared, worked);
        }
        let idle = idle(&times, 40.0).unwrap();
        assert!((idle.overlapped - (1.0 - busy / clock)).abs() < 1e-12);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(idle(&[1.0], 0.0).is_err());
        assert_eq!(idle(&[], 1.0), Err(StatsError::Empty));
        assert!(matches!(idle(&[1.0, -1.0], 1.0), Err(StatsError::BadValue { index: 1, .. })));
    }
}
