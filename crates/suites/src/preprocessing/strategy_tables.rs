//! What the strategies experiment shows: each served with its loads, as tables and figures.

use std::collections::BTreeMap;

use benchstats::order::calls_needed;
use record::plan::Cell;
use record::results::{Estimate, Figure, FigureKind, Row, Series, Status, Table};

use super::strategies::is_capacity;
use super::strategy::{STRATEGIES, Workers};
use crate::AnalysisInput;
use crate::house::estimate;
use crate::house::rows::Rows;
use crate::house::status;
use crate::present::{self, column, text, word};
use record::format;

/// Achieved share of the capacity from which an open loop counts as saturated: its latency is that of a growing queue.
const SATURATED: f64 = 0.95;
/// Share of the requests that the busiest of several processes on one port answered.
const BUSIEST: &str = "busiest_process_share";
/// So many times its fair share are called unbalanced.
const UNBALANCED: f64 = 1.2;

/// A strategy with its loads.
pub(super) struct Served<'a> {
    pub(super) capacity: &'a Cell,
    loads: Vec<&'a Cell>,
}

impl Served<'_> {
    pub(super) fn name(&self) -> &str {
        word(&self.capacity.axes, "strategy")
    }

    /// `executor-shared ×2`
    pub(super) fn label(&self) -> String {
        match STRATEGIES.iter().find(|strategy| strategy.name == self.name()).map(|strategy| strategy.workers) {
            Some(Workers::Axis) => format!("{} ×{}", self.name(), self.capacity.op.threads),
            _ => self.name().to_owned(),
        }
    }
}

pub(super) fn served<'a>(input: &AnalysisInput<'a>) -> Vec<Served<'a>> {
    input
        .cells()
        .filter(|cell| is_capacity(cell))
        .map(|capacity| Served {
            capacity,
            loads: input
                .cells()
                .filter(|cell| cell.beside == capacity.beside && !is_capacity(cell) && cell.twin_of.is_none())
                .collect(),
        })
        .collect()
}

/// Processes on one port, of which one got the connections that the others lacked.
pub(super) fn unbalanced_warnings(rows: &Rows, all: &[Served]) -> Vec<String> {
    let of = |served: &Served| {
        let share = rows.reading(served.capacity, BUSIEST)?;
        let fair = 1.0 / f64::from(served.capacity.op.threads);
        (share.point > UNBALANCED * fair).then(|| {
            format!(
                "{}: the busiest of {} processes on one port answered {} of the closed loop's requests. A kept connection stays with the process that \
                 accepted it, so clients with few connections do not use all processes; spread requests in front of them.",
                served.label(),
                served.capacity.op.threads,
                format::percent(share.point)
            )
        })
    };
    all.iter().filter_map(of).collect()
}

pub(super) fn capacity_rate(rows: &Rows, cell: &Cell) -> Option<Estimate> {
    rows.time(cell).map(|time| estimate::inverse_of(1e9, &time))
}

pub(super) fn capacity_table(input: &AnalysisInput, rows: &mut Rows, all: &[Served]) -> Table {
    let price = input.settings.param("cpu_hour_price").unwrap_or(0.0);
    let mut order: Vec<&Served> = all.iter().collect();
    let rate = |rows: &Rows, served: &Served| capacity_rate(rows, served.capacity).map_or(0.0, |rate| rate.point);
    order.sort_by(|a, b| rate(rows, b).total_cmp(&rate(rows, a)));
    let body = order
        .into_iter()
        .map(|served| {
            let cell = served.capacity;
            let estimate = capacity_rate(rows, cell);
            let record = rows.push(cell, "serve", "capacity", "requests/s", estimate.clone());
            let (status, error) = (record.status, record.error.clone());
            let cpu = rows.reading(cell, "server_cpu_ns_per_request");
            let cost = cpu.as_ref().map(|cpu| estimate::scaled(cpu, price / 3.6e12 * 1e6));
            let memory = rows.reading(cell, "pss_bytes");
            rows.push(cell, "serve", "cpu_per_request", "ns", cpu.clone());
            rows.push(cell, "serve", "cost_per_million", "USD", cost.clone());
            rows.push(cell, "serve", "memory_pss", "bytes", memory.clone());
            rows.push(cell, "serve", "concurrency", "1", rows.reading(cell, "concurrency"));
            if let Some(share) = rows.linear_reading(cell, BUSIEST) {
                rows.push(cell, "serve", BUSIEST, "1", Some(share));
            }
            let judgement = input.judged(cell);
            if let Some(judged) = judgement {
                rows.push_ratio(cell, "serve", judged);
            }
            Row {
                values: vec![
                    text(format!("{}{}", served.label(), status::mark(input.measurements, cell))),
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
        title: "Capacity".to_owned(),
        columns,
        rows: body,
        notes: vec![
            format!("requests/s: plateau of the closed loop. over inline: paired within runs. {}", input.marks()),
            format!(
                "CPU/request: of all the server's processes. memory: their proportional set size. USD/million: that CPU time at {price} USD a core-hour."
            ),
        ],
    }
}

pub(super) fn latency_table(input: &AnalysisInput, rows: &mut Rows, all: &[Served]) -> Table {
    let mut body = Vec::new();
    for served in all {
        for cell in &served.loads {
            body.push(latency_row(input, rows, served, cell));
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
            "load: share of the strategy's own capacity in the calibration; `common`: one rate for all strategies. achieved: arrivals over the capacity of the same run."
                .to_owned(),
            format!("p99 needs {} requests a run. ≥{:.0}% achieved: saturated, the latency is that of a growing queue and has no interval.", calls_needed(0.99), SATURATED * 100.0),
            "loop lag: lateness of a 5 ms heartbeat on the server's event loop. lateness: of the generator's own sends.".to_owned(),
        ],
    }
}

fn latency_row(input: &AnalysisInput, rows: &mut Rows, served: &Served, cell: &Cell) -> Row {
    let achieved = achieved(input, served, cell);
    let utilization = estimate::linear_estimate(&estimate::values(&achieved), rows.samples(&cell.id));
    let saturated = utilization.as_ref().is_some_and(|share| share.point >= SATURATED);
    let record = rows.push(cell, "serve", "utilization", "1", utilization.clone());
    let (status, error) = (record.status, record.error.clone());
    let mut latency = |name: &str| {
        let mut estimate = rows.latency(cell, &format!("latency_{name}_ns"));
        if saturated && let Some(estimate) = &mut estimate {
            (estimate.lower, estimate.upper) = (None, None);
            estimate.method = "saturated".to_owned();
        }
        rows.push(cell, "serve", &format!("latency_{name}"), "ns", estimate.clone());
        estimate
    };
    let p50 = latency("p50");
    latency("p90");
    let p99 = latency("p99");
    let rate = rows.reading(cell, "rate_per_s");
    let lag = rows.reading(cell, "loop_lag_p99_ns");
    let lateness = rows.reading(cell, "lateness_p99_ns");
    rows.push(cell, "serve", "arrival_rate", "requests/s", rate.clone());
    rows.push(cell, "serve", "loop_lag_p99", "ns", lag.clone());
    rows.push(cell, "serve", "lateness_p99", "ns", lateness.clone());
    rows.push(cell, "serve", "generator_share", "1", rows.reading(cell, "generator_share"));
    rows.push(cell, "serve", "cpu_per_request", "ns", rows.reading(cell, "server_cpu_ns_per_request"));
    let show = |estimate: &Estimate| {
        if saturated { format!("{} sat.", format::duration(estimate.point)) } else { present::duration_pm(estimate) }
    };
    Row {
        values: vec![
            text(format!("{}{}", served.label(), status::mark(input.measurements, cell))),
            text(word(&cell.axes, "load")),
            present::figure(rate.as_ref(), |rate| format::significant(rate.point, 3), None),
            present::figure(utilization.as_ref(), |share| format::percent(share.point), error.as_deref()),
            present::figure(p50.as_ref(), show, None),
            present::figure(p99.as_ref(), show, None),
            present::figure(lag.as_ref(), |lag| format::duration(lag.point), None),
            present::figure(lateness.as_ref(), |late| format::duration(late.point), None),
        ],
        status,
        group: served.label(),
    }
}

/// Arrivals over the capacity of the same run.
fn achieved(input: &AnalysisInput, served: &Served, cell: &Cell) -> BTreeMap<u32, f64> {
    let capacity = input.measurements.run_values(&served.capacity.id);
    let rates = input.measurements.reading_values(&cell.id, "rate_per_s");
    rates.into_iter().filter_map(|(run, rate)| capacity.get(&run).map(|ns| (run, rate * ns / 1e9))).collect()
}

fn rate_pm(rate: &Estimate) -> String {
    format!("{}{}", format::significant(rate.point, 3), present::plus_minus(rate))
}

pub(super) fn capacity_figure(rows: &Rows, all: &[Served]) -> Option<Figure> {
    let mut shown: Vec<(&Served, Estimate)> = all
        .iter()
        .filter(|served| rows.rankable(served.capacity))
        .filter_map(|served| Some((served, capacity_rate(rows, served.capacity)?)))
        .collect();
    shown.sort_by(|a, b| b.1.point.total_cmp(&a.1.point));
    (!shown.is_empty()).then(|| Figure {
        id: "strategies-capacity".to_owned(),
        title: "What each strategy carries".to_owned(),
        kind: FigureKind::GroupedBars,
        x: present::categories("strategy", shown.iter().map(|(served, _)| served.label()).collect()),
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
pub(super) fn latency_figure(input: &AnalysisInput, rows: &Rows, all: &[Served]) -> Option<Figure> {
    let shares: Vec<String> = present::distinct(
        all.iter().flat_map(|served| served.loads.iter().map(|cell| word(&cell.axes, "load").to_owned())),
    );
    let usable: Vec<&Served> =
        all.iter().filter(|served| served.loads.iter().any(|cell| rows.rankable(cell))).collect();
    let labelled = |served: &Served| {
        let bad = served.loads.iter().any(|cell| status::of(input.measurements, cell) == Status::Invalid);
        if bad { format!("{} INVALID", served.label()) } else { served.label() }
    };
    let series: Vec<Series> = shares
        .iter()
        .flat_map(|share| ["p50", "p99"].map(|quantile| (share, quantile)))
        .map(|(share, quantile)| Series {
            name: format!("{quantile} at {share}"),
            points: usable
                .iter()
                .enumerate()
                .filter_map(|(index, served)| {
                    let cell =
                        served.loads.iter().find(|cell| word(&cell.axes, "load") == share && rows.rankable(cell))?;
                    let latency = rows.latency(cell, &format!("latency_{quantile}_ns"))?;
                    Some(present::point(index as f64, &latency, 1e-6))
                })
                .collect(),
            reference: false,
        })
        .filter(|series| !series.points.is_empty())
        .collect();
    (!series.is_empty()).then(|| Figure {
        id: "strategies-latency".to_owned(),
        title: "Latency at the same share of each strategy's own capacity".to_owned(),
        kind: FigureKind::GroupedBars,
        x: present::categories("strategy", usable.iter().map(|served| labelled(served)).collect()),
        y: present::axis("latency from the scheduled arrival (ms)", true),
        series,
        caption: "Mean across runs with 95% intervals; open-loop Poisson arrivals, the same schedule for all, scaled by the rate. INVALID: the generator was late in a run.".to_owned(),
    })
}
