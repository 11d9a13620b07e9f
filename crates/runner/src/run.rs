//! One run: fresh workers, first calls, everything made ready, then the shuffled visits.

use crate::schedule::{Visit, blocks_of, run_schedule, stretch_seed};
use record::plan::Timing;
use record::results::Status;
use record::samples::Event;

use super::calibrate::block_timeout;
use super::journal::Journal;
use super::observer::Progress;
use super::pool::{Block, BlockRequest, Halt, WorkerPool};
use super::stretch;

/// Share of a run's wall time that is taken to be inside blocks before a run has shown it.
const GUESSED_SHARE: f64 = 0.7;

/// How fast runs go, to foretell the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Mean wall time of the complete runs, s.
    run_s: Option<f64>,
    /// Runs left, with this one.
    left: u32,
}

impl Pace {
    /// `complete`: wall and busy time of the runs so far, ns.
    pub(super) fn new<'a>(complete: impl ExactSizeIterator<Item = &'a (u64, u64)>, left: u32) -> Self {
        let n = complete.len();
        let sum: u64 = complete.map(|(wall, _)| wall).sum();
        Self { run_s: (n > 0).then(|| sum as f64 / n as f64 / 1e9), left }
    }

    fn seconds_left(&self, done: usize, of: usize, guess_s: f64) -> f64 {
        let run_s = self.run_s.unwrap_or(guess_s);
        run_s * (f64::from(self.left) - done as f64 / of.max(1) as f64)
    }
}

/// Makes run `run` with a pool that was not started yet.
pub(super) fn run(pool: &mut WorkerPool<'_>, run: u32, pace: Pace, journal: &mut Journal<'_>) -> Result<(), Halt> {
    let plan = pool.plan;
    let mut schedule = run_schedule(plan, run);
    schedule.thin(plan.runs.blocks, &blocks(pool, journal));
    pool.start(journal)?;
    for visit in &schedule.first {
        if journal.cells[visit.cell].is_dropped() {
            continue;
        }
        // Nothing may have been called in the process of a first call, another first call included.
        pool.refresh(&plan.cells[visit.cell].subject, journal)?;
        self::visit(pool, run, visit, journal)?;
    }
    let of = schedule.prepare.len();
    for (done, &cell) in schedule.prepare.iter().enumerate() {
        if !journal.cells[cell].is_dropped() {
            prepare(pool, cell, journal)?;
        }
        journal.observe(Progress::Prepared { cell: &plan.cells[cell].id, run, done: done + 1, of });
    }
    let of = schedule.visits.len();
    let expected: f64 = schedule.visits.iter().map(|v| expected_ns(pool, v.cell, journal)).sum();
    let guess_s = expected * 1e-9 / GUESSED_SHARE;
    for (done, visit) in schedule.visits.iter().enumerate() {
        if !journal.cells[visit.cell].is_dropped() {
            self::visit(pool, run, visit, journal)?;
        }
        journal.observe(Progress::VisitDone { cell: &plan.cells[visit.cell].id, run, done: done + 1, of });
        journal.observe(Progress::SecondsLeft(pace.seconds_left(done + 1, of, guess_s)));
    }
    Ok(())
}

/// In how many rounds each cell is visited, from what the calibration found.
fn blocks(pool: &WorkerPool<'_>, journal: &Journal<'_>) -> Vec<u32> {
    let rounds = pool.plan.runs.blocks;
    let of = |cell: usize| match pool.plan.cells[cell].timing {
        Timing::First | Timing::Stretch { .. } => rounds,
        Timing::Window { window_ns } => blocks_of(rounds, pool.plan.cells[cell].target_ns, window_ns as f64),
        Timing::Loop | Timing::Each => blocks_of(
            rounds,
            pool.plan.cells[cell].target_ns,
            call_ns(pool, cell, journal) * journal.cells[cell].loops as f64,
        ),
    };
    (0..pool.plan.cells.len()).map(of).collect()
}

/// Makes a cell ready, and looks whether its first output is still the one of the calibration.
fn prepare(pool: &mut WorkerPool<'_>, cell: usize, journal: &mut Journal<'_>) -> Result<(), Halt> {
    // A stretch is checked while it lasts; making its first requests here as well would take the time twice.
    let is_stretch = matches!(pool.plan.cells[cell].timing, Timing::Stretch { .. });
    let check = u32::from(!journal.cells[cell].hashes.is_empty() && !is_stretch);
    if let Some(hashes) = pool.prepare(cell, check, journal)? {
        compare(pool, cell, &hashes, 0, journal)?;
    }
    Ok(())
}

fn visit(pool: &mut WorkerPool<'_>, run: u32, visit: &Visit, journal: &mut Journal<'_>) -> Result<(), Halt> {
    let limits = &pool.job.options.limits;
    let state = &journal.cells[visit.cell];
    let timing = &pool.plan.cells[visit.cell].timing;
    let settle_ns = match timing {
        Timing::First | Timing::Stretch { .. } => 0,
        _ if call_ns(pool, visit.cell, journal) > limits.settle_below_ns as f64 => 0,
        _ => limits.settle_ns,
    };
    let how = BlockRequest {
        block: visit.block,
        loops: state.loops.max(1),
        offset: visit.offset,
        settle_ns,
        timeout: match timing {
            // Only its worker can know.
            Timing::Stretch { .. } => limits.prepare,
            _ => block_timeout(pool, expected_ns(pool, visit.cell, journal)),
        },
        stretch: stretch::told(pool.plan, visit.cell, &journal.cells, stretch_seed(pool.plan.seed, run)),
    };
    let Some(block) = pool.block(visit.cell, how, journal)? else {
        return Ok(journal.flush()?);
    };
    let Block { samples, hashes } = block;
    for sample in samples {
        journal.write(&Event::Sample { run, sample })?;
    }
    // A stretch's check covers its first requests, a first call's the request it was made with.
    let checked = if matches!(pool.plan.cells[visit.cell].timing, Timing::Stretch { .. }) { 0 } else { visit.offset };
    compare(pool, visit.cell, &hashes, checked, journal)?;
    Ok(journal.flush()?)
}

/// Compares the hash of request `offset` with the one of the calibration, where both are known.
fn compare(
    pool: &WorkerPool<'_>,
    cell: usize,
    hashes: &[String],
    offset: u64,
    journal: &mut Journal<'_>,
) -> Result<(), Halt> {
    let calibrated = usize::try_from(offset).ok().and_then(|i| journal.cells[cell].hashes.get(i));
    if let (Some(hash), Some(before)) = (hashes.first(), calibrated)
        && hash != before
        && journal.cells[cell].status != Some(Status::Mismatch)
    {
        let message = format!("the output of request {offset} is not the one of the calibration");
        journal.set_status(cell, pool.run(), Status::Mismatch, &message)?;
    }
    Ok(())
}

/// Time of a call in its thread, ns; rough.
fn call_ns(pool: &WorkerPool<'_>, cell: usize, journal: &Journal<'_>) -> f64 {
    let threads = match pool.plan.cells[cell].timing {
        Timing::Window { .. } => f64::from(pool.plan.cells[cell].op.threads.max(1)),
        _ => 1.0,
    };
    journal.cells[cell].ns_per_call * threads
}

/// How long a block should take, ns.
fn expected_ns(pool: &WorkerPool<'_>, cell: usize, journal: &Journal<'_>) -> f64 {
    let limits = &pool.job.options.limits;
    let call = call_ns(pool, cell, journal);
    let timed = match pool.plan.cells[cell].timing {
        Timing::Window { window_ns } => window_ns as f64 + call,
        Timing::Stretch { span_ns, .. } => span_ns as f64,
        _ => call * journal.cells[cell].loops as f64,
    };
    timed + limits.settle_ns as f64
}
