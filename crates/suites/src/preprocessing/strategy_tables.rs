//! What the strategies experiment shows: each way with its loads, as tables and figures.

use std::collections::BTreeMap;

use record::plan::Cell;
use record::results::{Estimate, Figure, FigureKind, Row, Series, Status, Table};

use super::rows::{self, Judged, Rows};
use super::spread::{SPREADS, Workers};
use super::strategies::is_capacity;
use crate::AnalysisInput;
use crate::present::{self, column, text, word};
use record::format;

/// Requests due in a run that a percentile needs to be shown: two-sided 95% order-statistic bounds exist from there on.
const P99_NEEDS: f64 = 368.0;
const P90_NEEDS: f64 = 36.0;
/// Achieved share of the capacity from which an open loop counts as saturated: its latency is that of a growing queue.
const SATURATED: f64 = 0.95;
/// Share of the requests that the busiest of several processes on one port answered.
const BUSIEST: &str = "busiest_process_share";
/// So many times its fair share are called unbalanced.
const UNBALANCED: f64 = 1.2;

/// A way with its loads.
pub(super) struct Way<'a> {
    pub(super) capacity: &'a Cell,
    loads: Vec<&'a Cell>,
}

impl Way<'_> {
    pub(super) fn name(&self) -> &str {
        word(&self.capacity.axes, "strategy")
    }

    /// `executor-shared ×2`
    pub(super) fn label(&self) -> String {
        match SPREADS.iter().find(|spread| spread.name == self.name()).map(|spread| spread.workers) {
            Some(Workers::Axis) => format!("{} ×{}", self.name(), self.capacity.op.threads),
            _ => self.name().to_owned(),
        }
    }
}

pub(super) fn ways<'a>(input: &'a AnalysisInput) -> Vec<Way<'a>> {
    input
        .cells()
        .filter(|cell| is_capacity(cell))
        .map(|capacity| Way {
            capacity,
            loads: input
                .cells()
                .filter(|cell| cell.beside == capacity.beside && !is_capacity(cell) && cell.twin_of.is_none())
                .collect(),
        })
        .collect()
}

/// Why a stretch of load is no measurement, if the generator says so in any run.
fn invalid(input: &AnalysisInput, cell: &Cell) -> Option<String> {
    let valid = input.measurements.reading_values(&cell.id, "valid");
    let bad = valid.values().filter(|value| **value < 1.0).count();
    (bad > 0).then(|| {
        let lateness = input.measurements.reading_values(&cell.id, "lateness_p99_ns");
        let worst = lateness.values().copied().fold(0.0, f64::max);
        format!(
            "INVALID in {bad} of {} runs: the generator was late or saturated (lateness p99 up to {})",
            valid.len(),
            format::duration(worst)
        )
    })
}

pub(super) fn invalid_warning(input: &AnalysisInput) -> Option<String> {
    let cells = input.cells().filter(|cell| invalid(input, cell).is_some()).count();
    (cells > 0).then(|| {
        format!(
            "{cells} points are INVALID: the load generator shares the {} cores with the servers and was late. Their rows say so; \
             close other programs, or run where there are more cores.",
            input.effective_cores()
        )
    })
}

/// Processes on one port, of which one got the connections that the others lacked.
pub(super) fn unbalanced_warnings(input: &AnalysisInput, rows: &Rows, ways: &[Way]) -> Vec<String> {
    let of_way = |way: &Way| {
        let share = reading(input, rows, way.capacity, BUSIEST)?;
        let fair = 1.0 / f64::from(way.capacity.op.threads);
        (share.point > UNBALANCED * fair).then(|| {
            format!(
                "{}: the busiest of {} processes on one port answered {} of the closed loop's requests. A kept connection stays with the process that \
                 accepted it, so clients with few connections do not use all processes; spread requests in front of them.",
                way.label(),
                way.capacity.op.threads,
                format::percent(share.point)
            )
        })
    };
    ways.iter().filter_map(of_way).collect()
}

/// A reading as a figure, across runs on the log scale.
fn reading(input: &AnalysisInput, rows: &Rows, cell: &Cell, name: &str) -> Option<Estimate> {
    rows::log_estimate(&rows::values(&input.measurements.reading_values(&cell.id, name)), rows.samples(&cell.id))
}

pub(super) fn capacity_rate(rows: &Rows, cell: &Cell) -> Option<Estimate> {
    rows.time(cell).map(|time| rows::inverse_of(1e9, &time))
}

pub(super) fn capacity_table(input: &AnalysisInput, rows: &mut Rows, ways: &[Way], judged: &[Judged]) -> Table {
    let price = input.settings.param("cpu_hour_price").unwrap_or(0.0);
    let mut order: Vec<&Way> = ways.iter().collect();
    let rate = |rows: &Rows, way: &Way| capacity_rate(rows, way.capacity).map_or(0.0, |rate| rate.point);
    order.sort_by(|a, b| rate(rows, b).total_cmp(&rate(rows, a)));
    let body = order
        .into_iter()
        .map(|way| {
            let cell = way.capacity;
            let estimate = capacity_rate(rows, cell);
            let record = rows.push(cell, "serve", "capacity", "requests/s", estimate.clone());
            let (mut status, mut error) = (record.status, record.error.clone());
            if let Some(reason) = invalid(input, cell).filter(|_| status == Status::Ok) {
                (status, error) = (Status::Invalid, Some(reason));
                record.status = status;
                record.error.clone_from(&error);
            }
            let cpu = reading(input, rows, cell, "server_cpu_ns_per_request");
            let cost = cpu.as_ref().map(|cpu| rows::scaled(cpu, price / 3.6e12 * 1e6));
            let memory = reading(input, rows, cell, "pss_bytes");
            rows.push(cell, "serve", "cpu_per_request", "ns", cpu.clone());
            rows.push(cell, "serve", "cost_per_million", "USD", cost.clone());
            rows.push(cell, "serve", "memory_pss", "bytes", memory.clone());
            rows.push(cell, "serve", "concurrency", "1", reading(input, rows, cell, "concurrency"));
            let shares = rows::values(&input.measurements.reading_values(&cell.id, BUSIEST));
            if let Some(share) = rows::linear_estimate(&shares, rows.samples(&cell.id)) {
                rows.push(cell, "serve", BUSIEST, "1", Some(share));
            }
            let judgement = judged.iter().find(|judged| judged.row == cell.id);
            if let Some(judged) = judgement {
                rows.push_ratio(cell, "serve", judged);
            }
            Row {
                values: vec![
                    text(way.label()),
                    present::figure(estimate.as_ref(), rate_pm, error.as_deref()),
                    judgement
                        .map_or_else(|| text(""), |judged| present::ratio_verdict(&judged.speedup(), judged.verdict)),
                    present::figure(cpu.as_ref(), |cpu| format::duration(cpu.point), None),
                    present::figure(memory.as_ref(), |memory| format::bytes(memory.point as u64), None),
                    present::figure(cost.as_ref(), |cost| format::significant(cost.point, 2), None),
                ],
                status,
                group: String::new(),
            }
        })
        .collect();
    let columns = vec![
        column("strategy", false, 0),
        column("requests/s", true, 0),
        column("over inline", true, 0),
        column("CPU/request", true, 1),
        column("memory", true, 2),
        column("USD/million", true, 3),
    ];
    Table {
        id: "strategies-capacity".to_owned(),
        title: format!(
            "Capacity, {}",
            ways.first().map(|way| present::describe(&way.capacity.axes)).unwrap_or_default()
        ),
        columns,
        rows: body,
        notes: vec![
            format!("requests/s: plateau of the closed loop. over inline: paired within runs. {}", rows.marks()),
            format!(
                "CPU/request: of all the server's processes. memory: their proportional set size. USD/million: that CPU time at {price} USD a core-hour."
            ),
        ],
    }
}

pub(super) fn latency_table(input: &AnalysisInput, rows: &mut Rows, ways: &[Way]) -> Table {
    let mut body = Vec::new();
    for way in ways {
        for cell in &way.loads {
            body.push(latency_row(input, rows, way, cell));
        }
    }
    Table {
        id: "strategies-latency".to_owned(),
        title: "Latency under open-loop Poisson arrivals, from the scheduled arrival".to_owned(),
        columns: vec![
            column("strategy", false, 0),
            column("load", true, 0),
            column("requests/s", true, 1),
            column("achieved", true, 0),
            column("p50", true, 0),
            column("p99", true, 0),
            column("loop lag p99", true, 2),
            column("lateness p99", true, 3),
        ],
        rows: body,
        notes: vec![
            "load: share of the way's own capacity in the calibration; `common`: one rate for all ways. achieved: arrivals over the capacity of the same run."
                .to_owned(),
            format!("p99 needs {P99_NEEDS} requests a run. ≥{:.0}% achieved: saturated, the latency is that of a growing queue and has no interval.", SATURATED * 100.0),
            "loop lag: lateness of a 5 ms heartbeat on the server's event loop. lateness: of the generator's own sends.".to_owned(),
        ],
    }
}

fn latency_row(input: &AnalysisInput, rows: &mut Rows, way: &Way, cell: &Cell) -> Row {
    let achieved = achieved(input, way, cell);
    let utilization = rows::linear_estimate(&rows::values(&achieved), rows.samples(&cell.id));
    let saturated = utilization.as_ref().is_some_and(|share| share.point >= SATURATED);
    let record = rows.push(cell, "serve", "utilization", "1", utilization.clone());
    let (mut status, mut error) = (record.status, record.error.clone());
    if let Some(reason) = invalid(input, cell).filter(|_| status == Status::Ok) {
        (status, error) = (Status::Invalid, Some(reason));
        record.status = status;
        record.error.clone_from(&error);
    }
    let least = input.measurements.reading_values(&cell.id, "requests").values().copied().fold(f64::INFINITY, f64::min);
    let mut latency = |name: &str, needs: f64| {
        let mut estimate = reading(input, rows, cell, &format!("latency_{name}_ns")).filter(|_| least >= needs);
        if saturated && let Some(estimate) = &mut estimate {
            (estimate.lower, estimate.upper) = (None, None);
            estimate.method = "saturated".to_owned();
        }
        let record = rows.push(cell, "serve", &format!("latency_{name}"), "ns", estimate.clone());
        record.status = status;
        record.error.clone_from(&error);
        estimate
    };
    let p50 = latency("p50", 6.0);
    latency("p90", P90_NEEDS);
    let p99 = latency("p99", P99_NEEDS);
    let rate = reading(input, rows, cell, "rate_per_s");
    let lag = reading(input, rows, cell, "loop_lag_p99_ns");
    let lateness = reading(input, rows, cell, "lateness_p99_ns");
    rows.push(cell, "serve", "arrival_rate", "requests/s", rate.clone());
    rows.push(cell, "serve", "loop_lag_p99", "ns", lag.clone());
    rows.push(cell, "serve", "lateness_p99", "ns", lateness.clone());
    rows.push(cell, "serve", "generator_share", "1", reading(input, rows, cell, "generator_share"));
    rows.push(cell, "serve", "cpu_per_request", "ns", reading(input, rows, cell, "server_cpu_ns_per_request"));
    let show = |estimate: &Estimate| {
        if saturated { format!("{} sat.", format::duration(estimate.point)) } else { present::duration_pm(estimate) }
    };
    Row {
        values: vec![
            text(way.label()),
            text(word(&cell.axes, "load")),
            present::figure(rate.as_ref(), |rate| format::significant(rate.point, 3), None),
            present::figure(utilization.as_ref(), |share| format::percent(share.point), error.as_deref()),
            present::figure(p50.as_ref(), show, None),
            present::figure(p99.as_ref(), show, None),
            present::figure(lag.as_ref(), |lag| format::duration(lag.point), None),
            present::figure(lateness.as_ref(), |late| format::duration(late.point), None),
        ],
        status,
        group: way.label(),
    }
}

/// Arrivals over the capacity of the same run.
fn achieved(input: &AnalysisInput, way: &Way, cell: &Cell) -> BTreeMap<u32, f64> {
    let capacity = input.measurements.run_values(&way.capacity.id);
    let rates = input.measurements.reading_values(&cell.id, "rate_per_s");
    rates.into_iter().filter_map(|(run, rate)| capacity.get(&run).map(|ns| (run, rate * ns / 1e9))).collect()
}

fn rate_pm(rate: &Estimate) -> String {
    format!("{}{}", format::significant(rate.point, 3), present::plus_minus(rate))
}

pub(super) fn capacity_figure(rows: &Rows, ways: &[Way]) -> Option<Figure> {
    let mut shown: Vec<(&Way, Estimate)> = ways
        .iter()
        .filter(|way| rows.rankable(&way.capacity.id))
        .filter_map(|way| Some((way, capacity_rate(rows, way.capacity)?)))
        .collect();
    shown.sort_by(|a, b| b.1.point.total_cmp(&a.1.point));
    (!shown.is_empty()).then(|| Figure {
        id: "strategies-capacity".to_owned(),
        title: "What each way carries".to_owned(),
        kind: FigureKind::GroupedBars,
        x: present::categories("strategy", shown.iter().map(|(way, _)| way.label()).collect()),
        y: present::axis("capacity (requests/s)", false),
        series: vec![Series {
            name: "closed loop at the plateau".to_owned(),
            points: shown.iter().enumerate().map(|(i, (_, rate))| present::point(i as f64, rate, 1.0)).collect(),
            reference: false,
        }],
        caption: "Mean across runs with 95% intervals. pass-through does no templating and no tokenization: what the front end alone can carry.".to_owned(),
    })
}

/// Achieved utilization against p99 (p50 where the samples do not support it).
pub(super) fn latency_figure(input: &AnalysisInput, rows: &Rows, ways: &[Way]) -> Option<Figure> {
    let shares: Vec<String> =
        present::distinct(ways.iter().flat_map(|way| way.loads.iter().map(|cell| word(&cell.axes, "load").to_owned())));
    let usable: Vec<&Way> = ways.iter().filter(|way| way.loads.iter().any(|cell| rows.rankable(&cell.id))).collect();
    let labelled = |way: &Way| {
        let bad = way.loads.iter().any(|cell| invalid(input, cell).is_some());
        if bad { format!("{} INVALID", way.label()) } else { way.label() }
    };
    let series: Vec<Series> = shares
        .iter()
        .flat_map(|share| ["p50", "p99"].map(|quantile| (share, quantile)))
        .map(|(share, quantile)| Series {
            name: format!("{quantile} at {share}"),
            points: usable
                .iter()
                .enumerate()
                .filter_map(|(index, way)| {
                    let cell =
                        way.loads.iter().find(|cell| word(&cell.axes, "load") == share && rows.rankable(&cell.id))?;
                    let requests = input.measurements.reading_values(&cell.id, "requests");
                    let least = requests.values().copied().fold(f64::INFINITY, f64::min);
                    if quantile == "p99" && least < P99_NEEDS {
                        return None;
                    }
                    let latency = reading(input, rows, cell, &format!("latency_{quantile}_ns"))?;
                    Some(present::point(index as f64, &latency, 1e-6))
                })
                .collect(),
            reference: false,
        })
        .filter(|series| !series.points.is_empty())
        .collect();
    (!series.is_empty()).then(|| Figure {
        id: "strategies-latency".to_owned(),
        title: "Latency at the same share of each way's own capacity".to_owned(),
        kind: FigureKind::GroupedBars,
        x: present::categories("strategy", usable.iter().map(|way| labelled(way)).collect()),
        y: present::axis("latency from the scheduled arrival (ms)", true),
        series,
        caption: "Mean across runs with 95% intervals; open-loop Poisson arrivals, the same schedule for all, scaled by the rate. INVALID: the generator was late in a run.".to_owned(),
    })
}
