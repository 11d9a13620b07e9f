//! Cells that ask a server of models, and what every experiment of the suite says of them.

use std::collections::BTreeMap;

use loadgen::order::Drive;
use record::plan::WorkloadSpec;
use record::plan::{Cell, Op};
use record::results::{Estimate, ExperimentResult, Status};
use serde_json::Value;

use super::knee;
use crate::AnalysisInput;
use crate::preprocessing::cells::{self, Draft};
use crate::preprocessing::rows::{self, Rows};
use crate::present::Axes;
use crate::settings::{ExperimentSettings, PlanContext, PlannedSubject};
use record::format;
use record::protocol::target::{TARGET_VAR, TargetCommand};

/// Name of the stage of all rows.
pub const STAGE: &str = "serve";
/// Share of its capacity from which an open loop counts as saturated: its latency is that of a queue that grows.
pub const SATURATED: f64 = 0.95;

/// One point of the workload's axes, and who asks.
pub struct Point<'a> {
    pub settings: &'a ExperimentSettings,
    pub asker: &'a PlannedSubject,
    pub axes: &'a Axes,
    pub workload: &'a WorkloadSpec,
}

/// What differs between the cells of a point.
pub struct Load<'a> {
    /// Name and value of the axis.
    pub axes: &'a [(&'a str, Value)],
    pub drive: Drive,
    /// Ids of the cells whose capacities it is a share of.
    pub needs: &'a [String],
    pub span_ms: f64,
    /// Params of the op.
    pub params: &'a [(&'a str, Value)],
}

impl Point<'_> {
    pub fn cell(&self, load: Load<'_>) -> Cell {
        let mut axes = self.axes.clone();
        axes.extend(load.axes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let params: BTreeMap<String, Value> =
            load.params.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut cell = cells::cell(
            self.settings,
            Draft {
                subject: self.asker,
                op: Op {
                    name: "ask".to_owned(),
                    engine: "server".to_owned(),
                    call_path: "stream".to_owned(),
                    threads: 1,
                    params,
                },
                timing: cells::load(&load.drive, load.span_ms, load.needs.to_vec()),
                strategy: "client",
                axes,
                workload: self.workload,
                reference: false,
                beside: self.asker.id.clone(),
                varied: &[],
            },
        );
        // What a model answers has no reference here.
        cell.check = None;
        cell
    }
}

/// The subject that asks, or why there is none.
///
/// # Errors
/// The plan was made without a server.
pub fn asker(context: &PlanContext) -> Result<&PlannedSubject, String> {
    context
        .drivers
        .iter()
        .find(|driver| driver.serves == "model")
        .ok_or_else(|| "the serving suite needs a server of models to ask; this is a bug".to_owned())
}

/// Whether the figures are those of a simulation.
pub fn is_simulated(input: &AnalysisInput) -> bool {
    input.info.subjects.values().any(|ready| ready.build.get("simulated").is_some_and(|simulated| simulated == "true"))
}

/// The server that the plan asks; none for our mock.
fn base_url(input: &AnalysisInput) -> Option<String> {
    let target = input.plan.subjects.iter().find_map(|subject| subject.env.get(TARGET_VAR))?;
    serde_json::from_str::<TargetCommand>(target).ok()?.base_url
}

/// Writes SIMULATED over everything where our mock was asked, so that no figure of it is taken for a measurement of a server; names the server
/// where one was.
pub fn mark(input: &AnalysisInput, result: &mut ExperimentResult) {
    if let Some(url) = base_url(input) {
        result.command.push_str(&format!(" --base-url {url}"));
    }
    if !is_simulated(input) {
        return;
    }
    let mark = |text: &mut String| text.insert_str(0, "SIMULATED: ");
    result.tables.iter_mut().for_each(|table| mark(&mut table.title));
    result.figures.iter_mut().for_each(|figure| {
        mark(&mut figure.title);
        mark(&mut figure.caption);
    });
    result.findings.iter_mut().for_each(|finding| mark(&mut finding.sentence));
    result.warnings.push(
        "The server was llmbench's own mock: these figures show what the client and the method do, and nothing about a server. Ask \
         yours with --base-url."
            .to_owned(),
    );
}

/// A reading across runs on the log scale.
pub fn reading(input: &AnalysisInput, rows: &Rows, cell: &Cell, name: &str) -> Option<Estimate> {
    rows::log_estimate(&rows::values(&input.measurements.reading_values(&cell.id, name)), rows.samples(&cell.id))
}

/// Why a stretch of load is no measurement, if the client says so in any run.
pub fn invalid(input: &AnalysisInput, cell: &Cell) -> Option<String> {
    let valid = input.measurements.reading_values(&cell.id, "valid");
    let bad = valid.values().filter(|value| **value < 1.0).count();
    let worst = |name: &str| input.measurements.reading_values(&cell.id, name).values().copied().fold(0.0, f64::max);
    (bad > 0).then(|| {
        let why: Vec<String> = [
            ("invalid_late", format!("requests left late, p99 up to {}", format::duration(worst("lateness_p99_ns")))),
            ("invalid_saturated", format!("the client used {} of a core", format::percent(worst("generator_share")))),
            ("invalid_timer_late", "the client woke late".to_owned()),
            (
                "invalid_client_error",
                format!("the client read late, p99 up to {}", format::duration(worst("client_error_p99_ns"))),
            ),
            (
                "invalid_unique_hits",
                format!(
                    "the server found {} of prompts in its cache that it had never met",
                    format::percent(worst("unique_hit_share"))
                ),
            ),
            ("invalid_no_answer", "no request was answered".to_owned()),
            ("invalid_ended_early", "it ended early".to_owned()),
        ]
        .into_iter()
        .filter(|(name, _)| !input.measurements.reading_values(&cell.id, name).is_empty())
        .map(|(_, why)| why)
        .collect();
        format!("INVALID in {bad} of {} runs: {}", valid.len(), why.join(", "))
    })
}

/// The status of a cell's rows, and why it is not ok.
pub fn status(input: &AnalysisInput, cell: &Cell) -> (Status, Option<String>) {
    let status = input.measurements.status(&cell.id);
    match invalid(input, cell) {
        Some(reason) if usable(status) => (Status::Invalid, Some(reason)),
        _ if usable(status) => (Status::Ok, None),
        _ => (status, input.error(&cell.id)),
    }
}

/// A server's answers have no reference: that they were not compared is no fault of the figure.
fn usable(status: Status) -> bool {
    matches!(status, Status::Ok | Status::Unchecked)
}

/// Warnings about points that must not be used, requests that failed, and requests that were not counted.
pub fn warnings(input: &AnalysisInput) -> Vec<String> {
    let mut warnings = Vec::new();
    let invalid_cells = input.cells().filter(|cell| invalid(input, cell).is_some()).count();
    if invalid_cells > 0 {
        warnings.push(format!(
            "{invalid_cells} points are INVALID: the client was late or saturated, so their latencies are its own. Their rows say so; give \
             the client cores of its own, or ask for less at once."
        ));
    }
    let once = |cell: &Cell| input.measurements.reading_values(&cell.id, "single_use").values().any(|once| *once > 0.0);
    let of = input.cells().filter(|cell| once(cell)).count();
    if of > 0 {
        warnings.push(format!(
            "The server closes connections that it said it would keep ({of} of {} cells): each request there opens its own, within its latency.",
            input.cells().count()
        ));
    }
    for cell in input.cells().filter(|cell| cell.twin_of.is_none()) {
        let failed = input.measurements.reading_values(&cell.id, "failed").values().sum::<f64>();
        let sent = input.measurements.reading_values(&cell.id, "requests").values().sum::<f64>();
        if failed > 0.0 {
            warnings.push(format!(
                "{failed:.0} of {sent:.0} requests failed in {}: its latencies are of the others. See the server's log.",
                cell.id
            ));
        }
        let (ratios, edge) = (little(input, cell), edge(input, cell));
        if let Some(worst) = ratios.values().copied().max_by(|a, b| (a - 1.0).abs().total_cmp(&(b - 1.0).abs()))
            && (worst - 1.0).abs() > knee::LITTLE_TOLERANCE + edge
        {
            warnings.push(format!(
                "{}: throughput times response time is {} of the requests under way (Little's law), and the ends of the stretch explain no more than {}: something was counted wrong.",
                cell.id,
                format::percent(worst),
                format::percent(edge)
            ));
        }
    }
    warnings
}

/// How far Little's ratio may be off because a stretch ends: requests that are under way at its ends count with a part of their time
/// only. The largest of the runs.
fn edge(input: &AnalysisInput, cell: &Cell) -> f64 {
    let of = |name: &str| input.measurements.reading_values(&cell.id, name);
    let requests = of("requests");
    of("in_flight").into_iter().filter_map(|(run, n)| Some(n / requests.get(&run)?.max(1.0))).fold(0.0, f64::max)
}

/// Little's ratio by run.
pub fn little(input: &AnalysisInput, cell: &Cell) -> BTreeMap<u32, f64> {
    let of = |name: &str| input.measurements.reading_values(&cell.id, name);
    let (rates, responses, in_flight) = (of("finished_per_s"), of("response_mean_ns"), of("in_flight"));
    rates
        .into_iter()
        .filter_map(|(run, rate)| Some((run, knee::little(rate, *responses.get(&run)?, *in_flight.get(&run)?))))
        .collect()
}
