//! A run from Rust: what `llmbench run` does, with its records as values.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use pipeline::options::ProfileName;
use pipeline::{Exit, Failure, Observer, RunOptions, results as outcome};
use record::protocol::ANSWER_FD_VAR;
use record::results::{ExperimentResult, Record, Results, RunInfo};
use runner::Stopped;
use suites::axes::AxisValue;

use crate::terminal::Terminal;

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

/// Options of a run: those of `llmbench run`, one method each; see `llmbench run --help`.
#[derive(Debug, Clone)]
pub struct Run {
    options: RunOptions,
}

impl Run {
    /// A run of this suite, such as `preprocessing`, with its full settings.
    pub fn suite(name: &str) -> Self {
        Self { options: RunOptions::suite(name) }
    }

    /// Few runs in minutes: indicative.
    pub fn quick(mut self) -> Self {
        self.options.profile = Some(ProfileName::Quick);
        self
    }

    /// All points, until the intervals are narrow or the time is over, whatever [`Run::config`] says.
    pub fn full(mut self) -> Self {
        self.options.profile = Some(ProfileName::Full);
        self
    }

    /// Only these experiments, by name or number, or `all`.
    pub fn experiments<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.options.experiments.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// Points of the axis `tokens`, `turns`, `threads`, `batch` or `concurrency`, in place of the suite's.
    pub fn axis(mut self, name: &str, values: impl IntoIterator<Item = u32>) -> Self {
        self.options.axes.insert(name.to_owned(), numbers(values));
        self
    }

    /// A service level that max-rate looks for, such as `ttft:p99:500ms tpot:p95:50ms`; again for several.
    pub fn slo(mut self, level: &str) -> Self {
        self.options.axes.entry("level".to_owned()).or_default().push(AxisValue::Text(level.to_owned()));
        self
    }

    /// A parameter of experiments, over 0: `requests`, `gpu_step_ms`, `cpu_hour_price`, `demand_per_s` or `replica_hour_price`.
    pub fn parameter(mut self, name: &str, value: f64) -> Self {
        self.options.parameters.insert(name.to_owned(), value);
        self
    }

    /// Numbers of runs after which the results are looked at; the last is the most that are made.
    pub fn runs(mut self, looks: impl IntoIterator<Item = u32>) -> Self {
        self.options.runs = numbers(looks);
        self
    }

    /// A folder with `tokenizer.json`, or a Hugging Face id; without this, the built-in model.
    pub fn model(mut self, name: &str) -> Self {
        self.options.model = Some(name.to_owned());
        self
    }

    /// A Python interpreter by path or version; again for several.
    pub fn python(mut self, interpreter: &str) -> Self {
        self.options.python.push(interpreter.to_owned());
        self
    }

    /// Uses what the interpreter has installed in place of an environment of llmbench's own.
    pub fn no_env(mut self) -> Self {
        self.options.no_env = true;
        self
    }

    /// The server that the serving suite asks: `http://HOST:PORT`, `https://HOST` or `unix:PATH`; without this, the mock.
    pub fn base_url(mut self, url: &str) -> Self {
        self.options.server.base_url = Some(url.to_owned());
        self
    }

    /// The server's name of the model; without this, the first of its list.
    pub fn model_name(mut self, name: &str) -> Self {
        self.options.server.model_name = Some(name.to_owned());
        self
    }

    /// The environment variable with the server's API key.
    pub fn api_key_env(mut self, variable: &str) -> Self {
        self.options.server.key_env = Some(variable.to_owned());
        self
    }

    /// Sends the key in plain text to a server on another machine.
    pub fn insecure_key(mut self) -> Self {
        self.options.server.insecure_key = true;
        self
    }

    /// Text of the generated conversations: `words` or `letters`.
    pub fn workload(mut self, kind: &str) -> Self {
        self.options.workload = Some(kind.to_owned());
        self
    }

    /// Real conversations in place of generated ones: ShareGPT JSON, JSONL of OpenAI messages, or plain text.
    pub fn dataset(mut self, file: &Path) -> Self {
        self.options.dataset = Some(file.to_owned());
        self
    }

    /// Leaves out requests of the dataset that the model's template refuses.
    pub fn skip_refused(mut self) -> Self {
        self.options.skip_refused = true;
        self
    }

    /// Seed of texts, orders and offsets.
    pub fn seed(mut self, seed: u64) -> Self {
        self.options.seed = Some(seed);
        self
    }

    /// A TOML file with settings; what is set here wins over it.
    pub fn config(mut self, file: &Path) -> Self {
        self.options.config = Some(file.to_owned());
        self
    }

    /// Goes on with an interrupted run: a folder, or `latest`.
    pub fn resume(mut self, run: &Path) -> Self {
        self.options.resume = Some(run.to_owned());
        self
    }

    /// Refuses to measure where the environment would make figures wrong.
    pub fn strict_env(mut self) -> Self {
        self.options.strict_env = true;
        self
    }

    /// Draws no figures.
    pub fn no_plots(mut self) -> Self {
        self.options.no_plots = true;
        self
    }

    /// Where the run folder goes; without this, `output`.
    pub fn output(mut self, folder: &Path) -> Self {
        self.options.output = Some(folder.to_owned());
        self
    }

    /// The options as a value.
    pub fn options(&self) -> &RunOptions {
        &self.options
    }

    /// Sets up, measures, and analyses, as the command does; nothing goes to the standard output, and to stderr what the command says
    /// there. The run folder is complete afterwards: samples, `results.csv`, figures, `report.html`.
    ///
    /// # Errors
    /// A sentence and the exit code of the command: a setting that makes no sense, a model that cannot be opened, a folder
    /// that cannot be written, or a program that did not call [`serve_if_worker`]. Cells that fail are no error here: their
    /// records say so, and [`Finished::exit`] is the worst of them.
    pub fn measure(self) -> Result<Finished, Failure> {
        self.measure_with(&Terminal)
    }

    /// The same with an observer of one's own, such as [`pipeline::observer::Silent`].
    ///
    /// # Errors
    /// As [`Run::measure`].
    pub fn measure_with(self, observer: &dyn Observer) -> Result<Finished, Failure> {
        if !ASKED.load(Ordering::Relaxed) {
            return Err(Failure::usage(
                "call llmbench::serve_if_worker first thing in main: Rust engines are measured there",
            ));
        }
        let measured = pipeline::measure(&self.options, self.options.command(), observer)?;
        let suite = measured.suite.as_ref();
        let Some(stopped) = measured.stopped else {
            let sentence = outcome::disk_full(&measured.folder, &suite.spec().name);
            return Err(Failure::new(Exit::CellsFailed, sentence));
        };
        let (info, results) = outcome::analyse(suite, &measured.folder)?;
        outcome::write(&measured.folder, &info, &results, !self.options.no_plots)?;
        let exit = match stopped {
            Stopped::Interrupted => Exit::Interrupted,
            _ => outcome::exit(suite, &info, &results),
        };
        Ok(Finished { folder: measured.folder.path().to_owned(), info, results, exit })
    }
}

/// A run with these options, for instance those of another run's `run.json`.
impl From<RunOptions> for Run {
    fn from(options: RunOptions) -> Self {
        Self { options }
    }
}

fn numbers(values: impl IntoIterator<Item = u32>) -> Vec<AxisValue> {
    values.into_iter().map(AxisValue::Number).collect()
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
        let words = run.options().command();
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
        assert_eq!(words, wanted);
        assert_eq!(crate::cli::run::RunArgs::options_of(&words).as_ref(), Some(run.options()));
    }

    #[test]
    fn a_program_that_cannot_be_a_worker_is_told_so_and_a_wrong_setting_named() {
        let error = Run::suite("preprocessing").measure().unwrap_err();
        assert_eq!(error.exit, Exit::Usage);
        assert!(error.message.contains("serve_if_worker"), "{error}");
        assert!(serve_if_worker().is_none());
        let error = Run::suite("preprocessing").axis("tokns", [1]).measure().unwrap_err();
        assert!(error.message.contains("tokens"), "{error}");
        let error = Run::suite("preprocessing").parameter("gpu_step_ms", f64::NAN).measure().unwrap_err();
        assert!(error.message.contains("--gpu-step-ms"), "{error}");
        let error = Run::suite("preprocesing").measure().unwrap_err();
        assert!(error.message.contains("preprocessing"), "{error}");
    }
}
