//! What the complete runs of a run folder measured, one value a block.
//!
//! Raw samples stay in the file: only sums over a block are kept in memory, with the place where its samples lie.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use benchstats::rounds;

use crate::folder::RunFolder;
use crate::protocol::Sample;
use crate::results::Status;
use crate::samples::{Event, Place, SamplesError, read_events, read_samples};

/// Everything that the complete runs of a folder measured.
#[derive(Debug, Clone)]
pub struct Measurements {
    /// All cells of the plan, by id.
    pub cells: BTreeMap<String, CellData>,
    /// The complete runs, by number.
    pub runs: BTreeMap<u32, RunData>,
    /// Wall time of the calibration, ns; 0 if it was not completed.
    pub calibration_ns: u64,
    samples: PathBuf,
}

/// Wall time of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunData {
    /// ns
    pub wall_ns: u64,
    /// Of that, inside timed blocks and warm-up, ns.
    pub busy_ns: u64,
}

/// What was measured of a cell.
#[derive(Debug, Clone, Default)]
pub struct CellData {
    /// `Ok` while nothing else was said; `Skipped` when there is neither a verdict nor a block.
    pub status: Option<Status>,
    /// Why the status is not `ok`: the error, the reason with its remedy, or where the output differs.
    pub message: Option<String>,
    /// Calls (or samples, for `each`) of a block, from the calibration.
    pub loops: Option<u64>,
    /// Time of a call in the calibration, ns; rough.
    pub calibrated_ns_per_call: Option<f64>,
    /// SHA-256 of the outputs for the first requests of the pool.
    pub hashes: Vec<String>,
    /// Names of the stages, in the order of [`BlockData::stages`].
    pub stage_names: Vec<String>,
    /// Names of the readings, in the order of [`BlockData::readings`].
    pub reading_names: Vec<String>,
    /// Blocks by run.
    pub runs: BTreeMap<u32, Vec<BlockData>>,
}

/// One block.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockData {
    pub block: u32,
    /// Mean time of a call, ns ([`Sample::ns_per_call`]; over several samples, their mean).
    pub ns_per_call: f64,
    /// Calls in all samples.
    pub calls: u64,
    pub samples: u32,
    /// Summed length of the samples, ns.
    pub duration_ns: u64,
    /// Mean time of a stage a call, ns, in the order of [`CellData::stage_names`].
    pub stages: Vec<f64>,
    /// Collections of Python's cyclic garbage collector.
    pub gc: u64,
    /// Mean over the samples that have it, in the order of [`CellData::reading_names`]; NaN where none has.
    pub readings: Vec<f64>,
    /// Where its samples lie in `samples.jsonl`, bytes.
    start: u64,
    end: u64,
}

impl CellData {
    /// The status, where absence of a verdict means `ok` if something was measured and `skipped` if not.
    pub fn status(&self) -> Status {
        self.status.unwrap_or(if self.runs.is_empty() { Status::Skipped } else { Status::Ok })
    }

    /// Run to the mean of the cell's blocks, ns a call: the value that inference is about.
    pub fn run_values(&self) -> BTreeMap<u32, f64> {
        self.mean_of(|block| Some(block.ns_per_call))
    }

    /// Run to the mean time of a stage, ns a call; empty when the cell has no such stage.
    pub fn stage_values(&self, stage: &str) -> BTreeMap<u32, f64> {
        match self.stage_names.iter().position(|name| name == stage) {
            Some(i) => self.mean_of(|block| block.stages.get(i).copied()),
            None => BTreeMap::new(),
        }
    }

    /// Run to the mean of a reading over the blocks that have it.
    pub fn reading_values(&self, reading: &str) -> BTreeMap<u32, f64> {
        match self.reading_names.iter().position(|name| name == reading) {
            Some(i) => self.mean_of(|block| block.readings.get(i).copied().filter(|value| !value.is_nan())),
            None => BTreeMap::new(),
        }
    }

    /// Garbage collections in all blocks.
    pub fn gc(&self) -> u64 {
        self.runs.values().flatten().map(|block| block.gc).sum()
    }

    /// Samples in all blocks.
    pub fn samples(&self) -> u64 {
        self.runs.values().flatten().map(|block| u64::from(block.samples)).sum()
    }

    fn mean_of(&self, value: impl Fn(&BlockData) -> Option<f64>) -> BTreeMap<u32, f64> {
        let mean = |blocks: &Vec<BlockData>| {
            let values: Vec<f64> = blocks.iter().filter_map(&value).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        self.runs.iter().filter_map(|(&run, blocks)| Some((run, mean(blocks)?))).collect()
    }
}

impl Measurements {
    /// Reads `run.json` and `samples.jsonl` of a folder.
    ///
    /// # Errors
    /// When a file cannot be read, is of another schema version or is damaged (with the number of the line).
    pub fn read(folder: &RunFolder) -> Result<Self, SamplesError> {
        let info = folder.read_info()?;
        let ids = info.plan.cells.into_iter().map(|cell| cell.id);
        let mut reader = Reader::new(ids.collect());
        let path = folder.samples_path();
        read_events(&path, &mut |event, place| reader.take(event, place))?;
        Ok(Self { cells: reader.cells, runs: reader.runs, calibration_ns: reader.calibration_ns, samples: path })
    }

    pub fn cell(&self, cell: &str) -> Option<&CellData> {
        self.cells.get(cell)
    }

    /// Status of a cell; `skipped` for one that is not in the plan.
    pub fn status(&self, cell: &str) -> Status {
        self.cell(cell).map_or(Status::Skipped, CellData::status)
    }

    /// See [`CellData::run_values`].
    pub fn run_values(&self, cell: &str) -> BTreeMap<u32, f64> {
        self.cell(cell).map(CellData::run_values).unwrap_or_default()
    }

    /// See [`CellData::stage_values`].
    pub fn stage_values(&self, cell: &str, stage: &str) -> BTreeMap<u32, f64> {
        self.cell(cell).map(|c| c.stage_values(stage)).unwrap_or_default()
    }

    /// See [`CellData::reading_values`].
    pub fn reading_values(&self, cell: &str, reading: &str) -> BTreeMap<u32, f64> {
        self.cell(cell).map(|c| c.reading_values(reading)).unwrap_or_default()
    }

    /// Run to the ratio of the time of a call of `a` to that of `b` within it ([`rounds::ratio`]: block by block, the median
    /// over the rounds), over the runs that have both.
    pub fn ratios(&self, a: &str, b: &str) -> BTreeMap<u32, f64> {
        let (Some(a), Some(b)) = (self.cell(a), self.cell(b)) else { return BTreeMap::new() };
        let values = |blocks: &[BlockData]| -> Vec<rounds::Block> {
            blocks.iter().map(|block| (block.block, block.ns_per_call)).collect()
        };
        a.runs
            .iter()
            .filter_map(|(&run, blocks)| Some((run, rounds::ratio(&values(blocks), &values(b.runs.get(&run)?))?)))
            .collect()
    }

    /// Hands over the raw samples of a cell, with their runs, in the order in which they were taken. They are read from the
    /// file block by block, so that their number costs no memory.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn each_sample(&self, cell: &str, take: &mut dyn FnMut(u32, Sample)) -> Result<(), SamplesError> {
        for (&run, blocks) in self.cell(cell).map(|c| &c.runs).into_iter().flatten() {
            // Blocks are kept in the order in which they were made.
            for block in blocks {
                for (of_run, sample) in read_samples(&self.samples, block.start, block.end)? {
                    if of_run == run && sample.cell_id == cell && sample.block == block.block {
                        take(run, sample);
                    }
                }
            }
        }
        Ok(())
    }

    /// The raw samples of a cell by run. For a cell with very many, [`Measurements::each_sample`] and
    /// [`Measurements::sample_times`] take less memory.
    ///
    /// # Errors
    /// As [`Measurements::each_sample`].
    pub fn raw_samples(&self, cell: &str) -> Result<BTreeMap<u32, Vec<Sample>>, SamplesError> {
        let mut raw: BTreeMap<u32, Vec<Sample>> = BTreeMap::new();
        self.each_sample(cell, &mut |run, sample| raw.entry(run).or_default().push(sample))?;
        Ok(raw)
    }

    /// Length of every sample of a cell by run, ns.
    ///
    /// # Errors
    /// As [`Measurements::each_sample`].
    pub fn sample_times(&self, cell: &str) -> Result<BTreeMap<u32, Vec<f64>>, SamplesError> {
        let mut times: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        self.each_sample(cell, &mut |run, sample| times.entry(run).or_default().push(sample.duration_ns() as f64))?;
        Ok(times)
    }

    /// Share of the wall time of the complete runs inside timed blocks or warm-up; none without a run.
    pub fn busy_share(&self) -> Option<f64> {
        let wall: u64 = self.runs.values().map(|r| r.wall_ns).sum();
        let busy: u64 = self.runs.values().map(|r| r.busy_ns).sum();
        (wall > 0).then(|| busy as f64 / wall as f64)
    }
}

/// Sums of a block while its samples come in.
struct Sums {
    block: BlockData,
    ns_per_call: f64,
    /// Sum and number of each reading.
    readings: Vec<(f64, u32)>,
}

struct Reader {
    cells: BTreeMap<String, CellData>,
    runs: BTreeMap<u32, RunData>,
    calibration_ns: u64,
    known: BTreeSet<String>,
    /// The run under way and its blocks so far, by cell.
    run: Option<u32>,
    pending: BTreeMap<String, Vec<Sums>>,
}

impl Reader {
    fn new(known: BTreeSet<String>) -> Self {
        let cells = known.iter().map(|id| (id.clone(), CellData::default())).collect();
        Self { cells, runs: BTreeMap::new(), calibration_ns: 0, known, run: None, pending: BTreeMap::new() }
    }

    fn take(&mut self, event: Event, place: Place) -> Result<(), String> {
        match event {
            Event::CalibrationStart => {
                self.calibration_ns = 0;
                for cell in self.cells.values_mut() {
                    *cell = CellData { runs: std::mem::take(&mut cell.runs), ..CellData::default() };
                }
            }
            Event::Calibration { cell_id, loops, ns_per_call, hashes } => {
                let cell = self.cell(&cell_id)?;
                cell.loops = Some(loops);
                cell.calibrated_ns_per_call = Some(ns_per_call);
                cell.hashes = hashes;
            }
            Event::CalibrationComplete { wall_ns } => self.calibration_ns = wall_ns,
            Event::Cell { cell_id, status, message, .. } => {
                let cell = self.cell(&cell_id)?;
                cell.status = Some(status);
                cell.message = Some(message);
            }
            Event::RunStart { run } => {
                self.run = Some(run);
                self.pending.clear();
            }
            Event::Sample { run, sample } => {
                if self.run != Some(run) {
                    return Err(format!("a sample of run {run} outside of it"));
                }
                self.add(&sample, place)?;
            }
            Event::Worker { .. } => {}
            Event::RunComplete { run, wall_ns, busy_ns } => {
                if self.run.take() != Some(run) || self.runs.contains_key(&run) {
                    return Err(format!("run {run} ends here but did not start"));
                }
                self.runs.insert(run, RunData { wall_ns, busy_ns });
                for (id, blocks) in std::mem::take(&mut self.pending) {
                    let blocks = blocks.into_iter().map(Sums::finish).collect();
                    self.cell(&id)?.runs.insert(run, blocks);
                }
            }
        }
        Ok(())
    }

    fn cell(&mut self, id: &str) -> Result<&mut CellData, String> {
        if !self.known.contains(id) {
            return Err(format!("the plan in run.json has no cell {id}"));
        }
        Ok(self.cells.entry(id.to_owned()).or_default())
    }

    fn add(&mut self, sample: &Sample, place: Place) -> Result<(), String> {
        sound(sample)?;
        let cell = self.cell(&sample.cell_id)?;
        let stages = in_order(&mut cell.stage_names, sample.stages.iter().map(|(name, &ns)| (name, ns as f64)), 0.0);
        let readings =
            in_order(&mut cell.reading_names, sample.readings.iter().map(|(name, &value)| (name, value)), f64::NAN);
        let blocks = self.pending.entry(sample.cell_id.clone()).or_default();
        if blocks.last().is_none_or(|b| b.block.block != sample.block) {
            blocks.push(Sums::new(sample.block, place.start));
        }
        if let Some(sums) = blocks.last_mut() {
            sums.add(sample, &stages, &readings, place.end);
        }
        Ok(())
    }
}

impl Sums {
    fn new(block: u32, start: u64) -> Self {
        let block = BlockData {
            block,
            ns_per_call: 0.0,
            calls: 0,
            samples: 0,
            duration_ns: 0,
            stages: Vec::new(),
            gc: 0,
            readings: Vec::new(),
            start,
            end: start,
        };
        Self { block, ns_per_call: 0.0, readings: Vec::new() }
    }

    fn add(&mut self, sample: &Sample, stages: &[f64], readings: &[f64], end: u64) {
        let block = &mut self.block;
        self.ns_per_call += sample.ns_per_call();
        block.samples += 1;
        block.calls += sample.calls;
        block.duration_ns += sample.duration_ns();
        block.gc += sample.gc;
        block.end = end;
        block.stages.resize(stages.len().max(block.stages.len()), 0.0);
        for (sum, ns) in block.stages.iter_mut().zip(stages) {
            *sum += ns;
        }
        self.readings.resize(readings.len().max(self.readings.len()), (0.0, 0));
        for ((sum, n), value) in self.readings.iter_mut().zip(readings) {
            if !value.is_nan() {
                *sum += value;
                *n += 1;
            }
        }
    }

    fn finish(self) -> BlockData {
        let mut block = self.block;
        block.ns_per_call = self.ns_per_call / f64::from(block.samples);
        for stage in &mut block.stages {
            *stage /= block.calls as f64;
        }
        // Nothing divided by nothing is the NaN that says so.
        block.readings = self.readings.into_iter().map(|(sum, n)| sum / f64::from(n)).collect();
        block
    }
}

/// Values in the order of their names, which new ones join at the end; `absent` where one is missing.
fn in_order<'a>(names: &mut Vec<String>, values: impl Iterator<Item = (&'a String, f64)>, absent: f64) -> Vec<f64> {
    let mut ordered = vec![absent; names.len()];
    for (name, value) in values {
        match names.iter().position(|known| known == name) {
            Some(i) => ordered[i] = value,
            None => {
                names.push(name.clone());
                ordered.push(value);
            }
        }
    }
    ordered
}

/// Whether a sample can be a measurement at all.
///
/// # Errors
/// What is wrong with it.
pub fn sound(sample: &Sample) -> Result<(), String> {
    let threads = sample.threads.iter().all(|t| t.end_ns > t.start_ns && t.calls > 0.0);
    if sample.calls == 0 || sample.end_ns <= sample.start_ns || !threads {
        return Err(format!(
            "a sample of {} calls from {} to {} ns is no measurement",
            sample.calls, sample.start_ns, sample.end_ns
        ));
    }
    if let Some((name, value)) = sample.readings.iter().find(|(_, value)| !value.is_finite()) {
        return Err(format!("a sample whose {name} is {value} is no measurement"));
    }
    Ok(())
}
