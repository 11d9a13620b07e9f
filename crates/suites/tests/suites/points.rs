//! Several values on each axis: every point is planned with its reference and its twin, and has its table, figure and findings.

use std::collections::{BTreeMap, BTreeSet};

use record::plan::{Cell, Timing};
use record::results::{ExperimentResult, Results};
use serde_json::Value;

use crate::world::{self, Truth, noise, only, planned};

/// Experiments of the preprocessing suite with several values on each axis that makes a point.
const SEVERAL: [(&str, &[(&str, &str)]); 6] = [
    ("anatomy", &[("tokens", "500,2000"), ("turns", "1,3")]),
    ("history-tax", &[("tokens", "500,2000"), ("turns", "1,10,100")]),
    ("gpu-wait", &[("tokens", "500,2000"), ("turns", "3"), ("batch", "16,64"), ("threads", "1,2,4")]),
    ("gil-scaling", &[("tokens", "500,2000"), ("turns", "1,3"), ("threads", "1,2,4")]),
    ("strategies", &[("tokens", "500,2000"), ("turns", "3"), ("workers", "1,2"), ("load", "50,70")]),
    ("gil-cost", &[("tokens", "500,2000"), ("turns", "3"), ("threads", "1,2"), ("workers", "1,2")]),
];

/// A time that grows with the tokens, the batch and the turns, is shared by threads in Rust, and is alike in twins but for noise.
fn truth(cell: &Cell, run: u32) -> Truth {
    let axis = |name: &str| cell.axes.get(name).and_then(Value::as_f64).unwrap_or(1.0);
    let language = if cell.subject.starts_with("native") { 1.0 } else { 8.0 };
    let threads = if cell.subject.starts_with("native") { f64::from(cell.op.threads).min(2.0) } else { 1.0 };
    let path = 1.0 + cell.op.call_path.len() as f64 / 10.0;
    let stage = if cell.op.call_path == "native" || cell.op.call_path == "transformers" { 5.0 } else { 1.0 };
    let ns = 1e3 * axis("tokens") * axis("batch") * (1.0 + axis("turns") / 100.0) * language * path * stage / threads;
    Truth::Time(ns * noise(&cell.id, run, 0.002))
}

fn results(experiment: &str, axes: &[(&str, &str)]) -> Results {
    world::analysed(planned("preprocessing", experiment, axes, &[]), false, truth)
}

#[test]
fn every_point_has_one_reference_of_each_output() {
    for (experiment, axes) in SEVERAL {
        let plan = planned("preprocessing", experiment, axes, &[]);
        let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
        for check in plan.cells.iter().filter_map(|cell| cell.check.as_ref()) {
            *groups.entry(&check.group).or_default() += usize::from(check.reference);
        }
        assert!(groups.values().all(|references| *references == 1), "{experiment}: {groups:?}");
    }
}

#[test]
fn every_point_has_a_twin() {
    for (experiment, axes) in SEVERAL {
        let plan = planned("preprocessing", experiment, axes, &[]);
        let suite = suites::find("preprocessing").unwrap();
        let of = suite.experiments().into_iter().find(|of| of.name() == experiment).unwrap();
        let points = suites::house::point::points(plan.cells.iter(), of.compared_axes());
        assert!(points.len() > 1, "{experiment}");
        for (point, cells) in points {
            let twins = cells.iter().filter(|cell| cell.twin_of.is_some()).count();
            assert_eq!(twins, 1, "{experiment}, {}", point.describe());
        }
    }
}

/// The tables and figures of a result name their point, and no two of them are the same thing.
fn assert_parted(result: &ExperimentResult, points: &[&str]) {
    let of_points = |title: &str| points.iter().filter(|point| title.contains(*point)).count();
    for table in &result.tables {
        assert!(of_points(&table.title) == 1 || table.id.ends_with("-fit"), "{}: {}", result.name, table.title);
        let rows: Vec<Vec<&str>> =
            table.rows.iter().map(|row| row.values.iter().map(|value| value.text.as_str()).collect()).collect();
        let distinct: BTreeSet<&Vec<&str>> = rows.iter().collect();
        assert_eq!(distinct.len(), rows.len(), "{}: {} repeats a row", result.name, table.title);
    }
    for figure in &result.figures {
        assert_eq!(of_points(&figure.title), 1, "{}: {}", result.name, figure.title);
    }
    let ids: Vec<&str> = result.tables.iter().map(|table| table.id.as_str()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{}: {ids:?}", result.name);
    let ids: Vec<&str> = result.figures.iter().map(|figure| figure.id.as_str()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{}: {ids:?}", result.name);
    // The planted times of gil-cost hold no stages, so it finds nothing.
    let headlines = result.findings.iter().filter(|finding| finding.headline).count();
    assert_eq!(headlines, usize::from(result.name != "gil-cost"), "{}", result.name);
}

#[test]
fn a_batch_of_each_size_has_its_table_curve_and_findings() {
    let axes = [("batch", "16,64"), ("tokens", "500,2000"), ("turns", "3"), ("threads", "1,2")];
    let results = results("gpu-wait", &axes);
    let result = only(&results);
    let points = [
        "batches of 16 requests of 500 tokens in 3 turns",
        "batches of 64 requests of 500 tokens in 3 turns",
        "batches of 16 requests of 2,000 tokens in 3 turns",
        "batches of 64 requests of 2,000 tokens in 3 turns",
    ];
    assert_parted(result, &points);
    for point in points {
        let tables: Vec<_> = result.tables.iter().filter(|table| table.title.contains(point)).collect();
        assert_eq!(tables.len(), 2, "Python and Rust: {point}");
        assert!(tables.iter().all(|table| table.rows.len() == 4), "two modes on one and two threads");
        assert!(result.figures.iter().any(|figure| figure.title.contains(point)));
        let waits = result
            .findings
            .iter()
            .filter(|finding| finding.sentence.contains(point) && finding.sentence.contains("ready after"));
        assert_eq!(waits.count(), 2, "{point}");
    }
    assert_eq!(results.records.iter().filter(|record| record.metric == "noise_floor").count(), 4);
    // Of each point every row but the baselines is judged.
    let judged = results.records.iter().filter(|record| record.metric == "time_ratio").count();
    assert_eq!(judged, 4 * 2 * 2);
}

#[test]
fn every_experiment_parts_its_points() {
    let points = |tokens_and_turns: &[&'static str]| tokens_and_turns.to_vec();
    let sized =
        points(&["500 tokens in 1 turn", "500 tokens in 3 turns", "2,000 tokens in 1 turn", "2,000 tokens in 3 turns"]);
    for (experiment, axes) in SEVERAL {
        let results = results(experiment, axes);
        let points = if experiment == "history-tax" { vec!["500 tokens", "2,000 tokens"] } else { sized.clone() };
        assert_parted(only(&results), &points);
    }
}

#[test]
fn the_strategy_that_carries_the_most_is_named_once_a_size() {
    let axes = [("tokens", "500,2000"), ("turns", "3"), ("workers", "2"), ("load", "70")];
    let results = results("strategies", &axes);
    let result = only(&results);
    for point in ["500 tokens in 3 turns", "2,000 tokens in 3 turns"] {
        let best = result
            .findings
            .iter()
            .filter(|finding| finding.claim.contains("the best strategy carries") && finding.sentence.contains(point));
        assert_eq!(best.count(), 1, "{point}");
    }
    let sentences: Vec<&str> = result.findings.iter().map(|finding| finding.sentence.as_str()).collect();
    let most = sentences.iter().filter(|sentence| sentence.contains("carries the most")).collect::<BTreeSet<_>>();
    assert_eq!(most.len(), sentences.iter().filter(|sentence| sentence.contains("carries the most")).count());
}

#[test]
fn one_rate_for_all_strategies_is_one_for_requests_of_one_size() {
    let plan =
        planned("preprocessing", "strategies", &[("tokens", "500,2000"), ("turns", "3")], &[("common_load", 50.0)]);
    let common = plan.cells.iter().filter_map(|cell| match &cell.timing {
        Timing::Stretch { needs, .. } if !needs.is_empty() => Some((cell, needs)),
        _ => None,
    });
    let mut seen = 0;
    for (cell, of) in common {
        seen += 1;
        let size = |id: &str| plan.cells.iter().find(|cell| cell.id == *id).map(|cell| cell.workload.clone());
        assert!(!of.is_empty() && of.iter().all(|id| size(id).as_ref() == Some(&cell.workload)), "{}", cell.id);
    }
    assert!(seen > 1);
}
