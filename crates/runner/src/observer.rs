//! What the runner tells while it works.

use std::time::Duration;

use record::protocol::Ready;
use record::results::Status;

/// Something that happened. `run` is absent during calibration.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// A worker is being started; loading can take seconds.
    SubjectStarting {
        subject: &'a str,
        run: Option<u32>,
    },
    SubjectReady {
        subject: &'a str,
        run: Option<u32>,
        ready: &'a Ready,
    },
    /// A worker died, was late or broke the protocol; it is started again if it has cells left.
    SubjectFailed {
        subject: &'a str,
        run: Option<u32>,
        message: &'a str,
    },
    /// The calibration has dealt with a cell.
    Calibrated {
        cell: &'a str,
        done: usize,
        of: usize,
    },
    RunStart {
        run: u32,
        of: u32,
    },
    /// A run has made a cell ready.
    Prepared {
        cell: &'a str,
        run: u32,
        done: usize,
        of: usize,
    },
    VisitDone {
        cell: &'a str,
        run: u32,
        done: usize,
        of: usize,
    },
    RunDone {
        run: u32,
        of: u32,
        wall: Duration,
    },
    /// A cell has got a status other than `ok`.
    CellStatus {
        cell: &'a str,
        status: Status,
        message: &'a str,
    },
    /// Seconds until the last run ends, if no rule stops it earlier.
    SecondsLeft(f64),
    Warning(&'a str),
}

/// Gets to know what happens. Called from the thread that measures, between blocks: it should return soon.
pub trait Observer {
    fn observe(&mut self, progress: Progress<'_>);
}

/// Listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&mut self, _: Progress<'_>) {}
}
