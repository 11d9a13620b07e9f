//! A run's settings from their layers: command line, then `--config`, then `suite.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::args::{AxisList, RunArgs};
use super::exit::Failure;
use crate::suites::axes::AxisValue;
use crate::suites::settings::ExperimentSettings;
use crate::suites::spec::{ExperimentSpec, Override, Profile, SuiteSpec, suggestion};

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
}

impl RunConfig {
    /// Lays the command line over the `--config` file over the suite.
    ///
    /// # Errors
    /// Usage: an unknown experiment, a bad number, a file that cannot be read.
    pub fn layered(args: &RunArgs, spec: &SuiteSpec) -> Result<Self, Failure> {
        let file = args.config.as_deref().map(read).transpose()?.unwrap_or_default();
        let quick = args.quick || (!args.full && file.quick.unwrap_or(false));
        let mut profile = if quick { spec.quick.clone() } else { spec.full.clone() };
        if let Some(runs) = &args.runs {
            profile.looks = crate::suites::axes::numbers("--runs", &runs.0, 1).map_err(Failure::usage)?;
        } else if let Some(runs) = &file.runs {
            profile.looks.clone_from(runs);
        }
        if profile.looks.is_empty() || profile.looks.contains(&0) {
            return Err(Failure::usage("runs must be numbers from 1 on"));
        }
        profile.looks.sort_unstable();
        profile.blocks = file.blocks.unwrap_or(profile.blocks).max(1);
        profile.budget_s = file.budget_s.unwrap_or(profile.budget_s);

        let names = experiment_names(spec);
        if let Some(unknown) = file.experiment.keys().find(|name| !names.contains(name)) {
            return Err(Failure::usage(format!(
                "--config: there is no experiment `{unknown}`{}",
                suggestion(unknown, &names)
            )));
        }
        for experiment in &spec.experiments {
            let axes = file.experiment.get(&experiment.name).into_iter().flat_map(|layer| layer.axes.keys());
            if let Some(unknown) = axes.into_iter().find(|axis| !experiment.axes.contains_key(*axis)) {
                let known: Vec<String> = experiment.axes.keys().cloned().collect();
                return Err(Failure::usage(format!(
                    "--config: the experiment {} has no axis `{unknown}`{}",
                    experiment.name,
                    suggestion(unknown, &known)
                )));
            }
        }
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
        let workload = match (&dataset, args.workload.clone().or(file.workload)) {
            (Some(_), _) => "dataset".to_owned(),
            (None, Some(kind)) if kind == "words" || kind == "letters" => kind,
            (None, Some(kind)) => {
                return Err(Failure::usage(format!("workload is `{kind}`; it can be words or letters")));
            }
            (None, None) => "words".to_owned(),
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

fn experiment_names(spec: &SuiteSpec) -> Vec<String> {
    spec.experiments.iter().map(|experiment| experiment.name.clone()).collect()
}

fn read(path: &Path) -> Result<FileConfig, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("--config {}: {error}", path.display())))?;
    toml::from_str(&text).map_err(|error| Failure::usage(format!("--config {}: {error}", path.display())))
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
    Ok(layer)
}
