//! A run that is gone on with.

use std::path::{Path, PathBuf};

use record::folder::RunFolder;
use record::results::RunInfo;

use super::exit::Failure;
use super::options::RunOptions;

/// A run folder and what was asked for when it was made.
pub struct Resumed {
    pub folder: RunFolder,
    /// Those of `run.json`, and of the resuming command what concerns only how it is gone on with.
    pub options: RunOptions,
    /// Of its plan, Unix seconds.
    pub timestamp: i64,
}

/// Opens `run`, a folder or the name of one in the output folder.
///
/// # Errors
/// Usage: there is no such run, it is one of another suite, or its options are not those of this llmbench.
pub fn open(run: &Path, options: &RunOptions) -> Result<Resumed, Failure> {
    let output = options.output.clone().unwrap_or_else(|| PathBuf::from("output"));
    let folder = RunFolder::open(run, &output).map_err(Failure::usage)?;
    let info = folder.read_info().map_err(Failure::usage)?;
    let recorded = recorded(&info).ok_or_else(|| {
        Failure::usage(format!("{}: its run.json keeps no options of this llmbench; start a new run", run.display()))
    })?;
    if recorded.suite != options.suite {
        let suite = &recorded.suite;
        return Err(Failure::usage(format!(
            "{} is a run of the suite {suite}: llmbench run {suite} --resume …",
            run.display()
        )));
    }
    let options = RunOptions {
        resume: Some(folder.path().to_path_buf()),
        output: Some(output),
        no_plots: options.no_plots,
        strict_env: options.strict_env,
        ..recorded
    };
    Ok(Resumed { folder, options, timestamp: info.plan.timestamp })
}

/// The options that `run.json` keeps; None where it has none, or those of another llmbench.
pub fn recorded(info: &RunInfo) -> Option<RunOptions> {
    serde_json::from_value(info.options.clone()).ok().filter(|options: &RunOptions| !options.suite.is_empty())
}
