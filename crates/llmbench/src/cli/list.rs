//! `llmbench list`: suites, experiments and engines, what is available here and, if not, why and how to get it.

use clap::Args;
use pipeline::subjects::python as python_worker;
use pipeline::{Exit, Failure};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use engines::catalog;
use provision::cache;
use provision::pyenv::{self, Environment, Interpreter, Surroundings};
use serde::{Deserialize, Serialize};

use super::console::{self, hanging};
use suites::EngineEntry;

/// `llmbench list`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  llmbench list\n  llmbench list --python 3.12\n  llmbench list --json")]
pub struct ListArgs {
    /// Look at this interpreter too; repeatable.
    #[arg(long, value_name = "PYTHON")]
    pub python: Vec<String>,

    /// For programs.
    #[arg(long)]
    pub json: bool,
}

/// Everything that `list` knows; `--json` prints it.
#[derive(Debug, Serialize)]
struct Listing {
    suites: Vec<SuiteLine>,
    engines: Vec<EngineLine>,
}

#[derive(Debug, Serialize)]
struct SuiteLine {
    name: String,
    title: String,
    experiments: Vec<ExperimentLine>,
}

#[derive(Debug, Serialize)]
struct ExperimentLine {
    id: u32,
    name: String,
    question: String,
}

#[derive(Debug, Serialize)]
struct EngineLine {
    /// `native`, or the interpreter: `Python 3.12.1`.
    place: String,
    op: String,
    engine: String,
    call_path: String,
    version: Option<String>,
    /// Why it is not available and what to do; none when it is.
    unavailable: Option<String>,
}

impl EngineLine {
    fn name(&self) -> String {
        format!("{}.{}", self.engine, self.call_path)
    }
}

/// What a Python worker says of itself with `--describe`.
#[derive(Debug, Deserialize)]
struct Description {
    #[serde(default)]
    versions: BTreeMap<String, String>,
    #[serde(default)]
    unavailable: BTreeMap<String, String>,
}

/// Prints the listing.
///
/// # Errors
/// Usage, when the cache cannot be used.
pub fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let listing = listing(args)?;
    if args.json {
        return console::print(&(serde_json::to_string_pretty(&listing).map_err(Failure::bug)? + "\n"));
    }
    console::print(&text(&listing, console::width()))
}

/// `width`: columns, none to leave lines as long as they are.
fn text(listing: &Listing, width: Option<usize>) -> String {
    let room = |indent: usize| width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(20));
    let mut out = String::new();
    for suite in &listing.suites {
        out.push_str(&format!("{}: {}\n", suite.name, suite.title));
        let names = suite.experiments.iter().map(|experiment| experiment.name.len()).max().unwrap_or(0);
        for experiment in &suite.experiments {
            let indent = 2 + 3 + names + 2;
            let question = hanging(&experiment.question, room(indent), indent);
            out.push_str(&format!("  {:<3}{:<names$}  {question}\n", experiment.id, experiment.name));
        }
        out.push_str(&format!("  llmbench run {} --quick\n", suite.name));
    }
    let ops = listing.engines.iter().map(|line| line.op.len()).max().unwrap_or(0);
    let names = listing.engines.iter().map(|line| line.name().len()).max().unwrap_or(0);
    for rows in listing.engines.chunk_by(|a, b| a.place == b.place) {
        out.push_str(&format!("\nengines, {}\n", rows[0].place));
        // What all rows of a place lack is said once.
        let shared =
            rows[0].unavailable.as_ref().filter(|why| rows.iter().all(|row| row.unavailable.as_ref() == Some(why)));
        if let Some(why) = shared {
            out.push_str(&format!("  not here: {}\n", hanging(why, room(12), 12)));
        }
        for line in rows {
            let what = match (&line.unavailable, &line.version) {
                (None, version) => version.clone().unwrap_or_default(),
                (Some(_), _) if shared.is_some() => String::new(),
                (Some(why), _) => format!("not here: {why}"),
            };
            let indent = 2 + ops + 2 + names + 2;
            let what = hanging(&what, room(indent), indent);
            out.push_str(format!("  {:<ops$}  {:<names$}  {what}", line.op, line.name()).trim_end());
            out.push('\n');
        }
    }
    out
}

fn listing(args: &ListArgs) -> Result<Listing, Failure> {
    let cache = cache::root().map_err(Failure::usage)?;
    let mut entries: Vec<EngineEntry> = Vec::new();
    let mut lines = Vec::new();
    for suite in suites::all() {
        for entry in suite.engines() {
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
        let spec = suite.spec();
        let experiment = |spec: &suites::spec::ExperimentSpec| ExperimentLine {
            id: spec.id,
            name: spec.name.clone(),
            question: spec.question.clone(),
        };
        lines.push(SuiteLine {
            name: spec.name.clone(),
            title: spec.title.clone(),
            experiments: spec.experiments.iter().map(experiment).collect(),
        });
    }
    let mut engines: Vec<EngineLine> = entries.iter().filter(|entry| entry.kind == "native").map(native_line).collect();
    let discovery = pyenv::discover(&args.python, &Surroundings::from_env());
    let python: Vec<&EngineEntry> = entries.iter().filter(|entry| entry.kind == "python").collect();
    let chosen: Vec<Result<&Interpreter, String>> = if args.python.is_empty() {
        vec![discovery.default_choice().map_err(|error| error.to_string())]
    } else {
        discovery.asked().into_iter().map(|choice| choice.map_err(|rejected| rejected.reason.clone())).collect()
    };
    for choice in chosen {
        engines.extend(python_lines(choice, &python, &cache));
    }
    Ok(Listing { suites: lines, engines })
}

fn native_line(entry: &EngineEntry) -> EngineLine {
    let info = catalog::catalog()
        .into_iter()
        .find(|info| info.engine == entry.engine && info.call_paths.contains(&entry.call_path));
    EngineLine {
        place: "native (Rust)".to_owned(),
        op: entry.op.to_owned(),
        engine: entry.engine.to_owned(),
        call_path: entry.call_path.to_owned(),
        version: info.as_ref().map(|info| info.version.to_owned()),
        unavailable: None,
    }
}

fn python_lines(choice: Result<&Interpreter, String>, entries: &[&EngineEntry], cache: &Path) -> Vec<EngineLine> {
    let (place, described) = match choice {
        Err(reason) => ("Python".to_owned(), Err(reason)),
        Ok(interpreter) => (format!("Python {}", interpreter.version), describe(interpreter, cache)),
    };
    entries
        .iter()
        .map(|entry| {
            let pair = format!("{}/{}", entry.engine, entry.call_path);
            let (version, unavailable) = match &described {
                Err(reason) => (None, Some(reason.clone())),
                Ok(described) => (
                    described.versions.get(catalog::package_of(entry.engine)).cloned(),
                    described.unavailable.get(&pair).cloned(),
                ),
            };
            EngineLine {
                place: place.clone(),
                op: entry.op.to_owned(),
                engine: entry.engine.to_owned(),
                call_path: entry.call_path.to_owned(),
                version,
                unavailable,
            }
        })
        .collect()
}

/// Asks the worker in the environment that runs would use; making it is left to the first run.
fn describe(interpreter: &Interpreter, cache: &Path) -> Result<Description, String> {
    let environment = Environment::find(interpreter, python_worker::LOCK, cache)
        .ok_or("the first `llmbench run` installs it (from a lock with hashes, into the cache)")?;
    let sources = python_worker::install_worker(cache).map_err(|error| error.to_string())?;
    let output = Command::new(&environment.python)
        .args(["-m", "llmbench_worker", "--describe"])
        .env("PYTHONPATH", sources)
        .env_remove("HF_TOKEN")
        .output()
        .map_err(|error| format!("{}: {error}", environment.python.display()))?;
    serde_json::from_slice(&output.stdout).map_err(|error| format!("its worker's answer makes no sense: {error}"))
}
