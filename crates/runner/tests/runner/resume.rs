//! Interrupted and resumed.

use std::fs;

use record::measurements::Measurements;
use record::plan::{Plan, Timing};
use record::protocol::Sample;
use record::results::Status;
use runner::{Identity, Progress, Stopped};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Bench, cell, fake, gone, log, marks, plan, reference};

fn example(marks: &TempDir) -> Plan {
    let mut cells = vec![
        reference(cell("native/a", "native", json!({}))),
        cell("python/a", "python", json!({"ns": 2_000_000})),
        cell("python/b", "python", json!({"ns": 3_000_000, "wrong": 1})),
        cell("python/bad", "python", json!({"does": "block_error"})),
        cell("python/first", "python", json!({})),
    ];
    cells[4].timing = Timing::First;
    plan(vec![fake("native", marks.path(), &[]), fake("python", marks.path(), &[])], cells)
}

/// Interrupts when run `run` has made `visits` visits.
fn at(run: u32, visits: usize) -> impl Fn(&Progress<'_>) -> bool {
    move |progress| matches!(progress, Progress::VisitDone { run: r, done, .. } if *r == run && *done == visits)
}

/// Run, and of each sample: block, calls, ns a call.
type Short = Vec<(u32, Vec<(u32, u64, f64)>)>;

fn samples(read: &Measurements, cell: &str) -> Short {
    let short = |s: &Sample| (s.block, s.calls, s.ns_per_call());
    let raw = read.raw_samples(cell).unwrap();
    raw.iter().map(|(run, samples)| (*run, samples.iter().map(short).collect())).collect()
}

fn blocks(marks: &TempDir) -> Vec<String> {
    log(marks).into_iter().filter(|line| line[2] == "block").map(|line| line[3].clone()).collect()
}

#[test]
fn an_interrupted_measurement_goes_on_as_if_nothing_had_happened() {
    let whole_marks = marks();
    let whole_plan = example(&whole_marks);
    let whole = Bench::new(&whole_plan);
    whole.measure(&whole_plan).unwrap();

    let marks = marks();
    let mut plan = example(&marks);
    let bench = Bench::new(&plan);
    let (outcome, _) = bench.measure_with(&plan, &at(1, 4), &mut |_| vec![1.0]);
    let outcome = outcome.unwrap();
    assert_eq!((outcome.stopped, outcome.runs), (Stopped::Interrupted, 1));
    assert_eq!(bench.folder.read_info().unwrap().stopped.as_deref(), Some("interrupted"));
    let read = bench.read();
    assert_eq!(read.runs.keys().copied().collect::<Vec<_>>(), [0]);
    assert_eq!(read.run_values("native/a").len(), 1);
    for line in log(&marks) {
        assert!(gone(&line[1]), "a worker outlived the interrupt");
    }
    let before = fs::read(bench.folder.samples_path()).unwrap();
    let interrupted = blocks(&marks).len();

    // The clock has moved on; the plan is the same.
    plan.timestamp += 77;
    let bench = bench.resumed();
    let outcome = bench.measure(&plan).unwrap();
    assert_eq!((outcome.stopped, outcome.runs, outcome.warnings.len()), (Stopped::Runs, 3, 0));
    let after = fs::read(bench.folder.samples_path()).unwrap();
    assert!(after.starts_with(&before), "what was written is not rewritten");
    assert_eq!(bench.folder.read_info().unwrap().plan.timestamp, plan.timestamp - 77);

    let (read, expected) = (bench.read(), whole.read());
    for cell in &plan.cells {
        assert_eq!(read.status(&cell.id), expected.status(&cell.id));
        assert_eq!(read.cells[&cell.id].message, expected.cells[&cell.id].message);
        assert_eq!(samples(&read, &cell.id), samples(&expected, &cell.id));
    }
    assert_eq!(read.status("python/b"), Status::Mismatch);
    assert_eq!(read.status("python/bad"), Status::Error);
    // Runs 1 and 2 in the order in which they would have come, without another calibration.
    let all = blocks(&whole_marks);
    let run = 1 + 3 * 3;
    assert_eq!(blocks(&marks)[interrupted..], all[all.len() - 2 * run..]);
}

#[test]
fn an_interrupted_calibration_is_made_again() {
    let marks = marks();
    let plan = example(&marks);
    let bench = Bench::new(&plan);
    let stop = |progress: &Progress<'_>| matches!(progress, Progress::Calibrated { done: 3, .. });
    let (outcome, _) = bench.measure_with(&plan, &stop, &mut |_| vec![1.0]);
    assert_eq!(outcome.unwrap().stopped, Stopped::Interrupted);
    let bench = bench.resumed();
    assert_eq!(bench.measure(&plan).unwrap().runs, 3);
    assert_eq!(bench.read().status("python/b"), Status::Mismatch);
    assert_eq!(bench.read().status("python/a"), Status::Ok);
}

#[test]
fn a_cut_off_line_is_dropped_and_damage_elsewhere_is_not() {
    let marks = marks();
    let plan = example(&marks);
    let bench = Bench::new(&plan);
    bench.measure_with(&plan, &at(1, 4), &mut |_| vec![1.0]).0.unwrap();
    let path = bench.folder.samples_path();
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 11);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(bench.read().runs.len(), 1);
    let bench = bench.resumed();
    assert_eq!(bench.measure(&plan).unwrap().runs, 3);
    assert_eq!(bench.read().runs.len(), 3);

    let text = fs::read_to_string(&path).unwrap();
    let damaged: Vec<String> =
        text.lines().enumerate().map(|(i, line)| if i == 6 { line[9..].to_owned() } else { line.to_owned() }).collect();
    fs::write(&path, damaged.join("\n") + "\n").unwrap();
    let error = Measurements::read(&bench.folder).unwrap_err().to_string();
    assert!(error.contains("samples.jsonl: line 7 is damaged ("), "{error}");
}

#[test]
fn a_finished_measurement_has_nothing_to_resume() {
    let marks = marks();
    let plan = example(&marks);
    let bench = Bench::new(&plan);
    bench.measure(&plan).unwrap();
    let asked = log(&marks).len();
    let bench = bench.resumed();
    let outcome = bench.measure(&plan).unwrap();
    assert_eq!((outcome.stopped, outcome.runs), (Stopped::Runs, 3));
    assert_eq!(log(&marks).len(), asked);
}

#[test]
fn resume_needs_the_same_plan_binary_and_locks() {
    let marks = marks();
    let mut plan = example(&marks);
    plan.subjects[1].lock = Some("aa".repeat(32));
    let mut bench = Bench::new(&plan);
    bench.measure_with(&plan, &at(0, 2), &mut |_| vec![1.0]).0.unwrap();
    bench = bench.resumed();

    let mut other = plan.clone();
    other.seed += 1;
    other.cells[0].target_ns += 1;
    let error = bench.measure(&other).unwrap_err().to_string();
    assert!(
        error.contains("cannot be resumed: its plan is another (") && error.contains("the seed, the cells"),
        "{error}"
    );
    let mut other = plan.clone();
    other.subjects[1].lock = Some("bb".repeat(32));
    let error = bench.measure(&other).unwrap_err().to_string();
    assert!(error.contains("the packages of python are others (lock aaaaaaaa then, bbbbbbbb now)"), "{error}");

    let identity = bench.identity.clone().unwrap();
    bench.identity = Some(Identity { binary_sha256: "c2".repeat(32), ..identity.clone() });
    let error = bench.measure(&plan).unwrap_err().to_string();
    assert!(error.contains("another build of llmbench (0.1.0, binary b1b1b1b1; this is binary c2c2c2c2)"), "{error}");

    bench.identity = Some(Identity { boot_id: Some("boot-2".to_owned()), ..identity });
    let outcome = bench.measure(&plan).unwrap();
    assert_eq!(outcome.runs, 3);
    assert!(outcome.warnings[0].starts_with("the machine was restarted since the first runs"));
    assert_eq!(bench.folder.read_info().unwrap().warnings, outcome.warnings);
}

#[test]
fn what_the_calibration_found_is_told_after_a_resume_too() {
    let marks = marks();
    let stretch = |id: &str, calibrated: bool, needs: Vec<String>| {
        let mut cell = cell(id, "native", json!({"found": 250.0}));
        cell.timing = Timing::Stretch { order: json!({}), span_ns: 1_000_000_000, calibrated, needs };
        cell.check = None;
        cell
    };
    let cells = vec![stretch("one", true, Vec::new()), stretch("other", false, vec!["one".to_owned()])];
    let plan = plan(vec![fake("native", marks.path(), &[])], cells);
    let bench = Bench::new(&plan);
    let (outcome, _) = bench.measure_with(&plan, &at(1, 1), &mut |_| vec![1.0]);
    assert_eq!(outcome.unwrap().stopped, Stopped::Interrupted);
    let bench = bench.resumed();
    assert_eq!(bench.measure(&plan).unwrap().stopped, Stopped::Runs);
    let read = bench.read();
    for id in ["one", "other"] {
        assert_eq!(read.reading_values(id, "told one").values().copied().collect::<Vec<_>>(), [250.0; 3]);
    }
    assert_eq!(blocks(&marks).iter().filter(|cell| *cell == "other").count(), 3 + 1, "{:?}", blocks(&marks));
}
