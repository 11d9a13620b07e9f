//! What an interpreter has installed already.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::child::{self, End};
use super::{EnvError, Interpreter};

const MARK: &str = "llmbench-modules:";
/// Nothing is imported, so this is only reached on a disk that hangs.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Looks the modules up without importing them. Without `-I`, because packages of the user's own site count as installed;
/// the current folder, which `-c` puts first, does not.
const SCRIPT: &str = r#"
import sys
sys.path = [p for p in sys.path if p]
import json
from importlib.util import find_spec
from importlib.metadata import version
found = {}
for name in sys.argv[1:]:
    try:
        if find_spec(name) is None:
            continue
    except (ImportError, ValueError):
        continue
    try:
        found[name] = version(name)
    except Exception:
        found[name] = ""
print("llmbench-modules:" + json.dumps(found))
"#;

/// An interpreter with the packages that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    pub python: PathBuf,
    /// Module to the version of the package of the same name; empty where there is none of that name.
    pub versions: BTreeMap<String, String>,
    /// Those of the modules asked for that cannot be found.
    pub missing: Vec<String>,
}

/// Looks which of `modules` the interpreter can find (`--no-env`). They are not imported: one that is found may still
/// fail to load, which the worker then reports.
pub fn no_env(interpreter: &Interpreter, modules: &[&str]) -> Result<Installed, EnvError> {
    let python = &interpreter.path;
    let mut command = child::command(python);
    command.args(["-c", SCRIPT]).args(modules);
    let outcome = child::run(command, TIMEOUT, &|| false, &mut |_| {})
        .map_err(|source| EnvError::Start { program: python.clone(), source })?;
    let answer = outcome.lines.iter().find_map(|l| l.strip_prefix(MARK));
    let versions: Option<BTreeMap<String, String>> = answer.and_then(|l| serde_json::from_str(l).ok());
    let Some(versions) = versions else {
        if let End::TimedOut = outcome.end {
            return Err(EnvError::TimedOut { tool: "python", after_s: TIMEOUT.as_secs() });
        }
        let line = outcome.last_line().unwrap_or("it said nothing").to_owned();
        return Err(EnvError::Failed { tool: "python", line });
    };
    let missing = modules.iter().filter(|m| !versions.contains_key(**m)).map(|m| m.to_string()).collect();
    Ok(Installed { python: python.clone(), versions, missing })
}
