//! 3 sidecar: what does the server's preprocessing cost, and what does a sidecar leave of it?

use benchstats::order::calls_needed;
use loadgen::order::Drive;
use record::plan::Cell;
use record::plan::WorkloadSpec;
use record::results::{Estimate, Figure, FigureKind, Row, Series, Table};
use serde_json::{Value, json};

use super::asking::{self, Load, Point, STAGE};
use super::tax_findings;
use crate::house::cells;
use crate::house::comparison::{Comparison, Quantity};
use crate::house::rows::Rows;
use crate::house::status;
use crate::present::{self, column, number, text, word};
use crate::settings::{ExperimentSettings, PlanContext};
use crate::{AnalysisInput, Experiment, Said};
use record::format;

/// The server renders the template and tokenizes.
pub(super) const MESSAGES: &str = "messages";
/// The server tokenizes.
pub(super) const TEXT: &str = "text";
/// The sidecar renders and tokenizes, the server gets ids.
pub(super) const SIDECAR: &str = "sidecar";
/// The client has rendered and tokenized before the clock starts: the floor.
pub(super) const IDS: &str = "ids";
const STRATEGIES: [&str; 4] = [MESSAGES, TEXT, SIDECAR, IDS];
/// What is compared.
pub(super) const LATENCY: &str = "ttft_p50_ns";
/// Hit rates of strategies that differ by more than this compare unlike work.
const HITS_APART: f64 = 0.02;

/// The experiment.
pub struct Sidecar;

impl Experiment for Sidecar {
    fn name(&self) -> &'static str {
        "sidecar"
    }

    fn workloads(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<WorkloadSpec>, String> {
        cells::workloads(context, settings)
    }

    fn cells(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<Cell>, String> {
        let asker = asking::asker(context)?;
        let span_ms = settings.param("span_ms").unwrap_or(5000.0);
        let levels = settings.numbers("concurrency", context.cores)?;
        if levels.len() < 2 {
            return Err(format!(
                "experiment {}: a low and a high concurrency are needed, as concurrency = [1, 20]",
                settings.name
            ));
        }
        let strategies = strategies(settings)?;
        let mut all = Vec::new();
        for (axes, workload) in &cells::points(context, settings)? {
            let point = Point { settings, asker, axes, workload };
            for strategy in &strategies {
                for &concurrency in &levels {
                    let mut cell = point.cell(Load {
                        axes: &[("strategy", json!(strategy)), ("concurrency", json!(concurrency))],
                        drive: Drive::Closed { concurrency },
                        needs: &[],
                        span_ms,
                        params: &params(settings, strategy),
                    });
                    // The strategies at one load one after the other: what drifts meets them alike.
                    cell.beside = format!("{}/{}/{concurrency}", settings.name, workload.id);
                    if *strategy == IDS && [levels.first(), levels.last()].contains(&Some(&concurrency)) {
                        all.push(cells::twin(&cell));
                    }
                    all.push(cell);
                }
            }
        }
        Ok(all)
    }

    fn compared_axes(&self) -> &'static [&'static str] {
        &["strategy", "concurrency"]
    }

    /// By how much the median TTFT differs: of each strategy from ids, and of the sidecar from messages, at each concurrency; and of messages from ids at the
    /// highest concurrency less that at the lowest, which is what queueing makes of it.
    fn comparisons(&self, cells: &[&Cell]) -> Vec<Comparison> {
        let differ = |row: &Cell, base: &Cell| Comparison::new(&row.id, &base.id, Quantity::TTFT_DIFFERENCE);
        let taxed = cells.iter().filter(|cell| word(&cell.axes, "strategy") != IDS);
        let mut all: Vec<Comparison> = taxed.filter_map(|cell| Some(differ(cell, floor(cells, cell)?))).collect();
        let sidecars = cells.iter().filter(|cell| word(&cell.axes, "strategy") == SIDECAR);
        all.extend(
            sidecars.filter_map(|cell| Some(differ(cell, find(cells, MESSAGES, number(&cell.axes, "concurrency"))?))),
        );
        all.extend(tax_findings::queueing_comparison(cells));
        all
    }

    fn analyse(&self, input: &AnalysisInput, rows: &mut Rows) -> Said {
        let cells = input.own_cells();
        let mut warnings = unlike(input, &cells);
        warnings.extend(asking::warnings(input));
        Said {
            tables: vec![table(input, rows, &cells)],
            figures: figure(rows, &cells).into_iter().collect(),
            findings: tax_findings::of(input, rows, &cells),
            warnings,
        }
    }
}

/// The strategies that are asked for; ids among them, which all are compared with.
fn strategies(settings: &ExperimentSettings) -> Result<Vec<&'static str>, String> {
    let asked = settings.words("strategy");
    let strategies: Vec<&str> =
        STRATEGIES.into_iter().filter(|strategy| asked.iter().any(|asked| asked == strategy)).collect();
    if let Some(other) = asked.iter().find(|asked| !STRATEGIES.contains(&asked.as_str())) {
        return Err(format!(
            "experiment {}: there is no strategy {other:?}; there are: {}",
            settings.name,
            STRATEGIES.join(", ")
        ));
    }
    if !strategies.contains(&IDS) || strategies.len() < 2 {
        return Err(format!(
            "experiment {}: ids and another strategy are needed, as strategy = [\"messages\", \"ids\"]: ids are what the others are compared with",
            settings.name
        ));
    }
    Ok(strategies)
}

/// How a strategy asks.
fn params(settings: &ExperimentSettings, strategy: &str) -> Vec<(&'static str, Value)> {
    let form = if strategy == SIDECAR { MESSAGES } else { strategy };
    let number = |name: &str, otherwise: f64| json!(settings.param(name).unwrap_or(otherwise) as u64);
    vec![
        ("form", json!(form)),
        ("sidecar", json!(strategy == SIDECAR)),
        ("output_tokens", number("output_tokens", 1.0)),
        ("gate_requests", number("gate_requests", 4.0)),
        ("gate_tokens", number("gate_tokens", 8.0)),
    ]
}

/// The cell of a strategy at a load.
pub(super) fn find<'a>(cells: &[&'a Cell], strategy: &str, concurrency: u64) -> Option<&'a Cell> {
    let is =
        |cell: &&&Cell| word(&cell.axes, "strategy") == strategy && number(&cell.axes, "concurrency") == concurrency;
    cells.iter().find(is).copied()
}

/// The same requests as ids at the same load.
fn floor<'a>(cells: &[&'a Cell], cell: &Cell) -> Option<&'a Cell> {
    let same: Vec<&Cell> = cells.iter().copied().filter(|other| other.workload == cell.workload).collect();
    find(&same, IDS, number(&cell.axes, "concurrency"))
}

fn table(input: &AnalysisInput, rows: &mut Rows, cells: &[&Cell]) -> Table {
    let body = cells.iter().map(|cell| row(input, rows, cells, cell)).collect();
    let mut notes = vec![
        "messages: the server does template and tokenizer. text: the tokenizer only. sidecar: messages to llmbench sidecar, which sends ids to the \
         server. ids: made by the client beforehand, the floor. tax: median TTFT less that of ids, paired within runs; share: of the strategy's own TTFT."
            .to_owned(),
        "CPU: of the server's and the sidecar's processes for a request, where they were started here.".to_owned(),
    ];
    notes.push(format!("p99 needs {} requests a run. {}", calls_needed(0.99), input.marks()));
    notes.extend(gate_note(input, cells));
    Table {
        id: "sidecar".to_owned(),
        title: "Four strategies of sending the same request".to_owned(),
        columns: vec![
            column("strategy", false, 0),
            column("at once", true, 0),
            column("requests/s", true, 1),
            column("TTFT p50", true, 0),
            column("TTFT p99", true, 2),
            column("tax", true, 0),
            column("share", true, 1),
            column("CPU", true, 3),
        ],
        rows: body,
        notes,
    }
}

/// What the gate compared, of the cells that passed it.
fn gate_note(input: &AnalysisInput, cells: &[&Cell]) -> Option<String> {
    let least = |name: &str| {
        let of = cells.iter().flat_map(|cell| input.measurements.reading_values(&cell.id, name).into_values());
        of.min_by(f64::total_cmp)
    };
    let (requests, counts, texts) = (least("gate_requests")?, least("gate_counts")?, least("gate_texts")?);
    let compared = match (counts > 0.0, texts > 0.0) {
        (true, true) => "prompt tokens and greedy answers agree",
        (true, false) => "prompt tokens agree; answers were not compared, since the server does not repeat its own",
        (false, true) => "greedy answers agree; the server does not tell prompt tokens",
        (false, false) => {
            "nothing could be compared: the server tells no prompt tokens and does not repeat its answers"
        }
    };
    Some(format!(
        "gate, {requests:.0} requests in each run, one at a time: {compared} between the strategies of this table that have figures."
    ))
}

fn row(input: &AnalysisInput, rows: &mut Rows, cells: &[&Cell], cell: &Cell) -> Row {
    let status = status::of(input.measurements, cell);
    let mut put = |name: &str, metric: &str, unit: &str| {
        let estimate = if name.starts_with("ttft") { rows.latency(cell, name) } else { rows.reading(cell, name) };
        rows.push(cell, STAGE, metric, unit, estimate.clone());
        estimate
    };
    let rate = put("throughput_per_s", "throughput", "requests/s");
    let p50 = put(LATENCY, "ttft_p50", "ns");
    let p99 = put("ttft_p99_ns", "ttft_p99", "ns");
    put("prompt_tokens", "prompt_tokens", "1");
    put("lateness_p99_ns", "lateness_p99", "ns");
    let server_cpu = optional(rows, cell, "server_cpu_ns_per_request", "server_cpu_per_request", "ns");
    let sidecar_cpu = optional(rows, cell, "sidecar_cpu_ns_per_request", "sidecar_cpu_per_request", "ns");
    optional(rows, cell, "hit_rate", "hit_rate", "1");
    optional(rows, cell, "cached_tokens", "cached_tokens", "1");
    let judged = floor(cells, cell).and_then(|floor| input.judged_of(&tax_findings::difference(cell, floor)));
    let share = judged.and_then(|judged| tax_findings::share(input, judged));
    if let Some(judged) = judged {
        rows.push_judged(cell, STAGE, ("tax", "ns"), judged.estimate.clone(), judged);
        rows.push(cell, STAGE, "tax_share", "1", share.clone()).baseline_cell_id = Some(judged.baseline.clone());
    }
    let cpu = match (&server_cpu, &sidecar_cpu) {
        (None, None) => String::new(),
        (Some(server), None) => format::duration(server.point),
        (None, Some(sidecar)) => format!("+ {}", format::duration(sidecar.point)),
        (Some(server), Some(sidecar)) => {
            format!("{} + {}", format::duration(server.point), format::duration(sidecar.point))
        }
    };
    let mark = status::mark(input.measurements, cell);
    Row {
        values: vec![
            text(format!("{}{mark}", word(&cell.axes, "strategy"))),
            text(number(&cell.axes, "concurrency").to_string()),
            present::figure(rate.as_ref(), |rate| format::significant(rate.point, 3), None),
            present::figure(p50.as_ref(), present::duration_pm, None),
            present::figure(p99.as_ref(), |ns| format::duration(ns.point), None),
            judged.map_or_else(|| text(""), tax_findings::difference_verdict),
            present::figure(share.as_ref(), |share| format::percent(share.point), None),
            text(cpu),
        ],
        status,
        group: word(&cell.axes, "strategy").to_owned(),
    }
}

/// A row of a reading that not every server has and that may be 0, which has no logarithm.
fn optional(rows: &mut Rows, cell: &Cell, name: &str, metric: &str, unit: &str) -> Option<Estimate> {
    let estimate = rows.linear_reading(cell, name)?;
    rows.push(cell, STAGE, metric, unit, Some(estimate.clone()));
    Some(estimate)
}

/// A cache that helped one strategy more than another, or connections that only one of them had to open, make the difference their own.
fn unlike(input: &AnalysisInput, cells: &[&Cell]) -> Vec<String> {
    let mean = |cell: &Cell, name: &str| {
        let values = input.measurements.reading_values(&cell.id, name);
        (!values.is_empty()).then(|| values.values().sum::<f64>() / values.len() as f64)
    };
    // By the server's counters, else by the usage of its answers; there 0 may be an API that does not tell.
    let of_answers = |cell: &Cell| Some(mean(cell, "cached_tokens")? / mean(cell, "prompt_tokens")?);
    let hits = |cell: &Cell| mean(cell, "hit_rate").or_else(|| of_answers(cell).filter(|share| *share > 0.0));
    let mut warnings = Vec::new();
    for cell in cells {
        let Some(floor) = floor(cells, cell) else { continue };
        if let (Some(own), Some(of_ids)) = (hits(cell), hits(floor))
            && (own - of_ids).abs() > HITS_APART
        {
            warnings.push(format!(
                "{}: the server's prefix cache held {} of the prompt tokens and {} as ids: the tax holds this difference too. Give the server a \
                 cache that holds the whole workload.",
                cell.id,
                format::percent(own),
                format::percent(of_ids)
            ));
        }
        let opens = |cell: &Cell| mean(cell, "single_use").is_some_and(|share| share > 0.0);
        if opens(cell) != opens(floor) {
            let (one, other) = if opens(cell) { ("this strategy", "ids do") } else { ("ids", "this strategy does") };
            warnings.push(format!(
                "{}: each request of {one} opens a connection, because the server closes them, and {other} not: the tax holds this difference too.",
                cell.id
            ));
        }
    }
    warnings
}

fn figure(rows: &Rows, cells: &[&Cell]) -> Option<Figure> {
    let levels = present::distinct(cells.iter().map(|cell| number(&cell.axes, "concurrency")));
    let series: Vec<Series> = STRATEGIES
        .into_iter()
        .map(|strategy| Series {
            name: strategy.to_owned(),
            points: levels
                .iter()
                .enumerate()
                .filter_map(|(at, level)| {
                    let cell = find(cells, strategy, *level).filter(|cell| rows.rankable(cell))?;
                    Some(present::point(at as f64, &rows.reading(cell, LATENCY)?, 1e-6))
                })
                .collect(),
            reference: false,
        })
        .filter(|series| !series.points.is_empty())
        .collect();
    (!series.is_empty()).then(|| Figure {
        id: "sidecar".to_owned(),
        title: "Where template and tokenizer run".to_owned(),
        kind: FigureKind::GroupedBars,
        x: present::categories("requests at once", levels.iter().map(u64::to_string).collect()),
        y: present::axis("median time to first token (ms)", true),
        series,
        caption: "Mean across runs with 95% intervals. ids are the floor: what a bar stands above it is the price of preparing the request there. On the \
                  log scale equal distances are equal factors. INVALID points and strategies that failed the gate are left out."
            .to_owned(),
    })
}
