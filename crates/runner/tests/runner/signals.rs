//! Real signals, in processes of their own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use record::plan::SubjectSpec;
use runner::interrupt::{EXIT_INTERRUPTED, Interrupt};
use runner::schedule::Launch;
use runner::subject::Subject;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{fake, gone, marks};

/// Starts this test binary again, to run only `test`; returns it when it printed a line that begins with `word`, with the rest.
fn again(test: &str, spec: Option<&SubjectSpec>, word: &str) -> (Child, String, BufReader<std::process::ChildStdout>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env("RUNNER_TEST_CHILD", "1").stdout(Stdio::piped());
    if let Some(spec) = spec {
        command.env("RUNNER_TEST_SPEC", serde_json::to_string(spec).unwrap());
    }
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let rest = wait_for(&mut out, word);
    (child, rest, out)
}

fn wait_for(out: &mut impl BufRead, word: &str) -> String {
    let mut line = String::new();
    while out.read_line(&mut line).unwrap() > 0 {
        if let Some((_, rest)) = line.split_once(word) {
            return rest.trim().to_owned();
        }
        line.clear();
    }
    panic!("the process ended without {word}");
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn the_first_signal_asks_and_the_second_ends() {
    for (one, two) in [(Signal::INT, Signal::INT), (Signal::TERM, Signal::INT)] {
        let (mut child, _, mut out) = again("signals::child_that_waits", None, "waiting");
        send(&child, one);
        wait_for(&mut out, "asked to stop");
        assert!(child.try_wait().unwrap().is_none());
        send(&child, two);
        assert_eq!(child.wait().unwrap().code(), Some(EXIT_INTERRUPTED));
    }
}

/// Not a test by itself: the process that the one above starts.
#[test]
fn child_that_waits() {
    if std::env::var_os("RUNNER_TEST_CHILD").is_none() {
        return;
    }
    let interrupt = Interrupt::install().unwrap();
    println!("waiting");
    while !interrupt.is_set() {
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("asked to stop");
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
#[cfg(target_os = "linux")]
fn a_worker_does_not_outlive_a_parent_that_is_killed() {
    let marks = marks();
    let spec = fake("s", marks.path(), &[("FAKE_HELLO", "hang")]);
    let (mut child, pid, _out) = again("signals::child_with_worker", Some(&spec), "worker");
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
    send(&child, Signal::KILL);
    child.wait().unwrap();
    assert!(gone(&pid));
}

/// Not a test by itself: the process that the one above starts.
#[test]
fn child_with_worker() {
    let Ok(spec) = std::env::var("RUNNER_TEST_SPEC") else { return };
    if std::env::var_os("RUNNER_TEST_CHILD").is_none() {
        return;
    }
    let spec: SubjectSpec = serde_json::from_str(&spec).unwrap();
    let subject = Subject::start(&spec, Launch::default(), &Interrupt::new()).unwrap();
    println!("worker {}", subject.pid());
    std::thread::sleep(Duration::from_secs(600));
}
