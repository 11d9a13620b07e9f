//! 2 prefix-cache: what is a prefix cache worth, and does load take it away?

use benchstats::order::calls_needed;
use loadgen::order::Drive;
use record::plan::Cell;
use record::plan::WorkloadSpec;
use record::results::{Figure, FigureKind, Finding, Row, Series, Support, Table};
use serde_json::json;

use super::asking::{self, Load, Point, STAGE};
use super::interaction::Fate;
use super::stack::{self, Stack};
use super::usage;
use crate::house::cells;
use crate::house::comparison::{Comparison, Quantity};
use crate::house::rows::Rows;
use crate::house::status;
use crate::present::{self, column, finding, number, text, word};
use crate::settings::{ExperimentSettings, PlanContext};
use crate::{AnalysisInput, Experiment, Said};
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
                    if history == SHARED && [levels.first(), levels.last()].contains(&Some(&concurrency)) {
                        all.push(cells::twin(&cell));
                    }
                    all.push(cell);
                }
            }
        }
        Ok(all)
    }

    fn compared_axes(&self) -> &'static [&'static str] {
        &["history", "concurrency"]
    }

    /// Shared against unique history at each concurrency, and that at the highest over that at the lowest: what load makes of the benefit.
    fn comparisons(&self, cells: &[&Cell]) -> Vec<Comparison> {
        let shared = cells.iter().filter(|cell| word(&cell.axes, "history") == SHARED);
        let pairs = shared.filter_map(|cell| Some((cell, counterpart(cells, cell)?)));
        let mut all: Vec<Comparison> =
            pairs.map(|(shared, unique)| Comparison::new(&shared.id, &unique.id, Quantity::TTFT)).collect();
        all.extend(TwoByTwo::of(cells).map(|cells| cells.interaction()));
        all
    }

    fn analyse(&self, input: &AnalysisInput, rows: &mut Rows) -> Said {
        let cells = input.own_cells();
        let mut said = Said { tables: vec![table(input, rows, &cells)], ..Said::default() };
        said.figures.extend(figure(rows, &cells));
        said.findings.extend(fate(input, rows, &cells));
        let stacks: Vec<Stack> =
            cells.iter().filter_map(|cell| Stack::of(input, rows, cell, label(cell), false)).collect();
        if let Some((table, figures)) = stack::shown(input, rows, &stacks) {
            said.tables.push(table);
            said.figures.extend(figures);
        }
        let labelled: Vec<(&Cell, String)> = cells.iter().map(|cell| (*cell, label(cell))).collect();
        said.tables.extend(usage::table(input, rows, &labelled));
        said.warnings = asking::warnings(input);
        said.warnings.extend(stack::warnings(input, &stacks));
        said
    }
}

/// The four cells of the finding: both histories at the lowest and at the highest concurrency.
struct TwoByTwo<'a> {
    low: [&'a Cell; 2],
    high: [&'a Cell; 2],
}

impl<'a> TwoByTwo<'a> {
    fn of(cells: &[&'a Cell]) -> Option<Self> {
        let level = |cell: &&&Cell| number(&cell.axes, "concurrency");
        let shared = || cells.iter().filter(|cell| word(&cell.axes, "history") == SHARED);
        let (low, high) = (*shared().min_by_key(level)?, *shared().max_by_key(level)?);
        let (low, high) = ([low, counterpart(cells, low)?], [high, counterpart(cells, high)?]);
        (low[0].id != high[0].id).then_some(Self { low, high })
    }

    fn pair([shared, unique]: [&Cell; 2]) -> Comparison {
        Comparison::new(&shared.id, &unique.id, Quantity::TTFT)
    }

    fn interaction(&self) -> Comparison {
        Self::pair(self.high).over(&self.low[0].id, &self.low[1].id)
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

fn table(input: &AnalysisInput, rows: &mut Rows, cells: &[&Cell]) -> Table {
    let body = cells.iter().map(|cell| row(input, rows, cell)).collect();
    Table {
        id: "prefix-cache".to_owned(),
        title: "Shared and unique history".to_owned(),
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
            format!("p99 needs {} requests a run. {}", calls_needed(0.99), input.marks()),
        ],
    }
}

fn row(input: &AnalysisInput, rows: &mut Rows, cell: &Cell) -> Row {
    let (status, error) = (status::of(input.measurements, cell), status::error(input.measurements, cell));
    let mut put = |name: &str, metric: &str, unit: &str| {
        let estimate = if name.starts_with("ttft") { rows.latency(cell, name) } else { rows.reading(cell, name) };
        rows.push(cell, STAGE, metric, unit, estimate.clone());
        estimate
    };
    let rate = put("throughput_per_s", "throughput", "requests/s");
    let p50 = put(LATENCY, "ttft_p50", "ns");
    let p99 = put("ttft_p99_ns", "ttft_p99", "ns");
    put("cached_tokens", "cached_tokens", "1");
    put("prompt_tokens", "prompt_tokens", "1");
    put("lateness_p99_ns", "lateness_p99", "ns");
    let hits = rows.linear_reading(cell, "hit_rate");
    if hits.is_some() {
        rows.push(cell, STAGE, "hit_rate", "1", hits.clone());
    }
    let judged = input.judged(cell);
    if let Some(judged) = judged {
        rows.push_judged(cell, STAGE, ("benefit", "1"), judged.speedup(), judged);
    }
    let mark = status::mark(input.measurements, cell);
    Row {
        values: vec![
            text(format!("{}{mark}", word(&cell.axes, "history"))),
            text(number(&cell.axes, "concurrency").to_string()),
            present::figure(rate.as_ref(), |rate| format::significant(rate.point, 3), error.as_deref()),
            present::figure(p50.as_ref(), present::duration_pm, None),
            present::figure(p99.as_ref(), |ns| format::duration(ns.point), None),
            present::figure(hits.as_ref(), |share| format::percent(share.point), None),
            judged.map_or_else(|| text(""), |judged| present::ratio_verdict(&judged.speedup(), judged.verdict)),
        ],
        status,
        group: word(&cell.axes, "history").to_owned(),
    }
}

fn fate(input: &AnalysisInput, rows: &mut Rows, cells: &[&Cell]) -> Option<Finding> {
    let four = TwoByTwo::of(cells)?;
    let [low, high] = [four.low, four.high].map(TwoByTwo::pair);
    let (low, high) = (input.judged_of(&low)?, input.judged_of(&high)?);
    let between = input.judged_of(&four.interaction())?;
    let last = four.high[0];
    // Time over time is the benefit turned round.
    let ratio = between.speedup();
    rows.push_judged(last, STAGE, ("interaction", "1"), ratio.clone(), between);
    let [at_low, at_high] = [four.low, four.high].map(|[shared, _]| number(&shared.axes, "concurrency"));
    let (support, words) = match Fate::of(low, high, between) {
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
            "A history that the server has met shortens the median TTFT {} at {at_low} at once and {} at {at_high} at once; high over low is {}: {words} ({}).",
            format::ratio_ci(&low.speedup()),
            format::ratio_ci(&high.speedup()),
            format::ratio_ci(&ratio),
            present::describe(&last.axes),
        ),
        cells.iter().map(|cell| cell.id.clone()).collect(),
    ))
}

fn figure(rows: &Rows, cells: &[&Cell]) -> Option<Figure> {
    let levels = present::distinct(cells.iter().map(|cell| number(&cell.axes, "concurrency")));
    let series: Vec<Series> = [UNIQUE, SHARED]
        .into_iter()
        .map(|history| Series {
            name: format!("{history} history"),
            points: cells
                .iter()
                .filter(|cell| word(&cell.axes, "history") == history && rows.rankable(cell))
                .filter_map(|cell| {
                    let at = levels.iter().position(|level| *level == number(&cell.axes, "concurrency"))?;
                    Some(present::point(at as f64, &rows.reading(cell, LATENCY)?, 1e-6))
                })
                .collect(),
            reference: false,
        })
        .filter(|series| !series.points.is_empty())
        .collect();
    (!series.is_empty()).then(|| Figure {
        id: "prefix-cache".to_owned(),
        title: "What a history that the server has met is worth".to_owned(),
        kind: FigureKind::GroupedBars,
        x: present::categories("requests at once", levels.iter().map(u64::to_string).collect()),
        y: present::axis("median time to first token (ms)", true),
        series,
        caption: "Mean across runs with 95% intervals. On the log scale the benefit is the distance of the bars: where it shrinks, load takes it away. INVALID \
                  points are left out."
            .to_owned(),
    })
}
