//! Turns a plan into measurements: calibration and checks, then runs of shuffled blocks until a rule says stop.
//!
//! One worker is active at a time. Samples are appended as blocks end; a run counts when it is complete.

mod calibrate;
mod checks;
pub mod interrupt;
mod journal;
mod observer;
mod pool;
mod resume;
mod run;
pub mod schedule;
mod stretch;
pub mod subject;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use benchstats::stopping::{Decision, Looks};
use thiserror::Error;

use crate::interrupt::Interrupt;
use record::folder::{FolderError, RunFolder};
use record::measurements::Measurements;
use record::plan::Plan;
use record::protocol::{Inputs, ModelPaths};
use record::results::RunInfo;
use record::samples::{Event, SamplesError, SamplesWriter};

use journal::Journal;
pub use observer::{Observer, Progress, Silent};
use pool::{Halt, WorkerPool};
pub use resume::Identity;

/// What [`measure`] works with.
pub struct Job<'a> {
    /// A resumed measurement works with the plan that stands in `run.json`, with this plan's programs and environment.
    pub plan: &'a Plan,
    /// A folder whose `run.json` is written; its `loops`, `subjects`, `wall_s`, `stopped` and `warnings` are filled in here.
    pub folder: &'a RunFolder,
    /// Workload id to its files.
    pub inputs: &'a dyn Fn(&str) -> Inputs,
    pub model: &'a ModelPaths,
    pub interrupt: &'a Interrupt,
    pub options: Options,
}

/// How [`measure`] works.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Go on with the runs of the folder; what is compared before that.
    pub resume: Option<Identity>,
    pub limits: Limits,
}

/// Times that bound or shape the work.
#[derive(Debug, Clone)]
pub struct Limits {
    /// From a worker's start to `ready`.
    pub hello: Duration,
    /// For `prepare` where the worker does not say what it may take, for `dump`, and for a block of which nothing is known: no word of the
    /// worker, and no call that the calibration has timed.
    pub prepare: Duration,
    /// A block of timed calls whose worker does not say what it may take: this, or [`Limits::block_factor`] times what the calibration measured if
    /// that is more.
    pub block_min: Duration,
    pub block_factor: f64,
    /// On top of what a worker says: its answer has to be written and read.
    pub grace: Duration,
    /// Workers of a subject that may die in a row, without a block that worked between, before its cells are given up for the run. One
    /// that was late is not counted: it costs its cell alone.
    pub restarts: u32,
    /// The same in the calibration, which meets every cell that kills a worker.
    pub calibration_restarts: u32,
    /// Runs in a row in which a cell may fail before it is visited no more. Each costs at most what its worker said that a block may take.
    pub failed_runs: u32,
    /// Warm-up of a cell when it is prepared, ns (at least one call).
    pub warmup_ns: u64,
    /// Untimed calls before a block, ns (at least one call) …
    pub settle_ns: u64,
    /// … unless one call lasts longer than this, ns: then the caches that another process left cold are a small part of it,
    /// and a settling call would double the time of the block.
    pub settle_below_ns: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(120),
            prepare: Duration::from_secs(180),
            block_min: Duration::from_secs(10),
            block_factor: 20.0,
            grace: Duration::from_secs(10),
            restarts: 2,
            calibration_restarts: 5,
            failed_runs: 2,
            warmup_ns: 10_000_000,
            settle_ns: 1_000_000,
            settle_below_ns: 5_000_000,
        }
    }
}

/// Why the runs ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Enough comparisons are precise enough.
    Target,
    /// The time is used up.
    Budget,
    /// The most runs that the plan allows.
    Runs,
    Interrupted,
    /// No cell is left that could be measured.
    NothingLeft,
}

impl Stopped {
    /// As it stands in `run.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Budget => "budget",
            Self::Runs => "runs",
            Self::Interrupted => "interrupted",
            Self::NothingLeft => "nothing left",
        }
    }
}

/// What [`measure`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub stopped: Stopped,
    /// Complete runs in the folder.
    pub runs: u32,
    /// As they were added to `run.json`.
    pub warnings: Vec<String>,
}

/// Why measuring ended before its time. What was appended until then is kept.
#[derive(Debug, Error)]
pub enum MeasureError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Samples(#[from] SamplesError),
    #[error("{0}")]
    Plan(String),
    #[error("{run} cannot be resumed: {reason}")]
    Resume { run: String, reason: String },
}

impl MeasureError {
    /// True when the device is full; the complete runs can still be read.
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Folder(error) => error.is_no_space(),
            Self::Samples(error) => error.is_no_space(),
            Self::Plan(_) | Self::Resume { .. } => false,
        }
    }
}

/// Measures the plan: calibration, then runs.
///
/// `look` is asked at each of `plan.runs.looks` for the relative half-widths of the comparisons' intervals; a figure that is
/// not finite counts as not precise enough.
///
/// # Errors
/// [`MeasureError`] when a file of the folder cannot be read or written, or the folder cannot be resumed. Failures of workers
/// and cells are no errors here: they are the status of cells in the [`Measurements`].
pub fn measure(
    job: &Job<'_>,
    observer: &mut dyn Observer,
    look: &mut dyn FnMut(&Measurements) -> Vec<f64>,
) -> Result<Outcome, MeasureError> {
    let mut info = job.folder.read_info()?;
    let (plan, restored, mut warnings) = match &job.options.resume {
        Some(identity) => resume::open(job, identity, &info)?,
        None => (job.plan.clone(), None, Vec::new()),
    };
    check_plan(&plan)?;
    for warning in &warnings {
        observer.observe(Progress::Warning(warning));
    }
    info.stopped = None;
    info.warnings.extend(warnings.iter().cloned());
    job.folder.write_info(&info)?;

    let path = job.folder.samples_path();
    let writer =
        if job.options.resume.is_some() { SamplesWriter::resume(&path)? } else { SamplesWriter::create(&path)? };
    let mut journal = Journal::new(&plan, writer, observer);
    let mut session = Session { job, plan: &plan, info, complete: BTreeMap::new(), elapsed: Duration::ZERO };
    let result = session.work(&mut journal, restored, look);
    let flushed = journal.flush();
    let stopped = match result {
        Ok(stopped) => stopped,
        Err(Halt::Interrupted) => Stopped::Interrupted,
        Err(Halt::Failed(error)) => return Err(error),
    };
    flushed?;
    session.finish(stopped, &journal)?;
    warnings.append(&mut journal.warnings);
    Ok(Outcome { stopped, runs: session.complete.len() as u32, warnings })
}

/// One call of [`measure`].
struct Session<'a> {
    job: &'a Job<'a>,
    plan: &'a Plan,
    info: RunInfo,
    /// Complete runs: wall and busy time, ns.
    complete: BTreeMap<u32, (u64, u64)>,
    /// Time spent on calibration and complete runs, also before a resume.
    elapsed: Duration,
}

impl Session<'_> {
    fn work(
        &mut self,
        journal: &mut Journal<'_>,
        restored: Option<resume::Restored>,
        look: &mut dyn FnMut(&Measurements) -> Vec<f64>,
    ) -> Result<Stopped, Halt> {
        match restored {
            Some(restored) => {
                self.complete = restored.complete;
                self.elapsed = restored.elapsed;
                journal.cells = restored.cells;
            }
            None => self.calibrate(journal)?,
        }
        let looks = Looks {
            looks: self.plan.runs.looks.clone(),
            target_share: self.plan.runs.target_share,
            target_half_width: self.plan.runs.target_half_width,
        };
        let budget = Duration::try_from_secs_f64(self.plan.runs.budget_s.max(0.0)).unwrap_or(Duration::MAX);
        let most = looks.looks.last().copied().unwrap_or(0);
        loop {
            let done = self.complete.len() as u32;
            if let Some(index) = looks.looks.iter().position(|&n| n == done) {
                journal.flush()?;
                let widths = look(&Measurements::read(self.job.folder).map_err(MeasureError::from)?);
                match looks.decide(index, &widths, self.elapsed, budget) {
                    Decision::Continue => {}
                    Decision::Target => return Ok(Stopped::Target),
                    Decision::Budget => return Ok(Stopped::Budget),
                    Decision::Runs => return Ok(Stopped::Runs),
                }
            }
            if done >= most {
                return Ok(Stopped::Runs);
            }
            if journal.nothing_left() {
                return Ok(Stopped::NothingLeft);
            }
            if self.elapsed >= budget {
                return Ok(Stopped::Budget);
            }
            if self.job.interrupt.is_set() {
                return Err(Halt::Interrupted);
            }
            let run = (0..).find(|run| !self.complete.contains_key(run)).unwrap_or(done);
            self.run(run, most, journal)?;
        }
    }

    fn calibrate(&mut self, journal: &mut Journal<'_>) -> Result<(), Halt> {
        let start = Instant::now();
        journal.write(&Event::CalibrationStart)?;
        let pool = WorkerPool::new(self.job, self.plan, crate::schedule::CALIBRATION);
        self.info.subjects = calibrate::calibrate(pool, journal)?;
        let wall = start.elapsed();
        journal.write(&Event::CalibrationComplete { wall_ns: wall.as_nanos() as u64 })?;
        journal.flush()?;
        self.elapsed += wall;
        self.info.wall_s.insert("calibration".to_owned(), wall.as_secs_f64());
        self.info.loops = journal.loops();
        self.job.folder.write_info(&self.info).map_err(MeasureError::from)?;
        Ok(())
    }

    fn run(&mut self, run: u32, most: u32, journal: &mut Journal<'_>) -> Result<(), Halt> {
        let start = Instant::now();
        journal.write(&Event::RunStart { run })?;
        journal.observe(Progress::RunStart { run, of: most });
        journal.begin_run();
        let mut pool = WorkerPool::new(self.job, self.plan, run);
        let pace = run::Pace::new(self.complete.values(), most - self.complete.len() as u32);
        run::run(&mut pool, run, pace, journal)?;
        let busy_ns = pool.busy_ns;
        pool.end();
        journal.end_run(run, self.job.options.limits.failed_runs)?;
        let wall = start.elapsed();
        let wall_ns = wall.as_nanos() as u64;
        journal.write(&Event::RunComplete { run, wall_ns, busy_ns })?;
        journal.flush()?;
        self.elapsed += wall;
        self.complete.insert(run, (wall_ns, busy_ns));
        journal.observe(Progress::RunDone { run, of: most, wall });
        Ok(())
    }

    fn finish(&mut self, stopped: Stopped, journal: &Journal<'_>) -> Result<(), MeasureError> {
        let wall: u64 = self.complete.values().map(|(wall, _)| wall).sum();
        let busy: u64 = self.complete.values().map(|(_, busy)| busy).sum();
        self.info.wall_s.insert("runs".to_owned(), wall as f64 / 1e9);
        if wall > 0 {
            self.info.wall_s.insert("busy_share".to_owned(), busy as f64 / wall as f64);
        }
        self.info.stopped = Some(stopped.as_str().to_owned());
        self.info.warnings.extend(journal.warnings.iter().cloned());
        Ok(self.job.folder.write_info(&self.info)?)
    }
}

/// What the runner takes for granted of a plan.
fn check_plan(plan: &Plan) -> Result<(), MeasureError> {
    let wrong = |text: String| Err(MeasureError::Plan(text));
    let looks = &plan.runs.looks;
    if looks.is_empty() || looks[0] == 0 || !looks.is_sorted_by(|a, b| a < b) {
        return wrong(format!("runs.looks must be numbers of runs that rise from at least 1, not {looks:?}"));
    }
    let mut ids = std::collections::BTreeSet::new();
    for cell in &plan.cells {
        if !ids.insert(&cell.id) {
            return wrong(format!("two cells of the plan are named {}", cell.id));
        }
        if !plan.subjects.iter().any(|s| s.id == cell.subject) {
            return wrong(format!("cell {} names subject {}, which the plan does not have", cell.id, cell.subject));
        }
        if !plan.workloads.iter().any(|w| w.id == cell.workload) {
            return wrong(format!("cell {} names workload {}, which the plan does not have", cell.id, cell.workload));
        }
    }
    Ok(())
}
