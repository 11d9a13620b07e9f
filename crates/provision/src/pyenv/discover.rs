//! Where interpreters are looked for, and which one is taken when none is named.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::EnvError;
use super::interpreter::{Found, Interpreter, probe};

/// Names that are looked for on PATH after `python3`.
const VERSIONED: [&str; 7] =
    ["python3.14", "python3.14t", "python3.13", "python3.13t", "python3.12", "python3.11", "python3.10"];

/// The places of a machine where interpreters are found.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// `PATH`.
    pub path: OsString,
    /// `VIRTUAL_ENV`.
    pub virtual_env: Option<PathBuf>,
    /// The folder `versions` of pyenv (`PYENV_ROOT` or `~/.pyenv`).
    pub pyenv_versions: Option<PathBuf>,
    /// The folder in which uv keeps interpreters (`UV_PYTHON_INSTALL_DIR` or `~/.local/share/uv/python`).
    pub uv_pythons: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub fn from_env() -> Self {
        let dir = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let home = dirs::home_dir();
        let pyenv = dir("PYENV_ROOT").or_else(|| Some(home.as_ref()?.join(".pyenv")));
        let data = dir("XDG_DATA_HOME").or_else(|| Some(home.as_ref()?.join(".local/share")));
        Self {
            path: env::var_os("PATH").unwrap_or_default(),
            virtual_env: dir("VIRTUAL_ENV"),
            pyenv_versions: pyenv.map(|root| root.join("versions")),
            uv_pythons: dir("UV_PYTHON_INSTALL_DIR").or_else(|| Some(data?.join("uv/python"))),
        }
    }

    /// The first program of that name on PATH.
    pub(super) fn which(&self, name: &str) -> Option<PathBuf> {
        self.on_path(name).next()
    }

    fn on_path(&self, name: &str) -> impl Iterator<Item = PathBuf> {
        let name = name.to_owned();
        let dirs: Vec<PathBuf> = env::split_paths(&self.path).filter(|d| d.is_absolute()).collect();
        dirs.into_iter().map(move |dir| dir.join(&name)).filter(|p| is_program(p))
    }

    /// Every place to try, in the order of preference, without those that the user named.
    fn candidates(&self) -> Vec<(PathBuf, Found)> {
        let mut all = Vec::new();
        if let Some(env) = &self.virtual_env {
            all.extend(in_prefix(env).map(|p| (p, Found::VirtualEnv)));
        }
        all.extend(self.on_path("python3").map(|p| (p, Found::Path)));
        for name in VERSIONED {
            all.extend(self.on_path(name).map(|p| (p, Found::PathVersioned)));
        }
        for (folder, found) in [(&self.pyenv_versions, Found::Pyenv), (&self.uv_pythons, Found::Uv)] {
            let prefixes = folder.as_deref().map(subfolders).unwrap_or_default();
            all.extend(prefixes.iter().filter_map(|p| Some((in_prefix(p)?, found.clone()))));
        }
        all
    }
}

/// What was looked at and is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The path, or the value of `--python`.
    pub name: String,
    pub found: Found,
    /// Why, as a clause about it: `it is Python 3.9.18, and 3.10 or newer is needed`.
    pub reason: String,
}

/// The interpreters of a machine.
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    /// Those that can be used: named ones in the order of their `--python` first, then in the order of preference.
    pub usable: Vec<Interpreter>,
    /// The others that are worth a word: named ones, too old ones, and a broken `python3`.
    pub rejected: Vec<Rejected>,
}

impl Discovery {
    /// The interpreter to take when none is named: the active environment's or the first `python3` on PATH, else the
    /// newest that has a GIL, else the newest.
    pub fn default_choice(&self) -> Result<&Interpreter, EnvError> {
        let preferred = |i: &&Interpreter| matches!(i.found, Found::VirtualEnv | Found::Path);
        let others = self.usable.iter().max_by_key(|i| (!i.free_threaded(), &i.version));
        self.usable.iter().find(preferred).or(others).ok_or(EnvError::NoInterpreter)
    }

    /// What each `--python` named, in order: the interpreter, or why there is none.
    pub fn asked(&self) -> Vec<Result<&Interpreter, &Rejected>> {
        let good = self.usable.iter().filter(|i| matches!(i.found, Found::Asked(_))).map(Ok);
        let bad = self.rejected.iter().filter(|r| matches!(r.found, Found::Asked(_))).map(Err);
        good.chain(bad).collect()
    }
}

/// Looks for interpreters. `extra` are the values of `--python`: a path of an interpreter or of an environment, a version
/// (`3.12`, `3.13t`), or a name on PATH (`python3.12`). Each interpreter is run once, for 5 s at most.
pub fn discover(extra: &[String], surroundings: &Surroundings) -> Discovery {
    let mut candidates = surroundings.candidates();
    let mut tried = BTreeSet::new();
    candidates.retain(|(path, _)| tried.insert(identity(path)));
    let probed = probe_all(candidates);

    let mut discovery = Discovery::default();
    let mut others: Vec<Interpreter> = Vec::new();
    for (path, found, answer) in probed {
        match answer {
            Ok(interpreter) if !others.iter().any(|o| same(o, &interpreter)) => others.push(interpreter),
            Ok(_) => {}
            // A shim of pyenv for a version that is not active says only that; pyenv's folder is looked at itself.
            Err(reason) if found != Found::Path && !reason.contains("it is ") => {
                tracing::debug!("{} is left out: {reason}", path.display());
            }
            Err(reason) if reason.contains("pyenv:") => tracing::debug!("{}: {reason}", path.display()),
            Err(reason) => {
                discovery.rejected.push(Rejected { name: path.display().to_string(), found, reason });
            }
        }
    }
    for value in extra {
        match resolve(value, &others, surroundings) {
            Ok(found) if discovery.usable.iter().any(|o| same(o, &found)) => {}
            Ok(found) => discovery.usable.push(found),
            Err(reason) => {
                let found = Found::Asked(value.clone());
                discovery.rejected.push(Rejected { name: value.clone(), found, reason });
            }
        }
    }
    for other in others {
        if !discovery.usable.iter().any(|o| same(o, &other)) {
            discovery.usable.push(other);
        }
    }
    discovery
}

/// All at once: most of the time goes into waiting for the disk.
fn probe_all(candidates: Vec<(PathBuf, Found)>) -> Vec<(PathBuf, Found, Result<Interpreter, String>)> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = candidates
            .into_iter()
            .map(|(path, found)| {
                scope.spawn(move || {
                    let answer = probe(&path, found.clone());
                    (path, found, answer)
                })
            })
            .collect();
        // A probe does not panic; were it to, its interpreter is only not found.
        threads.into_iter().filter_map(|t| t.join().ok()).collect()
    })
}

/// What one `--python VALUE` means.
fn resolve(value: &str, others: &[Interpreter], surroundings: &Surroundings) -> Result<Interpreter, String> {
    let found = Found::Asked(value.to_owned());
    let path = match value.strip_prefix("~/").zip(dirs::home_dir()) {
        Some((rest, home)) => home.join(rest),
        None => PathBuf::from(value),
    };
    if path.is_dir() {
        let inside = in_prefix(&path);
        let inside = inside.ok_or("it is a folder without bin/python3: name an interpreter or an environment")?;
        return probe(&inside, found);
    }
    if path.is_file() {
        // Not by its relative path, which another working folder would give another meaning.
        let path = std::path::absolute(&path).map_err(|e| e.to_string())?;
        return probe(&path, found);
    }
    if value.contains('/') {
        return Err("there is no such file: check the path".into());
    }
    let wanted = Wanted::parse(value);
    if let Some(wanted) = &wanted
        && let Some(match_) = others.iter().find(|i| wanted.matches(i))
    {
        return Ok(Interpreter { found, ..match_.clone() });
    }
    if let Some(path) = surroundings.which(value) {
        return probe(&path, found);
    }
    let here: BTreeSet<String> = others.iter().map(|i| i.version.short()).collect();
    let here: Vec<String> = here.into_iter().collect();
    let here = if here.is_empty() { "none".to_owned() } else { here.join(", ") };
    let how = match &wanted {
        Some(w) => format!("`uv python install {}` or your system's packages bring it", w.text),
        None => "name a path or a version such as 3.12".into(),
    };
    Err(format!("it was not found on PATH, in pyenv or in uv (found: {here}); {how}"))
}

/// A version as users write it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    numbers: Vec<u32>,
    free_threaded: bool,
    /// Without `python` before it.
    text: String,
}

impl Wanted {
    /// `3`, `3.12`, `3.12.1`, `3.13t`, each also with `python` before it.
    fn parse(value: &str) -> Option<Self> {
        let text = value.strip_prefix("python").unwrap_or(value);
        let bare = text.strip_suffix('t').unwrap_or(text);
        let numbers: Option<Vec<u32>> = bare.split('.').map(|n| n.parse().ok()).collect();
        let numbers = numbers.filter(|n| n.len() <= 3)?;
        Some(Self { numbers, free_threaded: bare != text, text: text.to_owned() })
    }

    fn matches(&self, interpreter: &Interpreter) -> bool {
        let v = &interpreter.version;
        let own = [v.major, v.minor, v.micro];
        own.starts_with(&self.numbers) && v.free_threaded == self.free_threaded
    }
}

/// The same installation or the same environment.
fn same(a: &Interpreter, b: &Interpreter) -> bool {
    a.real == b.real && a.prefix == b.prefix
}

/// What tells two candidates apart before they are asked: the file behind the links, and the environment around it.
fn identity(path: &Path) -> (PathBuf, Option<PathBuf>) {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let prefix = path.parent().and_then(Path::parent);
    let env = prefix.filter(|p| p.join("pyvenv.cfg").is_file());
    (real, env.map(|p| fs::canonicalize(p).unwrap_or_else(|_| p.to_path_buf())))
}

fn in_prefix(prefix: &Path) -> Option<PathBuf> {
    let names = ["bin/python3", "bin/python"];
    names.iter().map(|n| prefix.join(n)).find(|p| is_program(p))
}

/// Sorted, so that the result does not depend on the file system.
fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> = entries.map(|e| e.path()).filter(|p| p.is_dir()).collect();
    all.sort();
    all
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_users_write_them() {
        let parse = |v: &str| Wanted::parse(v).map(|w| (w.numbers, w.free_threaded));
        assert_eq!(parse("3.12"), Some((vec![3, 12], false)));
        assert_eq!(parse("python3.13t"), Some((vec![3, 13], true)));
        assert_eq!(parse("3.12.1"), Some((vec![3, 12, 1], false)));
        for none in ["pypy3", "python", "", "3.", "3.12.1.4", "t"] {
            assert_eq!(parse(none), None, "{none}");
        }
    }
}
