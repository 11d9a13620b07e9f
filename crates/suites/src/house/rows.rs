//! The rows of `results.csv` as they come into being, and what every experiment repeats of them.

use benchstats::serial;
use engines::catalog::package_of;
use record::measurements::{CellData, Measurements};
use record::plan::{Cell, Plan};
use record::results::{Estimate, Record, RunInfo};

use super::estimate::{self, linear_estimate, log_estimate, values};
use super::judged::Judged;
use super::status;

/// Rows of one experiment.
pub struct Rows<'a> {
    plan: &'a Plan,
    info: &'a RunInfo,
    measurements: &'a Measurements,
    pub records: Vec<Record>,
}

impl<'a> Rows<'a> {
    /// None yet.
    pub fn new(plan: &'a Plan, info: &'a RunInfo, measurements: &'a Measurements) -> Self {
        Self { plan, info, measurements, records: Vec::new() }
    }

    /// The row of a cell and a metric; its status is the cell's.
    pub fn push(
        &mut self,
        cell: &Cell,
        stage: &str,
        metric: &str,
        unit: &str,
        estimate: Option<Estimate>,
    ) -> &mut Record {
        let info = self.info;
        let ready = info.subjects.get(&cell.subject);
        let record = Record {
            schema: record::SCHEMA,
            run_id: info.run_id.clone(),
            suite: self.plan.suite.clone(),
            experiment_id: cell.experiment_id,
            experiment: cell.experiment.clone(),
            cell_id: cell.id.clone(),
            subject: cell.subject.clone(),
            engine: cell.op.engine.clone(),
            engine_version: ready
                .and_then(|ready| ready.versions.get(package_of(&cell.op.engine)))
                .cloned()
                .unwrap_or_default(),
            call_path: cell.op.call_path.clone(),
            strategy: cell.strategy.clone(),
            workers: cell.op.threads,
            interpreter: ready.map(|ready| ready.interpreter.clone()).unwrap_or_default(),
            gil: ready.map(|ready| ready.gil.clone()).unwrap_or_default(),
            cache: cell.cache.clone(),
            model_sha: self.plan.model.sha256.clone(),
            workload_sha: info.workload_sha256.get(&cell.workload).cloned().unwrap_or_default(),
            axes: cell.axes.clone(),
            stage: stage.to_owned(),
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            estimate,
            baseline_cell_id: None,
            verdict: None,
            status: status::of(self.measurements, cell),
            error: status::error(self.measurements, cell),
        };
        self.records.push(record);
        let last = self.records.len() - 1;
        &mut self.records[last]
    }

    /// The row of a paired ratio of times, with its baseline and verdict.
    pub fn push_ratio(&mut self, cell: &Cell, stage: &str, judged: &Judged) {
        self.push_judged(cell, stage, ("time_ratio", "1"), judged.estimate.clone(), judged);
    }

    /// A row of what was made of a judged comparison (its ratio, the inverse of it, its difference), with its baseline and verdict.
    pub fn push_judged(
        &mut self,
        cell: &Cell,
        stage: &str,
        (metric, unit): (&str, &str),
        estimate: Estimate,
        judged: &Judged,
    ) {
        let record = self.push(cell, stage, metric, unit, Some(estimate));
        record.baseline_cell_id = Some(judged.baseline.clone());
        record.verdict = Some(judged.verdict.as_str().to_owned());
    }

    /// Mean time a call, ns, on the log scale across runs; none when the cell was not measured.
    pub fn time(&self, cell: &Cell) -> Option<Estimate> {
        log_estimate(&values(&self.measurements.run_values(&cell.id)), self.samples(&cell.id))
    }

    /// A reading across runs on the log scale.
    pub fn reading(&self, cell: &Cell, name: &str) -> Option<Estimate> {
        log_estimate(&values(&self.measurements.reading_values(&cell.id, name)), self.samples(&cell.id))
    }

    /// A reading across runs on the linear scale: of one that may be 0, which has no logarithm.
    pub fn linear_reading(&self, cell: &Cell, name: &str) -> Option<Estimate> {
        linear_estimate(&values(&self.measurements.reading_values(&cell.id, name)), self.samples(&cell.id))
    }

    /// A reading that is a percentile; none where a run has too few requests for it ([`benchstats::order::calls_needed`]).
    pub fn percentile(&self, cell: &Cell, name: &str, p: f64) -> Option<Estimate> {
        self.holds_percentile(cell, p).then(|| self.reading(cell, name)).flatten()
    }

    /// A latency across runs, by the name of its reading; if it is a percentile (`ttft_p99_ns`) by the rule of [`Rows::percentile`].
    pub fn latency(&self, cell: &Cell, name: &str) -> Option<Estimate> {
        let percent =
            name.trim_end_matches("_ns").rsplit_once("_p").and_then(|(_, percent)| percent.parse::<f64>().ok());
        match percent {
            Some(percent) => self.percentile(cell, name, percent / 100.0),
            None => self.reading(cell, name),
        }
    }

    /// Whether every run has the requests that a percentile needs.
    pub fn holds_percentile(&self, cell: &Cell, p: f64) -> bool {
        let requests = self.measurements.reading_values(&cell.id, "requests");
        let least = requests.values().copied().reduce(f64::min);
        least.is_some_and(|least| least >= benchstats::order::calls_needed(p) as f64)
    }

    /// Blocks that were timed of a cell, over the runs that count.
    pub fn samples(&self, cell_id: &str) -> u32 {
        let samples = self.measurements.cell(cell_id).map_or(0, CellData::samples);
        u32::try_from(samples).unwrap_or(u32::MAX)
    }

    /// True when the cell's output agreed with its reference, and its figures may be used.
    pub fn rankable(&self, cell: &Cell) -> bool {
        status::is_usable(self.measurements, cell)
    }

    /// Warnings about runs that follow each other, of the cells that the headline rests on.
    pub fn autocorrelated(&self, cells: &[&Cell]) -> Vec<String> {
        let of_cell = |cell: &&Cell| {
            let values = values(&self.measurements.run_values(&cell.id));
            let lag1 = serial::lag1(&values).filter(|lag1| *lag1 > serial::SESSION_ONLY && values.len() >= 10)?;
            Some(format!(
                "The runs of {} follow each other (lag-1 autocorrelation {lag1:.2}): its interval speaks of this session only. \
                 Repeat the command at another time and compare.",
                cell.id
            ))
        };
        cells.iter().filter_map(of_cell).collect()
    }

    /// The row of what a twin showed.
    pub fn push_floor(&mut self, twin: &Cell, stage: &str, unit: &str, floor: f64, runs: usize) {
        let samples = self.samples(&twin.id);
        let estimate = Estimate { method: "aa-twin".to_owned(), ..estimate::point_only(floor, runs, samples) };
        self.push(twin, stage, "noise_floor", unit, Some(estimate)).baseline_cell_id.clone_from(&twin.twin_of);
    }
}
