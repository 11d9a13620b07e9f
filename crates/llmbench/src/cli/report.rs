//! `llmbench report`: the report of a run folder again, without measuring.

use std::path::Path;

use record::folder::RunFolder;

use super::args::ReportArgs;
use super::exit::{Exit, Failure};
use super::outcome;

/// Renders the run again.
///
/// # Errors
/// Usage, when the folder is no run folder or of another schema version.
pub fn report(args: &ReportArgs) -> Result<Exit, Failure> {
    let folder = RunFolder::open(&args.run, Path::new("output")).map_err(Failure::usage)?;
    let suite = suites::find(&folder.read_info().map_err(Failure::usage)?.plan.suite).map_err(Failure::usage)?;
    let (info, results) = outcome::analyse(suite.as_ref(), &folder)?;
    let written = outcome::write(&folder, &info, &results, !args.no_plots);
    outcome::print(&results, &info)?;
    written?;
    eprintln!("report: {}", folder.path().join("report.html").display());
    Ok(Exit::Success)
}
