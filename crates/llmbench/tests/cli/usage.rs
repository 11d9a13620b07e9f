//! Command lines and settings that cannot be: exit code 2, and a sentence that says what to write instead.

use super::shell::{Shell, code};

fn refused(args: &[&str]) -> String {
    let shell = Shell::new();
    let session = shell.session(args);
    assert!(session.contains("exit code: 2\n"), "{session}");
    assert!(!session.contains("--- stdout"), "{session}");
    assert!(!shell.path("output").exists(), "nothing is left behind");
    session
}

#[test]
fn names_that_are_not_there() {
    insta::assert_snapshot!(refused(&["frobnicate"]));
    insta::assert_snapshot!(refused(&["run", "preprocesing"]));
    insta::assert_snapshot!(refused(&["run", "preprocessing", "--exp", "anatmoy"]));
    insta::assert_snapshot!(refused(&["run", "preprocessing", "--exp", "1,9"]));
    insta::assert_snapshot!(refused(&["run", "preprocessing", "--resume", "nowhere"]));
    insta::assert_snapshot!(refused(&["run", "preprocessing", "--dataset", "none.jsonl"]));
}

#[test]
fn numbers_that_make_no_sense() {
    insta::assert_snapshot!(refused(&["run", "preprocessing", "--threads", "0"]));
    insta::assert_snapshot!(refused(&["run", "preprocessing", "--threads", "1,many"]));
    insta::assert_snapshot!(refused(&["run", "preprocessing", "--runs", "0"]));
    insta::assert_snapshot!(refused(&["run", "preprocessing", "--requests", "0"]));
    insta::assert_snapshot!(refused(&["run", "preprocessing", "--gpu-step-ms", "0"]));
    insta::assert_snapshot!(refused(&["run", "preprocessing", "--gpu-step-ms", "NaN"]));
}

#[test]
fn options_that_exclude_each_other() {
    insta::assert_snapshot!(refused(&["run", "preprocessing", "--quick", "--full"]));
    insta::assert_snapshot!(refused(&["run", "preprocessing", "--skip-refused"]));
    insta::assert_snapshot!(refused(&["run", "preprocessing", "--workload", "words", "--dataset", "a.txt"]));
}

#[test]
fn a_key_of_the_serving_suite_stays_on_this_machine_or_is_encrypted() {
    let shell = Shell::new();
    let said = |url: &str, more: &[&str]| {
        let args =
            ["run", "serving", "--quick", "--exp", "1", "--base-url", url, "--api-key-env", "MY_KEY", "--strict-env"];
        let output = shell.command(&[&args[..], more].concat()).env("MY_KEY", "sk-very-secret").output().unwrap();
        let text = String::from_utf8(output.stderr.clone()).unwrap();
        assert!(!text.contains("very-secret"), "{text}");
        (code(&output), text)
    };
    let (exit, refused) = said("http://nowhere.invalid:9", &["--model", "none/at/all"]);
    assert!(exit == 2 && refused.contains("MY_KEY would go to http://nowhere.invalid:9 in plain text"), "{refused}");
    let (_, allowed) = said("http://nowhere.invalid:9", &["--insecure-key", "--model", "none/at/all"]);
    assert!(allowed.contains("the key in MY_KEY is sent to nowhere.invalid"), "{allowed}");
    let (exit, secret) = said("http://me:hunter2@host", &[]);
    assert!(exit == 2 && secret.contains("user or password") && !secret.contains("hunter2"), "{secret}");
    assert!(!shell.path("output").exists(), "nothing is left behind");
}

#[test]
fn settings_files_that_are_wrong() {
    let cases = [
        ("unknown_key", "qick = true\n"),
        ("unknown_experiment", "[experiment.anatmoy.axes]\ntokens = [100]\n"),
        ("unknown_axis", "[experiment.anatomy.axes]\ntokns = [100]\n"),
        ("experiment_that_is_not_there", "exp = [9]\n"),
        ("zero_threads", "[experiment.gpu-wait.axes]\nthreads = [0]\n"),
        ("no_runs", "runs = []\n"),
        ("zero_blocks", "blocks = 0\n"),
        ("budget", "budget_s = -1\n"),
        ("unknown_parameter", "[experiment.gpu-wait.params]\ngpu_step = 25\n"),
        ("no_parameters", "[experiment.anatomy.params]\nwindow_ms = 25\n"),
        ("parameter_of_no_use", "[experiment.gil-scaling.params]\nwindow_ms = 0\n"),
        ("unknown_word", "[experiment.gpu-wait.axes]\nmode = [\"stage\"]\n"),
        ("wrong_type", "quick = true\nruns = 5\n"),
        ("not_toml", "blocks = \"x\n"),
        ("workload", "workload = \"poems\"\n"),
    ];
    for (name, text) in cases {
        let shell = Shell::new();
        shell.file("settings.toml", text);
        let session = shell.session(&["run", "preprocessing", "--dry-run", "--config", "settings.toml"]);
        assert!(session.contains("exit code: 2\n"), "{name}: {session}");
        insta::assert_snapshot!(format!("settings_{name}"), session);
    }
    insta::assert_snapshot!(refused(&["run", "preprocessing", "--config", "missing.toml"]));
}

#[test]
fn parameters_without_a_value_of_their_own_may_be_set() {
    let shell = Shell::new();
    shell.file("settings.toml", "[experiment.gpu-wait.params]\ngpu_step_ms = 25\nrequests = 10\n");
    let args = ["run", "preprocessing", "--dry-run", "--python", "/nonexistent", "--config", "settings.toml"];
    assert_eq!(code(&shell.output(&args)), 0);
}

#[test]
fn files_with_a_near_name_are_offered() {
    for (option, there, asked) in
        [("--dataset", "sharegpt.jsonl", "sharegtp.jsonl"), ("--config", "settings.toml", "setings.toml")]
    {
        let shell = Shell::new();
        shell.file(there, "x");
        let session = shell.session(&["run", "preprocessing", option, asked]);
        assert!(session.contains("exit code: 2\n"), "{session}");
        insta::assert_snapshot!(format!("near_name_{}", &option[2..]), session);
    }
}

#[test]
fn no_verb_shows_the_help_on_stderr() {
    let output = Shell::new().output(&[]);
    assert_eq!(code(&output), 2);
    assert!(output.stdout.is_empty() && String::from_utf8(output.stderr).unwrap().contains("Usage: llmbench"));
}
