//! Cells whose server is driven with load: what they can carry is found once, and from it follow the rates of the others.

use sha2::{Digest, Sha256};

use record::plan::{Drive, Plan, Timing};
use record::protocol::LoadOrder;
use record::results::Status;
use record::samples::SamplesError;

use super::journal::{CellState, Journal};
use super::pool::{BlockRequest, Halt, WorkerPool};

/// Finds the capacity of a cell: `ns_per_call` is the inverse of the rate at the plateau, `loops` the concurrency there.
pub(super) fn find_capacity(
    pool: &mut WorkerPool<'_>,
    index: usize,
    span_ns: u64,
    journal: &mut Journal<'_>,
) -> Result<(), Halt> {
    let how = BlockRequest {
        block: 0,
        loops: 1,
        offset: 0,
        settle_ns: 0,
        timeout: pool.job.options.limits.prepare,
        load: Some(LoadOrder::Search { span_ns }),
    };
    let Some(block) = pool.block(index, how, journal)? else { return Ok(()) };
    let concurrency = block.samples.iter().find_map(|sample| sample.readings.get("concurrency")).copied();
    let state = &mut journal.cells[index];
    state.loops = concurrency.unwrap_or(1.0).max(1.0) as u64;
    state.ns_per_call = block.ns_per_call();
    state.hashes = block.hashes;
    Ok(())
}

/// Gives the cells with open-loop load their rates: `ns_per_call` is the mean time between arrivals, `loops` the number of
/// requests. A cell whose capacity could not be measured is passed over and says so.
pub(super) fn set_rates(plan: &Plan, journal: &mut Journal<'_>) -> Result<(), SamplesError> {
    for (index, cell) in plan.cells.iter().enumerate() {
        let Timing::Load { drive, span_ns } = &cell.timing else { continue };
        if journal.cells[index].is_dropped() {
            continue;
        }
        let (share, of) = match drive {
            Drive::Capacity | Drive::Closed { .. } | Drive::Open { .. } | Drive::Limit(_) => continue,
            Drive::Share { share, of } => (*share, std::slice::from_ref(of)),
            Drive::Common { share, of } => (*share, of.as_slice()),
        };
        let known = of.iter().filter_map(|id| plan.cells.iter().position(|cell| &cell.id == id));
        let slowest = known
            .map(|of| &journal.cells[of])
            .filter(|state| !state.is_dropped() && state.ns_per_call > 0.0)
            .max_by(|a, b| a.ns_per_call.total_cmp(&b.ns_per_call))
            .cloned();
        let Some(slowest) = slowest else {
            let message = "the capacity that its load is a share of could not be measured";
            journal.set_status(index, None, Status::Error, message)?;
            continue;
        };
        let state = &mut journal.cells[index];
        state.ns_per_call = slowest.ns_per_call / share;
        state.loops = ((*span_ns as f64 / state.ns_per_call).round() as u64).max(1);
    }
    Ok(())
}

/// How the server of a cell is driven in a run; none for a cell without one. All cells of a run get the same schedule of
/// arrivals, scaled by their rate.
pub(super) fn order(plan: &Plan, index: usize, cells: &[CellState], run: u32) -> Option<LoadOrder> {
    let Timing::Load { drive, span_ns } = &plan.cells[index].timing else { return None };
    let state = &cells[index];
    Some(match drive {
        Drive::Capacity => LoadOrder::Closed { concurrency: state.loops.max(1), span_ns: *span_ns },
        Drive::Share { .. } | Drive::Common { .. } => LoadOrder::Open {
            per_s: 1e9 / state.ns_per_call.max(1.0),
            requests: state.loops.max(1),
            seed: seed(plan.seed, run),
        },
        Drive::Closed { concurrency } => {
            LoadOrder::Closed { concurrency: u64::from((*concurrency).max(1)), span_ns: *span_ns }
        }
        Drive::Open { per_s } => LoadOrder::Open {
            per_s: *per_s,
            requests: ((per_s * *span_ns as f64 / 1e9).round() as u64).max(1),
            seed: seed(plan.seed, run),
        },
        Drive::Limit(search) => LoadOrder::Limit { search: *search, span_ns: *span_ns, seed: seed(plan.seed, run) },
    })
}

fn seed(plan: u64, run: u32) -> u64 {
    let mut hash = Sha256::new();
    hash.update(b"llmbench arrivals 1\0");
    hash.update(plan.to_le_bytes());
    hash.update(run.to_le_bytes());
    let hash = hash.finalize();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use record::plan::RateSearch;

    fn ordered(drive: &Drive, run: u32) -> LoadOrder {
        let cell = json!({
            "id": "a", "experiment_id": 1, "experiment": "e", "subject": "s", "strategy": "", "cache": "warm", "axes": {}, "workload": "w",
            "op": {"name": "ask", "engine": "server", "call_path": "stream", "threads": 1},
            "timing": {"kind": "load", "drive": drive, "span_ns": 2_000_000_000_u64},
            "check": null, "twin_of": null, "target_ns": 1
        });
        let plan = json!({
            "schema": 1, "suite": "serving", "profile": "quick", "seed": 7, "timestamp": 0, "subjects": [], "workloads": [], "cells": [cell],
            "model": {"name": "m", "sha256": ""}, "settings": {},
            "runs": {"looks": [1], "target_share": 1.0, "target_half_width": 1.0, "budget_s": 1.0, "blocks": 1}
        });
        let plan: Plan = serde_json::from_value(plan).unwrap();
        order(&plan, 0, &[CellState::default()], run).unwrap()
    }

    #[test]
    fn given_loads_need_no_calibration_and_all_cells_of_a_run_have_one_schedule() {
        let closed = ordered(&Drive::Closed { concurrency: 20 }, 0);
        assert_eq!(closed, LoadOrder::Closed { concurrency: 20, span_ns: 2_000_000_000 });
        let LoadOrder::Open { per_s, requests, seed } = ordered(&Drive::Open { per_s: 2.5 }, 3) else { panic!() };
        assert_eq!((per_s, requests), (2.5, 5));
        let search = RateSearch { lowest: 1.0, highest: 8.0, start: 2.0, resolution: 0.1 };
        let limit = ordered(&Drive::Limit(search), 3);
        assert_eq!(limit, LoadOrder::Limit { search, span_ns: 2_000_000_000, seed });
        assert_ne!(limit, ordered(&Drive::Limit(search), 4));
    }
}
