//! Python workers: one for each interpreter, in an environment of our own or in what it has installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use provision::cache::CacheError;
use provision::pyenv::{
    self, Discovery, EnsureOptions, EnvProgress, Environment, Interpreter, Rejected, Surroundings, install_sources,
};
use record::plan::{SubjectSpec, Unavailable};

use super::{Failure, Found, Workshop, optional, planned, worker};
use crate::settings::Settings;
use suites::settings::PlannedSubject;

/// The sources of the Python worker.
static WORKER: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/python_worker.rs"));
/// Its packages, with hashes.
pub const LOCK: &str = include_str!("../../../../python/requirements.lock");
/// What a Python row needs; looked for with `--no-env`.
pub const MODULES: [&str; 8] =
    ["jinja2", "transformers", "tokenizers", "tiktoken", "numpy", "pydantic", "msgspec", "torch"];
/// Modules that may be missing without a word.
const OPTIONAL: [&str; 2] = ["tiktoken", "torch"];

/// The switch of a free-threaded interpreter's lock: 1 on, 0 off whatever extensions want.
const GIL_VAR: &str = "PYTHON_GIL";

/// `PYTHON_GIL=0` in llmbench's own environment reaches the free-threaded interpreters, and only them: one with a GIL would not
/// start. It keeps the lock off where an extension that does not declare itself safe would switch it on.
fn forced(mut found: Vec<Found>) -> Vec<Found> {
    if std::env::var(GIL_VAR).is_ok_and(|value| value == "0") {
        for free in found.iter_mut().filter(|found| found.planned.free_threaded) {
            free.spec.env.insert(GIL_VAR.to_owned(), "0".to_owned());
        }
    }
    found
}

/// A worker for each interpreter that was asked for, or for the default one.
///
/// # Errors
/// When the cache cannot be written.
pub fn find(settings: &Settings, workshop: Option<Workshop<'_>>) -> Result<Vec<Found>, Failure> {
    let discovery = pyenv::discover(&settings.python, &Surroundings::from_env());
    let mut ids = Ids::default();
    let mut found = Vec::new();
    for choice in choices(settings, &discovery) {
        found.push(match choice {
            Ok(interpreter) => {
                let id = ids.of(interpreter, settings);
                match workshop {
                    Some(workshop) => ready(id, interpreter, settings, workshop)?,
                    None => expected(id, interpreter),
                }
            }
            Err(reason) => missing(ids.next("python"), reason),
        });
    }
    Ok(forced(found))
}

/// The free-threaded interpreters among these again with `PYTHON_GIL=1`: the same builds with the lock on.
pub fn with_gil(found: &[Found]) -> Vec<Found> {
    found
        .iter()
        .filter(|found| found.planned.free_threaded && found.spec.unavailable.is_none())
        .map(|free| {
            let mut spec = free.spec.clone();
            spec.id = format!("{}-gil", spec.id);
            spec.env.insert(GIL_VAR.to_owned(), "1".to_owned());
            let planned = PlannedSubject { variant_of: free.spec.id.clone(), ..planned(&spec, free.planned.torch) };
            Found { planned, spec }
        })
        .collect()
}

/// Puts the embedded Python worker into the cache; returns the folder for PYTHONPATH.
///
/// # Errors
/// When the cache cannot be written.
pub fn install_worker(cache: &Path) -> Result<PathBuf, CacheError> {
    install_sources(WORKER, cache)
}

/// The interpreters asked for, or the default one.
fn choices<'a>(settings: &Settings, discovery: &'a Discovery) -> Vec<Result<&'a Interpreter, String>> {
    if settings.python.is_empty() {
        return vec![discovery.default_choice().map_err(|error| error.to_string())];
    }
    let rejected = |rejected: &Rejected| format!("--python {}: {}", rejected.name, rejected.reason);
    discovery.asked().into_iter().map(|choice| choice.map_err(rejected)).collect()
}

/// A worker that can be started.
fn ready(id: String, interpreter: &Interpreter, settings: &Settings, workshop: Workshop<'_>) -> Result<Found, Failure> {
    let sources = install_worker(workshop.cache).map_err(Failure::usage)?;
    let mut places = BTreeMap::new();
    let (program, lock, torch) = if settings.no_env {
        let installed = match pyenv::no_env(interpreter, &MODULES) {
            Ok(installed) => installed,
            Err(error) => return Ok(missing(id, error.to_string())),
        };
        let lacking: Vec<&str> =
            installed.missing.iter().map(String::as_str).filter(|module| !OPTIONAL.contains(module)).collect();
        if !lacking.is_empty() {
            workshop.observer.note(&format!(
                "warning: {} lacks {}; rows that need them are errors (leave --no-env out, or install them)",
                interpreter.path.display(),
                lacking.join(", ")
            ));
        }
        let torch = !installed.missing.iter().any(|module| module == "torch");
        (installed.python, None, torch)
    } else {
        match environment(interpreter, workshop) {
            Ok(environment) => {
                if settings.experiments.iter().any(|experiment| experiment.optional_engines) {
                    places = optional::places(&environment, interpreter, workshop).unwrap_or_default();
                }
                (environment.python, Some(environment.lock_sha), false)
            }
            Err(reason) => return Ok(missing(id, reason)),
        }
    };
    let mut env = BTreeMap::from([("PYTHONPATH".to_owned(), sources.display().to_string())]);
    if !places.is_empty() {
        // Names and paths are plain data, so they can be put into words.
        env.insert(optional::PLACES_VAR.to_owned(), serde_json::to_string(&places).unwrap_or_default());
    }
    let args = vec!["-m".to_owned(), "llmbench_worker".to_owned()];
    let spec = SubjectSpec { lock, ..worker(id, "python", program, args, env) };
    let planned = PlannedSubject { free_threaded: interpreter.free_threaded(), ..planned(&spec, torch) };
    Ok(Found { planned, spec })
}

/// A worker as it would be, had it an environment.
fn expected(id: String, interpreter: &Interpreter) -> Found {
    let spec = worker(id, "python", interpreter.path.clone(), Vec::new(), BTreeMap::new());
    let planned = PlannedSubject { free_threaded: interpreter.free_threaded(), ..planned(&spec, false) };
    Found { planned, spec }
}

fn environment(interpreter: &Interpreter, workshop: Workshop<'_>) -> Result<Environment, String> {
    let step = workshop.observer.step(&format!("Python {} packages", interpreter.version), None);
    let options = EnsureOptions { cancel: workshop.cancelled, ..EnsureOptions::default() };
    let made = Environment::ensure(interpreter, LOCK, workshop.cache, &options, &mut |progress| match progress {
        EnvProgress::Waiting => step.detail("another llmbench is making the same environment"),
        EnvProgress::Creating { tool } => step.detail(&format!("making an environment with {tool}")),
        EnvProgress::Package { done, total, name } => {
            step.detail(&format!("fetching {name}"));
            step.at(done as u64, total as u64);
        }
        EnvProgress::Installing { total } => step.detail(&format!("unpacking {total} packages")),
    });
    match made {
        Ok(environment) => {
            step.done(if environment.made { "installed" } else { "there already" });
            Ok(environment)
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Python is not optional in this suite: its rows are errors that name the remedy.
fn missing(id: String, reason: String) -> Found {
    let unavailable = Some(Unavailable { reason, required: true });
    let spec = SubjectSpec { unavailable, ..worker(id, "python", PathBuf::new(), Vec::new(), BTreeMap::new()) };
    Found { planned: planned(&spec, false), spec }
}

/// Names of the Python subjects: `python` for one, `python-3.12` and `python-3.13t` for several.
#[derive(Default)]
struct Ids(Vec<String>);

impl Ids {
    fn of(&mut self, interpreter: &Interpreter, settings: &Settings) -> String {
        if settings.python.len() < 2 {
            return self.next("python");
        }
        self.next(&format!("python-{}", interpreter.version.short()))
    }

    fn next(&mut self, name: &str) -> String {
        let taken = self.0.iter().filter(|id| *id == name || id.starts_with(&format!("{name}#"))).count();
        let id = if taken == 0 { name.to_owned() } else { format!("{name}#{}", taken + 1) };
        self.0.push(id.clone());
        id
    }
}
