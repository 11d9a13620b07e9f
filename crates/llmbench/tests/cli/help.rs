//! What the program says of itself.

use super::shell::{Shell, code};

#[test]
fn help_of_the_program_and_of_each_verb() {
    let shell = Shell::new();
    for verb in ["", "run", "load", "calibrate", "mock", "list", "doctor", "report", "sidecar", "completions"] {
        let args: Vec<&str> = [verb, "--help"].into_iter().filter(|arg| !arg.is_empty()).collect();
        let session = shell.session(&args);
        assert!(session.contains("exit code: 0\n") && !session.contains("--- stderr"), "{session}");
        let written = session.split_once("Examples:").expect("every help has examples").1;
        for line in written.lines() {
            assert!(line.chars().count() <= 80, "wider than 80 columns: {line}");
        }
        insta::assert_snapshot!(format!("help_{}", if verb.is_empty() { "llmbench" } else { verb }), session);
    }
}

#[test]
fn the_version_is_the_packages() {
    let output = Shell::new().output(&["--version"]);
    assert_eq!(code(&output), 0);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("llmbench {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_know_the_options() {
    let shell = Shell::new();
    for name in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = shell.output(&["completions", name]);
        let script = String::from_utf8(output.stdout.clone()).unwrap();
        assert_eq!(code(&output), 0, "{name}");
        assert!(script.contains("gpu-step-ms") && script.contains("dry-run"), "{name}: {script}");
        assert!(output.stderr.is_empty(), "{name}");
    }
}
