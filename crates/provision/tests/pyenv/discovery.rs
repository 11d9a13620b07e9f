//! What is found where, what is left out, and which one is taken.

use std::fs;
use std::os::unix::fs::symlink;

use provision::pyenv::{Found, Surroundings, discover};

use crate::fake::{Fake, path_of, script};

fn shown(found: &provision::pyenv::Discovery) -> Vec<(String, Found)> {
    found.usable.iter().map(|i| (i.version.to_string(), i.found.clone())).collect()
}

#[test]
fn path_then_pyenv_then_uv_and_each_once() {
    let tmp = tempfile::tempdir().unwrap();
    let at = |p: &str| tmp.path().join(p);
    Fake::version(3, 12, 1).write(&at("bin/python3.12"));
    symlink(at("bin/python3.12"), at("bin/python3")).unwrap();
    Fake { free_threaded: true, ..Fake::version(3, 13, 0) }.write(&at("bin/python3.13t"));
    Fake::version(3, 10, 13).write(&at("pyenv/3.10.13/bin/python3"));
    Fake::version(3, 9, 18).write(&at("pyenv/3.9.18/bin/python3"));
    Fake::version(3, 14, 2).write(&at("uv/cpython-3.14.2/bin/python3"));
    symlink(at("uv/cpython-3.14.2"), at("uv/cpython-3.14")).unwrap();
    let surroundings = Surroundings {
        path: path_of(&[&at("bin"), &at("nowhere")]),
        virtual_env: None,
        pyenv_versions: Some(at("pyenv")),
        uv_pythons: Some(at("uv")),
    };
    let found = discover(&[], &surroundings);
    let expected = [
        ("3.12.1".to_owned(), Found::Path),
        ("3.13.0t".to_owned(), Found::PathVersioned),
        ("3.10.13".to_owned(), Found::Pyenv),
        ("3.14.2".to_owned(), Found::Uv),
    ];
    assert_eq!(shown(&found), expected);
    assert_eq!(found.rejected.len(), 1);
    assert_eq!(found.rejected[0].reason, "it is Python 3.9.18, and 3.10 or newer is needed");
    assert_eq!(found.default_choice().unwrap().version.to_string(), "3.12.1");

    let asked = ["3.13t", "python3.10", "3.14.2", "3.14.2", "3.11", "nothing-of-that-name"].map(str::to_owned);
    let found = discover(&asked, &surroundings);
    let named: Vec<String> = found.asked().iter().filter_map(|r| Some(r.ok()?.version.to_string())).collect();
    assert_eq!(named, ["3.13.0t", "3.10.13", "3.14.2"]);
    let missing: Vec<String> =
        found.asked().iter().filter_map(|r| Some(format!("{}: {}", r.err()?.name, r.err()?.reason))).collect();
    assert!(missing[0].starts_with("3.11: it was not found on PATH") && missing[0].contains("uv python install 3.11"));
    assert!(missing[0].contains("found: 3.10, 3.12, 3.13t, 3.14"), "{missing:?}");
    assert!(missing[1].contains("name a path or a version"), "{missing:?}");
}

#[test]
fn paths_folders_and_what_is_wrong_with_them() {
    let tmp = tempfile::tempdir().unwrap();
    let at = |p: &str| tmp.path().join(p);
    Fake::version(3, 11, 7).write(&at("env/bin/python3"));
    Fake { implementation: "PyPy", ..Fake::version(3, 11, 0) }.write(&at("pypy"));
    script(&at("broken"), "#!/bin/sh\necho 'error while loading shared libraries' >&2\nexit 127\n");
    script(&at("silent"), "#!/bin/sh\nexit 3\n");
    fs::write(at("no-program"), "x").unwrap();
    fs::create_dir(at("empty")).unwrap();
    let names = ["env", "pypy", "broken", "silent", "no-program", "empty", "none"];
    let values = names.map(|n| at(n).display().to_string());
    let found = discover(&values, &Surroundings::default());
    assert_eq!(found.usable.len(), 1);
    assert_eq!(found.usable[0].path, at("env/bin/python3"));
    assert_eq!(found.usable[0].found, Found::Asked(values[0].clone()));
    let reasons: Vec<&str> = found.rejected.iter().map(|r| r.reason.as_str()).collect();
    let expected = [
        "it is PyPy, and only CPython is measured",
        "it does not run: error while loading shared libraries",
        "it does not run: exit status: 3",
        "it cannot be started: Permission denied (os error 13)",
        "it is a folder without bin/python3: name an interpreter or an environment",
        "there is no such file: check the path",
    ];
    assert_eq!(reasons, expected);
}

#[test]
fn the_choice_without_a_good_python3_is_the_newest_with_a_gil() {
    let tmp = tempfile::tempdir().unwrap();
    let at = |p: &str| tmp.path().join(p);
    script(&at("bin/python3"), "#!/bin/sh\necho 'xcode-select: no developer tools' >&2; exit 1\n");
    script(&at("bin/python3.11"), "#!/bin/sh\necho 'pyenv: python3.11: command not found' >&2; exit 127\n");
    Fake { free_threaded: true, ..Fake::version(3, 14, 0) }.write(&at("pyenv/3.14.0t/bin/python3"));
    Fake::version(3, 9, 1).write(&at("pyenv/3.9.1/bin/python3"));
    let mut surroundings = Surroundings { path: path_of(&[&at("bin")]), ..Surroundings::default() };
    let none = discover(&[], &surroundings);
    let e = none.default_choice().unwrap_err().to_string();
    assert!(e.contains("no Python 3.10 or newer") && e.contains("apt install") && e.contains("--python"), "{e}");
    assert_eq!(none.rejected.len(), 1, "the shim says nothing of worth: {:?}", none.rejected);
    assert!(none.rejected[0].reason.contains("no developer tools"));

    surroundings.pyenv_versions = Some(at("pyenv"));
    assert_eq!(discover(&[], &surroundings).default_choice().unwrap().version.to_string(), "3.14.0t");
    Fake::version(3, 10, 0).write(&at("pyenv/3.10.0/bin/python3"));
    Fake::version(3, 12, 9).write(&at("pyenv/3.12.9/bin/python3"));
    assert_eq!(discover(&[], &surroundings).default_choice().unwrap().version.to_string(), "3.12.9");
    Fake::version(3, 11, 0).write(&at("venv/bin/python3"));
    surroundings.virtual_env = Some(at("venv"));
    assert_eq!(discover(&[], &surroundings).default_choice().unwrap().version.to_string(), "3.11.0");
}

#[test]
fn an_interpreter_that_hangs_is_left_after_its_time() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("python3");
    script(&path, "#!/bin/sh\nsleep 600\n");
    let found = discover(&[path.display().to_string()], &Surroundings::default());
    assert_eq!(found.rejected[0].reason, "it did not answer within 5 s");
}
