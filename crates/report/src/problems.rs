//! Rows without a usable figure, grouped by what is wrong, so that one missing package is one entry and not forty.

use std::collections::BTreeSet;

use record::results::{Record, Status};

use super::{text, words};

/// One reason and the cells that share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub status: Status,
    /// As it was reported; may be empty and may have many lines.
    pub error: String,
    /// In the order of the records, each once.
    pub cells: Vec<String>,
}

impl Problem {
    /// True for what makes a run fail; false for what is merely not to be had or not ranked.
    pub fn is_failure(&self) -> bool {
        matches!(self.status, Status::Mismatch | Status::Error | Status::Timeout)
    }

    /// `2 cells: error`.
    pub fn head(&self) -> String {
        let n = self.cells.len();
        format!("{n} {}: {}", if n == 1 { "cell" } else { "cells" }, words::status(self.status))
    }

    /// The reason on one line.
    pub fn message(&self) -> String {
        let message = text::one_line(&self.error);
        if !message.is_empty() {
            return message;
        }
        match self.status {
            Status::Unchecked => "there was no reference to compare the output with; not ranked",
            Status::Invalid => "a rule of the method says that the figure must not be used",
            Status::Skipped => "not measured in this run",
            _ => "no reason was given",
        }
        .to_owned()
    }

    /// The first `limit` cells and how many there are beyond them.
    pub fn cells_in_short(&self, limit: usize) -> String {
        let shown: Vec<String> = self.cells.iter().take(limit).map(|c| text::one_line(c)).collect();
        let more = self.cells.len().saturating_sub(limit);
        if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
    }
}

/// The problems of one experiment, or of all; failures first, then in the order of the records.
pub fn of(records: &[Record], experiment_id: Option<u32>) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    let mut seen = BTreeSet::new();
    for record in records {
        if record.status == Status::Ok || experiment_id.is_some_and(|id| id != record.experiment_id) {
            continue;
        }
        let error = record.error.as_deref().unwrap_or("");
        let known = problems.iter().position(|p| p.status == record.status && p.error == error);
        let group = known.unwrap_or(problems.len());
        if known.is_none() {
            problems.push(Problem { status: record.status, error: error.to_owned(), cells: Vec::new() });
        }
        // A cell has a row for each of its metrics.
        if seen.insert((group, record.cell_id.as_str())) {
            problems[group].cells.push(record.cell_id.clone());
        }
    }
    problems.sort_by_key(|p| !p.is_failure());
    problems
}
