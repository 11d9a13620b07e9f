//! Same code, one variable: interpreters that differ in the GIL alone.

use record::results::{Estimate, Row, Status, Table};

use super::gil_curve::Curve;
use super::rows::{self, Rows};
use crate::AnalysisInput;
use crate::present::{self, column, text};

/// GIL build, free-threaded build, and that build with the lock on: only interpreters that differ in nothing else.
pub(super) fn build_table(input: &AnalysisInput, rows: &mut Rows, curves: &[Curve]) -> Option<Table> {
    let trios = same_builds(input);
    let mut body = Vec::new();
    for (base, others) in &trios {
        for curve in curves.iter().filter(|curve| curve.one.subject == *base) {
            let mut values = vec![text(curve.label.clone())];
            for other in others {
                let matching = curves.iter().find(|candidate| {
                    candidate.one.subject == *other
                        && candidate.label == curve.label
                        && candidate.one.workload == curve.one.workload
                });
                for (own, base) in
                    [(matching.map(|m| m.one), Some(curve.one)), (matching.and_then(|m| m.at_cores), curve.at_cores)]
                {
                    let ratio = own
                        .zip(base)
                        .filter(|(own, base)| rows.rankable(&own.id) && rows.rankable(&base.id))
                        .and_then(|(own, base)| {
                            // Throughput over the GIL build's.
                            let ratios = rows::values(&input.measurements.ratios(&base.id, &own.id));
                            let estimate = rows::log_estimate(&ratios, rows.samples(&own.id))?;
                            let estimate = Estimate { method: "paired-log-t".to_owned(), ..estimate };
                            let record = rows.push(own, &own.op.name, "over_gil_build", "1", Some(estimate.clone()));
                            record.baseline_cell_id = Some(base.id.clone());
                            Some(estimate)
                        });
                    values.push(present::figure(ratio.as_ref(), present::ratio_pm, None));
                }
            }
            body.push(Row { values, status: Status::Ok, group: base.clone() });
        }
    }
    if body.is_empty() {
        return None;
    }
    let cores = input.effective_cores();
    let mut columns = vec![column("call path", false, 0)];
    for other in &trios.first()?.1 {
        columns.push(column(&format!("{other}, 1 thr."), true, 1));
        columns.push(column(&format!("{cores} thr."), true, 0));
    }
    Some(Table {
        id: "gil-cost-builds".to_owned(),
        title: "Same code, one variable: throughput over the GIL build at the same number of threads".to_owned(),
        columns,
        rows: body,
        notes: vec![
            "At one thread: the price of the free-threaded build. The build with PYTHON_GIL=1 parts the lock from the slower build.".to_owned(),
        ],
    })
}

/// Subjects that differ in the GIL alone: (GIL build, [free-threaded ones]) of one version with the same build flags.
fn same_builds(input: &AnalysisInput) -> Vec<(String, Vec<String>)> {
    const FLAGS: [&str; 5] = ["pgo", "lto", "optimization", "compiler", "debug"];
    let key = |subject: &str| {
        let ready = input.info.subjects.get(subject)?;
        let flags: Vec<String> = FLAGS.iter().map(|flag| ready.build.get(*flag).cloned().unwrap_or_default()).collect();
        Some((
            ready.interpreter.clone(),
            flags,
            ready.versions.get("tokenizers").cloned(),
            ready.versions.get("jinja2").cloned(),
        ))
    };
    let is_free = |subject: &str| {
        input
            .info
            .subjects
            .get(subject)
            .is_some_and(|ready| ready.build.get("free_threaded").is_some_and(|free| free == "yes"))
    };
    let subjects: Vec<String> = input.subjects().into_iter().filter(|subject| subject != "native").collect();
    subjects
        .iter()
        .filter(|subject| !is_free(subject) && key(subject).is_some())
        .filter_map(|base| {
            let others: Vec<String> =
                subjects.iter().filter(|other| is_free(other) && key(other) == key(base)).cloned().collect();
            (!others.is_empty()).then(|| (base.clone(), others))
        })
        .collect()
}
