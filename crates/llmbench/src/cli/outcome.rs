//! What a run ends with: results, report, what stands on the terminal, and the exit code.

use std::io::{IsTerminal, Write};

use llmbench_core::folder::RunFolder;
use llmbench_core::measurements::Measurements;
use llmbench_core::record::{Results, RunInfo, Status};

use super::args::RunArgs;
use super::exit::{Exit, Failure};
use crate::report::{self, terminal};
use crate::suites::{Suite, analysis};

/// Analyses the run folder, writes the report and prints what was found.
///
/// # Errors
/// When the folder cannot be read or written.
pub fn report(suite: &dyn Suite, folder: &RunFolder, args: &RunArgs) -> Result<Exit, Failure> {
    let (info, results) = analyse(suite, folder)?;
    write(folder, &info, &results, !args.no_plots)?;
    print(&results, &info)?;
    eprintln!("report: {}", folder.path().join("report.html").display());
    Ok(exit(&info, &results))
}

/// Results of a run folder, computed from its samples.
///
/// # Errors
/// When the folder cannot be read.
pub fn analyse(suite: &dyn Suite, folder: &RunFolder) -> Result<(RunInfo, Results), Failure> {
    let info = folder.read_info().map_err(Failure::usage)?;
    let measurements = Measurements::read(folder).map_err(Failure::usage)?;
    let results = analysis::analyse(suite, &info, &measurements);
    Ok((info, results))
}

/// Writes results, figures and report.
///
/// # Errors
/// When a file cannot be written.
pub fn write(folder: &RunFolder, info: &RunInfo, results: &Results, plots: bool) -> Result<(), Failure> {
    report::write_all(folder.path(), results, info, plots).map_err(Failure::usage)?;
    Ok(())
}

/// Tables and findings on a terminal; the rows as CSV where stdout goes to a program.
///
/// # Errors
/// When stdout cannot be written.
pub fn print(results: &Results, info: &RunInfo) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let text = if out.is_terminal() { tables(results, info) } else { report::csv(results).map_err(Failure::bug)? };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader has seen enough: `llmbench run … | head`.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Failure::usage),
    }
}

fn tables(results: &Results, info: &RunInfo) -> String {
    let style = terminal::Style::of_stdout();
    let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0)).clamp(60, 160);
    let experiments =
        results.experiments.iter().map(|result| terminal::experiment(result, &results.records, width, style));
    std::iter::once(terminal::environment(info, width, style))
        .chain(experiments)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The exit code that the rows ask for. In experiments that compare engines a mismatch is a result; here engines must agree.
pub fn exit(info: &RunInfo, results: &Results) -> Exit {
    let any = |wanted: &[Status]| results.records.iter().any(|record| wanted.contains(&record.status));
    let required_missing =
        info.plan.subjects.iter().any(|subject| subject.unavailable.as_ref().is_some_and(|u| u.required));
    if any(&[Status::Mismatch]) {
        Exit::Mismatch
    } else if required_missing || any(&[Status::Error, Status::Timeout]) {
        Exit::CellsFailed
    } else {
        Exit::Success
    }
}
