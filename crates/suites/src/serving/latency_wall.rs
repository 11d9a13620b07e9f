//! 1 latency-wall: where does more load bring no more answers, only later ones?

use std::collections::BTreeMap;

use benchstats::order::calls_needed;
use benchstats::verdict::Verdict;
use loadgen::order::Drive;
use record::plan::Cell;
use record::plan::WorkloadSpec;
use record::results::{Estimate, Figure, FigureKind, Finding, Row, Series, Support, Table};
use serde_json::json;

use super::asking::{self, Load, Point, SATURATED, STAGE};
use super::knee::{Growth, LoadPoint, Wall};
use super::stack::{self, Stack};
use super::usage;
use crate::house::cells;
use crate::house::comparison::{Comparison, Quantity};
use crate::house::estimate;
use crate::house::judged::Judged;
use crate::house::rows::Rows;
use crate::house::status;
use crate::present::{self, column, finding, number, text, word};
use crate::settings::{ExperimentSettings, PlanContext};
use crate::{AnalysisInput, Experiment, Said};
use record::format;

/// The experiment.
pub struct LatencyWall;

impl Experiment for LatencyWall {
    fn name(&self) -> &'static str {
        "latency-wall"
    }

    fn workloads(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<WorkloadSpec>, String> {
        cells::workloads(context, settings)
    }

    fn cells(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<Cell>, String> {
        let asker = asking::asker(context)?;
        let levels = settings.numbers("concurrency", context.cores)?;
        let span_ms = settings.param("span_ms").unwrap_or(5000.0);
        let tokens = settings.param("output_tokens").unwrap_or(1.0) as u64;
        let params = [("form", json!("messages")), ("output_tokens", json!(tokens))];
        let mut cells = Vec::new();
        for (axes, workload) in &cells::points(context, settings)? {
            let point = Point { settings, asker, axes, workload };
            let closed = |concurrency: u32| {
                point.cell(Load {
                    axes: &[("load", json!("closed")), ("concurrency", json!(concurrency))],
                    drive: Drive::Closed { concurrency },
                    needs: &[],
                    span_ms,
                    params: &params,
                })
            };
            let ends = present::distinct([levels.first(), levels.last()].into_iter().flatten());
            cells.extend(ends.into_iter().map(|end| cells::twin(&closed(*end))));
            cells.extend(levels.iter().map(|level| closed(*level)));
            let shares = settings.numbers("load", context.cores)?;
            let capacity = point.cell(Load {
                axes: &[("load", json!("capacity"))],
                drive: Drive::Capacity,
                needs: &[],
                span_ms,
                params: &params,
            });
            let needs = [capacity.id.clone()];
            for percent in shares {
                let drive = Drive::Share { share: f64::from(percent) / 100.0 };
                let axes = [("load", json!(format!("{percent}%")))];
                cells.push(point.cell(Load { axes: &axes, drive, needs: &needs, span_ms, params: &params }));
            }
            cells.push(capacity);
        }
        Ok(cells)
    }

    fn compared_axes(&self) -> &'static [&'static str] {
        &["load", "concurrency"]
    }

    /// Every concurrency against the smallest, in throughput and in the median TTFT: what a wall is made of.
    fn comparisons(&self, cells: &[&Cell]) -> Vec<Comparison> {
        let closed: Vec<&&Cell> = cells.iter().filter(|cell| is_closed(cell)).collect();
        let Some(base) = closed.iter().min_by_key(|cell| number(&cell.axes, "concurrency")) else { return Vec::new() };
        let others = closed.iter().filter(|cell| cell.id != base.id);
        others.flat_map(|cell| GROWTHS.map(|quantity| Comparison::new(&cell.id, &base.id, quantity))).collect()
    }

    fn analyse(&self, input: &AnalysisInput, rows: &mut Rows) -> Said {
        let cells = input.own_cells();
        let mut said = Said { tables: vec![table(input, rows, &cells)], ..Said::default() };
        said.figures.extend(figure(rows, &cells));
        said.findings.extend(wall(input, rows, &cells));
        let loads: Vec<&Cell> = cells.iter().copied().filter(|cell| word(&cell.axes, "load") != "capacity").collect();
        let stacks: Vec<Stack> = loads
            .iter()
            .filter_map(|cell| Stack::of(input, rows, cell, label(cell), is_saturated(input, &cells, cell)))
            .collect();
        if let Some((table, figures)) = stack::shown(input, rows, &stacks) {
            said.tables.push(table);
            said.figures.extend(figures);
        }
        // Two questions: where the wall is, and whose milliseconds they are.
        said.findings.extend(stack::whose(input, rows, &stacks).map(|whose| Finding { headline: true, ..whose }));
        let labelled: Vec<(&Cell, String)> = loads.iter().map(|cell| (*cell, label(cell))).collect();
        said.tables.extend(usage::table(input, rows, &labelled));
        said.warnings = asking::warnings(input);
        said.warnings.extend(stack::warnings(input, &stacks));
        said
    }
}

/// In which growth is judged.
const GROWTHS: [Quantity; 2] = [Quantity::THROUGHPUT, Quantity::TTFT];

fn is_closed(cell: &Cell) -> bool {
    word(&cell.axes, "load") == "closed" && cell.twin_of.is_none()
}

/// `20 at once`, `80% open`, `plateau`.
fn label(cell: &Cell) -> String {
    match word(&cell.axes, "load") {
        "closed" => format!("{} at once", number(&cell.axes, "concurrency")),
        "capacity" => "plateau".to_owned(),
        share => format!("{share} open"),
    }
}

fn table(input: &AnalysisInput, rows: &mut Rows, cells: &[&Cell]) -> Table {
    let mut body: Vec<Row> = cells.iter().map(|cell| row(input, rows, cells, cell)).collect();
    let gpus: Vec<Option<(f64, usize)>> = cells.iter().map(|cell| usage::gpu(input, rows, cell)).collect();
    let count = gpus.iter().flatten().map(|(_, count)| *count).max();
    if count.is_some() {
        for (row, gpu) in body.iter_mut().zip(&gpus) {
            row.values.push(text(gpu.map_or_else(|| "unknown".to_owned(), |(busiest, _)| format::percent(busiest))));
        }
    }
    let gpu_note = match count {
        Some(1) => "GPU: share of the time in which some kernel ran, by the driver.".to_owned(),
        Some(count) => {
            format!("GPU: share of the time in which some kernel ran on the busiest of {count}, by the driver.")
        }
        None => "GPU utilization: unknown; it is read where the server is on this host and an NVIDIA driver answers."
            .to_owned(),
    };
    let mut table = Table {
        id: "latency-wall".to_owned(),
        title: "Throughput and time to first token".to_owned(),
        columns: vec![
            column("load", false, 0),
            column("requests/s", true, 0),
            column("TTFT p50", true, 0),
            column("TTFT p99", true, 0),
            column("at once", true, 1),
            column("response", true, 2),
            column("CPU/request", true, 3),
        ],
        rows: body,
        notes: vec![
            "at once: a closed loop, each answer is followed by the next request. open: Poisson arrivals at that share of the plateau, timed from the \
             scheduled arrival."
                .to_owned(),
            format!(
                "plateau: closed loop over concurrency 1, 2, 4, ...; at once: mean number of requests under way. p99 needs {} requests a run. \
                 sat.: {:.0}% of the plateau or more, the latency is that of a queue that grows and has no interval.",
                calls_needed(0.99),
                SATURATED * 100.0
            ),
            gpu_note,
        ],
    };
    if count.is_some() {
        table.columns.push(column("GPU", true, 1));
    }
    table
}

fn row(input: &AnalysisInput, rows: &mut Rows, cells: &[&Cell], cell: &Cell) -> Row {
    let (status, error) = (status::of(input.measurements, cell), status::error(input.measurements, cell));
    let saturated = is_saturated(input, cells, cell);
    let mut put = |name: &str, metric: &str, unit: &str, is_latency: bool| {
        let mut estimate = if is_latency { rows.latency(cell, name) } else { rows.reading(cell, name) };
        if is_latency
            && saturated
            && let Some(estimate) = &mut estimate
        {
            (estimate.lower, estimate.upper) = (None, None);
            estimate.method = "saturated".to_owned();
        }
        rows.push(cell, STAGE, metric, unit, estimate.clone());
        estimate
    };
    let rate = put("throughput_per_s", "throughput", "requests/s", false);
    let p50 = put("ttft_p50_ns", "ttft_p50", "ns", true);
    let p99 = put("ttft_p99_ns", "ttft_p99", "ns", true);
    let response = put("response_mean_ns", "response_mean", "ns", true);
    let in_flight = put("in_flight", "in_flight", "1", false);
    let cpu = put("server_cpu_ns_per_request", "cpu_per_request", "ns", false);
    for (name, metric, unit) in [
        ("ttft_sent_p50_ns", "ttft_sent_p50", "ns"),
        ("e2e_p50_ns", "e2e_p50", "ns"),
        ("lateness_p99_ns", "lateness_p99", "ns"),
        ("client_error_p99_ns", "client_error_p99", "ns"),
        ("generator_share", "generator_share", "1"),
        ("prompt_tokens", "prompt_tokens", "1"),
        ("cached_tokens", "cached_tokens", "1"),
    ] {
        put(name, metric, unit, metric.starts_with("ttft") || metric.starts_with("e2e"));
    }
    let ratio = estimate::linear_estimate(&estimate::values(&asking::little(input, cell)), rows.samples(&cell.id));
    rows.push(cell, STAGE, "little_ratio", "1", ratio);
    let latency = |estimate: &Estimate| {
        if saturated { format!("{} sat.", format::duration(estimate.point)) } else { present::duration_pm(estimate) }
    };
    let mark = status::mark(input.measurements, cell);
    Row {
        values: vec![
            text(format!("{}{mark}", label(cell))),
            present::figure(
                rate.as_ref(),
                |rate| format!("{}{}", format::significant(rate.point, 3), present::plus_minus(rate)),
                error.as_deref(),
            ),
            present::figure(p50.as_ref(), latency, None),
            present::figure(p99.as_ref(), latency, None),
            present::figure(in_flight.as_ref(), |n| format::significant(n.point, 3), None),
            present::figure(response.as_ref(), |ns| format::duration(ns.point), None),
            present::figure(cpu.as_ref(), |ns| format::duration(ns.point), None),
        ],
        status,
        group: if is_closed(cell) { "closed" } else { "open" }.to_owned(),
    }
}

/// Whether an open loop is driven at what the plateau of the same runs carries, or more.
fn is_saturated(input: &AnalysisInput, cells: &[&Cell], cell: &Cell) -> bool {
    if is_closed(cell) || word(&cell.axes, "load") == "capacity" {
        return false;
    }
    let Some(capacity) = cells.iter().find(|cell| word(&cell.axes, "load") == "capacity") else { return false };
    let plateau = input.measurements.reading_values(&capacity.id, "throughput_per_s");
    let shares: Vec<f64> = input
        .measurements
        .reading_values(&cell.id, "offered")
        .into_iter()
        .filter_map(|(run, offered)| Some(offered / plateau.get(&run)?))
        .collect();
    !shares.is_empty() && shares.iter().sum::<f64>() / shares.len() as f64 >= SATURATED
}

/// Points of the closed loops, one list a run; runs that lack one are left out.
fn load_points(input: &AnalysisInput, cells: &[&Cell]) -> Vec<Vec<LoadPoint>> {
    let closed: Vec<&&Cell> = cells.iter().filter(|cell| is_closed(cell)).collect();
    let of = |cell: &Cell, name: &str| input.measurements.reading_values(&cell.id, name);
    let mut runs: BTreeMap<u32, Vec<LoadPoint>> = BTreeMap::new();
    for cell in &closed {
        let responses = of(cell, "response_mean_ns");
        for (run, throughput) in of(cell, "throughput_per_s") {
            let Some(&response_ns) = responses.get(&run) else { continue };
            let concurrency = u32::try_from(number(&cell.axes, "concurrency")).unwrap_or(u32::MAX);
            runs.entry(run).or_default().push(LoadPoint { concurrency, throughput, response_ns });
        }
    }
    runs.into_values().filter(|points| points.len() == closed.len()).collect()
}

/// Where the knee is, how much latency grew, how little throughput did.
fn wall(input: &AnalysisInput, rows: &mut Rows, cells: &[&Cell]) -> Option<Finding> {
    let usable: Vec<&Cell> = cells.iter().copied().filter(|cell| rows.rankable(cell)).collect();
    let runs = load_points(input, &usable);
    let wall = Wall::of(&runs).ok()?;
    let first =
        usable.iter().find(|cell| is_closed(cell) && number(&cell.axes, "concurrency") == u64::from(wall.from))?;
    let last = usable.iter().find(|cell| is_closed(cell) && number(&cell.axes, "concurrency") == u64::from(wall.to))?;
    let samples = rows.samples(&last.id);
    let estimate =
        |interval: &benchstats::Interval, method: &str| estimate::estimate(interval, method, runs.len(), samples);
    let of = |quantity: Quantity| input.judged_of(&Comparison::new(&last.id, &first.id, quantity));
    let (throughput, latency) = (of(Quantity::THROUGHPUT)?, of(Quantity::TTFT)?);
    for (metric, judged) in [("throughput_growth", throughput), ("latency_growth", latency)] {
        rows.push_judged(last, STAGE, (metric, "1"), judged.estimate.clone(), judged);
    }
    let (knee, plateau) = (estimate(&wall.knee, "log-t"), estimate(&wall.plateau, "log-t"));
    for (metric, unit, figure) in [("knee_concurrency", "1", &knee), ("plateau", "requests/s", &plateau)] {
        rows.push(last, STAGE, metric, unit, Some(figure.clone())).baseline_cell_id = Some(first.id.clone());
    }
    let (support, behind) = match growth(&wall, throughput, latency) {
        Growth::Wall => (Support::Supported, "behind it, waiting is all that grows"),
        Growth::Scales => (Support::NotSupported, "the load did not reach it: throughput still grew with the clients"),
        Growth::Inconclusive => {
            (Support::Inconclusive, "the intervals and the noise do not say whether throughput still grows behind it")
        }
    };
    let bound = if wall.from > 1 { "at most" } else { "at" };
    Some(finding(
        input,
        support,
        "beyond the knee, latency grows and throughput does not".to_owned(),
        format!(
            "From {} to {} requests at once, throughput grows {} and the median TTFT {}; the knee is {bound} {} requests at once, where {} are reached: {behind} \
             ({}).",
            wall.from,
            wall.to,
            format::ratio_ci(&throughput.estimate),
            format::ratio_ci(&latency.estimate),
            format::quantity_ci(&knee, ""),
            format::rate_ci(&plateau, "requests"),
            present::describe(&first.axes),
        ),
        vec![first.id.clone(), last.id.clone()],
    ))
}

/// What the growths show, at the levels that Holm gives them and beyond what their twins show.
fn growth(wall: &Wall, throughput: &Judged, latency: &Judged) -> Growth {
    if throughput.floor.known().is_none() || latency.floor.known().is_none() {
        return Growth::Inconclusive;
    }
    match wall.growth(&throughput.adjusted, &latency.adjusted) {
        Growth::Wall if latency.verdict != Verdict::Slower => Growth::Inconclusive,
        growth => growth,
    }
}

/// TTFT over throughput: the wall is where the line turns up.
fn figure(rows: &Rows, cells: &[&Cell]) -> Option<Figure> {
    let line = |name: &str, open: bool, reading: &str| {
        let points = cells
            .iter()
            .filter(|cell| is_closed(cell) != open && word(&cell.axes, "load") != "capacity")
            .filter(|cell| rows.rankable(cell))
            .filter_map(|cell| {
                let rate = rows.reading(cell, "throughput_per_s")?;
                let latency = rows.latency(cell, reading)?;
                Some(present::point(rate.point, &latency, 1e-6))
            })
            .collect();
        Series { name: name.to_owned(), points, reference: false }
    };
    let mut series = vec![
        line("p50, closed loop", false, "ttft_p50_ns"),
        line("p99, closed loop", false, "ttft_p99_ns"),
        line("p50, open loop", true, "ttft_p50_ns"),
    ];
    series.retain(|series| !series.points.is_empty());
    (!series.is_empty()).then(|| Figure {
        id: "latency-wall".to_owned(),
        title: "Time to first token over throughput".to_owned(),
        kind: FigureKind::Lines,
        x: present::axis("throughput (requests/s)", false),
        y: present::axis("time to first token (ms)", true),
        series,
        caption: "Each point is a load; mean across runs with 95% intervals of the latency. The wall is where the line turns up. INVALID points are left out."
            .to_owned(),
    })
}
