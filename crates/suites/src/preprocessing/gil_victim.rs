//! How late a thread or an event loop is beside work.

use std::collections::BTreeMap;

use record::plan::Cell;
use record::results::{Estimate, Figure, FigureKind, Finding, Row, Series, Status, Support, Table};

use super::rows::{self, Rows};
use super::stacks;
use crate::AnalysisInput;
use crate::present::{self, column, finding, number, text, word};
use record::format;

/// Where a victim's neighbours work.
pub(super) const PLACES: [(&str, &str, bool); 4] = [
    ("alone", "alone", false),
    ("parked", "threads", true),
    ("in process", "threads", false),
    ("other process", "process", false),
];
/// CPython's own `sys.getswitchinterval()`, µs.
pub(super) const DEFAULT_SWITCH_US: u32 = 5000;

/// One victim beside one kind of work: lateness by place.
pub(super) struct Victim<'a> {
    cells: BTreeMap<&'static str, &'a Cell>,
    label: String,
    /// Run to mean net lateness, ns, by place.
    lag: BTreeMap<&'static str, BTreeMap<u32, f64>>,
}

impl Victim<'_> {
    /// In this process less in another one, ns: what the GIL costs net of the CPU.
    fn cost(&self) -> Option<Estimate> {
        self.difference("in process", "other process")
    }

    fn difference(&self, place: &str, base: &str) -> Option<Estimate> {
        let base = self.lag.get(base)?;
        let differences: Vec<f64> =
            self.lag.get(place)?.iter().filter_map(|(run, lag)| base.get(run).map(|base| lag - base)).collect();
        rows::linear_estimate(&differences, differences.len() as u32)
            .map(|estimate| Estimate { method: "paired-t".to_owned(), ..estimate })
    }

    fn subject(&self) -> &str {
        self.cells.values().next().map_or("", |cell| cell.subject.as_str())
    }

    fn at(&self, place: &str) -> Option<Estimate> {
        let values = rows::values(self.lag.get(place)?);
        rows::linear_estimate(&values, values.len() as u32)
    }
}

pub(super) fn victims<'a>(input: &'a AnalysisInput) -> Vec<Victim<'a>> {
    let cells: Vec<&Cell> = input.cells().filter(|cell| cell.op.name == "victim").collect();
    let point = |cell: &Cell| {
        let mut axes = cell.axes.clone();
        axes.remove("where");
        (cell.subject.clone(), cell.op.engine.clone(), cell.op.call_path.clone(), axes)
    };
    present::distinct(cells.iter().map(|cell| point(cell)))
        .into_iter()
        .map(|of| {
            let own: Vec<&Cell> = cells.iter().copied().filter(|cell| point(cell) == of).collect();
            let by_place: BTreeMap<&'static str, &Cell> = PLACES
                .iter()
                .filter_map(|(name, ..)| Some((*name, *own.iter().find(|cell| word(&cell.axes, "where") == *name)?)))
                .collect();
            let lag = by_place
                .iter()
                .map(|(name, cell)| (*name, input.measurements.stage_values(&cell.id, "lag_net_mean_ns")))
                .collect();
            let (_, engine, call_path, axes) = &of;
            let workers = number(axes, "workers");
            let interval = number(axes, "switch_us");
            let more = if interval == u64::from(DEFAULT_SWITCH_US) {
                String::new()
            } else {
                format!(", switch {interval} µs")
            };
            Victim {
                cells: by_place,
                label: format!("{} beside {} ×{workers}{more}", word(axes, "victim"), stacks::label(engine, call_path)),
                lag,
            }
        })
        .collect()
}

pub(super) fn victim_table(rows: &mut Rows, victims: &[Victim]) -> Table {
    let mut body = Vec::new();
    for victim in victims {
        let mut status = Status::Ok;
        let mut error = None;
        for (place, cell) in &victim.cells {
            let record = rows.push(cell, "victim", "lag_net_mean", "ns", victim.at(place));
            if record.status != Status::Ok {
                (status, error) = (record.status, record.error.clone());
            }
        }
        let cost = victim.cost();
        if let Some(cell) = victim.cells.get("in process") {
            rows.push(cell, "victim", "gil_lag", "ns", cost.clone());
            rows.push(cell, "victim", "parked_lag", "ns", victim.difference("parked", "alone"));
        }
        let at = |place: &str, error: Option<&str>| {
            present::figure(victim.at(place).as_ref(), |lag| format::duration(lag.point), error)
        };
        body.push(Row {
            values: vec![
                text(victim.label.clone()),
                at("alone", error.as_deref()),
                at("parked", None),
                at("other process", None),
                at("in process", None),
                present::figure(cost.as_ref(), difference_pm, None),
            ],
            status,
            group: victim.subject().to_owned(),
        });
    }
    Table {
        id: "gil-cost-victim".to_owned(),
        title: "How late a thread or an event loop is beside work".to_owned(),
        columns: vec![
            column("victim", false, 0),
            column("alone", true, 2),
            column("parked", true, 3),
            column("other proc.", true, 1),
            column("in process", true, 0),
            column("GIL", true, 0),
        ],
        rows: body,
        notes: vec![
            "Mean lateness of a 2 ms beat, net of waiting for a CPU. GIL: in this process less the same threads in another process, paired within runs.".to_owned(),
            "parked: the threads are there and do nothing (A/A). probe.hold-2ms: a hold of 2 ms that was planted.".to_owned(),
        ],
    }
}

fn difference_pm(difference: &Estimate) -> String {
    match (difference.lower, difference.upper) {
        (Some(lower), Some(upper)) => {
            format!("{} ±{}", format::duration(difference.point), format::duration((upper - lower) / 2.0))
        }
        _ => format::duration(difference.point),
    }
}

pub(super) fn victim_figure(victims: &[Victim]) -> Option<Figure> {
    let shown: Vec<&Victim> = victims.iter().filter(|victim| victim.at("in process").is_some()).collect();
    let subjects = present::distinct(shown.iter().map(|victim| victim.subject().to_owned()));
    let label = |victim: &&Victim| match subjects.as_slice() {
        [_] => victim.label.clone(),
        _ => format!("{}: {}", victim.subject(), victim.label),
    };
    let series: Vec<Series> = ["alone", "other process", "in process"]
        .into_iter()
        .map(|place| Series {
            name: place.to_owned(),
            points: shown
                .iter()
                .enumerate()
                .filter_map(|(index, victim)| {
                    let lag = victim.at(place).filter(|lag| lag.point > 0.0)?;
                    // A mean of lateness is not below zero, whatever its interval says; the axis is logarithmic.
                    let lower = lag.lower.filter(|lower| *lower > 0.0);
                    Some(present::point(index as f64, &Estimate { lower, upper: lower.and(lag.upper), ..lag }, 1e-6))
                })
                .collect(),
            reference: place == "alone",
        })
        .filter(|series| !series.points.is_empty())
        .collect();
    (!series.is_empty()).then(|| Figure {
        id: "gil-cost-victim".to_owned(),
        title: "Lateness of a 2 ms beat beside work".to_owned(),
        kind: FigureKind::GroupedBars,
        x: present::categories("victim", shown.iter().map(label).collect()),
        y: present::axis("mean lateness net of waiting for a CPU (ms)", true),
        series,
        caption: "Mean across runs with 95% intervals. The same threads work in this process and in another one: what is between the two bars is the GIL's.".to_owned(),
    })
}

/// What the GIL does to each victim. What was planted calibrates the probe and finds nothing.
pub(super) fn victim_findings(input: &AnalysisInput, victims: &[Victim]) -> Vec<Finding> {
    let several = input.subjects().iter().filter(|subject| *subject != "native").count() > 1;
    let mut findings = Vec::new();
    for victim in victims.iter().filter(|victim| victim.cells.values().all(|cell| cell.op.engine != "probe")) {
        let Some(cost) = victim.cost() else { continue };
        let support = present::above(&cost, 0.0);
        let words = match support {
            Support::Supported => "waits longer",
            Support::NotSupported | Support::Inconclusive => "waits no longer, as far as this machine can show,",
        };
        let cells: Vec<String> = victim.cells.values().map(|cell| cell.id.clone()).collect();
        let place = if several { format!(" ({})", victim.subject()) } else { String::new() };
        findings.push(finding(
            input,
            support,
            format!("the GIL delays the {}", victim.label),
            format!(
                "The {}{place} {words} when that work is in its own process: the GIL's part is {} a beat in the mean.",
                victim.label,
                difference_pm(&cost)
            ),
            cells,
        ));
    }
    findings
}
