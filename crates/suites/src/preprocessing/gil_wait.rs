//! What the GIL means for latency: at a given load of an executor, how much of the p99 is the lock's?
//!
//! A simulation (`queuesim::gil`) of threads on the effective cores, fed with Poisson arrivals, whose requests hold the lock for the
//! measured share of the measured time, beside the same requests without a lock. It answers what no measurement can part: which of
//! a request's waits was the lock. The lock's share is stated as a simulation wherever it stands.

use queuesim::gil::{Gil, split};
use queuesim::machine::{Kind, LockRules, Phase, SWITCH_INTERVAL_NS};
use queuesim::pipeline::FrontEnd;
use queuesim::{Arrivals, QueueError, Simulation, Window};
use record::results::{Finding, Row, Status, Support, Table};

use super::gil_hold::Hold;
use super::rows::{self, Rows};
use crate::AnalysisInput;
use crate::present::{column, finding as make, text};
use record::format;

/// Requests that are simulated.
const REQUESTS: usize = 40_000;
/// Shares of the pipeline's own ceiling under the lock.
const LOADS: [f64; 3] = [0.5, 0.7, 0.85];
/// The pipelines: template and tokenizer as servers combine them.
const PIPELINES: [(&str, &str); 3] = [
    ("transformers.apply_chat_template", "hf-tokenizers.encode"),
    ("transformers.apply_chat_template", "hf-tokenizers.encode_batch"),
    ("jinja2.render", "hf-tokenizers.encode_batch"),
];

/// One pipeline at one load.
pub(super) struct Wait {
    /// Of the template's `hold` cell; the row stands beside it.
    cell_id: String,
    subject: String,
    label: String,
    load: f64,
    per_s: f64,
    p99_ns: f64,
    /// The same requests without a lock.
    free_p99_ns: f64,
    /// Of the tail's latency, spent in line for the lock, [0, 1].
    lock_share: f64,
}

impl Wait {
    /// Part of the p99 that goes when the lock goes.
    fn owed(&self) -> f64 {
        ((self.p99_ns - self.free_p99_ns) / self.p99_ns).max(0.0)
    }
}

/// All pipelines whose parts were measured.
pub(super) fn waits(input: &AnalysisInput, holds: &[Hold]) -> Vec<Wait> {
    let mut waits = Vec::new();
    let cores = input.effective_cores().max(1) as usize;
    for subject in input.subjects() {
        if input.info.subjects.get(&subject).is_none_or(|ready| ready.gil != "enabled") {
            continue;
        }
        let find = |label: &str| {
            holds.iter().find(|hold| hold.cell.subject == subject && hold.label == label && rows_ok(input, hold))
        };
        for (template, tokenize) in PIPELINES {
            let (Some(template), Some(tokenize)) = (find(template), find(tokenize)) else { continue };
            let seed = input.plan.seed;
            waits.extend(
                LOADS.iter().filter_map(|&load| simulate(template, tokenize, load, cores, seed).ok().flatten()),
            );
        }
    }
    waits
}

fn rows_ok(input: &AnalysisInput, hold: &Hold) -> bool {
    input.measurements.status(&hold.cell.id) == Status::Ok || input.error(&hold.cell.id).is_none()
}

fn simulate(template: &Hold, tokenize: &Hold, load: f64, cores: usize, seed: u64) -> Result<Option<Wait>, QueueError> {
    let parts = [(template, Kind::BYTECODE), (tokenize, Kind::HELD_CALL)];
    let mut phases: Vec<Phase> = Vec::new();
    let (mut held, mut total) = (0.0, 0.0);
    for (hold, kind) in parts {
        let (Some(ns), Some(share)) = (hold.call_ns, hold.share()) else { return Ok(None) };
        let share = share.point.clamp(0.0, 1.0);
        held += ns * share;
        total += ns;
        phases.extend(split(&vec![ns.round() as u64; REQUESTS], share, 1, kind)?);
    }
    // What the lock and the cores together let through.
    let ceiling = 1e9 / held.max(total / cores as f64);
    let arrivals = Arrivals::poisson(ceiling * load, REQUESTS, seed)?;
    let lock = LockRules { switch_interval_ns: Some(SWITCH_INTERVAL_NS), hand_over_ns: 0 };
    let run = |lock: Option<LockRules>| -> Result<Simulation, QueueError> {
        Gil { cores, threads: cores, lock, batch: None }.run(&arrivals, &FrontEnd::default(), &phases)
    };
    let (locked, free) = (run(Some(lock))?, run(None)?);
    Ok(Some(Wait {
        cell_id: template.cell.id.clone(),
        subject: template.cell.subject.clone(),
        label: format!("{} + {}", template.label, tokenize.label),
        load,
        per_s: ceiling * load,
        p99_ns: locked.summary(Window::STEADY).p99_ns as f64,
        free_p99_ns: free.summary(Window::STEADY).p99_ns as f64,
        lock_share: locked.lock_share_of_tail(Window::STEADY, 0.99),
    }))
}

/// The simulated waits; none where nothing could be simulated.
pub(super) fn table(rows: &mut Rows, input: &AnalysisInput, waits: &[Wait]) -> Option<Table> {
    let mut body = Vec::new();
    for wait in waits {
        if let Some(cell) = input.cells().find(|cell| cell.id == wait.cell_id) {
            let point = |value: f64| {
                let mut estimate = rows::point_only(value, 1, REQUESTS as u32);
                estimate.method = "simulation".to_owned();
                Some(estimate)
            };
            let mut cell = cell.clone();
            cell.id = format!("{}#simulated/{}/{:.0}%", cell.id, wait.label, wait.load * 100.0);
            rows.push(&cell, "simulated", "p99", "ns", point(wait.p99_ns)).status = Status::Ok;
            rows.push(&cell, "simulated", "p99_without_gil", "ns", point(wait.free_p99_ns)).status = Status::Ok;
            rows.push(&cell, "simulated", "gil_share_of_p99", "1", point(wait.owed())).status = Status::Ok;
        }
        body.push(Row {
            values: vec![
                text(wait.label.clone()),
                text(format::percent(wait.load)),
                text(format::significant(wait.per_s, 3)),
                text(format::duration(wait.p99_ns)),
                text(format::duration(wait.free_p99_ns)),
                text(format::percent(wait.owed())),
                text(format::percent(wait.lock_share)),
            ],
            status: Status::Ok,
            group: format!("{} {}", wait.subject, wait.label),
        });
    }
    (!body.is_empty()).then(|| Table {
        id: "gil-cost-wait".to_owned(),
        title: "SIMULATED: how much of an executor's p99 is the GIL's".to_owned(),
        columns: vec![
            column("pipeline", false, 0),
            column("load", true, 0),
            column("requests/s", true, 1),
            column("p99", true, 0),
            column("without GIL", true, 0),
            column("owed to it", true, 0),
            column("in line", true, 2),
        ],
        rows: body,
        notes: vec![
            "One process, as many threads as cores, Poisson arrivals, the measured mean times and held shares. load: of what lock and cores let through."
                .to_owned(),
            "owed to it: what of the p99 goes when the lock goes. in line: share of the slowest percent's latency spent waiting for the lock itself; the rest of what is owed is the queue behind it."
                .to_owned(),
        ],
    })
}

/// What the lock does to the tail at 70%.
pub(super) fn finding(input: &AnalysisInput, waits: &[Wait]) -> Option<Finding> {
    let wait = waits.iter().find(|wait| (wait.load - 0.7).abs() < 1e-9)?;
    let support = if wait.owed() > 0.1 { Support::Supported } else { Support::NotSupported };
    Some(make(
        input,
        support,
        "the GIL makes up more than a tenth of an executor's p99 at 70% load".to_owned(),
        format!(
            "Simulated from the measured times: at {} requests/s (70% of what the lock and the cores let through) the p99 of {} is {}, and {} of it goes when the lock goes.",
            format::significant(wait.per_s, 3),
            wait.label,
            format::duration(wait.p99_ns),
            format::percent(wait.owed()),
        ),
        vec![wait.cell_id.clone()],
    ))
}
