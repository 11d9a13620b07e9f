//! What the server's processes and threads used during each load, where it is on this host, and its GPUs.

use std::collections::BTreeMap;

use record::plan::Cell;
use record::results::{Row, Table};

use super::asking::{self, STAGE};
use crate::AnalysisInput;
use crate::preprocessing::rows::{self, Rows};
use crate::present::{self, column, text};
use record::format;

const CPU: &str = "server_cpu_ns_per_request:";
const DELAY: &str = "server_run_delay_ns_per_request:";
const GPU: &str = "gpu_utilization:";
/// Processes and threads with less than this share of the server's CPU time are not shown; they stand in the rows.
const LEAST_SHOWN: f64 = 0.03;

/// CPU time by process and thread in each of the cells, which are of one workload; None where no process of the server was seen.
pub fn table(input: &AnalysisInput, rows: &mut Rows, cells: &[(&Cell, String)]) -> Option<Table> {
    let mut body = Vec::new();
    for (cell, label) in cells {
        body.extend(of_cell(input, rows, cell, label));
    }
    let (first, _) = cells.first()?;
    (!body.is_empty()).then(|| Table {
        id: format!("{}-server-cpu-{}", first.experiment, present::slug(&first.axes)),
        title: format!("CPU time of the server's processes and threads, {}", present::describe(&first.axes)),
        columns: vec![
            column("load", false, 0),
            column("process > thread", false, 0),
            column("CPU/request", true, 0),
            column("share", true, 1),
            column("CPU", true, 2),
            column("cores", true, 0),
            column("waits/request", true, 1),
        ],
        rows: body,
        notes: vec![
            format!(
                "Over the whole stretch, mean across runs; CPU: seconds of a stretch; cores: CPU time over wall time. Processes and threads of one name are added; those under {} of \
                 the server's time are in the rows alone.",
                format::percent(LEAST_SHOWN)
            ),
            "waits: how long its threads could have run and had no core, added over them; more than the CPU time means that the process is starved of cores. Processes are those \
             that the server was started with, or that listen at its address and their children."
                .to_owned(),
        ],
    })
}

fn of_cell(input: &AnalysisInput, rows: &mut Rows, cell: &Cell, label: &str) -> Vec<Row> {
    let names = input.measurements.cell(&cell.id).map(|data| data.reading_names.clone()).unwrap_or_default();
    let (status, error) = asking::status(input, cell);
    let mean = |name: &str| {
        let values = rows::values(&input.measurements.reading_values(&cell.id, name));
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let Some(all) = mean("server_cpu_ns_per_request") else { return Vec::new() };
    let (requests, wall_ns) = (mean("all_requests"), mean("all_duration_ns"));
    // Each process with its threads, the largest first.
    let mut processes: BTreeMap<&str, Vec<(&str, f64)>> = BTreeMap::new();
    let mut whole: BTreeMap<&str, f64> = BTreeMap::new();
    for name in names.iter().filter_map(|name| name.strip_prefix(CPU)) {
        let Some(cpu_ns) = mean(&format!("{CPU}{name}")) else { continue };
        match name.split_once('>') {
            Some((process, _)) => processes.entry(process).or_default().push((name, cpu_ns)),
            None => drop(whole.insert(name, cpu_ns)),
        }
    }
    let mut order: Vec<(&str, f64)> = whole.into_iter().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut body = Vec::new();
    for (process, cpu_ns) in order {
        let mut lines = vec![(process, cpu_ns)];
        let mut threads = processes.remove(process).unwrap_or_default();
        threads.sort_by(|a, b| b.1.total_cmp(&a.1));
        lines.extend(threads);
        for (name, cpu_ns) in lines {
            for (prefix, metric) in [(CPU, "cpu_per_request"), (DELAY, "run_delay_per_request")] {
                let values = rows::values(&input.measurements.reading_values(&cell.id, &format!("{prefix}{name}")));
                if let Some(estimate) = rows::linear_estimate(&values, rows.samples(&cell.id)) {
                    let record = rows.push(cell, STAGE, &format!("{metric}:{name}"), "ns", Some(estimate));
                    (record.status, record.error) = (status, error.clone());
                }
            }
            if cpu_ns < LEAST_SHOWN * all {
                continue;
            }
            let shown = name.split_once('>').map_or_else(|| name.to_owned(), |(_, thread)| format!("> {thread}"));
            let seconds = requests.map(|requests| cpu_ns * requests / 1e9);
            let cores = seconds.zip(wall_ns).map(|(seconds, wall_ns)| seconds / (wall_ns / 1e9));
            let waits = mean(&format!("{DELAY}{name}"));
            body.push(Row {
                values: vec![
                    text(if body.is_empty() { label } else { "" }),
                    text(shown),
                    text(format::duration(cpu_ns)),
                    text(format!("{:.0}%", cpu_ns / all.max(1.0) * 100.0)),
                    text(seconds.map_or_else(String::new, |seconds| format!("{} s", format::significant(seconds, 3)))),
                    text(cores.map_or_else(String::new, |cores| format!("{cores:.2}"))),
                    text(waits.map_or_else(|| "unknown".to_owned(), format::duration)),
                ],
                status,
                group: label.to_owned(),
            });
        }
    }
    body
}

/// Utilization of the busiest GPU of this host during a cell's load, as a share, and the number of GPUs; None where it is unknown. A row is made for
/// each GPU.
pub fn gpu(input: &AnalysisInput, rows: &mut Rows, cell: &Cell) -> Option<(f64, usize)> {
    let names = input.measurements.cell(&cell.id).map(|data| data.reading_names.clone()).unwrap_or_default();
    let mut shares = Vec::new();
    for name in names.iter().filter(|name| name.starts_with(GPU)) {
        let values = rows::values(&input.measurements.reading_values(&cell.id, name));
        if let Some(estimate) = rows::linear_estimate(&values, rows.samples(&cell.id)) {
            shares.push(estimate.point);
            rows.push(cell, STAGE, name, "1", Some(estimate));
        }
    }
    shares.iter().copied().max_by(f64::total_cmp).map(|busiest| (busiest, shares.len()))
}
