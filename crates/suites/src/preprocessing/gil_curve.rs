//! What the held share predicts, and what threads reach.

use benchstats::scaling;
use record::plan::{Cell, Timing};
use record::results::{Estimate, Row, Table};

use super::gil_hold::Hold;
use super::rows::{self, Rows};
use super::stacks;
use crate::AnalysisInput;
use crate::present::{self, column, text};
use record::format;

/// The parameter (and axis) that gives each thread objects of its own, loaded for it alone.
pub(super) const OBJECTS: &str = "objects";

pub(super) fn is_window(cell: &Cell) -> bool {
    matches!(cell.timing, Timing::Window { .. })
}

pub(super) fn same_path(a: &Cell, b: &Cell) -> bool {
    (&a.subject, &a.op.name, &a.op.engine, &a.op.call_path, &a.op.params, &a.workload)
        == (&b.subject, &b.op.name, &b.op.engine, &b.op.call_path, &b.op.params, &b.workload)
}

/// Throughput of a call path over threads.
pub(super) struct Curve<'a> {
    pub(super) one: &'a Cell,
    pub(super) at_cores: Option<&'a Cell>,
    pub(super) label: String,
    pub(super) speedup: Option<Estimate>,
    pub(super) serial: Option<Estimate>,
}

pub(super) fn curves<'a>(input: &'a AnalysisInput, rows: &Rows) -> Vec<Curve<'a>> {
    let cores = input.effective_cores();
    input
        .cells()
        .filter(|cell| is_window(cell) && cell.op.threads == 1 && cell.twin_of.is_none())
        .map(|one| {
            let at_cores = input.cells().find(|cell| {
                is_window(cell)
                    && cell.twin_of.is_none()
                    && cell.op.threads == cores
                    && cores > 1
                    && same_path(cell, one)
            });
            let usable = at_cores.filter(|cell| rows.rankable(&cell.id) && rows.rankable(&one.id));
            let speedup = usable.and_then(|cell| {
                let ratios = input.measurements.ratios(&one.id, &cell.id);
                let estimate = rows::log_estimate(&rows::values(&ratios), rows.samples(&cell.id))?;
                Some(Estimate { method: "paired-log-t".to_owned(), ..estimate })
            });
            let serial = speedup.as_ref().and_then(|speedup| {
                let interval = rows::interval(speedup)?;
                let fraction = scaling::karp_flatt(&interval, cores).ok()?;
                Some(rows::estimate(&fraction, "karp-flatt", speedup.runs as usize, speedup.samples))
            });
            let own = if one.op.params.contains_key(OBJECTS) { ", own objects" } else { "" };
            let label = format!("{}{own}", stacks::label(&one.op.engine, &one.op.call_path));
            Curve { one, at_cores, label, speedup, serial }
        })
        .collect()
}

pub(super) fn serial_table(rows: &mut Rows, holds: &[Hold], curves: &[Curve]) -> Table {
    let mut body = Vec::new();
    for curve in curves {
        let hold = hold_of(holds, curve);
        let share = hold.and_then(Hold::share);
        let ceiling = share.filter(|share| share.point > 0.0).map(ceiling);
        let cell = curve.at_cores.unwrap_or(curve.one);
        let stage = cell.op.name.clone();
        let record = rows.push(cell, &stage, "speedup", "1", curve.speedup.clone());
        let (status, error) = (record.status, record.error.clone());
        rows.push(cell, &stage, "serial_fraction", "1", curve.serial.clone());
        if let Some(ceiling) = &ceiling {
            rows.push(cell, &stage, "predicted_ceiling", "1", Some(ceiling.clone()));
        }
        body.push(Row {
            values: vec![
                text(curve.label.clone()),
                present::figure(share, |share| format!("{:.2}", share.point), None),
                present::figure(ceiling.as_ref(), |ceiling| format::ratio(ceiling.point), None),
                present::figure(curve.speedup.as_ref(), present::ratio_pm, error.as_deref()),
                present::figure(curve.serial.as_ref(), present::fraction_ci, None),
            ],
            status,
            group: curve.one.subject.clone(),
        });
    }
    Table {
        id: "gil-cost-serial".to_owned(),
        title: "What the held share predicts, and what threads at all cores reach".to_owned(),
        columns: vec![
            column("call path", false, 0),
            column("held", true, 0),
            column("ceiling 1/s", true, 0),
            column("speed-up", true, 0),
            column("Karp-Flatt", true, 1),
        ],
        rows: body,
        notes: vec![
            "ceiling: no number of threads can exceed 1/s while a share s of each call holds the lock. speed-up: all effective cores over one thread, paired within runs.".to_owned(),
            "Rust rows hold no GIL: they are what the cores themselves give. A universal-scalability fit needs six thread counts within the cores and is not made with fewer.".to_owned(),
        ],
    }
}

/// `1/s`, its bounds exchanged.
fn ceiling(share: &Estimate) -> Estimate {
    let bound = |bound: Option<f64>| bound.filter(|bound| *bound > 0.0).map(|bound| 1.0 / bound);
    Estimate {
        point: 1.0 / share.point,
        lower: bound(share.upper),
        upper: bound(share.lower),
        method: "inverse".to_owned(),
        ..share.clone()
    }
}

pub(super) fn hold_of<'a, 'b>(holds: &'a [Hold<'b>], curve: &Curve) -> Option<&'a Hold<'b>> {
    holds.iter().find(|hold| {
        hold.cell.subject == curve.one.subject
            && hold.cell.op.engine == curve.one.op.engine
            && hold.cell.op.call_path == curve.one.op.call_path
    })
}
