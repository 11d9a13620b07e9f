//! What the worker says to requests in and out of order, and to what is no request.

use record::plan::Timing;
use record::protocol::{Answer, ErrorKind, PROTOCOL, Request};

use super::{Bench, block, error, op, parsed, raw, total};

fn lines(requests: &[Request]) -> String {
    requests.iter().map(|request| serde_json::to_string(request).unwrap() + "\n").collect()
}

fn fatal(requests: &str) -> String {
    match parsed(&raw(None, requests.as_bytes())).pop() {
        Some(Answer::Fatal { message, .. }) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ready_says_what_the_worker_is() {
    let bench = Bench::tiny();
    let pairs = ["hf-tokenizers/encode", "minijinja/render", "tiktoken/encode", "hf-tokenizers/encode_slow"];
    let answers = parsed(&raw(None, lines(&[bench.hello(&pairs), Request::Bye]).as_bytes()));
    let [Answer::Ready(ready)] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!((ready.protocol, ready.pid), (PROTOCOL, std::process::id()));
    assert_eq!((ready.worker.as_str(), ready.gil.as_str()), ("native", "none"));
    assert!(ready.interpreter.starts_with("rustc 1."), "{}", ready.interpreter);
    assert!(ready.versions["tokenizers"].starts_with("0."));
    assert_eq!(ready.unavailable.keys().collect::<Vec<_>>(), ["hf-tokenizers/encode_slow", "tiktoken/encode"]);
    assert!(ready.unavailable["tiktoken/encode"].contains("it has: serde/serde_json.from_slice, "));
    assert!(ready.clock_pair_ns > 0 && ready.clock_pair_ns < 1_000_000);
    assert!(ready.loop_overhead_ns < 100_000 && ready.load_ns > 0);
}

#[test]
fn the_end_of_the_input_and_bye_end_the_worker_quietly() {
    let bench = Bench::tiny();
    assert_eq!(raw(None, b""), "");
    assert_eq!(raw(None, b"\n  \n"), "");
    assert_eq!(parsed(&raw(None, lines(&[bench.hello(&[])]).as_bytes())).len(), 1);
    let after_bye = lines(&[bench.hello(&[]), Request::Bye]) + "this is not read\n";
    assert_eq!(parsed(&raw(None, after_bye.as_bytes())).len(), 1);
}

#[test]
fn what_is_no_request_is_fatal() {
    let bench = Bench::tiny();
    let hello = lines(&[bench.hello(&[])]);
    for garbage in ["garbage\n", "{\"type\": \"dance\"}\n", "{\"type\": \"block\"}\n", "[1]\n"] {
        let message = fatal(&format!("{hello}{garbage}"));
        assert!(
            message.starts_with("a request cannot be understood (") && message.ends_with(garbage.trim()),
            "{message}"
        );
    }
    let long = fatal(&"ü".repeat(500));
    assert!(long.ends_with('…') && long.chars().count() < 250, "{long}");
    assert!(matches!(parsed(&raw(None, b"\xff\xfe\n")).as_slice(), [Answer::Fatal { .. }]));
    assert_eq!(fatal(&lines(&[block("c", 1, 0)])), "the first request must be hello");
}

#[test]
fn another_protocol_is_fatal() {
    let bench = Bench::tiny();
    let Request::Hello { model, timestamp, engines, .. } = bench.hello(&[]) else { unreachable!() };
    let hello = Request::Hello { protocol: PROTOCOL + 1, model, timestamp, engines };
    assert!(fatal(&lines(&[hello])).contains("speaks version 1 of the protocol and was asked for 2"));
}

#[test]
fn an_error_ends_the_cell_and_not_the_worker() {
    let bench = Bench::tiny();
    let encode = || op("tokenize", "hf-tokenizers/encode");
    let with = |name: &str, value: serde_json::Value| {
        let mut op = total();
        op.params.insert(name.to_owned(), value);
        op
    };
    let mut nobody = encode();
    nobody.threads = 0;
    for (op, wanted, kind) in [
        (
            op("tokenize", "tiktoken/encode"),
            "the native worker has no tiktoken/encode; it has:",
            ErrorKind::Unavailable,
        ),
        (op("tokenize", "hf-tokenizers/encode_slow"), "has no hf-tokenizers/encode_slow", ErrorKind::Unavailable),
        (op("sing", "a/b"), "has no operation sing", ErrorKind::Unavailable),
        (with("template", serde_json::json!(3)), "the parameter template of total must name", ErrorKind::Failed),
        (super::batch("backwards", 4, 1), "mode must be stages or requests, not backwards", ErrorKind::Failed),
        (super::batch("stages", 0, 1), "batch must be a positive whole number, not 0", ErrorKind::Failed),
        (nobody, "threads must be a positive whole number", ErrorKind::Failed),
    ] {
        let answers =
            bench.ask(vec![bench.prepare("c", op, Timing::Loop, 1), bench.prepare("d", encode(), Timing::Loop, 0)]);
        let [Answer::Error { cell_id, kind: found, message }, Answer::Done { cell_id: next, .. }] = answers.as_slice()
        else {
            panic!("{answers:?}")
        };
        assert_eq!((cell_id.as_str(), next.as_str(), *found), ("c", "d", kind), "{message}");
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn requests_about_a_cell_that_is_not_ready_are_errors() {
    let bench = Bench::tiny();
    let encode = || op("tokenize", "hf-tokenizers/encode");
    assert!(error(&bench.ask(vec![block("c", 1, 0)])).contains("the cell c was not prepared"));
    assert!(error(&bench.ask(vec![Request::Dump { cell_id: "c".to_owned(), index: 0 }])).contains("prepare it first"));
    let after = |request: Request| {
        let mut answers = bench.ask(vec![bench.prepare("c", encode(), Timing::Loop, 0), request]);
        assert!(matches!(answers.remove(0), Answer::Done { .. }));
        error(&answers)
    };
    assert_eq!(after(Request::Dump { cell_id: "c".to_owned(), index: 6 }), "there is no request 6 in a pool of 6");
    assert_eq!(after(block("c", 0, 0)), "a block must have at least one loop");
    // A cell that could not be made again is not measured in its old form.
    let again = after(bench.prepare("c", op("tokenize", "x/y"), Timing::Loop, 0));
    assert!(again.contains("x/y"));
}

#[test]
fn workload_files_that_do_not_fit_are_errors_that_name_them() {
    let mut bench = Bench::tiny();
    let ask = |bench: &Bench, op| error(&bench.ask(vec![bench.prepare("c", op, Timing::Loop, 0)]));
    let encode = || op("tokenize", "hf-tokenizers/encode");
    bench.inputs.pool = 7;
    assert!(ask(&bench, encode()).contains("texts.jsonl holds 9 lines where 10 are needed"));
    (bench.inputs.pool, bench.inputs.warmup) = (9, 0);
    assert!(ask(&bench, encode()).contains("holds no warm-up requests"));
    bench.inputs.pool = 0;
    assert!(ask(&bench, encode()).contains("at least one request"));

    let bench = Bench::tiny();
    std::fs::write(&bench.inputs.texts, "\"a\"\n{not json\n".repeat(9)).unwrap();
    assert!(ask(&bench, encode()).contains("line 2 of the workload file "));
    std::fs::remove_file(&bench.inputs.requests).unwrap();
    assert!(ask(&bench, total()).contains("requests.jsonl cannot be read"));
}

#[test]
fn a_model_that_does_not_load_fails_only_the_cells_that_need_it() {
    let bench = Bench::tiny();
    std::fs::write(bench.model.dir.join("tokenizer.json"), "{\"model\":").unwrap();
    std::fs::write(bench.model.dir.join("chat_template.jinja"), "{% if %}").unwrap();
    let answers = parsed(&raw(
        None,
        lines(&[
            bench.hello(&["hf-tokenizers/encode", "minijinja/render"]),
            bench.prepare("c", op("tokenize", "hf-tokenizers/encode"), Timing::Loop, 0),
            bench.prepare("c", op("template", "minijinja/render"), Timing::Loop, 0),
            bench.prepare("c", op("parse", "serde/serde_json.from_slice"), Timing::Loop, 0),
        ])
        .as_bytes(),
    ));
    let [
        Answer::Ready(_),
        Answer::Error { message: first, .. },
        Answer::Error { message: second, .. },
        Answer::Done { .. },
    ] = answers.as_slice()
    else {
        panic!("{answers:?}")
    };
    assert!(first.contains("tokenizer.json is truncated"), "{first}");
    assert!(second.contains("chat template, line 1"), "{second}");
}

#[test]
fn faults_that_fail_are_errors_and_the_worker_lives_on() {
    let bench = Bench::tiny();
    for (fault, wanted) in [("panic", "the engine panicked: the fault for tests panicked"), ("oom", "out of memory")] {
        for timing in [Timing::Loop, Timing::Window { window_ns: 1 }] {
            let answers = bench.ask_with(
                Some(&format!("{fault}:hf-tokenizers/encode")),
                vec![
                    bench.prepare("c", op("tokenize", "hf-tokenizers/encode"), timing.clone(), 0),
                    bench.prepare("d", op("tokenize", "hf-tokenizers/encode_fast"), timing, 0),
                ],
            );
            let [Answer::Error { message, .. }, Answer::Done { cell_id, .. }] = answers.as_slice() else {
                panic!("{answers:?}")
            };
            assert_eq!((message.as_str(), cell_id.as_str()), (wanted, "d"));
        }
    }
}

#[test]
fn the_garbage_fault_writes_a_line_that_is_no_answer() {
    let bench = Bench::tiny();
    let requests = lines(&[
        bench.hello(&[]),
        bench.prepare("c", op("tokenize", "hf-tokenizers/encode"), Timing::First, 0),
        block("c", 1, 0),
    ]);
    let text = raw(Some("garbage:hf-tokenizers/encode"), requests.as_bytes());
    assert_eq!(text.lines().filter(|line| serde_json::from_str::<Answer>(line).is_err()).count(), 1, "{text}");
    assert!(matches!(parsed(text.lines().last().unwrap()).as_slice(), [Answer::Done { .. }]));
}
