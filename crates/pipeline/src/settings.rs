//! What the options of a run mean: laid over the `--config` file, and that over the suite.

use std::path::PathBuf;

use loadgen::serving::target::Target;

use super::exit::{Exit, Failure};
use super::input;
use super::key::Key;
use super::options::{AXES, PARAMETERS, Parameter, ProfileName, RunOptions, ServerOptions};
use super::settings_file::{ExperimentName, SettingsFile};
use suites::settings::{ExperimentSettings, SubjectKind};
use suites::spec::{ExperimentSpec, Override, Profile, SuiteSpec, suggestion};
use suites::{Suite, axes};

/// The settings of a run after all layers. Nothing in them is a wish any more: every field has its value.
pub struct Settings {
    pub suite: Box<dyn Suite>,
    pub profile_name: ProfileName,
    pub profile: Profile,
    pub experiments: Vec<ExperimentSpec>,
    pub experiment_settings: Vec<ExperimentSettings>,
    /// None: the built-in model.
    pub model: Option<String>,
    /// Interpreters by path or version; none: the default one.
    pub python: Vec<String>,
    pub no_env: bool,
    pub output: PathBuf,
    /// `words`, `letters` or `dataset`.
    pub workload: String,
    pub dataset: Option<PathBuf>,
    pub skip_refused: bool,
    pub seed: u64,
    /// Its base URL is in the form in which it is written down.
    pub server: ServerOptions,
}

impl Settings {
    /// Lays the options over the `--config` file over the suite.
    ///
    /// # Errors
    /// Usage: an unknown suite or experiment, a bad number, a file that cannot be read, a server that the suite does not ask, a key that
    /// would leave in plain text. Nothing selected: no experiment.
    pub fn of(options: &RunOptions) -> Result<Self, Failure> {
        let suite = suites::find(&options.suite).map_err(Failure::usage)?;
        let spec = suite.spec();
        let file = match &options.config {
            Some(path) => SettingsFile::read(path, spec)?,
            None => SettingsFile::default(),
        };
        let of_file = if file.quick.unwrap_or(false) { ProfileName::Quick } else { ProfileName::Full };
        let profile_name = options.profile.unwrap_or(of_file);
        let of_profile = |experiment: &ExperimentSpec| match profile_name {
            ProfileName::Quick => experiment.quick.clone(),
            ProfileName::Full => experiment.full.clone(),
        };
        let experiments = selected(options, &file, spec)?;
        let mut profile = match profile_name {
            ProfileName::Quick => spec.quick.clone(),
            ProfileName::Full => spec.full.clone(),
        };
        if !options.runs.is_empty() {
            profile.looks = axes::numbers("--runs", &options.runs, 1).map_err(Failure::usage)?;
        } else if let Some(runs) = &file.runs {
            profile.looks.clone_from(runs);
        }
        profile.looks.sort_unstable();
        profile.looks.dedup();
        profile.blocks = file.blocks.unwrap_or(profile.blocks);
        let more: f64 = experiments.iter().filter_map(|experiment| of_profile(experiment).budget_s).sum();
        profile.budget_s = file.budget_s.unwrap_or(profile.budget_s + more);

        let of_options = layer(options)?;
        let experiment_settings = experiments
            .iter()
            .map(|experiment| {
                let of_file = file.experiment.get(&experiment.name).cloned().unwrap_or_default();
                ExperimentSettings::layered(experiment, &[&of_profile(experiment), &of_file, &of_options])
            })
            .collect();
        let dataset = options.dataset.clone().or(file.dataset);
        if let Some(path) = &dataset {
            input::check("--dataset", path)?;
        }
        let workload = match &dataset {
            Some(_) => "dataset".to_owned(),
            None => options.workload.clone().or(file.workload).unwrap_or_else(|| "words".to_owned()),
        };
        let server = server(&options.server, suite.as_ref())?;
        Ok(Self {
            profile_name,
            profile,
            experiments,
            experiment_settings,
            model: options.model.clone().or(file.model),
            python: if options.python.is_empty() { file.python } else { options.python.clone() },
            no_env: options.no_env || file.no_env.unwrap_or(false),
            output: options.output.clone().or(file.output).unwrap_or_else(|| PathBuf::from("output")),
            workload,
            dataset,
            skip_refused: options.skip_refused,
            seed: options.seed.or(file.seed).unwrap_or(1),
            server,
            suite,
        })
    }

    /// Says which variable holds the server's key and where it will be sent; None where there is no key.
    ///
    /// # Errors
    /// Usage: it would leave this machine in plain text.
    pub fn key_note(&self) -> Result<Option<String>, Failure> {
        let (Some(url), Some(variable)) = (&self.server.base_url, &self.server.key_env) else { return Ok(None) };
        let target: Target = url.parse().map_err(Failure::usage)?;
        let key = Key::read(variable, &target, self.server.insecure_key).map_err(Failure::usage)?;
        Ok(key.map(|key| key.note(&target)))
    }
}

fn selected(options: &RunOptions, file: &SettingsFile, spec: &SuiteSpec) -> Result<Vec<ExperimentSpec>, Failure> {
    let wanted: Vec<String> = if options.experiments.is_empty() {
        file.exp.iter().map(ExperimentName::text).collect()
    } else {
        // `1,3` is what some give for `1 3`.
        let names = options.experiments.iter().flat_map(|names| names.split(','));
        names.map(str::to_owned).filter(|name| !name.is_empty()).collect()
    };
    let selected: Vec<ExperimentSpec> = spec.select(&wanted).map_err(Failure::usage)?.into_iter().cloned().collect();
    if selected.is_empty() {
        return Err(Failure::new(Exit::NothingSelected, "no experiment is selected; `llmbench list` shows them"));
    }
    Ok(selected)
}

/// What the options say of axes and parameters.
fn layer(options: &RunOptions) -> Result<Override, Failure> {
    let known = |name: &str, known: Vec<&str>| {
        let is_known = known.contains(&name);
        let names: Vec<String> = known.into_iter().map(str::to_owned).collect();
        if is_known {
            Ok(())
        } else {
            Err(Failure::usage(format!("a run has no option `{name}`{}", suggestion(name, &names))))
        }
    };
    for name in options.axes.keys() {
        known(name, AXES.iter().map(|(axis, _)| *axis).collect())?;
    }
    for (name, value) in &options.parameters {
        known(name, PARAMETERS.iter().map(|parameter| parameter.name).collect())?;
        let Some(Parameter { option, remedy, whole, .. }) = PARAMETERS.iter().find(|parameter| parameter.name == name)
        else {
            continue;
        };
        if !(value.is_finite() && *value > 0.0) || (*whole && value.fract() != 0.0) {
            return Err(Failure::usage(format!("{option} {value} {remedy}")));
        }
    }
    Ok(Override { axes: options.axes.clone(), params: options.parameters.clone(), budget_s: None })
}

/// The base URL is read here and not by the parser of the command line, which would repeat a password in its complaint.
fn server(server: &ServerOptions, suite: &dyn Suite) -> Result<ServerOptions, Failure> {
    if server.is_named() && !suite.subjects().contains(&SubjectKind::Server) {
        return Err(Failure::usage(format!(
            "the suite {} asks no server, so --base-url, --model-name and --api-key-env mean nothing to it; leave them out, or run serving",
            suite.spec().name
        )));
    }
    let shown = |text: &String| {
        let target = text.parse::<Target>().map_err(|error| Failure::usage(format!("--base-url: {error}")))?;
        Ok::<_, Failure>(target.to_string())
    };
    Ok(ServerOptions { base_url: server.base_url.as_ref().map(shown).transpose()?, ..server.clone() })
}
