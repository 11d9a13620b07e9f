//! What the serving suite says of measurements whose truth is known: a system with a knee at 5, a cache whose worth is known at each
//! load, taxes of a known size, searches that found known brackets.
//!
//! One file over 500 lines: every test plants its truth in the same made-up run folder, whose maker stands here.

use std::collections::BTreeMap;
use std::fmt::Write;

use record::folder::RunFolder;
use record::measurements::Measurements;
use record::plan::{Cell, ModelIdentity, Plan, SubjectSpec};
use record::protocol::{Ready, Sample};
use record::results::{ExperimentResult, Record, Results, RunInfo, Status, Support};
use record::samples::Event;
use suites::analysis;
use suites::planning::{Ingredients, plan};
use suites::settings::{ExperimentSettings, PlanContext, PlannedSubject};

const RUNS: u32 = 5;

/// The plan of one experiment, as `--quick` makes it.
fn planned(experiment: &str, params: &[(&str, f64)]) -> Plan {
    let suite = suites::find("serving").unwrap();
    let spec = suite.spec();
    let of = spec.select(&[experiment.to_owned()]).unwrap()[0];
    let mut settings = ExperimentSettings::layered(of, &[&of.quick]);
    settings.params.extend(params.iter().map(|(name, value)| ((*name).to_owned(), *value)));
    let asker = PlannedSubject {
        id: "mock".into(),
        kind: "serving".into(),
        torch: false,
        free_threaded: false,
        serves: "model".into(),
        variant_of: String::new(),
    };
    let context = PlanContext {
        subjects: Vec::new(),
        drivers: vec![asker],
        variants: Vec::new(),
        cores: 2,
        tiktoken: true,
        workload: "words".into(),
    };
    let subject = SubjectSpec {
        id: "mock".into(),
        kind: "serving".into(),
        program: "llmbench".into(),
        args: Vec::new(),
        env: BTreeMap::new(),
        lock: None,
        unavailable: None,
    };
    let ingredients = Ingredients {
        profile_name: "quick",
        profile: &spec.quick,
        settings: &[settings],
        context: &context,
        model: ModelIdentity { name: "built-in".into(), sha256: "9f".repeat(32) },
        subjects: vec![subject],
        seed: 1,
        timestamp: 0,
        facts: BTreeMap::new(),
    };
    plan(suite.as_ref(), ingredients).unwrap()
}

/// Writes runs in which each cell read what `readings` says of it, and analyses them.
fn analysed(plan: Plan, simulated: bool, readings: impl Fn(&Cell, f64) -> Vec<(&'static str, f64)>) -> Results {
    analysed_but(plan, simulated, |_| None, readings)
}

/// The same, where some cells have got a status and a message before the first run, and no samples.
fn analysed_but(
    plan: Plan,
    simulated: bool,
    dropped: impl Fn(&Cell) -> Option<(Status, &'static str)>,
    readings: impl Fn(&Cell, f64) -> Vec<(&'static str, f64)>,
) -> Results {
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(dir.path(), "20261124T035745Z", "serving", "1f0c9a7e").unwrap();
    let ready = Ready {
        build: BTreeMap::from([("simulated".to_owned(), simulated.to_string())]),
        gil: "none".into(),
        ..Ready::default()
    };
    let cells = plan.cells.clone();
    let info = RunInfo {
        schema: record::SCHEMA,
        run_id: folder.run_id(),
        llmbench: "0.1.0".into(),
        binary_sha256: "ab12".repeat(16),
        started: "2026-11-24T03:57:45Z".into(),
        command: Vec::new(),
        options: serde_json::Value::Null,
        plan_sha256: "1f0c9a7e".repeat(8),
        plan,
        loops: BTreeMap::new(),
        workload_sha256: BTreeMap::new(),
        subjects: BTreeMap::from([("mock".to_owned(), ready)]),
        machine: Vec::new(),
        boot_id: None,
        stopped: Some("runs".into()),
        wall_s: BTreeMap::new(),
        warnings: Vec::new(),
    };
    folder.write_info(&info).unwrap();
    let mut lines = String::new();
    for cell in &cells {
        if let Some((status, message)) = dropped(cell) {
            let event = Event::Cell { cell_id: cell.id.clone(), run: None, status, message: message.to_owned() };
            writeln!(lines, "{}", serde_json::to_string(&event).unwrap()).unwrap();
        }
    }
    for run in 0..RUNS {
        let mut put = |event: &Event| writeln!(lines, "{}", serde_json::to_string(event).unwrap()).unwrap();
        put(&Event::RunStart { run });
        // What a run shares: some are 1% faster.
        let shared = 1.0 + 0.01 * (f64::from(run) - 2.0) / 2.0;
        for cell in cells.iter().filter(|cell| dropped(cell).is_none()) {
            let readings: BTreeMap<String, f64> =
                readings(cell, shared).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let throughput = readings.get("throughput_per_s").copied().unwrap_or(1.0);
            let end_ns = 1 + (1000.0 / throughput * 1e9) as u64;
            let sample =
                Sample { cell_id: cell.id.clone(), start_ns: 1, end_ns, calls: 1000, readings, ..Sample::default() };
            put(&Event::Sample { run, sample });
        }
        put(&Event::RunComplete { run, wall_ns: 10_000_000, busy_ns: 9_000_000 });
    }
    std::fs::write(folder.samples_path(), lines).unwrap();
    let suite = suites::find("serving").unwrap();
    analysis::analyse(suite.as_ref(), &info, &Measurements::read(&folder).unwrap())
}

fn number(cell: &Cell, axis: &str) -> f64 {
    cell.axes.get(axis).and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN)
}

fn only(results: &Results) -> &ExperimentResult {
    assert_eq!(results.experiments.len(), 1);
    &results.experiments[0]
}

fn point(records: &[Record], metric: &str) -> f64 {
    let found: Vec<&Record> = records.iter().filter(|record| record.metric == metric).collect();
    assert_eq!(found.len(), 1, "{metric}");
    found[0].estimate.as_ref().unwrap().point
}

/// A server of 10 ms service and 50 ms in all, driven as the cell says.
fn walled(cell: &Cell, shared: f64) -> Vec<(&'static str, f64)> {
    let (load, concurrency) = (cell.axes["load"].as_str().unwrap(), number(cell, "concurrency"));
    let (throughput, at_once) = match load {
        "closed" => ((concurrency / 0.05).min(100.0), concurrency),
        "capacity" => (100.0, 8.0),
        share => {
            let share: f64 = share.trim_end_matches('%').parse::<f64>().unwrap() / 100.0;
            (100.0 * share, 100.0 * share * 0.06)
        }
    };
    let throughput = throughput * shared;
    let response = at_once / throughput * 1e9;
    vec![
        ("throughput_per_s", throughput),
        ("finished_per_s", throughput),
        ("offered", if load == "closed" { concurrency } else { throughput }),
        ("requests", 500.0),
        ("failed", 0.0),
        ("in_flight", at_once),
        ("response_mean_ns", response),
        ("ttft_p50_ns", response * 0.9),
        ("ttft_p99_ns", response * 1.5),
        ("valid", 1.0),
    ]
}

#[test]
fn the_wall_is_found_where_it_is() {
    let results = analysed(planned("latency-wall", &[]), true, walled);
    let result = only(&results);
    // 400 times 50 ms over 100 a second: 4 s instead of 50 ms.
    assert!((point(&results.records, "knee_concurrency") - 5.0).abs() < 0.01);
    assert!((point(&results.records, "throughput_growth") - 5.0).abs() < 0.01);
    assert!((point(&results.records, "latency_growth") - 80.0).abs() < 0.1);
    let finding = &result.findings[0];
    assert!(finding.headline && finding.support == Support::Supported, "{finding:?}");
    assert!(
        finding.sentence.starts_with("SIMULATED: From 1 to 400 requests at once, throughput grows 5"),
        "{}",
        finding.sentence
    );
    assert!(result.tables.iter().all(|table| table.title.starts_with("SIMULATED: ")));
    assert!(!result.figures.is_empty() && result.figures.iter().all(|figure| figure.title.starts_with("SIMULATED: ")));
    assert!(!result.warnings.iter().any(|warning| warning.contains("Little")), "{:?}", result.warnings);
    let rows = &result.tables[0].rows;
    // Closed at 1, 20 and 400, open at 80%, and the plateau; the twin is no row.
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|row| row.status == Status::Ok));
}

#[test]
fn a_point_whose_client_was_late_is_invalid_and_no_part_of_the_finding() {
    let results = analysed(planned("latency-wall", &[]), false, |cell, shared| {
        let mut readings = walled(cell, shared);
        if number(cell, "concurrency") == 400.0 {
            readings.retain(|(name, _)| *name != "valid");
            readings.extend([("valid", 0.0), ("invalid_saturated", 1.0), ("generator_share", 0.97)]);
        }
        readings
    });
    let result = only(&results);
    let invalid: Vec<&Record> = results.records.iter().filter(|record| record.status == Status::Invalid).collect();
    assert!(!invalid.is_empty() && invalid.iter().all(|record| record.cell_id.contains("concurrency=400")));
    assert!(invalid[0].error.as_ref().unwrap().contains("97.0%"), "{:?}", invalid[0].error);
    assert!(
        result.findings[0].sentence.starts_with("From 1 to 20 requests at once"),
        "{}",
        result.findings[0].sentence
    );
    assert!(result.warnings.iter().any(|warning| warning.contains("INVALID")));
    assert!(result.tables[0].rows.iter().any(|row| row.values[0].text == "400 at once INVALID"));
}

#[test]
fn answers_that_nobody_counted_are_noticed() {
    let results = analysed(planned("latency-wall", &[]), true, |cell, shared| {
        let mut readings = walled(cell, shared);
        for (name, value) in &mut readings {
            if *name == "finished_per_s" && number(cell, "concurrency") == 20.0 {
                *value *= 0.8;
            }
        }
        readings
    });
    let warnings = &only(&results).warnings;
    let little: Vec<&String> = warnings.iter().filter(|warning| warning.contains("Little's law")).collect();
    assert!(little.len() == 1 && little[0].contains("concurrency=20") && little[0].contains("80.0%"), "{little:?}");
}

/// The wall's server as its own counters tell it: 2 ms of front end, 3 ms of an exchange under load that takes 1 ms alone, 40 ms of
/// prefill, and the rest of the response in its queue.
fn told(cell: &Cell, shared: f64) -> Vec<(&'static str, f64)> {
    let mut readings = walled(cell, shared);
    let ttft = readings.iter().find(|(name, _)| *name == "response_mean_ns").unwrap().1;
    let queue = ttft - 46e6;
    readings.extend([
        ("all_requests", 500.0),
        ("all_duration_ns", 5e9),
        ("all_ttft_mean_ns", ttft),
        ("all_client_wait_mean_ns", 0.5e6),
        ("network_ns", 1e6),
        ("knock_mean_ns", 3e6),
        ("knocks", 20.0),
        ("knocks_failed", 0.0),
        ("server_ttft_mean_ns", queue + 42e6),
        ("server_queue_mean_ns", queue),
        ("server_prefill_mean_ns", 40e6),
        ("server_agrees", 1.0),
        ("sent_requests", 500.0),
        ("server_requests", 500.0),
        ("server_cpu_ns_per_request", 12e6),
        ("server_cpu_ns_per_request:api", 8e6),
        ("server_cpu_ns_per_request:api>io/0", 5e6),
        ("server_cpu_ns_per_request:api>idle", 1e4),
        ("server_cpu_ns_per_request:VLLM::EngineCore", 4e6),
        ("server_run_delay_ns_per_request:api", 20e6),
        ("gpu_utilization:0", 0.25),
        ("gpu_utilization:1", 0.75),
    ]);
    readings
}

#[test]
fn the_parts_of_a_ttft_are_told_and_the_largest_is_named() {
    let results = analysed(planned("latency-wall", &[]), false, told);
    let result = only(&results);
    let table = result.tables.iter().find(|table| table.id.contains("ttft-parts")).unwrap();
    let titles: Vec<&str> = table.columns.iter().map(|column| column.title.as_str()).collect();
    let parts = ["client wait", "network", "HTTP wait", "front end", "queue", "prefill", "unexplained"];
    assert_eq!(titles, [&["load", "mean TTFT"], &parts[..]].concat());
    // Closed at 1, 20 and 400, open at 80%; the plateau has no TTFT of its own.
    assert_eq!(table.rows.len(), 4);
    let of = |metric: &str, load: &str| {
        let found = results.records.iter().find(|r| r.metric == metric && r.cell_id.contains(load)).unwrap();
        found.estimate.as_ref().unwrap().point
    };
    for (metric, truth) in [
        ("ttft_client_wait", 0.5e6),
        ("ttft_network", 1e6),
        ("ttft_http_wait", 2e6),
        ("ttft_front_end", 2e6),
        ("ttft_prefill", 40e6),
        ("ttft_unexplained", 0.5e6),
    ] {
        assert!((of(metric, "concurrency=400") - truth).abs() < 1.0, "{metric}");
    }
    // 400 at once on a server of 100 a second wait 4 s.
    assert!((of("ttft_queue", "concurrency=400") / 3.954e9 - 1.0).abs() < 1e-3);
    let finding = result.findings.iter().find(|finding| finding.sentence.contains("largest part")).unwrap();
    assert!(finding.headline && finding.support == Support::Supported, "{finding:?}");
    assert!(finding.sentence.starts_with("At 1 at once, prefill is the largest part"), "{}", finding.sentence);
    assert!(finding.sentence.contains("at 400 at once it is queue: 98.8"), "{}", finding.sentence);
    let figures: Vec<_> = result.figures.iter().filter(|figure| figure.id.contains("-ttft-")).collect();
    // 50 ms and 4 s cannot be read off one axis.
    assert_eq!(figures.len(), 2);
    assert!(figures[0].series.last().unwrap().reference && figures[0].series.len() == 8);
    let shares = |at: usize| figures[1].series.iter().map(|series| series.points[at].y).sum::<f64>();
    assert!((0..4).all(|at| (shares(at) - 100.0).abs() < 1e-6));
    assert_eq!(result.warnings, [] as [String; 0]);
}

#[test]
fn processes_threads_and_gpus_of_the_server_are_shown() {
    let results = analysed(planned("latency-wall", &[]), false, told);
    let result = only(&results);
    let table = result.tables.iter().find(|table| table.id.contains("server-cpu")).unwrap();
    let names: Vec<&str> = table.rows.iter().take(3).map(|row| row.values[1].text.as_str()).collect();
    assert_eq!(names, ["api", "> io/0", "VLLM::EngineCore"], "a thread that does nothing is in the rows alone");
    // 8 ms of 500 requests within 5 s.
    let first: Vec<&str> = table.rows[0].values[2..].iter().map(|value| value.text.as_str()).collect();
    assert_eq!(first, ["8.00 ms", "67%", "4.00 s", "0.80", "20.0 ms"]);
    assert_eq!(table.rows[1].values.last().unwrap().text, "unknown");
    assert!(results.records.iter().any(|record| record.metric == "cpu_per_request:api>idle"));
    let wall = &result.tables[0];
    assert_eq!(wall.columns.last().unwrap().title, "GPU");
    assert!(wall.rows.iter().all(|row| row.values.last().unwrap().text == "75.0%"), "{:?}", wall.rows);
    assert!(wall.notes.iter().any(|note| note.contains("busiest of 2")));
    // Where nothing is known of GPUs there is no column, and the note says so.
    let results = analysed(planned("latency-wall", &[]), false, walled);
    let wall = &only(&results).tables[0];
    assert!(
        wall.columns.last().unwrap().title != "GPU"
            && wall.notes.iter().any(|note| note.contains("GPU utilization: unknown"))
    );
}

#[test]
fn counters_of_others_are_noticed_and_are_no_parts() {
    let results = analysed(planned("latency-wall", &[]), false, |cell, shared| {
        let mut readings = told(cell, shared);
        if number(cell, "concurrency") == 20.0 {
            for (name, value) in &mut readings {
                match *name {
                    "server_agrees" => *value = 0.0,
                    "server_requests" => *value = 507.0,
                    _ => {}
                }
            }
        }
        readings
    });
    let result = only(&results);
    let table = result.tables.iter().find(|table| table.id.contains("ttft-parts")).unwrap();
    assert!(table.rows.iter().all(|row| row.values[0].text != "20 at once"));
    assert_eq!(table.rows.len(), 3);
    let warning = result.warnings.iter().find(|warning| warning.contains("concurrency=20")).unwrap();
    assert!(warning.contains("507 requests where 500 were sent (5 of 5 runs)"), "{warning}");
}

#[test]
fn parts_that_are_more_than_the_whole_are_a_warning() {
    let results = analysed(planned("latency-wall", &[]), false, |cell, shared| {
        let mut readings = told(cell, shared);
        for (name, value) in &mut readings {
            if *name == "knock_mean_ns" && number(cell, "concurrency") == 1.0 {
                *value += 10e6;
            }
        }
        readings
    });
    let warnings = &only(&results).warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("concurrency=1"), "{warnings:?}");
    assert!(warnings[0].contains("more than the whole"), "{warnings:?}");
    let below = results.records.iter().filter(|record| record.metric == "ttft_unexplained");
    assert_eq!(below.filter(|record| record.estimate.as_ref().is_some_and(|ns| ns.point < 0.0)).count(), 1);
}

/// A cache that is worth 4 times alone and `high` times at 20 at once.
fn cached(high: f64) -> impl Fn(&Cell, f64) -> Vec<(&'static str, f64)> {
    move |cell, shared| {
        let concurrency = number(cell, "concurrency");
        let unique = cell.axes["history"] == "unique";
        let worth = match (unique, concurrency > 1.0) {
            (false, _) => 1.0,
            (true, false) => 4.0,
            (true, true) => high,
        };
        let ttft = 50e6 * concurrency * worth / shared;
        vec![
            ("throughput_per_s", concurrency / ttft * 1e9),
            ("finished_per_s", concurrency / ttft * 1e9),
            ("response_mean_ns", ttft),
            ("in_flight", concurrency),
            ("requests", 200.0),
            ("failed", 0.0),
            ("ttft_p50_ns", ttft),
            ("ttft_p99_ns", ttft * 2.0),
            ("hit_rate", if unique { 0.0 } else { 0.99 }),
            ("valid", 1.0),
        ]
    }
}

#[test]
fn what_load_makes_of_a_cache_is_said() {
    for (high, support, words) in [
        (1.0, Support::Supported, "load takes all of it"),
        (2.0, Support::Supported, "load takes some of it"),
        (4.0, Support::NotSupported, "load takes none of it"),
        (8.0, Support::NotSupported, "under load it is worth more"),
    ] {
        let results = analysed(planned("prefix-cache", &[]), true, cached(high));
        let finding = &only(&results).findings[0];
        assert!(finding.support == support && finding.sentence.contains(words), "{high}: {}", finding.sentence);
        assert!((point(&results.records, "interaction") - high / 4.0).abs() < 1e-3);
        assert!(results.records.iter().any(|record| record.metric == "hit_rate"));
    }
}

/// Ids take 20 ms alone and 120 ms at 20 at once. At low load messages take 6 ms more, text 4 and the sidecar 1; at high load so many times
/// as much.
fn taxed(times: f64) -> impl Fn(&Cell, f64) -> Vec<(&'static str, f64)> {
    move |cell, shared| {
        let concurrency = number(cell, "concurrency");
        let tax = match cell.axes["way"].as_str().unwrap() {
            "messages" => 6e6,
            "text" => 4e6,
            "sidecar" => 1e6,
            _ => 0.0,
        };
        let ttft = if concurrency > 1.0 { 120e6 + times * tax } else { 20e6 + tax } * shared;
        let mut readings = vec![
            ("throughput_per_s", concurrency / ttft * 1e9),
            ("finished_per_s", concurrency / ttft * 1e9),
            ("response_mean_ns", ttft),
            ("in_flight", concurrency),
            ("requests", 200.0),
            ("failed", 0.0),
            ("prompt_tokens", 4000.0),
            ("ttft_p50_ns", ttft),
            ("ttft_p99_ns", ttft * 2.0),
            ("hit_rate", 0.99),
            ("gate_requests", 4.0),
            ("gate_counts", 4.0),
            ("gate_texts", 4.0),
            ("valid", 1.0),
        ];
        if cell.axes["way"] == "sidecar" {
            readings.push(("sidecar_cpu_ns_per_request", 900e3));
        }
        readings
    }
}

/// The point of a metric of a way at a load.
fn of_way(results: &Results, metric: &str, way: &str, concurrency: f64) -> f64 {
    let is = |record: &&Record| {
        record.metric == metric
            && record.axes["way"] == way
            && record.axes["concurrency"].as_f64() == Some(concurrency)
            && !record.cell_id.ends_with("#twin")
    };
    let found: Vec<&Record> = results.records.iter().filter(is).collect();
    assert_eq!(found.len(), 1, "{metric} of {way} at {concurrency}");
    found[0].estimate.as_ref().unwrap().point
}

#[test]
fn what_preparation_costs_what_load_makes_of_it_and_what_a_sidecar_leaves() {
    let results = analysed(planned("sidecar", &[]), false, taxed(14.5));
    let near = |value: f64, truth: f64| assert!((value / truth - 1.0).abs() < 1e-3, "{value} for {truth}");
    near(of_way(&results, "tax", "messages", 1.0), 6e6);
    near(of_way(&results, "tax", "text", 1.0), 4e6);
    near(of_way(&results, "tax", "messages", 20.0), 87e6);
    near(of_way(&results, "tax_share", "messages", 1.0), 6.0 / 26.0);
    near(of_way(&results, "tax_multiplied", "messages", 20.0), 14.5);
    near(of_way(&results, "saved", "sidecar", 20.0), 72.5e6);
    near(of_way(&results, "tax_left", "sidecar", 1.0), 1.0 / 6.0);
    near(of_way(&results, "sidecar_cpu_per_request", "sidecar", 1.0), 900e3);
    let result = only(&results);
    let sentences: Vec<(&Support, &str)> =
        result.findings.iter().map(|finding| (&finding.support, finding.sentence.as_str())).collect();
    assert!(result.findings.iter().all(|finding| finding.support == Support::Supported), "{sentences:#?}");
    for (finding, parts) in result.findings.iter().zip([
        ["At 1 at once, the median TTFT of messages is 6.0", "23.08%"],
        ["At 20 at once, messages take 87.0", "queueing multiplies it"],
        ["At 1 at once, the sidecar takes 5.00 ms", "over ids it leaves 1.00"],
        ["At 20 at once, the sidecar takes 72.5 ms", "of the tax of messages"],
    ]) {
        assert!(parts.iter().all(|part| finding.sentence.contains(part)), "{}", finding.sentence);
    }
    assert!(result.findings[0].headline && result.findings.len() == 4);
    let table = &result.tables[0];
    assert!(table.rows.len() == 8 && table.rows.iter().all(|row| row.status == Status::Ok));
    assert!(
        table.notes.iter().any(|note| note.contains("prompt tokens and greedy answers agree")),
        "{:?}",
        table.notes
    );
    assert_eq!(result.figures[0].series.len(), 4);
    assert!(result.warnings.is_empty(), "{:?}", result.warnings);
}

#[test]
fn no_tax_is_no_finding_and_a_multiple_of_nothing_is_none() {
    let results = analysed(planned("sidecar", &[]), false, |cell, shared| {
        let mut readings = taxed(14.5)(cell, shared);
        for (name, value) in &mut readings {
            // Messages as fast as ids, but for noise of the runs on both sides of nothing.
            if *name == "ttft_p50_ns" && number(cell, "concurrency") == 1.0 {
                *value = 20e6 * shared * if cell.axes["way"] == "messages" { shared.powf(0.1) } else { 1.0 };
            }
        }
        readings
    });
    let findings = &only(&results).findings;
    assert!(findings[0].support == Support::NotSupported, "{}", findings[0].sentence);
    assert!(findings[0].sentence.contains("within the noise"), "{}", findings[0].sentence);
    assert!(findings[1].support == Support::Inconclusive, "{}", findings[1].sentence);
    assert!(findings[1].sentence.contains("would mean nothing"), "{}", findings[1].sentence);
}

#[test]
fn a_way_that_failed_the_gate_bears_no_finding() {
    let results = analysed_but(
        planned("sidecar", &[]),
        false,
        |cell| {
            (cell.axes["way"] == "messages").then_some((Status::Mismatch, "request 0: 4,013 prompt tokens as messages"))
        },
        taxed(14.5),
    );
    let result = only(&results);
    assert!(result.findings.is_empty(), "{:?}", result.findings);
    let of_messages: Vec<&Record> = results.records.iter().filter(|record| record.axes["way"] == "messages").collect();
    assert!(!of_messages.is_empty() && of_messages.iter().all(|record| record.status == Status::Mismatch));
    assert!(of_messages.iter().all(|record| record.error.as_ref().unwrap().contains("4,013")));
    // The others keep their tax over ids.
    let tax = of_way(&results, "tax", "sidecar", 1.0);
    assert!((tax / 1e6 - 1.0).abs() < 1e-3, "{tax}");
}

#[test]
fn ways_that_the_cache_served_unlike_are_noticed() {
    let results = analysed(planned("sidecar", &[]), false, |cell, shared| {
        let mut readings = taxed(14.5)(cell, shared);
        for (name, value) in &mut readings {
            if *name == "hit_rate" && cell.axes["way"] == "text" && number(cell, "concurrency") == 20.0 {
                *value = 0.5;
            }
        }
        readings
    });
    let warnings = &only(&results).warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("50.0%") && warnings[0].contains("way=text"), "{warnings:?}");
}

/// As with llama.cpp: it closes connections after a stream, and the sidecar does not.
#[test]
fn connections_that_only_some_ways_open_are_noticed() {
    let results = analysed(planned("sidecar", &[]), false, |cell, shared| {
        let mut readings = taxed(14.5)(cell, shared);
        readings.push(("single_use", if cell.axes["way"] == "sidecar" { 0.0 } else { 1.0 }));
        readings
    });
    let unlike: Vec<&String> =
        only(&results).warnings.iter().filter(|warning| warning.contains("this way does not")).collect();
    assert!(unlike.len() == 2 && unlike.iter().all(|warning| warning.contains("way=sidecar")), "{unlike:?}");
}

#[test]
fn the_largest_rate_and_the_replicas_for_a_demand() {
    let demand = [("demand_per_s", 100.0), ("replica_hour_price", 2.0)];
    let results = analysed(planned("max-rate", &demand), true, |_, shared| {
        vec![
            ("holds_per_s", 9.8 * shared),
            ("fails_per_s", 10.2 * shared),
            ("ttft_p99_ns", 4e8),
            ("tries", 9.0),
            ("valid", 1.0),
        ]
    });
    let rate = point(&results.records, "max_rate");
    assert!((rate - 10.0).abs() < 0.01, "{rate}");
    // The lower bound is a little below 9.8: eleven servers carry 100 a second.
    assert_eq!(point(&results.records, "replicas"), 11.0);
    let finding = &only(&results).findings[0];
    assert!(
        finding.support == Support::Supported && finding.sentence.contains("needs 11 of them"),
        "{}",
        finding.sentence
    );
    assert!(finding.sentence.contains("22") && finding.sentence.contains("USD an hour"), "{}", finding.sentence);
}

#[test]
fn a_level_that_never_holds_is_said_to_be_no_question_of_load() {
    let results = analysed(planned("max-rate", &[]), false, |_, _| vec![("fails_per_s", 0.1), ("valid", 1.0)]);
    let result = only(&results);
    assert!(result.findings[0].support == Support::Inconclusive);
    assert!(result.findings[0].sentence.contains("does not hold at 0.1"), "{}", result.findings[0].sentence);
    assert!(result.tables[0].rows[0].values[1].text.starts_with("below 0.1"), "{:?}", result.tables[0].rows[0]);
    assert!(!result.findings[0].sentence.contains("SIMULATED"));
}
