//! The processes that can measure here: the native worker, and one Python worker an interpreter.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use provision::cache::{self, CacheError};
use provision::pyenv::{
    self, Discovery, EnsureOptions, EnvProgress, Environment, Interpreter, Rejected, Surroundings, install_sources,
};
use record::plan::{SubjectSpec, Unavailable};

use runner::subject::INHERIT_VAR;

use super::config::RunConfig;
use super::exit::Failure;
use super::optional;
use super::progress::Step;
use record::protocol::target::{TARGET_VAR, TargetCommand};
use suites::settings::PlannedSubject;
use workers::load::{SERVER_VAR, ServerCommand};

/// The sources of the Python worker.
static WORKER: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/python_worker.rs"));
/// Its packages, with hashes.
pub const LOCK: &str = include_str!("../../../../python/requirements.lock");
/// What a Python row needs; looked for with `--no-env`.
pub const MODULES: [&str; 8] =
    ["jinja2", "transformers", "tokenizers", "tiktoken", "numpy", "pydantic", "msgspec", "torch"];
/// Modules that may be missing without a word.
const OPTIONAL: [&str; 2] = ["tiktoken", "torch"];

/// A subject, and what planning knows of it.
pub struct Found {
    pub planned: PlannedSubject,
    pub spec: SubjectSpec,
}

/// The subjects of a run; their environments are made where they are not there yet. An interpreter that is missing or
/// whose packages cannot be installed is a subject that is unavailable: its rows say why, and the native rows are measured.
///
/// # Errors
/// When the cache cannot be written or this binary cannot be found.
pub fn find(config: &RunConfig, cache: &Path, cancelled: &dyn Fn() -> bool) -> Result<Vec<Found>, Failure> {
    let sources = install_worker(cache).map_err(Failure::usage)?;
    let mut found = vec![native()?];
    let discovery = pyenv::discover(&config.python, &Surroundings::from_env());
    let mut ids = Ids::default();
    for choice in choices(config, &discovery) {
        found.push(match choice {
            Ok(interpreter) => python(interpreter, config, cache, &sources, &mut ids, cancelled)?,
            Err(reason) => missing(ids.next("python"), reason),
        });
    }
    Ok(with_drivers(with_variants(forced(found))))
}

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

/// The mock that is asked where no server is named: steps of 5 ms, 100,000 prompt tokens a second, and a front end with one worker that takes
/// 11 µs a message for the template and 1.9 µs a token for the tokenizer: what transformers 5.23 took of a chat of 100 turns and 10,000
/// tokens in the recorded run on 2 cores (2.2 and 19.1 ms). To that the worker adds `--tokenizer`, the plan's model.
const MOCK: [&str; 13] = [
    "mock",
    "--port",
    "0",
    "--step-ms",
    "5",
    "--prefill-us",
    "10",
    "--decode-us",
    "20",
    "--front-message-us",
    "11",
    "--front-token-us",
    "1.9",
];

/// The one subject of a suite that asks a server of models.
///
/// # Errors
/// When this binary cannot be found.
pub fn asker(config: &RunConfig) -> Result<Vec<Found>, Failure> {
    let program = std::env::current_exe().map_err(Failure::bug)?;
    let server = &config.server;
    let command = TargetCommand {
        base_url: server.base_url.clone(),
        model: server.model_name.clone(),
        key_env: server.key_env.clone(),
        program: program.clone(),
        mock: MOCK.map(str::to_owned).to_vec(),
        patience: Default::default(),
    };
    let command = serde_json::to_string(&command).map_err(Failure::bug)?;
    // The mock and the sidecar, which the worker starts, open the model by themselves.
    let cache = cache::root().map_err(Failure::usage)?.to_string_lossy().into_owned();
    let mut env = BTreeMap::from([(TARGET_VAR.to_owned(), command), (cache::CACHE_VAR.to_owned(), cache)]);
    // The name of the variable with the key; its value stands in no plan.
    env.extend(server.key_env.iter().map(|name| (INHERIT_VAR.to_owned(), name.clone())));
    let args = vec!["worker".to_owned(), "serving".to_owned()];
    let id = if server.base_url.is_some() { "server" } else { "mock" };
    let spec = worker(id.to_owned(), "serving", program, args, env);
    Ok(vec![Found { planned: PlannedSubject { serves: "model".to_owned(), ..planned(&spec, false) }, spec }])
}

/// What planning knows of the subjects, by what they are for.
pub struct Planned {
    /// Workers that time calls.
    pub workers: Vec<PlannedSubject>,
    /// Workers that drive servers.
    pub drivers: Vec<PlannedSubject>,
    /// Workers that are others again with the GIL switched on.
    pub variants: Vec<PlannedSubject>,
}

/// Parts the subjects by what they are for.
pub fn planned_subjects(found: &[Found]) -> Planned {
    let mut planned = Planned { workers: Vec::new(), drivers: Vec::new(), variants: Vec::new() };
    for subject in found.iter().map(|found| found.planned.clone()) {
        let kind = match (subject.serves.is_empty(), subject.variant_of.is_empty()) {
            (false, _) => &mut planned.drivers,
            (true, false) => &mut planned.variants,
            (true, true) => &mut planned.workers,
        };
        kind.push(subject);
    }
    planned
}

/// A free-threaded interpreter again with `PYTHON_GIL=1`: the same build with the lock on.
fn with_variants(mut found: Vec<Found>) -> Vec<Found> {
    let variants: Vec<Found> = found
        .iter()
        .filter(|found| found.planned.free_threaded && found.spec.unavailable.is_none())
        .map(|free| {
            let mut spec = free.spec.clone();
            spec.id = format!("{}-gil", spec.id);
            spec.env.insert(GIL_VAR.to_owned(), "1".to_owned());
            let planned = PlannedSubject { variant_of: free.spec.id.clone(), ..planned(&spec, free.planned.torch) };
            Found { planned, spec }
        })
        .collect();
    found.extend(variants);
    found
}

/// Beside each subject one that drives servers of its kind: this binary again, which starts them.
fn with_drivers(mut found: Vec<Found>) -> Vec<Found> {
    let Ok(program) = std::env::current_exe() else { return found };
    let drivers: Vec<Found> = found
        .iter()
        .filter(|served| served.planned.variant_of.is_empty())
        .map(|served| {
            let is_python = served.spec.kind == "python";
            let command = if is_python {
                ServerCommand {
                    program: served.spec.program.clone(),
                    args: vec!["-m".to_owned(), "llmbench_worker.serve".to_owned()],
                    env: served.spec.env.clone(),
                    python: true,
                }
            } else {
                ServerCommand {
                    program: program.clone(),
                    args: vec!["worker".to_owned(), "serve".to_owned()],
                    env: served.spec.env.clone(),
                    python: false,
                }
            };
            // A command is plain data, so it can be put into words.
            let command = serde_json::to_string(&command).unwrap_or_default();
            let spec = SubjectSpec {
                lock: served.spec.lock.clone(),
                unavailable: served.spec.unavailable.clone(),
                ..worker(
                    format!("{}-servers", served.spec.id),
                    "load",
                    program.clone(),
                    vec!["worker".to_owned(), "load".to_owned()],
                    BTreeMap::from([(SERVER_VAR.to_owned(), command)]),
                )
            };
            let serves = served.spec.kind.clone();
            Found { planned: PlannedSubject { serves, ..planned(&spec, false) }, spec }
        })
        .collect();
    found.extend(drivers);
    found
}

/// Puts the embedded Python worker into the cache; returns the folder for PYTHONPATH.
///
/// # Errors
/// When the cache cannot be written.
pub fn install_worker(cache: &Path) -> Result<PathBuf, CacheError> {
    install_sources(WORKER, cache)
}

/// The subjects that a run would have, without making anything.
pub fn expected(config: &RunConfig) -> Vec<Found> {
    let discovery = pyenv::discover(&config.python, &Surroundings::from_env());
    let mut ids = Ids::default();
    let mut found = vec![native().unwrap_or_else(|failure| missing("native".to_owned(), failure.message))];
    for choice in choices(config, &discovery) {
        found.push(match choice {
            Ok(interpreter) => {
                let spec = worker(
                    ids.of(interpreter, config),
                    "python",
                    interpreter.path.clone(),
                    Vec::new(),
                    BTreeMap::new(),
                );
                Found { planned: planned(&spec, false), spec }
            }
            Err(reason) => missing(ids.next("python"), reason),
        });
    }
    with_drivers(with_variants(found))
}

/// The interpreters asked for, or the default one.
fn choices<'a>(config: &RunConfig, discovery: &'a Discovery) -> Vec<Result<&'a Interpreter, String>> {
    if config.python.is_empty() {
        return vec![discovery.default_choice().map_err(|error| error.to_string())];
    }
    let rejected = |rejected: &Rejected| format!("--python {}: {}", rejected.name, rejected.reason);
    discovery.asked().into_iter().map(|choice| choice.map_err(rejected)).collect()
}

fn native() -> Result<Found, Failure> {
    let program = std::env::current_exe().map_err(Failure::bug)?;
    let spec = worker("native".to_owned(), "native", program, vec!["worker".to_owned()], BTreeMap::new());
    Ok(Found { planned: planned(&spec, false), spec })
}

fn python(
    interpreter: &Interpreter,
    config: &RunConfig,
    cache: &Path,
    sources: &Path,
    ids: &mut Ids,
    cancelled: &dyn Fn() -> bool,
) -> Result<Found, Failure> {
    let id = ids.of(interpreter, config);
    let mut places = BTreeMap::new();
    let (program, lock, torch) = if config.no_env {
        let installed = match pyenv::no_env(interpreter, &MODULES) {
            Ok(installed) => installed,
            Err(error) => return Ok(missing(id, error.to_string())),
        };
        let lacking: Vec<&str> =
            installed.missing.iter().map(String::as_str).filter(|module| !OPTIONAL.contains(module)).collect();
        if !lacking.is_empty() {
            eprintln!(
                "warning: {} lacks {}; rows that need them are errors (leave --no-env out, or install them)",
                interpreter.path.display(),
                lacking.join(", ")
            );
        }
        let torch = !installed.missing.iter().any(|module| module == "torch");
        (installed.python, None, torch)
    } else {
        match environment(interpreter, cache, cancelled) {
            Ok(environment) => {
                if config.experiments.iter().any(|experiment| experiment.optional_engines) {
                    places = optional::places(&environment, interpreter, cache, cancelled).unwrap_or_default();
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

fn environment(interpreter: &Interpreter, cache: &Path, cancelled: &dyn Fn() -> bool) -> Result<Environment, String> {
    let step = Step::spinner(&format!("Python {} packages", interpreter.version));
    let options = EnsureOptions { cancel: cancelled, ..EnsureOptions::default() };
    let made = Environment::ensure(interpreter, LOCK, cache, &options, &mut |progress| match progress {
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

/// A worker on these programs, with the environment that every worker has.
fn worker(id: String, kind: &str, program: PathBuf, args: Vec<String>, more: BTreeMap<String, String>) -> SubjectSpec {
    let mut env: BTreeMap<String, String> = [
        // One text a call and no parallelism inside: what the threads of an experiment do is theirs.
        ("TOKENIZERS_PARALLELISM", "false"),
        ("RAYON_NUM_THREADS", "1"),
        ("OMP_NUM_THREADS", "1"),
        ("FASTOKENS_BPE_THREADS", "1"),
        ("HF_HUB_OFFLINE", "1"),
        ("TZ", "UTC"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    env.extend(more);
    // End-to-end tests make one engine wrong; the variable reaches the workers and nothing else does.
    if let Ok(fault) = std::env::var("LLMBENCH_TEST_FAULT") {
        env.insert("LLMBENCH_TEST_FAULT".to_owned(), fault);
    }
    SubjectSpec { id, kind: kind.to_owned(), program, args, env, lock: None, unavailable: None }
}

/// Python is not optional in this suite: its rows are errors that name the remedy.
fn missing(id: String, reason: String) -> Found {
    let unavailable = Some(Unavailable { reason, required: true });
    let spec = SubjectSpec { unavailable, ..worker(id, "python", PathBuf::new(), Vec::new(), BTreeMap::new()) };
    Found { planned: planned(&spec, false), spec }
}

fn planned(spec: &SubjectSpec, torch: bool) -> PlannedSubject {
    PlannedSubject {
        id: spec.id.clone(),
        kind: spec.kind.clone(),
        torch,
        free_threaded: false,
        serves: String::new(),
        variant_of: String::new(),
    }
}

/// Names of the Python subjects: `python` for one, `python-3.12` and `python-3.13t` for several.
#[derive(Default)]
struct Ids(Vec<String>);

impl Ids {
    fn of(&mut self, interpreter: &Interpreter, config: &RunConfig) -> String {
        if config.python.len() < 2 {
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
