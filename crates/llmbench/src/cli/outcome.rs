//! What a run ends with: results, report, what stands on the terminal, and the exit code.

use std::io::IsTerminal;

use record::folder::RunFolder;
use record::measurements::Measurements;
use record::results::{Record, Results, RunInfo, Status};

use super::args::RunArgs;
use super::console;
use super::exit::{Exit, Failure};
use report::terminal;
use suites::{Suite, analysis};

/// Analyses the run folder, writes the report and prints what was found.
///
/// # Errors
/// When the folder cannot be read or written.
pub fn report(suite: &dyn Suite, folder: &RunFolder, args: &RunArgs) -> Result<Exit, Failure> {
    let (info, results) = analyse(suite, folder)?;
    // What was found is shown even where it cannot be written.
    let written = write(folder, &info, &results, !args.no_plots);
    print(&results, &info)?;
    written?;
    eprintln!("report: {}", folder.path().join("report.html").display());
    Ok(exit(suite, &info, &results))
}

/// The sentence for a disk that was full before all runs were made.
pub fn disk_full(folder: &RunFolder, suite: &str) -> String {
    let kept = match Measurements::read(folder).map(|measurements| measurements.runs.len()) {
        Ok(0) | Err(_) => "no run was complete".to_owned(),
        Ok(1) => "1 complete run is kept".to_owned(),
        Ok(runs) => format!("{runs} complete runs are kept"),
    };
    format!(
        "no space is left on the disk for {}: {kept}; free some space and go on with: llmbench run {suite} --resume {}",
        folder.samples_path().display(),
        folder.path().display()
    )
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
    let people = std::io::stdout().is_terminal();
    let text = if people { tables(results, info) } else { report::csv(results).map_err(Failure::bug)? };
    console::print(&text).map(drop)
}

fn tables(results: &Results, info: &RunInfo) -> String {
    let style = terminal::Style::of_stdout();
    let width = console::width().unwrap_or(80);
    let experiments =
        results.experiments.iter().map(|result| terminal::experiment(result, &results.records, width, style));
    std::iter::once(terminal::environment(info, width, style))
        .chain(experiments)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The exit code that the rows ask for. In experiments that compare engines a mismatch is a result; here engines must agree.
pub fn exit(suite: &dyn Suite, info: &RunInfo, results: &Results) -> Exit {
    let any = |wanted: &[Status]| results.records.iter().any(|record| wanted.contains(&record.status));
    let compares_engines = |record: &Record| {
        suite.spec().experiments.iter().any(|spec| spec.name == record.experiment && spec.mismatch_is_result)
    };
    let disagree = results.records.iter().any(|record| record.status == Status::Mismatch && !compares_engines(record));
    let required_missing =
        info.plan.subjects.iter().any(|subject| subject.unavailable.as_ref().is_some_and(|u| u.required));
    if disagree {
        Exit::Mismatch
    } else if required_missing || any(&[Status::Error, Status::Timeout]) {
        Exit::CellsFailed
    } else {
        Exit::Success
    }
}
