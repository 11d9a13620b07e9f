//! Workers that start strategies as servers and put load on them.

use std::collections::BTreeMap;

use record::plan::SubjectSpec;
use record::protocol::serve::{SERVER_VAR, ServerCommand};

use super::{Failure, Found, planned, program, worker};
use suites::settings::PlannedSubject;

/// Beside each worker that times calls one that starts servers of its language: this binary again.
///
/// # Errors
/// When this binary cannot be found.
pub fn servers_of(found: &[Found]) -> Result<Vec<Found>, Failure> {
    let program = program()?;
    let workers = found
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
    Ok(workers)
}
