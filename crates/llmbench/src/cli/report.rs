//! `llmbench report`: the report of a run folder again, without measuring.

use clap::Args;
use pipeline::{Exit, Failure};
use std::path::{Path, PathBuf};

use record::folder::RunFolder;

use pipeline::results;

use super::show;

/// `llmbench report`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  llmbench report output/latest\n  llmbench report output/latest --no-plots")]
pub struct ReportArgs {
    /// A run folder, or `latest`.
    pub run: PathBuf,

    /// Draw no figures.
    #[arg(long)]
    pub no_plots: bool,
}

/// Renders the run again.
///
/// # Errors
/// Usage, when the folder is no run folder or of another schema version.
pub fn report(args: &ReportArgs) -> Result<Exit, Failure> {
    let folder = RunFolder::open(&args.run, Path::new("output")).map_err(Failure::usage)?;
    let suite = suites::find(&folder.read_info().map_err(Failure::usage)?.plan.suite).map_err(Failure::usage)?;
    let (info, found) = results::analyse(suite.as_ref(), &folder)?;
    let written = results::write(&folder, &info, &found, !args.no_plots);
    show::print(&found, &info)?;
    written?;
    eprintln!("report: {}", folder.path().join("report.html").display());
    Ok(Exit::Success)
}
