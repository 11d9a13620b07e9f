//! 5 strategies: which way of using the cores carries the most requests, and what does it cost in latency, CPU and memory?

use std::collections::BTreeMap;

use benchstats::Verdict;
use loadgen::order::Drive;
use record::plan::WorkloadSpec;
use record::plan::{Cell, Op, Plan, Timing};
use record::results::{Estimate, ExperimentResult, Finding, Record, Support};
use serde_json::{Value, json};

use super::cells::{self, Draft};
use super::rows::{Judged, Rows};
use super::spread::{BASELINE, SPREADS, Spread, Workers};
use super::stacks;
use super::strategy_tables::{
    Way, capacity_figure, capacity_rate, capacity_table, invalid_warning, latency_figure, latency_table,
    unbalanced_warnings, ways,
};
use crate::present::{self, Axes, finding, word};
use crate::settings::{ExperimentSettings, PlanContext, PlannedSubject};
use crate::spec;
use crate::{AnalysisInput, Experiment};
use record::format;

/// The experiment.
pub struct Strategies;

impl Experiment for Strategies {
    fn name(&self) -> &'static str {
        "strategies"
    }

    fn workloads(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<WorkloadSpec>, String> {
        cells::workloads(context, settings)
    }

    fn cells(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<Cell>, String> {
        let mut cells: Vec<Cell> = Vec::new();
        for (axes, workload) in &cells::points(context, settings)? {
            let point = Point { context, settings, axes, workload };
            cells.extend(point.reference());
            for driver in &context.drivers {
                for spread in selected(settings, &driver.serves)? {
                    let workers = match spread.workers {
                        Workers::One => vec![1],
                        Workers::Axis => settings.numbers("workers", context.cores)?,
                    };
                    for workers in workers {
                        cells.extend(point.of_spread(driver, &spread, workers));
                    }
                }
            }
        }
        common_rate(&mut cells);
        Ok(cells)
    }

    /// The capacity of every way against the baseline's.
    fn comparisons(&self, plan: &Plan) -> Vec<(String, String)> {
        let cells: Vec<&Cell> = plan.cells.iter().filter(|cell| cell.experiment == self.name()).collect();
        pairs(&cells)
    }

    fn analyse(&self, input: &AnalysisInput) -> (ExperimentResult, Vec<Record>) {
        let mut rows = Rows::new(input);
        let mut result = present::outline(input);
        let cells: Vec<&Cell> = input.cells().collect();
        let judged = rows.judge(&pairs(&cells));
        let ways = ways(input);
        result.tables = vec![capacity_table(input, &mut rows, &ways, &judged), latency_table(input, &mut rows, &ways)];
        result.findings = findings(input, &rows, &ways, &judged);
        if let Some(first) = result.findings.first_mut() {
            first.headline = true;
        }
        result.figures =
            [capacity_figure(&rows, &ways), latency_figure(input, &rows, &ways)].into_iter().flatten().collect();
        let capacities: Vec<&Cell> = ways.iter().map(|way| way.capacity).collect();
        result.warnings = rows.warnings(&capacities);
        result.warnings.extend(invalid_warning(input));
        result.warnings.extend(unbalanced_warnings(input, &rows, &ways));
        (result, rows.records)
    }
}

/// The ways that the settings name, of those a kind of server has.
fn selected(settings: &ExperimentSettings, kind: &str) -> Result<Vec<Spread>, String> {
    let wanted = settings.words("strategy");
    let known: Vec<String> = SPREADS.iter().map(|spread| spread.name.to_owned()).collect();
    if let Some(unknown) = wanted.iter().find(|name| *name != "all" && !known.contains(name)) {
        return Err(format!(
            "experiment {}: there is no strategy `{unknown}`{}",
            settings.name,
            spec::suggestion(unknown, &known)
        ));
    }
    let all = wanted.iter().any(|name| name == "all");
    Ok(SPREADS
        .into_iter()
        .filter(|spread| spread.kind == kind && (all || wanted.iter().any(|name| name == spread.name)))
        .collect())
}

/// Value of the axis `load` of the cells that are all driven at one rate.
const COMMON: &str = "common";

/// One workload of the experiment.
struct Point<'a> {
    context: &'a PlanContext,
    settings: &'a ExperimentSettings,
    axes: &'a Axes,
    workload: &'a WorkloadSpec,
}

impl Point<'_> {
    /// The Rust tokenizer inline: the reference of all ids.
    fn reference(&self) -> Option<Cell> {
        let native = self.context.subjects.iter().find(|subject| subject.kind == "native")?;
        let path = stacks::NATIVE_ENCODE;
        Some(cells::inline_cell(self.settings, native, &path, self.axes, self.workload, (String::new(), &[])))
    }

    fn of_spread(&self, driver: &PlannedSubject, spread: &Spread, workers: u32) -> Vec<Cell> {
        let capacity = self.cell(driver, spread, workers, "capacity", (Drive::Capacity, Vec::new()));
        let mut cells = Vec::new();
        if spread.name == BASELINE && self.context.drivers.iter().find(|other| other.serves == "python") == Some(driver)
        {
            cells.push(twin(&capacity));
        }
        let id = capacity.id.clone();
        cells.push(capacity);
        for percent in self.settings.numbers("load", self.context.cores).unwrap_or_default() {
            let share = f64::from(percent) / 100.0;
            cells.push(self.cell(
                driver,
                spread,
                workers,
                &format!("{percent}%"),
                (Drive::Share { share }, vec![id.clone()]),
            ));
        }
        if self.settings.param("common_load").is_some_and(|share| share > 0.0) {
            let share = self.settings.param("common_load").unwrap_or_default() / 100.0;
            cells.push(self.cell(driver, spread, workers, COMMON, (Drive::Share { share }, Vec::new())));
        }
        cells
    }

    fn cell(
        &self,
        driver: &PlannedSubject,
        spread: &Spread,
        workers: u32,
        load: &str,
        (drive, needs): (Drive, Vec<String>),
    ) -> Cell {
        let mut axes = self.axes.clone();
        axes.insert("strategy".to_owned(), Value::from(spread.name));
        axes.insert("workers".to_owned(), Value::from(workers));
        axes.insert("load".to_owned(), Value::from(load));
        let span_ms = self.settings.param(if load == "capacity" { "capacity_ms" } else { "load_ms" }).unwrap_or(2000.0);
        let params = BTreeMap::from([
            ("strategy".to_owned(), json!(spread.strategy)),
            ("options".to_owned(), spread.options()),
            ("pipeline".to_owned(), spread.pipeline()),
        ]);
        let is_capacity = load == "capacity";
        let mut cell = cells::cell(
            self.settings,
            Draft {
                subject: driver,
                op: Op {
                    name: "serve".to_owned(),
                    engine: "hf-tokenizers".to_owned(),
                    call_path: "encode".to_owned(),
                    threads: workers,
                    params,
                },
                timing: cells::load(&drive, span_ms, needs),
                strategy: spread.name,
                axes,
                workload: self.workload,
                reference: false,
                beside: format!("{}/{}/{workers}", driver.id, spread.name),
                varied: &["load"],
            },
        );
        if !is_capacity {
            // Its answers are compared one by one where they arrive; the capacity's hashes stand for both.
            cell.check = None;
        }
        cell
    }
}

/// The baseline's capacity again, at a server that was started anew.
fn twin(capacity: &Cell) -> Cell {
    let mut twin = cells::twin(capacity);
    if let Some(Value::Object(options)) = twin.op.params.get_mut("options") {
        options.insert("again".to_owned(), json!(true));
    }
    twin.beside.push_str("#twin");
    twin
}

/// All cells at one rate are driven at a share of the least capacity among them.
fn common_rate(cells: &mut [Cell]) {
    let capacities: Vec<String> = cells.iter().filter(|cell| is_capacity(cell)).map(|cell| cell.id.clone()).collect();
    for cell in cells.iter_mut().filter(|cell| word(&cell.axes, "load") == COMMON) {
        if let Timing::Stretch { needs, .. } = &mut cell.timing {
            needs.clone_from(&capacities);
        }
    }
}

pub(super) fn is_capacity(cell: &Cell) -> bool {
    word(&cell.axes, "load") == "capacity" && cell.twin_of.is_none()
}

/// Axes that say which requests are sent.
fn requests_of(axes: &Axes) -> Axes {
    let own = |name: &String| !["strategy", "workers", "load"].contains(&name.as_str());
    axes.iter().filter(|(name, _)| own(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// (way, baseline): the baseline is the plainest Python way on the same requests, by the first driver that has it.
fn pairs(cells: &[&Cell]) -> Vec<(String, String)> {
    let capacities: Vec<&&Cell> = cells.iter().filter(|cell| is_capacity(cell)).collect();
    capacities
        .iter()
        .filter_map(|cell| {
            let baseline = capacities.iter().find(|base| {
                word(&base.axes, "strategy") == BASELINE && requests_of(&base.axes) == requests_of(&cell.axes)
            })?;
            (baseline.id != cell.id).then(|| (cell.id.clone(), baseline.id.clone()))
        })
        .collect()
}

/// The ways that can be ranked, the fastest first.
fn ranked<'a>(rows: &Rows, ways: &'a [Way<'a>]) -> Vec<(&'a Way<'a>, Estimate)> {
    let mut ranked: Vec<(&Way, Estimate)> = ways
        .iter()
        .filter(|way| rows.rankable(&way.capacity.id) && way.name() != "pass-through")
        .filter_map(|way| Some((way, capacity_rate(rows, way.capacity)?)))
        .collect();
    ranked.sort_by(|a, b| b.1.point.total_cmp(&a.1.point));
    ranked
}

fn findings(input: &AnalysisInput, rows: &Rows, ways: &[Way], judged: &[Judged]) -> Vec<Finding> {
    let ranked = ranked(rows, ways);
    let mut findings = Vec::new();
    findings.extend(best(input, &ranked, judged, "the best way", |_| true));
    findings.extend(best(input, &ranked, judged, "the best way with Python servers", |spread| {
        spread.kind == "python" && !spread.name.starts_with("sidecar-rust")
    }));
    for name in ["executor-shared", "executor-copies", "processes-bytes", "sidecar-rust"] {
        findings.extend(against_baseline(input, ways, judged, name));
    }
    findings
}

/// Which way carries the most, and how much more than the baseline.
fn best(
    input: &AnalysisInput,
    ranked: &[(&Way, Estimate)],
    judged: &[Judged],
    what: &str,
    counts: impl Fn(&Spread) -> bool,
) -> Option<Finding> {
    let of = |way: &Way| SPREADS.iter().find(|spread| spread.name == way.name()).is_some_and(&counts);
    let candidates: Vec<_> = ranked.iter().filter(|(way, _)| of(way)).collect();
    let (way, rate) = candidates.first()?;
    let base = ranked.iter().find(|(way, _)| way.name() == BASELINE)?;
    let mut sentence = format!("{} carries the most requests: {}", way.label(), format::rate_ci(rate, "requests"));
    let support = match judged.iter().find(|judged| judged.row == way.capacity.id) {
        Some(judged) => {
            sentence.push_str(&format!(
                ", {} of {}'s {}",
                format::ratio_ci(&judged.speedup()),
                BASELINE,
                format::rate_ci(&base.1, "requests")
            ));
            match judged.verdict {
                Verdict::Faster => Support::Supported,
                Verdict::Slower | Verdict::Equivalent => Support::NotSupported,
                Verdict::Inconclusive => Support::Inconclusive,
            }
        }
        None => Support::NotSupported,
    };
    if let Some((second, other)) = candidates.get(1) {
        let apart = rate.lower.zip(other.upper).is_some_and(|(lower, upper)| lower > upper);
        let words = if apart { "the runner-up is" } else { "the intervals do not part it from" };
        sentence.push_str(&format!("; {words} {} with {}", second.label(), format::rate_ci(other, "requests")));
    }
    sentence.push('.');
    Some(finding(
        input,
        support,
        format!("{what} carries more than {BASELINE}"),
        sentence,
        vec![way.capacity.id.clone(), base.0.capacity.id.clone()],
    ))
}

fn against_baseline(input: &AnalysisInput, ways: &[Way], judged: &[Judged], name: &str) -> Option<Finding> {
    let way = ways.iter().filter(|way| way.name() == name).max_by_key(|way| way.capacity.op.threads)?;
    let judged = judged.iter().find(|judged| judged.row == way.capacity.id)?;
    let (support, words) = match judged.verdict {
        Verdict::Faster => (Support::Supported, "raises the capacity"),
        Verdict::Slower => (Support::NotSupported, "lowers the capacity"),
        Verdict::Equivalent => (Support::NotSupported, "does not change the capacity beyond the noise floor"),
        Verdict::Inconclusive => (Support::Inconclusive, "has no effect on the capacity that this machine can show"),
    };
    Some(finding(
        input,
        support,
        format!("{name} carries more than {BASELINE}"),
        format!("{} {words}: {} of {BASELINE}'s.", way.label(), format::ratio_ci(&judged.speedup())),
        vec![judged.row.clone(), judged.baseline.clone()],
    ))
}
