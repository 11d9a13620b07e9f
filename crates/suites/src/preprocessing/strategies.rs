//! 5 strategies: which way of using the cores carries the most requests, and what does it cost in latency, CPU and memory?

use std::collections::BTreeMap;

use benchstats::Verdict;
use loadgen::order::Drive;
use record::plan::WorkloadSpec;
use record::plan::{Cell, Op, Timing};
use record::results::{Estimate, Finding, Support};
use serde_json::{Value, json};

use super::stacks;
use super::strategy::{BASELINE, STRATEGIES, Strategy, Workers};
use super::strategy_tables::{
    Served, capacity_figure, capacity_rate, capacity_table, latency_figure, latency_table, served, unbalanced_warnings,
};
use crate::house::cells::{self, Draft};
use crate::house::comparison::{Comparison, Quantity};
use crate::house::rows::Rows;
use crate::present::{Axes, finding, word};
use crate::settings::{ExperimentSettings, PlanContext, PlannedSubject};
use crate::spec;
use crate::{AnalysisInput, Experiment, Said};
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
            let before = cells.len();
            cells.extend(point.reference());
            for driver in &context.drivers {
                for strategy in selected(settings, &driver.serves)? {
                    let workers = match strategy.workers {
                        Workers::One => vec![1],
                        Workers::Axis => settings.numbers("workers", context.cores)?,
                    };
                    for workers in workers {
                        cells.extend(point.of_strategy(driver, &strategy, workers));
                    }
                }
            }
            // Requests of another size have another common rate.
            common_rate(&mut cells[before..]);
        }
        Ok(cells)
    }

    fn compared_axes(&self) -> &'static [&'static str] {
        &["strategy", "workers", "load"]
    }

    /// The capacity of every strategy against that of the plainest Python one, by the first driver that has it.
    fn comparisons(&self, cells: &[&Cell]) -> Vec<Comparison> {
        let capacities: Vec<&&Cell> = cells.iter().filter(|cell| is_capacity(cell)).collect();
        let Some(baseline) = capacities.iter().find(|base| word(&base.axes, "strategy") == BASELINE) else {
            return Vec::new();
        };
        let others = capacities.iter().filter(|cell| cell.id != baseline.id);
        others.map(|cell| Comparison::new(&cell.id, &baseline.id, Quantity::CALL_TIME)).collect()
    }

    fn analyse(&self, input: &AnalysisInput, rows: &mut Rows) -> Said {
        let served = served(input);
        let tables = vec![capacity_table(input, rows, &served), latency_table(input, rows, &served)];
        let figures = [capacity_figure(rows, &served), latency_figure(input, rows, &served)];
        let capacities: Vec<&Cell> = served.iter().map(|served| served.capacity).collect();
        let mut warnings = rows.autocorrelated(&capacities);
        warnings.extend(unbalanced_warnings(rows, &served));
        Said {
            findings: findings(input, rows, &served),
            tables,
            figures: figures.into_iter().flatten().collect(),
            warnings,
        }
    }
}

/// The strategies that the settings name, of those a kind of server has.
fn selected(settings: &ExperimentSettings, kind: &str) -> Result<Vec<Strategy>, String> {
    let wanted = settings.words("strategy");
    let known: Vec<String> = STRATEGIES.iter().map(|strategy| strategy.name.to_owned()).collect();
    if let Some(unknown) = wanted.iter().find(|name| *name != "all" && !known.contains(name)) {
        return Err(format!(
            "experiment {}: there is no strategy `{unknown}`{}",
            settings.name,
            spec::suggestion(unknown, &known)
        ));
    }
    let all = wanted.iter().any(|name| name == "all");
    Ok(STRATEGIES
        .into_iter()
        .filter(|strategy| strategy.kind == kind && (all || wanted.iter().any(|name| name == strategy.name)))
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
        Some(stacks::inline_cell(self.settings, native, &path, self.axes, self.workload, (String::new(), &[])))
    }

    fn of_strategy(&self, driver: &PlannedSubject, strategy: &Strategy, workers: u32) -> Vec<Cell> {
        let capacity = self.cell(driver, strategy, workers, "capacity", (Drive::Capacity, Vec::new()));
        let mut cells = Vec::new();
        if strategy.name == BASELINE
            && self.context.drivers.iter().find(|other| other.serves == "python") == Some(driver)
        {
            cells.push(twin(&capacity));
        }
        let id = capacity.id.clone();
        cells.push(capacity);
        for percent in self.settings.numbers("load", self.context.cores).unwrap_or_default() {
            let share = f64::from(percent) / 100.0;
            cells.push(self.cell(
                driver,
                strategy,
                workers,
                &format!("{percent}%"),
                (Drive::Share { share }, vec![id.clone()]),
            ));
        }
        if self.settings.param("common_load").is_some_and(|share| share > 0.0) {
            let share = self.settings.param("common_load").unwrap_or_default() / 100.0;
            cells.push(self.cell(driver, strategy, workers, COMMON, (Drive::Share { share }, Vec::new())));
        }
        cells
    }

    fn cell(
        &self,
        driver: &PlannedSubject,
        strategy: &Strategy,
        workers: u32,
        load: &str,
        (drive, needs): (Drive, Vec<String>),
    ) -> Cell {
        let mut axes = self.axes.clone();
        axes.insert("strategy".to_owned(), Value::from(strategy.name));
        axes.insert("workers".to_owned(), Value::from(workers));
        axes.insert("load".to_owned(), Value::from(load));
        let span_ms = self.settings.param(if load == "capacity" { "capacity_ms" } else { "load_ms" }).unwrap_or(2000.0);
        let params = BTreeMap::from([
            ("strategy".to_owned(), json!(strategy.server)),
            ("options".to_owned(), strategy.options()),
            ("pipeline".to_owned(), strategy.pipeline()),
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
                strategy: strategy.name,
                axes,
                workload: self.workload,
                output: Some(stacks::output),
                reference: false,
                beside: format!("{}/{}/{workers}", driver.id, strategy.name),
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

/// The strategies that can be ranked, the fastest first.
fn ranked<'a>(rows: &Rows, served: &'a [Served<'a>]) -> Vec<(&'a Served<'a>, Estimate)> {
    let mut ranked: Vec<(&Served, Estimate)> = served
        .iter()
        .filter(|served| rows.rankable(served.capacity) && served.name() != "pass-through")
        .filter_map(|served| Some((served, capacity_rate(rows, served.capacity)?)))
        .collect();
    ranked.sort_by(|a, b| b.1.point.total_cmp(&a.1.point));
    ranked
}

fn findings(input: &AnalysisInput, rows: &Rows, served: &[Served]) -> Vec<Finding> {
    let ranked = ranked(rows, served);
    let mut findings = Vec::new();
    findings.extend(best(input, &ranked, "the best strategy", |_| true));
    let in_python = |strategy: &Strategy| strategy.kind == "python" && !strategy.name.starts_with("sidecar-rust");
    let of_python = best(input, &ranked, "the best strategy with Python servers", in_python);
    // Where the best of all is one of Python's, it is said once.
    let is_said = |finding: &Finding| findings.first().is_some_and(|first| first.cells == finding.cells);
    let of_python = of_python.filter(|finding| !is_said(finding));
    findings.extend(of_python);
    for name in ["executor-shared", "executor-copies", "processes-bytes", "sidecar-rust"] {
        findings.extend(against_baseline(input, served, name));
    }
    findings
}

/// Which strategy carries the most, and how much more than the baseline.
fn best(
    input: &AnalysisInput,
    ranked: &[(&Served, Estimate)],
    what: &str,
    counts: impl Fn(&Strategy) -> bool,
) -> Option<Finding> {
    let of = |served: &Served| STRATEGIES.iter().find(|strategy| strategy.name == served.name()).is_some_and(&counts);
    let candidates: Vec<_> = ranked.iter().filter(|(served, _)| of(served)).collect();
    let (most, rate) = candidates.first()?;
    let base = ranked.iter().find(|(served, _)| served.name() == BASELINE)?;
    let mut sentence = format!("{} carries the most requests: {}", most.label(), format::rate_ci(rate, "requests"));
    let support = match input.judged(most.capacity) {
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
        vec![most.capacity.id.clone(), base.0.capacity.id.clone()],
    ))
}

fn against_baseline(input: &AnalysisInput, served: &[Served], name: &str) -> Option<Finding> {
    let of = served.iter().filter(|served| served.name() == name).max_by_key(|served| served.capacity.op.threads)?;
    let judged = input.judged(of.capacity)?;
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
        format!("{} {words}: {} of {BASELINE}'s.", of.label(), format::ratio_ci(&judged.speedup())),
        vec![judged.row.clone(), judged.baseline.clone()],
    ))
}
