//! One worker at a time.

use std::time::Duration;

use record::plan::SubjectSpec;
use record::protocol::{Answer, Inputs, ModelPaths, Output, Request};
use runner::interrupt::Interrupt;
use runner::schedule::Launch;
use runner::subject::{Subject, SubjectError};
use serde_json::{Value, json};

use crate::support::{cell, fake, gone, marks};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);

fn start(spec: &SubjectSpec) -> Subject {
    Subject::start(spec, Launch::default(), &Interrupt::new()).unwrap()
}

fn hello(subject: &mut Subject, timeout: Duration) -> Result<(), SubjectError> {
    subject.hello(&ModelPaths { dir: ".".into(), tiktoken: None }, 0, &[])?;
    subject.ready(timeout).map(|_| ())
}

fn prepare(params: Value) -> Request {
    let cell = cell("c", "s", params);
    Request::Prepare {
        cell_id: cell.id,
        op: cell.op,
        timing: cell.timing,
        inputs: Inputs { requests: "".into(), texts: "".into(), pool: 8, warmup: 2 },
        check: 2,
        warmup_ns: 5,
    }
}

fn block() -> Request {
    Request::Block { cell_id: "c".to_owned(), block: 0, loops: 3, offset: 0, settle_ns: 7, stretch: None }
}

/// What a block of a cell that behaves like this comes to.
fn fails(does: &str, timeout: Duration) -> (String, Subject) {
    let marks = marks();
    let mut subject = start(&fake("s", marks.path(), &[]));
    hello(&mut subject, LONG).unwrap();
    subject.ask(&prepare(json!({"does": does})), LONG).unwrap();
    let error = subject.ask(&block(), timeout).unwrap_err();
    assert!(!error.lives_on());
    assert!(gone(&subject.pid().to_string()));
    (error.to_string(), subject)
}

#[test]
fn a_conversation() {
    let marks = marks();
    let mut subject = start(&fake("s", marks.path(), &[("FAKE_HELLO", "slow")]));
    subject.hello(&ModelPaths { dir: ".".into(), tiktoken: None }, 0, &[]).unwrap();
    let ready = subject.ready(LONG).unwrap();
    assert_eq!((ready.worker.as_str(), ready.pid), ("python", subject.pid()));
    let answers = subject.ask(&prepare(json!({"does": "print"})), LONG).unwrap();
    assert!(matches!(&answers[0], Answer::Check { hashes, .. } if hashes.len() == 2));
    assert!(matches!(&answers[1], Answer::Done { warm_ns: 5, .. }));
    // The cell prints to stdout, even an answer: none of it gets onto the answer channel.
    let answers = subject.ask(&block(), LONG).unwrap();
    assert_eq!(answers.len(), 2);
    let Answer::Sample(sample) = &answers[0] else { panic!("{answers:?}") };
    assert_eq!((sample.calls, sample.ns_per_call()), (3, 1e6));
    let answers = subject.ask(&Request::Dump { cell_id: "c".to_owned(), index: 1 }, LONG).unwrap();
    assert!(matches!(&answers[0], Answer::Dump { output: Output::Text(t), .. } if t.starts_with("request 1")));
    let pid = subject.pid().to_string();
    subject.end();
    assert!(gone(&pid));
}

#[test]
fn an_error_of_a_cell_leaves_the_worker_alive() {
    let marks = marks();
    let mut subject = start(&fake("s", marks.path(), &[]));
    hello(&mut subject, LONG).unwrap();
    let error = subject.ask(&prepare(json!({"does": "prepare_error"})), LONG).unwrap_err();
    assert!(error.lives_on());
    assert_eq!(error.to_string(), "the template raised: no system message allowed");
    subject.ask(&prepare(json!({})), LONG).unwrap();
}

#[test]
fn a_crash_is_explained_by_the_last_line() {
    assert_eq!(fails("crash", LONG).0, "the worker died (exit code 3): ValueError: boom");
    assert_eq!(fails("killed", LONG).0, "the worker died (signal 9, out of memory?)");
}

#[test]
fn garbage_is_shown_in_part() {
    let message = fails("garbage", LONG).0;
    let start = "the worker wrote something that is no answer and was ended: ";
    let shown: String = serde_json::from_str(message.strip_prefix(start).unwrap()).unwrap();
    assert_eq!(shown.chars().count(), 81);
    assert!(shown.starts_with("Segmentation whatever Seg") && shown.ends_with('…'));
}

#[test]
fn an_answer_about_another_cell_breaks_the_protocol() {
    let message = fails("other_cell", LONG).0;
    assert_eq!(
        message,
        "the worker broke the protocol and was ended: it answered about another when it was asked about c"
    );
}

#[test]
fn a_hang_ends_the_whole_group() {
    let marks = marks();
    let mut subject = start(&fake("s", marks.path(), &[]));
    hello(&mut subject, LONG).unwrap();
    subject.ask(&prepare(json!({"does": "hang"})), LONG).unwrap();
    // The grandchild is there before the time is up: the worker says so first.
    subject.send(&block()).unwrap();
    let pids = std::iter::repeat_with(|| std::fs::read_to_string(marks.path().join("pids")).unwrap_or_default())
        .inspect(|_| std::thread::sleep(Duration::from_millis(5)))
        .find(|text| text.ends_with('\n'))
        .unwrap();
    let error = subject.ask(&block(), SHORT).unwrap_err();
    assert_eq!(error.to_string(), "the worker did not finish block within 0.300 s and was ended: waiting for a lock");
    for pid in pids.split_whitespace() {
        assert!(gone(pid), "{pid} still runs");
    }
    // And again, on a worker that is gone: an error, not a hang.
    assert!(subject.ask(&block(), SHORT).is_err());
}

#[test]
fn what_hello_can_come_to() {
    let cases = [
        ("fatal", "transformers cannot be imported; run with --no-env"),
        ("crash", "the worker died (exit code 1): ModuleNotFoundError: No module named 'tokenizers'"),
        ("exit", "the worker died (exit code 0)"),
        (
            "protocol",
            "the worker broke the protocol and was ended: it speaks version 99 of the protocol, not 1; the worker and \
             llmbench must be of one version",
        ),
    ];
    for (does, message) in cases {
        let marks = marks();
        let mut subject = start(&fake("s", marks.path(), &[("FAKE_HELLO", does)]));
        assert_eq!(hello(&mut subject, LONG).unwrap_err().to_string(), message);
    }
    let marks = marks();
    let mut subject = start(&fake("s", marks.path(), &[("FAKE_HELLO", "hang")]));
    assert!(matches!(hello(&mut subject, SHORT), Err(SubjectError::Timeout { verb: "hello", .. })));
}

#[test]
fn a_program_that_is_not_there() {
    let marks = marks();
    let mut spec = fake("s", marks.path(), &[]);
    spec.program = "/nowhere/python3".into();
    let error = Subject::start(&spec, Launch::default(), &Interrupt::new()).unwrap_err();
    assert!(error.to_string().starts_with("the worker /nowhere/python3 could not be started: "));
}

#[test]
fn an_interrupt_ends_the_wait() {
    let marks = marks();
    let interrupt = Interrupt::new();
    let spec = fake("s", marks.path(), &[("FAKE_HELLO", "hang")]);
    let mut subject = Subject::start(&spec, Launch::default(), &interrupt).unwrap();
    let other = interrupt.clone();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(SHORT);
        other.trigger();
    });
    assert!(matches!(hello(&mut subject, LONG), Err(SubjectError::Interrupted)));
    assert!(gone(&subject.pid().to_string()));
    thread.join().unwrap();
}

#[test]
fn dropping_a_subject_ends_it() {
    let marks = marks();
    let mut subject = start(&fake("s", marks.path(), &[]));
    hello(&mut subject, LONG).unwrap();
    let pid = subject.pid();
    drop(subject);
    // Reaped, not only ended: a zombie of ours would still have a status file.
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_worker_that_closes_its_answers_but_stays_is_ended() {
    let marks = marks();
    let mut spec = fake("s", marks.path(), &[]);
    spec.program = "/bin/sh".into();
    spec.args = vec!["-c".to_owned(), "echo lost >&2; eval \"exec $LLMBENCH_ANSWER_FD>&-\"; sleep 1000".to_owned()];
    let mut subject = start(&spec);
    let error = hello(&mut subject, LONG).unwrap_err();
    assert_eq!(error.to_string(), "the worker died (it closed its answers but did not exit): lost");
    assert!(gone(&subject.pid().to_string()));
}

#[test]
fn stderr_beyond_a_pipe_s_room_holds_nobody_up() {
    let marks = marks();
    let mut spec = fake("s", marks.path(), &[]);
    spec.program = "/bin/sh".into();
    let script =
        "i=0; while [ $i -lt 20000 ]; do echo \"line $i of noise that fills the pipe\" >&2; i=$((i+1)); done; exit 5";
    spec.args = vec!["-c".to_owned(), script.to_owned()];
    let mut subject = start(&spec);
    let error = hello(&mut subject, LONG).unwrap_err();
    assert_eq!(error.to_string(), "the worker died (exit code 5): line 19999 of noise that fills the pipe");
}

#[test]
fn only_named_variables_get_into_the_environment() {
    let marks = marks();
    let path = marks.path().join("env");
    let mut spec = fake("s", marks.path(), &[("FAKE_ENV", path.to_str().unwrap()), ("RAYON_NUM_THREADS", "1")]);
    spec.env.insert("HF_TOKEN".to_owned(), "hf_in_the_plan".to_owned());
    // A process of its own has the secrets: the environment of this one is shared by all tests.
    let own = std::env::current_exe().unwrap();
    let done = std::process::Command::new(own)
        .args(["--exact", "subjects::child_with_secrets", "--nocapture"])
        .env("RUNNER_TEST_SPEC", serde_json::to_string(&spec).unwrap())
        .envs([("HF_TOKEN", "hf_secret"), ("OPENAI_API_KEY", "sk-secret"), ("XDG_SECRET_TOKEN", "secret")])
        .envs([("PYTHONPATH", "/secret"), ("LC_TIME", "C"), ("XDG_CACHE_HOME", "/cache"), ("HTTPS_PROXY", "secret")])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    let text = std::fs::read_to_string(path).unwrap();
    assert!(!text.contains("secret") && !text.contains("hf_in_the_plan"), "{text}");
    let env: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(env["LC_TIME"], "C");
    assert_eq!(env["XDG_CACHE_HOME"], "/cache");
    assert_eq!(env["RAYON_NUM_THREADS"], "1");
    assert_eq!(env["PYTHONHASHSEED"], "17");
    assert_eq!(env["LLMBENCH_PADDING"], "xxx");
    assert!(env["PATH"].is_string() && env["LLMBENCH_ANSWER_FD"].is_string());
}

/// Not a test by itself: the process that the one above starts.
#[test]
fn child_with_secrets() {
    let Ok(spec) = std::env::var("RUNNER_TEST_SPEC") else { return };
    let spec: SubjectSpec = serde_json::from_str(&spec).unwrap();
    let launch = Launch { hash_seed: 17, padding: 3 };
    let mut subject = Subject::start(&spec, launch, &Interrupt::new()).unwrap();
    hello(&mut subject, LONG).unwrap();
}
