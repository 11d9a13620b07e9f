//! What is known of the cells, and the file that it is written to.

use std::collections::BTreeMap;

use record::plan::Plan;
use record::results::Status;
use record::samples::{Event, SamplesError, SamplesWriter};

use super::observer::{Observer, Progress};

/// What is known of a cell.
#[derive(Debug, Clone, Default)]
pub(super) struct CellState {
    /// Absent: ok so far.
    pub(super) status: Option<Status>,
    pub(super) loops: u64,
    /// From the calibration; rough.
    pub(super) ns_per_call: f64,
    /// From the calibration.
    pub(super) hashes: Vec<String>,
    /// From the calibration: readings, of a `stretch` cell.
    pub(super) found: BTreeMap<String, f64>,
    /// It failed in the run under way; why.
    pub(super) lost: Option<(Status, String)>,
    /// Runs in a row before this one in which it failed.
    pub(super) failed_runs: u32,
}

impl CellState {
    /// True when the cell is not visited any more, in this run or at all.
    pub(super) fn is_dropped(&self) -> bool {
        self.lost.is_some() || self.is_over()
    }

    /// True when no later run visits it either.
    fn is_over(&self) -> bool {
        matches!(self.status, Some(Status::Error | Status::Timeout | Status::Unavailable))
    }
}

/// The state of all cells, in the order of the plan.
pub(super) struct Journal<'a> {
    plan: &'a Plan,
    writer: SamplesWriter,
    observer: &'a mut dyn Observer,
    pub(super) cells: Vec<CellState>,
    pub(super) warnings: Vec<String>,
}

impl<'a> Journal<'a> {
    pub(super) fn new(plan: &'a Plan, writer: SamplesWriter, observer: &'a mut dyn Observer) -> Self {
        let cells = vec![CellState::default(); plan.cells.len()];
        Self { plan, writer, observer, cells, warnings: Vec::new() }
    }

    pub(super) fn write(&mut self, event: &Event) -> Result<(), SamplesError> {
        self.writer.write(event)
    }

    pub(super) fn flush(&mut self) -> Result<(), SamplesError> {
        self.writer.flush()
    }

    pub(super) fn observe(&mut self, progress: Progress<'_>) {
        self.observer.observe(progress);
    }

    pub(super) fn warn(&mut self, text: String) {
        self.observer.observe(Progress::Warning(&text));
        self.warnings.push(text);
    }

    /// Gives a cell a status other than `ok`. What fails in a run is lost to this run alone: the next one visits the cell again. What fails
    /// before the first run, is not there or gives a wrong answer stays so.
    pub(super) fn set_status(
        &mut self,
        cell: usize,
        run: Option<u32>,
        status: Status,
        message: &str,
    ) -> Result<(), SamplesError> {
        let cell_id = &self.plan.cells[cell].id;
        let state = &mut self.cells[cell];
        if run.is_some() && matches!(status, Status::Error | Status::Timeout) {
            state.lost = Some((status, message.to_owned()));
        } else {
            state.status = Some(status);
        }
        self.observer.observe(Progress::CellStatus { cell: cell_id, status, message });
        self.writer.write(&Event::Cell { cell_id: cell_id.clone(), run, status, message: message.to_owned() })
    }

    /// A run begins: what was lost in another is forgotten.
    pub(super) fn begin_run(&mut self) {
        for state in &mut self.cells {
            state.lost = None;
        }
    }

    /// A run is over. A cell that failed in `most` runs in a row is not visited again.
    pub(super) fn end_run(&mut self, run: u32, most: u32) -> Result<(), SamplesError> {
        for cell in 0..self.cells.len() {
            let state = &mut self.cells[cell];
            let lost = state.lost.take();
            state.failed_runs = if lost.is_some() { state.failed_runs + 1 } else { 0 };
            if let Some((status, message)) = lost
                && state.failed_runs >= most
            {
                let runs = state.failed_runs;
                let cell_id = &self.plan.cells[cell].id;
                self.cells[cell].status = Some(status);
                self.warn(format!("{cell_id} is not measured any more: it failed in {runs} runs in a row, the last of them run {run}: {message}"));
            }
        }
        Ok(())
    }

    /// Indices of the cells of a subject that are still visited.
    pub(super) fn live(&self, subject: &str) -> Vec<usize> {
        let of_subject = |&i: &usize| self.plan.cells[i].subject == subject && !self.cells[i].is_dropped();
        (0..self.cells.len()).filter(of_subject).collect()
    }

    pub(super) fn nothing_left(&self) -> bool {
        self.cells.iter().all(CellState::is_over)
    }

    /// Calibrated loops by cell id.
    pub(super) fn loops(&self) -> BTreeMap<String, u64> {
        let calibrated = self.plan.cells.iter().zip(&self.cells).filter(|(_, state)| state.loops > 0);
        calibrated.map(|(cell, state)| (cell.id.clone(), state.loops)).collect()
    }
}
