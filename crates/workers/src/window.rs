//! Long-lived threads that call all at once, and the calls they make in a window of time in which all of them are at work.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread;

use engines::EngineError;
use record::protocol::{Sample, ThreadCount};

use super::clock::now;
use super::inputs::Extent;
use super::ops::Op;
use super::timing;

/// What every thread is told to do.
#[derive(Clone)]
enum Task {
    /// Untimed calls on warm-up requests for at least that long, while no other thread is at it.
    Warm { op: Arc<dyn Op>, extent: Extent, turn: Arc<AtomicUsize>, duration_ns: u64, alone: Arc<Mutex<()>> },
    /// Calls until the window is over that begins when the last thread has begun.
    Count { op: Arc<dyn Op>, extent: Extent, offset: usize, window_ns: u64, begun: Arc<Begun> },
}

/// Which threads have begun.
#[derive(Default)]
struct Begun {
    threads: AtomicUsize,
    last_ns: AtomicU64,
}

/// When a thread began, and when each of its calls ended, ns.
#[derive(Clone, Default)]
struct Stamps {
    began_ns: u64,
    ends_ns: Vec<u64>,
}

type Report = Result<Stamps, EngineError>;

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

    /// One window. Thread `t` starts at request `offset + t · pool / threads`. The window begins when the last thread begins, and
    /// each goes on until it is over; a call that reaches over an edge counts in part.
    pub fn time(&self, op: &Arc<dyn Op>, extent: Extent, offset: usize, window_ns: u64) -> Result<Sample, EngineError> {
        let begun = Arc::<Begun>::default();
        let stamps =
            self.run(&Task::Count { op: Arc::clone(op), extent, offset, window_ns, begun: Arc::clone(&begun) })?;
        let start_ns = begun.last_ns.load(Ordering::Acquire);
        let end_ns = start_ns + window_ns;
        Ok(Sample {
            start_ns: stamps.iter().map(|thread| thread.began_ns).min().unwrap_or_default(),
            end_ns: stamps.iter().filter_map(|thread| thread.ends_ns.last()).copied().max().unwrap_or_default(),
            calls: stamps.iter().map(|thread| thread.ends_ns.len() as u64).sum(),
            threads: stamps
                .iter()
                .map(|thread| ThreadCount::between(start_ns, end_ns, thread.began_ns, &thread.ends_ns))
                .collect(),
            ..Sample::default()
        })
    }

    /// Gives the task to all threads and waits for all of them, so that none is at work when this returns.
    fn run(&self, task: &Task) -> Result<Vec<Stamps>, EngineError> {
        let gone = || EngineError::Failed("a window thread is gone; this is a bug, please report it".to_owned());
        for thread in &self.tasks {
            thread.send(task.clone()).map_err(|_| gone())?;
        }
        let mut stamps = vec![Stamps::default(); self.tasks.len()];
        let mut failure = None;
        for _ in &self.tasks {
            let (index, report) = self.reports.recv().map_err(|_| gone())?;
            match report {
                Ok(done) => stamps[index] = done,
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(stamps), Err)
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
            timing::warm(op.as_ref(), *extent, turn, *duration_ns)?;
            Ok(Stamps::default())
        }
        Task::Count { op, extent, offset, window_ns, begun } => {
            let first = (offset + index * extent.pool / count) % extent.pool;
            let calls = (0..extent.pool).cycle().skip(first);
            call_on(op.as_ref(), calls, *window_ns, begun, count)
        }
    }
}

fn call_on(op: &dyn Op, calls: impl Iterator<Item = usize>, window_ns: u64, begun: &Begun, threads: usize) -> Report {
    let began_ns = now();
    begun.last_ns.fetch_max(began_ns, Ordering::AcqRel);
    begun.threads.fetch_add(1, Ordering::AcqRel);
    let mut ends_ns = Vec::with_capacity(1024);
    let mut over_ns = None;
    for index in calls {
        timing::call(op, index)?;
        let end_ns = now();
        ends_ns.push(end_ns);
        if over_ns.is_none() && begun.threads.load(Ordering::Acquire) == threads {
            over_ns = Some(begun.last_ns.load(Ordering::Acquire) + window_ns);
        }
        if over_ns.is_some_and(|over| end_ns >= over) {
            break;
        }
    }
    Ok(Stamps { began_ns, ends_ns })
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
