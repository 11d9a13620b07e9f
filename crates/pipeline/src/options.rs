//! What a run is asked for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use suites::axes::{AxisValue, words};

/// The options of a run. What is not said (None, empty, false) is as the `--config` file says, and else as the suite does.
///
/// A plain value: the command line is parsed into it, the library's `Run` sets it, `run.json` keeps it, and `--resume` reads it there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunOptions {
    pub suite: String,
    pub profile: Option<ProfileName>,
    /// By number or name, or `all`.
    pub experiments: Vec<String>,
    /// A folder with tokenizer.json, a Hugging Face id, or `built-in`.
    pub model: Option<String>,
    /// Interpreters by path or version.
    pub python: Vec<String>,
    /// Use what the interpreter has installed in place of an environment of our own.
    pub no_env: bool,
    /// Where the run folder goes.
    pub output: Option<PathBuf>,
    /// Points in place of the suite's, by the names in [`AXES`]; experiments without such an axis go by their own.
    pub axes: BTreeMap<String, Vec<AxisValue>>,
    /// Parameters of the experiments, by the names in [`PARAMETERS`].
    pub parameters: BTreeMap<String, f64>,
    pub server: ServerOptions,
    /// `words` or `letters`.
    pub workload: Option<String>,
    /// Real conversations in place of generated ones.
    pub dataset: Option<PathBuf>,
    /// Leave out requests of the dataset that the model's template refuses.
    pub skip_refused: bool,
    /// Numbers of runs after which the results are looked at; the last is the most that are made.
    pub runs: Vec<AxisValue>,
    /// Of texts, orders and offsets.
    pub seed: Option<u64>,
    /// A TOML file with settings; these options win over it.
    pub config: Option<PathBuf>,
    /// Go on with this run: a folder, or `latest`.
    pub resume: Option<PathBuf>,
    /// Refuse to measure where the environment would make figures wrong.
    pub strict_env: bool,
    /// Draw no figures.
    pub no_plots: bool,
}

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProfileName {
    /// Few runs in minutes: indicative.
    Quick,
    /// All points, until the intervals are narrow or the time is over.
    Full,
}

impl ProfileName {
    /// As in plans.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }
}

/// The server that a suite asks; none for the mock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerOptions {
    /// `http://HOST:PORT`, `https://HOST` or `unix:PATH`.
    pub base_url: Option<String>,
    /// The server's name of the model.
    pub model_name: Option<String>,
    /// The environment variable that holds the key.
    pub key_env: Option<String>,
    /// The key may go to another machine in plain text.
    pub insecure_key: bool,
}

impl ServerOptions {
    /// Whether anything was said of a server.
    pub fn is_named(&self) -> bool {
        *self != Self::default()
    }
}

/// Axes that a run's options may set, and the option of the command line for each.
pub const AXES: [(&str, &str); 6] = [
    ("threads", "--threads"),
    ("tokens", "--tokens"),
    ("turns", "--turns"),
    ("batch", "--batch"),
    ("concurrency", "--concurrency"),
    ("level", "--slo"),
];

/// A parameter of experiments that a run's options may set. All are numbers over 0.
pub struct Parameter {
    pub name: &'static str,
    /// Of the command line.
    pub option: &'static str,
    /// What is wrong with another number, and what to give.
    pub remedy: &'static str,
    /// Counts something.
    pub whole: bool,
}

/// All of them.
pub const PARAMETERS: [Parameter; 5] = [
    Parameter { name: "requests", option: "--requests", remedy: "makes no sense; use a number from 1 on", whole: true },
    Parameter {
        name: "gpu_step_ms",
        option: "--gpu-step-ms",
        remedy: "is no length of time; use milliseconds over 0",
        whole: false,
    },
    Parameter {
        name: "cpu_hour_price",
        option: "--cpu-hour-price",
        remedy: "is no price; use USD an hour of one core, over 0",
        whole: false,
    },
    Parameter { name: "demand_per_s", option: "--demand", remedy: "makes no sense; use a number over 0", whole: false },
    Parameter {
        name: "replica_hour_price",
        option: "--replica-hour-price",
        remedy: "makes no sense; use a number over 0",
        whole: false,
    },
];

impl RunOptions {
    /// Those of a suite where nothing else is said.
    pub fn suite(name: &str) -> Self {
        Self { suite: name.to_owned(), ..Self::default() }
    }

    /// The command line that means the same, in words.
    pub fn command(&self) -> Vec<String> {
        let mut words: Vec<String> = ["llmbench", "run", &self.suite].map(str::to_owned).to_vec();
        let mut flag = |name: &str, is_set: bool| words.extend(is_set.then(|| name.to_owned()));
        flag("--quick", self.profile == Some(ProfileName::Quick));
        flag("--full", self.profile == Some(ProfileName::Full));
        flag("--no-env", self.no_env);
        flag("--skip-refused", self.skip_refused);
        flag("--insecure-key", self.server.insecure_key);
        flag("--strict-env", self.strict_env);
        flag("--no-plots", self.no_plots);
        if !self.experiments.is_empty() {
            words.push("--exp".to_owned());
            words.extend(self.experiments.iter().cloned());
        }
        let mut option = |name: &str, value: Option<String>| {
            words.extend(value.map(|value| [name.to_owned(), value]).into_iter().flatten());
        };
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
        option("--model", self.model.clone());
        for python in &self.python {
            option("--python", Some(python.clone()));
        }
        option("--output", path(&self.output));
        for (axis, name) in AXES {
            let Some(values) = self.axes.get(axis) else { continue };
            if axis == "level" {
                // A level has commas of its own.
                self::words(values).into_iter().for_each(|level| option(name, Some(level)));
            } else {
                option(name, Some(self::words(values).join(",")));
            }
        }
        for Parameter { name, option: of_command, .. } in &PARAMETERS {
            option(of_command, self.parameters.get(*name).map(f64::to_string));
        }
        option("--base-url", self.server.base_url.clone());
        option("--model-name", self.server.model_name.clone());
        option("--api-key-env", self.server.key_env.clone());
        option("--workload", self.workload.clone());
        option("--dataset", path(&self.dataset));
        option("--runs", (!self.runs.is_empty()).then(|| self::words(&self.runs).join(",")));
        option("--seed", self.seed.map(|seed| seed.to_string()));
        option("--config", path(&self.config));
        option("--resume", path(&self.resume));
        words
    }
}
