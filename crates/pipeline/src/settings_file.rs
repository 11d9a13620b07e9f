//! The `--config` file: settings between the options and the suite.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::exit::Failure;
use super::input;
use suites::axes;
use suites::spec::{ExperimentSpec, Override, SuiteSpec, suggestion};

/// What a `--config` file may say.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingsFile {
    pub quick: Option<bool>,
    #[serde(default)]
    pub exp: Vec<ExperimentName>,
    pub model: Option<String>,
    #[serde(default)]
    pub python: Vec<String>,
    pub no_env: Option<bool>,
    pub output: Option<PathBuf>,
    pub workload: Option<String>,
    pub dataset: Option<PathBuf>,
    pub seed: Option<u64>,
    pub runs: Option<Vec<u32>>,
    pub blocks: Option<u32>,
    pub budget_s: Option<f64>,
    /// Axes and parameters by experiment name.
    #[serde(default)]
    pub experiment: BTreeMap<String, Override>,
}

/// An experiment by number or name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum ExperimentName {
    Number(u32),
    Name(String),
}

impl ExperimentName {
    /// As on the command line.
    pub fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Name(name) => name.clone(),
        }
    }
}

impl SettingsFile {
    /// Reads a settings file and checks that the suite knows all that it says.
    ///
    /// # Errors
    /// Usage: the file cannot be read or is not TOML, or a key or value in it makes no sense; each names the file.
    pub fn read(path: &Path, spec: &SuiteSpec) -> Result<Self, Failure> {
        let text = input::read_text("--config", path)?;
        let wrong = |problem: String| Failure::usage(format!("--config {}: {problem}", path.display()));
        let config: Self = toml::from_str(&text).map_err(|error| wrong(parse_problem(&text, &error)))?;
        config.check(spec).map_err(wrong)?;
        Ok(config)
    }

    fn check(&self, spec: &SuiteSpec) -> Result<(), String> {
        if let Some(runs) = self.runs.as_ref().filter(|runs| runs.is_empty() || runs.contains(&0)) {
            return Err(format!("runs = {runs:?} makes no sense; give numbers of runs from 1 on, such as runs = [5]"));
        }
        if self.blocks == Some(0) {
            return Err("blocks = 0 makes no sense; use a number from 1 on".to_owned());
        }
        if let Some(budget) = self.budget_s.filter(|budget| !(budget.is_finite() && *budget > 0.0)) {
            return Err(format!("budget_s = {budget} is no length of time; use seconds over 0"));
        }
        let kinds = ["words".to_owned(), "letters".to_owned()];
        if let Some(kind) = self.workload.as_ref().filter(|kind| !kinds.contains(kind)) {
            return Err(format!("workload = \"{kind}\" is not known{}", suggestion(kind, &kinds)));
        }
        let wanted: Vec<String> = self.exp.iter().map(ExperimentName::text).collect();
        spec.select(&wanted).map_err(|problem| format!("exp: {problem}"))?;
        for (name, layer) in &self.experiment {
            let Some(experiment) = spec.experiments.iter().find(|experiment| experiment.name == *name) else {
                let names: Vec<String> = spec.experiments.iter().map(|experiment| experiment.name.clone()).collect();
                return Err(format!("there is no experiment `{name}`{}", suggestion(name, &names)));
            };
            check_layer(experiment, layer).map_err(|problem| format!("[experiment.{name}] {problem}"))?;
        }
        Ok(())
    }
}

/// Axes and parameters of an experiment are those of `suite.toml`.
fn check_layer(experiment: &ExperimentSpec, layer: &Override) -> Result<(), String> {
    for (axis, values) in &layer.axes {
        let Some(default) = experiment.axes.get(axis) else {
            let known: Vec<String> = experiment.axes.keys().cloned().collect();
            return Err(format!("has no axis `{axis}`{}", suggestion(axis, &known)));
        };
        if axes::numbers(axis, default, 1).is_ok() {
            axes::numbers(axis, values, 1)?;
            continue;
        }
        let known = axes::words(default);
        if values.is_empty() {
            return Err(format!("{axis} has no value; give at least one of {}", known.join(", ")));
        }
        // `all` stands for names that the experiment itself knows, and checks.
        if known.iter().any(|word| word == "all") {
            continue;
        }
        if let Some(word) = axes::words(values).into_iter().find(|word| !known.contains(word)) {
            return Err(format!("{axis} = \"{word}\" is not known{}", suggestion(&word, &known)));
        }
    }
    let layers = [&experiment.params, &experiment.quick.params, &experiment.full.params];
    let known: BTreeSet<&String> =
        layers.into_iter().flat_map(BTreeMap::keys).chain(&experiment.optional_params).collect();
    for (name, value) in &layer.params {
        if !known.contains(name) {
            if known.is_empty() {
                return Err(format!("has no parameters, so `{name}` means nothing; take it out"));
            }
            let known: Vec<String> = known.into_iter().cloned().collect();
            return Err(format!("has no parameter `{name}`{}", suggestion(name, &known)));
        }
        if !(value.is_finite() && *value > 0.0) {
            return Err(format!("{name} = {value} makes no sense; use a number over 0"));
        }
    }
    Ok(())
}

/// The parser's complaint in one line, with its place and the key that was probably meant.
fn parse_problem(text: &str, error: &toml::de::Error) -> String {
    let place = error.span().map_or(String::new(), |span| {
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        format!("line {line}, column {column}: ")
    });
    let message = error.message();
    // `unknown field `a`, expected one of `b`, `c``: every second part is a name.
    if let Some(names) = message.strip_prefix("unknown field ") {
        let names: Vec<String> = names.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        if let [unknown, known @ ..] = names.as_slice() {
            return format!("{place}there is no setting `{unknown}`{}", suggestion(unknown, known));
        }
    }
    format!("{place}{}; correct it there", message.trim().replace('\n', ", ").replace("a sequence", "a list in [ ]"))
}
