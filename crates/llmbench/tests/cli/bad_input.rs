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
    let tekken = r#"{"config": {"pattern": "x", "default_vocab_size": 131072}, "vocab": [], "special_tokens": []}"#;
    let mut part = model::tokenizer(false);
    part["pre_tokenizer"]["type"] = "Quantum".into();
    let cases = [
        ("tekken", tekken.to_owned()),
        ("other_part", part.to_string()),
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
        ("refuses", "\n{{ raise_exception('only one system message is supported') }}"),
        (
            "explosive",
            "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
        ),
        ("nested", "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}"),
        ("recursion", "{% macro f() %}\n{{ f() }}{% endmacro %}{{ f() }}"),
        ("undefined", "{{ messages[0].tool.name }}"),
    ];
    for (name, template) in cases {
        let shell = Shell::new();
        model::write(&shell.path("model"), template);
        let session = refused(&shell, &["--model", "model"]);
        assert!(session.contains("llmbench: the chat_template in model/tokenizer_config.json, line "), "{session}");
        insta::assert_snapshot!(format!("template_{name}"), session);
    }
}

#[test]
fn a_template_of_its_own_file_is_named_by_it() {
    let shell = Shell::new();
    model::write(&shell.path("model"), model::CHATML);
    shell.file("model/chat_template.jinja", "{% for i in range(10**9) %}{{ i }}{% endfor %}");
    let session = refused(&shell, &["--model", "model"]);
    assert!(session.contains("llmbench: model/chat_template.jinja, line 1 exceeds the limit on "), "{session}");
    shell.file("data.txt", "one paragraph\n\nanother\n");
    let session = refused(&shell, &["--model", "model", "--dataset", "data.txt"]);
    insta::assert_snapshot!("template_of_a_dataset", session);
}

#[test]
fn folders_with_another_vocabulary() {
    for name in ["tekken.json", "tokenizer.model"] {
        let shell = Shell::new();
        std::fs::create_dir(shell.path("model")).unwrap();
        shell.file(&format!("model/{name}"), "{}");
        insta::assert_snapshot!(format!("vocabulary_{name}"), refused(&shell, &["--model", "model"]));
    }
    let shell = Shell::new();
    insta::assert_snapshot!("model_folder_missing", refused(&shell, &["--model", "./modle"]));
}

#[test]
fn a_set_up_that_fails_leaves_the_run_before_as_the_latest() {
    let shell = Shell::new();
    model::write(&shell.path("model"), "{{ raise_exception('no') }}");
    std::fs::create_dir_all(shell.path("output/earlier")).unwrap();
    shell.file("output/earlier/run.json", "{}");
    std::os::unix::fs::symlink("earlier", shell.path("output/latest")).unwrap();
    refused(&shell, &["--model", "model"]);
    let names = |dir: &str| -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(shell.path(dir))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("output"), ["earlier", "latest"]);
    assert_eq!(std::fs::read_link(shell.path("output/latest")).unwrap(), std::path::Path::new("earlier"));
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
