//! What the head of a report says of the machine and the run.

use std::collections::BTreeSet;

use record::results::{Fact, FactVerdict, Results, RunInfo, Status};

use super::text;
use record::format;

/// A title and a value for the banner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub title: String,
    pub value: String,
    pub verdict: FactVerdict,
    pub remedy: Option<String>,
}

/// Facts that the banner shows when they are known, by the beginning of their key, in this order. All facts are in the
/// full list below it.
const BANNER: [&str; 17] = [
    "cpu.model",
    "cpu.cores",
    "cpu.effective",
    "cgroup.cpu.quota",
    "cpu.governor",
    "cpu.turbo",
    "cpu.virtualization",
    "cpu.busy",
    "load",
    "pressure.cpu",
    "cpu.steal",
    "memory.total",
    "memory.available",
    "gpu",
    "os.kernel",
    "os.container",
    "clock.source",
];

/// The banner: the run, the facts of the machine that matter most, the interpreters, the noise floor.
pub fn banner(results: &Results, run: &RunInfo) -> Vec<Item> {
    let mut items = vec![
        info("Run", format!("{} ({}, seed {})", run.run_id, run.plan.profile, run.plan.seed)),
        info("Model", format!("{} (sha256 {})", run.plan.model.name, short(&run.plan.model.sha256))),
        info("Runs", runs(results, run)),
    ];
    if let Some(floor) = noise_floor(results) {
        items.push(info("Noise floor", floor));
    }
    let mut shown = BTreeSet::new();
    for prefix in BANNER {
        for fact in &run.machine {
            let key_matches =
                fact.key == prefix || fact.key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'));
            if key_matches && !is_spoiling(fact) && shown.insert(fact.key.as_str()) {
                items.push(item(fact));
            }
        }
    }
    for (id, ready) in &run.subjects {
        let versions: Vec<String> = ready.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        let gil = match ready.gil.as_str() {
            "" | "none" => String::new(),
            state => format!(", GIL {state}"),
        };
        let with = if versions.is_empty() { String::new() } else { format!("; {}", versions.join(", ")) };
        items.push(info(&format!("Subject {id}"), format!("{}{gil}{with}", ready.interpreter)));
    }
    items
}

/// Facts that spoil figures; they stand before everything else.
pub fn spoiling(run: &RunInfo) -> Vec<Item> {
    run.machine.iter().filter(|f| is_spoiling(f)).map(item).collect()
}

/// Every fact, in the order of the run folder.
pub fn all_facts(run: &RunInfo) -> Vec<Item> {
    run.machine.iter().map(item).collect()
}

/// How many runs the figures rest on, and why no more were made.
pub fn runs(results: &Results, run: &RunInfo) -> String {
    let made = results.records.iter().filter_map(|r| r.estimate.as_ref()).map(|e| e.runs).max();
    let why = match run.stopped.as_deref() {
        Some("target") => "stopped because the intervals were as narrow as asked for".to_owned(),
        Some("budget") => "stopped because the time budget was used up".to_owned(),
        Some("runs") => "all that were planned".to_owned(),
        Some("interrupted") => "interrupted; what was measured is kept".to_owned(),
        Some(other) => format!("stopped: {}", text::one_line(other)),
        None => "not finished".to_owned(),
    };
    let wall: Vec<String> = run
        .wall_s
        .iter()
        .map(|(name, value)| {
            let name = text::one_line(name).replace('_', " ");
            // A share is no time although it stands beside them.
            if name.contains("share") {
                format!("{name} {}", format::percent(*value))
            } else {
                format!("{name} {}", format::duration(value * 1e9))
            }
        })
        .collect();
    let wall = if wall.is_empty() { String::new() } else { format!(" ({})", wall.join(", ")) };
    // A page of advice has no estimates of its own.
    made.map_or_else(|| format!("{why}{wall}"), |made| format!("{made}, {why}{wall}"))
}

/// The noise floors of each experiment, from records with the metric `noise_floor`: shares of ratios, and differences in their unit. An
/// experiment with several (of points, of loads) has the least and the largest of each kind.
fn noise_floor(results: &Results) -> Option<String> {
    let mut floors: Vec<(&str, bool, f64, f64)> = Vec::new();
    for record in results.records.iter().filter(|r| r.metric == "noise_floor" && r.status == Status::Ok) {
        let Some(floor) = record.estimate.as_ref().map(|estimate| estimate.point) else { continue };
        let (name, is_time) = (record.experiment.as_str(), record.unit == "ns");
        match floors.iter_mut().find(|(of, kind, ..)| (*of, *kind) == (name, is_time)) {
            Some((_, _, least, most)) => (*least, *most) = (least.min(floor), most.max(floor)),
            None => floors.push((name, is_time, floor, floor)),
        }
    }
    let words = |(name, is_time, least, most): &(&str, bool, f64, f64)| {
        let show = |floor: f64| if *is_time { format::duration(floor) } else { format::percent(floor) };
        let (least, most) = (show(*least), show(*most));
        if least == most { format!("{name} ±{least}") } else { format!("{name} ±{least} to ±{most}") }
    };
    (!floors.is_empty()).then(|| floors.iter().map(words).collect::<Vec<_>>().join(", "))
}

fn is_spoiling(fact: &Fact) -> bool {
    matches!(fact.verdict, FactVerdict::Warn | FactVerdict::Bad)
}

fn item(fact: &Fact) -> Item {
    Item {
        title: text::one_line(&fact.title),
        value: text::one_line(&fact.value),
        verdict: fact.verdict,
        remedy: fact.remedy.as_deref().map(text::one_line),
    }
}

fn info(title: &str, value: String) -> Item {
    Item { title: text::one_line(title), value: text::one_line(&value), verdict: FactVerdict::Info, remedy: None }
}

/// The first twelve digits of a hash.
pub fn short(sha256: &str) -> String {
    sha256.chars().take(12).collect()
}
