//! The timing loops. Nothing here knows what it calls.
//!
//! Between the stamps there are only the turns of the loop and the calls. A result is handed to [`black_box`], so that no
//! part of the work can be left out by the optimiser, and is freed before the next stamp: freeing belongs to the call, as in
//! production.

use std::hint::black_box;
use std::sync::atomic::AtomicUsize;

use engines::EngineError;
use record::protocol::Sample;

use super::clock::now;
use super::inputs::Extent;
use super::ops::{Op, Produced};
use super::window::next_turn;

/// One call, and the end of its result.
#[inline]
pub fn call(op: &dyn Op, index: usize) -> Result<(), EngineError> {
    op.run(black_box(index))
}

/// `loops` calls back to back under one pair of stamps, from request `offset` on, cyclically.
pub fn time_loop(op: &dyn Op, pool: usize, offset: usize, loops: u64) -> Result<Sample, EngineError> {
    let mut index = offset % pool;
    let start_ns = now();
    for _ in 0..loops {
        call(op, index)?;
        index += 1;
        if index == pool {
            index = 0;
        }
    }
    let end_ns = now();
    Ok(Sample { start_ns, end_ns, calls: loops, ..Sample::default() })
}

/// `loops` samples of one call each, with its stages.
pub fn time_each(op: &dyn Op, pool: usize, offset: usize, loops: u64) -> Result<Vec<Sample>, EngineError> {
    let mut samples = Vec::new();
    for index in (0..pool).cycle().skip(offset % pool).take(usize::try_from(loops).unwrap_or(usize::MAX)) {
        let start_ns = now();
        let produced = black_box(op.call(black_box(index))?);
        let stages = produced.stages();
        drop(produced);
        let end_ns = now();
        samples.push(Sample { start_ns, end_ns, calls: 1, stages, ..Sample::default() });
    }
    Ok(samples)
}

/// One call, and its result for the check; freeing it is not in the time.
pub fn time_first(op: &dyn Op, index: usize) -> Result<(Sample, Produced), EngineError> {
    let start_ns = now();
    let produced = black_box(op.call(black_box(index))?);
    let end_ns = now();
    let stages = produced.stages();
    Ok((Sample { start_ns, end_ns, calls: 1, stages, ..Sample::default() }, produced))
}

/// Untimed calls on the warm-up requests in turn, at least one and until they took `duration_ns` together. Returns the
/// time, ns.
pub fn warm(op: &dyn Op, extent: Extent, turn: &AtomicUsize, duration_ns: u64) -> Result<u64, EngineError> {
    extent.can_warm()?;
    call_for(duration_ns, || call(op, extent.pool + next_turn(turn) % extent.warmup))
}

/// Untimed calls, at least one and until they took `duration_ns` together. Returns the time, ns.
pub fn call_for(duration_ns: u64, mut once: impl FnMut() -> Result<(), EngineError>) -> Result<u64, EngineError> {
    let start = now();
    loop {
        once()?;
        let spent = now() - start;
        if spent >= duration_ns {
            return Ok(spent);
        }
    }
}
