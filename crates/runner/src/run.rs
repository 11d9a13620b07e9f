//! One run: fresh workers, first calls, everything made ready, then the shuffled visits.

use crate::schedule::{Visit, blocks_of, run_schedule};
use record::plan::Timing;
use record::results::Status;
use record::samples::Event;

use super::calibrate::block_timeout;
use super::crew::{Block, BlockRequest, Crew, Halt};
use super::ledger::Ledger;
use super::load;
use super::observer::Progress;

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

/// Makes run `run` with a crew that was not started yet.
pub(super) fn run(crew: &mut Crew<'_>, run: u32, pace: Pace, ledger: &mut Ledger<'_>) -> Result<(), Halt> {
    let plan = crew.plan;
    let mut schedule = run_schedule(plan, run);
    schedule.thin(plan.runs.blocks, &blocks(crew, ledger));
    crew.start(ledger)?;
    for visit in &schedule.first {
        if ledger.cells[visit.cell].is_dropped() {
            continue;
        }
        // Nothing may have been called in the process of a first call, another first call included.
        crew.refresh(&plan.cells[visit.cell].subject, ledger)?;
        self::visit(crew, run, visit, ledger)?;
    }
    let of = schedule.prepare.len();
    for (done, &cell) in schedule.prepare.iter().enumerate() {
        if !ledger.cells[cell].is_dropped() {
            prepare(crew, cell, ledger)?;
        }
        ledger.observe(Progress::Prepared { cell: &plan.cells[cell].id, run, done: done + 1, of });
    }
    let of = schedule.visits.len();
    let expected: f64 = schedule.visits.iter().map(|v| expected_ns(crew, v.cell, ledger)).sum();
    let guess_s = expected * 1e-9 / GUESSED_SHARE;
    for (done, visit) in schedule.visits.iter().enumerate() {
        if !ledger.cells[visit.cell].is_dropped() {
            self::visit(crew, run, visit, ledger)?;
        }
        ledger.observe(Progress::VisitDone { cell: &plan.cells[visit.cell].id, run, done: done + 1, of });
        ledger.observe(Progress::SecondsLeft(pace.seconds_left(done + 1, of, guess_s)));
    }
    Ok(())
}

/// In how many rounds each cell is visited, from what the calibration found.
fn blocks(crew: &Crew<'_>, ledger: &Ledger<'_>) -> Vec<u32> {
    let rounds = crew.plan.runs.blocks;
    let of = |cell: usize| match crew.plan.cells[cell].timing {
        Timing::First | Timing::Load { .. } => rounds,
        Timing::Window { window_ns } => blocks_of(rounds, crew.plan.cells[cell].target_ns, window_ns as f64),
        Timing::Loop | Timing::Each => blocks_of(
            rounds,
            crew.plan.cells[cell].target_ns,
            call_ns(crew, cell, ledger) * ledger.cells[cell].loops as f64,
        ),
    };
    (0..crew.plan.cells.len()).map(of).collect()
}

/// Makes a cell ready, and looks whether its first output is still the one of the calibration.
fn prepare(crew: &mut Crew<'_>, cell: usize, ledger: &mut Ledger<'_>) -> Result<(), Halt> {
    // A server is checked while it is driven; starting it here as well would take the time twice.
    let is_server = matches!(crew.plan.cells[cell].timing, Timing::Load { .. });
    let check = u32::from(!ledger.cells[cell].hashes.is_empty() && !is_server);
    if let Some(hashes) = crew.prepare(cell, check, ledger)? {
        compare(crew, cell, &hashes, 0, ledger)?;
    }
    Ok(())
}

fn visit(crew: &mut Crew<'_>, run: u32, visit: &Visit, ledger: &mut Ledger<'_>) -> Result<(), Halt> {
    let limits = &crew.job.options.limits;
    let state = &ledger.cells[visit.cell];
    let timing = &crew.plan.cells[visit.cell].timing;
    let settle_ns = match timing {
        Timing::First | Timing::Load { .. } => 0,
        _ if call_ns(crew, visit.cell, ledger) > limits.settle_below_ns as f64 => 0,
        _ => limits.settle_ns,
    };
    let how = BlockRequest {
        block: visit.block,
        loops: state.loops.max(1),
        offset: visit.offset,
        settle_ns,
        timeout: block_timeout(crew, expected_ns(crew, visit.cell, ledger)),
        load: load::order(crew.plan, visit.cell, &ledger.cells, run),
    };
    let Some(block) = crew.block(visit.cell, how, ledger)? else {
        return Ok(ledger.flush()?);
    };
    let Block { samples, hashes } = block;
    for sample in samples {
        ledger.write(&Event::Sample { run, sample })?;
    }
    // A server's check covers its first requests, a first call's the request it was made with.
    let checked = if matches!(crew.plan.cells[visit.cell].timing, Timing::Load { .. }) { 0 } else { visit.offset };
    compare(crew, visit.cell, &hashes, checked, ledger)?;
    Ok(ledger.flush()?)
}

/// Compares the hash of request `offset` with the one of the calibration, where both are known.
fn compare(crew: &Crew<'_>, cell: usize, hashes: &[String], offset: u64, ledger: &mut Ledger<'_>) -> Result<(), Halt> {
    let calibrated = usize::try_from(offset).ok().and_then(|i| ledger.cells[cell].hashes.get(i));
    if let (Some(hash), Some(before)) = (hashes.first(), calibrated)
        && hash != before
        && ledger.cells[cell].status != Some(Status::Mismatch)
    {
        let message = format!("the output of request {offset} is not the one of the calibration");
        ledger.set_status(cell, crew.run(), Status::Mismatch, &message)?;
    }
    Ok(())
}

/// Time of a call in its thread, ns; rough.
fn call_ns(crew: &Crew<'_>, cell: usize, ledger: &Ledger<'_>) -> f64 {
    let threads = match crew.plan.cells[cell].timing {
        Timing::Window { .. } => f64::from(crew.plan.cells[cell].op.threads.max(1)),
        _ => 1.0,
    };
    ledger.cells[cell].ns_per_call * threads
}

/// How long a block should take, ns.
fn expected_ns(crew: &Crew<'_>, cell: usize, ledger: &Ledger<'_>) -> f64 {
    let limits = &crew.job.options.limits;
    let call = call_ns(crew, cell, ledger);
    let timed = match crew.plan.cells[cell].timing {
        Timing::Window { window_ns } => window_ns as f64 + call,
        Timing::Load { span_ns, .. } => span_ns as f64 + load::START_NS,
        _ => call * ledger.cells[cell].loops as f64,
    };
    timed + limits.settle_ns as f64
}
