//! The Python worker's own tests, in the environment of the lock.

use std::path::Path;
use std::process::Command;

use super::environment::{python, skipped};

#[test]
fn the_python_workers_own_tests_pass() {
    let Some(python) = python() else { return };
    let output = Command::new(&python.program)
        .args(["-m", "unittest", "discover", "-s", "tests", "-t", "."])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("PYTHONPATH")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let number =
        text.split("\nRan ").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|n| n.parse::<u32>().ok());
    assert!(number.is_some_and(|number| number >= 50), "{text}");
    // What is not in the lock is not tested, and that is said.
    if let Some((_, rest)) = text.rsplit_once("OK (") {
        skipped(&format!("some of the Python tests ({}", rest.trim()));
    }
}
