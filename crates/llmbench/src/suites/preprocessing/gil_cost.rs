//! 6 gil-cost: what does the GIL cost? Measurements side by side, each with its interval, never merged into one number.

use std::collections::BTreeMap;

use benchstats::scaling;
use llmbench_core::plan::{Cell, Op, Plan, Timing};
use llmbench_core::record::{
    Estimate, ExperimentResult, Figure, FigureKind, Finding, Record, Row, Series, Status, Support, Table,
};
use llmbench_core::workload::WorkloadSpec;
use serde_json::{Value, json};

use super::cells::{self, Draft};
use super::gil_wait;
use super::rows::{self, Rows};
use super::stacks::{self, CallPath};
use crate::format;
use crate::suites::present::{self, Axes, column, finding, number, text, word};
use crate::suites::settings::{ExperimentSettings, PlanContext, PlannedSubject};
use crate::suites::{AnalysisInput, Experiment};

/// Calls whose share is known, and that share.
const TRUTHS: [(&str, f64); 3] = [("held", 1.0), ("released", 0.0), ("mix-30", 0.3)];
/// The two estimates of a share agree when they differ by no more than this.
pub(super) const AGREE: f64 = 0.05;
/// Where a victim's neighbours work.
const PLACES: [(&str, &str, bool); 4] = [
    ("alone", "alone", false),
    ("parked", "threads", true),
    ("in process", "threads", false),
    ("other process", "process", false),
];
/// Call paths whose effect on a victim is measured: one that holds the GIL all the time, one that does so in one long call, one that
/// gives it back.
const NEIGHBOURS: [(&str, &str, &str); 4] = [
    ("template", "transformers", "apply_chat_template"),
    ("tokenize", "hf-tokenizers", "encode"),
    ("tokenize", "hf-tokenizers", "encode_batch"),
    ("probe", "probe", "hold-2ms"),
];

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
            let point = Point { context, settings, axes, workload };
            let pythons: Vec<&PlannedSubject> =
                context.subjects.iter().chain(&context.variants).filter(|subject| subject.kind == "python").collect();
            cells.extend(point.control()?);
            for subject in pythons {
                cells.extend(point.holds(subject));
                cells.extend(point.victims(subject)?);
                cells.extend(point.windows(subject)?);
            }
        }
        if let Some(index) =
            cells.iter().position(|cell| matches!(cell.timing, Timing::Window { .. }) && cell.subject != "native")
        {
            let twin = cells::twin(&cells[index]);
            cells.push(twin);
        }
        Ok(cells)
    }

    /// Speed-ups over one thread.
    fn comparisons(&self, plan: &Plan) -> Vec<(String, String)> {
        let windows: Vec<&Cell> = plan
            .cells
            .iter()
            .filter(|cell| cell.experiment == self.name() && is_window(cell) && cell.twin_of.is_none())
            .collect();
        windows
            .iter()
            .filter(|cell| cell.op.threads > 1)
            .filter_map(|cell| {
                let one = windows.iter().find(|one| one.op.threads == 1 && same_path(one, cell))?;
                Some((cell.id.clone(), one.id.clone()))
            })
            .collect()
    }

    fn analyse(&self, input: &AnalysisInput) -> (ExperimentResult, Vec<Record>) {
        let mut rows = Rows::new(input);
        let mut result = present::outline(input);
        let holds = holds(input, &rows);
        let curves = curves(input, &rows);
        let victims = victims(input);
        result.tables.push(hold_table(&mut rows, &holds));
        result.tables.push(serial_table(&mut rows, &holds, &curves));
        result.tables.push(victim_table(&mut rows, &victims));
        result.tables.extend(build_table(input, &mut rows, &curves));
        let waits = gil_wait::waits(input, &holds);
        result.tables.extend(gil_wait::table(&mut rows, input, &waits));
        result.findings = findings(input, &holds, &curves, &victims);
        result.findings.extend(gil_wait::finding(input, &waits));
        if let Some(first) = result.findings.first_mut() {
            first.headline = true;
        }
        result.figures = [hold_figure(&holds), victim_figure(&victims)].into_iter().flatten().collect();
        result.warnings = warnings(input, &holds);
        (result, rows.records)
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
            reference: false,
            beside,
            varied: &["threads", "where", "victim", "workers", "switch_us"],
        }
    }

    /// The share of each call that holds the GIL.
    fn holds(&self, subject: &PlannedSubject) -> Vec<Cell> {
        let window_ms = self.settings.param("hold_window_ms").unwrap_or(500.0);
        let paths = stacks::call_paths(&subject.kind, self.context.tiktoken, subject.torch);
        let truths = TRUTHS.iter().map(|(name, _)| ("probe", "probe", *name));
        let decoders = [
            ("decode", "hf-tokenizers", "decode"),
            ("decode", "hf-tokenizers", "decode_batch"),
            ("parse", "json", "json.loads"),
        ];
        truths
            .chain(paths.iter().map(|path| (path.op, path.engine, path.call_path)))
            .chain(decoders)
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

    /// Throughput over threads, from which the serial fraction follows.
    fn windows(&self, subject: &PlannedSubject) -> Result<Vec<Cell>, String> {
        let paths = stacks::call_paths(&subject.kind, self.context.tiktoken, false);
        self.window_cells(subject, paths.into_iter().filter(|path| path.op == "template" || path.op == "tokenize"))
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
        self.window_cells(native, control)
    }

    fn window_cells(
        &self,
        subject: &PlannedSubject,
        paths: impl Iterator<Item = CallPath>,
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
                let draft =
                    self.draft(subject, path.op(threads), timing, &[("threads", json!(threads))], path.op.to_owned());
                cells.push(cells::cell(self.settings, Draft { reference: path.reference, ..draft }));
            }
        }
        Ok(cells)
    }
}

/// CPython's own `sys.getswitchinterval()`, µs.
const DEFAULT_SWITCH_US: u32 = 5000;

fn probe_op(name: &str, engine: &str, call_path: &str, params: BTreeMap<String, Value>) -> Op {
    Op { name: name.to_owned(), engine: engine.to_owned(), call_path: call_path.to_owned(), threads: 1, params }
}

fn is_window(cell: &Cell) -> bool {
    matches!(cell.timing, Timing::Window { .. })
}

fn same_path(a: &Cell, b: &Cell) -> bool {
    (&a.subject, &a.op.name, &a.op.engine, &a.op.call_path, &a.workload)
        == (&b.subject, &b.op.name, &b.op.engine, &b.op.call_path, &b.workload)
}

/// What the two estimates say of one call path.
pub(super) struct Hold<'a> {
    pub(super) cell: &'a Cell,
    pub(super) label: String,
    pub(super) contended: Option<Estimate>,
    pub(super) interposed: Option<Estimate>,
    /// How much longer the calls took while they were probed.
    disturbance: Option<Estimate>,
    /// Mean time of a call without a probe, ns.
    pub(super) call_ns: Option<f64>,
    /// Known beforehand.
    truth: Option<f64>,
}

impl Hold<'_> {
    /// The share to go on with: the uncontended estimate where there is one.
    pub(super) fn share(&self) -> Option<&Estimate> {
        self.interposed.as_ref().or(self.contended.as_ref())
    }

    fn disagree(&self) -> Option<f64> {
        let apart = (self.contended.as_ref()?.point - self.interposed.as_ref()?.point).abs();
        (apart > AGREE).then_some(apart)
    }
}

fn holds<'a>(input: &'a AnalysisInput, rows: &Rows) -> Vec<Hold<'a>> {
    let stage = |cell: &Cell, name: &str| input.measurements.stage_values(&cell.id, name);
    let share = |cell: &Cell, above: &str, below: &str| {
        let below = stage(cell, below);
        let shares: Vec<f64> = stage(cell, above)
            .iter()
            .filter_map(|(run, above)| below.get(run).filter(|below| **below > 0.0).map(|below| above / below))
            .collect();
        rows::linear_estimate(&shares, rows.samples(&cell.id))
    };
    input
        .cells()
        .filter(|cell| cell.op.name == "hold")
        .map(|cell| {
            let calls = rows::values(&stage(cell, "calls"));
            let alone = rows::values(&stage(cell, "call_alone_ns"));
            let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
            Hold {
                cell,
                label: stacks::label(&cell.op.engine, &cell.op.call_path),
                contended: share(cell, "held_contended_ns", "call_ns"),
                interposed: share(cell, "held_interposed_ns", "call_interposed_ns"),
                disturbance: share(cell, "call_ns", "call_alone_ns"),
                call_ns: (!calls.is_empty()).then(|| mean(&alone) / mean(&calls)),
                truth: TRUTHS
                    .iter()
                    .find(|(name, _)| cell.op.engine == "probe" && cell.op.call_path == *name)
                    .map(|(_, share)| *share),
            }
        })
        .collect()
}

fn hold_table(rows: &mut Rows, holds: &[Hold]) -> Table {
    let mut body = Vec::new();
    for hold in holds {
        let stage = word(&hold.cell.op.params, "operation").to_owned();
        let mut push = |metric: &str, estimate: &Option<Estimate>| {
            let record = rows.push(hold.cell, &stage, metric, "1", estimate.clone());
            (record.status, record.error.clone())
        };
        push("hold_share_contended", &hold.contended);
        push("hold_share_interposed", &hold.interposed);
        push("probe_disturbance", &hold.disturbance);
        let (status, error) = push("hold_share", &hold.share().cloned());
        let note = match (hold.truth, hold.disagree()) {
            (Some(truth), _) => format!("truth {truth:.2}"),
            (None, Some(apart)) => format!("estimates {apart:.2} apart"),
            (None, None) => String::new(),
        };
        body.push(Row {
            values: vec![
                text(hold.label.clone()),
                text(stage),
                present::figure(hold.contended.as_ref(), |share| share_pm(share), error.as_deref()),
                present::figure(hold.interposed.as_ref(), |share| share_pm(share), None),
                present::figure(hold.disturbance.as_ref(), |ratio| format::ratio(ratio.point), None),
                text(note),
            ],
            status,
            group: hold.cell.subject.clone(),
        });
    }
    Table {
        id: "gil-cost-hold".to_owned(),
        title: "Share of a call that holds the GIL".to_owned(),
        columns: vec![
            column("call path", false, 0),
            column("stage", false, 2),
            column("contended", true, 0),
            column("interposed", true, 0),
            column("disturbed", true, 3),
            column("", false, 1),
        ],
        rows: body,
        notes: vec![
            "contended: a second thread asks for the lock at random points of the caller's progress. interposed: the extension's own release and re-acquire calls, without contention. Both net of waiting for a CPU.".to_owned(),
            format!("The two agree within {AGREE}, or the row says so. disturbed: time of a call while it is probed over its time alone. probe.*: calls of known truth."),
        ],
    }
}

fn share_pm(share: &Estimate) -> String {
    match (share.lower, share.upper) {
        (Some(lower), Some(upper)) => format!("{:.2} ±{:.2}", share.point, (upper - lower) / 2.0),
        _ => format!("{:.2}", share.point),
    }
}

/// Throughput of a call path over threads.
struct Curve<'a> {
    one: &'a Cell,
    at_cores: Option<&'a Cell>,
    label: String,
    speedup: Option<Estimate>,
    serial: Option<Estimate>,
}

fn curves<'a>(input: &'a AnalysisInput, rows: &Rows) -> Vec<Curve<'a>> {
    let cores = input.effective_cores();
    input
        .cells()
        .filter(|cell| is_window(cell) && cell.op.threads == 1 && cell.twin_of.is_none())
        .map(|one| {
            let at_cores = input.cells().find(|cell| {
                is_window(cell)
                    && cell.twin_of.is_none()
                    && cell.op.threads == cores
                    && cores > 1
                    && same_path(cell, one)
            });
            let usable = at_cores.filter(|cell| rows.rankable(&cell.id) && rows.rankable(&one.id));
            let speedup = usable.and_then(|cell| {
                let ratios = input.measurements.ratios(&one.id, &cell.id);
                let estimate = rows::log_estimate(&rows::values(&ratios), rows.samples(&cell.id))?;
                Some(Estimate { method: "paired-log-t".to_owned(), ..estimate })
            });
            let serial = speedup.as_ref().and_then(|speedup| {
                let interval = rows::interval(speedup)?;
                let fraction = scaling::karp_flatt(&interval, cores).ok()?;
                Some(rows::estimate(&fraction, "karp-flatt", speedup.runs as usize, speedup.samples))
            });
            Curve { one, at_cores, label: stacks::label(&one.op.engine, &one.op.call_path), speedup, serial }
        })
        .collect()
}

fn serial_table(rows: &mut Rows, holds: &[Hold], curves: &[Curve]) -> Table {
    let mut body = Vec::new();
    for curve in curves {
        let hold = hold_of(holds, curve);
        let share = hold.and_then(Hold::share);
        let ceiling = share.filter(|share| share.point > 0.0).map(|share| ceiling(share));
        let cell = curve.at_cores.unwrap_or(curve.one);
        let stage = cell.op.name.clone();
        let record = rows.push(cell, &stage, "speedup", "1", curve.speedup.clone());
        let (status, error) = (record.status, record.error.clone());
        rows.push(cell, &stage, "serial_fraction", "1", curve.serial.clone());
        if let Some(ceiling) = &ceiling {
            rows.push(cell, &stage, "predicted_ceiling", "1", Some(ceiling.clone()));
        }
        body.push(Row {
            values: vec![
                text(curve.label.clone()),
                present::figure(share, |share| format!("{:.2}", share.point), None),
                present::figure(ceiling.as_ref(), |ceiling| format::ratio(ceiling.point), None),
                present::figure(curve.speedup.as_ref(), present::ratio_pm, error.as_deref()),
                present::figure(curve.serial.as_ref(), present::fraction_ci, None),
            ],
            status,
            group: curve.one.subject.clone(),
        });
    }
    Table {
        id: "gil-cost-serial".to_owned(),
        title: "What the held share predicts, and what threads at all cores reach".to_owned(),
        columns: vec![
            column("call path", false, 0),
            column("held", true, 0),
            column("ceiling 1/s", true, 0),
            column("speed-up", true, 0),
            column("Karp-Flatt", true, 1),
        ],
        rows: body,
        notes: vec![
            "ceiling: no number of threads can exceed 1/s while a share s of each call holds the lock. speed-up: all effective cores over one thread, paired within runs.".to_owned(),
            "Rust rows hold no GIL: they are what the cores themselves give. A universal-scalability fit needs six thread counts within the cores and is not made with fewer.".to_owned(),
        ],
    }
}

/// `1/s`, its bounds exchanged.
fn ceiling(share: &Estimate) -> Estimate {
    let bound = |bound: Option<f64>| bound.filter(|bound| *bound > 0.0).map(|bound| 1.0 / bound);
    Estimate {
        point: 1.0 / share.point,
        lower: bound(share.upper),
        upper: bound(share.lower),
        method: "inverse".to_owned(),
        ..share.clone()
    }
}

fn hold_of<'a, 'b>(holds: &'a [Hold<'b>], curve: &Curve) -> Option<&'a Hold<'b>> {
    holds.iter().find(|hold| {
        hold.cell.subject == curve.one.subject
            && hold.cell.op.engine == curve.one.op.engine
            && hold.cell.op.call_path == curve.one.op.call_path
    })
}

/// One victim beside one kind of work: lateness by place.
struct Victim<'a> {
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

    fn at(&self, place: &str) -> Option<Estimate> {
        let values = rows::values(self.lag.get(place)?);
        rows::linear_estimate(&values, values.len() as u32)
    }
}

fn victims<'a>(input: &'a AnalysisInput) -> Vec<Victim<'a>> {
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

fn victim_table(rows: &mut Rows, victims: &[Victim]) -> Table {
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
                present::figure(cost.as_ref(), |cost| difference_pm(cost), None),
            ],
            status,
            group: victim.cells.values().next().map(|cell| cell.subject.clone()).unwrap_or_default(),
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

/// GIL build, free-threaded build, and that build with the lock on: only interpreters that differ in nothing else.
fn build_table(input: &AnalysisInput, rows: &mut Rows, curves: &[Curve]) -> Option<Table> {
    let trios = same_builds(input);
    let mut body = Vec::new();
    for (base, others) in &trios {
        for curve in curves.iter().filter(|curve| curve.one.subject == *base) {
            let mut values = vec![text(curve.label.clone())];
            for other in others {
                let matching = curves.iter().find(|candidate| {
                    candidate.one.subject == *other
                        && candidate.label == curve.label
                        && candidate.one.workload == curve.one.workload
                });
                for (own, base) in
                    [(matching.map(|m| m.one), Some(curve.one)), (matching.and_then(|m| m.at_cores), curve.at_cores)]
                {
                    let ratio = own
                        .zip(base)
                        .filter(|(own, base)| rows.rankable(&own.id) && rows.rankable(&base.id))
                        .and_then(|(own, base)| {
                            // Throughput over the GIL build's.
                            let ratios = rows::values(&input.measurements.ratios(&base.id, &own.id));
                            let estimate = rows::log_estimate(&ratios, rows.samples(&own.id))?;
                            let estimate = Estimate { method: "paired-log-t".to_owned(), ..estimate };
                            let record = rows.push(own, &own.op.name, "over_gil_build", "1", Some(estimate.clone()));
                            record.baseline_cell_id = Some(base.id.clone());
                            Some(estimate)
                        });
                    values.push(present::figure(ratio.as_ref(), present::ratio_pm, None));
                }
            }
            body.push(Row { values, status: Status::Ok, group: base.clone() });
        }
    }
    if body.is_empty() {
        return None;
    }
    let cores = input.effective_cores();
    let mut columns = vec![column("call path", false, 0)];
    for other in &trios.first()?.1 {
        columns.push(column(&format!("{other}, 1 thr."), true, 1));
        columns.push(column(&format!("{cores} thr."), true, 0));
    }
    Some(Table {
        id: "gil-cost-builds".to_owned(),
        title: "Same code, one variable: throughput over the GIL build at the same number of threads".to_owned(),
        columns,
        rows: body,
        notes: vec![
            "At one thread: the price of the free-threaded build. The build with PYTHON_GIL=1 parts the lock from the slower build.".to_owned(),
        ],
    })
}

/// Subjects that differ in the GIL alone: (GIL build, [free-threaded ones]) of one version with the same build flags.
fn same_builds(input: &AnalysisInput) -> Vec<(String, Vec<String>)> {
    const FLAGS: [&str; 5] = ["pgo", "lto", "optimization", "compiler", "debug"];
    let key = |subject: &str| {
        let ready = input.info.subjects.get(subject)?;
        let flags: Vec<String> = FLAGS.iter().map(|flag| ready.build.get(*flag).cloned().unwrap_or_default()).collect();
        Some((
            ready.interpreter.clone(),
            flags,
            ready.versions.get("tokenizers").cloned(),
            ready.versions.get("jinja2").cloned(),
        ))
    };
    let is_free = |subject: &str| {
        input
            .info
            .subjects
            .get(subject)
            .is_some_and(|ready| ready.build.get("free_threaded").is_some_and(|free| free == "yes"))
    };
    let subjects: Vec<String> = input.subjects().into_iter().filter(|subject| subject != "native").collect();
    subjects
        .iter()
        .filter(|subject| !is_free(subject) && key(subject).is_some())
        .filter_map(|base| {
            let others: Vec<String> =
                subjects.iter().filter(|other| is_free(other) && key(other) == key(base)).cloned().collect();
            (!others.is_empty()).then(|| (base.clone(), others))
        })
        .collect()
}

fn findings(input: &AnalysisInput, holds: &[Hold], curves: &[Curve], victims: &[Victim]) -> Vec<Finding> {
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
    for victim in victims {
        let Some(cost) = victim.cost() else { continue };
        let support = present::above(&cost, 0.0);
        let word = match support {
            Support::Supported => "costs",
            Support::NotSupported => "costs no time: the difference is",
            Support::Inconclusive => "has no cost that this machine can show:",
        };
        let cells: Vec<String> = victim.cells.values().map(|cell| cell.id.clone()).collect();
        let subject = victim.cells.values().next().map(|cell| cell.subject.clone()).unwrap_or_default();
        findings.push(finding(
            input,
            support,
            format!("the GIL delays a {}", victim.label),
            format!(
                "The GIL {word} a {}{} {} a beat in the mean.",
                victim.label,
                place(&subject),
                difference_pm(&cost)
            ),
            cells,
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
                "{subject} is a free-threaded build, and the GIL is on after its imports: an extension that does not declare itself safe switched it back on. `llmbench python` names it."
            ));
        }
    }
    warnings
}

fn hold_figure(holds: &[Hold]) -> Option<Figure> {
    let subjects = present::distinct(holds.iter().map(|hold| hold.cell.subject.clone()));
    let labels = present::distinct(holds.iter().filter(|hold| hold.share().is_some()).map(|hold| hold.label.clone()));
    let several = subjects.len() > 1;
    let mut series = Vec::new();
    for subject in &subjects {
        let kinds: [(&str, fn(&Hold) -> Option<Estimate>); 2] =
            [("interposed", |hold| hold.interposed.clone()), ("contended", |hold| hold.contended.clone())];
        for (name, of) in kinds {
            let points: Vec<_> = holds
                .iter()
                .filter(|hold| hold.cell.subject == *subject)
                .filter_map(|hold| {
                    let index = labels.iter().position(|label| *label == hold.label)?;
                    Some(present::point(index as f64, &of(hold)?, 1.0))
                })
                .collect();
            if !points.is_empty() {
                let name = if several { format!("{name}, {subject}") } else { name.to_owned() };
                series.push(Series { name, points, reference: false });
            }
        }
    }
    (!series.is_empty()).then(|| Figure {
        id: "gil-cost-hold".to_owned(),
        title: "Share of a call that holds the GIL".to_owned(),
        kind: FigureKind::GroupedBars,
        x: present::categories("call path", labels),
        y: present::axis("share of the call", false),
        series,
        caption: "Mean across runs with 95% intervals, net of waiting for a CPU. probe.* are calls of known truth: held 1, released 0, mix-30 0.3.".to_owned(),
    })
}

fn victim_figure(victims: &[Victim]) -> Option<Figure> {
    let shown: Vec<&Victim> = victims.iter().filter(|victim| victim.at("in process").is_some()).collect();
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
        x: present::categories("victim", shown.iter().map(|victim| victim.label.clone()).collect()),
        y: present::axis("mean lateness net of waiting for a CPU (ms)", true),
        series,
        caption: "Mean across runs with 95% intervals. The same threads work in this process and in another one: what is between the two bars is the GIL's.".to_owned(),
    })
}
