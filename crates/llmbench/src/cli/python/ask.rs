//! Asks one interpreter what it is and how its GIL stands after the imports, with a time limit.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What `python -m llmbench_worker.interpreter` says. Fields of other versions of it are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Answer {
    pub version: String,
    /// False on versions that the worker does not run on.
    pub supported: bool,
    /// Whether the build can run without the GIL, whatever it does now.
    pub free_threaded_build: bool,
    /// Before any import of an engine.
    pub gil_enabled: bool,
    /// Compiler, optimization, pgo, lto, debug and more; `unknown` is a value.
    #[serde(default)]
    pub build: BTreeMap<String, String>,
    #[serde(default)]
    pub packages: BTreeMap<String, Package>,
    /// None where nothing could be imported because the version is too old.
    #[serde(default)]
    pub gil_enabled_after_imports: Option<bool>,
    /// Packages whose import switched it on.
    #[serde(default)]
    pub gil_switched_on_by: Vec<String>,
}

/// One package of an engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Package {
    /// None where it is not installed.
    pub version: Option<String>,
    /// None where the import was not tried: on GIL builds it can change nothing.
    #[serde(default)]
    pub imports: Option<bool>,
    /// Why it does not import.
    #[serde(default)]
    pub error: Option<String>,
    #[serde(default)]
    pub gil_enabled: Option<bool>,
    /// The extension module that CPython's warning names.
    #[serde(default)]
    pub switched_on_by_module: Option<String>,
}

/// More output than this is not an answer.
const MOST_BYTES: u64 = 4 << 20;
/// How often the child is looked at.
const TICK: Duration = Duration::from_millis(10);

/// Runs the interpreter on the worker's sources in `sources`. It sees of the environment what workers of a run see, so
/// `PYTHON_GIL` of the shell does not reach it.
///
/// # Errors
/// A clause about the interpreter: why there is no answer.
pub fn ask(python: &Path, sources: &Path, patience: Duration, cancelled: &dyn Fn() -> bool) -> Result<Answer, String> {
    let mut command = Command::new(python);
    command
        .args(["-m", "llmbench_worker.interpreter"])
        // `-m` puts the working folder first on the path: a jinja2.py of the user's would be found there.
        .current_dir(sources)
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_inherited)))
        .env("PYTHONPATH", sources)
        .env("HF_HUB_OFFLINE", "1")
        .env("TOKENIZERS_PARALLELISM", "false");
    let done = run(command, patience, cancelled)?;
    match parse(&done.output) {
        Ok(answer) if !answer.supported => Err(format!("it is Python {}, and 3.10 or newer is needed", answer.version)),
        Ok(answer) => Ok(answer),
        Err(_) if !done.status.success() => Err(match last_line(&done.errors).or_else(|| last_line(&done.output)) {
            Some(line) => format!("it does not run the worker: {line}"),
            None => format!("it does not run the worker: {}", done.status),
        }),
        Err(reason) => Err(reason),
    }
}

fn is_inherited(name: &str) -> bool {
    const KNOWN: [&str; 9] = [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "DYLD_LIBRARY_PATH",
        "DYLD_FALLBACK_LIBRARY_PATH",
    ];
    KNOWN.contains(&name) || name.starts_with("LC_")
}

/// The object may stand behind what `sitecustomize` and the like print; it begins on a line of its own.
fn parse(output: &str) -> Result<Answer, String> {
    let mut starts = output.match_indices('{').map(|(at, _)| at);
    let at_line_start = |at: &usize| *at == 0 || output.as_bytes()[at - 1] == b'\n';
    let Some(start) = starts.find(at_line_start) else {
        return Err(match last_line(output) {
            Some(line) => format!("its answer makes no sense: it says {line:?}"),
            None => "its answer makes no sense: it says nothing".to_owned(),
        });
    };
    let mut values = serde_json::Deserializer::from_str(&output[start..]).into_iter::<Answer>();
    match values.next() {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(error)) => Err(format!("its answer makes no sense: {error}")),
        None => Err("its answer makes no sense: it ends early".to_owned()),
    }
}

/// The last line with anything in it, at most 200 characters of it.
fn last_line(text: &str) -> Option<String> {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().take(200).collect())
}

/// A child that came to its own end.
struct Done {
    status: ExitStatus,
    output: String,
    errors: String,
}

/// Runs a command in a process group of its own, which is ended as a whole when the time is over.
fn run(mut command: Command, patience: Duration, cancelled: &dyn Fn() -> bool) -> Result<Done, String> {
    let failed = |error: io::Error| format!("it cannot be started: {error}");
    // Files and not pipes: a child that writes much cannot block, and a grandchild that lives on holds nothing open.
    let (mut output, mut errors) = (tempfile::tempfile().map_err(failed)?, tempfile::tempfile().map_err(failed)?);
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(failed)?)
        .stderr(errors.try_clone().map_err(failed)?)
        .process_group(0);
    let mut child = command.spawn().map_err(failed)?;
    let deadline = Instant::now() + patience;
    let size = |file: &File| file.metadata().map_or(0, |metadata| metadata.len());
    let (status, problem) = loop {
        match child.try_wait() {
            Ok(Some(status)) => break (Some(status), None),
            Err(error) => break (None, Some(format!("it cannot be waited for: {error}"))),
            Ok(None) if cancelled() => break (None, Some("interrupted".to_owned())),
            Ok(None) if Instant::now() >= deadline => {
                break (None, Some(format!("it did not answer within {} s", patience.as_secs_f64())));
            }
            Ok(None) if size(&output) + size(&errors) > MOST_BYTES => {
                break (None, Some("its answer makes no sense: it does not stop writing".to_owned()));
            }
            Ok(None) => std::thread::sleep(TICK),
        }
    };
    end(&mut child);
    match (status, problem) {
        (Some(status), _) => Ok(Done { status, output: read(&mut output)?, errors: read(&mut errors)? }),
        (None, problem) => Err(problem.unwrap_or_default()),
    }
}

/// Ends what is left of the child's group, and reaps the child.
fn end(child: &mut Child) {
    if let Some(group) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
}

fn read(file: &mut File) -> Result<String, String> {
    let mut bytes = Vec::new();
    let whole = file.rewind().and_then(|()| file.take(MOST_BYTES).read_to_end(&mut bytes));
    whole.map_err(|error| format!("its answer cannot be read: {error}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn sh(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_child_that_hangs_or_floods_is_ended() {
        let begun = Instant::now();
        let hangs = run(sh("sleep 600 & sleep 600"), Duration::from_millis(300), &|| false).err().unwrap();
        assert_eq!(hangs, "it did not answer within 0.3 s");
        let floods = run(sh("yes"), LONG, &|| false).err().unwrap();
        assert!(floods.ends_with("it does not stop writing"), "{floods}");
        assert_eq!(run(sh("sleep 600"), LONG, &|| true).err().unwrap(), "interrupted");
        assert!(begun.elapsed() < LONG);
    }

    #[test]
    fn the_streams_and_the_status() {
        let done = run(sh("echo out; echo err >&2; exit 3"), LONG, &|| false).ok().unwrap();
        assert_eq!((done.output.as_str(), done.errors.as_str(), done.status.code()), ("out\n", "err\n", Some(3)));
        assert!(
            run(Command::new("/nonexistent/python"), LONG, &|| false)
                .err()
                .unwrap()
                .starts_with("it cannot be started")
        );
    }

    #[test]
    fn an_answer_behind_other_output_is_found_and_garbage_is_told() {
        let answer = r#"{"version": "3.14.1", "supported": true, "free_threaded_build": true, "gil_enabled": false}"#;
        let parsed = parse(&format!("hello {{}} from sitecustomize\n{answer}\nbye")).unwrap();
        assert_eq!((parsed.version.as_str(), parsed.free_threaded_build), ("3.14.1", true));
        assert_eq!(parse("").unwrap_err(), "its answer makes no sense: it says nothing");
        assert_eq!(parse("a\nb \u{1b}[1m\n").unwrap_err(), "its answer makes no sense: it says \"b \\u{1b}[1m\"");
        assert!(parse("{\"version\": 3}").unwrap_err().starts_with("its answer makes no sense: invalid type"));
        assert!(parse(&answer[..40]).unwrap_err().contains("EOF"));
    }
}
