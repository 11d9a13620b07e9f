//! A run's settings from their layers: command line, then `--config`, then `suite.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use loadgen::serving::target::Target;
use serde::Deserialize;

use super::args::{AxisList, RunArgs};
use super::exit::Failure;
use super::files;
use crate::load::key::Key;
use suites::axes::{self, AxisValue};
use suites::settings::ExperimentSettings;
use suites::spec::{ExperimentSpec, Override, Profile, SuiteSpec, suggestion};

/// What a `--config` file may say.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
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

/// The settings of a run after all layers.
#[derive(Debug, Clone)]
pub struct RunConfig {
    /// `quick` or `full`.
    pub profile_name: String,
    pub profile: Profile,
    pub experiments: Vec<ExperimentSpec>,
    pub settings: Vec<ExperimentSettings>,
    pub model: Option<String>,
    pub python: Vec<String>,
    pub no_env: bool,
    pub output: PathBuf,
    /// `words`, `letters` or `dataset`.
    pub workload: String,
    pub dataset: Option<PathBuf>,
    pub skip_refused: bool,
    pub seed: u64,
    pub server: ServerConfig,
}

/// The server that the serving suite asks; none for the mock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerConfig {
    pub base_url: Option<String>,
    pub model_name: Option<String>,
    pub key_env: Option<String>,
    /// The key may go to another machine in plain text.
    pub insecure_key: bool,
}

impl ServerConfig {
    /// Whether anything was said of a server.
    pub fn is_named(&self) -> bool {
        *self != Self::default()
    }

    /// Says which variable holds the key and where it will be sent; None where there is no key.
    ///
    /// # Errors
    /// Usage: it would leave this machine in plain text.
    pub fn key_note(&self) -> Result<Option<String>, Failure> {
        let (Some(url), Some(variable)) = (&self.base_url, &self.key_env) else { return Ok(None) };
        let target: Target = url.parse().map_err(Failure::usage)?;
        let key = Key::read(variable, &target, self.insecure_key).map_err(Failure::usage)?;
        Ok(key.map(|key| key.note(&target)))
    }
}

impl RunConfig {
    /// Lays the command line over the `--config` file over the suite.
    ///
    /// # Errors
    /// Usage: an unknown experiment, a bad number, a file that cannot be read.
    pub fn layered(args: &RunArgs, spec: &SuiteSpec) -> Result<Self, Failure> {
        let file = match &args.config {
            Some(path) => FileConfig::read(path, spec)?,
            None => FileConfig::default(),
        };
        let quick = args.quick || (!args.full && file.quick.unwrap_or(false));
        let mut profile = if quick { spec.quick.clone() } else { spec.full.clone() };
        if let Some(runs) = &args.runs {
            profile.looks = axes::numbers("--runs", &runs.0, 1).map_err(Failure::usage)?;
        } else if let Some(runs) = &file.runs {
            profile.looks.clone_from(runs);
        }
        profile.looks.sort_unstable();
        profile.looks.dedup();
        profile.blocks = file.blocks.unwrap_or(profile.blocks);

        let wanted: Vec<String> = if args.exp.is_empty() {
            file.exp.iter().map(ExperimentName::text).collect()
        } else {
            // `--exp 1,3` is what some type for `--exp 1 3`.
            args.exp
                .iter()
                .flat_map(|names| names.split(','))
                .map(str::to_owned)
                .filter(|name| !name.is_empty())
                .collect()
        };
        let experiments: Vec<ExperimentSpec> =
            spec.select(&wanted).map_err(Failure::usage)?.into_iter().cloned().collect();
        let more = experiments.iter().filter_map(|experiment| {
            let of_profile = if quick { &experiment.quick } else { &experiment.full };
            of_profile.budget_s
        });
        profile.budget_s = file.budget_s.unwrap_or(profile.budget_s + more.sum::<f64>());
        let from_args = override_of(args)?;
        let settings = experiments
            .iter()
            .map(|experiment| {
                let of_profile = if quick { &experiment.quick } else { &experiment.full };
                let of_file = file.experiment.get(&experiment.name).cloned().unwrap_or_default();
                ExperimentSettings::layered(experiment, &[of_profile, &of_file, &from_args])
            })
            .collect();
        let dataset = args.dataset.clone().or(file.dataset);
        if let Some(path) = &dataset {
            files::check("--dataset", path)?;
        }
        let workload = match &dataset {
            Some(_) => "dataset".to_owned(),
            None => args.workload.clone().or(file.workload).unwrap_or_else(|| "words".to_owned()),
        };
        Ok(Self {
            profile_name: if quick { "quick" } else { "full" }.to_owned(),
            profile,
            experiments,
            settings,
            model: args.model.clone().or(file.model),
            python: if args.python.is_empty() { file.python } else { args.python.clone() },
            no_env: args.no_env || file.no_env.unwrap_or(false),
            output: args.output.clone().or(file.output).unwrap_or_else(|| PathBuf::from("output")),
            workload,
            dataset,
            skip_refused: args.skip_refused,
            seed: args.seed.or(file.seed).unwrap_or(1),
            server: ServerConfig {
                base_url: args.base_url.as_deref().map(base_url).transpose()?,
                model_name: args.model_name.clone(),
                key_env: args.api_key_env.clone(),
                insecure_key: args.insecure_key,
            },
        })
    }
}

impl ExperimentName {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Name(name) => name.clone(),
        }
    }
}

impl FileConfig {
    /// Reads a settings file and checks that the suite knows all that it says.
    ///
    /// # Errors
    /// Usage: the file cannot be read or is not TOML, or a key or value in it makes no sense; each names the file.
    fn read(path: &Path, spec: &SuiteSpec) -> Result<Self, Failure> {
        let text = files::read_text("--config", path)?;
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

/// A base URL as it is written down; read here and not by the parser of the command line, which would repeat a password in its complaint.
fn base_url(text: &str) -> Result<String, Failure> {
    text.parse::<Target>()
        .map(|target| target.to_string())
        .map_err(|error| Failure::usage(format!("--base-url: {error}")))
}

fn override_of(args: &RunArgs) -> Result<Override, Failure> {
    let mut layer = Override::default();
    let axes: [(&str, &Option<AxisList>); 4] =
        [("threads", &args.threads), ("tokens", &args.tokens), ("turns", &args.turns), ("batch", &args.batch)];
    for (axis, values) in axes {
        if let Some(AxisList(values)) = values {
            layer.axes.insert(axis.to_owned(), values.clone() as Vec<AxisValue>);
        }
    }
    if !args.slo.is_empty() {
        layer
            .axes
            .insert("level".to_owned(), args.slo.iter().map(|level| AxisValue::Text(level.to_string())).collect());
    }
    if let Some(AxisList(values)) = &args.concurrency {
        layer.axes.insert("concurrency".to_owned(), values.clone());
    }
    for (name, option, value) in [
        ("demand_per_s", "--demand", args.demand),
        ("replica_hour_price", "--replica-hour-price", args.replica_hour_price),
    ] {
        let Some(value) = value else { continue };
        if !(value.is_finite() && value > 0.0) {
            return Err(Failure::usage(format!("{option} {value} makes no sense; use a number over 0")));
        }
        layer.params.insert(name.to_owned(), value);
    }
    if let Some(requests) = args.requests {
        if requests == 0 {
            return Err(Failure::usage("--requests 0 makes no sense; use a number from 1 on"));
        }
        layer.params.insert("requests".to_owned(), requests as f64);
    }
    if let Some(step) = args.gpu_step_ms {
        if !(step.is_finite() && step > 0.0) {
            return Err(Failure::usage(format!("--gpu-step-ms {step} is no length of time; use milliseconds over 0")));
        }
        layer.params.insert("gpu_step_ms".to_owned(), step);
    }
    if let Some(price) = args.cpu_hour_price {
        if !(price.is_finite() && price > 0.0) {
            return Err(Failure::usage(format!(
                "--cpu-hour-price {price} is no price; use USD an hour of one core, over 0"
            )));
        }
        layer.params.insert("cpu_hour_price".to_owned(), price);
    }
    Ok(layer)
}
