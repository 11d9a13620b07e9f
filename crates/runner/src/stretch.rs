//! Cells that their worker measures in one stretch a run: what the calibration finds for them, and what they are told of it. What the figures mean
//! is between the suite that plans a cell and the worker that measures it.

use std::collections::BTreeMap;

use record::plan::{Plan, Timing};
use record::protocol::Stretch;
use record::results::Status;
use record::samples::SamplesError;

use super::journal::{CellState, Journal};
use super::pool::{BlockRequest, Halt, WorkerPool};

/// Makes the block of a cell from which the calibration learns its figures: the readings of the block.
pub(super) fn find(pool: &mut WorkerPool<'_>, index: usize, journal: &mut Journal<'_>) -> Result<(), Halt> {
    let how = BlockRequest {
        block: 0,
        loops: 1,
        offset: 0,
        settle_ns: 0,
        timeout: pool.job.options.limits.prepare,
        stretch: Some(Stretch { seed: None, found: BTreeMap::new() }),
    };
    let Some(block) = pool.block(index, how, journal)? else { return Ok(()) };
    let state = &mut journal.cells[index];
    state.loops = 1;
    state.ns_per_call = block.ns_per_call();
    for sample in block.samples {
        state.found.extend(sample.readings);
    }
    state.hashes = block.hashes;
    Ok(())
}

/// After the calibration: a cell of which nothing was found that it needs is passed over and says so.
pub(super) fn check_needs(plan: &Plan, journal: &mut Journal<'_>) -> Result<(), SamplesError> {
    for state in journal.cells.iter_mut().filter(|state| state.is_dropped()) {
        state.found.clear();
    }
    for (index, cell) in plan.cells.iter().enumerate() {
        let Timing::Stretch { needs, .. } = &cell.timing else { continue };
        if needs.is_empty() || journal.cells[index].is_dropped() || !found(plan, needs, &journal.cells).is_empty() {
            continue;
        }
        let of = if let [one] = needs.as_slice() { one.clone() } else { format!("any of {}", needs.join(", ")) };
        let message = format!("it needs what the calibration finds of {of}, and that could not be measured");
        journal.set_status(index, None, Status::Error, &message)?;
    }
    Ok(())
}

/// What the worker of a cell is told in a run; none for a cell that is timed otherwise.
pub(super) fn told(plan: &Plan, index: usize, cells: &[CellState], seed: u64) -> Option<Stretch> {
    let cell = &plan.cells[index];
    let Timing::Stretch { needs, .. } = &cell.timing else { return None };
    let mut found = found(plan, needs, cells);
    if !cells[index].found.is_empty() {
        found.insert(cell.id.clone(), cells[index].found.clone());
    }
    Some(Stretch { seed: Some(seed), found })
}

fn found(plan: &Plan, needs: &[String], cells: &[CellState]) -> BTreeMap<String, BTreeMap<String, f64>> {
    let needed =
        plan.cells.iter().zip(cells).filter(|(cell, state)| needs.contains(&cell.id) && !state.found.is_empty());
    needed.map(|(cell, state)| (cell.id.clone(), state.found.clone())).collect()
}
