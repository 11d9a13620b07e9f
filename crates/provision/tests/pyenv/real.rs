//! The `python3` of this machine, and the secrets of its environment.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use provision::pyenv::{Surroundings, discover, no_env};

use crate::fake::script;

#[test]
fn the_python3_of_this_machine_describes_itself() {
    let found = discover(&[], &Surroundings::from_env());
    let Ok(python) = found.default_choice() else {
        panic!("these tests need a python3 of version 3.10 or newer: {:?}", found.rejected);
    };
    let version = Command::new(&python.path).arg("--version").output().unwrap();
    let said = String::from_utf8(version.stdout).unwrap();
    let plain = python.version.to_string();
    assert_eq!(said.trim(), format!("Python {}", plain.trim_end_matches('t')));
    assert!(python.path.is_absolute() && python.real.is_absolute());
    assert_eq!(python.implementation, "CPython");
    assert_eq!(python.build["bits"], "64");

    let installed = no_env(python, &["json", "no_such_module_anywhere", "no.such.parent"]).unwrap();
    assert_eq!(installed.missing, ["no_such_module_anywhere", "no.such.parent"]);
    assert!(installed.versions.contains_key("json"));
}

#[test]
fn an_environment_is_told_from_what_it_was_made_from() {
    let here = discover(&[], &Surroundings::from_env());
    let base = here.default_choice().unwrap();
    let tmp = tempfile::tempdir().unwrap();
    let venv = tmp.path().join("venv");
    let made = Command::new(&base.path).args(["-m", "venv", "--without-pip"]).arg(&venv).status().unwrap();
    assert!(made.success());
    let both = [venv.display().to_string(), base.path.display().to_string()];
    let found = discover(&both, &Surroundings::default());
    assert_eq!(found.usable.len(), 2, "{found:?}");
    assert!(found.usable[0].in_venv);
    assert!(found.usable[0].path.starts_with(venv.canonicalize().unwrap()) || found.usable[0].path.starts_with(&venv));
    assert_eq!(found.usable[0].real, found.usable[1].real);
}

/// Runs in a process of its own, with a secret in its environment.
#[test]
#[ignore = "the half of `no_child_sees_a_secret` that runs with the secret"]
fn with_a_secret() {
    let Some(python) = std::env::var_os("LLMBENCH_TEST_PYTHON").map(PathBuf::from) else { return };
    let _ = discover(&[python.display().to_string()], &Surroundings::default());
}

#[test]
fn no_child_sees_a_secret() {
    let tmp = tempfile::tempdir().unwrap();
    let python = tmp.path().join("python3");
    script(&python, "#!/bin/sh\nenv > \"$(dirname \"$0\")/seen\"\n");
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "real::with_a_secret", "--include-ignored"])
        .env("LLMBENCH_TEST_PYTHON", &python)
        .env("HF_TOKEN", "hf_TheSecret")
        .env("SOME_API_KEY", "hf_TheSecret")
        .env("PYTHONPATH", "/elsewhere")
        .output()
        .unwrap()
        .status;
    assert!(status.success());
    let seen = fs::read_to_string(tmp.path().join("seen")).unwrap();
    assert!(seen.contains("LLMBENCH_TEST_PYTHON="), "{seen}");
    assert!(!seen.contains("hf_TheSecret") && !seen.contains("PYTHONPATH"), "{seen}");
}
