//! What experiment 3 concludes: the base tax of messages, what the sidecar leaves of it, and what queueing makes of it.

use benchstats::verdict::Verdict;
use record::plan::Cell;
use record::results::{CellValue, Estimate, Finding, Support};

use super::asking::STAGE;
use super::sidecar::{IDS, LATENCY, MESSAGES, SIDECAR, find};
use super::tax::multiplied;
use crate::AnalysisInput;
use crate::house::comparison::{Comparison, Quantity};
use crate::house::estimate::{self, LEVEL};
use crate::house::floor::Floor;
use crate::house::judged::Judged;
use crate::house::rows::Rows;
use crate::house::status;
use crate::present::{self, finding, number};
use record::format::{self, TimeUnit, percent_ci};

/// How much longer the median TTFT of a strategy is than that of another one.
pub fn difference(row: &Cell, baseline: &Cell) -> Comparison {
    Comparison::new(&row.id, &baseline.id, Quantity::TTFT_DIFFERENCE)
}

/// The tax of messages at the highest concurrency less that at the lowest; none without both.
pub fn queueing_comparison(cells: &[&Cell]) -> Option<Comparison> {
    let (low, high) = ends(cells)?;
    let [messages_low, ids_low] = [find(cells, MESSAGES, low)?, find(cells, IDS, low)?];
    let [messages_high, ids_high] = [find(cells, MESSAGES, high)?, find(cells, IDS, high)?];
    (low != high).then(|| difference(messages_high, ids_high).over(&messages_low.id, &ids_low.id))
}

/// The tax as a share of the strategy's own figure, across runs.
pub fn share(input: &AnalysisInput, judged: &Judged) -> Option<Estimate> {
    let of = |cell: &str| input.measurements.reading_values(cell, LATENCY);
    let floor = of(&judged.baseline);
    let shares: Vec<f64> =
        of(&judged.row).into_iter().filter_map(|(run, own)| Some(1.0 - floor.get(&run)? / own)).collect();
    let share = estimate::linear_estimate(&shares, judged.estimate.samples)?;
    Some(Estimate { method: "paired-t".to_owned(), ..share })
}

/// All findings of a point, the base tax first.
pub fn of(input: &AnalysisInput, rows: &mut Rows, cells: &[&Cell]) -> Vec<Finding> {
    let Some((low, high)) = ends(cells) else { return Vec::new() };
    let mut findings = Vec::new();
    findings.extend(base(input, cells, low));
    findings.extend(queueing(input, rows, cells, low, high));
    for level in present::distinct([low, high]) {
        findings.extend(left(input, rows, cells, level));
    }
    findings
}

/// The lowest and the highest concurrency.
fn ends(cells: &[&Cell]) -> Option<(u64, u64)> {
    let levels = || cells.iter().map(|cell| number(&cell.axes, "concurrency"));
    Some((levels().min()?, levels().max()?))
}

/// Latencies of cells in the runs that have all of them, ns; none where a cell must not be used.
fn together<const N: usize>(input: &AnalysisInput, cells: [&Cell; N]) -> Option<Vec<[f64; N]>> {
    if cells.iter().any(|cell| !status::is_usable(input.measurements, cell)) {
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

/// What messages cost over ids while nothing queues.
fn base(input: &AnalysisInput, cells: &[&Cell], low: u64) -> Option<Finding> {
    let (messages, ids) = (find(cells, MESSAGES, low)?, find(cells, IDS, low)?);
    let tax = input.judged_of(&difference(messages, ids))?;
    let share = share(input, tax)?;
    let (support, words) = match tax.verdict {
        Verdict::Slower => (Support::Supported, "the price of the server's template and tokenizer".to_owned()),
        Verdict::Equivalent | Verdict::Faster => (
            Support::NotSupported,
            "within the noise: the server prepares its requests at no price that shows".to_owned(),
        ),
        Verdict::Inconclusive => (Support::Inconclusive, unclear(tax, "whether the server's preparation has a price")),
    };
    Some(finding(
        input,
        support,
        "preparing requests in the server costs time at low load".to_owned(),
        format!(
            "At {low} at once, the median TTFT of messages is {} longer than that of the same requests as ids, {} of it: {words} ({}).",
            difference_ci(&tax.estimate),
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
    let tax = input.judged_of(&difference(messages_high, ids_high))?;
    let grown = input.judged_of(&queueing_comparison(cells)?)?;
    let samples = rows.samples(&messages_high.id);
    rows.push_judged(messages_high, STAGE, ("tax_growth", "ns"), grown.estimate.clone(), grown);
    let quads = together(input, [messages_low, ids_low, messages_high, ids_high])?;
    let at_low: Vec<(f64, f64)> = quads.iter().map(|[own, floor, ..]| (*own, *floor)).collect();
    let at_high: Vec<(f64, f64)> = quads.iter().map(|[.., own, floor]| (*own, *floor)).collect();
    let times = multiplied(&at_low, &at_high, LEVEL).ok();
    let times = times.map(|interval| estimate::estimate(&interval, "paired-log-t", quads.len(), samples));
    if let Some(times) = &times {
        let record = rows.push(messages_high, STAGE, "tax_multiplied", "1", Some(times.clone()));
        record.baseline_cell_id = Some(messages_low.id.clone());
    }
    let rates = |cell: &Cell| input.measurements.reading_values(&cell.id, "throughput_per_s");
    let capacity = estimate::ratio_estimate(&rates(messages_high), &rates(ids_high), samples);
    let (support, words) = match &times {
        Some(times) => {
            // A multiple above one is a tax that grew: that is what has a noise floor and a place in the family.
            let (support, words) = match grown.verdict {
                Verdict::Slower => (Support::Supported, "queueing multiplies it".to_owned()),
                Verdict::Faster => (Support::NotSupported, "load makes it smaller".to_owned()),
                Verdict::Equivalent => (Support::NotSupported, "load makes no more of it than noise would".to_owned()),
                Verdict::Inconclusive => (Support::Inconclusive, unclear(grown, "whether load makes it larger")),
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
            difference_ci(&tax.estimate),
            present::describe(&messages_high.axes),
        ),
        [messages_low, ids_low, messages_high, ids_high].iter().map(|cell| cell.id.clone()).collect(),
    ))
}

/// What the sidecar leaves of the tax of messages.
fn left(input: &AnalysisInput, rows: &mut Rows, cells: &[&Cell], level: u64) -> Option<Finding> {
    let [messages, sidecar, ids] =
        [find(cells, MESSAGES, level)?, find(cells, SIDECAR, level)?, find(cells, IDS, level)?];
    let own = input.judged_of(&difference(sidecar, ids))?;
    let off = input.judged_of(&difference(sidecar, messages))?;
    let saved = negative(&off.estimate);
    let triples = together(input, [messages, sidecar, ids])?;
    let samples = rows.samples(&sidecar.id);
    let taxed = triples.iter().all(|[messages, _, ids]| messages > ids);
    let shares = triples.iter().map(|[messages, sidecar, ids]| (sidecar - ids) / (messages - ids));
    let share = taxed.then(|| estimate::linear_estimate(&shares.collect::<Vec<_>>(), samples)).flatten();
    rows.push_judged(sidecar, STAGE, ("saved", "ns"), saved.clone(), off);
    let record = rows.push(sidecar, STAGE, "tax_left", "1", share.clone());
    record.baseline_cell_id = Some(messages.id.clone());
    let (support, words) = match off.verdict {
        Verdict::Faster => (Support::Supported, String::new()),
        Verdict::Slower => (Support::NotSupported, " (it makes it longer)".to_owned()),
        Verdict::Equivalent => (Support::NotSupported, " (within the noise)".to_owned()),
        Verdict::Inconclusive => (Support::Inconclusive, format!(" ({})", unclear(off, "whether it helps"))),
    };
    let share = share.map(|share| format!(", {} of the tax of messages", percent_ci(&share))).unwrap_or_default();
    Some(finding(
        input,
        support,
        format!("a sidecar shortens the time to the first token at {level} at once"),
        format!(
            "At {level} at once, the sidecar takes {} off the median TTFT of messages{words}; over ids it leaves {}{share} ({}).",
            difference_ci(&saved),
            difference_ci(&own.estimate),
            present::describe(&sidecar.axes),
        ),
        [messages, sidecar, ids].iter().map(|cell| cell.id.clone()).collect(),
    ))
}

/// Why nothing is said: the figures, or the noise that nobody knows.
fn unclear(judged: &Judged, what: &str) -> String {
    match &judged.floor {
        Floor::Known(floor) => {
            format!("the interval and a noise of {} do not say {what}", floor.words())
        }
        Floor::Unknown(reason) => format!("nobody can say {what}, because {reason}"),
    }
}

/// The same difference seen from the other side.
fn negative(estimate: &Estimate) -> Estimate {
    Estimate {
        point: -estimate.point,
        lower: estimate.upper.map(|bound| -bound),
        upper: estimate.lower.map(|bound| -bound),
        ..estimate.clone()
    }
}

/// `6.3 ms [6.1, 6.5]`, in the unit of its size: a difference may be negative.
pub fn difference_ci(estimate: &Estimate) -> String {
    format::duration_ci_in(estimate, TimeUnit::of(estimate.point.abs()))
}

/// A judged difference for a table, with the mark of its verdict.
pub fn difference_verdict(judged: &Judged) -> CellValue {
    let text = format!("{} {}", difference_ci(&judged.estimate), present::mark(judged.verdict));
    CellValue { text, sort: Some(judged.estimate.point) }
}
