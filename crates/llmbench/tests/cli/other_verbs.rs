//! `run --dry-run`, `report`, `list` and `doctor`: what can be had without measuring.

use serde_json::Value;

use super::shell::{Shell, code};

#[test]
fn a_dry_run_shows_the_plan_and_leaves_nothing() {
    let shell = Shell::new();
    let args = ["run", "preprocessing", "--quick", "--dry-run", "--exp", "4", "--threads", "1,2"];
    let session = shell.session(&[&args[..], &["--python", "/nonexistent"]].concat());
    assert!(session.contains("exit code: 0\n"), "{session}");
    assert!(session.contains("subject    python: --python /nonexistent: there is no such file"), "{session}");
    assert!(session.contains("gil-scaling/native/tokenize/hf-tokenizers.encode/threads=2"), "{session}");
    assert!(!shell.path("output").exists() && !shell.path("cache").exists());
}

#[test]
fn a_report_needs_a_run_folder_of_this_schema() {
    let shell = Shell::new();
    std::fs::create_dir(shell.path("holiday")).unwrap();
    insta::assert_snapshot!(shell.session(&["report", "holiday"]));
    shell.file("holiday/run.json", "{\"schema\": 999}");
    insta::assert_snapshot!(shell.session(&["report", "holiday"]));
    shell.file("holiday/run.json", "{\"schema\": 3, \"llmbench\": \"0.7.1\"}");
    insta::assert_snapshot!("report_newer_schema", shell.session(&["report", "holiday"]));
    insta::assert_snapshot!("resume_newer_schema", shell.session(&["run", "preprocessing", "--resume", "holiday"]));
    shell.file("holiday/run.json", "{\"holiday\": true}");
    insta::assert_snapshot!("report_no_schema", shell.session(&["report", "holiday"]));
    shell.file("holiday/run.json", "{\"schema\": 1, \"llm");
    insta::assert_snapshot!("report_damaged", shell.session(&["report", "holiday"]));
}

#[test]
fn the_list_for_programs_is_json() {
    let output = Shell::new().output(&["list", "--json"]);
    assert_eq!(code(&output), 0);
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(list["suites"][0]["experiments"].as_array().unwrap().len(), 7);
    assert!(list["engines"].as_array().unwrap().iter().any(|engine| engine["engine"] == "minijinja"));
}

#[test]
fn the_doctor_fits_the_columns_and_says_what_to_do() {
    let shell = Shell::new();
    for columns in [80, 140] {
        let output = shell.command(&["doctor"]).env("COLUMNS", columns.to_string()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with(['?', 'w', 'B'])) {
            let rest = lines[index + 1..].iter().take_while(|line| line.starts_with("       "));
            assert!(rest.clone().any(|line| line.trim_start().starts_with("-> ")), "no remedy for {line}: {text}");
        }
    }
}

#[test]
fn the_doctor_says_that_a_token_is_set_and_not_which() {
    let shell = Shell::new();
    for args in [&["doctor", "--json"][..], &["doctor"], &["-vv", "doctor"]] {
        let output = shell.command(args).env("HF_TOKEN", "hf_secret123").output().unwrap();
        assert_eq!(code(&output), 0);
        let text = [output.stdout.clone(), output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("HF_TOKEN") && !text.contains("secret123"), "{text}");
        if args.contains(&"--json") {
            let facts: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
            let token = facts.iter().find(|fact| fact["key"] == "hub.token").unwrap();
            assert_eq!(token["value"], "set");
        }
    }
}
