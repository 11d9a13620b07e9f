//! Workers that work: what is measured, checked and reported.

use std::collections::BTreeSet;

use record::plan::{Cell, Plan, Timing, Unavailable};
use record::results::Status;
use runner::Stopped;
use runner::schedule::run_schedule;
use serde_json::json;

use crate::support::{Bench, cell, fake, log, marks, plan, reference};

fn simple(marks: &tempfile::TempDir) -> Plan {
    let cells = vec![
        reference(cell("native/a", "native", json!({}))),
        cell("python/a", "python", json!({"ns": 2_000_000, "stages": {"template": 500_000, "tokenize": 1_500_000}})),
        cell("python/b", "python", json!({"ns": 3_000_000})),
    ];
    plan(vec![fake("native", marks.path(), &[]), fake("python", marks.path(), &[])], cells)
}

#[test]
fn every_timing_gives_its_values() {
    let marks = marks();
    let mut plan = simple(&marks);
    let mut twin = plan.cells[1].clone();
    twin.id = "python/a-twin".to_owned();
    twin.twin_of = Some("python/a".to_owned());
    // On its own it would get half as many loops.
    twin.op.params.insert("ns".to_owned(), json!(4_000_000));
    let mut each = cell("python/each", "python", json!({"ns": 2_500_000}));
    each.timing = Timing::Each;
    let mut window = cell("native/window", "native", json!({}));
    window.timing = Timing::Window { window_ns: 1000 };
    let mut first = cell("python/first", "python", json!({"ns": 9_000_000}));
    first.timing = Timing::First;
    plan.cells.extend([twin, each, window, first]);
    let bench = Bench::new(&plan);
    let outcome = bench.measure(&plan).unwrap();
    assert_eq!((outcome.stopped, outcome.runs, outcome.warnings.len()), (Stopped::Runs, 3, 0));

    let read = bench.read();
    assert_eq!(read.runs.len(), 3);
    for cell in &plan.cells {
        assert_eq!(read.status(&cell.id), Status::Ok, "{}: {:?}", cell.id, read.cells[&cell.id].message);
        assert_eq!(read.run_values(&cell.id).keys().copied().collect::<Vec<_>>(), [0, 1, 2], "{}", cell.id);
    }
    let loops = |id: &str| read.cells[id].loops.unwrap();
    assert_eq!([loops("native/a"), loops("python/a"), loops("python/a-twin"), loops("python/each")], [10, 5, 5, 4]);
    assert_eq!([loops("native/window"), loops("python/first")], [1, 1]);
    assert_eq!(bench.folder.read_info().unwrap().loops["python/each"], 4);

    let ratios: Vec<f64> = read.ratios("native/a", "python/b").into_values().collect();
    assert!(ratios.len() == 3 && ratios.iter().all(|ratio| (ratio - 1.0 / 3.0).abs() < 1e-12), "{ratios:?}");
    assert_eq!(read.stage_values("python/a", "template").values().copied().collect::<Vec<_>>(), [5e5; 3]);
    assert_eq!(read.stage_values("python/a", "tokenize")[&2], 1.5e6);
    assert!(read.stage_values("python/b", "template").is_empty());
    // 10 calls in 1000 ns and 20 in 500: 0.05 calls a ns.
    assert!((read.run_values("native/window")[&0] - 20.0).abs() < 1e-9);
    assert_eq!(read.run_values("python/first")[&1], 9e6);

    let each = &read.cells["python/each"];
    assert_eq!((each.samples(), each.gc()), (3 * 3 * 4, 3 * 3 * 4));
    let blocks = &each.runs[&0];
    assert_eq!((blocks.len(), blocks[0].calls, blocks[0].duration_ns), (3, 4, 10_000_000));
    let raw = read.raw_samples("python/each").unwrap();
    assert_eq!(raw[&2].len(), 12);
    assert!(raw.values().flatten().all(|s| s.cell_id == "python/each" && s.ns_per_call() == 2.5e6));
    assert_eq!(read.sample_times("python/each").unwrap()[&1], [2.5e6; 12]);
    assert_eq!(read.raw_samples("python/first").unwrap()[&0].len(), 1);
    let info = bench.folder.read_info().unwrap();
    assert_eq!(info.stopped.as_deref(), Some("runs"));
    assert_eq!(info.subjects["python"].interpreter, "CPython 0.0");
    assert!(info.wall_s["calibration"] > 0.0 && info.wall_s["runs"] > 0.0 && info.wall_s["busy_share"] > 0.0);
}

#[test]
fn stretches_come_after_all_rounds_and_are_told_what_the_calibration_found() {
    let marks = marks();
    let stretch = |id: &str, found: f64, beside: &str, calibrated: bool, needs: &[&str]| {
        let mut cell = cell(id, "native", json!({"found": found, "engine": "gone"}));
        cell.engines.clear();
        let needs = needs.iter().map(|id| (*id).to_owned()).collect();
        cell.timing = Timing::Stretch { order: json!({"any": id}), span_ns: 1_000_000_000, calibrated, needs };
        cell.beside = beside.to_owned();
        cell.check = None;
        cell
    };
    let cells = vec![
        stretch("fast-at-70", 0.0, "fast", false, &["fast"]),
        stretch("fast", 1000.0, "fast", true, &[]),
        reference(cell("native/a", "native", json!({}))),
        stretch("slow", 250.0, "slow", true, &[]),
        stretch("slow-at-one-rate", 0.0, "slow", false, &["fast", "slow", "dropped"]),
        stretch("of-nothing", 0.0, "x", false, &["dropped"]),
        stretch("dropped", 1.0, "x", true, &[]),
        Cell { twin_of: Some("fast".to_owned()), ..stretch("fast#twin", 900.0, "fast#twin", true, &[]) },
        stretch("by-itself", 0.0, "x", false, &[]),
    ];
    let mut plan = plan(vec![fake("native", marks.path(), &[])], cells);
    plan.cells[6].op.params.insert("does".to_owned(), json!("block_error"));
    let bench = Bench::new(&plan);
    bench.measure(&plan).unwrap();
    let read = bench.read();
    let told = |id: &str, of: &str| {
        let name = format!("told {of}");
        let cell = &read.cells[id];
        cell.reading_names.contains(&name).then(|| read.reading_values(id, &name)[&2])
    };
    // Its own, those it needs and no others; a twin's are those of the cell that it repeats.
    assert_eq!([told("fast", "fast"), told("fast", "slow")], [Some(1000.0), None]);
    assert_eq!(told("fast-at-70", "fast"), Some(1000.0));
    assert_eq!([told("slow-at-one-rate", "fast"), told("slow-at-one-rate", "slow")], [Some(1000.0), Some(250.0)]);
    assert_eq!(told("fast#twin", "fast#twin"), Some(1000.0));
    assert_eq!(read.cells["by-itself"].reading_names, ["lateness_p99_ns", "seed"]);
    let seeds = |id: &str| read.reading_values(id, "seed");
    assert_eq!(seeds("fast"), seeds("by-itself"));
    assert_ne!(seeds("fast")[&0], seeds("fast")[&1]);
    // What none was found of that it needs.
    assert_eq!(read.status("of-nothing"), Status::Error);
    let why = "it needs what the calibration finds of dropped, and that could not be measured";
    assert_eq!(read.cells["of-nothing"].message.as_deref(), Some(why));
    assert_eq!(read.reading_values("fast-at-70", "lateness_p99_ns")[&2], 1000.5);
    assert_eq!(read.raw_samples("fast-at-70").unwrap()[&0][0].series["latency_ns"], [0, 1, 2, 3, 4]);
    assert_eq!(read.cells["fast"].runs[&0].len(), 1);
    let log = log(&marks);
    let blocks: Vec<&str> = log.iter().filter(|line| line[2] == "block").map(|line| line[3].as_str()).collect();
    let (rounds, stretches) = blocks[blocks.len() - 9..].split_at(3);
    assert_eq!(rounds, ["native/a"; 3]);
    for beside in [["fast", "fast-at-70"], ["slow", "slow-at-one-rate"]] {
        let at = |id: &str| stretches.iter().position(|cell| *cell == id).unwrap();
        assert_eq!(at(beside[0]).abs_diff(at(beside[1])), 1, "{stretches:?}");
    }
}

#[test]
fn a_sample_lasts_at_least_100_microseconds_and_a_block_at_least_a_call() {
    let marks = marks();
    let mut cells = vec![
        reference(cell("short", "s", json!({"ns": 1000}))),
        cell("long", "s", json!({"ns": 50_000_000})),
        cell("many", "s", json!({"ns": 10})),
    ];
    cells[0].target_ns = 20_000;
    cells[2].timing = Timing::Each;
    let plan = plan(vec![fake("s", marks.path(), &[])], cells);
    let bench = Bench::new(&plan);
    bench.measure(&plan).unwrap();
    let read = bench.read();
    let loops = |id: &str| read.cells[id].loops.unwrap();
    assert_eq!([loops("short"), loops("long"), loops("many")], [100, 1, 10_000]);
}

#[test]
fn a_run_follows_its_schedule_in_fresh_processes() {
    let marks = marks();
    let plan = simple(&marks);
    Bench::new(&plan).measure(&plan).unwrap();
    let log = log(&marks);
    let pids: BTreeSet<&String> = log.iter().map(|line| &line[1]).collect();
    // Calibration and three runs of two subjects.
    assert_eq!(pids.len(), 8);
    let blocks: Vec<&str> = log.iter().filter(|l| l[2] == "block").map(|l| l[3].as_str()).collect();
    let planned: Vec<&str> = (0..3)
        .flat_map(|run| run_schedule(&plan, run).visits)
        .map(|visit| plan.cells[visit.cell].id.as_str())
        .collect();
    assert_eq!(blocks[blocks.len() - planned.len()..], planned);
    let byes = log.iter().filter(|line| line[2] == "bye").count();
    assert_eq!(byes, 8);
}

#[test]
fn each_first_call_has_a_process_in_which_nothing_was_called() {
    let marks = marks();
    let mut plan = simple(&marks);
    for name in ["python/first-1", "python/first-2"] {
        let mut first = cell(name, "python", json!({}));
        first.timing = Timing::First;
        plan.cells.push(first);
    }
    let bench = Bench::new(&plan);
    bench.measure(&plan).unwrap();
    // The fake worker reports an error when a call came before.
    assert_eq!(bench.read().status("python/first-1"), Status::Ok);
    assert_eq!(bench.read().status("python/first-2"), Status::Ok);
    assert_eq!(bench.read().cells["python/first-2"].samples(), 3);
}

#[test]
fn a_wrong_output_is_found_located_and_still_measured() {
    let marks = marks();
    let mut plan = simple(&marks);
    plan.cells[2].op.params.insert("wrong".to_owned(), json!(5));
    for (id, wrong, reference) in [("ids/ref", None, true), ("ids/wrong", Some(2), false)] {
        let mut cell = cell(id, "native", json!({"does": "ids", "wrong": wrong}));
        cell.check = Some(record::plan::Check { group: "ids:w".to_owned(), reference });
        plan.cells.push(cell);
    }
    let mut first = cell("python/first", "python", json!({"wrong": 0}));
    first.timing = Timing::First;
    plan.cells.push(first);
    let bench = Bench::new(&plan);
    let (outcome, notes) = bench.measure_with(&plan, &|_| false, &mut |_| vec![]);
    assert_eq!(outcome.unwrap().stopped, Stopped::Runs);
    let read = bench.read();
    let message = |id: &str| read.cells[id].message.as_deref().unwrap();
    assert_eq!(read.status("python/a"), Status::Ok);
    for id in ["python/b", "ids/wrong", "python/first"] {
        assert_eq!(read.status(id), Status::Mismatch);
        assert_eq!(read.run_values(id).len(), 3, "{id}");
    }
    assert_eq!(
        message("python/b"),
        "request 5 differs from native/a at character 34: \" quick brown fox jumqs over the lazy dog\" here, \
         \" quick brown fox jumps over the lazy dog\" there"
    );
    assert_eq!(
        message("ids/wrong"),
        "request 2 differs from ids/ref at id 41: [38, 39, 40, 7, 42, 43, 44] here, [38, 39, 40, 41, 42, 43, 44] there"
    );
    assert!(message("python/first").starts_with("request 0 differs from native/a at character 34: "));
    assert_eq!(notes.iter().filter(|line| line.contains("CellStatus")).count(), 3);
}

#[test]
fn without_a_reference_that_works_a_cell_is_unchecked() {
    let marks = marks();
    let mut plan = simple(&marks);
    plan.cells[0].op.params.insert("does".to_owned(), json!("prepare_error"));
    let mut none = cell("python/none", "python", json!({}));
    none.check = None;
    let mut other = cell("python/other", "python", json!({}));
    other.check = Some(record::plan::Check { group: "ids:w".to_owned(), reference: false });
    plan.cells.extend([none, other]);
    let bench = Bench::new(&plan);
    bench.measure(&plan).unwrap();
    let read = bench.read();
    assert_eq!(read.status("native/a"), Status::Error);
    let expected =
        [("python/a", "its reference native/a gave no output"), ("python/other", "no cell of ids:w is its reference")];
    // What has no output to compare is as good as its worker says.
    assert_eq!(read.status("python/none"), Status::Ok);
    for (id, message) in expected {
        assert_eq!(read.status(id), Status::Unchecked);
        assert_eq!(read.cells[id].message.as_deref(), Some(message));
        assert_eq!(read.run_values(id).len(), 3);
    }
}

#[test]
fn an_output_that_changes_from_process_to_process_is_a_mismatch() {
    let marks = marks();
    let mut plan = simple(&marks);
    plan.cells[0].op.params.insert("does".to_owned(), json!("changes"));
    let bench = Bench::new(&plan);
    bench.measure(&plan).unwrap();
    let cell = bench.read().cells["native/a"].clone();
    assert_eq!(cell.status(), Status::Mismatch);
    assert_eq!(cell.message.as_deref(), Some("the output of request 0 is not the one of the calibration"));
}

#[test]
fn subjects_and_engines_that_are_not_there_are_rows_with_the_remedy() {
    let marks = marks();
    let mut plan = simple(&marks);
    for (id, required) in [("python-3.14t", false), ("python-3.13", true)] {
        let mut spec = fake(id, marks.path(), &[]);
        let reason = format!("{id} is not installed; install it");
        spec.unavailable = Some(Unavailable { reason, required });
        plan.subjects.push(spec);
        plan.cells.push(cell(id, id, json!({})));
    }
    plan.cells.push(cell("gone", "python", json!({"engine": "gone"})));
    plan.cells.push(cell("torch", "python", json!({"does": "prepare_unavailable"})));
    let mut several = cell("several", "python", json!({}));
    several.engines = vec!["fake/encode".to_owned(), "gone/encode".to_owned()];
    plan.cells.push(several);
    let mut none = reference(cell("none", "python", json!({"engine": "gone"})));
    none.engines.clear();
    plan.cells.push(none);
    let bench = Bench::new(&plan);
    assert_eq!(bench.measure(&plan).unwrap().stopped, Stopped::Runs);
    let read = bench.read();
    let expected = [
        ("python-3.14t", Status::Unavailable, "python-3.14t is not installed; install it"),
        ("python-3.13", Status::Error, "python-3.13 is not installed; install it"),
        ("gone", Status::Unavailable, "gone is not installed; pip install gone"),
        ("several", Status::Unavailable, "gone is not installed; pip install gone"),
        ("torch", Status::Unavailable, "torch is not here; pip install torch"),
    ];
    for (id, status, message) in expected {
        assert_eq!((read.status(id), read.cells[id].message.as_deref()), (status, Some(message)));
    }
    assert_eq!(read.status("none"), Status::Ok);
    // They are dropped: no run asks for them again.
    let log = log(&marks);
    assert!(!log.iter().any(|line| line[3] == "gone" || line[0].starts_with("python-3")));
    assert_eq!(log.iter().filter(|line| line[3] == "torch").count(), 1);
}

#[test]
fn the_rule_says_when_to_stop() {
    let marks = marks();
    let mut plan = simple(&marks);
    plan.runs.looks = vec![2, 3, 4];
    let bench = Bench::new(&plan);
    let mut looked = Vec::new();
    let (outcome, _) = bench.measure_with(&plan, &|_| false, &mut |read| {
        looked.push(read.runs.len());
        if looked.len() < 2 { vec![0.01, 0.2] } else { vec![0.01, 0.02, 0.03, 0.04, f64::NAN] }
    });
    assert_eq!(outcome.unwrap().stopped, Stopped::Target);
    assert_eq!(looked, [2, 3]);

    plan.runs.budget_s = 0.0;
    let bench = Bench::new(&plan);
    let outcome = bench.measure(&plan).unwrap();
    assert_eq!((outcome.stopped, outcome.runs), (Stopped::Budget, 0));
    assert_eq!(bench.folder.read_info().unwrap().stopped.as_deref(), Some("budget"));
    assert_eq!(bench.read().status("native/a"), Status::Skipped);
}

#[test]
fn a_plan_that_cannot_be_measured_is_refused() {
    let marks = marks();
    let good = simple(&marks);
    let refused = |change: fn(&mut Plan)| {
        let mut plan = good.clone();
        change(&mut plan);
        Bench::new(&plan).measure(&plan).unwrap_err().to_string()
    };
    assert_eq!(refused(|p| p.cells[1].id = "native/a".to_owned()), "two cells of the plan are named native/a");
    assert_eq!(
        refused(|p| p.cells[1].subject = "ruby".to_owned()),
        "cell python/a names subject ruby, which the plan does not have"
    );
    assert!(refused(|p| p.runs.looks = vec![5, 5]).contains("[5, 5]"));
}
