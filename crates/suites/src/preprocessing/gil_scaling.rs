//! 4 gil-scaling: which call paths get faster with more threads, and which does the GIL keep at one core?

use std::collections::BTreeMap;

use benchstats::Interval;
use benchstats::scaling::{self, Scaling};
use record::plan::WorkloadSpec;
use record::plan::{Cell, Plan, Timing};
use record::results::{
    Estimate, ExperimentResult, Figure, FigureKind, Finding, Point, Record, Row, Series, Status, Support, Table,
};
use serde_json::Value;

use super::cells::{self, Draft};
use super::rows::{self, Rows};
use super::stacks;
use crate::present::{self, Axes, column, finding, number, text};
use crate::settings::{ExperimentSettings, PlanContext};
use crate::{AnalysisInput, Experiment};
use record::format;

/// The experiment.
pub struct GilScaling;

impl Experiment for GilScaling {
    fn name(&self) -> &'static str {
        "gil-scaling"
    }

    fn workloads(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<WorkloadSpec>, String> {
        cells::workloads(context, settings)
    }

    fn cells(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<Cell>, String> {
        let window_ns = (settings.param("window_ms").unwrap_or(200.0) * 1e6) as u64;
        // One thread is what every other count is compared with.
        let mut threads = settings.numbers("threads", context.cores)?;
        if !threads.contains(&1) {
            threads.insert(0, 1);
        }
        let mut cells: Vec<Cell> = Vec::new();
        for (axes, workload) in &cells::points(context, settings)? {
            for subject in &context.subjects {
                let paths = stacks::call_paths(&subject.kind, context.tiktoken, false);
                for path in paths.into_iter().filter(|path| path.op == "template" || path.op == "tokenize") {
                    for threads in &threads {
                        let mut axes = axes.clone();
                        axes.insert("threads".to_owned(), Value::from(*threads));
                        let cell = cells::cell(
                            settings,
                            Draft {
                                subject,
                                op: path.op(*threads),
                                timing: Timing::Window { window_ns },
                                strategy: "threads",
                                axes,
                                workload,
                                reference: path.reference,
                                beside: path.op.to_owned(),
                                varied: &["threads"],
                            },
                        );
                        if context.baseline() == Some(subject) && cells.iter().all(|cell| cell.twin_of.is_none()) {
                            cells.push(cells::twin(&cell));
                        }
                        cells.push(cell);
                    }
                }
            }
        }
        Ok(cells)
    }

    /// Every thread count against one thread of the same call path.
    fn comparisons(&self, plan: &Plan) -> Vec<(String, String)> {
        let cells: Vec<&Cell> =
            plan.cells.iter().filter(|cell| cell.experiment == self.name() && cell.twin_of.is_none()).collect();
        cells
            .iter()
            .filter(|cell| cell.op.threads > 1)
            .filter_map(|cell| {
                let one = cells.iter().find(|one| one.op.threads == 1 && same_path(one, cell))?;
                Some((cell.id.clone(), one.id.clone()))
            })
            .collect()
    }

    fn analyse(&self, input: &AnalysisInput) -> (ExperimentResult, Vec<Record>) {
        let mut rows = Rows::new(input);
        let mut result = present::outline(input);
        let curves = curves(input, &rows);
        result.findings = curves
            .iter()
            .filter(|curve| curve.kind == "python")
            .filter_map(|curve| curve_finding(input, curve))
            .collect();
        result.findings.splice(0..0, summary_finding(input, &curves));
        if let Some(first) = result.findings.first_mut() {
            first.headline = true;
        }
        result.tables = vec![table(input, &mut rows, &curves)];
        result.figures = ["template", "tokenize"].iter().filter_map(|op| figure(input, &curves, op)).collect();
        result.warnings = rows.warnings(&input.cells().filter(|cell| cell.op.threads == 1).collect::<Vec<_>>());
        if input.effective_cores() < 2 {
            result.warnings.push(
                "One effective core: nothing can be said about scaling here; run on a machine with more cores."
                    .to_owned(),
            );
        }
        (result, rows.records)
    }
}

fn same_path(a: &Cell, b: &Cell) -> bool {
    let point = |axes: &Axes| -> Axes {
        axes.iter().filter(|(name, _)| *name != "threads").map(|(n, v)| (n.clone(), v.clone())).collect()
    };
    a.subject == b.subject
        && a.op.engine == b.op.engine
        && a.op.call_path == b.op.call_path
        && a.op.name == b.op.name
        && point(&a.axes) == point(&b.axes)
}

/// The speed-ups of one call path in one subject.
struct Curve {
    kind: String,
    label: String,
    op: String,
    cells: Vec<Cell>,
    /// Threads to speed-up over one thread.
    speedups: BTreeMap<u32, Estimate>,
    /// At all effective cores: speed-up over the control's speed-up.
    over_control: Option<Estimate>,
    /// It is what the others are held against.
    is_control: bool,
    /// At all effective cores; none where there is nothing to judge (one core, no measurement).
    verdict: Option<Scaling>,
    /// At all effective cores: Karp-Flatt's serial fraction.
    serial_fraction: Option<Estimate>,
    status: Status,
    error: Option<String>,
}

fn curves(input: &AnalysisInput, rows: &Rows) -> Vec<Curve> {
    let cores = input.effective_cores();
    let mut curves = Vec::new();
    for subject in input.subjects() {
        // What was not checked keeps its rate in the table, but no speed-up or verdict is made of it.
        let ones: Vec<&Cell> = input
            .cells()
            .filter(|cell| cell.subject == subject && cell.twin_of.is_none() && cell.op.threads == 1)
            .collect();
        for one in ones {
            let kind = input
                .plan
                .subjects
                .iter()
                .find(|spec| spec.id == subject)
                .map_or(String::new(), |spec| spec.kind.clone());
            let cells: Vec<Cell> =
                input.cells().filter(|cell| cell.twin_of.is_none() && same_path(cell, one)).cloned().collect();
            let speedup_values = |threads: u32| speedup_by_run(input, rows, &cells, threads);
            let mut speedups = BTreeMap::new();
            for cell in &cells {
                let values = rows::values(&speedup_values(cell.op.threads));
                if let Some(estimate) = rows::log_estimate(&values, rows.samples(&cell.id)) {
                    speedups.insert(cell.op.threads, Estimate { method: "paired-log-t".to_owned(), ..estimate });
                }
            }
            let samples = rows.samples(&one.id);
            let over_control = control(input, one).and_then(|control| {
                let of_control = speedup_by_run(input, rows, &control, cores);
                rows::ratio_estimate(&speedup_values(cores), &of_control, samples)
            });
            let at_cores = speedups.get(&cores).filter(|_| cores > 1 && rows.rankable(&one.id));
            let verdict = at_cores
                .and_then(interval)
                .map(|s| scaling::judge_scaling(&s, over_control.as_ref().and_then(interval).as_ref()));
            let serial_fraction =
                at_cores.and_then(interval).and_then(|s| scaling::karp_flatt(&s, cores).ok()).map(|fraction| {
                    rows::estimate(&fraction, "karp-flatt", rows::values(&speedup_values(cores)).len(), samples)
                });
            curves.push(Curve {
                kind,
                label: format!("{} ({subject})", stacks::label(&one.op.engine, &one.op.call_path)),
                op: one.op.name.clone(),
                speedups,
                over_control,
                is_control: is_control(one),
                verdict,
                serial_fraction,
                status: input.measurements.status(&one.id),
                error: input.error(&one.id),
                cells,
            });
        }
    }
    curves
}

/// rate(n)/rate(1) in each run, paired round by round.
fn speedup_by_run(input: &AnalysisInput, rows: &Rows, cells: &[Cell], threads: u32) -> BTreeMap<u32, f64> {
    let at = |threads: u32| cells.iter().find(|cell| cell.op.threads == threads && rows.rankable(&cell.id));
    let (Some(one), Some(many)) = (at(1), at(threads)) else { return BTreeMap::new() };
    input.measurements.ratios(&one.id, &many.id)
}

/// The Rust engine of the same operation: what the cores of this machine can give. None for a control itself.
fn control(input: &AnalysisInput, cell: &Cell) -> Option<Vec<Cell>> {
    if is_control(cell) {
        return None;
    }
    let of_cell = |other: &&Cell| other.op.name == cell.op.name && is_control(other) && other.twin_of.is_none();
    let cells: Vec<Cell> = input.cells().filter(of_cell).cloned().collect();
    (!cells.is_empty()).then_some(cells)
}

fn is_control(cell: &Cell) -> bool {
    cell.subject == "native" && control_path(&cell.op.name) == Some((&cell.op.engine, &cell.op.call_path))
}

fn control_path(op: &str) -> Option<(&'static str, &'static str)> {
    match op {
        "template" => Some((stacks::NATIVE.template.engine, stacks::NATIVE.template.call_path)),
        "tokenize" => Some((stacks::NATIVE.tokenize.engine, stacks::NATIVE.tokenize.call_path)),
        _ => None,
    }
}

fn interval(estimate: &Estimate) -> Option<Interval> {
    Some(Interval { point: estimate.point, lower: estimate.lower?, upper: estimate.upper?, level: estimate.level })
}

fn curve_finding(input: &AnalysisInput, curve: &Curve) -> Option<Finding> {
    let cores = input.effective_cores();
    let speedup = format::ratio_ci(curve.speedups.get(&cores)?);
    let (support, verb) = match curve.verdict? {
        Scaling::Scales => (Support::Supported, "scales"),
        Scaling::DoesNotScale => (Support::NotSupported, "does not scale"),
        Scaling::Inconclusive => (Support::Inconclusive, "inconclusive"),
    };
    let control = curve
        .over_control
        .as_ref()
        .map_or_else(String::new, |ratio| format!(", {} of the Rust control's speed-up", format::ratio_ci(ratio)));
    let serial = curve
        .serial_fraction
        .as_ref()
        .map_or_else(String::new, |fraction| format!("; serial fraction {}", present::fraction_ci(fraction)));
    let sentence =
        format!("{}: {verb}: {speedup} with {cores} threads on {cores} cores{control}{serial}.", curve.label);
    Some(finding(
        input,
        support,
        format!("{} scales over threads", curve.label),
        sentence,
        curve.cells.iter().map(|cell| cell.id.clone()).collect(),
    ))
}

/// The Python call paths by verdict, in one sentence.
fn summary_finding(input: &AnalysisInput, curves: &[Curve]) -> Option<Finding> {
    let cores = input.effective_cores();
    let of = |verdict: Scaling| -> Vec<String> {
        curves
            .iter()
            .filter(|curve| curve.kind == "python" && curve.verdict == Some(verdict))
            .map(|curve| curve.label.clone())
            .collect()
    };
    let (scales, does_not, unclear) = (of(Scaling::Scales), of(Scaling::DoesNotScale), of(Scaling::Inconclusive));
    let judged = scales.len() + does_not.len() + unclear.len();
    if judged == 0 {
        return None;
    }
    let part = |what: &str, names: &[String]| (!names.is_empty()).then(|| format!("{what}: {}", names.join(", ")));
    let parts: Vec<String> = [part("scale", &scales), part("do not scale", &does_not), part("inconclusive", &unclear)]
        .into_iter()
        .flatten()
        .collect();
    let support = match (scales.is_empty(), does_not.is_empty()) {
        (false, false) => Support::Supported,
        (true, false) | (false, true) if unclear.is_empty() => Support::NotSupported,
        _ => Support::Inconclusive,
    };
    let sentence = format!("Of {judged} Python call paths on {cores} cores, {}.", parts.join("; "));
    let cells = curves
        .iter()
        .filter(|curve| curve.kind == "python")
        .flat_map(|curve| curve.cells.iter().map(|cell| cell.id.clone()))
        .collect();
    Some(finding(input, support, "call paths differ in whether threads speed them up".to_owned(), sentence, cells))
}

fn table(input: &AnalysisInput, rows: &mut Rows, curves: &[Curve]) -> Table {
    let cores = input.effective_cores();
    let threads = present::distinct(curves.iter().flat_map(|curve| curve.cells.iter().map(|cell| cell.op.threads)));
    let more: Vec<u32> = threads.iter().copied().filter(|threads| *threads > 1).collect();
    let mut body = Vec::new();
    for curve in curves {
        for cell in &curve.cells {
            let rate = rows.time(cell).map(|time| rows::inverse_of(1e9, &time));
            rows.push(cell, &curve.op, "throughput", "calls/s", rate);
            if let Some(speedup) = curve.speedups.get(&cell.op.threads).filter(|_| cell.op.threads > 1) {
                let one = curve.cells.iter().find(|cell| cell.op.threads == 1).map(|cell| cell.id.clone());
                let record = rows.push(cell, &curve.op, "speedup", "1", Some(speedup.clone()));
                record.baseline_cell_id = one;
                if cell.op.threads == cores {
                    record.verdict = curve.verdict.map(|verdict| verdict.as_str().to_owned());
                    if let Some(fraction) = &curve.serial_fraction {
                        rows.push(cell, &curve.op, "serial_fraction", "1", Some(fraction.clone()));
                    }
                    if let Some(ratio) = &curve.over_control {
                        rows.push(cell, &curve.op, "speedup_over_control", "1", Some(ratio.clone()));
                    }
                }
            }
        }
        let one = curve.cells.iter().find(|cell| cell.op.threads == 1);
        let rate = one.and_then(|cell| rows.time(cell)).map(|time| rows::inverse_of(1e9, &time));
        let mut values = vec![
            text(curve.label.clone()),
            present::figure(rate.as_ref(), |rate| format::significant(rate.point, 3), curve.error.as_deref()),
        ];
        values.extend(more.iter().map(|threads| present::figure(curve.speedups.get(threads), present::ratio_pm, None)));
        values.push(text(curve.verdict.map_or("", |verdict| match verdict {
            Scaling::Scales => "scales",
            Scaling::DoesNotScale => "does not",
            Scaling::Inconclusive if curve.is_control => "control",
            Scaling::Inconclusive => "?",
        })));
        values.push(present::figure(curve.serial_fraction.as_ref(), present::fraction_ci, None));
        values.push(present::figure(curve.over_control.as_ref(), present::ratio_pm, None));
        body.push(Row { values, status: curve.status, group: curve.op.clone() });
    }
    let mut columns = vec![column("call path", false, 0), column("calls/s at 1", true, 0)];
    columns.extend(more.iter().map(|threads| column(&format!("{threads} thr."), true, u8::from(*threads != cores))));
    columns.extend([column("scales?", false, 0), column("serial fraction", true, 2), column("S/control", true, 1)]);
    let point = input.cells().next().map(|cell| present::describe(&cell.axes)).unwrap_or_default();
    Table {
        id: "gil-scaling".to_owned(),
        title: format!("Speed-up over threads, {point}, {cores} effective cores"),
        columns,
        rows: body,
        notes: vec![
            "N thr.: rate at N threads over the same call path's at one, paired within runs; ± is the half-width of the 95% interval.".to_owned(),
            "scales: lower bound of S/S_control over 0.8 at all cores (control: the Rust engine); does not: upper bound of S under 1.2.".to_owned(),
        ],
    }
}

fn figure(input: &AnalysisInput, curves: &[Curve], op: &str) -> Option<Figure> {
    let curves: Vec<&Curve> = curves.iter().filter(|curve| curve.op == op && curve.speedups.len() > 1).collect();
    let most = curves.iter().filter_map(|curve| curve.speedups.keys().max()).max().copied()?;
    let cores = input.effective_cores();
    let mut series: Vec<Series> = curves
        .iter()
        .map(|curve| Series {
            name: curve.label.clone(),
            points: curve
                .speedups
                .iter()
                .map(|(threads, speedup)| present::point(f64::from(*threads), speedup, 1.0))
                .collect(),
            reference: false,
        })
        .collect();
    // As many times as fast as there are threads, up to the cores.
    let ideal = [1, cores.min(most), most].into_iter().map(|threads| Point {
        x: f64::from(threads),
        y: f64::from(threads.min(cores)),
        lower: None,
        upper: None,
    });
    series.push(Series { name: "ideal".to_owned(), points: ideal.collect(), reference: true });
    Some(Figure {
        id: format!("gil-scaling-{op}"),
        title: format!("Speed-up of {op} over threads"),
        kind: FigureKind::Lines,
        x: present::axis("threads", false),
        y: present::axis("speed-up over one thread (times)", false),
        series,
        caption: format!(
            "Paired within runs, 95% intervals, {} tokens a request. {cores} effective cores; points beyond them are oversubscribed.",
            format::count(input.cells().next().map_or(0, |cell| number(&cell.axes, "tokens")))
        ),
    })
}
