//! Cells and measurements whose truth is known, for the tests of the suites.

use std::collections::BTreeMap;

use record::measurements::{Measurements, VALID};
use record::plan::{Cell, Op, Timing};
use record::protocol::Sample;
use record::samples::Event;
use serde_json::Value;

/// A cell of an experiment that there is not, whose output is compared with nothing.
pub(crate) fn cell(id: &str, axes: &[(&str, &str)]) -> Cell {
    Cell {
        engines: Vec::new(),
        id: id.to_owned(),
        experiment_id: 1,
        experiment: "made-up".to_owned(),
        subject: "native".to_owned(),
        op: Op {
            name: "ask".to_owned(),
            engine: "server".to_owned(),
            call_path: "stream".to_owned(),
            threads: 1,
            params: BTreeMap::new(),
        },
        timing: Timing::Loop,
        strategy: "client".to_owned(),
        cache: "warm".to_owned(),
        axes: axes.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect(),
        workload: "words".to_owned(),
        check: None,
        twin_of: None,
        target_ns: 1,
        beside: String::new(),
    }
}

pub(crate) fn twin(cell: &Cell) -> Cell {
    super::cells::twin(cell)
}

/// Runs in which each cell reads what `value` says. Below zero the run is INVALID with the value's size; NaN is a run in which the cell failed.
pub(crate) fn readings(cells: &[Cell], runs: usize, reading: &str, value: impl Fn(&str, usize) -> f64) -> Measurements {
    let mut events = Vec::new();
    for run in 0..runs {
        let number = u32::try_from(run).unwrap();
        events.push(Event::RunStart { run: number });
        for cell in cells {
            let of_run = value(&cell.id, run);
            if of_run.is_nan() {
                let (status, message) = (record::results::Status::Timeout, "it took too long".to_owned());
                events.push(Event::Cell { cell_id: cell.id.clone(), run: Some(number), status, message });
                continue;
            }
            let valid = if of_run < 0.0 { 0.0 } else { 1.0 };
            let readings = BTreeMap::from([(reading.to_owned(), of_run.abs()), (VALID.to_owned(), valid)]);
            let sample = Sample {
                cell_id: cell.id.clone(),
                start_ns: 1,
                end_ns: 1_000_001,
                calls: 1,
                readings,
                ..Sample::default()
            };
            events.push(Event::Sample { run: number, sample });
        }
        events.push(Event::RunComplete { run: number, wall_ns: 10, busy_ns: 9 });
    }
    Measurements::of_events(cells.iter().map(|cell| cell.id.clone()), events).unwrap()
}
