//! Making cells: names, workloads, twins and comparison groups are the same for all experiments.

use loadgen::order::Drive;
use record::plan::WorkloadSpec;
use record::plan::{Cell, Check, Op, Timing};
use serde_json::Value;

use crate::present::Axes;
use crate::settings::{ExperimentSettings, PlanContext, PlannedSubject};

/// Block lengths that calibration aims at, ns: short calls are looped to the first, `each` cells to the second.
pub const LOOP_TARGET_NS: u64 = 8_000_000;
pub const EACH_TARGET_NS: u64 = 30_000_000;
/// A window's share of a run: windows are longer than this and so come in fewer rounds.
pub const WINDOW_TARGET_NS: u64 = 20_000_000;

/// Requests over this size are cycled through in sets of [`LARGE_POOL`].
const LARGE_TOKENS: u32 = 20_000;
const POOL: u32 = 64;
const LARGE_POOL: u32 = 16;

/// The set of requests of a size and shape. A dataset is one set, whatever is asked for.
pub fn workload(context: &PlanContext, tokens: u32, turns: u32) -> WorkloadSpec {
    let pool = if tokens > LARGE_TOKENS { LARGE_POOL } else { POOL };
    let warmup = pool / 8;
    if context.workload == "dataset" {
        return WorkloadSpec {
            id: "dataset".to_owned(),
            kind: "dataset".to_owned(),
            tokens: 0,
            turns: 0,
            pool: POOL,
            warmup: 8,
            bytes: 0,
        };
    }
    let kind = context.workload.clone();
    WorkloadSpec { id: format!("{kind}-t{tokens}-n{turns}"), kind, tokens, turns, pool, warmup, bytes: 0 }
}

/// The points of the axes `tokens` and `turns` with their workloads; a dataset is one point, whatever its sizes are.
///
/// # Errors
/// As [`ExperimentSettings::numbers`].
pub fn points(context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<(Axes, WorkloadSpec)>, String> {
    if context.workload == "dataset" {
        return Ok(vec![(Axes::from([("workload".to_owned(), Value::from("dataset"))]), workload(context, 0, 0))]);
    }
    let turns = settings.numbers("turns", context.cores)?;
    let tokens = settings.numbers("tokens", context.cores)?;
    let point = |tokens: u32, turns: u32| {
        let axes = Axes::from([("tokens".to_owned(), Value::from(tokens)), ("turns".to_owned(), Value::from(turns))]);
        (axes, workload(context, tokens, turns))
    };
    Ok(tokens.iter().flat_map(|tokens| turns.iter().map(|turns| point(*tokens, *turns))).collect())
}

/// The workloads of [`points`].
///
/// # Errors
/// As [`points`].
pub fn workloads(context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<WorkloadSpec>, String> {
    Ok(points(context, settings)?.into_iter().map(|(_, workload)| workload).collect())
}

/// The parts of a cell that its experiment decides.
pub struct Draft<'a> {
    pub subject: &'a PlannedSubject,
    pub op: Op,
    pub timing: Timing,
    pub strategy: &'a str,
    pub axes: Axes,
    pub workload: &'a WorkloadSpec,
    /// The kind of output of an op: outputs of one kind on one workload must be the same. None where nothing is compared.
    pub output: Option<fn(&Op) -> String>,
    /// It is what outputs of its kind on its workload are compared with; of several the first one is.
    pub reference: bool,
    /// Cells of the same name here are compared with each other …
    pub beside: String,
    /// … at points that differ in these axes.
    pub varied: &'a [&'a str],
}

/// A cell under its stable name.
pub fn cell(settings: &ExperimentSettings, draft: Draft) -> Cell {
    let point: Vec<String> = draft.axes.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect();
    let id = format!(
        "{}/{}/{}/{}.{}/{}",
        settings.name,
        draft.subject.id,
        draft.op.name,
        draft.op.engine,
        draft.op.call_path,
        point.join(",")
    );
    let target_ns = match draft.timing {
        Timing::Each => EACH_TARGET_NS,
        Timing::Window { .. } => WINDOW_TARGET_NS,
        Timing::Stretch { span_ns, .. } => span_ns,
        Timing::Loop | Timing::First => LOOP_TARGET_NS,
    };
    let check = draft.output.map(|output| Check {
        group: format!("{}:{}", output(&draft.op), draft.workload.id),
        reference: draft.reference,
    });
    let point: Vec<&String> =
        point.iter().filter(|part| !draft.varied.iter().any(|axis| part.starts_with(&format!("{axis}=")))).collect();
    let beside = format!(
        "{}/{}/{}",
        settings.name,
        draft.beside,
        point.iter().map(|part| part.as_str()).collect::<Vec<_>>().join(",")
    );
    let engines = engines_of(&draft.op);
    Cell {
        id,
        engines,
        experiment_id: settings.id,
        experiment: settings.name.clone(),
        subject: draft.subject.id.clone(),
        op: draft.op,
        timing: draft.timing,
        strategy: draft.strategy.to_owned(),
        cache: "warm".to_owned(),
        axes: draft.axes,
        workload: draft.workload.id.clone(),
        check,
        twin_of: None,
        target_ns,
        beside,
    }
}

/// A stretch of load on a server, `span_ms` long. `needs`: the cells whose capacities it is a share of.
pub fn load(drive: &Drive, span_ms: f64, needs: Vec<String>) -> Timing {
    Timing::Stretch {
        // Plain data, so it can be put into words.
        order: serde_json::to_value(drive).unwrap_or_default(),
        span_ns: (span_ms * 1e6) as u64,
        calibrated: *drive == Drive::Capacity,
        needs,
    }
}

/// The first call of the cell in a fresh process: what compiling the template and filling the caches costs.
pub fn cold(cell: &Cell) -> Cell {
    let check = cell.check.clone().map(|check| Check { reference: false, ..check });
    Cell { id: format!("{}/cold", cell.id), timing: Timing::First, cache: "cold".to_owned(), check, ..cell.clone() }
}

/// The same cell again under another name.
pub fn twin(cell: &Cell) -> Cell {
    let check = cell.check.clone().map(|check| Check { reference: false, ..check });
    Cell { id: format!("{}#twin", cell.id), twin_of: Some(cell.id.clone()), check, ..cell.clone() }
}

/// The `engine/call_path` pairs that the worker itself calls: the op's own, or those of its stages.
fn engines_of(op: &Op) -> Vec<String> {
    match op.name.as_str() {
        // The engines are the server's; the worker that drives it needs none of them.
        "serve" | "ask" => Vec::new(),
        "total" | "batch" => {
            let stages = op.params.values().filter_map(Value::as_str);
            stages.filter(|text| text.contains('/')).map(str::to_owned).collect()
        }
        _ => vec![format!("{}/{}", op.engine, op.call_path)],
    }
}

/// A value as it stands in a name.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cell_names_the_engines_that_its_worker_itself_calls() {
        let engines = |name: &str, params: Value| {
            let op = json!({"name": name, "engine": "e", "call_path": "p", "threads": 1, "params": params});
            engines_of(&serde_json::from_value(op).unwrap())
        };
        assert_eq!(engines("tokenize", json!({})), ["e/p"]);
        assert_eq!(engines("total", json!({"parse": "a/b", "tokenize": "c/d"})), ["a/b", "c/d"]);
        assert_eq!(engines("batch", json!({"batch": 8, "mode": "stages", "template": "a/b"})), ["a/b"]);
        assert!(engines("serve", json!({"pipeline": "a/b"})).is_empty());
        assert!(engines("ask", json!({"form": "messages"})).is_empty());
    }
}
