//! Order and identity of a plan.

use std::collections::BTreeMap;

use record::hash::{canonical_json, plan_sha256, plan8};
use record::plan::{Plan, Timing, Unavailable};
use runner::schedule::{launch, run_schedule};
use serde_json::json;

use crate::support::{cell, fake, marks, plan};

fn two_subjects() -> Plan {
    let marks = marks();
    let mut cells = Vec::new();
    for subject in ["native", "python"] {
        cells.extend((0..10).map(|i| cell(&format!("{subject}/{i}"), subject, json!({}))));
    }
    cells[3].timing = Timing::First;
    cells[15].timing = Timing::First;
    plan(vec![fake("native", marks.path(), &[]), fake("python", marks.path(), &[])], cells)
}

#[test]
fn a_seed_and_a_run_give_one_order() {
    let plan = two_subjects();
    assert_eq!(run_schedule(&plan, 4), run_schedule(&plan.clone(), 4));
    assert_ne!(run_schedule(&plan, 4), run_schedule(&plan, 5));
    let other = Plan { seed: 8, ..plan.clone() };
    assert_ne!(run_schedule(&plan, 4).visits, run_schedule(&other, 4).visits);
    // The stream behind the order is fixed: a change here would make old runs impossible to resume.
    let order: Vec<usize> = run_schedule(&plan, 0).prepare;
    assert_eq!(order, [8, 13, 1, 11, 19, 10, 18, 12, 9, 6, 4, 17, 16, 5, 14, 7, 0, 2]);
}

#[test]
fn every_block_is_visited_once_and_no_cell_stays_for_long() {
    let plan = two_subjects();
    for run in 0..50 {
        let schedule = run_schedule(&plan, run);
        assert_eq!(schedule.first.len(), 2);
        assert_eq!(schedule.prepare.len(), 18);
        let mut blocks: BTreeMap<usize, Vec<(usize, u32)>> = BTreeMap::new();
        for (position, visit) in schedule.visits.iter().enumerate() {
            assert!(visit.offset < 8);
            blocks.entry(visit.cell).or_default().push((position, visit.block));
        }
        assert_eq!(blocks.len(), 18);
        for (cell, visits) in blocks {
            let numbers: Vec<u32> = visits.iter().map(|v| v.1).collect();
            assert_eq!(numbers, [0, 1, 2], "cell {cell}");
            assert!(visits[2].0 - visits[0].0 > 2, "the blocks of cell {cell} are adjacent in run {run}");
        }
        // The subjects alternate: a run of one subject only would mean that they are measured one after the other.
        let subjects: Vec<&str> = schedule.visits.iter().map(|v| plan.cells[v.cell].subject.as_str()).collect();
        assert!(subjects.windows(2).filter(|w| w[0] != w[1]).count() > 10);
    }
}

#[test]
fn offsets_and_launches_differ_between_runs() {
    let plan = two_subjects();
    let offsets = |run| run_schedule(&plan, run).visits.iter().map(|v| v.offset).collect::<Vec<_>>();
    assert_ne!(offsets(0), offsets(1));
    let hash_seeds: std::collections::BTreeSet<u32> =
        (0..20).map(|run| launch(1, run, "python", 0).hash_seed).collect();
    assert_eq!(hash_seeds.len(), 20);
    assert_ne!(launch(1, 0, "python", 0), launch(1, 0, "python", 1));
    assert_eq!(launch(1, 0, "python", 0), launch(1, 0, "python", 0));
    assert!((0..200).all(|run| launch(1, run, "python", 0).padding <= 4096));
}

#[test]
fn the_hash_leaves_out_the_machine_and_the_moment() {
    let plan = two_subjects();
    let hash = plan_sha256(&plan);
    let mut moved = plan.clone();
    moved.timestamp += 1000;
    for subject in &mut moved.subjects {
        subject.program = "/elsewhere/python3".into();
        subject.args[1] = "/elsewhere/fake_worker.py".to_owned();
        for (name, value) in &mut subject.env {
            if name != "FAKE_NAME" {
                *value = "/elsewhere:/and/there".to_owned();
            }
        }
    }
    assert_eq!(plan_sha256(&moved), hash);
    assert_eq!(plan8(&hash).len(), 8);

    let changes: [fn(&mut Plan); 7] = [
        |p| p.seed += 1,
        |p| p.cells[0].target_ns += 1,
        |p| p.runs.blocks += 1,
        |p| p.workloads[0].tokens += 1,
        |p| p.subjects[0].args.push("-X".to_owned()),
        |p| p.model.sha256.push('0'),
        |p| p.subjects[0].unavailable = Some(Unavailable { reason: "x".to_owned(), required: true }),
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut other = plan.clone();
        change(&mut other);
        assert_ne!(plan_sha256(&other), hash, "change {i}");
    }
}

#[test]
fn canonical_json_sorts_keys_at_every_level() {
    let value = json!({"b": [1, {"z": null, "a": 0.5}], "a\n": "ä"});
    assert_eq!(canonical_json(&value), r#"{"a\n":"ä","b":[1,{"a":0.5,"z":null}]}"#);
}
