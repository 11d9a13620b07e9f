//! Byte-for-byte comparison of the template engine with `transformers`.
//!
//! It needs `LLMBENCH_TEST_PYTHON`, a Python with `transformers` and `tokenizers`; without it every test says
//! that it skips. `LLMBENCH_TEST_MODELS` is a folder of model folders; by default the models that
//! `../shared/models/unpack` writes, if that script is there.

use std::path::{Path, PathBuf};
use std::process::Command;

use llmbench_engines::template::{ChatTemplate, Conversation, Limits, SpecialTokens, TemplateError};
use serde_json::Value as Json;

/// Tuesday, 2026-11-24 04:05:06 UTC.
const TIMESTAMP: i64 = 1_795_493_106;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn python() -> Option<PathBuf> {
    match std::env::var_os("LLMBENCH_TEST_PYTHON") {
        Some(path) if !path.is_empty() => Some(path.into()),
        _ => {
            eprintln!("SKIPPED: set LLMBENCH_TEST_PYTHON to a Python with transformers to compare with it");
            None
        }
    }
}

/// Runs the Python side and reads its lines.
fn reference(python: &Path, arguments: &[&str]) -> Vec<Json> {
    let output = Command::new(python)
        .arg(data().join("render_with_transformers.py"))
        .arg(TIMESTAMP.to_string())
        .args(arguments)
        .env("HF_HUB_OFFLINE", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("LLMBENCH_TEST_PYTHON does not start");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the Python side failed:\n{errors}");
    let text = String::from_utf8(output.stdout).expect("the Python side prints UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

/// Renders one case as the library does it.
fn render(case: &Json) -> Result<String, TemplateError> {
    let text = |name: &str| case[name].as_str();
    let mut special = SpecialTokens::default();
    for (name, token) in case["special"].as_object().expect("special tokens") {
        special.set(name, token.as_str().expect("a token"));
    }
    let template = text("template").expect("a template");
    let template = ChatTemplate::compile(template, &special, Limits::default(), TIMESTAMP)?;
    let mut conversation = Conversation::from_text(text("messages").expect("messages"), text("tools"))?;
    for (name, value) in case["variables"].as_object().expect("variables") {
        conversation = conversation.with_variable(name, value);
    }
    template.render(&conversation, case["add_generation_prompt"] == Json::Bool(true))
}

/// What differs between the two sides, in a few lines; nothing if they agree.
fn difference(case: &Json) -> Option<String> {
    let ours = render(case);
    match (case["expected"].as_str(), &ours) {
        (Some(want), Ok(got)) if want == got => None,
        (Some(want), Ok(got)) => {
            let at = want.bytes().zip(got.bytes()).take_while(|(a, b)| a == b).count();
            let near = |text: &str| {
                let bytes = &text.as_bytes()[at.saturating_sub(30)..text.len().min(at + 60)];
                String::from_utf8_lossy(bytes).into_owned()
            };
            Some(format!("differs at byte {at}\n  python {:?}\n  rust   {:?}", near(want), near(got)))
        }
        (Some(want), Err(error)) => Some(format!("fails: {error}\n  python {want:?}")),
        (None, Err(TemplateError::Raised(message))) => match case["raised"].as_str() {
            Some(want) if want == message => None,
            want => Some(format!("raises {message:?}, python raises {want:?}: {}", case["error"])),
        },
        (None, Err(_)) if case["raised"].is_null() => None,
        (None, Err(error)) => Some(format!("fails: {error}\n  python raises {}", case["raised"])),
        (None, Ok(got)) => Some(format!("PERMISSIVE renders {got:?}\n  python fails: {}", case["error"])),
    }
}

fn compare(cases: &[Json]) -> Vec<String> {
    cases
        .iter()
        .filter_map(|case| {
            let what = difference(case)?;
            Some(format!("{} {:.300}: {what}", case["name"], case["template"].to_string()))
        })
        .collect()
}

fn assert_same(cases: &[Json], least: usize) {
    assert!(cases.len() >= least, "only {} cases", cases.len());
    let different = compare(cases);
    assert!(
        different.is_empty(),
        "{} of {} cases differ:\n{}",
        different.len(),
        cases.len(),
        different.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn snippets() {
    let Some(python) = python() else { return };
    let cases = reference(&python, &["snippets", "1", "3000"]);
    let different = compare(&cases);
    for line in &different {
        println!("{line}");
    }
    println!("{} of {}", different.len(), cases.len());
}
