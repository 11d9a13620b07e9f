//! Workers that fail in the middle of a measurement: the cell pays, the others are measured.

use std::collections::BTreeMap;
use std::time::Duration;

use record::plan::Plan;
use record::results::Status;
use runner::Stopped;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Bench, cell, fake, gone, log, marks, plan, reference};

/// Two good cells and one that behaves like this, on one subject.
fn with(marks: &TempDir, params: Value) -> Plan {
    let cells = vec![
        reference(cell("good/1", "s", json!({}))),
        cell("bad", "s", params),
        cell("good/2", "s", json!({"ns": 2_000_000})),
    ];
    plan(vec![fake("s", marks.path(), &[])], cells)
}

fn good_cells_are_whole(bench: &Bench) {
    let read = bench.read();
    for id in ["good/1", "good/2"] {
        assert_eq!(read.status(id), Status::Ok, "{:?}", read.cells[id].message);
        assert!(read.cells[id].runs.values().all(|blocks| blocks.len() == 3));
        assert_eq!(read.cells[id].runs.len(), 3);
    }
}

#[test]
fn a_cell_that_fails_in_the_calibration_is_not_visited_again() {
    let cases = [
        ("crash", Status::Error, "the worker died (exit code 3): ValueError: boom"),
        ("killed", Status::Error, "the worker died (signal 9, out of memory?)"),
        ("garbage", Status::Error, "the worker wrote something that is no answer and was ended: \"Segm"),
        ("prepare_error", Status::Error, "the template raised: no system message allowed"),
        ("block_error", Status::Error, "list index out of range"),
        ("no_sample", Status::Error, "the worker's samples cannot be used: there is none"),
        (
            "zero_calls",
            Status::Error,
            "the worker's samples cannot be used: a sample of 0 calls from 1000000 to 1000000 ns is no measurement",
        ),
    ];
    for (does, status, message) in cases {
        let marks = marks();
        let plan = with(&marks, json!({"does": does}));
        let bench = Bench::new(&plan);
        let outcome = bench.measure(&plan).unwrap();
        assert_eq!((outcome.stopped, outcome.runs), (Stopped::Runs, 3), "{does}");
        let bad = bench.read().cells["bad"].clone();
        assert_eq!(bad.status(), status, "{does}");
        let found = bad.message.unwrap();
        let found = found.replace(|c: char| c.is_ascii_digit() && does == "zero_calls", "");
        let message = message.replace(|c: char| c.is_ascii_digit() && does == "zero_calls", "");
        assert!(found.starts_with(&message), "{does}: {found}");
        assert!(bad.runs.is_empty(), "{does}");
        good_cells_are_whole(&bench);
        assert!(log(&marks).iter().filter(|line| line[3] == "bad").count() <= 2, "{does}");
    }
}

#[test]
fn a_hang_times_out_and_leaves_nothing_behind() {
    let marks = marks();
    let plan = with(&marks, json!({"does": "prepare_hang"}));
    let mut bench = Bench::new(&plan);
    bench.limits.prepare = Duration::from_secs(2);
    bench.measure(&plan).unwrap();
    let bad = bench.read().cells["bad"].clone();
    assert_eq!(bad.status(), Status::Timeout);
    assert_eq!(
        bad.message.as_deref(),
        Some("the worker did not finish prepare within 2.000 s and was ended: waiting for a lock")
    );
    good_cells_are_whole(&bench);
    let pids = std::fs::read_to_string(marks.path().join("pids")).unwrap();
    assert_eq!(pids.split_whitespace().count(), 2);
    for pid in pids.split_whitespace() {
        assert!(gone(pid), "{pid} still runs");
    }
}

#[test]
fn a_worker_that_is_killed_in_a_run_is_replaced_and_the_next_run_has_the_cell_again() {
    let marks = marks();
    let plan = with(&marks, json!({"does": "killed_in_a_run"}));
    let bench = Bench::new(&plan);
    let (outcome, notes) = bench.measure_with(&plan, &|_| false, &mut |_| vec![1.0]);
    let outcome = outcome.unwrap();
    assert_eq!((outcome.stopped, outcome.runs), (Stopped::Runs, 3));
    let bad = bench.read().cells["bad"].clone();
    assert_eq!((bad.status(), bad.run_values().len()), (Status::Ok, 2));
    let died = (Status::Error, "the worker died (signal 9, out of memory?)".to_owned());
    assert_eq!(bad.failed, BTreeMap::from([(0, died)]));
    // Its block before the death stands in the file; what it sent of the block in which it died does not.
    assert_eq!(bad.runs.values().map(Vec::len).collect::<Vec<_>>(), [1, 3, 3]);
    assert_eq!(bad.runs[&0][0].calls, 10);
    good_cells_are_whole(&bench);
    assert_eq!(outcome.warnings, ["the worker of s failed in run 0: the worker died (signal 9, out of memory?)"]);
    assert_eq!(bench.folder.read_info().unwrap().warnings, outcome.warnings);
    assert!(notes.iter().any(|line| line.contains("SubjectFailed")));
    // Calibration, run 0 and its restart, runs 1 and 2.
    assert_eq!(log(&marks).iter().filter(|line| line[2] == "hello").count(), 5);
}

/// Cells whose blocks hang, each in its own block of those that were asked for, the calibration's counted as the first.
fn late(marks: &TempDir, fail_at: &[&[u32]]) -> (Plan, Bench) {
    let mut cells = vec![reference(cell("good/1", "s", json!({}))), cell("good/2", "s", json!({"ns": 2_000_000}))];
    cells.extend(fail_at.iter().enumerate().map(|(i, at)| {
        // A call of 2 ms needs no second block of calibration.
        let params = json!({"does": "late", "fail_at": at, "ns": 2_000_000, "limit_ns": 300_000_000});
        cell(&format!("late/{i}"), "s", params)
    }));
    let plan = plan(vec![fake("s", marks.path(), &[])], cells);
    let mut bench = Bench::new(&plan);
    bench.limits.grace = Duration::from_millis(200);
    (plan, bench)
}

/// More cells are late than workers may die in a row: each costs itself, in that run.
#[test]
fn what_is_late_is_lost_in_its_run_and_nothing_else() {
    let marks = marks();
    let (plan, bench) = late(&marks, &[&[2], &[2], &[3], &[2]]);
    assert_eq!(bench.measure(&plan).unwrap().stopped, Stopped::Runs);
    good_cells_are_whole(&bench);
    let read = bench.read();
    for i in 0..4 {
        let late = &read.cells[&format!("late/{i}")];
        let (status, message) = &late.failed[&0];
        assert_eq!((*status, late.failed.len()), (Status::Timeout, 1));
        // What the worker said that a block may take, and the time for its answer.
        assert!(message.starts_with("the worker did not finish block within 0.500 s and was ended"), "{message}");
        assert_eq!((late.status(), late.run_values().len()), (Status::Ok, 2), "{i}");
        assert!([1, 2].iter().all(|run| late.runs[run].len() == 3));
    }
}

#[test]
fn a_cell_that_fails_in_two_runs_in_a_row_costs_no_third() {
    let marks = marks();
    // Late at its first block of run 0, which is then over for it, and of run 1.
    let (plan, bench) = late(&marks, &[&[2, 3], &[2, 6]]);
    let outcome = bench.measure(&plan).unwrap();
    good_cells_are_whole(&bench);
    let read = bench.read();
    let blocks = |cell: &str| log(&marks).iter().filter(|line| line[2] == "block" && line[3] == cell).count();
    assert_eq!((read.status("late/0"), read.cells["late/0"].failed.len(), blocks("late/0")), (Status::Timeout, 2, 3));
    let said = outcome
        .warnings
        .iter()
        .filter(|line| line.starts_with("late/0 is not measured any more: it failed in 2 runs in a row"));
    assert_eq!(said.count(), 1, "{:?}", outcome.warnings);
    // A run that worked lies between: its second failure is a first again.
    assert_eq!((read.status("late/1"), read.cells["late/1"].run_values().len()), (Status::Ok, 1));
}

#[test]
fn a_subject_whose_workers_keep_dying_is_given_up_for_the_run_and_the_others_go_on() {
    let marks = marks();
    let mut cells = vec![reference(cell("good", "s", json!({})))];
    let dies = json!({"does": "dies", "fail_at": [2], "ns": 2_000_000});
    cells.extend((0..4).map(|i| cell(&format!("bad/{i}"), "t", dies.clone())));
    let plan = plan(vec![fake("s", marks.path(), &[]), fake("t", marks.path(), &[])], cells);
    let bench = Bench::new(&plan);
    assert_eq!(bench.measure(&plan).unwrap().stopped, Stopped::Runs);
    let read = bench.read();
    assert_eq!((read.status("good"), read.run_values("good").len()), (Status::Ok, 3));
    let messages: Vec<&str> = (0..4).map(|i| read.cells[&format!("bad/{i}")].failed[&0].1.as_str()).collect();
    let died = "the worker died (signal 9, out of memory?)";
    assert_eq!(messages.iter().filter(|m| **m == died).count(), 3);
    let last = format!("given up after 3 failures of the worker; the last: {died}");
    assert_eq!(messages.iter().filter(|m| **m == last).count(), 1);
    // The last of them is met by its second block only in the next run, where it is the only one.
    let whole = (0..4).filter(|i| read.cells[&format!("bad/{i}")].run_values().len() == 2).count();
    assert_eq!(whole, 3, "{:?}", read.cells);
}

#[test]
fn a_worker_that_cannot_start_costs_its_own_cells() {
    for (does, message) in [
        ("fatal", "transformers cannot be imported; run with --no-env"),
        (
            "crash",
            "given up after 6 failures of the worker; the last: the worker died (exit code 1): ModuleNotFoundError: No \
             module named 'tokenizers'",
        ),
    ] {
        let marks = marks();
        let mut plan = with(&marks, json!({}));
        plan.subjects.push(fake("t", marks.path(), &[("FAKE_HELLO", does)]));
        plan.cells.push(cell("t/1", "t", json!({})));
        let bench = Bench::new(&plan);
        assert_eq!(bench.measure(&plan).unwrap().stopped, Stopped::Runs);
        let read = bench.read();
        assert_eq!((read.status("t/1"), read.cells["t/1"].message.as_deref()), (Status::Error, Some(message)));
        good_cells_are_whole(&bench);
    }
    let marks = marks();
    let mut plan = with(&marks, json!({}));
    plan.subjects[0].program = "/nowhere/python3".into();
    let outcome = Bench::new(&plan).measure(&plan).unwrap();
    assert_eq!((outcome.stopped, outcome.runs), (Stopped::NothingLeft, 0));
}
