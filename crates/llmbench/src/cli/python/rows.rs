//! What is known of one interpreter.

use std::collections::BTreeMap;
use std::path::Path;

use provision::pyenv::{Found, Interpreter, Rejected};
use serde::Serialize;

use super::ask::{Answer, Package};
use super::outlook::{self, Outlook};

/// Which packages a place has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Where {
    /// The interpreter's own; measured with `--no-env`.
    Interpreter,
    /// The environment that llmbench made from its lock; measured without `--no-env`.
    Environment,
}

/// One set of packages, and what the GIL makes of them.
#[derive(Debug, Clone, Serialize)]
pub struct Place {
    pub place: Where,
    pub python: String,
    /// Before and after the engines' imports; none where that is not known.
    pub gil_enabled: Option<bool>,
    pub gil_enabled_after_imports: Option<bool>,
    pub gil_switched_on_by: Vec<String>,
    pub packages: BTreeMap<String, Package>,
    /// Why it did not answer.
    pub problem: Option<String>,
    #[serde(skip)]
    build: BTreeMap<String, String>,
    #[serde(skip)]
    free_threaded: bool,
}

impl Place {
    /// From its answer, or the reason why there is none.
    pub fn of(place: Where, python: &Path, answer: Result<Answer, String>) -> Self {
        let (answer, problem) = match answer {
            Ok(answer) => (Some(answer), None),
            Err(reason) => (None, Some(reason)),
        };
        let known = answer.is_some();
        let answer = answer.unwrap_or_default();
        Self {
            place,
            python: python.display().to_string(),
            gil_enabled: known.then_some(answer.gil_enabled),
            gil_enabled_after_imports: answer.gil_enabled_after_imports,
            gil_switched_on_by: answer.gil_switched_on_by,
            packages: answer.packages,
            problem,
            build: answer.build,
            free_threaded: answer.free_threaded_build,
        }
    }

    /// Packages that are installed, with their versions.
    pub fn installed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.packages.iter().filter_map(|(name, package)| Some((name.as_str(), package.version.as_deref()?)))
    }
}

/// How gil-cost would use a free-threaded interpreter.
#[derive(Debug, Clone, Serialize)]
pub struct GilCost {
    /// What to give to `--python`.
    pub python: String,
    /// The GIL build of the same version and flags, likewise.
    pub beside: Option<String>,
    /// Why there is none, or what else differs.
    pub note: Option<String>,
    /// Whether `--no-env` is needed, because the lock does not install.
    pub no_env: bool,
}

impl GilCost {
    /// The command line.
    pub fn command(&self) -> String {
        let pythons = self.beside.iter().chain([&self.python]).map(|python| format!(" --python {}", quoted(python)));
        let no_env = if self.no_env { " --no-env" } else { "" };
        format!("llmbench run preprocessing --exp gil-cost{}{no_env}", pythons.collect::<String>())
    }
}

/// One interpreter, or what was taken for one.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub path: String,
    /// PATH, VIRTUAL_ENV, pyenv, uv, or --python.
    pub found: String,
    /// The value of `--python` that named it.
    pub asked: Option<String>,
    /// Whether runs use it when `--python` names none.
    pub default: bool,
    /// The shortest value of `--python` that names it and no other.
    pub python_argument: Option<String>,
    pub version: Option<String>,
    pub free_threaded_build: Option<bool>,
    /// pgo, lto, optimization, compiler, debug, jit and more.
    pub build: BTreeMap<String, String>,
    /// Why it is of no use.
    pub problem: Option<String>,
    pub places: Vec<Place>,
    pub outlook: Vec<Outlook>,
    /// Whether llmbench can make its own environment for it.
    pub makes_environment: bool,
    /// What makes its figures something else than they seem.
    pub warnings: Vec<String>,
    pub gil_cost: Option<GilCost>,
}

impl Row {
    /// Of an interpreter that described itself; its place may still have failed to answer.
    pub fn of(interpreter: &Interpreter, default: bool, argument: String, places: Vec<Place>) -> Self {
        let (found, asked) = super::found(&interpreter.found);
        let own = places.first();
        let problem = own.map_or(Some("nothing is known of it".to_owned()), |own| own.problem.clone());
        let mut build = own.map(|own| own.build.clone()).unwrap_or_default();
        // A distribution optimizes in its own build rules, which sysconfig does not know of.
        if ["/usr/bin", "/usr/lib"].iter().any(|place| interpreter.real.starts_with(place)) {
            for flag in ["pgo", "lto"] {
                build.entry(flag.to_owned()).and_modify(|value| {
                    if value == "no" {
                        *value = "unknown".to_owned();
                    }
                });
            }
        }
        let outlook = if problem.is_none() { outlook::outlook(&interpreter.version) } else { Vec::new() };
        let name = format!("Python {} ({})", interpreter.version, interpreter.path.display());
        Self {
            path: interpreter.path.display().to_string(),
            found,
            asked,
            default,
            python_argument: Some(argument),
            version: Some(interpreter.version.to_string()),
            free_threaded_build: Some(
                own.map_or(interpreter.free_threaded(), |own| interpreter.free_threaded() || own.free_threaded),
            ),
            build,
            makes_environment: problem.is_none() && outlook::makes_environment(&outlook),
            problem,
            warnings: places.iter().flat_map(|place| warnings(&name, place)).collect(),
            places,
            outlook,
            gil_cost: None,
        }
    }

    /// Of something that is no use.
    pub fn rejected(rejected: &Rejected) -> Self {
        let (found, asked) = super::found(&rejected.found);
        Self {
            path: rejected.name.clone(),
            found,
            asked,
            default: false,
            python_argument: None,
            version: None,
            free_threaded_build: None,
            build: BTreeMap::new(),
            problem: Some(rejected.reason.clone()),
            places: Vec::new(),
            outlook: Vec::new(),
            makes_environment: false,
            warnings: Vec::new(),
            gil_cost: None,
        }
    }

    /// A flag of the build; `?` where it is not known.
    pub fn flag(&self, name: &str) -> &str {
        self.build.get(name).map(String::as_str).filter(|value| *value != "unknown").unwrap_or("?")
    }

    /// The engines that no place has.
    pub fn lacking(&self) -> impl Iterator<Item = &Outlook> {
        self.outlook.iter().filter(|each| !self.has(each.package))
    }

    /// How many of the engines that could be here are.
    pub fn engines(&self) -> usize {
        self.outlook.iter().filter(|each| self.has(each.package)).count()
    }

    fn has(&self, package: &str) -> bool {
        self.places.iter().any(|place| place.installed().any(|(name, _)| name == package))
    }

    /// Whether the GIL is on after the imports, in the place where it is worst.
    pub fn gil_after_imports(&self) -> Option<bool> {
        let mut known = self.places.iter().filter_map(|place| place.gil_enabled_after_imports).peekable();
        known.peek()?;
        Some(known.any(|on| on))
    }
}

/// What is loud: a free-threaded build that runs with the GIL.
fn warnings(name: &str, place: &Place) -> Vec<String> {
    let whose = match place.place {
        Where::Interpreter => "",
        Where::Environment => ", in llmbench's environment",
    };
    if place.free_threaded && place.gil_enabled == Some(true) {
        return vec![format!(
            "{name}{whose}: this free-threaded build runs with the GIL before any engine is imported; something imports an \
             extension that needs it at every start (look at its .pth files and sitecustomize)"
        )];
    }
    if place.gil_enabled != Some(false) || place.gil_enabled_after_imports != Some(true) {
        return Vec::new();
    }
    let culprits: Vec<String> = place
        .gil_switched_on_by
        .iter()
        .map(|package| match place.packages.get(package).and_then(|entry| entry.switched_on_by_module.as_ref()) {
            Some(module) if module != package => format!("{package} (its module {module})"),
            _ => package.clone(),
        })
        .collect();
    let culprits = if culprits.is_empty() { "an extension".to_owned() } else { culprits.join(" and ") };
    vec![format!(
        "{name}{whose}: the GIL was switched back on by {culprits}; threads take turns again, and rows with it are not \
         free-threaded; use a version that declares itself safe without the GIL, or leave it out"
    )]
}

/// The shortest value of `--python` that names it: as it was named, its version if no other has it, or its path.
pub fn argument(interpreter: &Interpreter, all: &[Interpreter]) -> String {
    let short = interpreter.version.short();
    match &interpreter.found {
        Found::Asked(value) => value.clone(),
        _ if all.iter().filter(|other| other.version.short() == short).count() == 1 => short,
        _ => interpreter.path.display().to_string(),
    }
}

/// Builds are compared by gil-cost when these are the same.
const FLAGS: [(&str, &str); 5] =
    [("pgo", "PGO"), ("lto", "LTO"), ("optimization", "-O"), ("compiler", "compiler"), ("debug", "debug")];

/// Finds for each free-threaded interpreter the GIL build that differs in nothing else.
pub fn pair_up(rows: &mut [Row]) {
    let gil: Vec<Row> =
        rows.iter().filter(|row| row.problem.is_none() && row.free_threaded_build == Some(false)).cloned().collect();
    let free = |row: &&mut Row| row.problem.is_none() && row.free_threaded_build == Some(true);
    for row in rows.iter_mut().filter(free) {
        let version = row.version.clone().unwrap_or_default();
        let version = version.trim_end_matches('t');
        let same_version: Vec<&Row> = gil.iter().filter(|other| other.version.as_deref() == Some(version)).collect();
        let beside = same_version.iter().find(|other| differences(row, other).is_empty());
        let note = match (beside, same_version.first()) {
            (Some(_), _) => None,
            (None, Some(other)) => Some(format!(
                "{} differs in more than the GIL ({}), so it is not compared: build both with the same flags",
                other.python_argument.as_deref().unwrap_or(&other.path),
                differences(row, other).join(", ")
            )),
            (None, None) => Some(format!(
                "no GIL build of {version} is here to compare it with: `uv python install {version}`, or build it from the same source and flags"
            )),
        };
        row.gil_cost = Some(GilCost {
            python: row.python_argument.clone().unwrap_or_else(|| row.path.clone()),
            beside: beside.and_then(|other| other.python_argument.clone()),
            note,
            no_env: !row.makes_environment,
        });
    }
}

fn differences(a: &Row, b: &Row) -> Vec<&'static str> {
    FLAGS.iter().filter(|(flag, _)| a.build.get(*flag) != b.build.get(*flag)).map(|(_, name)| *name).collect()
}

/// For a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+~:@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
