//! Long-lived threads that start together and count the calls that they complete in a window of time.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread;

use llmbench_core::protocol::{Sample, ThreadCount};
use llmbench_engines::EngineError;

use super::clock::now;
use super::inputs::Extent;
use super::ops::Op;
use super::timing;

/// What every thread is told to do.
#[derive(Clone)]
enum Task {
    /// Untimed calls on warm-up requests for at least that long, while no other thread is at it.
    Warm { op: Arc<dyn Op>, extent: Extent, turn: Arc<AtomicUsize>, duration_ns: u64, alone: Arc<Mutex<()>> },
    /// Calls from its own start on until the window is over.
    Count { op: Arc<dyn Op>, extent: Extent, offset: usize, window_ns: u64 },
}

type Report = Result<ThreadCount, EngineError>;

/// The threads. Between windows they wait for their next task.
pub struct WindowThreads {
    tasks: Vec<Sender<Task>>,
    reports: Receiver<(usize, Report)>,
}

impl WindowThreads {
    pub fn start(count: usize) -> Result<Self, EngineError> {
        let barrier = Arc::new(Barrier::new(count));
        let (report, reports) = channel();
        let tasks = (0..count)
            .map(|index| {
                let (sender, tasks) = channel();
                let (barrier, report) = (Arc::clone(&barrier), report.clone());
                thread::Builder::new()
                    .name(format!("window-{index}"))
                    .spawn(move || live(index, count, &tasks, &barrier, &report))
                    .map_err(|error| EngineError::Failed(format!("{count} threads cannot be started: {error}")))?;
                Ok(sender)
            })
            .collect::<Result<_, EngineError>>()?;
        Ok(Self { tasks, reports })
    }

    /// Untimed calls in every thread for at least `duration_ns` each, one thread after the other: an engine may keep a cache
    /// for each thread, and threads that shared the cores would fill theirs less. Returns the wall time of all, ns.
    pub fn warm(
        &self,
        op: &Arc<dyn Op>,
        extent: Extent,
        turn: &Arc<AtomicUsize>,
        duration_ns: u64,
    ) -> Result<u64, EngineError> {
        let start = now();
        self.run(&Task::Warm {
            op: Arc::clone(op),
            extent,
            turn: Arc::clone(turn),
            duration_ns,
            alone: Arc::default(),
        })?;
        Ok(now() - start)
    }

    /// One window. Thread `t` starts at request `offset + t · pool / threads`. No call is cut off: each thread finishes the
    /// call that it is in when the window ends, and its time ends there; so each makes at least one.
    pub fn time(&self, op: &Arc<dyn Op>, extent: Extent, offset: usize, window_ns: u64) -> Result<Sample, EngineError> {
        let threads = self.run(&Task::Count { op: Arc::clone(op), extent, offset, window_ns })?;
        Ok(Sample {
            start_ns: threads.iter().map(|thread| thread.start_ns).min().unwrap_or_default(),
            end_ns: threads.iter().map(|thread| thread.end_ns).max().unwrap_or_default(),
            calls: threads.iter().map(|thread| thread.calls).sum(),
            threads,
            ..Sample::default()
        })
    }

    /// Gives the task to all threads and waits for all of them, so that none is at work when this returns.
    fn run(&self, task: &Task) -> Result<Vec<ThreadCount>, EngineError> {
        let gone = || EngineError::Failed("a window thread is gone; this is a bug, please report it".to_owned());
        for thread in &self.tasks {
            thread.send(task.clone()).map_err(|_| gone())?;
        }
        let mut counts = vec![ThreadCount { start_ns: 0, end_ns: 0, calls: 0 }; self.tasks.len()];
        let mut failure = None;
        for _ in &self.tasks {
            let (index, report) = self.reports.recv().map_err(|_| gone())?;
            match report {
                Ok(count) => counts[index] = count,
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(counts), Err)
    }
}

fn live(index: usize, count: usize, tasks: &Receiver<Task>, barrier: &Barrier, report: &Sender<(usize, Report)>) {
    // Ends when the worker drops the other end.
    while let Ok(task) = tasks.recv() {
        barrier.wait();
        let done = catch_unwind(AssertUnwindSafe(|| perform(&task, index, count)))
            .unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
        if report.send((index, done)).is_err() {
            return;
        }
    }
}

fn perform(task: &Task, index: usize, count: usize) -> Report {
    match task {
        Task::Warm { op, extent, turn, duration_ns, alone } => {
            let _turn = alone.lock().unwrap_or_else(PoisonError::into_inner);
            let start_ns = now();
            timing::warm(op.as_ref(), *extent, turn, *duration_ns)?;
            Ok(ThreadCount { start_ns, end_ns: now(), calls: 0 })
        }
        Task::Count { op, extent, offset, window_ns } => {
            let first = (offset + index * extent.pool / count) % extent.pool;
            count_calls(op.as_ref(), extent.pool, first, *window_ns)
        }
    }
}

fn count_calls(op: &dyn Op, pool: usize, first: usize, window_ns: u64) -> Report {
    let mut index = first;
    let mut calls = 0;
    let start_ns = now();
    let deadline = start_ns + window_ns;
    loop {
        timing::call(op, index)?;
        calls += 1;
        let end_ns = now();
        if end_ns >= deadline {
            return Ok(ThreadCount { start_ns, end_ns, calls });
        }
        index += 1;
        if index == pool {
            index = 0;
        }
    }
}

/// What a panic said, as an error of the cell.
pub fn panicked(panic: &(dyn Any + Send)) -> EngineError {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    EngineError::Failed(format!("the engine panicked: {}", said.unwrap_or("it did not say why")))
}

/// Turns of the warm-up requests, counted over all calls of a cell.
pub fn next_turn(turn: &AtomicUsize) -> usize {
    turn.fetch_add(1, Ordering::Relaxed)
}
