//! The workers of a run (or of the calibration): started together, asked one at a time, restarted when they fail.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::schedule::{CALIBRATION, launch};
use crate::subject::{Subject, SubjectError};
use record::measurements::sound;
use record::plan::{Cell, Plan, SubjectSpec, Timing};
use record::protocol::{Answer, ErrorKind, Output, Ready, Request, Sample, Stretch};
use record::results::Status;
use record::samples::{Event, SamplesError, WorkerEvent};

use super::journal::Journal;
use super::observer::Progress;
use super::{Job, MeasureError};

/// Why the work stops.
#[derive(Debug)]
pub(super) enum Halt {
    Interrupted,
    Failed(MeasureError),
}

impl From<MeasureError> for Halt {
    fn from(error: MeasureError) -> Self {
        Self::Failed(error)
    }
}

impl From<SamplesError> for Halt {
    fn from(error: SamplesError) -> Self {
        Self::Failed(error.into())
    }
}

/// What a block brought.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) samples: Vec<Sample>,
    /// Of a `first` cell the hash of the call's result, of a `stretch` cell those of its first requests.
    pub(super) hashes: Vec<String>,
}

impl Block {
    /// Mean over the samples, ns a call.
    pub(super) fn ns_per_call(&self) -> f64 {
        self.samples.iter().map(Sample::ns_per_call).sum::<f64>() / self.samples.len() as f64
    }
}

/// How a block is made.
#[derive(Debug, Clone)]
pub(super) struct BlockRequest {
    pub(super) block: u32,
    pub(super) loops: u64,
    pub(super) offset: u64,
    pub(super) settle_ns: u64,
    pub(super) timeout: Duration,
    /// Of a `stretch` cell.
    pub(super) stretch: Option<Stretch>,
}

/// A subject in this run.
struct Member<'a> {
    spec: &'a SubjectSpec,
    engines: Vec<String>,
    worker: Option<Subject>,
    /// Cells that are ready in the present process, and how long it says that a block of each may take.
    prepared: BTreeMap<usize, Option<Duration>>,
    /// How long the present process says that making a cell ready may take.
    prepare_limit: Option<Duration>,
    /// Something was asked of the present process.
    used: bool,
    /// Starts so far; part of the seed of the next start's environment.
    starts: u32,
    /// Deaths since a block worked.
    failures: u32,
    given_up: bool,
}

/// All subjects of the plan that can be had.
pub(super) struct WorkerPool<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) plan: &'a Plan,
    /// The run's number, or [`CALIBRATION`].
    run: u32,
    restarts: u32,
    members: BTreeMap<&'a str, Member<'a>>,
    /// What the workers said of themselves.
    pub(super) ready: BTreeMap<String, Ready>,
    /// Time in timed blocks and warm-up, ns.
    pub(super) busy_ns: u64,
}

impl<'a> WorkerPool<'a> {
    pub(super) fn new(job: &'a Job<'a>, plan: &'a Plan, run: u32) -> Self {
        let limits = &job.options.limits;
        let restarts = if run == CALIBRATION { limits.calibration_restarts } else { limits.restarts };
        let members = plan.subjects.iter().filter(|spec| spec.unavailable.is_none());
        let members = members.map(|spec| (spec.id.as_str(), Member::new(spec, plan))).collect();
        Self { job, plan, run, restarts, members, ready: BTreeMap::new(), busy_ns: 0 }
    }

    pub(super) fn run(&self) -> Option<u32> {
        (self.run != CALIBRATION).then_some(self.run)
    }

    /// Starts all subjects that have cells left, side by side, and waits until they are ready.
    pub(super) fn start(&mut self, journal: &mut Journal<'_>) -> Result<(), Halt> {
        let ids: Vec<&str> = self.members.keys().copied().filter(|id| !journal.live(id).is_empty()).collect();
        for &id in &ids {
            self.spawn(id, journal)?;
        }
        for &id in &ids {
            self.greet(id, journal)?;
        }
        for id in ids {
            self.worker(id, journal)?;
        }
        Ok(())
    }

    /// Replaces the worker of a subject, unless nothing was asked of it yet.
    pub(super) fn refresh(&mut self, subject: &str, journal: &mut Journal<'_>) -> Result<(), Halt> {
        let Some(member) = self.members.get_mut(subject) else { return Ok(()) };
        if member.used {
            if let Some(worker) = member.worker.take() {
                worker.end();
            }
            self.spawn(subject, journal)?;
            self.greet(subject, journal)?;
        }
        Ok(())
    }

    /// Makes a cell ready in the present process. Returns its checks, or none when the cell cannot be used any more.
    pub(super) fn prepare(
        &mut self,
        index: usize,
        check: u32,
        journal: &mut Journal<'_>,
    ) -> Result<Option<Vec<String>>, Halt> {
        let cell = &self.plan.cells[index];
        let warmup_ns = if cell.timing == Timing::First { 0 } else { self.job.options.limits.warmup_ns };
        let request = Request::Prepare {
            cell_id: cell.id.clone(),
            op: cell.op.clone(),
            timing: cell.timing.clone(),
            inputs: (self.job.inputs)(&cell.workload),
            check,
            warmup_ns,
        };
        let (mut hashes, mut limit) = (Vec::new(), None);
        let done = self.request(index, &request, None, journal, &mut |answer| match answer {
            Answer::Check { hashes: some, .. } => hashes.extend(some),
            Answer::Done { limit_ns, .. } => limit = limit_ns.map(Duration::from_nanos),
            _ => {}
        })?;
        if done && let Some(member) = self.members.get_mut(cell.subject.as_str()) {
            member.prepared.insert(index, limit);
        }
        Ok(done.then_some(hashes))
    }

    pub(super) fn is_prepared(&self, index: usize) -> bool {
        self.members.get(self.plan.cells[index].subject.as_str()).is_some_and(|m| m.prepared.contains_key(&index))
    }

    /// Makes a block; prepares the cell before it if the worker is a new one. None when the cell cannot be used any more.
    pub(super) fn block(
        &mut self,
        index: usize,
        how: BlockRequest,
        journal: &mut Journal<'_>,
    ) -> Result<Option<Block>, Halt> {
        if !self.is_prepared(index) && self.prepare(index, 0, journal)?.is_none() {
            return Ok(None);
        }
        let cell = &self.plan.cells[index];
        let request = Request::Block {
            cell_id: cell.id.clone(),
            block: how.block,
            loops: how.loops,
            offset: how.offset,
            settle_ns: how.settle_ns,
            stretch: how.stretch,
        };
        let mut block = Block::default();
        let declared = self.members.get(cell.subject.as_str()).and_then(|member| *member.prepared.get(&index)?);
        let timeout = declared.map_or(how.timeout, |limit| limit + self.job.options.limits.grace);
        let done = self.request(index, &request, Some(timeout), journal, &mut |answer| match answer {
            Answer::Sample(sample) => block.samples.push(sample),
            Answer::Check { hashes, .. } => block.hashes.extend(hashes),
            _ => {}
        })?;
        if !done {
            return Ok(None);
        }
        if let Err(detail) = check_samples(&block.samples, how.block) {
            let message = format!("the worker's samples cannot be used: {detail}");
            journal.set_status(index, self.run(), Status::Error, &message)?;
            return Ok(None);
        }
        if let Some(member) = self.members.get_mut(cell.subject.as_str()) {
            member.failures = 0;
        }
        self.busy_ns += block.samples.iter().map(Sample::duration_ns).sum::<u64>();
        Ok(Some(block))
    }

    /// The full output of a cell for one request, if it can still be had.
    pub(super) fn dump(
        &mut self,
        index: usize,
        request: u32,
        journal: &mut Journal<'_>,
    ) -> Result<Option<Output>, Halt> {
        if !self.is_prepared(index) && self.prepare(index, 0, journal)?.is_none() {
            return Ok(None);
        }
        let cell_id = self.plan.cells[index].id.clone();
        let question = Request::Dump { cell_id, index: request };
        let mut found = None;
        let timeout = Some(self.job.options.limits.prepare);
        self.request(index, &question, timeout, journal, &mut |answer| {
            if let Answer::Dump { output, .. } = answer {
                found = Some(output);
            }
        })?;
        Ok(found)
    }

    /// Asks all workers to exit.
    pub(super) fn end(self) {
        for worker in self.members.into_values().filter_map(|member| member.worker) {
            worker.end();
        }
    }

    /// Asks the worker of a cell; false when the cell has got a status for it. Without a `timeout` it may take what the worker itself says that
    /// making a cell ready takes.
    fn request(
        &mut self,
        index: usize,
        request: &Request,
        timeout: Option<Duration>,
        journal: &mut Journal<'_>,
        take: &mut dyn FnMut(Answer),
    ) -> Result<bool, Halt> {
        let cell: &Cell = &self.plan.cells[index];
        let subject = cell.subject.as_str();
        // Starting the worker may be what drops the cell.
        if journal.cells[index].is_dropped() || !self.worker(subject, journal)? || journal.cells[index].is_dropped() {
            return Ok(false);
        }
        let Some(member) = self.members.get_mut(subject) else { return Ok(false) };
        member.used = true;
        let limits = &self.job.options.limits;
        let own = member.prepare_limit.map_or(limits.prepare, |limit| limit + limits.grace);
        let timeout = timeout.unwrap_or(own);
        let Some(worker) = member.worker.as_mut() else { return Ok(false) };
        let busy_ns = &mut self.busy_ns;
        let asked = worker.ask_each(request, timeout, &mut |answer| {
            if let Answer::Done { warm_ns, .. } = &answer {
                *busy_ns += warm_ns;
            }
            take(answer);
        });
        match asked {
            Ok(()) => Ok(true),
            Err(SubjectError::Interrupted) => Err(Halt::Interrupted),
            Err(error) => {
                // A dump that fails says nothing about the cell's figures.
                if !matches!(request, Request::Dump { .. }) {
                    journal.set_status(index, self.run(), status_of(&error), &error.to_string())?;
                }
                if !error.lives_on() {
                    self.failed(subject, &error, journal)?;
                }
                Ok(false)
            }
        }
    }

    /// Makes sure that a subject has a worker; false when it is given up.
    fn worker(&mut self, subject: &str, journal: &mut Journal<'_>) -> Result<bool, Halt> {
        loop {
            let Some(member) = self.members.get(subject) else { return Ok(false) };
            if member.worker.is_some() || member.given_up {
                return Ok(member.worker.is_some());
            }
            self.spawn(subject, journal)?;
            self.greet(subject, journal)?;
        }
    }

    /// Starts a process and says hello to it, without waiting for the answer.
    fn spawn(&mut self, subject: &str, journal: &mut Journal<'_>) -> Result<(), Halt> {
        journal.observe(Progress::SubjectStarting { subject, run: self.run() });
        let Some(member) = self.members.get_mut(subject) else { return Ok(()) };
        let how = launch(self.plan.seed, self.run, subject, member.starts);
        member.starts += 1;
        member.used = false;
        member.prepared.clear();
        let started = Subject::start(member.spec, how, self.job.interrupt).and_then(|mut worker| {
            worker.hello(self.job.model, self.plan.timestamp, &member.engines)?;
            Ok(worker)
        });
        match started {
            Ok(worker) => member.worker = Some(worker),
            Err(error) => self.failed(subject, &error, journal)?,
        }
        Ok(())
    }

    /// Waits for the answer to hello.
    fn greet(&mut self, subject: &str, journal: &mut Journal<'_>) -> Result<(), Halt> {
        let run = self.run();
        let Some(worker) = self.members.get_mut(subject).and_then(|m| m.worker.as_mut()) else {
            return Ok(());
        };
        match worker.ready(self.job.options.limits.hello) {
            Ok(ready) => {
                journal.observe(Progress::SubjectReady { subject, run, ready: &ready });
                let message = format!("pid {}", ready.pid);
                journal.write(&Event::Worker {
                    run,
                    subject: subject.to_owned(),
                    what: WorkerEvent::Started,
                    message,
                })?;
                if let Some(member) = self.members.get_mut(subject) {
                    member.prepare_limit = ready.prepare_limit_ns.map(Duration::from_nanos);
                }
                self.drop_unavailable(subject, &ready, journal)?;
                self.ready.insert(subject.to_owned(), ready);
                Ok(())
            }
            Err(SubjectError::Interrupted) => Err(Halt::Interrupted),
            Err(error) => self.failed(subject, &error, journal),
        }
    }

    /// A worker is gone. Its subject is given up when it died too often in a row or would die again. A worker that was ended because it was
    /// late in a block or in making a cell ready is no such sign: the cell that was late is out of this run, so the same cannot come again in it.
    fn failed(&mut self, subject: &str, error: &SubjectError, journal: &mut Journal<'_>) -> Result<(), Halt> {
        let run = self.run();
        let message = error.to_string();
        let Some(member) = self.members.get_mut(subject) else { return Ok(()) };
        // Late in `hello` it was in nobody's cell.
        let was_late = matches!(error, SubjectError::Timeout { .. }) && member.used;
        member.worker = None;
        member.prepared.clear();
        member.failures += u32::from(!was_late);
        journal.observe(Progress::SubjectFailed { subject, run, message: &message });
        let event =
            |what, message: &str| Event::Worker { run, subject: subject.to_owned(), what, message: message.to_owned() };
        journal.write(&event(WorkerEvent::Failed, &message))?;
        let when = run.map_or("the calibration".to_owned(), |run| format!("run {run}"));
        journal.warn(format!("the worker of {subject} failed in {when}: {message}"));
        let hopeless = matches!(error, SubjectError::Fatal { .. } | SubjectError::Start { .. });
        if hopeless || member.failures > self.restarts {
            member.given_up = true;
            let reason = if member.failures > 1 {
                format!("given up after {} failures of the worker; the last: {message}", member.failures)
            } else {
                message
            };
            journal.write(&event(WorkerEvent::GivenUp, &reason))?;
            for index in journal.live(subject) {
                journal.set_status(index, run, status_of(error), &reason)?;
            }
        }
        Ok(())
    }

    /// Drops the cells of which the worker does not have an engine.
    fn drop_unavailable(&mut self, subject: &str, ready: &Ready, journal: &mut Journal<'_>) -> Result<(), Halt> {
        for index in journal.live(subject) {
            let engines = &self.plan.cells[index].engines;
            let reasons = engines.iter().filter_map(|pair| ready.unavailable.get(pair));
            if let Some(reason) = reasons.into_iter().next() {
                journal.set_status(index, self.run(), Status::Unavailable, reason)?;
            }
        }
        Ok(())
    }
}

impl<'a> Member<'a> {
    fn new(spec: &'a SubjectSpec, plan: &Plan) -> Self {
        let own = plan.cells.iter().filter(|cell| cell.subject == spec.id);
        let engines: BTreeSet<String> = own.flat_map(|cell| cell.engines.iter().cloned()).collect();
        Self {
            spec,
            engines: engines.into_iter().collect(),
            worker: None,
            prepared: BTreeMap::new(),
            prepare_limit: None,
            used: false,
            starts: 0,
            failures: 0,
            given_up: false,
        }
    }
}

fn status_of(error: &SubjectError) -> Status {
    match error {
        SubjectError::Timeout { .. } => Status::Timeout,
        SubjectError::Cell { kind: ErrorKind::Unavailable, .. }
        | SubjectError::Fatal { kind: ErrorKind::Unavailable, .. } => Status::Unavailable,
        SubjectError::Cell { kind: ErrorKind::Mismatch, .. } => Status::Mismatch,
        _ => Status::Error,
    }
}

fn check_samples(samples: &[Sample], block: u32) -> Result<(), String> {
    if samples.is_empty() {
        return Err("there is none".to_owned());
    }
    for sample in samples {
        sound(sample)?;
        if sample.block != block {
            return Err(format!("block {} was asked for, and a sample is of block {}", block, sample.block));
        }
    }
    Ok(())
}
