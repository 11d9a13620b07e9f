//! A run folder with a plan and its workloads, and the measurement that fills it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use record::folder::RunFolder;
use record::hash;
use record::plan::Plan;
use record::protocol::{Inputs, ModelPaths};
use record::results::{Fact, FactVerdict, RunInfo};
use runner::interrupt::Interrupt;
use runner::{Identity, Job, Options, Stopped};
use workload::WorkloadFiles;

use super::exit::{Exit, Failure};
use super::model::ModelPrompt;
use super::observer::Observer;
use super::options::RunOptions;
use super::provisions::Provisions;
use super::settings::Settings;
use super::workloads;
use suites::{Suite, analysis};

/// When a run began.
pub struct Clock {
    /// Unix seconds.
    pub timestamp: i64,
    since_epoch: Duration,
    started: Instant,
}

impl Clock {
    /// Now.
    ///
    /// # Errors
    /// The clock of the system stands before 1970.
    pub fn start() -> Result<Self, Failure> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).map_err(Failure::bug)?;
        let timestamp = i64::try_from(since_epoch.as_secs()).map_err(Failure::bug)?;
        Ok(Self { timestamp, since_epoch, started: Instant::now() })
    }
}

/// What a new run comes from.
pub struct Origin<'a> {
    pub options: &'a RunOptions,
    /// The command line, in words; it is only shown.
    pub command: Vec<String>,
    pub clock: &'a Clock,
}

/// A run that can be measured.
pub struct Prepared {
    pub folder: RunFolder,
    pub plan: Plan,
    binary_sha256: String,
    /// Its complete runs are kept.
    resumes: bool,
}

impl Prepared {
    /// Makes the run folder with the workloads of the plan, and the link to it. Where that fails the folder is removed.
    ///
    /// # Errors
    /// Usage: the folder cannot be written, or a workload cannot be made. Interrupted.
    pub fn create(
        settings: &Settings,
        provisions: &Provisions,
        plan: Plan,
        origin: &Origin<'_>,
        interrupt: &Interrupt,
        observer: &dyn Observer,
    ) -> Result<Self, Failure> {
        let plan_sha256 = hash::plan_sha256(&plan);
        let binary_sha256 = binary_sha256()?;
        let since_epoch = origin.clock.since_epoch;
        let folder =
            RunFolder::create(&settings.output, &utc(since_epoch, true), &plan.suite, hash::plan8(&plan_sha256))
                .map_err(Failure::usage)?;
        let info = RunInfo {
            schema: record::SCHEMA,
            run_id: folder.run_id(),
            llmbench: env!("CARGO_PKG_VERSION").to_owned(),
            binary_sha256: binary_sha256.clone(),
            started: utc(since_epoch, false),
            command: origin.command.clone(),
            options: serde_json::to_value(origin.options).map_err(Failure::bug)?,
            plan_sha256,
            plan,
            loops: BTreeMap::new(),
            workload_sha256: BTreeMap::new(),
            subjects: BTreeMap::new(),
            machine: provisions.machine.facts.clone(),
            boot_id: provisions.machine.boot_id.clone(),
            stopped: None,
            wall_s: BTreeMap::new(),
            warnings: Vec::new(),
        };
        match fill(&folder, info, settings, &provisions.prompt, origin.clock.started, interrupt, observer) {
            Ok(plan) => Ok(Self { folder, plan, binary_sha256, resumes: false }),
            Err(failure) => {
                folder.discard();
                Err(failure)
            }
        }
    }

    /// A run to go on with. What it was measured with is compared with the plan, this binary and its locks before anything is measured.
    ///
    /// # Errors
    /// This binary cannot be read.
    pub fn reopen(folder: RunFolder, plan: Plan) -> Result<Self, Failure> {
        Ok(Self { folder, plan, binary_sha256: binary_sha256()?, resumes: true })
    }

    /// Measures into the run folder; says why it stopped, or nothing when the disk was full: the complete runs are there then.
    ///
    /// # Errors
    /// Usage: the run cannot be gone on with (another plan, binary or lock), or its folder cannot be read or written.
    pub fn measure(
        &self,
        suite: &dyn Suite,
        model: &ModelPaths,
        interrupt: &Interrupt,
        observer: &dyn Observer,
    ) -> Result<Option<Stopped>, Failure> {
        let dir = self.folder.workload_dir();
        // Those of run.json: a dataset may hold fewer requests than were planned for.
        let specs = self.folder.read_info().map_err(Failure::usage)?.plan.workloads;
        let inputs = |id: &str| {
            let (requests, texts) = workload::paths(&dir, id);
            let spec = specs.iter().find(|spec| spec.id == id);
            Inputs {
                requests,
                texts,
                pool: spec.map_or(1, |spec| spec.pool),
                warmup: spec.map_or(0, |spec| spec.warmup),
            }
        };
        let identity = Identity { binary_sha256: self.binary_sha256.clone(), boot_id: host::boot_id() };
        let job = Job {
            plan: &self.plan,
            folder: &self.folder,
            inputs: &inputs,
            model,
            interrupt,
            options: Options { resume: self.resumes.then_some(identity), ..Options::default() },
        };
        let before = host::snapshot();
        let gpus = host::GpuWatch::start();
        let mut progress = observer.measuring();
        let measured = runner::measure(&job, progress.as_mut(), &mut |measurements| {
            analysis::half_widths(suite, &self.plan, measurements)
        });
        drop(progress);
        let outcome = match measured {
            Ok(outcome) => outcome,
            Err(error) if error.is_no_space() => return Ok(None),
            Err(error) => return Err(Failure::usage(error)),
        };
        self.record_host(&before, gpus)?;
        Ok(Some(outcome.stopped))
    }

    /// What the host did to the runs while they went on, and what its GPUs did.
    fn record_host(&self, before: &host::Snapshot, gpus: Option<host::GpuWatch>) -> Result<(), Failure> {
        let mut info = self.folder.read_info().map_err(Failure::usage)?;
        // A mock is our own child; a server that was named may run here and is then no stranger.
        let named = self.plan.subjects.iter().any(|subject| subject.id == "server");
        let others = if named { host::Others::Server } else { host::Others::Strangers };
        info.warnings.extend(host::snapshot().since(before, others));
        info.machine.extend(gpus.map(host::GpuWatch::stop).unwrap_or_default().into_iter().map(|gpu| Fact {
            key: format!("gpu.{}.use", gpu.index),
            title: format!("GPU {} during the runs", gpu.index),
            value: match gpu.mean_utilization_percent {
                Some(mean) => format!("{}, {mean:.0}% used on average over {} samples", gpu.name, gpu.samples),
                None => format!("{}, utilization unknown", gpu.name),
            },
            verdict: FactVerdict::Info,
            remedy: None,
        }));
        self.folder.write_info(&info).map_err(Failure::usage)
    }
}

/// Makes a new run folder a run: its workloads, its `run.json`, and then the link to it. Returns the plan with the sizes that
/// the workloads really have.
fn fill(
    folder: &RunFolder,
    mut info: RunInfo,
    settings: &Settings,
    prompt: &ModelPrompt,
    started: Instant,
    interrupt: &Interrupt,
    observer: &dyn Observer,
) -> Result<Plan, Failure> {
    let files = workloads::write(&info.plan, settings, prompt, &folder.workload_dir(), observer)?;
    if interrupt.is_set() {
        return Err(Failure::new(
            Exit::Interrupted,
            "interrupted during the set-up; nothing was measured, start again",
        ));
    }
    info.plan = with_real_sizes(info.plan, &files);
    info.workload_sha256 = files.iter().map(|files| (files.spec.id.clone(), files.sha256.clone())).collect();
    info.wall_s.insert("set-up".to_owned(), started.elapsed().as_secs_f64());
    folder.write_info(&info).map_err(Failure::usage)?;
    folder.make_latest().map_err(Failure::usage)?;
    Ok(info.plan)
}

fn with_real_sizes(mut plan: Plan, files: &[WorkloadFiles]) -> Plan {
    for spec in &mut plan.workloads {
        if let Some(files) = files.iter().find(|files| files.spec.id == spec.id) {
            *spec = files.spec.clone();
        }
    }
    plan
}

fn binary_sha256() -> Result<String, Failure> {
    let path = std::env::current_exe().map_err(Failure::bug)?;
    let bytes = std::fs::read(&path).map_err(|error| Failure::bug(format!("{}: {error}", path.display())))?;
    Ok(hash::sha256_hex(&bytes))
}

/// RFC 3339 in UTC; `compact` for the names of folders.
fn utc(since_epoch: Duration, compact: bool) -> String {
    let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(0);
    let time = chrono::DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    time.format(if compact { "%Y%m%dT%H%M%SZ" } else { "%Y-%m-%dT%H:%M:%SZ" }).to_string()
}
