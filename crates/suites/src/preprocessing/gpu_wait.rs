//! 3 gpu-wait: how long does a GPU wait for a batch to be ready, and do threads shorten it?

use std::collections::BTreeMap;

use benchstats::gpu;
use benchstats::verdict::Verdict;
use record::plan::WorkloadSpec;
use record::plan::{Cell, Plan, Timing};
use record::results::{
    Estimate, ExperimentResult, Figure, FigureKind, Finding, Point, Record, Row, Series, Support, Table,
};
use serde_json::Value;

use super::cells::{self, Draft};
use super::rows::{self, Judged, Rows};
use super::stacks::{STACKS, Stack};
use crate::present::{self, Axes, column, describe, finding, number, text, word};
use crate::settings::{ExperimentSettings, PlanContext};
use crate::{AnalysisInput, Experiment};
use record::format;

/// The experiment.
pub struct GpuWait;

/// Stages of a batch, in order.
const STAGES: [&str; 3] = ["template", "tokenize", "collate"];

impl Experiment for GpuWait {
    fn name(&self) -> &'static str {
        "gpu-wait"
    }

    fn workloads(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<WorkloadSpec>, String> {
        cells::workloads(context, settings)
    }

    fn cells(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<Cell>, String> {
        let mut cells: Vec<Cell> = Vec::new();
        for (axes, workload) in &cells::points(context, settings)? {
            for batch in settings.numbers("batch", context.cores)? {
                for (subject, stack) in
                    context.subjects.iter().flat_map(|subject| stacks(&subject.kind).map(move |stack| (subject, stack)))
                {
                    for mode in settings.words("mode") {
                        for threads in settings.numbers("threads", context.cores)? {
                            let mut axes = axes.clone();
                            axes.insert("batch".to_owned(), Value::from(batch));
                            axes.insert("mode".to_owned(), Value::from(mode.as_str()));
                            axes.insert("threads".to_owned(), Value::from(threads));
                            let first = cells.iter().all(|cell| cell.subject != subject.id);
                            let cell = cells::cell(
                                settings,
                                Draft {
                                    subject,
                                    op: stack.batch(batch, &mode, threads),
                                    timing: Timing::Each,
                                    strategy: if subject.kind == "native" { "rayon" } else { "threads" },
                                    axes,
                                    workload,
                                    reference: subject.kind == "native" && first,
                                    beside: format!("{}/{}", subject.id, stack.name),
                                    varied: &["threads", "mode"],
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
        }
        Ok(cells)
    }

    /// Every point against one thread of the same subject and mode, and the modes and subjects at one thread.
    fn comparisons(&self, plan: &Plan) -> Vec<(String, String)> {
        let cells: Vec<&Cell> =
            plan.cells.iter().filter(|cell| cell.experiment == self.name() && cell.twin_of.is_none()).collect();
        let mut pairs = Vec::new();
        for cell in &cells {
            let baseline = cells.iter().find(|base| {
                base.subject == cell.subject
                    && same_but(cell, base, &["threads"])
                    && base.op.threads == least_threads(&cells)
            });
            pairs.extend(baseline.filter(|base| base.id != cell.id).map(|base| (cell.id.clone(), base.id.clone())));
        }
        pairs
    }

    fn analyse(&self, input: &AnalysisInput) -> (ExperimentResult, Vec<Record>) {
        let mut rows = Rows::new(input);
        let mut result = present::outline(input);
        let judged = rows.judge(&self.comparisons(input.plan));
        for subject in input.subjects() {
            result.findings.extend(wait_finding(input, &rows, &judged, &subject));
        }
        if let Some(first) = result.findings.first_mut() {
            first.headline = true;
        }
        for subject in input.subjects() {
            result.findings.extend(barrier_finding(input, &rows, &subject));
        }
        result.findings.extend(idle_findings(input, &rows));
        for subject in input.subjects() {
            result.tables.push(table(input, &mut rows, &judged, &subject));
        }
        result.figures = [wait_figure(input, &rows), share_figure(input)].into_iter().flatten().collect();
        result.warnings = rows.warnings(&input.cells().filter(|cell| cell.op.threads == 1).collect::<Vec<_>>());
        (result, rows.records)
    }
}

fn stacks(kind: &str) -> impl Iterator<Item = &'static Stack> + use<'_> {
    STACKS.iter().filter(move |stack| stack.kind == kind && stack.name != "lean")
}

fn least_threads(cells: &[&Cell]) -> u32 {
    cells.iter().map(|cell| cell.op.threads).min().unwrap_or(1)
}

/// The axes of two cells agree, these left out.
fn same_but(a: &Cell, b: &Cell, without: &[&str]) -> bool {
    let rest = |axes: &Axes| -> Axes {
        axes.iter().filter(|(name, _)| !without.contains(&name.as_str())).map(|(n, v)| (n.clone(), v.clone())).collect()
    };
    rest(&a.axes) == rest(&b.axes) && a.op.call_path == b.op.call_path
}

/// How long the batch takes at the best number of threads, and whether more threads than one shorten it.
fn wait_finding(input: &AnalysisInput, rows: &Rows, judged: &[Judged], subject: &str) -> Option<Finding> {
    let cells: Vec<&Cell> = input
        .cells()
        .filter(|cell| cell.subject == subject && cell.twin_of.is_none() && rows.rankable(&cell.id))
        .collect();
    let one = cells
        .iter()
        .filter(|cell| cell.op.threads == least_threads(&cells))
        .find(|cell| word(&cell.axes, "mode") == "requests")
        .or(cells.first())?;
    let alone = rows.time(one)?;
    let batch = number(&one.axes, "batch");
    let cores = input.effective_cores();
    let at_cores = cells
        .iter()
        .filter(|cell| same_but(cell, one, &["threads"]) && cell.op.threads <= cores)
        .max_by_key(|cell| cell.op.threads)?;
    let place = format!("{} ({subject}), batch of {batch} requests of {}", one.op.call_path, describe(&one.axes));
    let Some(judged) = judged.iter().find(|judged| judged.row == at_cores.id) else {
        let sentence = format!("{place}: one thread has it ready after {}.", format::duration_ci(&alone));
        return Some(finding(
            input,
            // There is nothing that it could be compared with.
            Support::Inconclusive,
            format!("{place}: more threads shorten the wait"),
            sentence,
            vec![one.id.clone()],
        ));
    };
    let speedup = judged.speedup();
    let threads = at_cores.op.threads;
    let (support, verb) = match judged.verdict {
        Verdict::Faster => (Support::Supported, "shorten it"),
        Verdict::Slower => (Support::NotSupported, "lengthen it"),
        Verdict::Equivalent => (Support::NotSupported, "do not change it beyond the noise floor"),
        Verdict::Inconclusive => (Support::Inconclusive, "may or may not shorten it"),
    };
    let sentence = format!(
        "{place}: ready after {} on one thread; {threads} threads {verb}: {} as fast.",
        format::duration_ci(&alone),
        format::ratio_ci(&speedup)
    );
    Some(finding(
        input,
        support,
        format!("{place}: {threads} threads shorten the wait"),
        sentence,
        vec![at_cores.id.clone(), one.id.clone()],
    ))
}

/// Barriers between the stages against request by request, at all cores.
fn barrier_finding(input: &AnalysisInput, rows: &Rows, subject: &str) -> Option<Finding> {
    let cores = input.effective_cores();
    let cells: Vec<&Cell> = input
        .cells()
        .filter(|cell| cell.subject == subject && cell.twin_of.is_none() && rows.rankable(&cell.id))
        .collect();
    let stages = cells
        .iter()
        .filter(|cell| word(&cell.axes, "mode") == "stages" && cell.op.threads <= cores)
        .max_by_key(|cell| cell.op.threads)?;
    let requests =
        cells.iter().find(|cell| word(&cell.axes, "mode") == "requests" && same_but(cell, stages, &["mode"]))?;
    let judged = rows.judge(&[(stages.id.clone(), requests.id.clone())]).into_iter().next()?;
    let (support, verb) = match judged.verdict {
        Verdict::Slower => (Support::Supported, "lengthen the wait"),
        Verdict::Faster => (Support::NotSupported, "shorten the wait"),
        Verdict::Equivalent => (Support::NotSupported, "do not change the wait beyond the noise floor"),
        Verdict::Inconclusive => (Support::Inconclusive, "have no effect that this machine can show"),
    };
    let what = format!("{} ({subject}) with {} threads", stages.op.call_path, stages.op.threads);
    let sentence = format!(
        "{what}: barriers between the stages {verb}, {} the time of going request by request.",
        format::ratio_ci(&judged.estimate)
    );
    Some(finding(
        input,
        support,
        format!("{what}: barriers lengthen the wait"),
        sentence,
        vec![judged.row, judged.baseline],
    ))
}

/// What share of its time a GPU with the given step idles.
fn idle_findings(input: &AnalysisInput, rows: &Rows) -> Vec<Finding> {
    let Some(step_ms) = input.settings.param("gpu_step_ms") else { return Vec::new() };
    let mut findings = Vec::new();
    for subject in input.subjects() {
        let best = input
            .cells()
            .filter(|cell| cell.subject == subject && cell.twin_of.is_none() && rows.rankable(&cell.id))
            .filter_map(|cell| rows.time(cell).map(|time| (cell, time.point)))
            .min_by(|a, b| a.1.total_cmp(&b.1));
        let Some((cell, _)) = best else { continue };
        let (Some(serial), Some(overlapped)) = idle(input, rows, cell, step_ms) else { continue };
        let sentence = format!(
            "A GPU with a step of {step_ms} ms idles {} of its time when it waits for {} ({subject}, {} threads, {}) and {} when preparation overlaps.",
            format::percent_ci(&serial),
            cell.op.call_path,
            cell.op.threads,
            word(&cell.axes, "mode"),
            format::percent_ci(&overlapped),
        );
        let support = if overlapped.lower.is_some_and(|lower| lower > 0.01) {
            Support::Supported
        } else if overlapped.upper.is_some_and(|upper| upper < 0.01) {
            Support::NotSupported
        } else {
            Support::Inconclusive
        };
        findings.push(finding(
            input,
            support,
            format!("preprocessing in {subject} starves a GPU even when it overlaps"),
            sentence,
            vec![cell.id.clone()],
        ));
    }
    findings
}

/// Idle fractions (serial, overlapped) of a GPU with that step, from the single batch times of each run.
fn idle(input: &AnalysisInput, rows: &Rows, cell: &Cell, step_ms: f64) -> (Option<Estimate>, Option<Estimate>) {
    let runs: Vec<gpu::Idle> =
        input.sample_times(&cell.id).values().filter_map(|times| gpu::idle(times, step_ms * 1e6).ok()).collect();
    let samples = rows.samples(&cell.id);
    let of = |fraction: fn(&gpu::Idle) -> f64| {
        rows::linear_estimate(&runs.iter().map(fraction).collect::<Vec<_>>(), samples)
    };
    (of(|idle| idle.serial), of(|idle| idle.overlapped))
}

fn table(input: &AnalysisInput, rows: &mut Rows, judged: &[Judged], subject: &str) -> Table {
    let requests = input.settings.param("requests").unwrap_or(0.0);
    let step_ms = input.settings.param("gpu_step_ms");
    let cells: Vec<Cell> =
        input.cells().filter(|cell| cell.subject == subject && cell.twin_of.is_none()).cloned().collect();
    let mut body = Vec::new();
    for cell in &cells {
        let batch = number(&cell.axes, "batch") as f64;
        let time = rows.time(cell);
        let rate = time.as_ref().map(|time| rows::inverse_of(batch * 1e9, time));
        let whole = time.as_ref().map(|time| rows::scaled(time, requests / batch));
        let record = rows.push(cell, "batch", "batch_ready", "ns", time.clone());
        let (status, error) = (record.status, record.error.clone());
        if let (Some(rate), Some(whole)) = (&rate, &whole) {
            rows.push(cell, "batch", "throughput", "requests/s", Some(rate.clone()));
            rows.push(cell, "batch", "time_for_requests", "ns", Some(whole.clone()));
        }
        for (stage, share) in shares(input, cell) {
            let estimate = rows::linear_estimate(&share, rows.samples(&cell.id));
            rows.push(cell, stage, "share", "1", estimate);
        }
        let judgement = judged.iter().find(|judged| judged.row == cell.id);
        if let Some(judged) = judgement {
            rows.push_ratio(cell, "batch", judged);
        }
        let mut values = vec![
            text(word(&cell.axes, "mode")),
            text(cell.op.threads.to_string()),
            present::figure(time.as_ref(), present::duration_pm, error.as_deref()),
            present::figure(rate.as_ref(), |rate| format::significant(rate.point, 3), None),
            judgement.map_or_else(|| text(""), |judged| present::ratio_verdict(&judged.speedup(), judged.verdict)),
            text(share_words(&shares(input, cell))),
            present::figure(whole.as_ref(), |whole| format::duration(whole.point), None),
        ];
        if let Some(step_ms) = step_ms {
            let (serial, overlapped) = idle(input, rows, cell, step_ms);
            rows.push(cell, "batch", "gpu_idle_serial", "1", serial.clone());
            rows.push(cell, "batch", "gpu_idle_overlapped", "1", overlapped.clone());
            values.push(present::figure(serial.as_ref(), |share| format::percent(share.point), None));
            values.push(present::figure(overlapped.as_ref(), |share| format::percent(share.point), None));
        }
        body.push(Row { values, status, group: word(&cell.axes, "mode").to_owned() });
    }
    let mut columns = vec![
        column("mode", false, 0),
        column("threads", true, 0),
        column("batch ready", true, 0),
        column("requests/s", true, 0),
        column("speed-up", true, 0),
        column("tpl/tok/col", true, 1),
        column(&format!("{} requests", format::count(requests as u64)), true, 2),
    ];
    if let Some(step_ms) = step_ms {
        columns.push(column(&format!("GPU idle, {step_ms} ms"), true, 0));
        columns.push(column("overlapped", true, 0));
    }
    let point = cells.first().map(|cell| describe(&cell.axes)).unwrap_or_default();
    let batch = cells.first().map_or(0, |cell| number(&cell.axes, "batch"));
    Table {
        id: format!("gpu-wait-{subject}"),
        title: format!("Batches of {batch} requests of {point}, {}", input.subject_title(subject)),
        columns,
        rows: body,
        notes: vec![
            format!("speed-up: over one thread of the same mode, paired within runs. {}", rows.marks()),
            "tpl/tok/col: shares of template, tokenize and collate in percent; by wall time in mode stages, by the calls' summed time in mode requests."
                .to_owned(),
        ],
    }
}

/// Shares of the stages in their sum, by run.
fn shares(input: &AnalysisInput, cell: &Cell) -> Vec<(&'static str, Vec<f64>)> {
    let times: Vec<(&'static str, BTreeMap<u32, f64>)> =
        STAGES.iter().map(|stage| (*stage, input.measurements.stage_values(&cell.id, stage))).collect();
    let runs: Vec<u32> = times.first().map(|(_, times)| times.keys().copied().collect()).unwrap_or_default();
    let sum = |run: &u32| times.iter().filter_map(|(_, times)| times.get(run)).sum::<f64>();
    times
        .iter()
        .map(|(stage, times)| {
            (*stage, runs.iter().filter_map(|run| times.get(run).map(|time| time / sum(run))).collect())
        })
        .collect()
}

fn share_words(shares: &[(&str, Vec<f64>)]) -> String {
    let percent = |values: &Vec<f64>| {
        if values.is_empty() {
            "-".to_owned()
        } else {
            format!("{:.0}", 100.0 * values.iter().sum::<f64>() / values.len() as f64)
        }
    };
    shares.iter().map(|(_, values)| percent(values)).collect::<Vec<_>>().join("/")
}

fn wait_figure(input: &AnalysisInput, rows: &Rows) -> Option<Figure> {
    let lines = present::distinct(
        input
            .cells()
            .filter(|cell| cell.twin_of.is_none())
            .map(|cell| (cell.subject.clone(), word(&cell.axes, "mode").to_owned())),
    );
    let series: Vec<Series> = lines
        .into_iter()
        .map(|(subject, mode)| Series {
            points: input
                .cells()
                .filter(|cell| cell.twin_of.is_none() && cell.subject == subject && word(&cell.axes, "mode") == mode)
                .filter_map(|cell| rows.time(cell).map(|time| present::point(f64::from(cell.op.threads), &time, 1e-6)))
                .collect(),
            name: format!("{subject}, {mode}"),
            reference: false,
        })
        .filter(|series| !series.points.is_empty())
        .collect();
    let cores = input.effective_cores();
    (!series.is_empty()).then(|| Figure {
        id: "gpu-wait".to_owned(),
        title: "Time until a batch is ready".to_owned(),
        kind: FigureKind::Lines,
        x: present::axis("threads", false),
        y: present::axis("time until the batch is ready (ms)", true),
        series,
        caption: format!("Mean across runs with 95% intervals. The machine has {cores} effective cores; points beyond them are oversubscribed."),
    })
}

/// Stage shares at one thread, mode stages.
fn share_figure(input: &AnalysisInput) -> Option<Figure> {
    let cells: Vec<&Cell> = input
        .cells()
        .filter(|cell| cell.twin_of.is_none() && cell.op.threads == 1 && word(&cell.axes, "mode") == "stages")
        .filter(|cell| shares(input, cell).iter().all(|(_, share)| !share.is_empty()))
        .collect();
    if cells.is_empty() {
        return None;
    }
    let mean = |values: &[f64]| 100.0 * values.iter().sum::<f64>() / values.len() as f64;
    let series = STAGES
        .iter()
        .enumerate()
        .map(|(stage, name)| Series {
            name: (*name).to_owned(),
            points: cells
                .iter()
                .enumerate()
                .map(|(index, cell)| Point {
                    x: index as f64,
                    y: mean(&shares(input, cell)[stage].1),
                    lower: None,
                    upper: None,
                })
                .collect(),
            reference: false,
        })
        .collect();
    Some(Figure {
        id: "gpu-wait-shares".to_owned(),
        title: "What the wait consists of, one thread".to_owned(),
        kind: FigureKind::StackedBars,
        x: present::categories(
            "stack",
            cells.iter().map(|cell| format!("{} ({})", cell.op.call_path, cell.subject)).collect(),
        ),
        y: present::axis("share of the wait (%)", false),
        series,
        caption: "Mean shares across runs, mode stages. Intervals stand in results.csv.".to_owned(),
    })
}
