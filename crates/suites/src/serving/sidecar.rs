//! 3 sidecar: what does the server's preprocessing cost, and what does a sidecar leave of it?

use loadgen::order::Drive;
use record::plan::WorkloadSpec;
use record::plan::{Cell, Plan};
use record::results::{Estimate, ExperimentResult, Figure, FigureKind, Record, Row, Series, Status, Table};
use serde_json::{Value, json};

use super::asking::{self, Load, Point, STAGE};
use super::tax_findings;
use crate::preprocessing::cells;
use crate::preprocessing::rows::{self, Rows};
use crate::present::{self, column, number, text, word};
use crate::settings::{ExperimentSettings, PlanContext};
use crate::{AnalysisInput, Experiment};
use record::format;

/// The server renders the template and tokenizes.
pub(super) const MESSAGES: &str = "messages";
/// The server tokenizes.
pub(super) const TEXT: &str = "text";
/// The sidecar renders and tokenizes, the server gets ids.
pub(super) const SIDECAR: &str = "sidecar";
/// The client has rendered and tokenized before the clock starts: the floor.
pub(super) const IDS: &str = "ids";
const WAYS: [&str; 4] = [MESSAGES, TEXT, SIDECAR, IDS];
/// What is compared.
pub(super) const LATENCY: &str = "ttft_p50_ns";
/// Hit rates of ways that differ by more than this compare unlike work.
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
        let ways = ways(settings)?;
        let mut all = Vec::new();
        for (axes, workload) in &cells::points(context, settings)? {
            let point = Point { settings, asker, axes, workload };
            for way in &ways {
                for &concurrency in &levels {
                    let mut cell = point.cell(Load {
                        axes: &[("way", json!(way)), ("concurrency", json!(concurrency))],
                        drive: Drive::Closed { concurrency },
                        needs: &[],
                        span_ms,
                        params: &params(settings, way),
                    });
                    // The ways at one load one after the other: what drifts meets them alike.
                    cell.beside = format!("{}/{}/{concurrency}", settings.name, workload.id);
                    if *way == IDS && Some(&concurrency) == levels.first() {
                        all.push(cells::twin(&cell));
                    }
                    all.push(cell);
                }
            }
        }
        Ok(all)
    }

    /// Each way against ids at each concurrency.
    fn comparisons(&self, plan: &Plan) -> Vec<(String, String)> {
        let of: Vec<&Cell> =
            plan.cells.iter().filter(|cell| cell.experiment == self.name() && cell.twin_of.is_none()).collect();
        let taxed = of.iter().filter(|cell| word(&cell.axes, "way") != IDS);
        taxed.filter_map(|cell| Some((cell.id.clone(), floor(&of, cell)?.id.clone()))).collect()
    }

    fn analyse(&self, input: &AnalysisInput) -> (ExperimentResult, Vec<Record>) {
        let mut rows = Rows::new(input);
        let mut result = present::outline(input);
        for workload in present::distinct(input.cells().map(|cell| cell.workload.clone())) {
            let cells: Vec<&Cell> =
                input.cells().filter(|cell| cell.workload == workload && cell.twin_of.is_none()).collect();
            result.tables.push(table(input, &mut rows, &cells));
            result.figures.extend(figure(input, &rows, &cells));
            result.findings.extend(tax_findings::of(input, &mut rows, &cells));
            result.warnings.extend(unlike(input, &cells));
        }
        if let Some(first) = result.findings.first_mut() {
            first.headline = true;
        }
        result.warnings.extend(asking::warnings(input));
        asking::mark(input, &mut result);
        (result, rows.records)
    }
}

/// The ways that are asked for; ids among them, which all are compared with.
fn ways(settings: &ExperimentSettings) -> Result<Vec<&'static str>, String> {
    let asked = settings.words("way");
    let ways: Vec<&str> = WAYS.into_iter().filter(|way| asked.iter().any(|asked| asked == way)).collect();
    if let Some(other) = asked.iter().find(|asked| !WAYS.contains(&asked.as_str())) {
        return Err(format!("experiment {}: there is no way {other:?}; there are: {}", settings.name, WAYS.join(", ")));
    }
    if !ways.contains(&IDS) || ways.len() < 2 {
        return Err(format!(
            "experiment {}: ids and another way are needed, as way = [\"messages\", \"ids\"]: ids are what the others are compared with",
            settings.name
        ));
    }
    Ok(ways)
}

/// How a way asks.
fn params(settings: &ExperimentSettings, way: &str) -> Vec<(&'static str, Value)> {
    let form = if way == SIDECAR { MESSAGES } else { way };
    let number = |name: &str, otherwise: f64| json!(settings.param(name).unwrap_or(otherwise) as u64);
    vec![
        ("form", json!(form)),
        ("sidecar", json!(way == SIDECAR)),
        ("output_tokens", number("output_tokens", 1.0)),
        ("gate_requests", number("gate_requests", 4.0)),
        ("gate_tokens", number("gate_tokens", 8.0)),
    ]
}

/// The cell of a way at a load.
pub(super) fn find<'a>(cells: &[&'a Cell], way: &str, concurrency: u64) -> Option<&'a Cell> {
    let is = |cell: &&&Cell| word(&cell.axes, "way") == way && number(&cell.axes, "concurrency") == concurrency;
    cells.iter().find(is).copied()
}

/// The same requests as ids at the same load.
fn floor<'a>(cells: &[&'a Cell], cell: &Cell) -> Option<&'a Cell> {
    let same: Vec<&Cell> = cells.iter().copied().filter(|other| other.workload == cell.workload).collect();
    find(&same, IDS, number(&cell.axes, "concurrency"))
}

fn table(input: &AnalysisInput, rows: &mut Rows, cells: &[&Cell]) -> Table {
    let body = cells.iter().map(|cell| row(input, rows, cells, cell)).collect();
    let first = cells.first();
    let mut notes = vec![
        "messages: the server does template and tokenizer. text: the tokenizer only. sidecar: messages to llmbench sidecar, which sends ids to the \
         server. ids: made by the client beforehand, the floor. tax: median TTFT less that of ids, paired within runs; share: of the way's own TTFT."
            .to_owned(),
        "CPU: of the server's and the sidecar's processes for a request, where they were started here.".to_owned(),
    ];
    notes.extend(gate_note(input, cells));
    Table {
        id: format!("sidecar-{}", first.map(|cell| present::slug(&cell.axes)).unwrap_or_default()),
        title: format!(
            "Four ways to send the same request, {}",
            first.map(|cell| present::describe(&cell.axes)).unwrap_or_default()
        ),
        columns: vec![
            column("way", false, 0),
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
        "gate, {requests:.0} requests in each run, one at a time: {compared} between the ways of this table that have figures."
    ))
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
    put("prompt_tokens", "prompt_tokens", "1");
    put("lateness_p99_ns", "lateness_p99", "ns");
    let server_cpu = optional(input, rows, cell, "server_cpu_ns_per_request", "server_cpu_per_request", "ns");
    let sidecar_cpu = optional(input, rows, cell, "sidecar_cpu_ns_per_request", "sidecar_cpu_per_request", "ns");
    optional(input, rows, cell, "hit_rate", "hit_rate", "1");
    optional(input, rows, cell, "cached_tokens", "cached_tokens", "1");
    let tax = floor(cells, cell).filter(|floor| floor.id != cell.id).and_then(|floor| {
        let tax = tax_findings::tax(input, cell, floor)?;
        let samples = rows.samples(&cell.id);
        let estimate = |interval| rows::estimate(interval, "paired-t", tax.runs, samples);
        let (difference, share) = (estimate(&tax.tax.difference), estimate(&tax.tax.share));
        for (metric, unit, estimate) in [("tax", "ns", &difference), ("tax_share", "1", &share)] {
            rows.push(cell, STAGE, metric, unit, Some(estimate.clone())).baseline_cell_id = Some(floor.id.clone());
        }
        Some((difference, share))
    });
    let cpu = match (&server_cpu, &sidecar_cpu) {
        (None, None) => String::new(),
        (Some(server), None) => format::duration(server.point),
        (None, Some(sidecar)) => format!("+ {}", format::duration(sidecar.point)),
        (Some(server), Some(sidecar)) => {
            format!("{} + {}", format::duration(server.point), format::duration(sidecar.point))
        }
    };
    let mark = if status == Status::Invalid { " INVALID" } else { "" };
    let (tax, share) = tax.unzip();
    Row {
        values: vec![
            text(format!("{}{mark}", word(&cell.axes, "way"))),
            text(number(&cell.axes, "concurrency").to_string()),
            present::figure(rate.as_ref(), |rate| format::significant(rate.point, 3), None),
            present::figure(p50.as_ref(), present::duration_pm, None),
            present::figure(p99.as_ref(), |ns| format::duration(ns.point), None),
            present::figure(tax.as_ref(), tax_findings::difference_ci, None),
            present::figure(share.as_ref(), |share| format::percent(share.point), None),
            text(cpu),
        ],
        status,
        group: word(&cell.axes, "way").to_owned(),
    }
}

/// A row of a reading that not every server has and that may be 0, which has no logarithm.
fn optional(
    input: &AnalysisInput,
    rows: &mut Rows,
    cell: &Cell,
    name: &str,
    metric: &str,
    unit: &str,
) -> Option<Estimate> {
    let values = rows::values(&input.measurements.reading_values(&cell.id, name));
    let estimate = rows::linear_estimate(&values, rows.samples(&cell.id))?;
    let (status, error) = asking::status(input, cell);
    let record = rows.push(cell, STAGE, metric, unit, Some(estimate.clone()));
    (record.status, record.error) = (status, error);
    Some(estimate)
}

/// A cache that helped one way more than another, or connections that only one of them had to open, make the difference their own.
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
        if let (Some(way), Some(of_ids)) = (hits(cell), hits(floor))
            && (way - of_ids).abs() > HITS_APART
        {
            warnings.push(format!(
                "{}: the server's prefix cache held {} of the prompt tokens and {} as ids: the tax holds this difference too. Give the server a \
                 cache that holds the whole workload.",
                cell.id,
                format::percent(way),
                format::percent(of_ids)
            ));
        }
        let opens = |cell: &Cell| mean(cell, "single_use").is_some_and(|share| share > 0.0);
        if opens(cell) != opens(floor) {
            let (one, other) = if opens(cell) { ("this way", "ids do") } else { ("ids", "this way does") };
            warnings.push(format!(
                "{}: each request of {one} opens a connection, because the server closes them, and {other} not: the tax holds this difference too.",
                cell.id
            ));
        }
    }
    warnings
}

fn figure(input: &AnalysisInput, rows: &Rows, cells: &[&Cell]) -> Option<Figure> {
    let levels = present::distinct(cells.iter().map(|cell| number(&cell.axes, "concurrency")));
    let series: Vec<Series> = WAYS
        .into_iter()
        .map(|way| Series {
            name: way.to_owned(),
            points: levels
                .iter()
                .enumerate()
                .filter_map(|(at, level)| {
                    let cell = find(cells, way, *level).filter(|cell| asking::status(input, cell).0 == Status::Ok)?;
                    Some(present::point(at as f64, &asking::reading(input, rows, cell, LATENCY)?, 1e-6))
                })
                .collect(),
            reference: false,
        })
        .filter(|series| !series.points.is_empty())
        .collect();
    let first = cells.first()?;
    (!series.is_empty()).then(|| Figure {
        id: format!("sidecar-{}", present::slug(&first.axes)),
        title: format!("Where template and tokenizer run, {}", present::describe(&first.axes)),
        kind: FigureKind::GroupedBars,
        x: present::categories("requests at once", levels.iter().map(u64::to_string).collect()),
        y: present::axis("median time to first token (ms)", true),
        series,
        caption: "Mean across runs with 95% intervals. ids are the floor: what a bar stands above it is the price of preparing the request there. On the \
                  log scale equal distances are equal factors. INVALID points and ways that failed the gate are left out."
            .to_owned(),
    })
}
