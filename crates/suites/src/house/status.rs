//! Whether the figures of a cell may be used, and which of its runs are left out of them.

use record::measurements::Measurements;
use record::plan::Cell;
use record::results::Status;

use super::input::AnalysisInput;
use record::format;

/// The status of a cell's rows. A cell whose output is compared with nothing (a server's answers) is not unchecked.
pub fn of(measurements: &Measurements, cell: &Cell) -> Status {
    match measurements.status(&cell.id) {
        Status::Unchecked if cell.check.is_none() => {
            let invalid = measurements.cell(&cell.id).is_some_and(|data| data.is_invalid_everywhere());
            if invalid { Status::Invalid } else { Status::Ok }
        }
        status => status,
    }
}

/// Whether something may be concluded from a cell.
pub fn is_usable(measurements: &Measurements, cell: &Cell) -> bool {
    of(measurements, cell) == Status::Ok
}

/// Whether a cell has figures that more runs can make more precise, ranked or not.
pub fn was_measured(measurements: &Measurements, cell: &Cell) -> bool {
    matches!(of(measurements, cell), Status::Ok | Status::Mismatch | Status::Unchecked)
}

/// Why the status is not ok.
pub fn error(measurements: &Measurements, cell: &Cell) -> Option<String> {
    let status = of(measurements, cell);
    let data = measurements.cell(&cell.id)?;
    match status {
        Status::Ok => None,
        Status::Invalid => Some(invalid(measurements, cell)),
        _ => data.message().map(str::to_owned),
    }
}

/// Why a stretch of load is no measurement, as the client tells.
fn invalid(measurements: &Measurements, cell: &Cell) -> String {
    let Some(data) = measurements.cell(&cell.id) else { return String::new() };
    let bad = data.invalid_runs();
    let worst = |name: &str| data.readings_of_all(name).values().copied().fold(0.0, f64::max);
    let reasons = [
        ("invalid_late", format!("requests left late, p99 up to {}", format::duration(worst("lateness_p99_ns")))),
        ("invalid_saturated", format!("the client used {} of a core", format::percent(worst("generator_share")))),
        ("invalid_timer_late", "the client woke late".to_owned()),
        (
            "invalid_client_error",
            format!("the client read late, p99 up to {}", format::duration(worst("client_error_p99_ns"))),
        ),
        (
            "invalid_unique_hits",
            format!(
                "the server found {} of prompts in its cache that it had never met",
                format::percent(worst("unique_hit_share"))
            ),
        ),
        ("invalid_no_answer", "no request was answered".to_owned()),
        ("invalid_ended_early", "it ended early".to_owned()),
    ];
    let why: Vec<String> =
        reasons.into_iter().filter(|(name, _)| !data.readings_of_all(name).is_empty()).map(|(_, why)| why).collect();
    // A worker may give its verdict alone.
    let why = match why.is_empty() {
        true => format!(
            "the client was late or saturated, lateness p99 up to {}",
            format::duration(worst("lateness_p99_ns"))
        ),
        false => why.join(", "),
    };
    format!("INVALID in {} of {} runs: {why}", bad.len(), data.runs.len())
}

/// Runs of a cell that its figures are without although others count: how many, of how many, and why.
pub fn left_out(measurements: &Measurements, cell: &Cell) -> Option<(usize, usize, String)> {
    if of(measurements, cell) != Status::Ok {
        return None;
    }
    let data = measurements.cell(&cell.id)?;
    let invalid_runs: Vec<u32> = data.invalid_runs().into_iter().filter(|run| !data.failed.contains_key(run)).collect();
    let out = invalid_runs.len() + data.failed.len();
    let mut why = Vec::new();
    if !invalid_runs.is_empty() {
        why.push(invalid(measurements, cell));
    }
    if let Some((_, (_, message))) = data.failed.iter().next_back() {
        why.push(format!("failed in {}: {message}", data.failed.len()));
    }
    (out > 0).then(|| (out, measurements.runs.len(), why.join("; ")))
}

/// What stands behind the name of a cell in a table: ` INVALID`, or over how many of the runs it is.
pub fn mark(measurements: &Measurements, cell: &Cell) -> String {
    match (of(measurements, cell), left_out(measurements, cell)) {
        (Status::Invalid, _) => " INVALID".to_owned(),
        (_, Some((out, all, _))) => format!(" ({} of {all} runs)", all - out),
        _ => String::new(),
    }
}

/// Cells that are named one by one in a warning; the others are counted.
const NAMED: usize = 3;

/// What a reader must know of runs that are left out and of points that must not be used.
pub fn warnings(input: &AnalysisInput) -> Vec<String> {
    let mut warnings = Vec::new();
    let invalid = input.cells().filter(|cell| of(input.measurements, cell) == Status::Invalid).count();
    if invalid > 0 {
        warnings.push(format!(
            "{invalid} points are INVALID in every run: the client that made the load was late or saturated, so their latencies are its own. Their rows say \
             so; close other programs, give the client cores of its own, or ask for less at once."
        ));
    }
    let out: Vec<(&Cell, (usize, usize, String))> =
        input.cells().filter_map(|cell| Some((cell, left_out(input.measurements, cell)?))).collect();
    for (cell, (runs, all, why)) in out.iter().take(NAMED) {
        warnings.push(format!("{}: {runs} of {all} runs are left out of its figures: {why}.", cell.id));
    }
    if out.len() > NAMED {
        warnings.push(format!(
            "{} more cells are without some of their runs; `runs` in results.csv counts those that are in.",
            out.len() - NAMED
        ));
    }
    warnings
}
