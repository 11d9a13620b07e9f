//! `results.csv`: one row a cell and metric, the fields of a record in their fixed order.

use record::results::{Record, Results};

use super::{Error, Result, words};

/// The header, which is the schema of the file.
pub const COLUMNS: [&str; 32] = [
    "schema",
    "run_id",
    "suite",
    "experiment_id",
    "experiment",
    "cell_id",
    "subject",
    "engine",
    "engine_version",
    "call_path",
    "strategy",
    "workers",
    "interpreter",
    "gil",
    "cache",
    "model_sha",
    "workload_sha",
    "axes",
    "stage",
    "metric",
    "unit",
    "point",
    "lower",
    "upper",
    "level",
    "method",
    "runs",
    "samples",
    "baseline_cell_id",
    "verdict",
    "status",
    "error",
];

/// The records as CSV (RFC 4180, a newline as line end). Absent values are empty; `axes` is a JSON object; floats are
/// the shortest text that reads back as the same number. Data are written as they are, error texts included.
pub fn csv(results: &Results) -> Result<String> {
    let failed = |e: &dyn std::fmt::Display| Error::Encode { format: "CSV", message: e.to_string() };
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS).map_err(|e| failed(&e))?;
    for record in &results.records {
        writer.write_record(fields(record)?).map_err(|e| failed(&e))?;
    }
    let bytes = writer.into_inner().map_err(|e| failed(&e))?;
    String::from_utf8(bytes).map_err(|e| failed(&e))
}

fn fields(r: &Record) -> Result<[String; 32]> {
    let axes = serde_json::to_string(&r.axes).map_err(|e| Error::Encode { format: "CSV", message: e.to_string() })?;
    let float = |value: Option<f64>| value.map(|v| v.to_string()).unwrap_or_default();
    let e = r.estimate.as_ref();
    Ok([
        r.schema.to_string(),
        r.run_id.clone(),
        r.suite.clone(),
        r.experiment_id.to_string(),
        r.experiment.clone(),
        r.cell_id.clone(),
        r.subject.clone(),
        r.engine.clone(),
        r.engine_version.clone(),
        r.call_path.clone(),
        r.strategy.clone(),
        r.workers.to_string(),
        r.interpreter.clone(),
        r.gil.clone(),
        r.cache.clone(),
        r.model_sha.clone(),
        r.workload_sha.clone(),
        axes,
        r.stage.clone(),
        r.metric.clone(),
        r.unit.clone(),
        float(e.map(|e| e.point)),
        float(e.and_then(|e| e.lower)),
        float(e.and_then(|e| e.upper)),
        float(e.map(|e| e.level)),
        e.map(|e| e.method.clone()).unwrap_or_default(),
        e.map(|e| e.runs.to_string()).unwrap_or_default(),
        e.map(|e| e.samples.to_string()).unwrap_or_default(),
        r.baseline_cell_id.clone().unwrap_or_default(),
        r.verdict.clone().unwrap_or_default(),
        words::status(r.status).to_owned(),
        r.error.clone().unwrap_or_default(),
    ])
}
