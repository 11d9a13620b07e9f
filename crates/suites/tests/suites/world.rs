//! Plans as the command line makes them, and measurements whose truth a test plants.

use std::collections::BTreeMap;

use record::measurements::Measurements;
use record::plan::{Cell, ModelIdentity, Plan, SubjectSpec};
use record::protocol::{Ready, Sample};
use record::results::{ExperimentResult, Record, Results, RunInfo, Status};
use record::samples::Event;
use suites::analysis;
use suites::axes::{AxisValue, parse_list};
use suites::planning::{Ingredients, plan};
use suites::settings::{ExperimentSettings, PlanContext, PlannedSubject};

pub const RUNS: u32 = 5;

/// What is true of a cell in a run.
pub enum Truth {
    Readings(Vec<(&'static str, f64)>),
    /// The time of a call, ns.
    Time(f64),
    /// The cell was dropped before the first run.
    Dropped(Status, &'static str),
    /// It failed in this run.
    Failed(&'static str),
}

/// What a run shares: some are 1% faster.
pub fn shared(run: u32) -> f64 {
    1.0 + 0.01 * (f64::from(run) - 2.0) / 2.0
}

fn subject(id: &str, serves: &str) -> PlannedSubject {
    PlannedSubject {
        id: id.into(),
        kind: if id.starts_with("native") { "native" } else { "python" }.into(),
        torch: false,
        free_threaded: false,
        serves: serves.into(),
        variant_of: String::new(),
    }
}

/// The plan of one experiment, as `--quick` makes it with these axes (`1,2`) and parameters.
pub fn planned(suite: &str, experiment: &str, axes: &[(&str, &str)], params: &[(&str, f64)]) -> Plan {
    let suite = suites::find(suite).unwrap();
    let spec = suite.spec();
    let of = spec.select(&[experiment.to_owned()]).unwrap()[0];
    let mut settings = ExperimentSettings::layered(of, &[&of.quick]);
    settings.params.extend(params.iter().map(|(name, value)| ((*name).to_owned(), *value)));
    for (name, values) in axes {
        let words = || values.split(',').map(|word| AxisValue::Text(word.to_owned())).collect();
        settings.axes.insert((*name).to_owned(), parse_list(values).unwrap_or_else(|_| words()));
    }
    let serving = spec.name == "serving";
    let context = PlanContext {
        subjects: if serving { Vec::new() } else { vec![subject("native", ""), subject("python", "")] },
        drivers: match serving {
            true => vec![subject("mock", "model")],
            false => vec![subject("native-serve", "native"), subject("python-serve", "python")],
        },
        variants: Vec::new(),
        cores: 2,
        tiktoken: true,
        workload: "words".into(),
    };
    let subjects = context.subjects.iter().chain(&context.drivers).map(|subject| SubjectSpec {
        id: subject.id.clone(),
        kind: subject.kind.clone(),
        program: "llmbench".into(),
        args: Vec::new(),
        env: BTreeMap::new(),
        lock: None,
        unavailable: None,
    });
    let ingredients = Ingredients {
        profile_name: "quick",
        profile: &spec.quick,
        settings: &[settings],
        context: &context,
        model: ModelIdentity { name: "built-in".into(), sha256: "9f".repeat(32) },
        subjects: subjects.collect(),
        seed: 1,
        timestamp: 0,
        facts: BTreeMap::new(),
    };
    plan(suite.as_ref(), ingredients).unwrap()
}

/// Five runs in which each cell showed what is true of it.
pub fn measured(plan: &Plan, truth: impl Fn(&Cell, u32) -> Truth) -> Measurements {
    let mut events = Vec::new();
    for cell in &plan.cells {
        if let Truth::Dropped(status, message) = truth(cell, 0) {
            events.push(Event::Cell { cell_id: cell.id.clone(), run: None, status, message: message.to_owned() });
        }
    }
    for run in 0..RUNS {
        events.push(Event::RunStart { run });
        for cell in &plan.cells {
            let sample = Sample { cell_id: cell.id.clone(), start_ns: 1, ..Sample::default() };
            let sample = match truth(cell, run) {
                Truth::Dropped(..) => continue,
                Truth::Failed(message) => {
                    let (status, message) = (Status::Timeout, message.to_owned());
                    events.push(Event::Cell { cell_id: cell.id.clone(), run: Some(run), status, message });
                    continue;
                }
                Truth::Time(ns) => Sample { end_ns: 1 + (1000.0 * ns) as u64, calls: 1000, ..sample },
                Truth::Readings(readings) => {
                    let readings: BTreeMap<String, f64> =
                        readings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                    let throughput = readings.get("throughput_per_s").copied().unwrap_or(1.0);
                    Sample { end_ns: 1 + (1000.0 / throughput * 1e9) as u64, calls: 1000, readings, ..sample }
                }
            };
            events.push(Event::Sample { run, sample });
        }
        events.push(Event::RunComplete { run, wall_ns: 10_000_000, busy_ns: 9_000_000 });
    }
    Measurements::of_events(plan.cells.iter().map(|cell| cell.id.clone()), events).unwrap()
}

/// What the suite says of them.
pub fn analysed(plan: Plan, simulated: bool, truth: impl Fn(&Cell, u32) -> Truth) -> Results {
    let measurements = measured(&plan, truth);
    let suite = suites::find(&plan.suite).unwrap();
    let ready = |simulated: bool| Ready {
        build: BTreeMap::from([("simulated".to_owned(), simulated.to_string())]),
        gil: "none".into(),
        ..Ready::default()
    };
    let subjects = plan.subjects.iter().map(|subject| (subject.id.clone(), ready(simulated))).collect();
    let info = RunInfo {
        schema: record::SCHEMA,
        run_id: "20261124T035745Z-made-up-1f0c9a7e".into(),
        llmbench: "0.1.0".into(),
        binary_sha256: "ab12".repeat(16),
        started: "2026-11-24T03:57:45Z".into(),
        command: Vec::new(),
        options: serde_json::Value::Null,
        plan_sha256: "1f0c9a7e".repeat(8),
        plan,
        loops: BTreeMap::new(),
        workload_sha256: BTreeMap::new(),
        subjects,
        machine: Vec::new(),
        boot_id: None,
        stopped: Some("runs".into()),
        wall_s: BTreeMap::new(),
        warnings: Vec::new(),
    };
    analysis::analyse(suite.as_ref(), &info, &measurements)
}

pub fn number(cell: &Cell, axis: &str) -> f64 {
    cell.axes.get(axis).and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN)
}

pub fn only(results: &Results) -> &ExperimentResult {
    assert_eq!(results.experiments.len(), 1);
    &results.experiments[0]
}

pub fn point(records: &[Record], metric: &str) -> f64 {
    let found: Vec<&Record> = records.iter().filter(|record| record.metric == metric).collect();
    assert_eq!(found.len(), 1, "{metric}");
    found[0].estimate.as_ref().unwrap().point
}

/// Up to so much to either side, a function of what is measured and when.
pub fn noise(cell: &str, run: u32, half: f64) -> f64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in cell.bytes().chain(run.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    let unit = ((hash >> 40) as f64) / f64::from(1_u32 << 24);
    (2.0 * half * (unit - 0.5)).exp()
}
