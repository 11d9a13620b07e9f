//! 2 prefix-cache: what is a prefix cache worth, and does load take it away?

use std::collections::BTreeMap;

use loadgen::order::Drive;
use record::plan::WorkloadSpec;
use record::plan::{Cell, Plan};
use record::results::{
    Estimate, ExperimentResult, Figure, FigureKind, Finding, Record, Row, Series, Status, Support, Table,
};
use serde_json::json;

use super::asking::{self, Load, Point, STAGE};
use super::interaction::{Fate, Interaction, TwoByTwo};
use super::stack::{self, Stack};
use super::usage;
use crate::preprocessing::cells;
use crate::preprocessing::rows::{self, LEVEL, Rows};
use crate::present::{self, column, finding, number, text, word};
use crate::settings::{ExperimentSettings, PlanContext};
use crate::{AnalysisInput, Experiment};
use record::format;

/// The two histories.
const SHARED: &str = "shared";
const UNIQUE: &str = "unique";
/// What is compared.
const LATENCY: &str = "ttft_p50_ns";

/// The experiment.
pub struct PrefixCache;

impl Experiment for PrefixCache {
    fn name(&self) -> &'static str {
        "prefix-cache"
    }

    fn workloads(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<WorkloadSpec>, String> {
        cells::workloads(context, settings)
    }

    fn cells(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<Cell>, String> {
        let asker = asking::asker(context)?;
        let span_ms = settings.param("span_ms").unwrap_or(5000.0);
        let tokens = settings.param("output_tokens").unwrap_or(1.0) as u64;
        let levels = settings.numbers("concurrency", context.cores)?;
        if levels.len() < 2 {
            return Err(format!(
                "experiment {}: a low and a high concurrency are needed, as concurrency = [1, 20]",
                settings.name
            ));
        }
        let mut all = Vec::new();
        for (axes, workload) in &cells::points(context, settings)? {
            let point = Point { settings, asker, axes, workload };
            for history in [SHARED, UNIQUE] {
                for &concurrency in &levels {
                    let cell = point.cell(Load {
                        axes: &[("history", json!(history)), ("concurrency", json!(concurrency))],
                        drive: Drive::Closed { concurrency },
                        needs: &[],
                        span_ms,
                        params: &[
                            ("form", json!("messages")),
                            ("output_tokens", json!(tokens)),
                            ("unique", json!(history == UNIQUE)),
                        ],
                    });
                    if history == SHARED && Some(&concurrency) == levels.first() {
                        all.push(cells::twin(&cell));
                    }
                    all.push(cell);
                }
            }
        }
        Ok(all)
    }

    /// Shared against unique history at each concurrency.
    fn comparisons(&self, plan: &Plan) -> Vec<(String, String)> {
        let of: Vec<&Cell> =
            plan.cells.iter().filter(|cell| cell.experiment == self.name() && cell.twin_of.is_none()).collect();
        let shared = of.iter().filter(|cell| word(&cell.axes, "history") == SHARED);
        shared.filter_map(|cell| Some((cell.id.clone(), counterpart(&of, cell)?.id.clone()))).collect()
    }

    fn analyse(&self, input: &AnalysisInput) -> (ExperimentResult, Vec<Record>) {
        let mut rows = Rows::new(input);
        let mut result = present::outline(input);
        let mut warnings = Vec::new();
        for workload in present::distinct(input.cells().map(|cell| cell.workload.clone())) {
            let cells: Vec<&Cell> =
                input.cells().filter(|cell| cell.workload == workload && cell.twin_of.is_none()).collect();
            result.tables.push(table(input, &mut rows, &cells));
            result.figures.extend(figure(input, &rows, &cells));
            result.findings.extend(fate(input, &mut rows, &cells));
            let stacks: Vec<Stack> =
                cells.iter().filter_map(|cell| Stack::of(input, &rows, cell, label(cell), false)).collect();
            if let Some((table, figures)) = stack::shown(input, &mut rows, &stacks) {
                result.tables.push(table);
                result.figures.extend(figures);
            }
            let labelled: Vec<(&Cell, String)> = cells.iter().map(|cell| (*cell, label(cell))).collect();
            result.tables.extend(usage::table(input, &mut rows, &labelled));
            warnings.extend(stack::warnings(input, &rows, &stacks));
        }
        if let Some(first) = result.findings.first_mut() {
            first.headline = true;
        }
        result.warnings = asking::warnings(input);
        result.warnings.append(&mut warnings);
        asking::mark(input, &mut result);
        (result, rows.records)
    }
}

/// `shared, 20 at once`.
fn label(cell: &Cell) -> String {
    format!("{}, {} at once", word(&cell.axes, "history"), number(&cell.axes, "concurrency"))
}

/// The cell with unique history at the same load.
fn counterpart<'a>(cells: &[&'a Cell], cell: &Cell) -> Option<&'a Cell> {
    cells.iter().copied().find(|other| {
        word(&other.axes, "history") == UNIQUE
            && other.workload == cell.workload
            && number(&other.axes, "concurrency") == number(&cell.axes, "concurrency")
    })
}

fn benefit(input: &AnalysisInput, rows: &Rows, shared: &Cell, unique: &Cell) -> Option<Estimate> {
    let of = |cell: &Cell| input.measurements.reading_values(&cell.id, LATENCY);
    rows::ratio_estimate(&of(unique), &of(shared), rows.samples(&shared.id))
}

fn table(input: &AnalysisInput, rows: &mut Rows, cells: &[&Cell]) -> Table {
    let body = cells.iter().map(|cell| row(input, rows, cells, cell)).collect();
    let first = cells.first();
    Table {
        id: format!("prefix-cache-{}", first.map(|cell| present::slug(&cell.axes)).unwrap_or_default()),
        title: format!(
            "Shared and unique history, {}",
            first.map(|cell| present::describe(&cell.axes)).unwrap_or_default()
        ),
        columns: vec![
            column("history", false, 0),
            column("at once", true, 0),
            column("requests/s", true, 1),
            column("TTFT p50", true, 0),
            column("TTFT p99", true, 2),
            column("hit rate", true, 1),
            column("benefit", true, 0),
        ],
        rows: body,
        notes: vec![
            "shared: conversations that the server has met before. unique: the same with a beginning of its own in each request. benefit: median TTFT with \
             unique over that with shared history, paired within runs."
                .to_owned(),
            "hit rate: tokens found in the cache over tokens looked for, from the server's /metrics during the stretch; empty where it has none.".to_owned(),
        ],
    }
}

fn row(input: &AnalysisInput, rows: &mut Rows, cells: &[&Cell], cell: &Cell) -> Row {
    let (status, error) = asking::status(input, cell);
    let mut put = |name: &str, metric: &str, unit: &str| {
        let estimate = asking::reading(input, rows, cell, name);
        let record = rows.push(cell, STAGE, metric, unit, estimate.clone());
        (record.status, record.error) = (status, error.clone());
        estimate
    };
    let rate = put("throughput_per_s", "throughput", "requests/s");
    let p50 = put(LATENCY, "ttft_p50", "ns");
    let p99 = put("ttft_p99_ns", "ttft_p99", "ns");
    put("cached_tokens", "cached_tokens", "1");
    put("prompt_tokens", "prompt_tokens", "1");
    put("lateness_p99_ns", "lateness_p99", "ns");
    // A share may be 0, which has no logarithm.
    let hits = rows::values(&input.measurements.reading_values(&cell.id, "hit_rate"));
    let hits = rows::linear_estimate(&hits, rows.samples(&cell.id));
    if hits.is_some() {
        rows.push(cell, STAGE, "hit_rate", "1", hits.clone()).status = status;
    }
    let pair = (word(&cell.axes, "history") == SHARED).then(|| counterpart(cells, cell)).flatten();
    let benefit = pair.filter(|_| status == Status::Ok).and_then(|unique| {
        let benefit = benefit(input, rows, cell, unique)?;
        rows.push(cell, STAGE, "benefit", "1", Some(benefit.clone())).baseline_cell_id = Some(unique.id.clone());
        Some(benefit)
    });
    let mark = if status == Status::Invalid { " INVALID" } else { "" };
    Row {
        values: vec![
            text(format!("{}{mark}", word(&cell.axes, "history"))),
            text(number(&cell.axes, "concurrency").to_string()),
            present::figure(rate.as_ref(), |rate| format::significant(rate.point, 3), error.as_deref()),
            present::figure(p50.as_ref(), present::duration_pm, None),
            present::figure(p99.as_ref(), |ns| format::duration(ns.point), None),
            present::figure(hits.as_ref(), |share| format::percent(share.point), None),
            present::figure(benefit.as_ref(), present::ratio_pm, None),
        ],
        status,
        group: word(&cell.axes, "history").to_owned(),
    }
}

/// The four figures of each run that has them all, at the least and the highest concurrency.
fn two_by_two(input: &AnalysisInput, cells: &[&Cell]) -> Option<(u64, u64, Vec<TwoByTwo>)> {
    let levels: Vec<u64> = cells.iter().map(|cell| number(&cell.axes, "concurrency")).collect();
    let (low, high) = (*levels.iter().min()?, *levels.iter().max()?);
    let of = |history: &str, level: u64| -> Option<BTreeMap<u32, f64>> {
        let cell = cells
            .iter()
            .find(|cell| word(&cell.axes, "history") == history && number(&cell.axes, "concurrency") == level)?;
        (asking::status(input, cell).0 == Status::Ok).then(|| input.measurements.reading_values(&cell.id, LATENCY))
    };
    let (low_without, low_with) = (of(UNIQUE, low)?, of(SHARED, low)?);
    let (high_without, high_with) = (of(UNIQUE, high)?, of(SHARED, high)?);
    let runs = low_without
        .into_iter()
        .filter_map(|(run, low_without)| {
            Some(TwoByTwo {
                low_without,
                low_with: *low_with.get(&run)?,
                high_without: *high_without.get(&run)?,
                high_with: *high_with.get(&run)?,
            })
        })
        .collect();
    Some((low, high, runs))
}

fn fate(input: &AnalysisInput, rows: &mut Rows, cells: &[&Cell]) -> Option<Finding> {
    let (low, high, runs) = two_by_two(input, cells)?;
    let interaction = Interaction::of(&runs, LEVEL).ok()?;
    let last =
        cells.iter().find(|cell| word(&cell.axes, "history") == SHARED && number(&cell.axes, "concurrency") == high)?;
    let samples = rows.samples(&last.id);
    let of = |interval: &benchstats::Interval| rows::estimate(interval, "paired-log-t", runs.len(), samples);
    let (at_low, at_high, ratio) =
        (of(&interaction.low.interval), of(&interaction.high.interval), of(&interaction.ratio.interval));
    rows.push(last, STAGE, "interaction", "1", Some(ratio.clone()));
    let (support, words) = match interaction.fate(rows.floor) {
        Fate::NoBenefit => (Support::NotSupported, "there is no benefit that load could take away"),
        Fate::Vanishes => (Support::Supported, "load takes all of it"),
        Fate::Shrinks => (Support::Supported, "load takes some of it"),
        Fate::Stays => (Support::NotSupported, "load takes none of it"),
        Fate::Grows => (Support::NotSupported, "under load it is worth more"),
        Fate::Inconclusive => (Support::Inconclusive, "the intervals do not say what load makes of it"),
    };
    Some(finding(
        input,
        support,
        "load takes the prefix cache's benefit away".to_owned(),
        format!(
            "A history that the server has met shortens the median TTFT {} at {low} at once and {} at {high} at once; high over low is {}: {words} ({}).",
            format::ratio_ci(&at_low),
            format::ratio_ci(&at_high),
            format::ratio_ci(&ratio),
            present::describe(&last.axes),
        ),
        cells.iter().map(|cell| cell.id.clone()).collect(),
    ))
}

fn figure(input: &AnalysisInput, rows: &Rows, cells: &[&Cell]) -> Option<Figure> {
    let levels = present::distinct(cells.iter().map(|cell| number(&cell.axes, "concurrency")));
    let series: Vec<Series> = [UNIQUE, SHARED]
        .into_iter()
        .map(|history| Series {
            name: format!("{history} history"),
            points: cells
                .iter()
                .filter(|cell| word(&cell.axes, "history") == history && asking::status(input, cell).0 == Status::Ok)
                .filter_map(|cell| {
                    let at = levels.iter().position(|level| *level == number(&cell.axes, "concurrency"))?;
                    Some(present::point(at as f64, &asking::reading(input, rows, cell, LATENCY)?, 1e-6))
                })
                .collect(),
            reference: false,
        })
        .filter(|series| !series.points.is_empty())
        .collect();
    let first = cells.first()?;
    (!series.is_empty()).then(|| Figure {
        id: format!("prefix-cache-{}", present::slug(&first.axes)),
        title: format!("What a history that the server has met is worth, {}", present::describe(&first.axes)),
        kind: FigureKind::GroupedBars,
        x: present::categories("requests at once", levels.iter().map(u64::to_string).collect()),
        y: present::axis("median time to first token (ms)", true),
        series,
        caption: "Mean across runs with 95% intervals. On the log scale the benefit is the distance of the bars: where it shrinks, load takes it away. INVALID \
                  points are left out."
            .to_owned(),
    })
}
