//! `llmbench run`: what the options ask for, measured, and what was found.

mod args;

use pipeline::{Exit, Failure, results};
use runner::Stopped;

pub use self::args::RunArgs;
use super::{dry_run, show};
use crate::terminal::Terminal;

/// Runs the verb.
///
/// # Errors
/// A [`Failure`] with the sentence to print and the exit code.
pub fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let options = args.options();
    if args.dry_run {
        return dry_run::show(&options);
    }
    let measured = pipeline::measure(&options, command_line(), &Terminal)?;
    let (suite, folder) = (measured.suite.as_ref(), &measured.folder);
    let name = &suite.spec().name;
    let reported = show::report(suite, folder, !options.no_plots);
    match measured.stopped {
        // Report and results may not fit on the disk either; the sentence says what ended the runs.
        None => {
            let exit = match reported {
                Ok(exit) => exit.min(Exit::CellsFailed),
                Err(failure) if failure.exit == Exit::Bug => return Err(failure),
                Err(_) => Exit::CellsFailed,
            };
            Err(Failure::new(exit, results::disk_full(folder, name)))
        }
        Some(Stopped::Interrupted) => {
            reported?;
            eprintln!("interrupted; go on with: llmbench run {name} --resume {}", folder.path().display());
            Ok(Exit::Interrupted)
        }
        Some(_) => reported,
    }
}

/// The command line; no option of it takes a secret.
fn command_line() -> Vec<String> {
    std::iter::once("llmbench".to_owned()).chain(std::env::args().skip(1)).collect()
}
