//! What experiment 3 concludes: the base tax of messages, what the sidecar leaves of it, and what queueing makes of it.

use record::plan::Cell;
use record::results::{Estimate, Finding, Status, Support};

use super::asking::{self, STAGE};
use super::sidecar::{IDS, LATENCY, MESSAGES, SIDECAR, find};
use super::tax::{Paid, Tax, multiplied};
use crate::AnalysisInput;
use crate::preprocessing::rows::{self, LEVEL, Rows};
use crate::present::{self, finding, number};
use record::format::{self, TimeUnit, percent_ci};

/// A tax and the runs that it rests on.
pub struct Taxed {
    pub tax: Tax,
    pub runs: usize,
}

/// The tax of a way over the floor; none where one of them must not be used, or with one run.
pub fn tax(input: &AnalysisInput, way: &Cell, floor: &Cell) -> Option<Taxed> {
    let (way_ns, floor_ns): (Vec<f64>, Vec<f64>) = pairs(input, [way, floor])?.into_iter().map(|[a, b]| (a, b)).unzip();
    let tax = Tax::of(&way_ns, &floor_ns, LEVEL).ok()?;
    Some(Taxed { tax, runs: way_ns.len() })
}

/// Latencies of cells in the runs that have all of them, ns; none where a cell must not be used.
fn pairs<const N: usize>(input: &AnalysisInput, cells: [&Cell; N]) -> Option<Vec<[f64; N]>> {
    if cells.iter().any(|cell| asking::status(input, cell).0 != Status::Ok) {
        return None;
    }
    let of = cells.map(|cell| input.measurements.reading_values(&cell.id, LATENCY));
    let runs = of.first()?.keys();
    Some(
        runs.filter_map(|run| {
            let mut row = [0.0; N];
            for (slot, values) in row.iter_mut().zip(&of) {
                *slot = *values.get(run)?;
            }
            Some(row)
        })
        .collect(),
    )
}

/// All findings of a workload, the base tax first.
pub fn of(input: &AnalysisInput, rows: &mut Rows, cells: &[&Cell]) -> Vec<Finding> {
    let levels: Vec<u64> = cells.iter().map(|cell| number(&cell.axes, "concurrency")).collect();
    let (Some(&low), Some(&high)) = (levels.iter().min(), levels.iter().max()) else { return Vec::new() };
    let mut findings = Vec::new();
    findings.extend(base(input, rows, cells, low));
    findings.extend(queueing(input, rows, cells, low, high));
    for level in present::distinct([low, high]) {
        findings.extend(left(input, rows, cells, level));
    }
    findings
}

/// What messages cost over ids while nothing queues.
fn base(input: &AnalysisInput, rows: &Rows, cells: &[&Cell], low: u64) -> Option<Finding> {
    let (messages, ids) = (find(cells, MESSAGES, low)?, find(cells, IDS, low)?);
    let Taxed { tax, runs } = tax(input, messages, ids)?;
    let estimate = |interval| rows::estimate(interval, "paired-t", runs, rows.samples(&messages.id));
    let (difference, share) = (estimate(&tax.difference), estimate(&tax.share));
    let support = judge(&tax, rows.floor);
    let words = match support {
        Support::Supported => "the price of the server's template and tokenizer",
        Support::NotSupported => "within the noise: the server prepares its requests at no price that shows",
        Support::Inconclusive => "the interval does not say whether the server's preparation has a price",
    };
    Some(finding(
        input,
        support,
        "preparing requests in the server costs time at low load".to_owned(),
        format!(
            "At {low} at once, the median TTFT of messages is {} longer than that of the same requests as ids, {} of it: {words} ({}).",
            difference_ci(&difference),
            percent_ci(&share),
            present::describe(&messages.axes),
        ),
        vec![messages.id.clone(), ids.id.clone()],
    ))
}

/// What load makes of the base tax, in latency and in capacity.
fn queueing(input: &AnalysisInput, rows: &mut Rows, cells: &[&Cell], low: u64, high: u64) -> Option<Finding> {
    let [messages_low, ids_low] = [find(cells, MESSAGES, low)?, find(cells, IDS, low)?];
    let [messages_high, ids_high] = [find(cells, MESSAGES, high)?, find(cells, IDS, high)?];
    let Taxed { tax, runs } = tax(input, messages_high, ids_high)?;
    let samples = rows.samples(&messages_high.id);
    let difference = rows::estimate(&tax.difference, "paired-t", runs, samples);
    let quads = pairs(input, [messages_low, ids_low, messages_high, ids_high])?;
    let at_low: Vec<(f64, f64)> = quads.iter().map(|[way, floor, ..]| (*way, *floor)).collect();
    let at_high: Vec<(f64, f64)> = quads.iter().map(|[.., way, floor]| (*way, *floor)).collect();
    let times = multiplied(&at_low, &at_high, LEVEL).ok();
    let times = times.map(|interval| rows::estimate(&interval, "paired-log-t", quads.len(), samples));
    if let Some(times) = &times {
        let record = rows.push(messages_high, STAGE, "tax_multiplied", "1", Some(times.clone()));
        record.baseline_cell_id = Some(messages_low.id.clone());
    }
    let rates = |cell: &Cell| input.measurements.reading_values(&cell.id, "throughput_per_s");
    let capacity = rows::ratio_estimate(&rates(messages_high), &rates(ids_high), samples);
    let (support, words) = match &times {
        Some(times) => {
            let support = present::above(times, 1.0);
            let words = match support {
                Support::Supported => "queueing multiplies it",
                Support::NotSupported => "load makes it smaller",
                Support::Inconclusive => "the interval does not say whether load makes it larger",
            };
            (support, format!("{} times the tax at {low} at once: {words}", format::quantity_ci(times, "")))
        }
        None => (
            Support::Inconclusive,
            format!("at {low} at once there is no tax in every run, so that a multiple of it would mean nothing"),
        ),
    };
    let capacity = capacity
        .map(|ratio| format!("; messages get {} of the requests/s of ids", percent_ci(&ratio)))
        .unwrap_or_default();
    Some(finding(
        input,
        support,
        "queueing multiplies the price of preparing requests in the server".to_owned(),
        format!(
            "At {high} at once, messages take {} longer than ids, {words}{capacity} ({}).",
            difference_ci(&difference),
            present::describe(&messages_high.axes),
        ),
        [messages_low, ids_low, messages_high, ids_high].iter().map(|cell| cell.id.clone()).collect(),
    ))
}

/// What the sidecar leaves of the tax of messages.
fn left(input: &AnalysisInput, rows: &mut Rows, cells: &[&Cell], level: u64) -> Option<Finding> {
    let [messages, sidecar, ids] =
        [find(cells, MESSAGES, level)?, find(cells, SIDECAR, level)?, find(cells, IDS, level)?];
    let Taxed { tax: own, runs } = tax(input, sidecar, ids)?;
    let triples = pairs(input, [messages, sidecar, ids])?;
    let samples = rows.samples(&sidecar.id);
    let own = rows::estimate(&own.difference, "paired-t", runs, samples);
    let Taxed { tax: off, runs } = tax(input, messages, sidecar)?;
    let saved = rows::estimate(&off.difference, "paired-t", runs, samples);
    let taxed = triples.iter().all(|[messages, _, ids]| messages > ids);
    let shares = triples.iter().map(|[messages, sidecar, ids]| (sidecar - ids) / (messages - ids));
    let share = taxed.then(|| rows::linear_estimate(&shares.collect::<Vec<_>>(), samples)).flatten();
    for (metric, unit, estimate) in [("saved", "ns", Some(&saved)), ("tax_left", "1", share.as_ref())] {
        let record = rows.push(sidecar, STAGE, metric, unit, estimate.cloned());
        record.baseline_cell_id = Some(messages.id.clone());
    }
    let support = judge(&off, rows.floor);
    let words = match support {
        Support::Supported => "",
        Support::NotSupported if off.paid() == Paid::Less => " (it makes it longer)",
        Support::NotSupported => " (within the noise)",
        Support::Inconclusive => " (the interval does not say whether it helps)",
    };
    let share = share.map(|share| format!(", {} of the tax of messages", percent_ci(&share))).unwrap_or_default();
    Some(finding(
        input,
        support,
        format!("a sidecar shortens the time to the first token at {level} at once"),
        format!(
            "At {level} at once, the sidecar takes {} off the median TTFT of messages{words}; over ids it leaves {}{share} ({}).",
            difference_ci(&saved),
            difference_ci(&own),
            present::describe(&sidecar.axes),
        ),
        [messages, sidecar, ids].iter().map(|cell| cell.id.clone()).collect(),
    ))
}

/// Whether a way takes longer than another by more than the noise: differences up to `floor`, a share of the shorter time, are none.
fn judge(tax: &Tax, floor: f64) -> Support {
    // The share is of the longer time.
    let noise = floor / (1.0 + floor);
    match tax.paid() {
        Paid::More if tax.share.lower > noise => Support::Supported,
        _ if tax.share.upper < noise => Support::NotSupported,
        _ => Support::Inconclusive,
    }
}

/// `6.3 ms [6.1, 6.5]`, in the unit of its size: a difference may be negative.
pub fn difference_ci(estimate: &Estimate) -> String {
    format::duration_ci_in(estimate, TimeUnit::of(estimate.point.abs()))
}
