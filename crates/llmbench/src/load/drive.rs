//! Measures points: connections, progress, the interrupt, and the figures of each run.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use engines::{Tokenizer, count_tokens};
use indicatif::{ProgressBar, ProgressStyle};
use loadgen::arrivals::{Extent, Intensity, Schedule, Spacing};
use loadgen::driver::{Control, DriverError, Options};
use loadgen::limits;
use loadgen::serving::accounts;
use loadgen::serving::figures::{Distribution, Figures};
use loadgen::serving::record::{Counted, Record};
use loadgen::serving::samples_file::{self, SamplesFile};
use loadgen::serving::server::{Access, Found};
use loadgen::serving::session::{Load, stagger_ns};
use loadgen::serving::slo::Slo;
use loadgen::serving::target::HttpVersion;
use loadgen::serving::verdict;
use loadgen::serving::{Run, run};
use loadgen::transport::{Protocol, Sockets};
use runner::interrupt::Interrupt;
use server_api::json::Raw;

use super::account::Account;
use super::calibration::Calibration;
use super::outcome::{Connections, RunOutcome, TruthFigures, errors};
use super::points::Point;
use super::workload::Requests;
use crate::Failure;
use crate::terminal::is_interactive;
use record::format::significant;

/// How long opening a connection may take before the clock starts, ns.
const CONNECT_NS: u64 = 10_000_000_000;

/// Texts that are tokenized at a time.
const TEXTS: usize = 1024;

/// How often the progress is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What holds for all points.
pub struct Bench<'a> {
    pub access: &'a Access,
    pub found: &'a Found,
    pub requests: &'a Requests,
    /// Counts the tokens of answers where the server does not.
    pub tokenizer: Option<&'a Tokenizer>,
    pub extent: Extent,
    pub spacing: Spacing,
    /// Times of a file.
    pub trace: Option<Schedule>,
    /// The rate over time of ramps and steps.
    pub intensity: Option<Intensity>,
    pub seed: u64,
    pub slo: Option<Slo>,
    pub percentiles: Vec<f64>,
    /// Keep the samples of every request here.
    pub samples: Option<PathBuf>,
    pub interrupt: Interrupt,
    /// What `llmbench calibrate` knows of this machine.
    pub calibration: Option<&'a Calibration>,
}

/// A run and what it says.
pub struct Measured {
    pub run: Run,
    pub outcome: RunOutcome,
}

impl Bench<'_> {
    /// Measures a point once. `number` is the run's, from 1; `offset` is the session that it begins with.
    ///
    /// # Errors
    /// Usage: the server is gone, or the system's limits are too low. Requests that fail are no error.
    pub fn measure(&self, point: Point, number: u32, offset: usize) -> Result<Measured, Failure> {
        let connections = if self.found.closes { 0 } else { point.connections() };
        // An open loop without a cap may need more than can be known.
        limits::raise();
        // Over HTTP/2 requests share connections; how many it takes is the server's word.
        if self.access.target.version == HttpVersion::Http1 {
            limits::make_room(point.connections()).map_err(Failure::usage)?;
        }
        let mut protocol = Protocol::post(&self.access.target, self.access.backend, self.access.key.as_deref());
        protocol.single_use = self.found.closes;
        protocol.keep_text = !self.found.counts_tokens || self.samples.is_some();
        let transport = Sockets::to_server(&self.access.target, protocol, CONNECT_NS).map_err(Failure::usage)?;
        let schedule = self.schedule(point, number)?;
        let load = match point {
            Point::Concurrency { users } => self.users(users, self.extent),
            Point::Rate { cap, .. } | Point::Trace { cap } | Point::Ramp { cap, .. } | Point::Steps { cap, .. } => {
                let schedule = schedule.as_ref().ok_or_else(|| Failure::bug("an open loop without a schedule"))?;
                Load::Open { schedule, cap }
            }
        };
        let options = Options { connections, timeout_ns: self.access.timeout_ns, linger_ns: 0, offset };
        let scratch;
        let samples_file = match (&self.samples, self.found.counts_tokens) {
            (Some(path), _) => Some(path.clone()),
            (None, true) => None,
            (None, false) => {
                scratch = tempfile::Builder::new().prefix("llmbench-").tempdir().map_err(Failure::usage)?;
                Some(scratch.path().join("samples"))
            }
        };
        let samples_file = samples_file.map(|path| SamplesFile::create(&path)).transpose().map_err(|error| {
            Failure::usage(format!("the file of samples cannot be made: {error}; name another --result-dir"))
        })?;
        let expected = schedule.as_ref().map(Schedule::len).or(self.extent.count);
        let started = now();
        let what = if number > 1 { format!("{point}, run {number}") } else { point.to_string() };
        let (target, key) = (&self.access.target, self.access.key.as_deref());
        let before = accounts::page(target, key);
        let mut run = self.watched(what, expected, |control| {
            run(transport, &self.requests.sessions, load, &options, control, samples_file)
        })?;
        self.count_tokens(&mut run, offset)?;
        let account = before.and_then(|before| accounts::after(&before, &run.records, target, key)).map(Account::from);
        let outcome = self.outcome(&run, number, started, account);
        Ok(Measured { run, outcome })
    }

    /// Sends so many requests that are not measured, with at most as many in flight as the point has users; returns how many sessions
    /// began.
    ///
    /// # Errors
    /// As [`Bench::measure`].
    pub fn warm_up(&self, point: Point, count: usize, offset: usize) -> Result<usize, Failure> {
        if count == 0 {
            return Ok(0);
        }
        let mut protocol = Protocol::post(&self.access.target, self.access.backend, self.access.key.as_deref());
        protocol.single_use = self.found.closes;
        let transport = Sockets::to_server(&self.access.target, protocol, CONNECT_NS).map_err(Failure::usage)?;
        let concurrency = point.connections().min(count);
        let load = self.users(concurrency, Extent::count(count));
        // How many requests share a connection has to be known before they come.
        let connections = if self.access.target.version == HttpVersion::Http2 { concurrency } else { 0 };
        let options = Options { connections, timeout_ns: self.access.timeout_ns, linger_ns: 0, offset };
        self.watched(format!("{point}, warming up"), Some(count), |control| {
            run(transport, &self.requests.sessions, load, &options, control, None)
        })?;
        Ok(count)
    }

    /// A closed loop whose users begin over one response time.
    fn users(&self, concurrency: usize, extent: Extent) -> Load<'static> {
        Load::Closed { concurrency, extent, stagger_ns: stagger_ns(self.found.response_ns, concurrency, extent) }
    }

    /// Shows progress beside a run, and passes the interrupt on to it.
    fn watched(
        &self,
        what: String,
        expected: Option<usize>,
        work: impl FnOnce(&Control) -> Result<Run, DriverError>,
    ) -> Result<Run, Failure> {
        let (control, done) = (Control::default(), AtomicBool::new(false));
        let watch = Watch::new(what, expected);
        std::thread::scope(|scope| {
            let watching = scope.spawn(|| watch.until(&done, &control, &self.interrupt));
            let result = work(&control);
            done.store(true, Ordering::Relaxed);
            // A thread that only draws has nothing to say when it ends.
            let _ = watching.join();
            result
        })
        .map_err(Failure::usage)
    }

    fn schedule(&self, point: Point, number: u32) -> Result<Option<Schedule>, Failure> {
        match point {
            Point::Concurrency { .. } => Ok(None),
            Point::Trace { .. } => {
                let trace = self.trace.clone().ok_or_else(|| Failure::bug("a trace point without a trace"))?;
                trace.cut(self.extent).map(Some).map_err(Failure::usage)
            }
            Point::Rate { rate, .. } => self.arrivals(&Intensity::Constant { rate }, number),
            Point::Ramp { .. } | Point::Steps { .. } => {
                let intensity =
                    self.intensity.as_ref().ok_or_else(|| Failure::bug("a varying rate without its rates"))?;
                self.arrivals(intensity, number)
            }
        }
    }

    fn arrivals(&self, intensity: &Intensity, number: u32) -> Result<Option<Schedule>, Failure> {
        // Each run has arrivals of its own; the same seed gives the same.
        let seed = self.seed.wrapping_add(u64::from(number) << 32);
        Schedule::generate(intensity, self.spacing, self.extent, seed).map(Some).map_err(Failure::usage)
    }

    /// Fills in what the server did not say.
    fn count_tokens(&self, run: &mut Run, offset: usize) -> Result<(), Failure> {
        let prompts = &self.requests.prompt_tokens;
        for record in run.records.iter_mut().filter(|record| record.prompt_tokens == 0 && record.is_ok()) {
            let of = &prompts[(offset + record.session as usize) % prompts.len()];
            record.prompt_tokens = of.get(usize::from(record.turn)).copied().unwrap_or(0);
        }
        let (Some(tokenizer), Some(samples)) = (self.tokenizer, &run.samples) else { return Ok(()) };
        let is_open = |record: &Record| record.is_ok() && record.counted == Counted::Chunks;
        let open: Vec<bool> = run.records.iter().map(is_open).collect();
        if !open.contains(&true) {
            return Ok(());
        }
        let mut counter = Counter { tokenizer, ids: Vec::new(), texts: Vec::new(), counts: Vec::new(), failure: None };
        let read = samples_file::read(samples, |entry| {
            let id = entry.request as usize;
            if open.get(id) == Some(&true) {
                counter.push(id, Raw(&entry.text).decode());
            }
        });
        read.map_err(|error| Failure::usage(format!("the file of samples cannot be read: {error}")))?;
        counter.count();
        if let Some(message) = counter.failure {
            return Err(Failure::usage(format!("the tokens of the answers cannot be counted: {message}")));
        }
        for (id, count) in counter.counts {
            (run.records[id].output_tokens, run.records[id].counted) = (count, Counted::Tokenizer);
        }
        Ok(())
    }

    fn outcome(&self, run: &Run, number: u32, started: String, account: Option<Account>) -> RunOutcome {
        let figures = Figures::of(run, self.slo.as_ref(), &self.percentiles);
        let lateness = verdict::lateness(run);
        let calibrated_error = self.calibration.and_then(|calibration| calibration.error_of_run(run));
        let client_error = verdict::measured_error(run).or(calibrated_error);
        let median = figures.ttft.as_ref().map(Distribution::median);
        let chunks: u64 = run.records.iter().map(|record| u64::from(record.chunks)).sum();
        let mut notes = Vec::new();
        if run.malformed > 0 {
            notes.push(format!("{} events of the streams were not JSON", run.malformed));
        }
        if run.unsent > 0 {
            notes.push(format!("{} sessions of the schedule did not begin", run.unsent));
        }
        if figures.counted == Counted::Chunks && figures.completed > 0 {
            notes.push("output tokens are chunks: the server does not count, and no tokenizer did".to_owned());
        }
        notes.extend(account.iter().flat_map(|account| account.notes.iter().cloned()));
        RunOutcome {
            run: number,
            started,
            verdict: verdict::judge(run, &lateness, median, client_error),
            figures,
            lateness,
            usage: run.usage,
            connections: Connections {
                http_version: self.access.target.version,
                before: run.opening.connect_ns.len(),
                during: run.opened_late.connect_ns.len(),
            },
            cpu_per_chunk_ns: (chunks > 0).then(|| run.usage.cpu_ns as f64 / chunks as f64),
            client_error,
            calibrated_error,
            truth: run.truth.as_ref().map(TruthFigures::of),
            errors: errors(run),
            account,
            notes,
        }
    }
}

/// Counts tokens of texts, many at a time.
struct Counter<'a> {
    tokenizer: &'a Tokenizer,
    ids: Vec<usize>,
    texts: Vec<String>,
    counts: Vec<(usize, u32)>,
    failure: Option<String>,
}

impl Counter<'_> {
    fn push(&mut self, id: usize, text: String) {
        self.ids.push(id);
        self.texts.push(text);
        if self.texts.len() == TEXTS {
            self.count();
        }
    }

    fn count(&mut self) {
        match count_tokens(self.tokenizer, &self.texts) {
            Ok(counts) => {
                let counts = counts.into_iter().map(|count| u32::try_from(count).unwrap_or(u32::MAX));
                self.counts.extend(self.ids.drain(..).zip(counts));
            }
            Err(error) => self.failure = Some(error.to_string()),
        }
        self.ids.clear();
        self.texts.clear();
    }
}

/// Shows how far a run is, and passes the interrupt on to it.
struct Watch {
    bar: ProgressBar,
}

impl Watch {
    fn new(what: String, expected: Option<usize>) -> Self {
        let bar = match expected {
            _ if !is_interactive() => ProgressBar::hidden(),
            Some(requests) => ProgressBar::new(requests as u64),
            None => ProgressBar::no_length(),
        };
        let template = if expected.is_some() {
            "{prefix} {wide_bar:.cyan/dim} {pos}/{len} {msg:.dim}"
        } else {
            "{prefix} {spinner} {pos} {msg:.dim}"
        };
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what);
        Self { bar }
    }

    fn until(&self, done: &AtomicBool, control: &Control, interrupt: &Interrupt) {
        let began = Instant::now();
        while !done.load(Ordering::Relaxed) {
            if interrupt.is_set() && !control.is_stopped() {
                control.stop();
                self.bar.set_message("stopping: waiting for what is in flight (again: end at once)");
            }
            // Rarely: drawing takes a core that the client may share.
            std::thread::sleep(LOOK);
            let progress = control.progress();
            self.bar.set_position(progress.answered + progress.failed);
            if !control.is_stopped() {
                let seconds = began.elapsed().as_secs_f64().max(0.1);
                let rate = |count: u64| significant(count as f64 / seconds, 3);
                let failed = if progress.failed > 0 { format!(", {} failed", progress.failed) } else { String::new() };
                let (requests, tokens) = (rate(progress.answered), rate(progress.tokens));
                self.bar.set_message(format!("{requests} req/s, {tokens} tok/s{failed}"));
            }
        }
        self.bar.finish_and_clear();
    }
}

/// The time, as in `2026-11-24T12:00:00Z`.
pub fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let time = chrono::DateTime::from_timestamp(seconds as i64, 0).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
