//! The way of a run as values, each step a type and a function that can be used alone:
//!
//! ```text
//! [RunOptions]  what was asked for; a plain value that run.json keeps
//!      │ Settings::of                with the --config file and the suite
//! [Settings]    what that means
//!      │ Provisions::make            model, interpreters with their packages, servers; for a dry run: Expected::of
//! [Provisions]
//!      │ plan::of
//! [Plan]
//!      │ Prepared::create            the run folder with its workloads; or Prepared::reopen, to go on with one
//! [Prepared]
//!      │ Prepared::measure
//! [Stopped]     samples in the run folder
//!      │ results::analyse
//! [Results]
//!      │ results::write
//! files
//! ```
//!
//! [`measure`] is all up to the samples. The command line, the library's `Run`, `--resume` and `advise` go this way. An
//! [`Observer`] sees how far it is; nothing here writes to a terminal.

pub mod exit;
pub mod input;
pub mod key;
mod measure;
pub mod model;
pub mod observer;
pub mod options;
pub mod plan;
pub mod provisions;
pub mod results;
pub mod resume;
pub mod settings;
mod settings_file;
pub mod subjects;
mod workloads;

use std::path::Path;

use host::Machine;
use record::folder::RunFolder;
use runner::Stopped;
use runner::interrupt::Interrupt;

pub use self::exit::{Exit, Failure};
pub use self::measure::{Clock, Origin, Prepared};
pub use self::observer::Observer;
pub use self::options::RunOptions;
pub use self::provisions::{Expected, Provisions};
pub use self::settings::Settings;
use suites::Suite;

/// A run that is over, or one that a full disk ended.
pub struct Measured {
    pub suite: Box<dyn Suite>,
    pub folder: RunFolder,
    /// None: the disk was full; the complete runs are there.
    pub stopped: Option<Stopped>,
}

/// From the options to the samples. `command` is what `run.json` tells to have been the command line.
///
/// # Errors
/// A [`Failure`] with the sentence to print and the exit code: a setting that makes no sense, something that the run needs and that cannot
/// be had, a folder that cannot be written. Cells that fail are none: their rows say so.
pub fn measure(options: &RunOptions, command: Vec<String>, observer: &dyn Observer) -> Result<Measured, Failure> {
    let resumed = options.resume.as_deref().map(|run| resume::open(run, options)).transpose()?;
    let options = resumed.as_ref().map_or(options, |resumed| &resumed.options);
    let settings = Settings::of(options)?;
    if let Some(note) = settings.key_note()? {
        observer.note(&format!("note: {note}"));
    }
    let interrupt = Interrupt::install().map_err(Failure::bug)?;
    let machine = probe(&settings.output);
    refuse_bad_environment(options.strict_env, &machine, observer)?;
    let clock = Clock::start()?;
    // Templates render with the time of the run that is gone on with.
    let timestamp = resumed.as_ref().map_or(clock.timestamp, |resumed| resumed.timestamp);
    let provisions = Provisions::make(&settings, machine, timestamp, &interrupt, observer)?;
    let plan = plan::of(&settings, &provisions.known())?;
    let prepared = match resumed {
        Some(resumed) => Prepared::reopen(resumed.folder, plan)?,
        None => {
            let origin = Origin { options, command, clock: &clock };
            Prepared::create(&settings, &provisions, plan, &origin, &interrupt, observer)?
        }
    };
    let stopped = prepared.measure(settings.suite.as_ref(), &provisions.model.paths, &interrupt, observer)?;
    Ok(Measured { suite: settings.suite, folder: prepared.folder, stopped })
}

/// What the machine is, seen from where the run folder goes.
pub fn probe(output: &Path) -> Machine {
    // The folder itself, or the nearest one above it that is there already.
    let existing = output.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    host::probe(&host::Roots::default(), existing)
}

/// The environment would make figures wrong; with `strict` nothing is measured then.
fn refuse_bad_environment(strict: bool, machine: &Machine, observer: &dyn Observer) -> Result<(), Failure> {
    let bad: Vec<String> = machine
        .bad()
        .iter()
        .map(|fact| {
            let remedy = fact.remedy.as_deref().map_or(String::new(), |remedy| format!(" ({remedy})"));
            format!("{}: {}{remedy}", fact.title, fact.value)
        })
        .collect();
    if strict && !bad.is_empty() {
        let message = format!("the environment is not fit for measuring: {}", bad.join("; "));
        return Err(Failure::new(Exit::EnvironmentRefused, message));
    }
    for line in bad {
        observer.remark(&format!("warning: {line}"));
    }
    Ok(())
}
