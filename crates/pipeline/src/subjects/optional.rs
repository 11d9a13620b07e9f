//! Optional Python engines: each in a folder of its own beside the environment, from a lock of its own. One that does not
//! install takes nothing with it, and its rows say why.

use std::collections::BTreeMap;
use std::path::PathBuf;

use provision::pyenv::{EnsureOptions, EnvError, EnvProgress, Environment, Interpreter, Overlay};
use serde::Serialize;

use super::Workshop;

/// Packages and their locks: those of `python/optional/`.
pub const OPTIONAL: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/optional_locks.rs"));

/// The variable by which a Python worker learns where they are: a JSON object of packages to [`Place`]s.
pub const PLACES_VAR: &str = "LLMBENCH_OPTIONAL";

/// Where a package is, or why it is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The folder to be appended to `sys.path` before it is imported.
    Path(PathBuf),
    Reason(String),
}

/// Installs those that are not there yet. None if that was cancelled.
pub fn places(
    environment: &Environment,
    interpreter: &Interpreter,
    workshop: Workshop<'_>,
) -> Option<BTreeMap<&'static str, Place>> {
    let step = workshop.observer.step(&format!("Python {} optional engines", interpreter.version), None);
    let options = EnsureOptions { cancel: workshop.cancelled, ..EnsureOptions::default() };
    let mut places = BTreeMap::new();
    let mut lacking = Vec::new();
    for &(package, lock) in OPTIONAL {
        step.detail(package);
        let made =
            Overlay::ensure(environment, interpreter, (package, lock), workshop.cache, &options, &mut |progress| {
                match progress {
                    EnvProgress::Waiting => step.detail(&format!("{package}: another llmbench is installing it")),
                    _ => step.detail(&format!("installing {package}")),
                }
            });
        let place = match made {
            Ok(overlay) => Place::Path(overlay.dir),
            Err(EnvError::Cancelled) => return None,
            Err(error) => {
                lacking.push(package);
                Place::Reason(error.to_string())
            }
        };
        places.insert(package, place);
    }
    match lacking.as_slice() {
        [] => step.done("there"),
        some => step.done(&format!("without {}, whose rows say why", some.join(", "))),
    }
    Some(places)
}
