//! 6 gil-cost: what does the GIL cost? Measurements side by side, each with its interval, never merged into one number.

use std::collections::BTreeMap;

use engines::python;
use record::plan::WorkloadSpec;
use record::plan::{Cell, Op, Timing};
use record::results::{Finding, Support};
use serde_json::{Value, json};

use super::gil_builds::build_table;
use super::gil_curve::{Curve, OBJECTS, curves, hold_of, is_window, same_path, serial_table};
use super::gil_hold::{AGREE, Hold, TRUTHS, hold_figure, hold_table, holds};
use super::gil_victim::{DEFAULT_SWITCH_US, PLACES, victim_figure, victim_findings, victim_table, victims};
use super::gil_wait;
use super::stacks::{self, CallPath};
use crate::house::cells::{self, Draft};
use crate::house::comparison::{Comparison, Quantity};
use crate::house::rows::Rows;
use crate::present::{Axes, finding, word};
use crate::settings::{ExperimentSettings, PlanContext, PlannedSubject};
use crate::{AnalysisInput, Experiment, Said};
use record::format;

/// Call paths whose effect on a victim is measured: one that holds the GIL all the time, one that does so in one long call, one that
/// gives it back.
const NEIGHBOURS: [(&str, &str, &str); 4] = [
    ("template", "transformers", "apply_chat_template"),
    ("tokenize", "hf-tokenizers", "encode"),
    ("tokenize", "hf-tokenizers", "encode_batch"),
    ("probe", "probe", "hold-2ms"),
];

/// Operations that no stage of a stack does.
const ASIDE: [&str; 2] = ["decode", "json"];

/// Calls that no stack of the suite makes and whose hold share matters to one who builds a stack. Those of packages that
/// are not there become rows that say so.
fn more_holds() -> impl Iterator<Item = CallPath> {
    let aside = python::engines().iter().filter(|path| ASIDE.contains(&path.op));
    aside.chain(["template", "tokenize"].into_iter().flat_map(python::optional)).map(CallPath::from)
}

/// The experiment.
pub struct GilCost;

impl Experiment for GilCost {
    fn name(&self) -> &'static str {
        "gil-cost"
    }

    fn workloads(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<WorkloadSpec>, String> {
        cells::workloads(context, settings)
    }

    fn cells(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<Cell>, String> {
        let mut cells: Vec<Cell> = Vec::new();
        for (axes, workload) in &cells::points(context, settings)? {
            let before = cells.len();
            let point = Point { context, settings, axes, workload };
            let pythons: Vec<&PlannedSubject> =
                context.subjects.iter().chain(&context.variants).filter(|subject| subject.kind == "python").collect();
            cells.extend(point.control()?);
            for subject in pythons {
                cells.extend(point.holds(subject));
                cells.extend(point.victims(subject)?);
                let windows = point.windows(subject)?;
                let is_first = cells[before..].iter().all(|cell: &Cell| cell.twin_of.is_none());
                let baseline = windows.first().filter(|_| is_first).map(cells::twin);
                cells.extend(baseline.into_iter().chain(windows));
            }
        }
        Ok(cells)
    }

    fn compared_axes(&self) -> &'static [&'static str] {
        &["threads", "objects", "where", "victim", "workers", "switch_us"]
    }

    /// Speed-ups over one thread.
    fn comparisons(&self, cells: &[&Cell]) -> Vec<Comparison> {
        let windows: Vec<&&Cell> = cells.iter().filter(|cell| is_window(cell)).collect();
        let pair = |cell: &&&Cell| {
            let one = windows.iter().find(|one| one.op.threads == 1 && same_path(one, cell))?;
            Some(Comparison::new(&cell.id, &one.id, Quantity::CALL_TIME))
        };
        windows.iter().filter(|cell| cell.op.threads > 1).filter_map(pair).collect()
    }

    fn analyse(&self, input: &AnalysisInput, rows: &mut Rows) -> Said {
        let holds = holds(input, rows);
        let curves = curves(input, rows);
        let victims = victims(input);
        let waits = gil_wait::waits(input, &holds);
        let mut tables =
            vec![hold_table(rows, &holds), serial_table(rows, &holds, &curves), victim_table(rows, &victims)];
        tables.extend(build_table(input, rows, &curves));
        tables.extend(gil_wait::table(rows, input, &waits));
        let mut findings = findings(input, &holds, &curves);
        findings.extend(victim_findings(input, &victims));
        findings.extend(gil_wait::finding(input, &waits));
        let figures = [hold_figure(&holds), victim_figure(&victims)].into_iter().flatten().collect();
        Said { findings, tables, figures, warnings: warnings(input, &holds) }
    }
}

struct Point<'a> {
    context: &'a PlanContext,
    settings: &'a ExperimentSettings,
    axes: &'a Axes,
    workload: &'a WorkloadSpec,
}

impl Point<'_> {
    fn draft<'a>(
        &'a self,
        subject: &'a PlannedSubject,
        op: Op,
        timing: Timing,
        more: &[(&str, Value)],
        beside: String,
    ) -> Draft<'a> {
        let mut axes = self.axes.clone();
        axes.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        Draft {
            subject,
            op,
            timing,
            strategy: "threads",
            axes,
            workload: self.workload,
            output: Some(stacks::output),
            reference: false,
            beside,
            varied: &["threads", "objects", "where", "victim", "workers", "switch_us"],
        }
    }

    /// The share of each call that holds the GIL.
    fn holds(&self, subject: &PlannedSubject) -> Vec<Cell> {
        let window_ms = self.settings.param("hold_window_ms").unwrap_or(500.0);
        let paths = stacks::call_paths(&subject.kind, self.context.tiktoken, subject.torch);
        let truths = TRUTHS.iter().map(|(name, _)| ("probe", "probe", *name));
        truths
            .chain(paths.iter().map(|path| (path.op, path.engine, path.call_path)))
            .chain(more_holds().map(|path| (path.op, path.engine, path.call_path)))
            .map(|(operation, engine, call_path)| {
                let params = BTreeMap::from([
                    ("operation".to_owned(), json!(operation)),
                    ("window_ms".to_owned(), json!(window_ms)),
                ]);
                let op = probe_op("hold", engine, call_path, params);
                let mut cell = cells::cell(self.settings, self.draft(subject, op, Timing::Each, &[], String::new()));
                cell.check = None;
                cell
            })
            .collect()
    }

    /// A thread or event loop beside work in this process, in another one, and beside none.
    fn victims(&self, subject: &PlannedSubject) -> Result<Vec<Cell>, String> {
        let beats = self.settings.param("beats").unwrap_or(150.0) as u64;
        let workers = self.settings.numbers("workers", self.context.cores)?;
        let intervals = self.settings.numbers("switch_us", self.context.cores).unwrap_or_else(|_| vec![5000]);
        let mut cells = Vec::new();
        for (operation, engine, call_path) in NEIGHBOURS {
            for victim in self.settings.words("victim") {
                for &workers in &workers {
                    for &interval in &intervals {
                        for (name, place, idle) in PLACES {
                            let mut params = BTreeMap::from([
                                ("operation".to_owned(), json!(operation)),
                                ("victim".to_owned(), json!(victim)),
                                ("where".to_owned(), json!(place)),
                                ("workers".to_owned(), json!(workers)),
                                ("idle".to_owned(), json!(idle)),
                                ("beats".to_owned(), json!(beats)),
                            ]);
                            if interval != DEFAULT_SWITCH_US {
                                params.insert("switch_interval_us".to_owned(), json!(interval));
                            }
                            let axes = [
                                ("victim", json!(victim)),
                                ("where", json!(name)),
                                ("workers", json!(workers)),
                                ("switch_us", json!(interval)),
                            ];
                            let op = probe_op("victim", engine, call_path, params);
                            let beside = format!("{}/victim/{engine}.{call_path}", subject.id);
                            let mut cell =
                                cells::cell(self.settings, self.draft(subject, op, Timing::Each, &axes, beside));
                            cell.check = None;
                            cells.push(cell);
                        }
                    }
                }
            }
        }
        Ok(cells)
    }

    /// Throughput over threads, from which the serial fraction follows. Where builds are compared, also with objects of its own
    /// for each thread: without a GIL, threads that share an object can still wait for each other.
    fn windows(&self, subject: &PlannedSubject) -> Result<Vec<Cell>, String> {
        let paths = stacks::call_paths(&subject.kind, self.context.tiktoken, false);
        let paths: Vec<CallPath> =
            paths.into_iter().filter(|path| path.op == "template" || path.op == "tokenize").collect();
        let mut cells = self.window_cells(subject, &paths, false)?;
        if self.context.subjects.iter().any(|subject| subject.free_threaded) {
            cells.extend(self.window_cells(subject, &paths, true)?);
        }
        Ok(cells)
    }

    /// The Rust engines at the same thread counts: what this machine's cores give.
    fn control(&self) -> Result<Vec<Cell>, String> {
        let Some(native) = self.context.subjects.iter().find(|subject| subject.kind == "native") else {
            return Ok(Vec::new());
        };
        let paths = stacks::call_paths("native", false, false);
        let control = paths.into_iter().filter(|path| {
            (path.op, path.call_path) == ("template", "render") || (path.op, path.call_path) == ("tokenize", "encode")
        });
        self.window_cells(native, &control.collect::<Vec<_>>(), false)
    }

    fn window_cells(
        &self,
        subject: &PlannedSubject,
        paths: &[CallPath],
        own_objects: bool,
    ) -> Result<Vec<Cell>, String> {
        let window_ns = (self.settings.param("window_ms").unwrap_or(200.0) * 1e6) as u64;
        let mut threads = self.settings.numbers("threads", self.context.cores)?;
        if !threads.contains(&1) {
            threads.insert(0, 1);
        }
        let mut cells = Vec::new();
        for path in paths {
            for &threads in &threads {
                let timing = Timing::Window { window_ns };
                let mut op = path.op(threads);
                let mut axes = vec![("threads", json!(threads))];
                if own_objects {
                    op.params.insert(OBJECTS.to_owned(), json!("per-thread"));
                    axes.push((OBJECTS, json!("per-thread")));
                }
                let draft = self.draft(subject, op, timing, &axes, path.op.to_owned());
                let reference = path.reference && !own_objects;
                cells.push(cells::cell(self.settings, Draft { reference, ..draft }));
            }
        }
        Ok(cells)
    }
}

fn probe_op(name: &str, engine: &str, call_path: &str, params: BTreeMap<String, Value>) -> Op {
    Op { name: name.to_owned(), engine: engine.to_owned(), call_path: call_path.to_owned(), threads: 1, params }
}

fn findings(input: &AnalysisInput, holds: &[Hold], curves: &[Curve]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let several = input.subjects().iter().filter(|subject| *subject != "native").count() > 1;
    let place = |subject: &str| if several { format!(" ({subject})") } else { String::new() };
    for hold in holds.iter().filter(|hold| {
        hold.truth.is_none() && ["template", "tokenize"].contains(&word(&hold.cell.op.params, "operation"))
    }) {
        let Some(share) = hold.share() else { continue };
        let (Some(lower), Some(upper)) = (share.lower, share.upper) else { continue };
        let support = if lower > 0.5 {
            Support::Supported
        } else if upper < 0.5 {
            Support::NotSupported
        } else {
            Support::Inconclusive
        };
        let reached = curves
            .iter()
            .find(|curve| hold_of(std::slice::from_ref(hold), curve).is_some())
            .and_then(|curve| curve.speedup.as_ref())
            .map_or(String::new(), |speedup| {
                format!("; {} threads reach {} of one", input.effective_cores(), format::ratio_ci(speedup))
            });
        findings.push(finding(
            input,
            support,
            format!("{} holds the GIL for most of the call", hold.label),
            format!(
                "{}{} holds the GIL for {:.2} [{:.2}, {:.2}] of the call{reached}.",
                hold.label,
                place(&hold.cell.subject),
                share.point,
                lower,
                upper
            ),
            vec![hold.cell.id.clone()],
        ));
    }
    findings
}

fn warnings(input: &AnalysisInput, holds: &[Hold]) -> Vec<String> {
    let mut warnings = Vec::new();
    for hold in holds {
        if let (Some(truth), Some(share)) = (hold.truth, hold.contended.as_ref())
            && (share.point - truth).abs() > AGREE
            && input.info.subjects.get(&hold.cell.subject).is_some_and(|ready| ready.gil == "enabled")
        {
            warnings.push(format!(
                "The contended probe reads {:.2} where the truth is {truth:.2} ({}): go by the interposed shares, and close other programs.",
                share.point, hold.label
            ));
        }
    }
    for subject in input.subjects() {
        if let Some(ready) = input.info.subjects.get(&subject)
            && ready.build.get("free_threaded").is_some_and(|free| free == "yes")
            && ready.gil == "enabled"
            && !subject.ends_with("-gil")
        {
            warnings.push(format!(
                "{subject} is a free-threaded build, and the GIL is on after its imports: an extension that does not declare itself safe switched it back on. `llmbench python` names it; PYTHON_GIL=0 in front of llmbench keeps the lock off in free-threaded interpreters, at your own risk."
            ));
        }
    }
    warnings
}
