//! Share of a call that holds the GIL, by two estimates.

use record::plan::Cell;
use record::results::{Estimate, Figure, FigureKind, Row, Series, Table};

use super::rows::{self, Rows};
use super::stacks;
use crate::AnalysisInput;
use crate::present::{self, column, text, word};
use record::format;

/// Calls whose share is known, and that share.
pub(super) const TRUTHS: [(&str, f64); 3] = [("held", 1.0), ("released", 0.0), ("mix-30", 0.3)];
/// The two estimates of a share agree when they differ by no more than this.
pub(super) const AGREE: f64 = 0.05;
/// What the two estimates say of one call path.
pub(super) struct Hold<'a> {
    pub(super) cell: &'a Cell,
    pub(super) label: String,
    pub(super) contended: Option<Estimate>,
    pub(super) interposed: Option<Estimate>,
    /// How much longer the calls took while they were probed.
    disturbance: Option<Estimate>,
    /// Mean time of a call without a probe, ns.
    pub(super) call_ns: Option<f64>,
    /// Known beforehand.
    pub(super) truth: Option<f64>,
}

impl Hold<'_> {
    /// The share to go on with: the uncontended estimate where there is one.
    pub(super) fn share(&self) -> Option<&Estimate> {
        self.interposed.as_ref().or(self.contended.as_ref())
    }

    fn disagree(&self) -> Option<f64> {
        let apart = (self.contended.as_ref()?.point - self.interposed.as_ref()?.point).abs();
        (apart > AGREE).then_some(apart)
    }
}

pub(super) fn holds<'a>(input: &'a AnalysisInput, rows: &Rows) -> Vec<Hold<'a>> {
    let stage = |cell: &Cell, name: &str| input.measurements.stage_values(&cell.id, name);
    let share = |cell: &Cell, above: &str, below: &str| {
        let below = stage(cell, below);
        let shares: Vec<f64> = stage(cell, above)
            .iter()
            .filter_map(|(run, above)| below.get(run).filter(|below| **below > 0.0).map(|below| above / below))
            .collect();
        rows::linear_estimate(&shares, rows.samples(&cell.id))
    };
    input
        .cells()
        .filter(|cell| cell.op.name == "hold")
        .map(|cell| {
            let calls = rows::values(&stage(cell, "calls"));
            let alone = rows::values(&stage(cell, "call_alone_ns"));
            let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
            Hold {
                cell,
                label: stacks::label(&cell.op.engine, &cell.op.call_path),
                contended: share(cell, "held_contended_ns", "call_ns"),
                interposed: share(cell, "held_interposed_ns", "call_interposed_ns"),
                disturbance: share(cell, "call_ns", "call_alone_ns"),
                call_ns: (!calls.is_empty()).then(|| mean(&alone) / mean(&calls)),
                truth: TRUTHS
                    .iter()
                    .find(|(name, _)| cell.op.engine == "probe" && cell.op.call_path == *name)
                    .map(|(_, share)| *share),
            }
        })
        .collect()
}

pub(super) fn hold_table(rows: &mut Rows, holds: &[Hold]) -> Table {
    let mut body = Vec::new();
    for hold in holds {
        let stage = word(&hold.cell.op.params, "operation").to_owned();
        let mut push = |metric: &str, estimate: &Option<Estimate>| {
            let record = rows.push(hold.cell, &stage, metric, "1", estimate.clone());
            (record.status, record.error.clone())
        };
        push("hold_share_contended", &hold.contended);
        push("hold_share_interposed", &hold.interposed);
        push("probe_disturbance", &hold.disturbance);
        let (status, error) = push("hold_share", &hold.share().cloned());
        let note = match (hold.truth, hold.disagree()) {
            (Some(truth), _) => format!("truth {truth:.2}"),
            (None, Some(apart)) => format!("estimates {apart:.2} apart"),
            (None, None) => String::new(),
        };
        body.push(Row {
            values: vec![
                text(hold.label.clone()),
                text(stage),
                present::figure(hold.contended.as_ref(), share_pm, error.as_deref()),
                present::figure(hold.interposed.as_ref(), share_pm, None),
                present::figure(hold.disturbance.as_ref(), |ratio| format::ratio(ratio.point), None),
                text(note),
            ],
            status,
            group: hold.cell.subject.clone(),
        });
    }
    Table {
        id: "gil-cost-hold".to_owned(),
        title: "Share of a call that holds the GIL".to_owned(),
        columns: vec![
            column("call path", false, 0),
            column("stage", false, 2),
            column("contended", true, 0),
            column("interposed", true, 0),
            column("disturbed", true, 3),
            column("", false, 1),
        ],
        rows: body,
        notes: vec![
            "contended: a second thread asks for the lock at random points of the caller's progress. interposed: the extension's own release and re-acquire calls, without contention. Both net of waiting for a CPU.".to_owned(),
            format!("The two agree within {AGREE}, or the row says so. disturbed: time of a call while it is probed over its time alone. probe.*: calls of known truth."),
        ],
    }
}

fn share_pm(share: &Estimate) -> String {
    match (share.lower, share.upper) {
        (Some(lower), Some(upper)) => format!("{:.2} ±{:.2}", share.point, (upper - lower) / 2.0),
        _ => format!("{:.2}", share.point),
    }
}

/// One of the estimates of a share.
type Of = fn(&Hold) -> Option<Estimate>;

pub(super) fn hold_figure(holds: &[Hold]) -> Option<Figure> {
    let subjects = present::distinct(holds.iter().map(|hold| hold.cell.subject.clone()));
    let labels = present::distinct(holds.iter().filter(|hold| hold.share().is_some()).map(|hold| hold.label.clone()));
    let several = subjects.len() > 1;
    let mut series = Vec::new();
    for subject in &subjects {
        let kinds: [(&str, Of); 2] =
            [("interposed", |hold| hold.interposed.clone()), ("contended", |hold| hold.contended.clone())];
        for (name, of) in kinds {
            let points: Vec<_> = holds
                .iter()
                .filter(|hold| hold.cell.subject == *subject)
                .filter_map(|hold| {
                    let index = labels.iter().position(|label| *label == hold.label)?;
                    Some(present::point(index as f64, &of(hold)?, 1.0))
                })
                .collect();
            if !points.is_empty() {
                let name = if several { format!("{name}, {subject}") } else { name.to_owned() };
                series.push(Series { name, points, reference: false });
            }
        }
    }
    (!series.is_empty()).then(|| Figure {
        id: "gil-cost-hold".to_owned(),
        title: "Share of a call that holds the GIL".to_owned(),
        kind: FigureKind::GroupedBars,
        x: present::categories("call path", labels),
        y: present::axis("share of the call", false),
        series,
        caption: "Mean across runs with 95% intervals, net of waiting for a CPU. probe.* are calls of known truth: held 1, released 0, mix-30 0.3.".to_owned(),
    })
}
