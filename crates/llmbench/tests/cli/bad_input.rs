//! Models and datasets that cannot be used: exit code 2, and one sentence that names the thing and what to do.

use super::model;
use super::shell::Shell;

const RUN: [&str; 7] = ["run", "preprocessing", "--quick", "--exp", "1", "--python", "/nonexistent"];

fn refused(shell: &Shell, more: &[&str]) -> String {
    let session = shell.session(&[&RUN[..], more].concat());
    assert!(session.contains("exit code: 2\n"), "{session}");
    assert!(!session.contains("--- stdout"), "{session}");
    let messages = session.lines().filter(|line| line.starts_with("llmbench: ")).count();
    assert_eq!(messages, 1, "one sentence: {session}");
    session
}

#[test]
fn tokenizers_that_are_none() {
    let whole = model::tokenizer(false).to_string();
    let mut other = model::tokenizer(false);
    other["model"]["type"] = "Tekken".into();
    let cases = [
        ("not_json", "a vocabulary".to_owned()),
        ("truncated", whole[..whole.len() / 2].to_owned()),
        ("other_kind", other.to_string()),
    ];
    for (name, text) in cases {
        let shell = Shell::new();
        model::write_files(&shell.path("model"), &text, model::CHATML);
        insta::assert_snapshot!(format!("tokenizer_{name}"), refused(&shell, &["--model", "model"]));
    }
}

#[test]
fn templates_that_fail() {
    let cases = [
        ("syntax", "{% for message in messages %}{{ message.content }"),
        ("endless", "{% for i in range(10**9) %}{{ i }}{% endfor %}"),
        ("refuses", "{{ raise_exception('only one system message is supported') }}"),
    ];
    for (name, template) in cases {
        let shell = Shell::new();
        model::write(&shell.path("model"), template);
        insta::assert_snapshot!(format!("template_{name}"), refused(&shell, &["--model", "model"]));
    }
}

#[test]
fn datasets_that_are_broken() {
    let good = "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}\n";
    let cases: [(&str, Vec<u8>); 4] = [
        ("broken_line", format!("{good}{{\"messages\":[{{\"role\":\n{good}").into_bytes()),
        ("wrong_role", format!("{good}{}", good.replace("user", "emperor")).into_bytes()),
        ("not_utf8", [good.as_bytes(), b"\xff\n"].concat()),
        ("empty", Vec::new()),
    ];
    for (name, bytes) in cases {
        let shell = Shell::new();
        model::write(&shell.path("model"), model::CHATML);
        shell.file("data.jsonl", bytes);
        let session = refused(&shell, &["--model", "model", "--dataset", "data.jsonl"]);
        insta::assert_snapshot!(format!("dataset_{name}"), session);
    }
}
