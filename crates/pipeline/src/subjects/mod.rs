//! The processes that measure: each kind that a suite brings is found here, and made ready.

pub mod optional;
pub mod python;
mod server;
mod strategies;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use record::plan::SubjectSpec;

use super::exit::Failure;
use super::observer::Observer;
use super::settings::Settings;
use suites::settings::{PlannedSubject, SubjectKind};

/// A subject, and what planning knows of it.
#[derive(Debug, Clone)]
pub struct Found {
    pub planned: PlannedSubject,
    pub spec: SubjectSpec,
}

/// Where environments are made, and who watches.
#[derive(Clone, Copy)]
pub struct Workshop<'a> {
    pub cache: &'a Path,
    pub observer: &'a dyn Observer,
    pub cancelled: &'a dyn Fn() -> bool,
}

/// The subjects of a suite; without a workshop nothing is made, and they are those that a run would have. An interpreter that is missing or whose packages cannot be installed is a subject that is unavailable: its rows
/// say why, and the others are measured.
///
/// # Errors
/// When the cache cannot be written or this binary cannot be found.
pub fn find(settings: &Settings, workshop: Option<Workshop<'_>>) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    for kind in settings.suite.subjects() {
        let more = match kind {
            SubjectKind::NativeCalls => vec![native()?],
            SubjectKind::PythonCalls => python::find(settings, workshop)?,
            SubjectKind::PythonCallsWithGil => python::with_gil(&found),
            SubjectKind::ServedStrategies => strategies::servers_of(&found)?,
            SubjectKind::Server => vec![server::asker(settings)?],
        };
        found.extend(more);
    }
    Ok(found)
}

/// This program, which is every native worker.
fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(Failure::bug)
}

fn native() -> Result<Found, Failure> {
    let program = program()?;
    let spec = worker("native".to_owned(), "native", program, vec!["worker".to_owned()], BTreeMap::new());
    Ok(Found { planned: planned(&spec, false), spec })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{RunOptions, ServerOptions};

    fn ids(options: &RunOptions) -> Vec<String> {
        let found = find(&Settings::of(options).unwrap(), None).unwrap();
        found.into_iter().map(|found| found.spec.id).collect()
    }

    #[test]
    fn a_suite_gets_the_kinds_of_subject_that_it_brings() {
        let python = vec!["/nonexistent".to_owned()];
        let preprocessing = RunOptions { python, ..RunOptions::suite("preprocessing") };
        assert_eq!(ids(&preprocessing), ["native", "python", "native-servers", "python-servers"]);
        assert_eq!(ids(&RunOptions::suite("serving")), ["mock"]);
        let server = ServerOptions { base_url: Some("http://127.0.0.1:9".to_owned()), ..ServerOptions::default() };
        assert_eq!(ids(&RunOptions { server, ..RunOptions::suite("serving") }), ["server"]);
    }
}
