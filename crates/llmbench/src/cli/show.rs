//! What was found, on the terminal.

use std::io::IsTerminal;

use record::folder::RunFolder;
use record::results::{Results, RunInfo};

use super::console;
use pipeline::{Exit, Failure, results};
use report::terminal;
use suites::Suite;

/// Analyses the run folder, writes the report and prints what was found.
///
/// # Errors
/// When the folder cannot be read or written.
pub fn report(suite: &dyn Suite, folder: &RunFolder, plots: bool) -> Result<Exit, Failure> {
    let (info, found) = results::analyse(suite, folder)?;
    // What was found is shown even where it cannot be written.
    let written = results::write(folder, &info, &found, plots);
    print(&found, &info)?;
    written?;
    for sentence in results::useless(&found) {
        eprintln!("llmbench: {sentence}");
    }
    eprintln!("report: {}", folder.path().join("report.html").display());
    Ok(results::exit(suite, &info, &found))
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
