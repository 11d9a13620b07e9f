//! Before the first run: does every cell work, are its outputs right, how many calls make a block?

use std::collections::BTreeMap;
use std::time::Duration;

use crate::schedule::{CALIBRATION, run_schedule};
use record::plan::WorkloadSpec;
use record::plan::{Cell, Timing};
use record::protocol::Ready;
use record::results::Status;
use record::samples::Event;

use super::checks;
use super::journal::Journal;
use super::observer::Progress;
use super::pool::{BlockRequest, Halt, WorkerPool};
use super::stretch;

/// A sample lasts at least this long, ns, so that reading the clock is a small part of it.
const LEAST_NS: f64 = 100_000.0;
/// Most samples of a block of single calls: they are held in memory until the block ends.
const MOST_SAMPLES: u64 = 10_000;
/// Tokens that are checked a cell, so that a check lasts about as long whatever the workload.
const CHECKED_TOKENS: u64 = 64_000;
/// Requests that are checked of a workload whose tokens are not known.
const CHECKED_REQUESTS: u64 = 64;

/// Calibrates and checks all cells with a set of workers of its own. Returns what the workers said of themselves.
pub(super) fn calibrate(mut pool: WorkerPool<'_>, journal: &mut Journal<'_>) -> Result<BTreeMap<String, Ready>, Halt> {
    for spec in &pool.plan.subjects {
        if let Some(unavailable) = &spec.unavailable {
            let status = if unavailable.required { Status::Error } else { Status::Unavailable };
            for cell in journal.live(&spec.id) {
                journal.set_status(cell, None, status, &unavailable.reason)?;
            }
        }
    }
    pool.start(journal)?;
    let order = run_schedule(pool.plan, CALIBRATION);
    let of = pool.plan.cells.len();
    let first = order.first.iter().map(|visit| visit.cell);
    for (done, cell) in first.chain(order.prepare).enumerate() {
        if !journal.cells[cell].is_dropped() {
            let subject = &pool.plan.cells[cell].subject;
            if pool.plan.cells[cell].timing == Timing::First {
                pool.refresh(subject, journal)?;
            }
            calibrate_cell(&mut pool, cell, journal)?;
            journal.flush()?;
        }
        journal.observe(Progress::Calibrated { cell: &pool.plan.cells[cell].id, done: done + 1, of });
    }
    same_blocks_for_twins(&pool, journal);
    stretch::check_needs(pool.plan, journal)?;
    checks::compare(&mut pool, journal)?;
    for (cell, state) in pool.plan.cells.iter().zip(journal.cells.clone()) {
        if state.loops > 0 {
            journal.write(&Event::Calibration {
                cell_id: cell.id.clone(),
                loops: state.loops,
                ns_per_call: state.ns_per_call,
                hashes: state.hashes,
                found: state.found,
            })?;
        }
    }
    let ready = std::mem::take(&mut pool.ready);
    pool.end();
    Ok(ready)
}

fn calibrate_cell(pool: &mut WorkerPool<'_>, index: usize, journal: &mut Journal<'_>) -> Result<(), Halt> {
    let cell = &pool.plan.cells[index];
    let workload = pool.plan.workloads.iter().find(|w| w.id == cell.workload);
    let check = match (&cell.timing, &cell.check, workload) {
        (Timing::First | Timing::Stretch { .. }, ..) | (_, None, _) | (.., None) => 0,
        (.., Some(_), Some(workload)) => checked_requests(cell, workload),
    };
    let Some(hashes) = pool.prepare(index, check, journal)? else { return Ok(()) };
    if let Timing::Stretch { calibrated, .. } = cell.timing {
        return if calibrated { stretch::find(pool, index, journal) } else { Ok(()) };
    }
    let limits = &pool.job.options.limits;
    let mut how = BlockRequest {
        block: 0,
        loops: 1,
        offset: 0,
        settle_ns: if cell.timing == Timing::First { 0 } else { limits.settle_ns },
        timeout: limits.prepare,
        stretch: None,
    };
    let Some(block) = pool.block(index, how.clone(), journal)? else { return Ok(()) };
    let mut ns_per_call = block.ns_per_call();
    let target = cell.target_ns as f64;
    if matches!(cell.timing, Timing::Loop | Timing::Each) && ns_per_call < target / 6.0 {
        // One call is a poor measure of a short one: a third of a block tells better.
        how.loops = loops_for(&cell.timing, target / 3.0, ns_per_call);
        how.timeout = block_timeout(pool, how.loops as f64 * ns_per_call + how.settle_ns as f64);
        let Some(block) = pool.block(index, how, journal)? else { return Ok(()) };
        ns_per_call = block.ns_per_call();
    }
    let state = &mut journal.cells[index];
    state.loops = loops_for(&cell.timing, target, ns_per_call);
    state.ns_per_call = ns_per_call;
    state.hashes = if cell.timing == Timing::First && cell.check.is_some() { block.hashes } else { hashes };
    Ok(())
}

/// How long a block may take whose worker does not say, where the calibration makes `expected_ns` of it.
pub(super) fn block_timeout(pool: &WorkerPool<'_>, expected_ns: f64) -> Duration {
    let limits = &pool.job.options.limits;
    let scaled = Duration::try_from_secs_f64(expected_ns * 1e-9 * limits.block_factor);
    limits.block_min.max(scaled.unwrap_or(Duration::MAX))
}

/// Calls (or samples) so that a block lasts about `target` ns.
fn loops_for(timing: &Timing, target: f64, ns_per_call: f64) -> u64 {
    let loops = (target / ns_per_call).round().max(1.0) as u64;
    match timing {
        Timing::Loop => loops.max((LEAST_NS / ns_per_call).ceil() as u64),
        Timing::Each => loops.min(MOST_SAMPLES),
        Timing::Window { .. } | Timing::First | Timing::Stretch { .. } => 1,
    }
}

fn checked_requests(cell: &Cell, workload: &WorkloadSpec) -> u32 {
    let batch = cell.op.params.get("batch").and_then(serde_json::Value::as_u64).unwrap_or(1).max(1);
    let tokens = u64::from(workload.tokens) * batch;
    let most = CHECKED_TOKENS.checked_div(tokens).map_or(CHECKED_REQUESTS, |requests| requests.max(1));
    u32::try_from(most).unwrap_or(u32::MAX).min(workload.pool)
}

/// A twin is the same cell under another name, so its blocks are of the same length, and made of the same figures.
fn same_blocks_for_twins(pool: &WorkerPool<'_>, journal: &mut Journal<'_>) {
    for (index, cell) in pool.plan.cells.iter().enumerate() {
        let Some(of) = &cell.twin_of else { continue };
        let original = pool.plan.cells.iter().position(|c| &c.id == of);
        let (loops, found) =
            original.map_or((0, BTreeMap::new()), |i| (journal.cells[i].loops, journal.cells[i].found.clone()));
        if loops > 0 && journal.cells[index].loops > 0 {
            journal.cells[index].loops = loops;
            journal.cells[index].found = found;
        }
    }
}
