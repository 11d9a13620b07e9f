//! `llmbench run`: set up, measure, say what was found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use host::Machine;
use provision::cache;
use provision::model::Model;
use record::folder::RunFolder;
use record::hash;
use record::plan::{ModelIdentity, Plan};
use record::protocol::Inputs;
use record::results::{Fact, FactVerdict, RunInfo};
use runner::interrupt::Interrupt;
use runner::{Identity, Job, Options, Stopped};
use serde_json::Value;
use workload::WorkloadFiles;

use clap::Parser;

use super::args::{Cli, RunArgs, Verb};
use super::config::RunConfig;
use super::exit::{Exit, Failure};
use super::progress::{MeasureProgress, is_interactive};
use super::{dry_run, files, outcome, setup, subjects};
use suites::settings::PlanContext;
use suites::{Suite, analysis, planning};

/// Runs the verb.
///
/// # Errors
/// A [`Failure`] with the sentence to print and the exit code.
pub fn run(args: &RunArgs) -> Result<Exit, Failure> {
    if args.dry_run {
        let args = &settled(args)?;
        let suite = suites::find(&args.suite).map_err(Failure::usage)?;
        let config = configured(args, suite.as_ref())?;
        let machine = host::probe(&host::Roots::default(), existing(&config.output));
        return dry_run::show(suite.as_ref(), &config, &machine);
    }
    let ended = to_the_end(args, command_line())?;
    let (suite, folder) = (ended.suite.as_ref(), &ended.folder);
    let reported = outcome::report(suite, folder, args);
    match ended.stopped {
        // Report and results may not fit on the disk either; the sentence says what ended the runs.
        None => {
            let exit = match reported {
                Ok(exit) => exit.min(Exit::CellsFailed),
                Err(failure) if failure.exit == Exit::Bug => return Err(failure),
                Err(_) => Exit::CellsFailed,
            };
            Err(Failure::new(exit, outcome::disk_full(folder, &suite.spec().name)))
        }
        Some(Stopped::Interrupted) => {
            reported?;
            eprintln!(
                "interrupted; go on with: llmbench run {} --resume {}",
                suite.spec().name,
                folder.path().display()
            );
            Ok(Exit::Interrupted)
        }
        Some(_) => reported,
    }
}

/// A run that is over.
pub struct Measured {
    pub suite: Box<dyn Suite>,
    pub folder: RunFolder,
    pub stopped: Stopped,
}

/// Sets up and measures, and reports nothing. `command` is what `run.json` tells to have been the command line; `--resume`
/// reads it again.
///
/// # Errors
/// A [`Failure`] with the sentence to print and the exit code.
pub fn measure(args: &RunArgs, command: Vec<String>) -> Result<Measured, Failure> {
    let Ended { suite, folder, stopped } = to_the_end(args, command)?;
    match stopped {
        Some(stopped) => Ok(Measured { suite, folder, stopped }),
        None => Err(Failure::new(Exit::CellsFailed, outcome::disk_full(&folder, &suite.spec().name))),
    }
}

/// A run that is over, or one that a full disk ended.
struct Ended {
    suite: Box<dyn Suite>,
    folder: RunFolder,
    /// None: the disk was full.
    stopped: Option<Stopped>,
}

fn to_the_end(args: &RunArgs, command: Vec<String>) -> Result<Ended, Failure> {
    let args = &settled(args)?;
    let suite = suites::find(&args.suite).map_err(Failure::usage)?;
    let config = configured(args, suite.as_ref())?;
    if let Some(note) = config.server.key_note()? {
        eprintln!("note: {note}");
    }
    let interrupt = Interrupt::install().map_err(Failure::bug)?;
    let machine = host::probe(&host::Roots::default(), existing(&config.output));
    refuse_bad_environment(args, &machine)?;
    let session = Session::set_up(suite.as_ref(), config, machine, args, command, &interrupt)?;
    let stopped = session.measure(args, &interrupt)?;
    let folder = session.folder;
    Ok(Ended { suite, folder, stopped })
}

fn configured(args: &RunArgs, suite: &dyn Suite) -> Result<RunConfig, Failure> {
    let config = RunConfig::layered(args, suite.spec())?;
    if config.experiments.is_empty() {
        return Err(Failure::new(Exit::NothingSelected, "no experiment is selected; `llmbench list` shows them"));
    }
    if config.server.is_named() && !suite.asks_server() {
        return Err(Failure::usage(format!(
            "the suite {} asks no server, so --base-url, --model-name and --api-key-env mean nothing to it; leave them out, or run serving",
            suite.spec().name
        )));
    }
    Ok(config)
}

/// The arguments, or those of the run that is gone on with.
fn settled(args: &RunArgs) -> Result<RunArgs, Failure> {
    match &args.resume {
        Some(run) => resumed(args, run),
        None => Ok(args.clone()),
    }
}

/// A run whose set-up is done.
struct Session<'a> {
    suite: &'a dyn Suite,
    model: Model,
    plan: Plan,
    folder: RunFolder,
    binary_sha256: String,
}

impl<'a> Session<'a> {
    fn set_up(
        suite: &'a dyn Suite,
        config: RunConfig,
        machine: Machine,
        args: &RunArgs,
        command: Vec<String>,
        interrupt: &Interrupt,
    ) -> Result<Self, Failure> {
        let started = Instant::now();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(Failure::bug)?;
        let timestamp = i64::try_from(now.as_secs()).map_err(Failure::bug)?;
        let resumed = args
            .resume
            .as_deref()
            .map(|run| RunFolder::open(run, &config.output).map_err(Failure::usage))
            .transpose()?;
        // The model renders with the time of the run that is resumed.
        let timestamp = match &resumed {
            Some(folder) => folder.read_info().map_err(Failure::usage)?.plan.timestamp,
            None => timestamp,
        };
        let cache = cache::root().map_err(Failure::usage)?;
        let model = setup::model(config.model.as_deref(), &cache)?;
        let prompt = setup::ModelPrompt::load(&model, config.model.as_deref(), timestamp)?;
        let found = if suite.asks_server() {
            subjects::asker(&config)?
        } else {
            subjects::find(&config, &cache, &|| interrupt.is_set())?
        };
        let planned = subjects::planned_subjects(&found);
        let context = PlanContext {
            subjects: planned.workers,
            drivers: planned.drivers,
            variants: planned.variants,
            cores: machine.effective_cores,
            tiktoken: model.paths.tiktoken.is_some(),
            workload: config.workload.clone(),
        };
        let plan = make_plan(
            suite,
            &config,
            &context,
            model.identity.clone(),
            found.into_iter().map(|subject| subject.spec).collect(),
            timestamp,
        )?;
        let plan_sha256 = hash::plan_sha256(&plan);
        let binary_sha256 = binary_sha256()?;
        let (folder, plan) = match resumed {
            Some(folder) => (folder, plan),
            None => {
                let folder = RunFolder::create(&config.output, &utc(now, true), &plan.suite, hash::plan8(&plan_sha256))
                    .map_err(Failure::usage)?;
                let info = RunInfo {
                    schema: record::SCHEMA,
                    run_id: folder.run_id(),
                    llmbench: env!("CARGO_PKG_VERSION").to_owned(),
                    binary_sha256: binary_sha256.clone(),
                    started: utc(now, false),
                    command,
                    plan_sha256,
                    plan,
                    loops: BTreeMap::new(),
                    workload_sha256: BTreeMap::new(),
                    subjects: BTreeMap::new(),
                    machine: machine.facts,
                    boot_id: machine.boot_id,
                    stopped: None,
                    wall_s: BTreeMap::new(),
                    warnings: Vec::new(),
                };
                match fill(&folder, info, &config, &prompt, started, interrupt) {
                    Ok(plan) => (folder, plan),
                    Err(failure) => {
                        folder.discard();
                        return Err(failure);
                    }
                }
            }
        };
        Ok(Self { suite, model, plan, folder, binary_sha256 })
    }

    /// Measures into the run folder; says why it stopped, or nothing when the disk was full: the complete runs are there then.
    fn measure(&self, args: &RunArgs, interrupt: &Interrupt) -> Result<Option<Stopped>, Failure> {
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
            model: &self.model.paths,
            interrupt,
            options: Options { resume: args.resume.is_some().then_some(identity), ..Options::default() },
        };
        let before = host::snapshot();
        let gpus = host::GpuWatch::start();
        let mut progress = MeasureProgress::new();
        let measured = runner::measure(&job, &mut progress, &mut |measurements| {
            analysis::half_widths(self.suite, &self.plan, measurements)
        });
        progress.end();
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
    config: &RunConfig,
    prompt: &setup::ModelPrompt,
    started: Instant,
    interrupt: &Interrupt,
) -> Result<Plan, Failure> {
    let files = setup::workloads(&info.plan, config, prompt, &folder.workload_dir())?;
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

/// The settings of the run that is gone on with, which are on the command line that `run.json` keeps.
fn resumed(args: &RunArgs, run: &Path) -> Result<RunArgs, Failure> {
    let output = args.output.clone().unwrap_or_else(|| PathBuf::from("output"));
    let folder = RunFolder::open(run, &output).map_err(Failure::usage)?;
    let info = folder.read_info().map_err(Failure::usage)?;
    match Cli::try_parse_from(&info.command).map(|cli| cli.verb) {
        Ok(Verb::Run(recorded)) if recorded.suite == args.suite => Ok(RunArgs {
            resume: Some(folder.path().to_path_buf()),
            output: Some(output),
            no_plots: args.no_plots,
            strict_env: args.strict_env,
            dry_run: args.dry_run,
            ..*recorded
        }),
        Ok(Verb::Run(recorded)) => Err(Failure::usage(format!(
            "{} is a run of the suite {}: llmbench run {} --resume …",
            run.display(),
            recorded.suite,
            recorded.suite
        ))),
        _ => Err(Failure::usage(format!(
            "{}: the command in its run.json is not one of this llmbench; start a new run",
            run.display()
        ))),
    }
}

/// The plan of a configuration on these subjects.
///
/// # Errors
/// Usage, or nothing selected when no cell is left.
pub fn make_plan(
    suite: &dyn Suite,
    config: &RunConfig,
    context: &PlanContext,
    model: ModelIdentity,
    subjects: Vec<record::plan::SubjectSpec>,
    timestamp: i64,
) -> Result<Plan, Failure> {
    let mut facts: BTreeMap<String, Value> = BTreeMap::new();
    if let Some(path) = &config.dataset {
        facts.insert("dataset_sha256".to_owned(), Value::from(files::sha256("--dataset", path)?));
    }
    let plan = planning::plan(
        suite,
        planning::Ingredients {
            profile_name: &config.profile_name,
            profile: &config.profile,
            settings: &config.settings,
            context,
            model,
            subjects,
            seed: config.seed,
            timestamp,
            facts,
        },
    )
    .map_err(Failure::usage)?;
    if plan.cells.is_empty() {
        return Err(Failure::new(Exit::NothingSelected, "the settings leave no cell to measure"));
    }
    Ok(plan)
}

/// The environment would make figures wrong, and the user asked not to measure then.
fn refuse_bad_environment(args: &RunArgs, machine: &Machine) -> Result<(), Failure> {
    let bad: Vec<String> = machine
        .bad()
        .iter()
        .map(|fact| {
            format!(
                "{}: {}{}",
                fact.title,
                fact.value,
                fact.remedy.as_deref().map_or(String::new(), |remedy| format!(" ({remedy})"))
            )
        })
        .collect();
    if bad.is_empty() {
        return Ok(());
    }
    if args.strict_env {
        return Err(Failure::new(
            Exit::EnvironmentRefused,
            format!("the environment is not fit for measuring: {}", bad.join("; ")),
        ));
    }
    if is_interactive() {
        for line in bad {
            eprintln!("warning: {line}");
        }
    }
    Ok(())
}

/// The folder itself, or the nearest one above it that is there already.
fn existing(output: &Path) -> &Path {
    output.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."))
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

/// The command line; no option of it takes a secret.
fn command_line() -> Vec<String> {
    std::iter::once("llmbench".to_owned()).chain(std::env::args().skip(1)).collect()
}
