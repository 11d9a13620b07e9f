//! Going on with the runs of a folder: only with the same plan, binary and packages.

use std::collections::BTreeMap;
use std::time::Duration;

use record::hash::plan_sha256;
use record::measurements::{CellData, Measurements};
use record::plan::Plan;
use record::results::RunInfo;

use super::journal::CellState;
use super::{Job, MeasureError};

/// What must be the same before runs are added to those of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// SHA-256 of the running binary.
    pub binary_sha256: String,
    /// Linux boot id; another one is a warning.
    pub boot_id: Option<String>,
}

/// What stands from before.
pub(super) struct Restored {
    pub(super) cells: Vec<CellState>,
    /// Complete runs: wall and busy time, ns.
    pub(super) complete: BTreeMap<u32, (u64, u64)>,
    /// Calibration and complete runs.
    pub(super) elapsed: Duration,
}

/// The plan to go on with, what stands (none if the calibration was not completed), and warnings.
type Opened = (Plan, Option<Restored>, Vec<String>);

/// Compares the folder with the job.
pub(super) fn open(job: &Job<'_>, identity: &Identity, info: &RunInfo) -> Result<Opened, MeasureError> {
    let refuse = |reason: String| MeasureError::Resume { run: job.folder.run_id(), reason };
    if identity.binary_sha256 != info.binary_sha256 {
        return Err(refuse(format!(
            "it was measured by another build of llmbench ({}, binary {}; this is binary {}); start a new run",
            info.llmbench,
            short(&info.binary_sha256),
            short(&identity.binary_sha256)
        )));
    }
    for spec in &job.plan.subjects {
        let before = info.plan.subjects.iter().find(|s| s.id == spec.id);
        if let Some(before) = before
            && before.lock != spec.lock
        {
            let show = |lock: &Option<String>| lock.as_deref().map_or("none", short).to_owned();
            return Err(refuse(format!(
                "the packages of {} are others (lock {} then, {} now); start a new run",
                spec.id,
                show(&before.lock),
                show(&spec.lock)
            )));
        }
    }
    let hash = plan_sha256(job.plan);
    if hash != info.plan_sha256 {
        return Err(refuse(format!(
            "its plan is another ({} then, {} now): {}; use the same options and seed, or start a new run",
            short(&info.plan_sha256),
            short(&hash),
            what_differs(&info.plan, job.plan)
        )));
    }
    let mut warnings = Vec::new();
    if let (Some(before), Some(now)) = (&info.boot_id, &identity.boot_id)
        && before != now
    {
        warnings.push(
            "the machine was restarted since the first runs; compare them with the later ones before you trust a small \
             difference"
                .to_owned(),
        );
    }
    // The inputs were rendered with the first timestamp. The programs may have moved.
    let plan = Plan { timestamp: info.plan.timestamp, ..job.plan.clone() };
    let restored = restore(job, &plan)?;
    Ok((plan, restored, warnings))
}

fn restore(job: &Job<'_>, plan: &Plan) -> Result<Option<Restored>, MeasureError> {
    let measured = Measurements::read(job.folder)?;
    if measured.calibration_ns == 0 {
        return Ok(None);
    }
    let state = |id: &str| {
        let cell = measured.cell(id)?;
        Some(CellState {
            status: cell.status,
            loops: cell.loops.unwrap_or(0),
            ns_per_call: cell.calibrated_ns_per_call.unwrap_or(0.0),
            hashes: cell.hashes.clone(),
            found: cell.found.clone(),
            lost: None,
            failed_runs: failed_runs(cell),
        })
    };
    let cells = plan.cells.iter().map(|cell| state(&cell.id).unwrap_or_default()).collect();
    let complete: BTreeMap<u32, (u64, u64)> =
        measured.runs.iter().map(|(&run, data)| (run, (data.wall_ns, data.busy_ns))).collect();
    let walls: u64 = complete.values().map(|(wall, _)| wall).sum();
    Ok(Some(Restored { cells, complete, elapsed: Duration::from_nanos(measured.calibration_ns + walls) }))
}

/// In how many runs in a row a cell failed last.
fn failed_runs(cell: &CellData) -> u32 {
    let worked = cell.runs.keys().rev().find(|run| !cell.failed.contains_key(run));
    cell.failed.keys().filter(|run| worked.is_none_or(|worked| *run > worked)).count() as u32
}

/// The parts of two plans that are not the same, in words.
fn what_differs(then: &Plan, now: &Plan) -> String {
    let ids = |plan: &Plan| plan.subjects.iter().map(|s| (s.id.clone(), s.unavailable.is_some())).collect::<Vec<_>>();
    let parts = [
        ("the seed", then.seed != now.seed),
        ("the suite", then.suite != now.suite),
        ("the profile", then.profile != now.profile),
        ("the model", then.model != now.model),
        ("the subjects", ids(then) != ids(now)),
        ("the workloads", then.workloads != now.workloads),
        ("the cells", then.cells != now.cells),
        ("the runs", then.runs != now.runs),
        ("the settings", then.settings != now.settings),
    ];
    let names: Vec<&str> = parts.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect();
    if names.is_empty() { "how the subjects are started".to_owned() } else { names.join(", ") }
}

fn short(hash: &str) -> &str {
    hash.get(..8).unwrap_or(hash)
}
