//! 1 anatomy: where does the time of one request go before the engine sees its ids?

use std::collections::BTreeMap;

use benchstats::verdict::Verdict;
use record::plan::WorkloadSpec;
use record::plan::{Cell, Plan, Timing};
use record::results::{
    Estimate, ExperimentResult, Figure, FigureKind, Finding, Point, Record, Row, Series, Status, Support, Table,
};

use super::cells::{self, Draft};
use super::rows::{self, Rows};
use super::stacks::{self, STACKS, STAGES, Stack};
use crate::present::{self, Axes, column, describe, finding, slug, text};
use crate::settings::{ExperimentSettings, PlanContext};
use crate::{AnalysisInput, Experiment};
use record::format;

/// The experiment.
pub struct Anatomy;

impl Experiment for Anatomy {
    fn name(&self) -> &'static str {
        "anatomy"
    }

    fn workloads(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<WorkloadSpec>, String> {
        cells::workloads(context, settings)
    }

    fn cells(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<Cell>, String> {
        let mut cells = Vec::new();
        for (index, (axes, workload)) in cells::points(context, settings)?.iter().enumerate() {
            for subject in &context.subjects {
                for path in stacks::call_paths(&subject.kind, context.tiktoken, subject.torch) {
                    cells.push(cells::inline_cell(settings, subject, &path, axes, workload, (path.op.to_owned(), &[])));
                }
                for stack in STACKS.iter().filter(|stack| stack.kind == subject.kind) {
                    let total = cells::cell(
                        settings,
                        Draft {
                            subject,
                            op: stack.total(),
                            timing: Timing::Loop,
                            strategy: "inline",
                            axes: axes.clone(),
                            workload,
                            reference: false,
                            beside: "total".to_owned(),
                            varied: &[],
                        },
                    );
                    if index == 0 && context.baseline() == Some(subject) && stack.name != stacks::LEAN.name {
                        cells.push(cells::twin(&total));
                    }
                    // One a subject: each first call needs a process in which nothing was called before.
                    if index == 0 && stack.name != stacks::LEAN.name {
                        cells.push(cells::cold(&total));
                    }
                    cells.push(total);
                }
            }
        }
        Ok(cells)
    }

    fn comparisons(&self, plan: &Plan) -> Vec<(String, String)> {
        points(plan).iter().flat_map(|point| pairs(plan, point)).collect()
    }

    fn analyse(&self, input: &AnalysisInput) -> (ExperimentResult, Vec<Record>) {
        let mut rows = Rows::new(input);
        let mut result = present::outline(input);
        let judged = rows.judge(&self.comparisons(input.plan));
        for point in points(input.plan) {
            for subject in input.subjects() {
                let anatomies: Vec<StackAnatomy> = stacks_of(input, &subject)
                    .iter()
                    .filter_map(|stack| StackAnatomy::of(input, &rows, stack, &subject, &point))
                    .collect();
                result.findings.extend(anatomies.iter().map(|anatomy| anatomy.finding(input, &point)));
                result.tables.push(table(input, &mut rows, &judged, &anatomies, &subject, &point));
            }
            result.figures.extend(figure(input, &rows, &point));
        }
        result.findings.extend(stack_findings(input, &judged));
        result.findings.extend(cold_findings(input, &rows));
        if let Some(first) = result.findings.first_mut() {
            first.headline = true;
        }
        let headline: Vec<&Cell> =
            input.cells().filter(|cell| cell.op.name == "total" && cell.twin_of.is_none()).collect();
        result.warnings = rows.warnings(&headline);
        (result, rows.records)
    }
}

/// The stage times of one stack at one point, by run, and their sum.
struct StackAnatomy {
    stack: Stack,
    subject: String,
    stages: Vec<(&'static str, BTreeMap<u32, f64>)>,
    sum: BTreeMap<u32, f64>,
    total: Option<BTreeMap<u32, f64>>,
    samples: u32,
}

impl StackAnatomy {
    fn of(input: &AnalysisInput, rows: &Rows, stack: &Stack, subject: &str, point: &Axes) -> Option<Self> {
        let mut stages = Vec::new();
        let mut sum: BTreeMap<u32, f64> = BTreeMap::new();
        let mut samples = 0;
        for stage in STAGES {
            let path = stack.stage(stage)?;
            let cell =
                input.cells().find(|cell| is(cell, subject, point, &path.op(1).engine, path.call_path, stage))?;
            let values = input.measurements.run_values(&cell.id);
            samples += rows.samples(&cell.id);
            if values.is_empty() || !rows.rankable(&cell.id) {
                return None;
            }
            for (run, value) in &values {
                *sum.entry(*run).or_default() += value;
            }
            stages.push((stage, values));
        }
        // A run counts in the sum when every stage was measured in it.
        sum.retain(|run, _| stages.iter().all(|(_, values)| values.contains_key(run)));
        let total = input
            .cells()
            .find(|cell| is(cell, subject, point, "stack", stack.name, "total"))
            .map(|cell| input.measurements.run_values(&cell.id))
            .filter(|values| !values.is_empty());
        Some(Self { stack: *stack, subject: subject.to_owned(), stages, sum, total, samples })
    }

    /// Share of a stage in the sum of the stages, by run.
    fn share(&self, stage: &str) -> Vec<f64> {
        let Some((_, values)) = self.stages.iter().find(|(name, _)| *name == stage) else { return Vec::new() };
        self.sum.iter().filter_map(|(run, sum)| values.get(run).map(|value| value / sum)).collect()
    }

    /// What the whole pipeline takes beyond the sum of its stages, as a fraction of the whole, by run.
    fn unexplained(&self) -> Vec<f64> {
        let Some(total) = &self.total else { return Vec::new() };
        self.sum.iter().filter_map(|(run, sum)| total.get(run).map(|total| (total - sum) / total)).collect()
    }

    /// Which stage is the largest, and whether the data tell it from the next.
    fn finding(&self, input: &AnalysisInput, point: &Axes) -> Finding {
        let mut by_share: Vec<(&str, Vec<f64>)> =
            self.stages.iter().map(|(stage, _)| (*stage, self.share(stage))).collect();
        by_share.sort_by(|a, b| mean(&b.1).total_cmp(&mean(&a.1)));
        let (first, second) = (&by_share[0], &by_share[1]);
        let lead: Vec<f64> = first.1.iter().zip(&second.1).map(|(a, b)| a - b).collect();
        let distinct =
            rows::linear_estimate(&lead, self.samples).and_then(|lead| lead.lower).is_some_and(|lower| lower > 0.0);
        let share = rows::linear_estimate(&first.1, self.samples);
        let sum = rows::log_estimate(&rows::values(&self.sum), self.samples);
        let shown =
            |estimate: &Option<Estimate>, show: fn(&Estimate) -> String| estimate.as_ref().map_or("?".to_owned(), show);
        let place = format!("{} in {} at {}", self.stack.name, self.subject, describe(point));
        let sentence = if distinct {
            format!(
                "{place}: {} takes the most, {} of {} a request; next is {} with {}.",
                first.0,
                shown(&share, format::percent_ci),
                shown(&sum, format::duration_ci),
                second.0,
                format::percent(mean(&second.1)),
            )
        } else {
            format!(
                "{place}: {} ({}) and {} ({}) cannot be told apart in {} a request.",
                first.0,
                shown(&share, format::percent_ci),
                second.0,
                format::percent(mean(&second.1)),
                shown(&sum, format::duration_ci),
            )
        };
        finding(
            input,
            if distinct { Support::Supported } else { Support::Inconclusive },
            format!("{place}: one stage takes more than any other"),
            sentence,
            input
                .cells()
                .filter(|cell| cell.subject == self.subject && cell.axes == *point)
                .map(|cell| cell.id.clone())
                .collect(),
        )
    }
}

fn is(cell: &Cell, subject: &str, point: &Axes, engine: &str, call_path: &str, op: &str) -> bool {
    cell.subject == subject
        && cell.axes == *point
        && cell.op.engine == engine
        && cell.op.call_path == call_path
        && cell.op.name == op
        && cell.cache == "warm"
        && cell.twin_of.is_none()
}

fn points(plan: &Plan) -> Vec<Axes> {
    present::distinct(plan.cells.iter().filter(|cell| cell.experiment == "anatomy").map(|cell| cell.axes.clone()))
}

fn stacks_of(input: &AnalysisInput, subject: &str) -> Vec<Stack> {
    let kind = input.plan.subjects.iter().find(|spec| spec.id == subject).map_or("", |spec| spec.kind.as_str());
    STACKS.iter().copied().filter(|stack| stack.kind == kind).collect()
}

/// Each row against the call path of the `transformers` stack for its stage, in the first Python subject.
fn pairs(plan: &Plan, point: &Axes) -> Vec<(String, String)> {
    let Some(python) = plan.subjects.iter().find(|subject| subject.kind == "python") else { return Vec::new() };
    let warm = |cell: &&Cell| {
        cell.experiment == "anatomy" && cell.axes == *point && cell.cache == "warm" && cell.twin_of.is_none()
    };
    let baseline = |op: &str| {
        let (engine, call_path) = match stacks::TRANSFORMERS.stage(op) {
            Some(path) => (path.engine, path.call_path),
            None => ("stack", stacks::TRANSFORMERS.name),
        };
        plan.cells.iter().filter(warm).find(|cell| is(cell, &python.id, point, engine, call_path, op))
    };
    plan.cells
        .iter()
        .filter(warm)
        .filter_map(|cell| baseline(&cell.op.name).map(|base| (cell.id.clone(), base.id.clone())))
        .filter(|(row, base)| row != base)
        .collect()
}

fn table(
    input: &AnalysisInput,
    rows: &mut Rows,
    judged: &[rows::Judged],
    anatomies: &[StackAnatomy],
    subject: &str,
    point: &Axes,
) -> Table {
    let mut body = Vec::new();
    let cells: Vec<Cell> = input
        .cells()
        .filter(|cell| cell.subject == subject && cell.axes == *point && cell.twin_of.is_none())
        .cloned()
        .collect();
    let order = |cell: &Cell| STAGES.iter().position(|stage| *stage == cell.op.name).unwrap_or(STAGES.len());
    let mut sorted: Vec<&Cell> = cells.iter().collect();
    sorted.sort_by_key(|cell| (order(cell), cell.cache == "cold"));
    for cell in sorted {
        let time = rows.time(cell);
        let stage = cell.op.name.clone();
        let judgement = judged.iter().find(|judged| judged.row == cell.id);
        let record = rows.push(cell, &stage, "time", "ns", time.clone());
        let (status, error) = (record.status, record.error.clone());
        if let Some(judged) = judgement {
            rows.push_ratio(cell, &stage, judged);
        }
        let own = anatomies.iter().find(|anatomy| {
            anatomy
                .stack
                .stage(&stage)
                .is_some_and(|path| path.call_path == cell.op.call_path && path.engine == cell.op.engine)
        });
        let share = own
            .filter(|_| cell.cache == "warm")
            .and_then(|anatomy| rows::linear_estimate(&anatomy.share(&stage), anatomy.samples));
        if let Some(share) = &share {
            rows.push(cell, &stage, "share", "1", Some(share.clone()));
        }
        let cold = if cell.cache == "cold" { " (first call)" } else { "" };
        body.push(Row {
            values: vec![
                text(stage.clone()),
                text(format!("{}{cold}", stacks::label(&cell.op.engine, &cell.op.call_path))),
                present::figure(time.as_ref(), present::duration_pm, error.as_deref()),
                present::figure(share.as_ref(), |share| format::percent(share.point), None),
                judgement.map_or_else(|| text(""), |judged| present::ratio_verdict(&judged.speedup(), judged.verdict)),
            ],
            status,
            group: if stage == "total" { "total".to_owned() } else { "stages".to_owned() },
        });
        if stage == "total" && cell.cache == "warm" {
            let anatomy = anatomies.iter().find(|anatomy| anatomy.stack.name == cell.op.call_path);
            if let Some(unexplained) =
                anatomy.and_then(|anatomy| rows::linear_estimate(&anatomy.unexplained(), anatomy.samples))
            {
                rows.push(cell, &stage, "total_minus_stages", "1", Some(unexplained.clone()));
                body.push(Row {
                    values: vec![
                        text(""),
                        text("  minus the sum of its stages"),
                        present::figure(Some(&unexplained), format::percent_ci, None),
                        text(""),
                        text(""),
                    ],
                    status: Status::Ok,
                    group: "total".to_owned(),
                });
            }
        }
    }
    Table {
        id: format!("anatomy-{subject}-{}", slug(point)),
        title: format!("{}, {}", input.subject_title(subject), describe(point)),
        columns: vec![
            column("stage", false, 0),
            column("call path", false, 0),
            column("time/request", true, 0),
            column("share", true, 1),
            column("speed-up", true, 0),
        ],
        rows: body,
        notes: vec![
            "± is the half-width of the 95% interval across runs. share: of the stack's five stages; blank for a call path outside it."
                .to_owned(),
            format!("speed-up: over the transformers stack's call path of that stage in Python, paired within runs. {}", rows.marks()),
        ],
    }
}

fn figure(input: &AnalysisInput, rows: &Rows, point: &Axes) -> Option<Figure> {
    let anatomies: Vec<StackAnatomy> = input
        .subjects()
        .iter()
        .flat_map(|subject| {
            stacks_of(input, subject)
                .iter()
                .filter_map(|stack| StackAnatomy::of(input, rows, stack, subject, point))
                .collect::<Vec<_>>()
        })
        .collect();
    if anatomies.is_empty() {
        return None;
    }
    let series = STAGES
        .iter()
        .map(|stage| Series {
            name: (*stage).to_owned(),
            points: anatomies
                .iter()
                .enumerate()
                .filter_map(|(index, anatomy)| {
                    let (_, values) = anatomy.stages.iter().find(|(name, _)| name == stage)?;
                    let time = rows::log_estimate(&rows::values(values), anatomy.samples)?;
                    Some(Point { x: index as f64, y: time.point / 1e6, lower: None, upper: None })
                })
                .collect(),
            reference: false,
        })
        .collect();
    Some(Figure {
        id: format!("anatomy-{}", slug(point)),
        title: format!("One request of {}", describe(point)),
        kind: FigureKind::StackedBars,
        x: present::categories(
            "stack",
            anatomies.iter().map(|anatomy| format!("{} ({})", anatomy.stack.name, anatomy.subject)).collect(),
        ),
        y: present::axis("time per request (ms)", false),
        series,
        caption: "Mean time of each stage across runs, one thread, warm. The intervals stand in the tables.".to_owned(),
    })
}

/// Whole pipelines against the Python baseline.
fn stack_findings(input: &AnalysisInput, judged: &[rows::Judged]) -> Vec<Finding> {
    judged
        .iter()
        .filter_map(|judged| {
            let cell = input.cells().find(|cell| cell.id == judged.row && cell.op.name == "total")?;
            let speedup = format::ratio_ci(&judged.speedup());
            let (what, point) = (format!("{} in {}", cell.op.call_path, cell.subject), describe(&cell.axes));
            let (support, sentence) = match judged.verdict {
                Verdict::Faster => (
                    Support::Supported,
                    format!("{what} prepares a request of {point} {speedup} as fast as the transformers stack."),
                ),
                Verdict::Slower => (
                    Support::NotSupported,
                    format!("{what} is slower than the transformers stack at {point}: {speedup} as fast."),
                ),
                Verdict::Equivalent => (
                    Support::NotSupported,
                    format!(
                        "{what} is, within the noise floor, as fast as the transformers stack at {point}: {speedup}."
                    ),
                ),
                Verdict::Inconclusive => (
                    Support::Inconclusive,
                    format!(
                        "{what} against the transformers stack at {point}: {speedup}, inconclusive on this machine."
                    ),
                ),
            };
            Some(Finding {
                experiment: input.settings.name.clone(),
                claim: format!("{what} is faster than the transformers stack at {point}"),
                support,
                sentence,
                cells: vec![judged.row.clone(), judged.baseline.clone()],
                headline: false,
            })
        })
        .collect()
}

/// The first request of a process against warm ones of the same stack.
fn cold_findings(input: &AnalysisInput, rows: &Rows) -> Vec<Finding> {
    input
        .cells()
        .filter(|cell| cell.cache == "cold")
        .filter_map(|cold| {
            let warm = input
                .cells()
                .find(|cell| is(cell, &cold.subject, &cold.axes, &cold.op.engine, &cold.op.call_path, &cold.op.name))?;
            if !(rows.rankable(&cold.id) && rows.rankable(&warm.id)) {
                return None;
            }
            let ratio = rows::ratio_estimate(
                &input.measurements.run_values(&cold.id),
                &input.measurements.run_values(&warm.id),
                rows.samples(&cold.id),
            )?;
            let lower = ratio.lower?;
            let upper = ratio.upper?;
            let support = if lower > 1.0 + rows.floor {
                Support::Supported
            } else if upper < 1.0 + rows.floor {
                Support::NotSupported
            } else {
                Support::Inconclusive
            };
            let what = format!("request of the {} stack ({})", cold.op.call_path, cold.subject);
            let time = rows.time(cold)?;
            Some(Finding {
                experiment: input.settings.name.clone(),
                claim: format!("the first {what} in a process is dearer than a warm one"),
                support,
                sentence: format!(
                    "The first {what} in a process takes {}, {} the time of a warm one at {}.",
                    format::duration_ci(&time),
                    format::ratio_ci(&ratio),
                    describe(&cold.axes)
                ),
                cells: vec![cold.id.clone(), warm.id.clone()],
                headline: false,
            })
        })
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
