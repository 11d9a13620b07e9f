//! The clock of all workers, and what reading it costs.

use std::hint::black_box;

use engines::EngineError;
use rustix::time::{ClockId, clock_gettime};

use super::ops::{Op, Produced};
use super::timing;

/// Nanoseconds of CLOCK_MONOTONIC: one clock for all processes of the machine, the one that Python's
/// `time.perf_counter_ns` reads on Linux.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // Both parts are positive: the clock counts from the start of the machine.
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

const REPEATS: usize = 1_000;
const LOOP_REPEATS: usize = 200;
const TURNS: u64 = 1_000;

/// Median cost of a pair of clock readings, ns.
pub fn pair_ns() -> u64 {
    median((0..REPEATS).map(|_| {
        let start = now();
        now() - start
    }))
}

/// Median cost of one turn of the timing loop around an empty call, ns.
pub fn loop_overhead_ns() -> u64 {
    struct Empty;
    impl Op for Empty {
        fn call(&self, _index: usize) -> Result<Produced, EngineError> {
            Ok(Produced::Nothing)
        }
    }
    // The optimiser must not see which op it is, or it would take the call away.
    let op: &dyn Op = black_box(&Empty);
    median((0..LOOP_REPEATS).filter_map(|_| {
        let sample = timing::time_loop(op, 64, 0, TURNS).ok()?;
        Some((sample.end_ns - sample.start_ns) / TURNS)
    }))
}

fn median(values: impl Iterator<Item = u64>) -> u64 {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_forward_and_the_median_is_the_middle() {
        let before = now();
        assert!(before > 0 && now() >= before);
        assert_eq!(median([9, 1, 5].into_iter()), 5);
        assert_eq!(median([].into_iter()), 0);
    }
}
