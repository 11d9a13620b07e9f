//! `llmbench rank`: engines of a run in order, over the texts on which all of them are right.

use clap::Args;
use pipeline::{Exit, Failure};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use benchstats::paired;
use record::folder::RunFolder;
use record::measurements::Measurements;
use record::plan::{Cell, Plan, Timing};
use record::results::{Estimate, Row, Status, Table};
use serde::Serialize;

use super::console;
use record::format;
use report::terminal;
use suites::house::estimate;
use suites::preprocessing::stacks::{NATIVE_ENCODE, TRANSFORMERS};
use suites::present::{self, column, distinct, text};
use suites::spec::suggestion;

/// `llmbench rank`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  llmbench rank\n  llmbench rank latest --subject native\n  llmbench rank latest --baseline tiktoken-rs\n  llmbench rank latest --op template --json"
)]
pub struct RankArgs {
    /// A run folder, or `latest`.
    #[arg(default_value = "latest")]
    pub run: PathBuf,

    /// The experiment whose cells are ranked.
    #[arg(long, value_name = "EXP", default_value = "engines")]
    pub experiment: String,

    /// What the engines do.
    #[arg(long, value_name = "OP", default_value = "tokenize", value_parser = ["tokenize", "template"])]
    pub op: String,

    /// Compare with this engine: ENGINE, ENGINE/CALL_PATH or SUBJECT:ENGINE/CALL_PATH.
    #[arg(long, value_name = "ENGINE")]
    pub baseline: Option<String>,

    /// Rank only what ran in this subject: native, python.
    #[arg(long, value_name = "SUBJECT")]
    pub subject: Option<String>,

    /// For programs.
    #[arg(long)]
    pub json: bool,
}

/// An engine that passed fewer than this share of the points that the baseline passed is left out, so that it does not
/// leave the others without points.
const LEAST_SHARE: f64 = 0.5;

/// What is to be ranked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub experiment: String,
    /// `tokenize` or `template`.
    pub op: String,
    /// `engine`, `engine/call_path` or `subject:engine/call_path`; none for the reference of the operation.
    pub baseline: Option<String>,
    /// Only call paths of this subject, and the baseline.
    pub subject: Option<String>,
}

/// A call path of a subject.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Who {
    pub subject: String,
    pub engine: String,
    pub call_path: String,
}

impl Who {
    fn of(cell: &Cell) -> Self {
        Self { subject: cell.subject.clone(), engine: cell.op.engine.clone(), call_path: cell.op.call_path.clone() }
    }

    fn is(&self, name: &str) -> bool {
        let (subject, path) = name.split_once(':').map_or((None, name), |(subject, path)| (Some(subject), path));
        subject.is_none_or(|subject| subject == self.subject)
            && (path == self.engine || path == format!("{}/{}", self.engine, self.call_path))
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:{}/{}", self.subject, self.engine, self.call_path)
    }
}

/// An engine in its place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranked {
    #[serde(flatten)]
    pub who: Who,
    /// Geometric mean over the points of time over the baseline's, then over runs with its interval.
    pub time_ratio: Estimate,
}

/// An engine or a point that takes no part, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    pub what: String,
    pub reason: String,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranking {
    pub run_id: String,
    pub experiment: String,
    pub op: String,
    pub baseline: Who,
    /// Workloads that all ranked engines passed.
    pub points: Vec<String>,
    /// Fastest first.
    pub ranked: Vec<Ranked>,
    pub engines_left_out: Vec<LeftOut>,
    pub points_left_out: Vec<LeftOut>,
}

/// Runs the verb.
///
/// # Errors
/// Usage: no such run, experiment or engine, or nothing that can be ranked.
pub fn rank(args: &RankArgs) -> Result<Exit, Failure> {
    let folder = RunFolder::open(&args.run, Path::new("output")).map_err(Failure::usage)?;
    let info = folder.read_info().map_err(Failure::usage)?;
    let measurements = Measurements::read(&folder).map_err(Failure::usage)?;
    let question = Question {
        experiment: args.experiment.clone(),
        op: args.op.clone(),
        baseline: args.baseline.clone(),
        subject: args.subject.clone(),
    };
    let ranking = ranking(&info.run_id, &info.plan, &measurements, &question).map_err(Failure::usage)?;
    if args.json {
        let json = serde_json::to_string_pretty(&ranking).map_err(Failure::bug)?;
        return console::print(&format!("{json}\n"));
    }
    let width = if std::io::stdout().is_terminal() { console::width().unwrap_or(80) } else { 80 };
    console::print(&terminal::table(&table(&ranking), width, terminal::Style::of_stdout()))
}

/// Ranks the engines of an experiment: in each run the geometric mean of time over the baseline's across the points that all
/// ranked engines passed, then `exp(mean ± t·s/√n)` across runs.
///
/// # Errors
/// A sentence that names what is missing and what to do.
pub fn ranking(run_id: &str, plan: &Plan, measurements: &Measurements, question: &Question) -> Result<Ranking, String> {
    let Question { experiment, op, .. } = question;
    let cells: Vec<&Cell> = plan.cells.iter().filter(|cell| takes_part(cell, experiment, op)).collect();
    if cells.is_empty() {
        return Err(nothing(plan, question));
    }
    let all = distinct(cells.iter().map(|cell| Who::of(cell)));
    let baseline = baseline(&all, question)?;
    let mut field = Field::new(&cells, measurements, &baseline);
    let mut points_left_out = field.drop_points_without_baseline();
    let candidates: Vec<Who> = all
        .into_iter()
        .filter(|who| *who == baseline || question.subject.as_ref().is_none_or(|subject| *subject == who.subject))
        .collect();
    field.keep_points_of(&candidates);
    let (mut kept, engines_left_out) = field.part(&candidates);
    points_left_out.extend(field.drop_points_not_passed_by(&kept));
    if field.points.is_empty() {
        return Err(format!(
            "no point of {experiment} was passed by {baseline} and by the engines that were to be ranked; look at the report for \
             what failed, or measure it again: llmbench run {} --exp {experiment}",
            plan.suite
        ));
    }
    let mut ranked: Vec<Ranked> =
        kept.drain(..).filter_map(|who| Some(Ranked { time_ratio: field.time_ratio(&who)?, who })).collect();
    ranked.sort_by(|a, b| a.time_ratio.point.total_cmp(&b.time_ratio.point));
    if ranked.len() < 2 {
        return Err(format!(
            "there is nothing to rank beside {baseline}: no other engine passed a point in a complete run"
        ));
    }
    Ok(Ranking {
        run_id: run_id.to_owned(),
        experiment: experiment.clone(),
        op: op.clone(),
        points: field.points,
        baseline: baseline.clone(),
        ranked,
        engines_left_out,
        points_left_out,
    })
}

/// One thread, warm, one text a call.
fn takes_part(cell: &Cell, experiment: &str, op: &str) -> bool {
    cell.experiment == experiment
        && cell.op.name == op
        && cell.timing == Timing::Loop
        && cell.cache == "warm"
        && cell.twin_of.is_none()
}

fn nothing(plan: &Plan, question: &Question) -> String {
    let experiments = distinct(plan.cells.iter().map(|cell| cell.experiment.clone()));
    if experiments.contains(&question.experiment) {
        return format!("the experiment {} times no {} call by itself", question.experiment, question.op);
    }
    format!(
        "the run has no experiment `{}`{}; measure it: llmbench run {} --exp {}",
        question.experiment,
        suggestion(&question.experiment, &experiments),
        plan.suite,
        question.experiment
    )
}

/// The engine that the others are compared with.
fn baseline(all: &[Who], question: &Question) -> Result<Who, String> {
    let Some(name) = &question.baseline else {
        let wanted = if question.op == "template" { TRANSFORMERS.template } else { NATIVE_ENCODE };
        let is_wanted = |who: &&Who| (who.engine.as_str(), who.call_path.as_str()) == (wanted.engine, wanted.call_path);
        let native = all.iter().filter(is_wanted).find(|who| who.subject == "native");
        let found = native.or_else(|| all.iter().find(is_wanted)).or(all.first());
        return found.cloned().ok_or_else(|| "the run has no engine".to_owned());
    };
    let found: Vec<&Who> = all.iter().filter(|who| who.is(name)).collect();
    match found.as_slice() {
        [] => Err(format!(
            "the run has no engine `{name}`{}",
            suggestion(name, &all.iter().map(Who::to_string).collect::<Vec<_>>())
        )),
        [one] => Ok((*one).clone()),
        several => Err(format!(
            "`{name}` is several call paths; name one: {}",
            several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        )),
    }
}

/// Points by engines.
struct Field<'a> {
    measurements: &'a Measurements,
    baseline: &'a Who,
    cells: BTreeMap<(Who, String), &'a Cell>,
    /// Workloads, in the order of the plan.
    points: Vec<String>,
}

impl<'a> Field<'a> {
    fn new(cells: &[&'a Cell], measurements: &'a Measurements, baseline: &'a Who) -> Self {
        Self {
            measurements,
            baseline,
            cells: cells.iter().map(|cell| ((Who::of(cell), cell.workload.clone()), *cell)).collect(),
            points: distinct(cells.iter().map(|cell| cell.workload.clone())),
        }
    }

    fn cell(&self, who: &Who, point: &str) -> Option<&'a Cell> {
        self.cells.get(&(who.clone(), point.to_owned())).copied()
    }

    /// Why an engine did not pass a point; none if it did.
    fn failure(&self, who: &Who, point: &str) -> Option<String> {
        let Some(cell) = self.cell(who, point) else { return Some("not measured there".to_owned()) };
        let status = self.measurements.status(&cell.id);
        let data = self.measurements.cell(&cell.id);
        if status == Status::Ok && data.is_some_and(|data| !data.runs.is_empty()) {
            return None;
        }
        let word = match status {
            Status::Ok | Status::Skipped => "not measured in a complete run",
            Status::Mismatch => "differs from the reference",
            Status::Unchecked => "could not be checked",
            Status::Unavailable => "is not to be had here",
            _ => "failed",
        };
        let message = data.and_then(|data| data.message.clone()).unwrap_or_default();
        let message = message.lines().next().unwrap_or_default();
        Some(if message.is_empty() { word.to_owned() } else { format!("{word} ({message})") })
    }

    fn drop_points_without_baseline(&mut self) -> Vec<LeftOut> {
        self.drop(|field, point| {
            field.failure(field.baseline, point).map(|reason| format!("the baseline {} {reason}", field.baseline))
        })
    }

    /// Points at which none of these but the baseline was to be measured say nothing about them.
    fn keep_points_of(&mut self, candidates: &[Who]) {
        let others: Vec<&Who> = candidates.iter().filter(|who| *who != self.baseline).collect();
        let cells = &self.cells;
        self.points.retain(|point| others.iter().any(|who| cells.contains_key(&((*who).clone(), point.clone()))));
    }

    /// Who can be ranked, and who cannot and why.
    fn part(&self, candidates: &[Who]) -> (Vec<Who>, Vec<LeftOut>) {
        let mut kept = Vec::new();
        let mut left_out = Vec::new();
        for who in candidates {
            let failures: Vec<String> = self.points.iter().filter_map(|point| self.failure(who, point)).collect();
            let passed = self.points.len() - failures.len();
            if passed > 0 && passed as f64 >= LEAST_SHARE * self.points.len() as f64 {
                kept.push(who.clone());
                continue;
            }
            // What happened says more than what was never tried.
            let reason = failures.iter().find(|reason| *reason != "not measured there").or(failures.first());
            left_out.push(LeftOut {
                what: who.to_string(),
                reason: format!(
                    "passed {passed} of {} points: {}",
                    self.points.len(),
                    reason.map_or("", String::as_str)
                ),
            });
        }
        (kept, left_out)
    }

    fn drop_points_not_passed_by(&mut self, kept: &[Who]) -> Vec<LeftOut> {
        self.drop(|field, point| {
            let reasons: Vec<String> = kept
                .iter()
                .filter_map(|who| field.failure(who, point).map(|reason| format!("{who} {reason}")))
                .collect();
            (!reasons.is_empty()).then(|| reasons.join("; "))
        })
    }

    fn drop(&mut self, reason: impl Fn(&Self, &str) -> Option<String>) -> Vec<LeftOut> {
        let mut left_out = Vec::new();
        let mut points = std::mem::take(&mut self.points);
        points.retain(|point| match reason(self, point) {
            Some(reason) => {
                left_out.push(LeftOut { what: point.clone(), reason });
                false
            }
            None => true,
        });
        self.points = points;
        left_out
    }

    /// Over the runs in which the engine and the baseline were measured at all points.
    fn time_ratio(&self, who: &Who) -> Option<Estimate> {
        let ratios: Vec<BTreeMap<u32, f64>> = self
            .points
            .iter()
            .map(|point| {
                let (row, base) = (self.cell(who, point)?, self.cell(self.baseline, point)?);
                Some(self.measurements.ratios(&row.id, &base.id))
            })
            .collect::<Option<_>>()?;
        let runs = ratios.first()?.keys();
        let means: Vec<f64> = runs
            .filter_map(|run| {
                let logs: Option<Vec<f64>> = ratios.iter().map(|of| of.get(run).map(|ratio| ratio.ln())).collect();
                let logs = logs?;
                Some((logs.iter().sum::<f64>() / logs.len() as f64).exp())
            })
            .collect();
        let samples = |who: &Who| -> u64 {
            let of = |point: &String| self.measurements.cell(&self.cell(who, point)?.id).map(|data| data.samples());
            self.points.iter().filter_map(of).sum()
        };
        let samples = u32::try_from(samples(who)).unwrap_or(u32::MAX);
        match paired::of_ratios(&means, estimate::LEVEL) {
            Ok(paired) => {
                Some(estimate::estimate(&paired.interval, "geometric-mean-paired-log-t", means.len(), samples))
            }
            Err(_) => means.first().map(|mean| estimate::point_only(*mean, means.len(), samples)),
        }
    }
}

/// The ranking as a table with what was left out below it.
fn table(ranking: &Ranking) -> Table {
    let body = ranking
        .ranked
        .iter()
        .enumerate()
        .map(|(place, ranked)| Row {
            values: vec![
                text((place + 1).to_string()),
                text(format!("{}/{}", ranked.who.engine, ranked.who.call_path)),
                text(ranked.who.subject.clone()),
                present::figure(Some(&estimate::inverse(&ranked.time_ratio)), format::ratio_ci, None),
            ],
            status: Status::Ok,
            group: String::new(),
        })
        .collect();
    let points = ranking.points.len();
    let mut notes = vec![
        format!(
            "Geometric mean over {points} {} that all of these passed, paired with {} within {} runs, 95% intervals.",
            if points == 1 { "text" } else { "texts" },
            ranking.baseline,
            ranking.ranked.iter().map(|ranked| ranked.time_ratio.runs).min().unwrap_or(0)
        ),
        format!("Over: {}.", ranking.points.join(", ")),
    ];
    for (what, list) in [("Engine", &ranking.engines_left_out), ("Text", &ranking.points_left_out)] {
        notes.extend(list.iter().map(|out| format!("{what} left out: {}: {}.", out.what, out.reason)));
    }
    Table {
        id: "rank".to_owned(),
        title: format!("{} engines of {}, fastest first", ranking.op, ranking.run_id),
        columns: vec![
            column("", true, 0),
            column("engine", false, 0),
            column("in", false, 1),
            column("times as fast", true, 0),
        ],
        rows: body,
        notes,
    }
}
