//! Byte-for-byte comparison of the template engine with `transformers`.
//!
//! Python is the environment that the end-to-end tests make from the project's lock, or `LLMBENCH_TEST_PYTHON`, one with
//! `transformers` and `tokenizers`; where neither can be had every test says that it skips. `LLMBENCH_TEST_MODELS` is a
//! folder of model folders; by default the models that `../shared/models/unpack` writes, if that script is there.
//! `LLMBENCH_TEST_SEED` draws other random templates.

#[allow(dead_code, reason = "the end-to-end tests use the rest")]
#[path = "../../llmbench/tests/end_to_end/environment.rs"]
mod environment;

use std::path::{Path, PathBuf};
use std::process::Command;

use engines::template::{ChatTemplate, Conversation, Limits, SpecialTokens, TemplateError, select_template};
use engines::{parse, render};
use serde_json::Value as Json;

/// Tuesday, 2026-11-24 04:05:06 UTC.
const TIMESTAMP: i64 = 1_795_493_106;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn python() -> Option<PathBuf> {
    match std::env::var_os("LLMBENCH_TEST_PYTHON") {
        Some(path) if !path.is_empty() => Some(path.into()),
        _ => environment::python().map(|python| python.program.clone()),
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

/// The conversations that production makes of a case, each with the name of its way: from the values of a request's line
/// (the native worker, the suites), and from the request that a server validated (the served strategies, whole requests).
/// A request that validation refuses has no second one.
fn conversations(case: &Json) -> Vec<(&'static str, Result<Conversation, TemplateError>)> {
    let read = |name: &str| case[name].as_str().map(|text| serde_json::from_str::<Json>(text).expect("JSON"));
    let (messages, tools) = (read("messages").expect("messages"), read("tools"));
    let body = serde_json::json!({"model": "m", "messages": messages, "tools": tools}).to_string();
    let parse = parse::call_path(parse::CALL_PATHS[0]).expect("the call path of parse");
    let mut ways = vec![("values", Conversation::from_json(&messages, tools.as_ref()))];
    if let Ok(request) = parse.run(body.as_bytes()) {
        let made = render::conversation(&request).map_err(|error| TemplateError::Conversation(error.to_string()));
        ways.push(("request", made));
    }
    ways
}

/// Renders one conversation of a case as the library does it.
fn render(case: &Json, conversation: Result<Conversation, TemplateError>) -> Result<String, TemplateError> {
    let text = |name: &str| case[name].as_str();
    let mut special = SpecialTokens::default();
    for (name, token) in case["special"].as_object().expect("special tokens") {
        special.set(name, token.as_str().expect("a token"));
    }
    let template = text("template").expect("a template");
    let template = ChatTemplate::compile(template, &special, Limits::default(), TIMESTAMP)?;
    let mut conversation = conversation?;
    for (name, value) in case["variables"].as_object().expect("variables") {
        conversation = conversation.with_variable(name, value);
    }
    template.render(&conversation, case["add_generation_prompt"] == Json::Bool(true))
}

/// What differs between the two sides, in a few lines; nothing if they agree.
fn difference(case: &Json, ours: Result<String, TemplateError>) -> Option<String> {
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
        (None, Err(TemplateError::Raised { message, .. })) => match case["raised"].as_str() {
            Some(want) if want == message => None,
            want => Some(format!("raises {message:?}, python raises {want:?}: {}", case["error"])),
        },
        (None, Err(_)) if case["raised"].is_null() => None,
        (None, Err(error)) => Some(format!("fails: {error}\n  python raises {}", case["raised"])),
        (None, Ok(got)) => Some(format!("PERMISSIVE renders {got:?}\n  python fails: {}", case["error"])),
    }
}

/// Prints the cases that differ and fails if there are any, if there are too few cases, or if too few of ten are requests.
fn assert_same(cases: &[Json], least: usize, least_requests: usize) {
    assert!(cases.len() >= least, "only {} cases", cases.len());
    let (mut different, mut requests) = (Vec::new(), 0);
    for case in cases {
        for (way, conversation) in conversations(case) {
            requests += usize::from(way == "request");
            let what = difference(case, render(case, conversation));
            let name = || format!("{} by {way} {:.300}", case["name"], case["template"].to_string());
            different.extend(what.map(|what| format!("{}: {what}", name())));
        }
    }
    let rendered = cases.iter().filter(|case| case["expected"].is_string()).count();
    eprintln!("{} cases, of which Python renders {rendered}, {requests} also as validated requests", cases.len());
    assert!(requests * 10 >= cases.len() * least_requests, "only {requests} of {} are requests", cases.len());
    assert!(
        different.is_empty(),
        "{} of {} cases differ:\n{}",
        different.len(),
        cases.len(),
        different.iter().take(40).map(String::as_str).collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn features_and_random_templates() {
    let Some(python) = python() else { return };
    let seed = std::env::var("LLMBENCH_TEST_SEED").unwrap_or_else(|_| "1".to_owned());
    assert_same(&reference(&python, &["snippets", &seed, "3000"]), 3400, 0);
}

#[test]
fn templates_of_every_family() {
    let Some(python) = python() else { return };
    let mut files: Vec<String> = std::fs::read_dir(data().join("templates"))
        .expect("tests/data/templates")
        .map(|entry| entry.expect("an entry").path().to_string_lossy().into_owned())
        .collect();
    files.sort();
    let mut arguments = vec!["templates"];
    arguments.extend(files.iter().map(String::as_str));
    assert_same(&reference(&python, &arguments), 11 * 50, 7);
}

/// The model folders to compare, and the folder that holds them if it was made here.
fn models() -> Option<(Vec<String>, Option<tempfile::TempDir>)> {
    let (root, made) = match std::env::var_os("LLMBENCH_TEST_MODELS") {
        Some(path) if !path.is_empty() => (PathBuf::from(path), None),
        _ => {
            let unpack = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models/unpack");
            if !unpack.is_file() {
                environment::skipped(
                    "set LLMBENCH_TEST_MODELS to a folder of model folders to compare their templates",
                );
                return None;
            }
            let made = tempfile::tempdir().expect("a temporary folder");
            let status = Command::new(unpack).arg(made.path()).output().expect("unpack starts").status;
            assert!(status.success(), "the script that unpacks the models failed");
            (made.path().to_owned(), Some(made))
        }
    };
    let mut folders: Vec<String> = std::fs::read_dir(&root)
        .expect("the folder of models")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("tokenizer_config.json").is_file())
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    folders.sort();
    assert!(!folders.is_empty(), "no model folder below {}", root.display());
    Some((folders, made))
}

#[test]
fn model_folders() {
    let Some(python) = python() else { return };
    let Some((folders, _made)) = models() else { return };
    let mut arguments = vec!["models"];
    arguments.extend(folders.iter().map(String::as_str));
    let cases = reference(&python, &arguments);
    assert_same(&cases, 50 * folders.len(), 7);
    // What the Python side says about template and tokens is what this side reads from the folder.
    for folder in &folders {
        let read = |name: &str| std::fs::read_to_string(Path::new(folder).join(name)).ok();
        let config: Json = serde_json::from_str(&read("tokenizer_config.json").expect("a config")).expect("JSON");
        let map = read("special_tokens_map.json").and_then(|text| serde_json::from_str(&text).ok());
        let special = SpecialTokens::from_config(&config, map.as_ref()).expect("special tokens");
        let label = format!("{}: ", Path::new(folder).file_name().expect("a name").to_string_lossy());
        for case in cases.iter().filter(|case| case["name"].as_str().is_some_and(|name| name.starts_with(&label))) {
            let tools = !case["tools"].is_null();
            let template = select_template(&config, read("chat_template.jinja").as_deref(), tools).expect("a template");
            assert_eq!(case["template"].as_str(), Some(template.as_str()), "{}", case["name"]);
            for (name, token) in special.iter() {
                assert_eq!(case["special"][name].as_str(), Some(token), "{name} in {}", case["name"]);
            }
        }
    }
}
