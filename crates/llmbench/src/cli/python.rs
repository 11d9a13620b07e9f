//! `llmbench python`: the interpreters of this machine, how the GIL of each stands after the engines' imports, which
//! engines are installed and which would install, and how to get what is missing.

mod ask;
mod outlook;
mod rows;
mod text;

use clap::Args;
use pipeline::subjects::python as python_worker;
use pipeline::{Exit, Failure};
use std::path::Path;
use std::time::Duration;

use provision::cache;
use provision::pyenv::{self, Environment, Found, Interpreter, Surroundings};
use runner::interrupt::Interrupt;
use serde::Serialize;

use self::rows::{Place, Row, Where};
use super::console;
use crate::terminal::Step;

/// `llmbench python`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  llmbench python\n  llmbench python --python ./venv --python 3.13t\n  llmbench python --json\n\nExit codes:\n    0  all listed\n    2  an interpreter named with --python is of no use, or the cache cannot be\n       written\n  130  interrupted"
)]
pub struct PythonArgs {
    /// Look at this interpreter too (a path, an environment or a version); repeatable.
    #[arg(long, value_name = "PYTHON")]
    pub python: Vec<String>,

    /// For programs.
    #[arg(long)]
    pub json: bool,
}

/// How long an interpreter may take that imports nothing.
const PATIENCE: Duration = Duration::from_secs(20);
/// Each engine is imported in a process of its own where there is no GIL; transformers alone takes many seconds.
const PATIENCE_WITH_IMPORTS: Duration = Duration::from_secs(300);

/// All that `--json` prints.
#[derive(Debug, Serialize)]
struct Listing {
    interpreters: Vec<Row>,
    /// What is not here, and how to get it.
    missing: Vec<Remedy>,
}

/// Something to get.
#[derive(Debug, Serialize)]
struct Remedy {
    what: String,
    how: Vec<String>,
}

/// Prints the interpreters. One that is broken is a row with its reason.
///
/// # Errors
/// Usage, after the listing, when an interpreter that was named with `--python` is of no use; also when the cache cannot be
/// written.
pub fn python(args: &PythonArgs) -> Result<Exit, Failure> {
    let cache = cache::root().map_err(Failure::usage)?;
    let sources = python_worker::install_worker(&cache).map_err(Failure::usage)?;
    let discovery = pyenv::discover(&args.python, &Surroundings::from_env());
    let interrupt = Interrupt::install().map_err(Failure::bug)?;
    let default = discovery.default_choice().ok().map(|interpreter| interpreter.path.clone());

    let step = Step::spinner(&format!("asking {} interpreters", discovery.usable.len()));
    let cancelled = || interrupt.is_set();
    let places = ask_all(&discovery.usable, &cache, &sources, &cancelled);
    drop(step);
    if interrupt.is_set() {
        return Ok(Exit::Interrupted);
    }

    let mut interpreters: Vec<Row> = discovery
        .usable
        .iter()
        .zip(places)
        .map(|(interpreter, places)| {
            let is_default = default.as_ref() == Some(&interpreter.path);
            Row::of(interpreter, is_default, rows::argument(interpreter, &discovery.usable), places)
        })
        .collect();
    rows::pair_up(&mut interpreters);
    interpreters.extend(discovery.rejected.iter().map(Row::rejected));

    let problem =
        |row: &Row| row.asked.as_ref().zip(row.problem.as_ref()).map(|(a, why)| format!("--python {a}: {why}"));
    let refused: Vec<String> = interpreters.iter().filter_map(problem).collect();
    let missing = missing(&interpreters);
    let listing = Listing { interpreters, missing };
    if args.json {
        // Loud also where the listing is read by a program.
        for warning in listing.interpreters.iter().flat_map(|row| &row.warnings) {
            eprintln!("warning: {warning}");
        }
        console::print(&(serde_json::to_string_pretty(&listing).map_err(Failure::bug)? + "\n"))?;
    } else {
        console::print(&text::text(&listing, console::width()))?;
    }
    if refused.is_empty() { Ok(Exit::Success) } else { Err(Failure::usage(refused.join("; "))) }
}

/// Asks each interpreter, and the environment that runs would use where it is made already; all at once.
fn ask_all(
    interpreters: &[Interpreter],
    cache: &Path,
    sources: &Path,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Vec<Vec<Place>> {
    let one = |interpreter: &Interpreter| -> Vec<Place> {
        let patience = if interpreter.free_threaded() { PATIENCE_WITH_IMPORTS } else { PATIENCE };
        let mut pythons = vec![(Where::Interpreter, interpreter.path.clone())];
        let environment = Environment::find(interpreter, python_worker::LOCK, cache);
        pythons.extend(environment.map(|environment| (Where::Environment, environment.python)));
        pythons
            .into_iter()
            .map(|(place, python)| {
                let answer = ask::ask(&python, sources, patience, &|| cancelled());
                Place::of(place, &python, answer)
            })
            .collect()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = interpreters.iter().map(|interpreter| scope.spawn(move || one(interpreter))).collect();
        // Asking does not panic; were it to, nothing is known of that interpreter.
        threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect()
    })
}

/// What no row has, and how to get it, also without uv.
fn missing(rows: &[Row]) -> Vec<Remedy> {
    let remedy = |what: &str, how: &[&str]| Remedy {
        what: what.to_owned(),
        how: how.iter().map(|line| (*line).to_owned()).collect(),
    };
    let usable: Vec<&Row> = rows.iter().filter(|row| row.problem.is_none()).collect();
    let mut missing = Vec::new();
    if usable.is_empty() {
        missing.push(remedy(
            "a Python that is 3.10 or newer",
            &[
                "with uv: uv python install 3.14",
                "without: your distribution's packages (Debian: apt install python3 python3-venv)",
            ],
        ));
    }
    let free: Vec<&&Row> = usable.iter().filter(|row| row.free_threaded_build == Some(true)).collect();
    let has_wheels = |row: &&&Row| row.outlook.iter().any(|each| each.way == outlook::Way::Wheel);
    if !free.iter().any(has_wheels) {
        missing.push(remedy(
            if free.is_empty() {
                "a Python without the GIL (for gil-cost)"
            } else {
                "a Python without the GIL that engines have wheels for"
            },
            &[
                "with uv: uv python install 3.14t",
                "with pyenv: pyenv install 3.14t",
                "without: build CPython from source, ./configure --disable-gil --enable-optimizations --with-lto, and the GIL build beside it from the same source without --disable-gil",
                "then: llmbench python --python 3.14t (or the path of the one that was built)",
            ],
        ));
    }
    let lacks = |row: &&&Row, optional: bool| {
        row.lacking().any(|each| each.optional == optional && each.way == outlook::Way::Wheel)
    };
    if usable.iter().any(|row| row.makes_environment && lacks(&row, false)) {
        missing.push(remedy(
            "engines of the lock",
            &["llmbench run installs them, at its first run with that interpreter, into an environment of its own"],
        ));
    }
    if usable.iter().any(|row| !row.makes_environment) {
        missing.push(remedy(
            "engines where the lock does not install as a whole",
            &[
                "make an environment (PYTHON -m venv ENV), install there with ENV/bin/python -m pip install what is listed under `installs` and `from source`, and measure with llmbench run … --no-env --python ENV",
            ],
        ));
    }
    if usable.iter().any(|row| lacks(&row, true)) {
        missing.push(remedy(
            "optional engines",
            &[
                "install them in an environment of yours, each at the version listed (ENV/bin/python -m pip install NAME==VERSION), and measure with llmbench run … --no-env --python ENV",
            ],
        ));
    }
    missing
}

/// Where it was found, and the value of `--python` if it was named.
fn found(found: &Found) -> (String, Option<String>) {
    match found {
        Found::Asked(value) => ("--python".to_owned(), Some(value.clone())),
        other => (other.to_string(), None),
    }
}
