//! Datasets of every shape, and everything that can be wrong with them.

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use workload::{
    Dataset, DatasetError, DatasetFormat, OnTemplateError, Place, Prompt, WorkloadError, WorkloadSpec, build_dataset,
    dataset, dataset_sample,
};

fn file(content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    // The name says nothing: the content decides.
    let path = dir.path().join("data");
    std::fs::write(&path, content).unwrap();
    (dir, path)
}

fn read(content: impl AsRef<[u8]>) -> Result<Dataset, DatasetError> {
    let (_dir, path) = file(content);
    dataset(&path)
}

fn roles(body: &Value) -> Vec<&str> {
    body["messages"].as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect()
}

#[test]
fn sharegpt_is_read_with_all_its_names_and_cut_at_replies() {
    let got = read(
        json!([
            {"id": "a", "conversations": [{"from": "human", "value": "one"}, {"from": "gpt", "value": "two"}, {"from": "human", "value": "three"}]},
            {"conversation": [{"from": "system", "value": "be"}, {"from": "user", "value": "four"}, {"from": "assistant", "value": "five"}]},
            {"items": [{"from": "gpt", "value": "lost"}, {"from": "human", "value": "six"}, {"from": "gpt", "value": "seven"}]},
            {"conversations": [{"from": "gpt", "value": "alone"}]},
            {"conversations": []},
            {"conversations": [{"from": "human", "value": "six"}]},
        ])
        .to_string(),
    )
    .unwrap();
    assert_eq!(got.format, DatasetFormat::ShareGpt);
    let all: Vec<_> = got.samples.iter().map(|sample| roles(&sample.body)).collect();
    assert_eq!(all, [vec!["user", "assistant", "user"], vec!["system", "user"], vec!["user"]]);
    assert_eq!(got.samples[2].body["messages"][0], json!({"role": "user", "content": "six"}));
    assert_eq!(got.samples[2].place, Place::Item(2));
    let summary = got.summary;
    assert_eq!((summary.read, summary.cut, summary.skipped, summary.duplicates), (6, 2, 2, 1));
    assert!(summary.to_string().contains("6 conversations read, 2 of them cut"));
}

#[test]
fn openai_messages_keep_tools_calls_and_arguments_as_they_are() {
    let call = |arguments: Value| json!({"id": "c1", "type": "function", "function": {"name": "weather", "arguments": arguments}});
    let tools = json!([{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"z": {}, "a": {}}}}}]);
    let messages = json!([
        {"role": "user", "content": [{"type": "text", "text": "Hot?"}]},
        {"role": "assistant", "content": null, "tool_calls": [call(json!("{\"city\": \"Bern\"}")), call(json!({"city": "Rome", "at": 1.50}))]},
        {"role": "tool", "tool_call_id": "c1", "content": "31"},
    ]);
    let whole = json!({"tools": tools, "messages": messages, "seed": 4, "model": "mine", "stream": false});
    let mut closed = messages.clone();
    closed.as_array_mut().unwrap().push(json!({"role": "assistant", "content": "Yes."}));
    let lines = format!(
        "{}\n\n{}\r\n{}\n",
        json!({"messages": [{"role": "user", "content": "x"}], "source": "web"}),
        whole,
        json!({"messages": closed, "tools": tools, "top_p": 0.5})
    );
    let got = read(&lines).unwrap();
    assert_eq!(got.format, DatasetFormat::Messages);
    assert_eq!(got.samples.len(), 2, "the third, cut, is the same prompt as the second");
    assert_eq!(got.summary.duplicates, 1);
    assert_eq!(got.samples[1].place, Place::Line(3));
    // A whole body stays as it is, byte for byte.
    assert_eq!(got.samples[1].body.to_string(), whole.to_string());
    // A bare one gets the usual fields, and what is no part of a request goes.
    let keys: Vec<&String> = got.samples[0].body.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["model", "messages", "max_tokens", "stream", "temperature"]);
}

#[test]
fn plain_text_gives_a_user_message_for_each_paragraph() {
    let got = read("\u{feff}First line\r\nsecond line.\r\n\r\n\r\n  \r\n[1] A footnote: {\"x\"}\n").unwrap();
    assert_eq!(got.format, DatasetFormat::Text);
    let texts: Vec<&str> =
        got.samples.iter().map(|sample| sample.body["messages"][0]["content"].as_str().unwrap()).collect();
    assert_eq!(texts, ["First line\nsecond line.", "[1] A footnote: {\"x\"}"]);
    assert_eq!(got.samples[1].place, Place::Line(6));
    assert_eq!(read("[1] begins like an array").unwrap().format, DatasetFormat::Text);
    assert_eq!(read("{ braces } and text").unwrap().format, DatasetFormat::Text);
}

#[test]
fn every_fault_is_named_with_its_place() {
    let good = r#"{"messages": [{"role": "user", "content": "a"}]}"#;
    let line = |messages: Value| format!("{good}\n{}\n", json!({"messages": messages}));
    let user = json!({"role": "user", "content": "x"});
    let cases: Vec<(String, &str)> = vec![
        (format!("{good}\n{{\"messages\": [}}\n"), "broken JSON at line 2, column 15: expected value"),
        ("{\"messages\": [\n".into(), "broken JSON at line 1, column 14: EOF while parsing a list; each line must be one whole object"),
        ("[{\"conversations\": []},\n {\"conversations\" 1}]".into(), "broken JSON at line 2, column 19: expected `:`"),
        ("[{\"conversations\": []}] x".into(), "broken JSON at line 1, column 25: trailing characters"),
        (line(json!([{"role": "robot", "content": "x"}])), "line 2: message 0 has the role \"robot\"; it must be system"),
        (line(json!([user, {"content": "x"}])), "line 2: message 1 has no role"),
        (line(json!([{"role": 1, "content": "x"}])), "message 0 has a \"role\" that is a number"),
        (line(json!([{"role": "user"}])), "line 2: message 0 has no content"),
        (line(json!([{"role": "user", "content": null}])), "message 0 has no content"),
        (line(json!([{"role": "assistant", "content": null, "tool_calls": []}, user])), "message 0 has no content"),
        (line(json!([{"role": "user", "content": 3}])), "message 0 has content that is a number"),
        (line(json!([{"role": "user", "content": [{"text": "x"}]}])), "a content part without a \"type\""),
        (line(json!([{"role": "user", "content": [{"type": "text"}]}])), "a text part without \"text\""),
        (line(json!([{"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}])), "a tool call without the name"),
        (line(json!([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 1}}]}])), "neither a string nor an object"),
        (line(json!(["x"])), "message 0 must be an object, not a string"),
        (line(json!("x")), "\"messages\" must be an array"),
        (format!("{good}\n7\n"), "line 2: a conversation must be an object, not a number"),
        (r#"{"prompt": "x", "answer": "y"}"#.into(), "line 1: neither \"messages\" nor \"conversations\" is there, only [prompt, answer]"),
        (r#"[{"role": "user", "content": "x"}]"#.into(), "item 0 of the array (the first is 0): this is a single message"),
        (r#"[{"conversations": [{"from": "human", "value": "x"}]}, {"conversations": [{"from": "alien", "value": "x"}]}]"#.into(), "item 1 of the array (the first is 0): message 0 has the role \"alien\"; it must be system, human"),
        (r#"{"messages": [], "tools": 3}"#.into(), "no usable conversation (1 conversations read"),
        (format!("{good}\n{}", r#"{"messages": [{"role": "user", "content": "b"}], "tools": 3}"#), "line 2: \"tools\" must be an array of objects"),
        ("[]".into(), "no usable conversation (0 conversations read"),
        (" \n\t\n".into(), "is empty"),
        (String::new(), "is empty"),
        ("\u{feff}\n".into(), "is empty"),
    ];
    for (content, reason) in cases {
        let error = read(&content).expect_err(&content).to_string();
        assert!(error.contains(reason), "{content}\n{error}");
    }
}

#[test]
fn invalid_utf8_is_named_with_its_byte() {
    for at in [0usize, 1, 65_535, 65_536, 200_000] {
        // Two-byte characters, so that buffers end inside one.
        let mut bytes = "aé".repeat(100_000).into_bytes();
        let at = at - at % 3;
        bytes[at] = 0xff;
        match read(&bytes) {
            Err(DatasetError::Utf8 { offset, .. }) => assert_eq!(offset, at as u64),
            other => panic!("{other:?}"),
        }
    }
    match read(b"abc\xe2\x82") {
        Err(DatasetError::Utf8 { offset, .. }) => assert_eq!(offset, 3),
        other => panic!("{other:?}"),
    }
    let error = dataset(&PathBuf::from("no/such/file")).unwrap_err().to_string();
    assert!(error.contains("cannot read the dataset no/such/file"), "{error}");
}

#[test]
fn a_sample_of_a_large_file_is_uniform_and_repeatable() {
    let lines: String =
        (0..2000).map(|i| format!("{{\"messages\": [{{\"role\": \"user\", \"content\": \"{i}\"}}]}}\n")).collect();
    let (_dir, path) = file(lines);
    let got = dataset_sample(&path, 3, 400).unwrap();
    assert_eq!(got.samples.len(), 400);
    assert_eq!(got.summary.read, 2000);
    assert_eq!(got, dataset_sample(&path, 3, 400).unwrap());
    assert_ne!(got, dataset_sample(&path, 4, 400).unwrap());
    let early = got.samples.iter().filter(|sample| sample.place <= Place::Line(1000)).count();
    assert!((160..=240).contains(&early), "{early} of 400 from the first half");
}

/// Concatenates contents; raises on a message that says so.
struct Plain;

impl Prompt for Plain {
    fn render(&self, request: &Value) -> Result<String, String> {
        let contents: Vec<&str> =
            request["messages"].as_array().unwrap().iter().filter_map(|message| message["content"].as_str()).collect();
        if contents.contains(&"raise") { Err("roles must alternate".into()) } else { Ok(contents.join("|")) }
    }

    fn count(&self, texts: &[String]) -> Result<Vec<usize>, String> {
        Ok(texts.iter().map(String::len).collect())
    }
}

fn spec(pool: u32, warmup: u32) -> WorkloadSpec {
    WorkloadSpec { id: "dataset-x".into(), kind: "dataset".into(), tokens: 0, turns: 0, pool, warmup, bytes: 0 }
}

fn texts(count: usize) -> String {
    (0..count).map(|i| format!("text {i}\n\n")).collect()
}

#[test]
fn a_dataset_becomes_the_same_two_files() {
    let data = read(texts(200)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let make = |seed| {
        build_dataset(&data, &spec(64, 16), seed, &Plain, dir.path(), OnTemplateError::Fail, &mut |_, _| {}).unwrap()
    };
    let files = make(1);
    let requests = std::fs::read_to_string(&files.requests).unwrap();
    let texts = std::fs::read_to_string(&files.texts).unwrap();
    assert_eq!((requests.lines().count(), texts.lines().count()), (80, 80));
    assert_eq!(requests.lines().collect::<std::collections::HashSet<_>>().len(), 80);
    for (request, text) in requests.lines().zip(texts.lines()) {
        let request: Value = serde_json::from_str(request).unwrap();
        assert_eq!(request["messages"][0]["content"], serde_json::from_str::<Value>(text).unwrap());
    }
    assert_eq!(files.spec, spec(64, 16));
    assert_eq!((files.tokens.min, files.tokens.max), (6, 8));
    assert_eq!(make(1).sha256, files.sha256);
    assert_ne!(make(2).sha256, files.sha256);
}

#[test]
fn a_small_dataset_is_shared_between_pool_and_warm_up() {
    let dir = tempfile::tempdir().unwrap();
    let make = |count| {
        build_dataset(
            &read(texts(count)).unwrap(),
            &spec(64, 16),
            1,
            &Plain,
            dir.path(),
            OnTemplateError::Fail,
            &mut |_, _| {},
        )
    };
    for (count, pool, warmup) in [(50, 40, 10), (10, 8, 2), (2, 1, 1)] {
        let files = make(count).unwrap();
        assert_eq!((files.spec.pool, files.spec.warmup), (pool, warmup));
    }
    assert!(matches!(make(1), Err(WorkloadError::Dataset(DatasetError::TooFew { usable: 1, .. }))));
}

#[test]
fn a_template_that_raises_is_named_or_skipped() {
    let data = read("one\n\nraise\n\nthree\n\nfour\n").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let make = |on_error| build_dataset(&data, &spec(8, 2), 1, &Plain, dir.path(), on_error, &mut |_, _| {});
    let error = make(OnTemplateError::Fail).unwrap_err().to_string();
    assert!(error.contains("line 3: the chat template failed: roles must alternate"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let files = make(OnTemplateError::Skip).unwrap();
    assert_eq!((files.skipped, files.spec.pool, files.spec.warmup), (1, 2, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
    }

    /// Bytes that get past the detection.
    #[test]
    fn any_json_is_read_or_refused(
        start in prop::sample::select(vec!["[{", "{\"", "[{\"conversations\":[", "{\"messages\":[{\"role\":", "[]"]),
        rest in "[\\[\\]{}:,\" a-z0-9\\n\\\\]{0,80}",
    ) {
        let _ = read(format!("{start}{rest}"));
    }

    /// What is written by the rules is read: as many conversations as were put in, each ending with the user.
    #[test]
    fn conversations_survive(turns in prop::collection::vec(1usize..6, 1..20), lines in any::<bool>(), reply in any::<bool>()) {
        let all: Vec<Value> = turns.iter().enumerate().map(|(at, &turns)| {
            let messages: Vec<Value> = (0..2 * turns - usize::from(!reply)).map(|i| {
                if lines { json!({"role": (["user", "assistant"][i % 2]), "content": format!("{at} {i}")}) }
                else { json!({"from": (["human", "gpt"][i % 2]), "value": format!("{at} {i}")}) }
            }).collect();
            if lines { json!({"messages": messages}) } else { json!({"conversations": messages}) }
        }).collect();
        let content = if lines { all.iter().map(|one| format!("{one}\n")).collect() } else { Value::Array(all).to_string() };
        let got = read(content).unwrap();
        prop_assert_eq!(got.samples.len(), turns.len());
        prop_assert_eq!(got.summary.cut, if reply { turns.len() as u64 } else { 0 });
        for (sample, turns) in got.samples.iter().zip(&turns) {
            prop_assert_eq!(roles(&sample.body).len(), 2 * turns - 1);
        }
    }
}
