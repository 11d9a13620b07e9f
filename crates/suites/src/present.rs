//! Small parts that the tables, figures and sentences of all experiments are made of.

use std::collections::BTreeMap;

use benchstats::Verdict;
use record::command;
use record::results::{Axis, CellValue, Column, Estimate, ExperimentResult, Finding, Point, Support};
use serde_json::Value;

use super::AnalysisInput;
use record::format;

/// Axes of a cell.
pub type Axes = BTreeMap<String, Value>;

/// The part of a result that does not depend on the measurements.
pub fn outline(input: &AnalysisInput) -> ExperimentResult {
    let spec = input.spec;
    ExperimentResult {
        id: spec.id,
        name: spec.name.clone(),
        question: spec.question.clone(),
        better: spec.better.clone(),
        method: spec.method.clone(),
        threats: spec.threats.clone(),
        command: command::of_experiment(input.info, spec.id),
        findings: Vec::new(),
        tables: Vec::new(),
        figures: Vec::new(),
        warnings: Vec::new(),
    }
}

/// A finding without the headline mark.
pub fn finding(
    input: &AnalysisInput,
    support: Support,
    claim: String,
    sentence: String,
    cells: Vec<String>,
) -> Finding {
    Finding { experiment: input.settings.name.clone(), claim, support, sentence, cells, headline: false }
}

/// A whole number on an axis; 0 where it has none.
pub fn number(axes: &Axes, name: &str) -> u64 {
    axes.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// A word on an axis.
pub fn word<'a>(axes: &'a Axes, name: &str) -> &'a str {
    axes.get(name).and_then(Value::as_str).unwrap_or("")
}

/// `1,000 tokens in 3 turns`, or the dataset.
pub fn describe(axes: &Axes) -> String {
    if word(axes, "workload") == "dataset" {
        return "the dataset".to_owned();
    }
    let turns = number(axes, "turns");
    format!("{} tokens in {turns} {}", format::count(number(axes, "tokens")), if turns == 1 { "turn" } else { "turns" })
}

/// A part of a file name for a point.
pub fn slug(axes: &Axes) -> String {
    if word(axes, "workload") == "dataset" {
        return "dataset".to_owned();
    }
    format!("t{}-n{}", number(axes, "tokens"), number(axes, "turns"))
}

/// Each value of `items` once, in the order of their first appearance.
pub fn distinct<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut seen: Vec<T> = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

/// A table cell of text.
pub fn text(text: impl Into<String>) -> CellValue {
    CellValue { text: text.into(), sort: None }
}

/// A table cell of a figure, or the error that stands in its place.
pub fn figure(estimate: Option<&Estimate>, show: impl Fn(&Estimate) -> String, error: Option<&str>) -> CellValue {
    match estimate {
        Some(estimate) => CellValue { text: show(estimate), sort: Some(estimate.point) },
        None => text(error.unwrap_or("")),
    }
}

/// A column; the ones with the highest `drop` go first on a narrow terminal.
pub fn column(title: &str, numeric: bool, drop: u8) -> Column {
    Column { title: title.to_owned(), numeric, drop }
}

/// A numeric axis.
pub fn axis(label: &str, log: bool) -> Axis {
    Axis { label: label.to_owned(), log, categories: Vec::new() }
}

/// An axis of names.
pub fn categories(label: &str, names: Vec<String>) -> Axis {
    Axis { label: label.to_owned(), log: false, categories: names }
}

/// A point with its interval, in another unit.
pub fn point(x: f64, estimate: &Estimate, factor: f64) -> Point {
    Point {
        x,
        y: estimate.point * factor,
        lower: estimate.lower.map(|bound| bound * factor),
        upper: estimate.upper.map(|bound| bound * factor),
    }
}

/// Whether a ratio lies beyond a threshold: supported above it, not supported below it, else inconclusive.
pub fn above(estimate: &Estimate, threshold: f64) -> Support {
    match (estimate.lower, estimate.upper) {
        (Some(lower), _) if lower > threshold => Support::Supported,
        (_, Some(upper)) if upper < threshold => Support::NotSupported,
        _ => Support::Inconclusive,
    }
}

/// `1.23 ms ±2.1%`: the point and the larger relative half of its interval.
pub fn duration_pm(estimate: &Estimate) -> String {
    format!("{}{}", format::duration(estimate.point), plus_minus(estimate))
}

/// `1.87x ±3.0%`.
pub fn ratio_pm(estimate: &Estimate) -> String {
    format!("{}{}", format::ratio(estimate.point), plus_minus(estimate))
}

/// A serial fraction with its interval: `0.98 [0.95, 1.02]`; it is no share and can lie beyond 0 and 1.
pub fn fraction_ci(estimate: &Estimate) -> String {
    format::quantity_ci(estimate, "")
}

/// A judged ratio: bare where it is a difference, `=` inside the noise floor, `?` inconclusive.
pub fn ratio_verdict(estimate: &Estimate, verdict: Verdict) -> CellValue {
    let mark = match verdict {
        Verdict::Faster | Verdict::Slower => " ",
        Verdict::Equivalent => "=",
        Verdict::Inconclusive => "?",
    };
    CellValue { text: format!("{} {mark}", ratio_pm(estimate)), sort: Some(estimate.point) }
}

/// ` ±2.1%`: the larger relative half of the interval; nothing without one.
pub fn plus_minus(estimate: &Estimate) -> String {
    match (estimate.lower, estimate.upper) {
        (Some(lower), Some(upper)) if estimate.point != 0.0 => {
            let half = (upper - estimate.point).max(estimate.point - lower) / estimate.point.abs();
            // Beyond that a figure says no more than that nothing is known.
            let half = match half {
                _ if half >= 9.995 => ">999%".to_owned(),
                _ if half >= 0.0995 => format!("{:.0}%", half * 100.0),
                _ => format!("{:.1}%", half * 100.0),
            };
            format!(" ±{half}")
        }
        _ => String::new(),
    }
}
