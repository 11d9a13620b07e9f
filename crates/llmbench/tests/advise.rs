//! `llmbench advise` on runs whose times follow known laws.

#[path = "advise/fixture.rs"]
mod fixture;
#[allow(dead_code, reason = "cli.rs uses the rest")]
#[path = "cli/shell.rs"]
mod shell;

use advise::evidence::Origin;
use advise::judge::Remedy;
use advise::model::Model;
use advise::question::Gpu;
use advise::way::StackName;
use advise::way::Way;
use advise::{Advice, Evidence, Question, Size, advise};
use fixture::{Fixture, Law, Read};
use record::results::{Estimate, Record, Status};
use serde_json::Value;
use shell::{Shell, code};

const MS: f64 = 1e6;
const SIZE: Size = Size { tokens: 2000, turns: 20 };

fn question(rps: f64, p99_ms: f64, cores: usize) -> Question {
    Question {
        rps,
        p99_ns: p99_ms * MS,
        size: SIZE,
        model: "built-in".into(),
        cores,
        burstiness: 1.0,
        gpu: None,
        cpu_hour_price: 0.04,
        requests: 5000,
        seed: 1,
    }
}

fn evidence(read: &Read) -> Evidence<'_> {
    Evidence { info: &read.info, measurements: &read.measurements, records: &read.records }
}

fn ask(question: &Question) -> Advice {
    advise(question, &evidence(&Fixture::stages().read())).unwrap()
}

fn judged(advice: &Advice, way: Way) -> &advise::Judged {
    advice.verdicts.judged.iter().find(|it| it.way == way).unwrap()
}

/// A run folder in the folder of the shell.
fn shell(fixture: &Fixture) -> Shell {
    let shell = Shell::new();
    fixture.write(&shell.path("output"));
    shell
}

const ASKED: [&str; 11] =
    ["advise", "--rps", "400", "--p99-ms", "20", "--turns", "20", "--tokens", "2000", "--cores", "4"];

fn session(shell: &Shell, args: &[&str]) -> String {
    let output = shell.command(args).env("COLUMNS", "80").env("LC_ALL", "C.UTF-8").output().unwrap();
    let text = [output.stdout.clone(), output.stderr.clone()].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert_eq!(code(&output), 0, "{text}");
    let dir = shell.path("").canonicalize().unwrap().display().to_string();
    text.replace(dir.trim_end_matches('/'), "[dir]")
}

#[test]
fn the_whole_answer() {
    let text = session(&shell(&Fixture::servers()), &[&ASKED[..], &["--gpu-step-ms", "150", "--batch", "32"]].concat());
    let wide: Vec<&str> = text.lines().filter(|line| unicode_width::UnicodeWidthStr::width(*line) > 80).collect();
    assert!(wide.iter().all(|line| line.starts_with("page: ")), "{wide:#?}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_run_without_servers_says_what_it_assumes() {
    insta::assert_snapshot!(session(&shell(&Fixture::stages()), &ASKED));
}

/// Python does at most 1/1.719 ms = 580 requests/s on one thread, Rust about 1,030.
#[test]
fn the_advice_follows_the_level_and_the_load() {
    let easy = ask(&question(100.0, 50.0, 4));
    assert_eq!(easy.verdicts.recommended, Some(Way::Inline));
    assert_eq!(judged(&easy, Way::Inline).cores, 1);
    // A level that a shorter service time meets and inline does not.
    let tight = ask(&question(100.0, 3.0, 4));
    assert!(!judged(&tight, Way::Inline).meets && tight.verdicts.recommended > Some(Way::InlineLean));
    let high = ask(&question(2500.0, 20.0, 4));
    let best = high.verdicts.recommended.unwrap();
    assert_eq!(best.stack(), StackName::Native);
    assert!((3..=4).contains(&judged(&high, best).cores), "2,500/s · 0.95 ms: {:?}", judged(&high, best));
    // Threads under the GIL carry no more than one of them.
    let threads = judged(&high, Way::ExecutorThreads);
    assert!(threads.p99_ns.is_none() && threads.breaks_at.unwrap() < 700.0, "{threads:?}");
    assert!(!judged(&high, best).extrapolated.is_empty(), "the measured machine has two cores");
}

/// Inline is M/D/1 with S = 1.719 ms (1.599 and the front end of 0.12): at 291/s half used, and the mean wait is ρ/(1-ρ)·S/2 = S/2.
#[test]
fn inline_is_a_known_queue() {
    let advice = ask(&Question { requests: 100_000, ..question(500.0 / 1.7187, 20.0, 2) });
    let inline = judged(&advice, Way::Inline);
    let kingman = inline.kingman.as_ref().unwrap();
    assert!((inline.utilization - 0.5).abs() < 0.01, "{inline:?}");
    assert!((kingman.wait_ns.unwrap() / (0.859 * MS) - 1.0).abs() < 0.05, "{kingman:?}");
    assert!((kingman.simulated_wait_ns / (0.859 * MS) - 1.0).abs() < 0.05, "{kingman:?}");
    assert!((inline.breaks_at.unwrap() / 581.8 - 0.8).abs() < 0.05, "{inline:?}");
}

#[test]
fn where_nothing_meets_the_level_it_says_what_would() {
    let more = ask(&question(5000.0, 20.0, 2));
    assert_eq!(more.verdicts.recommended, None);
    assert!(matches!(more.verdicts.remedy, Some(Remedy::Cores { cores: 8, .. })), "{:?}", more.verdicts.remedy);
    assert!(more.sentences[0].starts_with("No strategy keeps p99 within 20.0 ms"), "{:?}", more.sentences);
    assert!(more.sentences[1].contains("on 8 cores (extrapolated)"), "{:?}", more.sentences);
    // Rust alone takes 0.945 ms.
    let never = ask(&question(10.0, 0.5, 2));
    let Some(Remedy::Nothing { way, p99_ns }) = never.verdicts.remedy else { panic!("{:?}", never.verdicts.remedy) };
    assert_eq!(way.stack(), StackName::Native);
    assert!((0.94 * MS..1.1 * MS).contains(&p99_ns), "{p99_ns}");
    assert!(never.sentences[1].contains("No number of cores helps"), "{:?}", never.sentences);
}

#[test]
fn what_the_run_has_not_is_named_with_its_command() {
    let mut fixture = Fixture::stages();
    fixture.laws.retain(|Law(subject, ..)| *subject == "native");
    let partial = advise(&question(100.0, 20.0, 2), &evidence(&fixture.read())).unwrap();
    assert!(partial.verdicts.judged.iter().all(|it| it.way.stack() == StackName::Native));
    let warning = &partial.warnings[0];
    assert!(warning.contains("tokenize hf-tokenizers.encode (python)"), "{warning}");
    let command = "llmbench run preprocessing --quick --exp 1 --tokens 2000,4000 --turns 20,40";
    assert!(warning.ends_with(command), "{warning}");
    fixture.laws.clear();
    let shell = shell(&fixture);
    let output = shell.output(&ASKED);
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(code(&output), 2);
    assert!(said.trim_end().ends_with(command), "{said}");
}

#[test]
fn bad_numbers_are_usage_errors() {
    let shell = shell(&Fixture::stages());
    for (option, value) in [
        ("--rps", "0"),
        ("--rps", "nan"),
        ("--p99-ms", "-3"),
        ("--p99-ms", "soon"),
        ("--cores", "0"),
        ("--turns", "0"),
        ("--burstiness", "0"),
        ("--verify-requests", "10"),
        ("--from", "nowhere"),
    ] {
        let mut args = ASKED.to_vec();
        match args.iter().position(|arg| *arg == option) {
            Some(at) => args[at + 1] = value,
            None => args.extend([option, value]),
        }
        let output = shell.output(&args);
        assert_eq!(code(&output), 2, "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(code(&shell.output(&["advise", "--rps", "5"])), 2);
}

#[test]
fn a_seed_fixes_the_answer() {
    let read = Fixture::servers().read();
    let once = advise(&question(400.0, 20.0, 2), &evidence(&read)).unwrap();
    assert_eq!(once, advise(&question(400.0, 20.0, 2), &evidence(&read)).unwrap());
    let other = advise(&Question { seed: 2, ..question(400.0, 20.0, 2) }, &evidence(&read)).unwrap();
    assert_ne!(judged(&once, Way::Inline).p99_ns, judged(&other, Way::Inline).p99_ns);
}

#[test]
fn burstier_arrivals_wait_longer() {
    let p99 = |burstiness| {
        let advice = ask(&Question { burstiness, ..question(300.0, 50.0, 1) });
        judged(&advice, Way::Inline).p99_ns.unwrap()
    };
    assert!(p99(4.0) < p99(1.0) && p99(1.0) < p99(0.25));
}

/// 400 requests/s fill a batch of 32 in 80 ms: a GPU with steps of 40 ms waits half of the time, whatever the host does.
#[test]
fn the_gpu_that_starves() {
    let gpu = Some(Gpu { step_ns: 40_000_000, batch: 32 });
    let advice = ask(&Question { gpu, ..question(400.0, 20.0, 2) });
    let starved = judged(&advice, Way::RustThreads).gpu.unwrap();
    assert!((starved.by_load - 0.5).abs() < 0.05 && starved.overlapped >= starved.by_load - 0.01, "{starved:?}");
    assert!(advice.sentences.iter().any(|sentence| sentence.starts_with("GPU with steps of 40.0 ms")));
}

/// Differences between servers of known front ends and hand-overs; their service time is 1.8 ms where the stages are 1.6.
#[test]
fn overheads_are_what_servers_differ_in() {
    let model = Model::of(&evidence(&Fixture::servers().read()), SIZE);
    let near = |found: f64, truth: f64| assert!((found / truth - 1.0).abs() < 0.01, "{found}, not {truth}");
    near(model.overheads.front.ns, 100e3);
    near(model.overheads.executor.ns, 80e3);
    near(model.overheads.native_front.ns, 20e3);
    near(model.overheads.native_hand_over.ns, 12e3);
    assert_eq!(model.overheads.front.origin, Origin::Measured);
    assert_eq!(model.overheads.http.origin, Origin::Assumed);
    near(model.stack(StackName::Transformers).unwrap().total_ns(), 1.8e6);
    near(model.stack(StackName::Native).unwrap().total_ns(), 1.0e6);
    // Nine at 0.9 and one at 1.9 of the mean: (9·0.01 + 0.81)/10.
    near(model.python.scv, 0.09);
}

#[test]
fn sizes_between_and_beyond_those_measured() {
    let read = Fixture::stages().read();
    let encode = |size| Model::of(&evidence(&read), size).stack(StackName::Transformers).unwrap().tokenize.time;
    let measured = encode(SIZE);
    assert_eq!(measured.origin, Origin::Measured);
    let between = encode(Size { tokens: 3000, turns: 30 });
    assert_eq!(between.origin, Origin::Fitted);
    let law = 20e3 + 300.0 * 59.0 + 450.0 * 3000.0;
    assert!((between.ns / law - 1.0).abs() < 1e-3, "{between:?}");
    assert_eq!(encode(Size { tokens: 8000, turns: 30 }).origin, Origin::Extrapolated);
    let advice =
        advise(&Question { size: Size { tokens: 8000, turns: 30 }, ..question(20.0, 90.0, 1) }, &evidence(&read));
    let advice = advice.unwrap();
    assert!(judged(&advice, Way::Inline).extrapolated[0].contains("sizes"), "{advice:?}");
}

/// The probe's share wins over that of scaling, and both over the default.
#[test]
fn shares_of_the_gil_come_from_the_records() {
    let mut read = Fixture::stages().read();
    let hold = |read: &Read| Model::of(&evidence(read), SIZE).stack(StackName::Transformers).unwrap().tokenize.hold;
    assert_eq!((hold(&read).share, hold(&read).origin), (1.0, Origin::Assumed));
    read.records.push(record("serial_fraction", 0.4));
    assert_eq!((hold(&read).share, hold(&read).origin), (0.4, Origin::Fitted));
    read.records.extend([record("hold_share", 0.08), record("hold_share", 0.12)]);
    assert!((hold(&read).share - 0.1).abs() < 1e-9 && hold(&read).origin == Origin::Measured);
    // With the lock held for a tenth of the tokenizer and for all of the template, threads carry more than before.
    let carried = |read: &Read| {
        let advice = advise(&question(700.0, 20.0, 4), &evidence(read)).unwrap();
        judged(&advice, Way::ExecutorThreads).breaks_at.unwrap()
    };
    let released = carried(&read);
    read.records.clear();
    assert!(released > 1.4 * carried(&read), "{released}");
}

fn record(metric: &str, point: f64) -> Record {
    Record {
        schema: record::SCHEMA,
        run_id: "run".into(),
        suite: "preprocessing".into(),
        experiment_id: 6,
        experiment: "gil-cost".into(),
        cell_id: "cell".into(),
        subject: "python".into(),
        engine: "hf-tokenizers".into(),
        engine_version: "0.23.1".into(),
        call_path: "encode".into(),
        strategy: "inline".into(),
        workers: 1,
        interpreter: "CPython 3.12.1".into(),
        gil: "enabled".into(),
        cache: "warm".into(),
        model_sha: String::new(),
        workload_sha: String::new(),
        axes: Default::default(),
        stage: "tokenize".into(),
        metric: metric.into(),
        unit: "1".into(),
        estimate: Some(Estimate {
            point,
            lower: None,
            upper: None,
            level: 0.95,
            method: "t".into(),
            runs: 3,
            samples: 3,
        }),
        baseline_cell_id: None,
        verdict: None,
        status: Status::Ok,
        error: None,
    }
}

#[test]
fn the_page_needs_nothing_else_and_the_json_is_the_answer() {
    let shell = shell(&Fixture::stages());
    let output = shell.output(&[&ASKED[..], &["--json"]].concat());
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let dir = shell.path("output/latest/advise");
    let written: Value = serde_json::from_slice(&std::fs::read(dir.join("advise.json")).unwrap()).unwrap();
    assert_eq!(printed, written);
    assert_eq!(printed["question"]["requests"], 22_500);
    let ways: Vec<&Value> = printed["verdicts"]["judged"].as_array().unwrap().iter().map(|it| &it["way"]).collect();
    assert!(ways.contains(&&printed["verdicts"]["recommended"]), "{ways:?}");
    let page = std::fs::read_to_string(dir.join("advise.html")).unwrap();
    for reference in ["src=\"http", "href=\"http", "url(http", "@import", "<link"] {
        assert!(!page.contains(reference), "{reference}");
    }
    assert!(page.contains("<svg") && page.contains("the advice") && page.contains("prefers-color-scheme: dark"));
    assert!(page.contains("@media print") && page.contains("llmbench advise --rps 400"));
}
