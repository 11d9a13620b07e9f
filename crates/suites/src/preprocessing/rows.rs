//! From measurements to rows: estimates, paired ratios with their verdicts, and what every experiment repeats.

use std::collections::BTreeMap;

use benchstats::paired::{self, Paired};
use benchstats::verdict::{self, Verdict};
use benchstats::{Interval, mean, serial};
use engines::catalog::package_of;
use record::measurements::CellData;
use record::plan::Cell;
use record::results::{Estimate, Record, Status};

use crate::{AnalysisInput, present};
use record::format;

/// Confidence level of every interval that is shown.
pub const LEVEL: f64 = 0.95;

/// Rows of one experiment as they come into being.
pub struct Rows<'a> {
    input: &'a AnalysisInput<'a>,
    /// Noise floor as a fraction: differences inside it are not called differences.
    pub floor: f64,
    pub records: Vec<Record>,
}

/// A paired comparison with its verdict.
#[derive(Debug, Clone)]
pub struct Judged {
    pub row: String,
    pub baseline: String,
    /// Time of the row over time of the baseline, 95%, not adjusted.
    pub estimate: Estimate,
    /// At the Holm-adjusted level of its family.
    pub adjusted: Interval,
    pub verdict: Verdict,
}

impl Judged {
    /// How many times faster the row is than its baseline.
    pub fn speedup(&self) -> Estimate {
        inverse(&self.estimate)
    }
}

impl<'a> Rows<'a> {
    /// Starts with the noise floor of this experiment's A/A twin.
    pub fn new(input: &'a AnalysisInput<'a>) -> Self {
        let floor = input
            .cells()
            .find(|cell| cell.twin_of.is_some())
            .and_then(|twin| twin.twin_of.as_deref().map(|of| input.measurements.ratios(&twin.id, of)))
            .and_then(|ratios| paired::of_ratios(&values(&ratios), LEVEL).ok())
            .map_or(verdict::LEAST_FLOOR, |aa| verdict::noise_floor(&aa));
        let mut rows = Self { input, floor, records: Vec::new() };
        if let Some(twin) = input.cells().find(|cell| cell.twin_of.is_some()) {
            let runs = input.measurements.ratios(&twin.id, twin.twin_of.as_deref().unwrap_or_default()).len();
            if runs > 1 {
                let point =
                    Estimate { method: "aa-twin".to_owned(), ..point_only(floor, runs, rows.samples(&twin.id)) };
                let baseline = twin.twin_of.clone();
                rows.push(twin, &twin.op.name, "noise_floor", "1", Some(point)).baseline_cell_id = baseline;
            }
        }
        rows
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
        let info = self.input.info;
        let ready = info.subjects.get(&cell.subject);
        let record = Record {
            schema: record::SCHEMA,
            run_id: info.run_id.clone(),
            suite: self.input.plan.suite.clone(),
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
            model_sha: self.input.plan.model.sha256.clone(),
            workload_sha: info.workload_sha256.get(&cell.workload).cloned().unwrap_or_default(),
            axes: cell.axes.clone(),
            stage: stage.to_owned(),
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            estimate,
            baseline_cell_id: None,
            verdict: None,
            status: self.input.measurements.status(&cell.id),
            error: self.input.error(&cell.id),
        };
        self.records.push(record);
        let last = self.records.len() - 1;
        &mut self.records[last]
    }

    /// The row of a paired ratio, with its baseline and verdict.
    pub fn push_ratio(&mut self, cell: &Cell, stage: &str, judged: &Judged) {
        let record = self.push(cell, stage, "time_ratio", "1", Some(judged.estimate.clone()));
        record.baseline_cell_id = Some(judged.baseline.clone());
        record.verdict = Some(judged.verdict.as_str().to_owned());
    }

    /// What the marks behind a ratio mean, for the notes of a table.
    pub fn marks(&self) -> String {
        format!("= is inside the noise floor of {}, ? inconclusive.", format::percent(self.floor))
    }

    /// Mean time a call, ns, on the log scale across runs; none when the cell was not measured.
    pub fn time(&self, cell: &Cell) -> Option<Estimate> {
        let values = values(&self.input.measurements.run_values(&cell.id));
        log_estimate(&values, self.samples(&cell.id))
    }

    /// Blocks that were timed of a cell, over all runs.
    pub fn samples(&self, cell_id: &str) -> u32 {
        let samples = self.input.measurements.cell(cell_id).map_or(0, CellData::samples);
        u32::try_from(samples).unwrap_or(u32::MAX)
    }

    /// Judges pairs (row, baseline) as one family: Holm across all of them, against the noise floor. Pairs that were not
    /// measured, or whose output was wrong or could not be checked, are left out: they are never ranked.
    pub fn judge(&self, pairs: &[(String, String)]) -> Vec<Judged> {
        let mut names = Vec::new();
        let mut family: Vec<Paired> = Vec::new();
        for (row, baseline) in pairs {
            if !(self.rankable(row) && self.rankable(baseline)) {
                continue;
            }
            let ratios = values(&self.input.measurements.ratios(row, baseline));
            if let Ok(paired) = paired::of_ratios(&ratios, LEVEL) {
                names.push((row.clone(), baseline.clone(), ratios.len()));
                family.push(paired);
            }
        }
        let judgements = verdict::judge_family(&family, self.floor, 1.0 - LEVEL);
        names
            .into_iter()
            .zip(family)
            .zip(judgements)
            .map(|(((row, baseline, runs), paired), judgement)| Judged {
                estimate: estimate(&paired.interval, "paired-log-t", runs, self.samples(&row)),
                row,
                baseline,
                adjusted: judgement.adjusted,
                verdict: judgement.verdict,
            })
            .collect()
    }

    /// True when the cell's output agreed with its reference.
    pub fn rankable(&self, cell_id: &str) -> bool {
        self.input.measurements.status(cell_id) == Status::Ok
    }

    /// What a reader must know about the runs: autocorrelation, and why a floor is high.
    pub fn warnings(&self, headline_cells: &[&Cell]) -> Vec<String> {
        let mut warnings = Vec::new();
        for cell in headline_cells {
            let values = values(&self.input.measurements.run_values(&cell.id));
            if let Some(lag1) = serial::lag1(&values)
                && lag1 > serial::SESSION_ONLY
                && values.len() >= 10
            {
                warnings.push(format!(
                    "The runs of {} follow each other (lag-1 autocorrelation {lag1:.2}): its interval speaks of this session only. \
                     Repeat the command at another time and compare.",
                    cell.id
                ));
            }
        }
        if self.floor > 0.05 {
            warnings.push(format!(
                "The same cell measured twice under two names differs by up to {}: smaller differences are not called differences. \
                 Close other programs, or run with --full.",
                format::percent(self.floor)
            ));
        }
        warnings
    }
}

impl AnalysisInput<'_> {
    /// Why a cell has no figure, or must not be used.
    pub fn error(&self, cell_id: &str) -> Option<String> {
        self.measurements.cell(cell_id).and_then(|cell| cell.message.clone())
    }

    /// Length of every single sample of a cell by run, ns.
    pub fn sample_times(&self, cell_id: &str) -> BTreeMap<u32, Vec<f64>> {
        self.measurements.sample_times(cell_id).unwrap_or_default()
    }

    /// The cells of this experiment.
    pub fn cells(&self) -> impl Iterator<Item = &Cell> {
        let name = self.settings.name.as_str();
        self.plan.cells.iter().filter(move |cell| cell.experiment == name)
    }

    /// The subjects of this experiment, Python first: it is what the Rust rows are compared with.
    pub fn subjects(&self) -> Vec<String> {
        let mut subjects = present::distinct(self.cells().map(|cell| cell.subject.clone()));
        subjects.sort_by_key(|subject| subject == "native");
        subjects
    }

    /// Cores that this process could use: affinity ∩ cgroup quota.
    pub fn effective_cores(&self) -> u32 {
        let cores = self.plan.settings.get("effective_cores").and_then(serde_json::Value::as_u64);
        cores.and_then(|cores| u32::try_from(cores).ok()).unwrap_or(1)
    }

    /// A subject as a heading: `python: CPython 3.12.1, GIL enabled`.
    pub fn subject_title(&self, subject: &str) -> String {
        match self.info.subjects.get(subject) {
            Some(ready) if ready.gil == "none" => format!("{subject} ({})", ready.interpreter),
            Some(ready) => format!("{subject} ({}, GIL {})", ready.interpreter, ready.gil),
            None => subject.to_owned(),
        }
    }
}

/// Values by run, without the runs' numbers.
pub fn values(by_run: &BTreeMap<u32, f64>) -> Vec<f64> {
    by_run.values().copied().collect()
}

/// Mean on the log scale with a t interval across runs; a point alone for one run.
pub fn log_estimate(values: &[f64], samples: u32) -> Option<Estimate> {
    let usable = !values.is_empty() && values.iter().all(|value| *value > 0.0);
    usable.then(|| match mean::log_t(values, LEVEL) {
        Ok(interval) => estimate(&interval, "log-t", values.len(), samples),
        Err(_) => point_only(values[0], values.len(), samples),
    })
}

/// Mean with a t interval across runs, for shares and fractions.
pub fn linear_estimate(values: &[f64], samples: u32) -> Option<Estimate> {
    (!values.is_empty()).then(|| match mean::linear_t(values, LEVEL) {
        Ok(interval) => estimate(&interval, "t", values.len(), samples),
        Err(_) => point_only(values[0], values.len(), samples),
    })
}

/// Ratio of two derived series (sums of stages, rates), paired by run.
pub fn ratio_estimate(
    numerator: &BTreeMap<u32, f64>,
    denominator: &BTreeMap<u32, f64>,
    samples: u32,
) -> Option<Estimate> {
    let ratios: Vec<f64> = numerator
        .iter()
        .filter_map(|(run, above)| denominator.get(run).filter(|below| **below > 0.0).map(|below| above / below))
        .collect();
    log_estimate(&ratios, samples).map(|estimate| Estimate { method: "paired-log-t".to_owned(), ..estimate })
}

/// An interval as a record keeps it; bounds that are not finite are absent.
pub fn estimate(interval: &Interval, method: &str, runs: usize, samples: u32) -> Estimate {
    Estimate {
        point: interval.point,
        lower: Some(interval.lower).filter(|bound| bound.is_finite()),
        upper: Some(interval.upper).filter(|bound| bound.is_finite()),
        level: interval.level,
        method: method.to_owned(),
        runs: u32::try_from(runs).unwrap_or(u32::MAX),
        samples,
    }
}

/// Each value multiplied by a positive factor (another unit).
pub fn scaled(estimate: &Estimate, factor: f64) -> Estimate {
    Estimate {
        point: estimate.point * factor,
        lower: estimate.lower.map(|bound| bound * factor),
        upper: estimate.upper.map(|bound| bound * factor),
        ..estimate.clone()
    }
}

/// `factor / estimate`: a time as a rate, a time ratio as a speed-up.
pub fn inverse_of(factor: f64, estimate: &Estimate) -> Estimate {
    Estimate {
        point: factor / estimate.point,
        lower: estimate.upper.map(|bound| factor / bound),
        upper: estimate.lower.map(|bound| factor / bound),
        ..estimate.clone()
    }
}

/// The bounds of an estimate that has both.
pub fn interval(estimate: &Estimate) -> Option<Interval> {
    let (lower, upper) = (estimate.lower?, estimate.upper?);
    Some(Interval { point: estimate.point, lower, upper, level: estimate.level })
}

/// `1 / estimate`.
pub fn inverse(estimate: &Estimate) -> Estimate {
    inverse_of(1.0, estimate)
}

/// A figure of one run, or of none: without an interval.
pub fn point_only(point: f64, runs: usize, samples: u32) -> Estimate {
    Estimate {
        point,
        lower: None,
        upper: None,
        level: LEVEL,
        method: "one-run".to_owned(),
        runs: u32::try_from(runs).unwrap_or(u32::MAX),
        samples,
    }
}
