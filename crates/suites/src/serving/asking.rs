//! Cells that ask a server of models, and what every experiment of the suite says of them.

use std::collections::BTreeMap;

use loadgen::order::Drive;
use record::plan::WorkloadSpec;
use record::plan::{Cell, Op};
use serde_json::Value;

use super::knee;
use crate::AnalysisInput;
use crate::house::cells::{self, Draft};
use crate::present::Axes;
use crate::settings::{ExperimentSettings, PlanContext, PlannedSubject};
use record::format;

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
        cells::cell(
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
                // What a model answers has no reference here.
                output: None,
                reference: false,
                beside: self.asker.id.clone(),
                varied: &[],
            },
        )
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

/// Warnings about connections, requests that failed, and requests that were not counted.
pub fn warnings(input: &AnalysisInput) -> Vec<String> {
    let mut warnings = Vec::new();
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
