//! One Python interpreter, as it describes itself.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::child::{self, End};

/// The oldest version that the worker and its lock support.
pub const OLDEST: (u32, u32) = (3, 10);
/// How long an interpreter may take to describe itself.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// Stands before the answer, because `sitecustomize` and the like may print as well.
const MARK: &str = "llmbench-probe:";

/// Written so that any Python 3 can run it. `-I` keeps user settings out; `Py_GIL_DISABLED` is the build, and not what
/// `PYTHON_GIL` makes of it.
const PROBE: &str = r#"
import json, os, platform, sys, sysconfig
from importlib.util import find_spec
var = lambda name: sysconfig.get_config_var(name)
args = str(var("CONFIG_ARGS") or "")
build = {
    "compiler": platform.python_compiler(),
    "optimizations": "yes" if "--enable-optimizations" in args else "no",
    "lto": "yes" if "--with-lto" in args else "no",
    "jit": "yes" if "--enable-experimental-jit" in args else "no",
    "debug": "yes" if var("Py_DEBUG") else "no",
    "bits": "64" if sys.maxsize > 2**32 else "32",
    "platform": sysconfig.get_platform(),
}
print("llmbench-probe:" + json.dumps({
    "version": list(sys.version_info[:3]) + [sys.version_info[3], sys.version_info[4]],
    "implementation": platform.python_implementation(),
    "executable": sys.executable or "",
    "real": os.path.realpath(sys.executable) if sys.executable else "",
    "prefix": sys.prefix,
    "in_venv": sys.prefix != sys.base_prefix,
    "free_threaded": bool(var("Py_GIL_DISABLED")),
    "build": build,
    "has_venv": find_spec("venv") is not None,
    "has_ensurepip": find_spec("ensurepip") is not None,
}))
"#;

/// A version such as `3.13.0`, `3.14.0rc1`; of a free-threaded build with a `t` at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    pub micro: u32,
    /// `alpha`, `beta`, `candidate` or `final`; they sort as they follow each other.
    pub level: String,
    pub serial: u32,
    pub free_threaded: bool,
}

impl Version {
    /// `3.12`, `3.13t`: how users name it.
    pub fn short(&self) -> String {
        format!("{}.{}{}", self.major, self.minor, if self.free_threaded { "t" } else { "" })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)?;
        match self.level.as_str() {
            "alpha" => write!(f, "a{}", self.serial)?,
            "beta" => write!(f, "b{}", self.serial)?,
            "candidate" => write!(f, "rc{}", self.serial)?,
            _ => {}
        }
        f.write_str(if self.free_threaded { "t" } else { "" })
    }
}

/// Where an interpreter was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// Named with `--python VALUE`.
    Asked(String),
    /// The active environment (`VIRTUAL_ENV`).
    VirtualEnv,
    /// `python3` on PATH.
    Path,
    /// Another name on PATH, such as `python3.12`.
    PathVersioned,
    /// A version that pyenv keeps.
    Pyenv,
    /// A version that uv keeps.
    Uv,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked(value) => write!(f, "--python {value}"),
            Self::VirtualEnv => f.write_str("VIRTUAL_ENV"),
            Self::Path | Self::PathVersioned => f.write_str("PATH"),
            Self::Pyenv => f.write_str("pyenv"),
            Self::Uv => f.write_str("uv"),
        }
    }
}

/// An interpreter that the worker can run on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interpreter {
    /// What to run. In a virtual environment this is the environment's own name for it.
    pub path: PathBuf,
    /// The executable behind all links.
    pub real: PathBuf,
    /// `sys.prefix`: tells a virtual environment from the installation that it was made from.
    pub prefix: PathBuf,
    pub version: Version,
    /// `CPython`.
    pub implementation: String,
    /// Whether it runs in a virtual environment.
    pub in_venv: bool,
    /// Facts of the build that matter to a comparison: compiler, optimizations (PGO), lto, jit, debug, bits, platform.
    pub build: BTreeMap<String, String>,
    pub has_venv: bool,
    pub has_ensurepip: bool,
    pub found: Found,
}

impl Interpreter {
    /// Whether the build has no GIL.
    pub fn free_threaded(&self) -> bool {
        self.version.free_threaded
    }
}

/// The answer of [`PROBE`].
#[derive(Debug, Deserialize)]
struct Answer {
    version: (u32, u32, u32, String, u32),
    implementation: String,
    executable: PathBuf,
    real: PathBuf,
    prefix: PathBuf,
    in_venv: bool,
    free_threaded: bool,
    build: BTreeMap<String, String>,
    has_venv: bool,
    has_ensurepip: bool,
}

/// Runs the interpreter once and asks what it is. The error says why it is of no use.
pub(super) fn probe(path: &Path, found: Found) -> Result<Interpreter, String> {
    let mut command = child::command(path);
    command.args(["-I", "-c", PROBE]);
    let outcome = child::run(command, PROBE_TIMEOUT, &|| false, &mut |_| {});
    let outcome = outcome.map_err(|e| format!("it cannot be started: {e}"))?;
    let line = outcome.lines.iter().find_map(|l| l.strip_prefix(MARK));
    let Some(line) = line else {
        return Err(match (&outcome.end, outcome.last_line()) {
            (End::TimedOut | End::Cancelled, _) => {
                format!("it did not answer within {} s", PROBE_TIMEOUT.as_secs())
            }
            (End::Exit(_), Some(last)) => format!("it does not run: {}", last.chars().take(200).collect::<String>()),
            (End::Exit(status), None) => format!("it does not run: {status}"),
        });
    };
    let answer: Answer = serde_json::from_str(line).map_err(|e| format!("its answer makes no sense: {e}"))?;
    let (major, minor, micro, level, serial) = answer.version;
    let version = Version { major, minor, micro, level, serial, free_threaded: answer.free_threaded };
    if (major, minor) < OLDEST {
        return Err(format!("it is Python {version}, and {}.{} or newer is needed", OLDEST.0, OLDEST.1));
    }
    if answer.implementation != "CPython" {
        return Err(format!("it is {}, and only CPython is measured", answer.implementation));
    }
    let or_path = |p: PathBuf| if p.as_os_str().is_empty() { path.to_path_buf() } else { p };
    Ok(Interpreter {
        path: or_path(answer.executable),
        real: or_path(answer.real),
        prefix: answer.prefix,
        version,
        implementation: answer.implementation,
        in_venv: answer.in_venv,
        build: answer.build,
        has_venv: answer.has_venv,
        has_ensurepip: answer.has_ensurepip,
        found,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(micro: u32, level: &str, serial: u32, free_threaded: bool) -> Version {
        Version { major: 3, minor: 13, micro, level: level.into(), serial, free_threaded }
    }

    #[test]
    fn versions_print_and_sort_as_python_does() {
        let all = [
            version(0, "alpha", 2, false),
            version(0, "beta", 1, false),
            version(0, "candidate", 1, false),
            version(0, "final", 0, false),
            version(1, "final", 0, true),
        ];
        let shown: Vec<String> = all.iter().map(Version::to_string).collect();
        assert_eq!(shown, ["3.13.0a2", "3.13.0b1", "3.13.0rc1", "3.13.0", "3.13.1t"]);
        assert!(all.is_sorted());
        assert_eq!(all[4].short(), "3.13t");
    }
}
