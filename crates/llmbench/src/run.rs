//! A run from Rust: what `llmbench run` does, with its records as values.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use record::protocol::ANSWER_FD_VAR;
use record::results::{ExperimentResult, Record, Results, RunInfo};
use runner::Stopped;

use crate::cli::args::{Cli, Verb};
use crate::cli::exit::{Exit, Failure};
use crate::cli::{outcome, run as verb};

/// Whether [`serve_if_worker`] was asked in this process.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Measures in this process if llmbench started it as a native worker: then the exit code to end with, else nothing.
///
/// Rust engines are measured in fresh processes of the program that runs the experiment, so a program that uses [`Run`]
/// must call this first thing in its `main`, before it writes or reads anything.
#[must_use = "a worker must end with this exit code"]
pub fn serve_if_worker() -> Option<ExitCode> {
    ASKED.store(true, Ordering::Relaxed);
    let worker = std::env::args().nth(1).is_some_and(|verb| verb == "worker");
    (worker && std::env::var_os(ANSWER_FD_VAR).is_some()).then(workers::main)
}

/// Settings of a run: the options of `llmbench run`, one method each; see `llmbench run --help`.
#[derive(Debug, Clone)]
pub struct Run {
    command: Vec<OsString>,
}

impl Run {
    /// A run of this suite, such as `preprocessing`, with its full settings.
    pub fn suite(name: &str) -> Self {
        Self { command: vec!["llmbench".into(), "run".into(), name.into()] }
    }

    /// Few runs in minutes: indicative.
    pub fn quick(self) -> Self {
        self.option("--quick")
    }

    /// Only these experiments, by name or number.
    pub fn experiments<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Self {
        names.into_iter().fold(self.option("--exp"), |run, name| run.option(name))
    }

    /// Points of the axis `tokens`, `turns`, `threads` or `batch`, in place of the suite's.
    pub fn axis(self, name: &str, values: impl IntoIterator<Item = u32>) -> Self {
        let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
        self.option(format!("--{name}")).option(values.join(","))
    }

    /// Numbers of runs after which the results are looked at; the last is the most that are made.
    pub fn runs(self, looks: impl IntoIterator<Item = u32>) -> Self {
        self.axis("runs", looks)
    }

    /// A folder with `tokenizer.json`, or a Hugging Face id; without this, the built-in model.
    pub fn model(self, name: &str) -> Self {
        self.option("--model").option(name)
    }

    /// A Python interpreter by path or version; again for several.
    pub fn python(self, interpreter: &str) -> Self {
        self.option("--python").option(interpreter)
    }

    /// Where the run folder goes; without this, `output`.
    pub fn output(self, folder: &Path) -> Self {
        self.option("--output").option(folder)
    }

    /// Any other option of `llmbench run`, or its value.
    pub fn option(mut self, text: impl Into<OsString>) -> Self {
        self.command.push(text.into());
        self
    }

    /// Sets up, measures, and analyses, as the command does; nothing goes to the standard output. The run folder is
    /// complete afterwards: samples, `results.csv`, figures, `report.html`.
    ///
    /// # Errors
    /// A sentence and the exit code of the command: a setting that makes no sense, a model that cannot be opened, a folder
    /// that cannot be written, or a program that did not call [`serve_if_worker`]. Cells that fail are no error here: their
    /// records say so, and [`Finished::exit`] is the worst of them.
    pub fn measure(self) -> Result<Finished, Failure> {
        if !ASKED.load(Ordering::Relaxed) {
            return Err(Failure::usage(
                "call llmbench::serve_if_worker first thing in main: Rust engines are measured there",
            ));
        }
        let args = match Cli::try_parse_from(&self.command).map_err(Failure::usage)?.verb {
            Verb::Run(args) => args,
            _ => return Err(Failure::bug("a run became another verb")),
        };
        let command = self.command.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let measured = verb::measure(&args, command)?;
        let (info, results) = outcome::analyse(measured.suite.as_ref(), &measured.folder)?;
        outcome::write(&measured.folder, &info, &results, !args.no_plots)?;
        let exit = match measured.stopped {
            Stopped::Interrupted => Exit::Interrupted,
            _ => outcome::exit(measured.suite.as_ref(), &info, &results),
        };
        Ok(Finished { folder: measured.folder.path().to_owned(), info, results, exit })
    }
}

/// What a run found.
#[derive(Debug)]
pub struct Finished {
    /// The run folder, with `report.html`.
    pub folder: PathBuf,
    /// Settings, versions, machine.
    pub info: RunInfo,
    /// Rows and findings.
    pub results: Results,
    /// The exit code of the command.
    pub exit: Exit,
}

impl Finished {
    /// The rows: one a cell and metric, with its interval.
    pub fn records(&self) -> &[Record] {
        &self.results.records
    }

    /// Each experiment with its findings, tables and figures.
    pub fn experiments(&self) -> &[ExperimentResult] {
        &self.results.experiments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_the_options_of_the_command() {
        let run =
            Run::suite("preprocessing").quick().experiments(["anatomy", "3"]).axis("tokens", [500, 900]).runs([2]);
        let wanted = [
            "llmbench",
            "run",
            "preprocessing",
            "--quick",
            "--exp",
            "anatomy",
            "3",
            "--tokens",
            "500,900",
            "--runs",
            "2",
        ];
        assert_eq!(run.command, wanted.map(OsString::from));
        assert!(Cli::try_parse_from(run.command).is_ok());
    }

    #[test]
    fn a_program_that_cannot_be_a_worker_is_told_so_and_a_wrong_setting_named() {
        let error = Run::suite("preprocessing").measure().unwrap_err();
        assert_eq!(error.exit, Exit::Usage);
        assert!(error.message.contains("serve_if_worker"), "{error}");
        assert!(serve_if_worker().is_none());
        let error = Run::suite("preprocessing").option("--no-such-option").measure().unwrap_err();
        assert!(error.message.contains("--no-such-option"), "{error}");
        let error = Run::suite("preprocesing").measure().unwrap_err();
        assert!(error.message.contains("preprocessing"), "{error}");
    }
}
