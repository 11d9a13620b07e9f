//! What is judged is what is claimed: floor, family, stopping rule and table in the quantity of the finding.

use record::plan::{Cell, Plan};
use record::results::{Record, Results, Status, Support};
use suites::analysis;

use crate::world::{self, Truth, noise, number, only, planned};

fn serving(experiment: &str) -> Plan {
    planned("serving", experiment, &[], &[])
}

fn is_twin(cell: &Cell) -> bool {
    cell.twin_of.is_some()
}

/// Ids take 20 ms alone and 120 ms at 20 at once; messages take 6 and 60 ms more, text 4, the sidecar 1.
fn ttft(cell: &Cell) -> f64 {
    let high = number(cell, "concurrency") > 1.0;
    let tax = match cell.axes["strategy"].as_str().unwrap() {
        "messages" => 6e6,
        "text" => 4e6,
        "sidecar" => 1e6,
        _ => 0.0,
    };
    if high { 120e6 + 10.0 * tax } else { 20e6 + tax }
}

/// A load whose TTFT and whose throughput have noises of their own: a factor for each cell and run.
fn taxed(
    ttft_noise: impl Fn(&Cell, u32) -> f64,
    rate_noise: impl Fn(&Cell, u32) -> f64,
) -> impl Fn(&Cell, u32) -> Truth {
    move |cell, run| {
        let ttft = ttft(cell) * ttft_noise(cell, run);
        Truth::Readings(vec![
            ("throughput_per_s", number(cell, "concurrency") / ttft * 1e9 * rate_noise(cell, run)),
            ("requests", 500.0),
            ("failed", 0.0),
            ("ttft_p50_ns", ttft),
            ("ttft_p99_ns", ttft * 2.0),
            ("valid", 1.0),
        ])
    }
}

fn quiet(cell: &Cell, run: u32) -> f64 {
    noise(&cell.id, run, 0.002)
}

/// Noise that the twins alone show, by half to either side.
fn loud_twins(cell: &Cell, run: u32) -> f64 {
    if is_twin(cell) { if run.is_multiple_of(2) { 1.5 } else { 0.6 } } else { quiet(cell, run) }
}

fn supports(results: &Results) -> Vec<Support> {
    only(results).findings.iter().map(|finding| finding.support).collect()
}

fn floors(results: &Results) -> Vec<&Record> {
    results.records.iter().filter(|record| record.metric == "noise_floor").collect()
}

#[test]
fn noise_of_the_throughput_is_no_noise_of_the_time_to_first_token() {
    let results = world::analysed(serving("sidecar"), false, taxed(quiet, loud_twins));
    assert_eq!(supports(&results), [Support::Supported; 4], "{:#?}", only(&results).findings);
}

#[test]
fn noise_of_the_time_to_first_token_is_seen_where_the_throughput_is_quiet() {
    let results = world::analysed(serving("sidecar"), false, taxed(loud_twins, quiet));
    assert_eq!(supports(&results), [Support::Inconclusive; 4], "{:#?}", only(&results).findings);
    assert!(only(&results).warnings.iter().any(|warning| warning.contains("measured twice")));
    assert!(
        results.records.iter().filter_map(|record| record.verdict.as_ref()).all(|verdict| verdict == "inconclusive")
    );
}

#[test]
fn the_floor_of_a_difference_is_in_its_unit_and_of_its_load() {
    let results = world::analysed(serving("sidecar"), false, taxed(quiet, quiet));
    let floors = floors(&results);
    let of = |concurrency: &str| {
        let floor =
            floors.iter().find(|record| record.cell_id.contains(&format!("concurrency={concurrency},"))).unwrap();
        assert_eq!((floor.unit.as_str(), floor.stage.as_str()), ("ns", "ttft_p50_ns"));
        floor.estimate.as_ref().unwrap().point
    };
    // 2% of 20 and of 120 ms, where the twins show less; the table has a comparison with messages (180 ms) too.
    assert_eq!(floors.len(), 2);
    assert!((of("1") / 0.4e6 - 1.0).abs() < 0.02, "{}", of("1"));
    assert!((of("20") / 2.4e6 - 1.0).abs() < 0.02, "{}", of("20"));
    let notes = &only(&results).tables[0].notes;
    assert!(notes.iter().any(|note| note.contains("noise floor of 400 µs to 3.60 ms")), "{notes:?}");
}

#[test]
fn a_finding_has_twins_at_both_loads_that_it_speaks_of() {
    let twins = |experiment: &str| -> Vec<f64> {
        let plan = serving(experiment);
        plan.cells.iter().filter(|cell| is_twin(cell)).map(|cell| number(cell, "concurrency")).collect()
    };
    assert_eq!(twins("latency-wall"), [1.0, 400.0]);
    assert_eq!(twins("prefix-cache"), [1.0, 20.0]);
    assert_eq!(twins("sidecar"), [1.0, 20.0]);
    assert_eq!(twins("max-rate").len(), 1);
}

#[test]
fn findings_of_a_serving_experiment_are_one_family() {
    // At low load what messages, text, and the sidecar take more than ids scatters so that each 95% interval alone lies beyond the floor of
    // 0.4 ms, by as many standard errors each, and none does at the level that is left for the first of several.
    let scatter = |cell: &Cell, run: u32| {
        if number(cell, "concurrency") > 1.0 || cell.axes["strategy"] == "ids" {
            return 1.0;
        }
        let beyond_ms = (ttft(cell) - 20e6) / 1e6 - 0.4;
        let scatter_ms = [0.40, -0.44, 0.13, -0.34, 0.25][run as usize] * beyond_ms / 0.6;
        1.0 + scatter_ms * 1e6 / ttft(cell)
    };
    let results = world::analysed(serving("sidecar"), false, taxed(scatter, quiet));
    let tax = results.records.iter().find(|record| {
        record.metric == "tax" && record.axes["strategy"] == "sidecar" && record.cell_id.contains("concurrency=1,")
    });
    let tax = tax.unwrap();
    let lower = tax.estimate.as_ref().unwrap().lower.unwrap();
    assert!(lower > 0.4e6, "alone it would be a difference: {lower}");
    assert_eq!(tax.verdict.as_deref(), Some("inconclusive"));
}

#[test]
fn runs_end_when_what_is_claimed_is_precise() {
    let widths = |ttft_noise: f64, rate_noise: f64| {
        let plan = serving("sidecar");
        let by = |half: f64| move |cell: &Cell, run: u32| noise(&cell.id, run, half);
        let measurements = world::measured(&plan, taxed(by(ttft_noise), by(rate_noise)));
        let suite = suites::find("serving").unwrap();
        analysis::half_widths(suite.as_ref(), &plan, &measurements)
    };
    let exact = widths(0.0005, 0.3);
    assert!(!exact.is_empty() && exact.iter().all(|width| *width < 0.01), "{exact:?}");
    assert!(widths(0.3, 0.0005).iter().any(|width| *width > 0.1));
}

#[test]
fn without_a_twin_nothing_is_claimed_and_the_table_says_so() {
    for (experiment, truth) in [("sidecar", true), ("prefix-cache", false)] {
        let results = world::analysed(serving(experiment), false, |cell, run| match (is_twin(cell), truth) {
            (true, _) => Truth::Dropped(Status::Error, "the worker died"),
            (false, true) => taxed(quiet, quiet)(cell, run),
            (false, false) => {
                let worth = if cell.axes["history"] == "unique" { 4.0 } else { 1.0 };
                let ns = 50e6 * worth * quiet(cell, run);
                Truth::Readings(vec![
                    ("ttft_p50_ns", ns),
                    ("throughput_per_s", 10.0),
                    ("requests", 500.0),
                    ("valid", 1.0),
                ])
            }
        });
        let result = only(&results);
        assert!(
            result.findings.iter().all(|finding| finding.support == Support::Inconclusive),
            "{:#?}",
            result.findings
        );
        let notes: Vec<&String> = result.tables.iter().flat_map(|table| &table.notes).collect();
        assert!(notes.iter().any(|note| note.contains("There is no noise floor")), "{notes:?}");
        assert!(result.warnings.iter().any(|warning| warning.contains("no noise floor")), "{:?}", result.warnings);
        assert!(floors(&results).is_empty());
        let verdicts = results.records.iter().filter_map(|record| record.verdict.as_deref());
        assert!(verdicts.clone().count() > 0 && verdicts.clone().all(|verdict| verdict == "inconclusive"));
    }
    let plan = planned("preprocessing", "gpu-wait", &[("threads", "1,2")], &[]);
    let results = world::analysed(plan, false, |cell, run| match is_twin(cell) {
        true => Truth::Dropped(Status::Error, "the worker died"),
        false => Truth::Time(1e6 / f64::from(cell.op.threads) * quiet(cell, run)),
    });
    let result = only(&results);
    assert!(result.findings.iter().all(|finding| finding.support == Support::Inconclusive), "{:#?}", result.findings);
    assert!(result.tables.iter().all(|table| table.notes.iter().any(|note| note.contains("no noise floor"))));
}

#[test]
fn a_rate_whose_twin_is_missing_is_not_known_well_enough_to_buy_by() {
    let search = |_: &Cell, run: u32| {
        let shared = world::shared(run);
        vec![("holds_per_s", 9.8 * shared), ("fails_per_s", 10.2 * shared), ("valid", 1.0)]
    };
    let results = world::analysed(serving("max-rate"), false, |cell, run| match is_twin(cell) {
        true => Truth::Dropped(Status::Timeout, "240 s are over"),
        false => Truth::Readings(search(cell, run)),
    });
    let finding = &only(&results).findings[0];
    assert!(finding.support == Support::Inconclusive && finding.sentence.contains("Not sure"), "{}", finding.sentence);
    // Two searches that differ by a third: no bound is closer than that.
    let results = world::analysed(serving("max-rate"), false, |cell, run| {
        let factor = if is_twin(cell) { 1.33 } else { 1.0 };
        Truth::Readings(search(cell, run).into_iter().map(|(name, value)| (name, value * factor)).collect())
    });
    let rate = results.records.iter().find(|record| record.metric == "max_rate" && !record.cell_id.contains("#twin"));
    let rate = rate.unwrap().estimate.as_ref().unwrap();
    assert!(rate.lower.unwrap() < 10.0 / 1.32 && rate.upper.unwrap() > 13.2, "{rate:?}");
}

#[test]
fn one_invalid_run_and_one_that_failed_leave_the_others() {
    let results = world::analysed(serving("sidecar"), false, |cell, run| {
        let is = cell.axes["strategy"] == "messages" && number(cell, "concurrency") == 1.0;
        match (taxed(quiet, quiet)(cell, run), run) {
            (Truth::Readings(mut readings), 1) if is => {
                readings.retain(|(name, _)| !["valid", "ttft_p50_ns"].contains(name));
                readings.extend([
                    ("valid", 0.0),
                    ("ttft_p50_ns", 9e9),
                    ("invalid_late", 1.0),
                    ("lateness_p99_ns", 7e6),
                ]);
                Truth::Readings(readings)
            }
            (_, 3) if is => Truth::Failed("it took longer than 240 s"),
            (truth, _) => truth,
        }
    });
    let result = only(&results);
    assert_eq!(supports(&results), [Support::Supported; 4], "{:#?}", result.findings);
    let row = results.records.iter().find(|record| {
        record.metric == "ttft_p50"
            && record.axes["strategy"] == "messages"
            && record.cell_id.contains("concurrency=1,")
    });
    let (row, estimate) = (row.unwrap(), row.unwrap().estimate.as_ref().unwrap());
    assert!(row.status == Status::Ok && estimate.runs == 3 && estimate.lower.is_some(), "{row:?}");
    assert!((estimate.point / 26e6 - 1.0).abs() < 0.01);
    let first = &result.tables[0].rows.iter().find(|row| row.values[0].text.starts_with("messages")).unwrap().values[0];
    assert_eq!(first.text, "messages (3 of 5 runs)");
    let warning = result.warnings.iter().find(|warning| warning.contains("2 of 5 runs are left out")).unwrap();
    assert!(warning.contains("requests left late, p99 up to 7.00 ms") && warning.contains("240 s"), "{warning}");
}

#[test]
fn with_one_valid_run_there_is_no_interval() {
    let results = world::analysed(serving("sidecar"), false, |cell, run| {
        let is = cell.axes["strategy"] == "text" && number(cell, "concurrency") == 20.0;
        match taxed(quiet, quiet)(cell, run) {
            Truth::Readings(mut readings) if is && run != 2 => {
                readings.retain(|(name, _)| *name != "valid");
                readings.push(("valid", 0.0));
                Truth::Readings(readings)
            }
            truth => truth,
        }
    });
    let of = |metric: &str| {
        let is = |record: &&Record| {
            record.metric == metric && record.axes["strategy"] == "text" && record.cell_id.contains("concurrency=20,")
        };
        results.records.iter().find(is).and_then(|record| record.estimate.clone())
    };
    let p50 = of("ttft_p50").unwrap();
    assert!((p50.runs, p50.lower) == (1, None), "{p50:?}");
    assert_eq!(of("tax"), None, "nothing is compared with one run");
}

#[test]
fn a_percentile_needs_its_requests_in_every_table() {
    let with = |requests: f64| {
        let results =
            world::analysed(serving("sidecar"), false, move |cell, run| match taxed(quiet, quiet)(cell, run) {
                Truth::Readings(mut readings) => {
                    readings.retain(|(name, _)| *name != "requests");
                    readings.push(("requests", requests));
                    Truth::Readings(readings)
                }
                truth => truth,
            });
        let of = |metric: &str| {
            results.records.iter().filter(|record| record.metric == metric && record.estimate.is_some()).count()
        };
        (of("ttft_p50"), of("ttft_p99"))
    };
    assert_eq!(with(368.0), (8, 8));
    assert_eq!(with(367.0), (8, 0), "p99 of 367 requests has no upper bound");
    assert_eq!(with(5.0), (0, 0));
}
