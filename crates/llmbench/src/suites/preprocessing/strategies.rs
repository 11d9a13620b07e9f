//! 5 strategies: which way of using the cores carries the most requests, and what does it cost in latency, CPU and memory?

use std::collections::BTreeMap;

use benchstats::Verdict;
use llmbench_core::plan::{Cell, Drive, Op, Plan, Timing};
use llmbench_core::record::{
    Estimate, ExperimentResult, Figure, FigureKind, Finding, Record, Row, Series, Status, Support, Table,
};
use llmbench_core::workload::WorkloadSpec;
use serde_json::{Value, json};

use super::cells::{self, Draft};
use super::rows::{self, Judged, Rows};
use super::spread::{BASELINE, SPREADS, Spread, Workers};
use super::stacks;
use crate::format;
use crate::suites::present::{self, Axes, column, finding, text, word};
use crate::suites::settings::{ExperimentSettings, PlanContext, PlannedSubject};
use crate::suites::spec;
use crate::suites::{AnalysisInput, Experiment};

/// Requests due in a run that a percentile needs to be shown: two-sided 95% order-statistic bounds exist from there on.
const P99_NEEDS: f64 = 368.0;
const P90_NEEDS: f64 = 36.0;
/// Achieved share of the capacity from which an open loop counts as saturated: its latency is that of a growing queue.
const SATURATED: f64 = 0.95;

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
        let capacity = self.cell(driver, spread, workers, "capacity", |_| Drive::Capacity);
        let mut cells = Vec::new();
        if spread.name == BASELINE && self.context.drivers.iter().find(|other| other.serves == "python") == Some(driver)
        {
            cells.push(twin(&capacity));
        }
        let id = capacity.id.clone();
        cells.push(capacity);
        for percent in self.settings.numbers("load", self.context.cores).unwrap_or_default() {
            let share = f64::from(percent) / 100.0;
            cells.push(
                self.cell(driver, spread, workers, &format!("{percent}%"), |_| Drive::Share { share, of: id.clone() }),
            );
        }
        if self.settings.param("common_load").is_some_and(|share| share > 0.0) {
            let share = self.settings.param("common_load").unwrap_or_default() / 100.0;
            cells.push(self.cell(driver, spread, workers, "common", |_| Drive::Common { share, of: Vec::new() }));
        }
        cells
    }

    fn cell(
        &self,
        driver: &PlannedSubject,
        spread: &Spread,
        workers: u32,
        load: &str,
        drive: impl Fn(&str) -> Drive,
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
                timing: Timing::Load { drive: drive(load), span_ns: (span_ms * 1e6) as u64 },
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
    let capacities: Vec<String> = cells
        .iter()
        .filter(|cell| matches!(cell.timing, Timing::Load { drive: Drive::Capacity, .. }) && cell.twin_of.is_none())
        .map(|cell| cell.id.clone())
        .collect();
    for cell in cells {
        if let Timing::Load { drive: Drive::Common { of, .. }, .. } = &mut cell.timing {
            of.clone_from(&capacities);
        }
    }
}

fn is_capacity(cell: &Cell) -> bool {
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

/// A way with its loads.
struct Way<'a> {
    capacity: &'a Cell,
    loads: Vec<&'a Cell>,
}

impl Way<'_> {
    fn name(&self) -> &str {
        word(&self.capacity.axes, "strategy")
    }

    /// `executor-shared ×2`
    fn label(&self) -> String {
        match SPREADS.iter().find(|spread| spread.name == self.name()).map(|spread| spread.workers) {
            Some(Workers::Axis) => format!("{} ×{}", self.name(), self.capacity.op.threads),
            _ => self.name().to_owned(),
        }
    }
}

fn ways<'a>(input: &'a AnalysisInput) -> Vec<Way<'a>> {
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

fn invalid_warning(input: &AnalysisInput) -> Option<String> {
    let cells = input.cells().filter(|cell| invalid(input, cell).is_some()).count();
    (cells > 0).then(|| {
        format!(
            "{cells} points are INVALID: the load generator shares the {} cores with the servers and was late. Their rows say so; \
             close other programs, or run where there are more cores.",
            input.effective_cores()
        )
    })
}

/// A reading as a figure, across runs on the log scale.
fn reading(input: &AnalysisInput, rows: &Rows, cell: &Cell, name: &str) -> Option<Estimate> {
    rows::log_estimate(&rows::values(&input.measurements.reading_values(&cell.id, name)), rows.samples(&cell.id))
}

fn capacity_rate(rows: &Rows, cell: &Cell) -> Option<Estimate> {
    rows.time(cell).map(|time| rows::inverse_of(1e9, &time))
}

fn capacity_table(input: &AnalysisInput, rows: &mut Rows, ways: &[Way], judged: &[Judged]) -> Table {
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

fn latency_table(input: &AnalysisInput, rows: &mut Rows, ways: &[Way]) -> Table {
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

fn capacity_figure(rows: &Rows, ways: &[Way]) -> Option<Figure> {
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
fn latency_figure(input: &AnalysisInput, rows: &Rows, ways: &[Way]) -> Option<Figure> {
    let shares: Vec<String> =
        present::distinct(ways.iter().flat_map(|way| way.loads.iter().map(|cell| word(&cell.axes, "load").to_owned())));
    let usable: Vec<&Way> = ways.iter().filter(|way| way.loads.iter().any(|cell| rows.rankable(&cell.id))).collect();
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
        x: present::categories("strategy", usable.iter().map(|way| way.label()).collect()),
        y: present::axis("latency from the scheduled arrival (ms)", true),
        series,
        caption: "Mean across runs with 95% intervals; open-loop Poisson arrivals, the same schedule for all, scaled by the rate.".to_owned(),
    })
}
