//! `llmbench python`: a real interpreter, and programs that only pretend to be one.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use provision::pyenv::{Surroundings, discover};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A home with nothing on PATH.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_llmbench"))
            .arg("python")
            .args(args)
            .current_dir(self.0.path())
            .env_clear()
            .env("PATH", self.path().join("bin"))
            .env("HOME", self.path())
            .env("LLMBENCH_CACHE", self.path().join("cache"))
            .env("COLUMNS", "80")
            // Neither reaches an interpreter: runs do not pass them on.
            .env("PYTHON_GIL", "1")
            .env("HF_TOKEN", "hf_secretvalue")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Exit code and listing.
    fn json(&self, args: &[&str]) -> (i32, Value) {
        let output = self.run(&[&["--json"], args].concat());
        let listing = serde_json::from_slice(&output.stdout);
        (code(&output), listing.unwrap_or_else(|error| panic!("{error}: {output:?}")))
    }

    /// A program that runs one script when it is discovered (`-I`) and another when the worker is started (`-m`).
    fn fake(&self, name: &str, discovered: &str, asked: &str) -> PathBuf {
        let path = self.path().join(name);
        let script =
            format!("#!/bin/sh\nPATH=/usr/bin:/bin\ncase \"$1\" in\n-I)\n{discovered}\n;;\n*)\n{asked}\n;;\nesac\n");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A script that prints what an interpreter of this version says when it is discovered.
fn describes(minor: u32, free_threaded: bool) -> String {
    let answer = json!({
        "version": [3, minor, 1, "final", 0], "implementation": "CPython", "executable": "", "real": "",
        "prefix": "/nowhere", "in_venv": false, "free_threaded": free_threaded, "build": {},
        "has_venv": true, "has_ensurepip": true,
    });
    format!("echo 'llmbench-probe:{answer}'")
}

/// A script that prints an answer of the worker's interpreter module.
fn says(answer: &Value) -> String {
    format!("cat <<'END'\n{}\nEND", serde_json::to_string_pretty(answer).unwrap())
}

fn answer(minor: u32, free_threaded: bool, packages: Value, switched_on_by: &[&str]) -> Value {
    json!({
        "version": format!("3.{minor}.1"), "supported": true, "free_threaded_build": free_threaded,
        "gil_enabled": !free_threaded, "build": {"pgo": "yes", "lto": "no", "optimization": "-O3", "compiler": "GCC 1"},
        "packages": packages, "gil_enabled_after_imports": !free_threaded || !switched_on_by.is_empty(),
        "gil_switched_on_by": switched_on_by,
    })
}

fn row<'a>(listing: &'a Value, path: &Path) -> &'a Value {
    let rows = listing["interpreters"].as_array().unwrap();
    let path = path.display().to_string();
    rows.iter().find(|row| row["path"] == path.as_str() || row["asked"] == path.as_str()).unwrap()
}

#[test]
fn the_interpreter_of_the_tests() {
    let discovery = discover(&[], &Surroundings::from_env());
    let interpreter =
        discovery.default_choice().expect("the tests of the Python subject need a python3 that is 3.10 or newer");
    let home = Home::new();
    let named = interpreter.path.to_str().unwrap();
    let (code, listing) = home.json(&["--python", named]);
    assert_eq!(code, 0);
    let row = row(&listing, &interpreter.path);
    assert_eq!(row["version"], interpreter.version.to_string());
    assert_eq!(row["free_threaded_build"], interpreter.free_threaded());
    assert_eq!(row["problem"], Value::Null);
    assert!(row["build"]["compiler"].is_string() && row["build"]["pgo"].is_string(), "{row}");
    let own = &row["places"][0];
    assert_eq!(own["place"], "interpreter");
    // PYTHON_GIL=1 of the test's own environment is not seen.
    assert_eq!(own["gil_enabled"], !interpreter.free_threaded());
    assert!(own["packages"]["tokenizers"].is_object(), "{row}");
    let outlook = row["outlook"].as_array().unwrap();
    assert!(outlook.iter().any(|each| each["package"] == "jinja2" && each["version"] == "3.1.6"), "{row}");

    let output = home.run(&["--python", named]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text.contains(&format!("Python {}", interpreter.version)), "{text}");
    if !interpreter.free_threaded() {
        assert!(text.contains("uv python install 3.14t") && text.contains("--disable-gil"), "{text}");
    }
}

#[test]
fn what_is_of_no_use_is_a_row_with_its_reason() {
    let home = Home::new();
    let cases = [
        (home.fake("hangs", "sleep 600", ""), "it did not answer within 5 s"),
        (home.fake("garbage", "echo no python here", ""), "it does not run: no python here"),
        (home.fake("old", &describes(9, false), ""), "it is Python 3.9.1, and 3.10 or newer is needed"),
        (
            home.fake("later-garbage", &describes(12, false), "printf 'what\\033[2J?\\n'"),
            "its answer makes no sense: it says \"what\\u{1b}[2J?\"",
        ),
        (
            home.fake("later-fails", &describes(12, false), "echo broken >&2; exit 7"),
            "it does not run the worker: broken",
        ),
        (
            home.fake(
                "later-old",
                &describes(12, false),
                &says(&json!({
                    "version": "3.9.9", "supported": false, "free_threaded_build": false, "gil_enabled": true,
                })),
            ),
            "it is Python 3.9.9, and 3.10 or newer is needed",
        ),
        (home.path().join("nowhere"), "there is no such file: check the path"),
    ];
    let named: Vec<&str> = cases.iter().flat_map(|(path, _)| ["--python", path.to_str().unwrap()]).collect();
    let (code, listing) = home.json(&named);
    assert_eq!(code, 2);
    assert_eq!(listing["interpreters"].as_array().unwrap().len(), cases.len());
    for (path, reason) in &cases {
        assert_eq!(row(&listing, path)["problem"], *reason);
    }

    let output = home.run(&named);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("a Python that is 3.10 or newer"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.starts_with("llmbench: --python ") && errors.contains("hangs: it did not answer"), "{errors}");
}

#[test]
fn an_extension_that_switches_the_gil_back_on_is_a_loud_warning() {
    let home = Home::new();
    let tiktoken = json!({"tiktoken": {
        "version": "0.14.0", "imports": true, "error": null, "gil_enabled": true,
        "switched_on_by_module": "tiktoken._tiktoken",
    }});
    let fake = home.fake("python3.14t", &describes(14, true), &says(&answer(14, true, tiktoken, &["tiktoken"])));
    let named = ["--python", fake.to_str().unwrap()];

    let text = stdout(&home.run(&named));
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.starts_with("WARNING: Python 3.14.1t (~/python3.14t): the GIL was switched back on"), "{text}");
    assert!(
        words.contains("switched back on by tiktoken (its module tiktoken._tiktoken); threads take turns"),
        "{text}"
    );
    assert!(words.contains("free-threaded BACK ON yes no 1 of 13"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");

    let output = home.run(&["--json", named[0], named[1]]);
    assert_eq!(code(&output), 0);
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("warning: Python 3.14.1t"), "{output:?}");
    let listing: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(row(&listing, &fake)["places"][0]["gil_switched_on_by"], json!(["tiktoken"]));
    assert_eq!(row(&listing, &fake)["warnings"].as_array().unwrap().len(), 1);
}

#[test]
fn a_free_threaded_build_is_marked_for_gil_cost_with_its_pair() {
    let home = Home::new();
    let installed = json!({"jinja2": {"version": "3.1.6", "imports": true, "gil_enabled": false}});
    let free = home.fake("free one", &describes(13, true), &says(&answer(13, true, installed, &[])));
    let same = home.fake("same", &describes(13, false), &says(&answer(13, false, json!({}), &[])));
    let mut other_flags = answer(13, false, json!({}), &[]);
    other_flags["build"]["lto"] = json!("yes");
    let other = home.fake("other", &describes(13, false), &says(&other_flags));
    let paths: Vec<&str> = [&free, &same, &other].map(|path| path.to_str().unwrap()).to_vec();

    let (code, listing) = home.json(&["--python", paths[0], "--python", paths[2], "--python", paths[1]]);
    assert_eq!(code, 0);
    let found = row(&listing, &free);
    assert_eq!(found["warnings"], json!([]));
    assert_eq!(found["places"][0]["gil_enabled_after_imports"], false);
    assert_eq!(found["gil_cost"], json!({"python": paths[0], "beside": paths[1], "note": null, "no_env": true}));
    assert_eq!(row(&listing, &same)["gil_cost"], Value::Null);
    let tokenizers = found["outlook"].as_array().unwrap().iter().find(|each| each["package"] == "tokenizers").unwrap();
    assert_eq!((&tokenizers["version"], &tokenizers["way"]), (&json!("0.22.1"), &json!("source")));

    let text = stdout(&home.run(&["--python", paths[0], "--python", paths[1]]));
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("llmbench run preprocessing --exp gil-cost --python ~/same --python '~/free one' --no-env"),
        "{text}"
    );
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");

    // Nothing but the GIL may differ.
    let (_, listing) = home.json(&["--python", paths[0], "--python", paths[2]]);
    let gil_cost = &row(&listing, &free)["gil_cost"];
    assert_eq!(gil_cost["beside"], Value::Null);
    assert!(gil_cost["note"].as_str().unwrap().contains("differs in more than the GIL (LTO)"), "{gil_cost}");
}

#[test]
fn no_interpreter_at_all_says_how_to_get_one() {
    let output = Home::new().run(&[]);
    assert_eq!(code(&output), 0);
    let text = stdout(&output);
    assert!(text.starts_with("how to get what is missing\n") && text.contains("apt install python3"), "{text}");
}
