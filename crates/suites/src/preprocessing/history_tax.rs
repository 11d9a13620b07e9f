//! 2 history-tax: what does a long chat history cost beyond its tokens?

use std::collections::BTreeMap;

use record::plan::WorkloadSpec;
use record::plan::{Cell, Plan};
use record::results::{ExperimentResult, Figure, FigureKind, Finding, Record, Row, Series, Status, Support, Table};

use super::cells;
use super::history_fit::{self, Fit};
use super::rows::{self, Judged, Rows};
use super::stacks::{self, CallPath, STACKS, Stack};
use crate::present::{self, column, finding, number, text};
use crate::settings::{ExperimentSettings, PlanContext};
use crate::{AnalysisInput, Experiment};
use record::format;

/// The experiment.
pub struct HistoryTax;

/// The stages that see messages or their text; collation and hand-off see only the ids.
const STAGES: [&str; 3] = ["parse", "template", "tokenize"];

impl Experiment for HistoryTax {
    fn name(&self) -> &'static str {
        "history-tax"
    }

    fn workloads(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<WorkloadSpec>, String> {
        cells::workloads(context, settings)
    }

    fn cells(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<Cell>, String> {
        if context.workload == "dataset" {
            return Err(
                "history-tax varies the turns at constant tokens, which a dataset cannot; leave it out with --exp"
                    .to_owned(),
            );
        }
        let mut cells = Vec::new();
        for (axes, workload) in &cells::points(context, settings)? {
            for subject in &context.subjects {
                for path in paths(&subject.kind) {
                    let beside = format!("{}/{}", subject.id, path.pair());
                    let cell = cells::inline_cell(settings, subject, &path, axes, workload, (beside, &["turns"]));
                    if cells.iter().all(|cell: &Cell| cell.twin_of.is_none())
                        && context.baseline() == Some(subject)
                        && path == baseline_path(&subject.kind)
                    {
                        cells.push(cells::twin(&cell));
                    }
                    cells.push(cell);
                }
            }
        }
        Ok(cells)
    }

    /// Most turns against fewest, at each token count and call path.
    fn comparisons(&self, plan: &Plan) -> Vec<(String, String)> {
        let cells: Vec<&Cell> =
            plan.cells.iter().filter(|cell| cell.experiment == self.name() && cell.twin_of.is_none()).collect();
        let turns = present::distinct(cells.iter().map(|cell| number(&cell.axes, "turns")));
        let (Some(fewest), Some(most)) = (turns.iter().min().copied(), turns.iter().max().copied()) else {
            return Vec::new();
        };
        let mut pairs = Vec::new();
        for long in cells.iter().filter(|cell| number(&cell.axes, "turns") == most && most > fewest) {
            let short = cells.iter().find(|cell| {
                number(&cell.axes, "turns") == fewest
                    && cell.axes.get("tokens") == long.axes.get("tokens")
                    && cell.subject == long.subject
                    && cell.op == long.op
            });
            pairs.extend(short.map(|short| (long.id.clone(), short.id.clone())));
        }
        pairs
    }

    fn analyse(&self, input: &AnalysisInput) -> (ExperimentResult, Vec<Record>) {
        let mut rows = Rows::new(input);
        let mut result = present::outline(input);
        let series = stack_series(input, &rows);
        let levels = present::distinct(input.cells().map(|cell| number(&cell.axes, "tokens")));
        for series in &series {
            for tokens in &levels {
                result.findings.extend(tax_finding(input, &rows, series, *tokens));
            }
        }
        if let Some(first) = result.findings.first_mut() {
            first.headline = true;
        }
        result.findings.extend(series.iter().filter_map(|series| fit_finding(input, series)));
        let judged = rows.judge(&self.comparisons(input.plan));
        for subject in input.subjects() {
            for tokens in &levels {
                result.tables.push(time_table(input, &mut rows, &judged, &subject, *tokens));
            }
        }
        result.tables.extend(fit_table(&mut rows, &series));
        result.figures = levels.iter().map(|tokens| figure(&series, *tokens)).collect();
        result.warnings = rows.warnings(&[]);
        (result, rows.records)
    }
}

/// Time of a stack's parse, template and tokenize (and their sum, `total`) over the points, by run.
struct StackSeries {
    stack: Stack,
    subject: String,
    /// Some measured cell of it: what its rows are attached to.
    cell: Cell,
    /// (stage, point) to time by run, ns.
    times: BTreeMap<(&'static str, Vec<u64>), BTreeMap<u32, f64>>,
    /// Point as (tokens, turns).
    points: Vec<Vec<u64>>,
    samples: u32,
}

/// Stage names of a series: the three and their sum.
const SERIES_STAGES: [&str; 4] = ["parse", "template", "tokenize", "total"];

fn stack_series(input: &AnalysisInput, rows: &Rows) -> Vec<StackSeries> {
    let mut all = Vec::new();
    for subject in &input.plan.subjects {
        for stack in STACKS.iter().filter(|stack| stack.kind == subject.kind && stack.name != "lean") {
            let mut times = BTreeMap::new();
            let mut points: Vec<Vec<u64>> = Vec::new();
            let mut first: Option<Cell> = None;
            let mut samples = 0;
            for cell in input.cells().filter(|cell| cell.subject == subject.id && cell.twin_of.is_none()) {
                let Some(stage) = STAGES.iter().find(|stage| **stage == cell.op.name && of_stack(stack, cell)) else {
                    continue;
                };
                let point = vec![number(&cell.axes, "tokens"), number(&cell.axes, "turns")];
                let values = input.measurements.run_values(&cell.id);
                // What was not checked is in the table of times, but nothing is concluded from it.
                if values.is_empty() || !rows.rankable(&cell.id) {
                    continue;
                }
                samples += rows.samples(&cell.id);
                first.get_or_insert_with(|| cell.clone());
                times.insert((*stage, point.clone()), values);
                if !points.contains(&point) {
                    points.push(point);
                }
            }
            for point in &points {
                let parts: Vec<&BTreeMap<u32, f64>> =
                    STAGES.iter().filter_map(|stage| times.get(&(*stage, point.clone()))).collect();
                if parts.len() == STAGES.len() {
                    let total = parts[0]
                        .keys()
                        .filter_map(|run| {
                            parts.iter().map(|part| part.get(run)).sum::<Option<f64>>().map(|sum| (*run, sum))
                        })
                        .collect();
                    times.insert(("total", point.clone()), total);
                }
            }
            if let Some(cell) = first {
                all.push(StackSeries { stack: *stack, subject: subject.id.clone(), cell, times, points, samples });
            }
        }
    }
    // Python first: it is the question's subject.
    all.sort_by_key(|series| series.subject == "native");
    all
}

impl StackSeries {
    fn label(&self) -> String {
        format!("{} ({})", self.stack.name, self.subject)
    }

    fn at(&self, stage: &'static str, tokens: u64, turns: u64) -> Option<&BTreeMap<u32, f64>> {
        self.times.get(&(stage, vec![tokens, turns]))
    }

    fn turns(&self, tokens: u64) -> Vec<u64> {
        let mut turns: Vec<u64> = self.points.iter().filter(|point| point[0] == tokens).map(|point| point[1]).collect();
        turns.sort_unstable();
        turns
    }

    fn fit(&self, stage: &'static str) -> Option<Fit> {
        let observations: Vec<(u64, u64, &BTreeMap<u32, f64>)> = self
            .points
            .iter()
            .filter_map(|point| {
                self.times.get(&(stage, point.clone())).map(|times| (point[0], messages(point[1]), times))
            })
            .collect();
        history_fit::fit(&observations, self.samples)
    }
}

/// Messages of a conversation of that many turns; the last has no reply.
fn messages(turns: u64) -> u64 {
    2 * turns - 1
}

fn of_stack(stack: &Stack, cell: &Cell) -> bool {
    stack.stage(&cell.op.name).is_some_and(|path| path.engine == cell.op.engine && path.call_path == cell.op.call_path)
}

fn paths(kind: &str) -> Vec<CallPath> {
    let stack = if kind == "native" { stacks::NATIVE } else { stacks::TRANSFORMERS };
    stacks::call_paths(kind, false, false)
        .into_iter()
        .filter(|path| {
            // jinja2 tells the template's cost from its wrapper's.
            STAGES.contains(&path.op) && (stack.stage(path.op) == Some(*path) || path.op == "template")
        })
        // Of the Rust tokenizer's call paths only the fast one is here, so its ids are the reference; anatomy compares them all.
        .map(|path| CallPath { reference: path.reference || path == stacks::NATIVE.tokenize, ..path })
        .collect()
}

fn baseline_path(kind: &str) -> CallPath {
    if kind == "native" { stacks::NATIVE.template } else { stacks::TRANSFORMERS.template }
}

fn tax_finding(input: &AnalysisInput, rows: &Rows, series: &StackSeries, tokens: u64) -> Option<Finding> {
    let turns = series.turns(tokens);
    let (few, many) = (*turns.first()?, *turns.last()?);
    if few == many {
        return None;
    }
    let ratio =
        rows::ratio_estimate(series.at("total", tokens, many)?, series.at("total", tokens, few)?, series.samples)?;
    let template = rows::ratio_estimate(
        series.at("template", tokens, many)?,
        series.at("template", tokens, few)?,
        series.samples,
    )?;
    let support = present::above(&ratio, 1.0 + rows.floor);
    let end = match support {
        Support::Supported => String::new(),
        Support::NotSupported => format!(", not beyond the noise floor of {}", format::percent(rows.floor)),
        Support::Inconclusive => format!(", not clearly beyond the noise floor of {}", format::percent(rows.floor)),
    };
    let sentence = format!(
        "{}: at {} tokens, {many} turns cost {} what {few} {}{end}; the template alone {}.",
        series.label(),
        format::count(tokens),
        format::ratio_ci(&ratio),
        if few == 1 { "turn does" } else { "turns do" },
        format::ratio_ci(&template),
    );
    let claim = format!("{}: {many} turns are dearer than {few} at {} tokens", series.label(), format::count(tokens));
    let cells = input
        .cells()
        .filter(|cell| cell.subject == series.subject && number(&cell.axes, "tokens") == tokens)
        .map(|cell| cell.id.clone())
        .collect();
    Some(finding(input, support, claim, sentence, cells))
}

fn fit_finding(input: &AnalysisInput, series: &StackSeries) -> Option<Finding> {
    let fit = series.fit("total")?;
    let support = present::above(&fit.per_message, 0.0);
    let sentence = format!(
        "{}: each further message costs {}, each 1,000 tokens {}; {}.",
        series.label(),
        format::duration_ci(&fit.per_message),
        format::duration_ci(&rows::scaled(&fit.per_token, 1000.0)),
        fit.straightness(),
    );
    let claim = format!("{}: a message costs time beyond its tokens", series.label());
    Some(finding(input, support, claim, sentence, vec![series.cell.id.clone()]))
}

/// One row a call path: its time at each number of turns, and the most turns over the fewest.
fn time_table(input: &AnalysisInput, rows: &mut Rows, judged: &[Judged], subject: &str, tokens: u64) -> Table {
    let cells: Vec<Cell> = input
        .cells()
        .filter(|cell| cell.subject == subject && cell.twin_of.is_none() && number(&cell.axes, "tokens") == tokens)
        .cloned()
        .collect();
    let mut turns = present::distinct(cells.iter().map(|cell| number(&cell.axes, "turns")));
    turns.sort_unstable();
    let mut body = Vec::new();
    for (stage, engine, call_path) in present::distinct(
        cells.iter().map(|cell| (cell.op.name.clone(), cell.op.engine.clone(), cell.op.call_path.clone())),
    ) {
        let mut values = vec![text(stacks::label(&engine, &call_path))];
        let mut status = Status::Ok;
        let mut ratio = text("");
        for turns in &turns {
            let of_row = |cell: &&Cell| {
                cell.op.engine == engine && cell.op.call_path == call_path && number(&cell.axes, "turns") == *turns
            };
            let Some(cell) = cells.iter().find(of_row) else {
                values.push(text(""));
                continue;
            };
            let time = rows.time(cell);
            let record = rows.push(cell, &stage, "time", "ns", time.clone());
            if record.status != Status::Ok {
                status = record.status;
            }
            let error = record.error.clone();
            values.push(present::figure(time.as_ref(), present::duration_pm, error.as_deref()));
            if let Some(judged) = judged.iter().find(|judged| judged.row == cell.id) {
                rows.push_ratio(cell, &stage, judged);
                ratio = present::ratio_verdict(&judged.estimate, judged.verdict);
            }
        }
        values.push(ratio);
        body.push(Row { values, status, group: stage });
    }
    let last = turns.len().saturating_sub(1);
    let mut columns = vec![column("call path", false, 0)];
    // On a narrow terminal the ends say what the middle would.
    columns.extend(turns.iter().enumerate().map(|(index, turns)| {
        let title = format!("{turns} {}", if *turns == 1 { "turn" } else { "turns" });
        column(&title, true, u8::from(index != 0 && index != last))
    }));
    let (few, many) = (turns.first().copied().unwrap_or(0), turns.last().copied().unwrap_or(0));
    columns.push(column(&format!("{many} / {few}"), true, 0));
    Table {
        id: format!("history-{subject}-t{tokens}"),
        title: format!("{}, {} tokens", input.subject_title(subject), format::count(tokens)),
        columns,
        rows: body,
        notes: vec![
            "± is the half-width of the 95% interval across runs.".to_owned(),
            format!("{many} / {few}: time at {many} turns over time at {few}, paired within runs. {}", rows.marks()),
        ],
    }
}

/// The fitted line of every stage and stack.
fn fit_table(rows: &mut Rows, series: &[StackSeries]) -> Option<Table> {
    let mut body = Vec::new();
    for series in series {
        for stage in SERIES_STAGES {
            let Some(fit) = series.fit(stage) else { continue };
            for (metric, unit, estimate) in [
                ("fit_per_request", "ns", Some(&fit.per_request)),
                ("fit_per_message", "ns/message", Some(&fit.per_message)),
                ("fit_per_token", "ns/token", Some(&fit.per_token)),
                ("fit_per_message_squared", "ns/message^2", fit.per_message_squared.as_ref()),
            ] {
                // Two numbers of turns have no bend to tell, so there is no row of it.
                if let Some(estimate) = estimate {
                    rows.push(&series.cell, stage, metric, unit, Some(estimate.clone()));
                }
            }
            body.push(Row {
                values: vec![
                    text(format!("{} {stage}", series.stack.name)),
                    present::figure(Some(&fit.per_request), present::duration_pm, None),
                    present::figure(Some(&fit.per_message), present::duration_pm, None),
                    present::figure(Some(&rows::scaled(&fit.per_token, 1000.0)), present::duration_pm, None),
                    text(fit.lack_of_fit_word()),
                    present::figure(fit.per_message_squared.as_ref(), format::duration_ci, None),
                ],
                status: Status::Ok,
                group: series.label(),
            });
        }
    }
    (!body.is_empty()).then(|| Table {
        id: "history-fit".to_owned(),
        title: "time = a + b\u{b7}messages + c\u{b7}tokens".to_owned(),
        columns: vec![
            column("stack, stage", false, 0),
            column("a, per request", true, 0),
            column("b, per message", true, 0),
            column("c, per 1,000 tokens", true, 0),
            column("line holds", false, 1),
            column("messages\u{b2} term", true, 2),
        ],
        rows: body,
        notes: vec![
            "Coefficients are fitted in each run; ± is the half-width of the 95% interval across runs. A coefficient whose ± is over 100% \
             is not told from zero."
                .to_owned(),
            "line holds: no, where the lack-of-fit test rejects the straight line at 5%; the messages² term says in which direction."
                .to_owned(),
        ],
    })
}

fn figure(series: &[StackSeries], tokens: u64) -> Figure {
    let mut lines = Vec::new();
    for series in series {
        for stage in ["template", "tokenize", "total"] {
            let points = series
                .turns(tokens)
                .into_iter()
                .filter_map(|turns| {
                    let time = rows::log_estimate(&rows::values(series.at(stage, tokens, turns)?), series.samples)?;
                    Some(present::point(messages(turns) as f64, &time, 1e-6))
                })
                .collect();
            lines.push(Series { name: format!("{} {stage}", series.label()), points, reference: false });
        }
    }
    Figure {
        id: format!("history-tax-t{tokens}"),
        title: format!("{} tokens in ever more messages", format::count(tokens)),
        kind: FigureKind::Lines,
        x: present::axis("messages in the conversation", false),
        y: present::axis("time per request (ms)", true),
        series: lines,
        caption: "Mean across runs with 95% intervals; total is the sum of parse, template and tokenize. The tokens are the same at every point."
            .to_owned(),
    }
}
