//! Runs a program to its end, line by line, with a time limit, in a process group of its own that can be ended as a whole.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

/// Longer lines are cut into pieces, so that no output can fill the memory.
const MAX_LINE: u64 = 16 * 1024;
/// How many of the last lines are kept for the error.
const KEPT_LINES: usize = 400;
/// How often the clock and `cancel` are looked at.
const TICK: Duration = Duration::from_millis(50);

/// How a child ended.
#[derive(Debug)]
pub(super) enum End {
    Exit(ExitStatus),
    TimedOut,
    Cancelled,
}

/// What is left of a child.
#[derive(Debug)]
pub(super) struct Outcome {
    pub end: End,
    /// The last lines of its output and errors, in the order in which they came.
    pub lines: Vec<String>,
}

impl Outcome {
    pub(super) fn success(&self) -> bool {
        matches!(&self.end, End::Exit(status) if status.success())
    }

    /// The last line with anything in it.
    pub(super) fn last_line(&self) -> Option<&str> {
        self.lines.iter().rev().map(|l| l.trim()).find(|l| !l.is_empty())
    }
}

/// A command that sees the environment without secrets, and without what would bend another interpreter.
pub(super) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_none_or(is_unwanted) {
            command.env_remove(&name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Secrets, except those that belong to the package index; settings of another Python; places other than the environment.
fn is_unwanted(name: &str) -> bool {
    const SECRET: [&str; 9] =
        ["TOKEN", "KEY", "APIKEY", "SECRET", "SECRETS", "PASSWORD", "PASSWD", "CREDENTIAL", "CREDENTIALS"];
    const BENDING: [&str; 12] = [
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONSTARTUP",
        "PYTHON_GIL",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "PIP_USER",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_ROOT",
        "PIP_REQUIREMENT",
        "__PYVENV_LAUNCHER__",
    ];
    let upper = name.to_ascii_uppercase();
    let of_the_index = upper.starts_with("PIP_") || upper.starts_with("UV_");
    let secret = !of_the_index && upper.split('_').any(|word| SECRET.contains(&word));
    secret || BENDING.contains(&upper.as_str())
}

/// Runs the command. `on_line` hears each line of its output and errors; `cancel` is asked many times a second.
pub(super) fn run(
    mut command: Command,
    timeout: Duration,
    cancel: &dyn Fn() -> bool,
    on_line: &mut dyn FnMut(&str),
) -> io::Result<Outcome> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    // Bounded: a child that floods us waits.
    let (sender, lines) = mpsc::sync_channel(256);
    let output = child.stdout.take().map(|pipe| spawn_reader(pipe, sender.clone()));
    let errors = child.stderr.take().map(|pipe| spawn_reader(pipe, sender));
    let deadline = Instant::now() + timeout;
    let mut kept: Vec<String> = Vec::new();
    let mut end = None;
    let mut grace = None;
    loop {
        match lines.recv_timeout(TICK) {
            Ok(line) => {
                on_line(&line);
                if kept.len() == KEPT_LINES {
                    kept.remove(0);
                }
                kept.push(line);
            }
            Err(RecvTimeoutError::Timeout) => {}
            // Both pipes are closed. Nothing more is to be heard; the exit is waited for below.
            Err(RecvTimeoutError::Disconnected) if end.is_some() => break,
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(Duration::from_millis(1)),
        }
        if end.is_none() {
            end = match child.try_wait()? {
                Some(status) => Some(End::Exit(status)),
                None if cancel() => Some(End::Cancelled),
                None if Instant::now() >= deadline => Some(End::TimedOut),
                None => None,
            };
            if matches!(end, Some(End::Cancelled | End::TimedOut)) {
                end_group(&child);
            }
        } else {
            // A grandchild may hold the pipes open after its parent is gone.
            let until = *grace.get_or_insert(Instant::now() + Duration::from_secs(1));
            if Instant::now() >= until {
                end_group(&child);
                break;
            }
        }
    }
    drop(lines);
    let _ = child.wait();
    for reader in [output, errors].into_iter().flatten() {
        // They end with the pipes, which the end of the group closed; a reader that is stuck is left behind.
        if reader.is_finished() {
            let _ = reader.join();
        }
    }
    let end = end.unwrap_or(End::TimedOut);
    Ok(Outcome { end, lines: kept })
}

fn end_group(child: &std::process::Child) {
    if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

fn spawn_reader(pipe: impl Read + Send + 'static, sender: SyncSender<String>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while matches!(reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line), Ok(n) if n > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(text).is_err() {
                break;
            }
            line.clear();
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut c = command("/bin/sh");
        c.args(["-c", script]);
        c
    }

    fn never() -> bool {
        false
    }

    #[test]
    fn secrets_and_other_pythons_are_kept_out() {
        for name in ["HF_TOKEN", "OPENAI_API_KEY", "hf_token", "PYTHONPATH", "PYTHON_GIL", "VIRTUAL_ENV", "MY_SECRET"] {
            assert!(is_unwanted(name), "{name}");
        }
        for name in ["PATH", "PIP_INDEX_URL", "UV_INDEX_PASSWORD", "TOKENIZERS_PARALLELISM", "HTTPS_PROXY", "HOME"] {
            assert!(!is_unwanted(name), "{name}");
        }
    }

    #[test]
    fn lines_of_both_streams_and_the_status() {
        let mut heard = vec![];
        let out = run(sh("echo a; echo b >&2; exit 3"), Duration::from_secs(60), &never, &mut |l| {
            heard.push(l.to_owned());
        });
        let out = out.unwrap();
        heard.sort();
        assert_eq!(heard, ["a", "b"]);
        assert!(matches!(out.end, End::Exit(status) if status.code() == Some(3)));
        assert!(!out.success());
    }

    #[test]
    fn a_child_that_hangs_is_ended_with_its_children() {
        let tmp = tempfile::tempdir().unwrap();
        let pid_file = tmp.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", pid_file.display());
        // Cancelled once the grandchild is known, so that no machine is too slow for this test.
        let cancel = || std::fs::read_to_string(&pid_file).is_ok_and(|text| text.ends_with('\n'));
        let out = run(sh(&script), Duration::from_secs(60), &cancel, &mut |_| {}).unwrap();
        assert!(matches!(out.end, End::Cancelled));
        let pid: i32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
        let stat = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Gone, or a zombie that init has not reaped yet.
        for _ in 0..1000 {
            if stat().is_empty() || stat().contains(") Z ") {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the grandchild lives: {}", stat());
    }

    #[test]
    fn a_flood_ends_at_the_time_limit() {
        let out = run(sh("yes"), Duration::from_millis(200), &never, &mut |_| {}).unwrap();
        assert!(matches!(out.end, End::TimedOut));
        assert!(out.lines.len() <= KEPT_LINES);
        let out = run(sh("cat /dev/zero"), Duration::from_millis(200), &never, &mut |_| {}).unwrap();
        assert!(matches!(out.end, End::TimedOut));
    }
}
