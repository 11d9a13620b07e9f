//! How the time of a call grows with the size of its text: the exponent e of `time = c * bytes^e`.

use std::collections::BTreeMap;

use record::plan::Cell;
use record::results::Estimate;

use super::rows::{self, Rows};
use crate::AnalysisInput;
use crate::present::number;

/// Smaller texts are left out: what a call costs whatever its text would flatten the line.
pub(super) const FROM_BYTES: u64 = 1000;
/// Above this an engine grows faster than its text.
pub(super) const SUPERLINEAR: f64 = 1.2;
/// Above this it is called quadratic.
pub(super) const QUADRATIC: f64 = 1.7;

/// The growth of one call path on one kind of text.
#[derive(Debug, Clone)]
pub(super) struct Growth<'a> {
    /// At the largest size.
    pub(super) largest: &'a Cell,
    pub(super) sizes: usize,
    /// Of each run the least-squares slope of log(time) over log(bytes), then t across runs.
    pub(super) exponent: Estimate,
    /// The same between the two largest sizes alone, where there are more: a line that bends shows here.
    pub(super) last: Option<Estimate>,
}

/// The growth over these cells, which differ in their size alone; none with fewer than two sizes or without a run.
pub(super) fn growth<'a>(input: &AnalysisInput, rows: &Rows, cells: &[&'a Cell]) -> Option<Growth<'a>> {
    let size = |cell: &Cell| number(&cell.axes, "bytes");
    let mut cells: Vec<(&'a Cell, BTreeMap<u32, f64>)> = cells
        .iter()
        .filter(|cell| size(cell) >= FROM_BYTES)
        .map(|cell| (*cell, input.measurements.run_values(&cell.id)))
        .filter(|(_, times)| !times.is_empty())
        .collect();
    cells.sort_by_key(|(cell, _)| size(cell));
    let largest = cells.last()?.0;
    let samples = cells.iter().map(|(cell, _)| rows.samples(&cell.id)).sum();
    let over = |cells: &[(&Cell, BTreeMap<u32, f64>)]| {
        let runs = cells.first().map(|(_, times)| times.keys().copied().collect::<Vec<u32>>()).unwrap_or_default();
        let slopes: Vec<f64> = runs
            .iter()
            .filter_map(|run| {
                let point = |(cell, times): &(&Cell, BTreeMap<u32, f64>)| Some((size(cell) as f64, *times.get(run)?));
                slope(&cells.iter().map(point).collect::<Option<Vec<(f64, f64)>>>()?)
            })
            .collect();
        rows::linear_estimate(&slopes, samples).map(|estimate| Estimate { method: "log-log-t".to_owned(), ..estimate })
    };
    let exponent = over(&cells)?;
    let last = if cells.len() > 2 { over(&cells[cells.len() - 2..]) } else { None };
    Some(Growth { largest, sizes: cells.len(), exponent, last })
}

/// Least-squares slope of ln(y) over ln(x); none unless there are two different x and all are above zero.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    if points.iter().any(|(x, y)| !(*x > 0.0 && *y > 0.0)) {
        return None;
    }
    let n = points.len() as f64;
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let mean_x = logs.iter().map(|(x, _)| x).sum::<f64>() / n;
    let mean_y = logs.iter().map(|(_, y)| y).sum::<f64>() / n;
    let spread: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let common: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    (spread > 0.0).then(|| common / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponent_of_a_power_is_found() {
        let power = |e: f64| [1e3, 1e4, 1e5].map(|x: f64| (x, 7.0 * x.powf(e)));
        for e in [0.0, 1.0, 1.5, 2.0] {
            assert!((slope(&power(e)).unwrap() - e).abs() < 1e-9);
        }
    }

    #[test]
    fn one_size_or_a_time_of_nothing_has_no_exponent() {
        assert_eq!(slope(&[(1e3, 5.0)]), None);
        assert_eq!(slope(&[(1e3, 5.0), (1e3, 6.0)]), None);
        assert_eq!(slope(&[(1e3, 5.0), (1e4, 0.0)]), None);
        assert_eq!(slope(&[]), None);
    }
}
