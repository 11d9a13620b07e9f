//! What the complete runs of a run folder measured, one value a block.
//!
//! Raw samples stay in the file: only sums over a block are kept in memory, with the place where its samples lie.
//!
//! A little over 500 lines: reading samples, leaving runs out, and pairing blocks walk the same per-cell state, which nothing else may touch.

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
    /// What was said of the cell as a whole; see [`CellData::status`].
    pub status: Option<Status>,
    /// Why the status is not `ok`: the error, the reason with its remedy, or where the output differs.
    pub message: Option<String>,
    /// Calls (or samples, for `each`) of a block, from the calibration.
    pub loops: Option<u64>,
    /// Time of a call in the calibration, ns; rough.
    pub calibrated_ns_per_call: Option<f64>,
    /// SHA-256 of the outputs for the first requests of the pool.
    pub hashes: Vec<String>,
    /// Readings of its block in the calibration, of a `stretch` cell that is calibrated.
    pub found: BTreeMap<String, f64>,
    /// Names of the stages, in the order of [`BlockData::stages`].
    pub stage_names: Vec<String>,
    /// Names of the readings, in the order of [`BlockData::readings`].
    pub reading_names: Vec<String>,
    /// Blocks by run.
    pub runs: BTreeMap<u32, Vec<BlockData>>,
    /// Complete runs in which the cell failed: an error or a time limit, with its message. What befell one run says nothing of the others.
    pub failed: BTreeMap<u32, (Status, String)>,
}

/// Name of the reading by which a worker says that its own figures must not be used (0) or may be (1).
pub const VALID: &str = "valid";

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
    /// What was said of the cell as a whole. Without that: `ok` where a run has values that may be used, `invalid` where all that have
    /// values were called so, else what befell the last run that failed, else `skipped`.
    pub fn status(&self) -> Status {
        let measured = || match (self.runs.keys().any(|run| self.is_usable(*run)), self.is_invalid_everywhere()) {
            (true, _) => Status::Ok,
            (false, true) => Status::Invalid,
            (false, false) => self.failed.values().next_back().map_or(Status::Skipped, |(status, _)| *status),
        };
        self.status.unwrap_or_else(measured)
    }

    /// The message of [`CellData::status`].
    pub fn message(&self) -> Option<&str> {
        let of_run = || self.failed.values().next_back().map(|(_, message)| message.as_str());
        self.message.as_deref().or_else(|| of_run().filter(|_| !matches!(self.status(), Status::Ok | Status::Invalid)))
    }

    /// The runs with blocks of which the worker said that they must not be used.
    pub fn invalid_runs(&self) -> Vec<u32> {
        self.runs.keys().copied().filter(|run| self.is_invalid(*run)).collect()
    }

    /// Whether every run that has blocks and did not fail is invalid, and there is one.
    pub fn is_invalid_everywhere(&self) -> bool {
        let mut whole = self.runs.keys().filter(|run| !self.failed.contains_key(run)).peekable();
        whole.peek().is_some() && whole.all(|run| self.is_invalid(*run))
    }

    fn is_invalid(&self, run: u32) -> bool {
        let Some(at) = self.reading_names.iter().position(|name| name == VALID) else { return false };
        let blocks = self.runs.get(&run).map_or(&[] as &[BlockData], Vec::as_slice);
        blocks.iter().any(|block| block.readings.get(at).is_some_and(|valid| *valid < 1.0))
    }

    fn is_usable(&self, run: u32) -> bool {
        !self.failed.contains_key(&run) && !self.is_invalid(run)
    }

    /// The runs that figures are made of, with their blocks: those that neither failed nor are invalid. Where none is valid those that
    /// did not fail, so that what was seen is shown with its status.
    fn counted(&self) -> impl Iterator<Item = (u32, &Vec<BlockData>)> {
        let all = self.is_invalid_everywhere();
        let counts = move |run: u32| if all { !self.failed.contains_key(&run) } else { self.is_usable(run) };
        self.runs.iter().map(|(run, blocks)| (*run, blocks)).filter(move |(run, _)| counts(*run))
    }

    /// Run to the mean of the cell's blocks, ns a call: the value that inference is about. Of the runs that count, as all values.
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

    /// The same over every run that did not fail, invalid ones too: what they tell of why they are.
    pub fn readings_of_all(&self, reading: &str) -> BTreeMap<u32, f64> {
        let Some(i) = self.reading_names.iter().position(|name| name == reading) else { return BTreeMap::new() };
        let value = |block: &BlockData| block.readings.get(i).copied().filter(|value| !value.is_nan());
        let whole = self.runs.iter().filter(|(run, _)| !self.failed.contains_key(run));
        whole.filter_map(|(run, blocks)| Some((*run, mean(blocks.iter().filter_map(value))?))).collect()
    }

    /// Garbage collections in all blocks.
    pub fn gc(&self) -> u64 {
        self.runs.values().flatten().map(|block| block.gc).sum()
    }

    /// Samples in the blocks of the runs that count.
    pub fn samples(&self) -> u64 {
        self.counted().flat_map(|(_, blocks)| blocks).map(|block| u64::from(block.samples)).sum()
    }

    fn mean_of(&self, value: impl Fn(&BlockData) -> Option<f64>) -> BTreeMap<u32, f64> {
        self.counted().filter_map(|(run, blocks)| Some((run, mean(blocks.iter().filter_map(&value))?))).collect()
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0_u32), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / f64::from(n))
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

    /// Of events that stand in no file: there are no raw samples to hand over. The cells are those of the plan.
    ///
    /// # Errors
    /// A sentence for an event that does not belong where it stands.
    pub fn of_events(
        cells: impl IntoIterator<Item = String>,
        events: impl IntoIterator<Item = Event>,
    ) -> Result<Self, String> {
        let mut reader = Reader::new(cells.into_iter().collect());
        for event in events {
            reader.take(event, Place { line: 0, start: 0, end: 0 })?;
        }
        let samples = PathBuf::new();
        Ok(Self { cells: reader.cells, runs: reader.runs, calibration_ns: reader.calibration_ns, samples })
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
        let b: BTreeMap<u32, &Vec<BlockData>> = b.counted().collect();
        a.counted()
            .filter_map(|(run, blocks)| Some((run, rounds::ratio(&values(blocks), &values(b.get(&run)?))?)))
            .collect()
    }

    /// Hands over the raw samples of a cell, with their runs, in the order in which they were taken. They are read from the
    /// file block by block, so that their number costs no memory.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn each_sample(&self, cell: &str, take: &mut dyn FnMut(u32, Sample)) -> Result<(), SamplesError> {
        for (run, blocks) in self.cell(cell).into_iter().flat_map(CellData::counted) {
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
    failed: BTreeMap<String, (Status, String)>,
}

impl Reader {
    fn new(known: BTreeSet<String>) -> Self {
        let cells = known.iter().map(|id| (id.clone(), CellData::default())).collect();
        let (pending, failed) = (BTreeMap::new(), BTreeMap::new());
        Self { cells, runs: BTreeMap::new(), calibration_ns: 0, known, run: None, pending, failed }
    }

    fn take(&mut self, event: Event, place: Place) -> Result<(), String> {
        match event {
            Event::CalibrationStart => {
                self.calibration_ns = 0;
                for cell in self.cells.values_mut() {
                    *cell = CellData {
                        runs: std::mem::take(&mut cell.runs),
                        failed: std::mem::take(&mut cell.failed),
                        ..CellData::default()
                    };
                }
            }
            Event::Calibration { cell_id, loops, ns_per_call, hashes, found } => {
                let cell = self.cell(&cell_id)?;
                cell.loops = Some(loops);
                cell.calibrated_ns_per_call = Some(ns_per_call);
                cell.hashes = hashes;
                cell.found = found;
            }
            Event::CalibrationComplete { wall_ns } => self.calibration_ns = wall_ns,
            // What befell one run is of that run, and of it only if it was completed.
            Event::Cell { cell_id, run: Some(run), status: status @ (Status::Error | Status::Timeout), message } => {
                self.cell(&cell_id)?;
                if self.run == Some(run) {
                    self.failed.insert(cell_id, (status, message));
                }
            }
            Event::Cell { cell_id, status, message, .. } => {
                let cell = self.cell(&cell_id)?;
                cell.status = Some(status);
                cell.message = Some(message);
            }
            Event::RunStart { run } => {
                self.run = Some(run);
                self.pending.clear();
                self.failed.clear();
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
                for (id, failed) in std::mem::take(&mut self.failed) {
                    self.cell(&id)?.failed.insert(run, failed);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(run: u32, time_ns: u64, valid: f64) -> Event {
        let readings = BTreeMap::from([(VALID.to_owned(), valid), ("ttft".to_owned(), time_ns as f64)]);
        let sample = Sample {
            cell_id: "a".to_owned(),
            start_ns: 1,
            end_ns: 1 + time_ns,
            calls: 1,
            readings,
            ..Sample::default()
        };
        Event::Sample { run, sample }
    }

    fn failed(run: Option<u32>, status: Status) -> Event {
        Event::Cell { cell_id: "a".to_owned(), run, status, message: "240 s are over".to_owned() }
    }

    fn read(runs: Vec<Vec<Event>>) -> CellData {
        let mut events = Vec::new();
        for (run, of_run) in (0..).zip(runs) {
            events.push(Event::RunStart { run });
            events.extend(of_run);
            events.push(Event::RunComplete { run, wall_ns: 10, busy_ns: 9 });
        }
        Measurements::of_events(["a".to_owned()], events).unwrap().cells.remove("a").unwrap()
    }

    #[test]
    fn one_invalid_or_failed_run_leaves_the_others() {
        let cell = read(vec![
            vec![sample(0, 100, 1.0)],
            vec![sample(1, 900, 0.0)],
            vec![sample(2, 110, 1.0), failed(Some(2), Status::Timeout)],
            vec![failed(Some(3), Status::Error)],
            vec![sample(4, 120, 1.0)],
        ]);
        assert_eq!((cell.status(), cell.message()), (Status::Ok, None));
        assert_eq!(cell.reading_values("ttft"), BTreeMap::from([(0, 100.0), (4, 120.0)]));
        assert_eq!(cell.run_values().len(), 2);
        assert_eq!((cell.invalid_runs(), cell.failed.len(), cell.samples()), (vec![1], 2, 2));
        assert_eq!(cell.readings_of_all("ttft").len(), 3);
    }

    #[test]
    fn a_cell_without_a_valid_run_shows_what_was_seen_and_says_that_it_is_invalid() {
        let cell = read(vec![vec![sample(0, 100, 0.0)], vec![sample(1, 900, 0.0)]]);
        assert_eq!(cell.status(), Status::Invalid);
        assert_eq!(cell.reading_values("ttft").len(), 2);
    }

    #[test]
    fn a_cell_that_failed_in_every_run_has_failed() {
        let cell = read(vec![vec![failed(Some(0), Status::Error)], vec![failed(Some(1), Status::Timeout)]]);
        assert_eq!((cell.status(), cell.message()), (Status::Timeout, Some("240 s are over")));
        // A verdict on the cell as a whole stands over all runs.
        let cell = read(vec![vec![sample(0, 100, 1.0)], vec![failed(None, Status::Error)]]);
        assert_eq!((cell.status(), cell.message()), (Status::Error, Some("240 s are over")));
    }

    #[test]
    fn what_befell_a_run_that_was_made_again_is_forgotten() {
        let events = [
            Event::RunStart { run: 0 },
            failed(Some(0), Status::Error),
            Event::RunStart { run: 0 },
            sample(0, 100, 1.0),
            Event::RunComplete { run: 0, wall_ns: 10, busy_ns: 9 },
        ];
        let measurements = Measurements::of_events(["a".to_owned()], events).unwrap();
        assert_eq!(measurements.status("a"), Status::Ok);
        assert!(measurements.cells["a"].failed.is_empty());
    }
}
