//! `llmbench advise`: what to build for a load and a service level, from what a run measured.

use std::path::{Path, PathBuf};

use clap::Args;
use engines::Tokenizer;
use loadgen::check::check;
use provision::cache;
use record::command;
use record::folder::{self, RunFolder};
use record::measurements::Measurements;
use record::plan::SubjectSpec;
use record::protocol::Inputs;
use record::results::RunInfo;
use runner::interrupt::Interrupt;
use workload::WorkloadSpec;

use super::console;
use super::run::RunArgs;
use crate::terminal::{Step, Terminal};
use advise::question::{BUILT_IN, Gpu, LEAST_REQUESTS, MEASURED};
use advise::verify::{Bench, verify};
use advise::{Advice, Evidence, Question, Size, advise, page};
use pipeline::model::ModelPrompt;
use pipeline::subjects::{self, Workshop};
use pipeline::{Exit, Failure, RunOptions, Settings, input, results, resume};
use report::terminal;

/// Requests that are cycled through; fewer where each is large, as the suite does.
const POOL: u32 = 64;
const LARGE_POOL: u32 = 16;
const LARGE_TOKENS: u32 = 20_000;

/// `llmbench advise`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  llmbench advise --rps 500 --p99-ms 20 --turns 20 --tokens 2000 --cores 8\n  llmbench advise --rps 500 --p99-ms 20 --gpu-step-ms 25 --batch 64\n  llmbench advise --rps 100 --p99-ms 50 --verify\n\nWithout a run to rest on, it measures one first (a few minutes).\n\nExit codes:\n    0  answered, also where nothing meets the level\n    2  wrong arguments, or a run without the times that are needed\n  130  interrupted"
)]
pub struct AdviseArgs {
    /// Requests a second.
    #[arg(long, value_name = "N", value_parser = above_zero)]
    pub rps: f64,

    /// The 99th percentile of the latency must not exceed this, ms.
    #[arg(long, value_name = "MS", value_parser = above_zero)]
    pub p99_ms: f64,

    /// Tokens a request.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub tokens: u32,

    /// Turns a conversation.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub turns: u32,

    /// Cores to be used at most [default: those of this machine].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub cores: Option<u32>,

    /// The run to rest on: a folder, or `latest`.
    #[arg(long, value_name = "RUN")]
    pub from: Option<PathBuf>,

    /// Gaps between arrivals: 1 is Poisson, below 1 is burstier, above 1 more even.
    #[arg(long, value_name = "SHAPE", default_value_t = 1.0, value_parser = above_zero)]
    pub burstiness: f64,

    /// Length of a GPU step in ms, to say how long the GPU idles.
    #[arg(long, value_name = "MS", value_parser = above_zero)]
    pub gpu_step_ms: Option<f64>,

    /// Requests a GPU step.
    #[arg(long, value_name = "N", default_value_t = 64, requires = "gpu_step_ms", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batch: u32,

    /// What an hour of one core costs, USD.
    #[arg(long, value_name = "USD", default_value_t = 0.04, value_parser = not_negative)]
    pub cpu_hour_price: f64,

    /// Run the recommended strategy and the runner-up with real arrivals and compare.
    #[arg(long)]
    pub verify: bool,

    /// Requests of --verify and of the simulation [default: 20000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1000..=10_000_000))]
    pub verify_requests: Option<u32>,

    /// Seed of the arrivals.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub seed: u64,

    /// For programs.
    #[arg(long)]
    pub json: bool,

    /// Where runs are.
    #[arg(long, value_name = "DIR", env = "LLMBENCH_OUTPUT", default_value = "output")]
    pub output: PathBuf,
}

fn above_zero(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err("give a number above 0".to_owned()),
    }
}

fn not_negative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err("give a number from 0 on".to_owned()),
    }
}

/// Answers the question, prints the answer and leaves it in the run folder.
///
/// # Errors
/// Usage, when the run cannot be read or lacks what is needed, or a server cannot be started; those of a run where one is made.
pub fn run_verb(args: &AdviseArgs) -> Result<Exit, Failure> {
    let folder = match existing(args)? {
        Some(folder) => folder,
        None => measure(args)?,
    };
    let suite = suites::find(&folder.read_info().map_err(Failure::usage)?.plan.suite).map_err(Failure::usage)?;
    let (info, found) = results::analyse(suite.as_ref(), &folder)?;
    let measurements = Measurements::read(&folder).map_err(Failure::usage)?;
    let question = question(args, &info);
    let evidence = Evidence { info: &info, measurements: &measurements, records: &found.records };
    let mut advice = advise(&question, &evidence).map_err(Failure::usage)?;
    if args.verify {
        verify_both(&mut advice, &folder, &info)?;
    }
    let command = command(args, &info);
    let written = write(&folder, &info, &advice, &command);
    if args.json {
        let mut text = serde_json::to_string_pretty(&advice).map_err(Failure::bug)?;
        text.push('\n');
        console::print(&text)?;
    } else {
        console::print(&terminal_text(&advice, &command))?;
    }
    let page = written?;
    eprintln!("page: {}", page.display());
    Ok(Exit::Success)
}

/// The run that is named, or the latest if there is one.
fn existing(args: &AdviseArgs) -> Result<Option<RunFolder>, Failure> {
    match &args.from {
        Some(run) => RunFolder::open(run, &args.output).map(Some).map_err(Failure::usage),
        None if args.output.join(folder::LATEST).join(folder::RUN_JSON).is_file() => {
            RunFolder::open(Path::new(folder::LATEST), &args.output).map(Some).map_err(Failure::usage)
        }
        None => Ok(None),
    }
}

/// Makes the run that the answer needs.
fn measure(args: &AdviseArgs) -> Result<RunFolder, Failure> {
    let options = question_of(args, BUILT_IN.to_owned(), 1).measuring(MEASURED);
    let options = RunOptions { output: Some(args.output.clone()), ..options };
    let words = options.command();
    eprintln!("there is no run in {} to rest on; measuring: {}", args.output.display(), command::shell(&words));
    let measured = pipeline::measure(&options, words, &Terminal)?;
    let suite = measured.suite.as_ref();
    if measured.stopped.is_none() {
        let sentence = results::disk_full(&measured.folder, &suite.spec().name);
        return Err(Failure::new(Exit::CellsFailed, sentence));
    }
    let (info, found) = results::analyse(suite, &measured.folder)?;
    results::write(&measured.folder, &info, &found, true)?;
    Ok(measured.folder)
}

fn question(args: &AdviseArgs, info: &RunInfo) -> Question {
    let here = || host::probe(&host::Roots::default(), Path::new(".")).effective_cores as usize;
    let cores = args.cores.map_or_else(here, |cores| cores as usize);
    question_of(args, info.plan.model.name.clone(), cores)
}

fn question_of(args: &AdviseArgs, model: String, cores: usize) -> Question {
    let step_ns = args.gpu_step_ms.map(|ms| (ms * 1e6).round().max(1.0) as u64);
    Question {
        rps: args.rps,
        p99_ns: args.p99_ms * 1e6,
        size: Size { tokens: args.tokens, turns: args.turns },
        model,
        cores,
        burstiness: args.burstiness,
        gpu: step_ns.map(|step_ns| Gpu { step_ns, batch: args.batch as usize }),
        cpu_hour_price: args.cpu_hour_price,
        requests: args.verify_requests.map_or(LEAST_REQUESTS, |requests| requests as usize),
        seed: args.seed,
    }
}

/// The command line that asks the same of the same run again, in words.
fn command(args: &AdviseArgs, info: &RunInfo) -> Vec<String> {
    let mut words = vec!["llmbench".to_owned(), "advise".to_owned()];
    let mut option = |name: &str, value: &dyn std::fmt::Display| words.extend([name.to_owned(), value.to_string()]);
    option("--rps", &args.rps);
    option("--p99-ms", &args.p99_ms);
    option("--tokens", &args.tokens);
    option("--turns", &args.turns);
    if let Some(cores) = &args.cores {
        option("--cores", cores);
    }
    if args.burstiness != 1.0 {
        option("--burstiness", &args.burstiness);
    }
    if let Some(ms) = &args.gpu_step_ms {
        option("--gpu-step-ms", ms);
        option("--batch", &args.batch);
    }
    option("--cpu-hour-price", &args.cpu_hour_price);
    option("--seed", &args.seed);
    option("--from", &info.run_id);
    words
}

fn terminal_text(advice: &Advice, command: &[String]) -> String {
    let width = console::width().unwrap_or(80);
    let result = page::result(advice, &command::shell(command));
    // A section of its own has no number.
    terminal::experiment(&result, &[], width, terminal::Style::of_stdout()).replacen("0 advise", "advise", 1)
}

/// Writes `advise/advise.json` and `advise/advise.html`; returns the page.
fn write(run: &RunFolder, info: &RunInfo, advice: &Advice, command: &[String]) -> Result<PathBuf, Failure> {
    let dir = run.path().join("advise");
    make_dir(&dir)?;
    let mut json = serde_json::to_vec_pretty(advice).map_err(Failure::bug)?;
    json.push(b'\n');
    folder::write_atomic(&dir.join("advise.json"), &json).map_err(Failure::usage)?;
    let page = page::render(advice, info, command).map_err(Failure::usage)?;
    let path = dir.join("advise.html");
    folder::write_atomic(&path, page.as_bytes()).map_err(Failure::usage)?;
    Ok(path)
}

fn make_dir(dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).map_err(|error| {
        Failure::usage(format!("cannot make {}: {error}; check that the run folder may be written", dir.display()))
    })
}

/// Measures the recommended way and the runner-up.
fn verify_both(advice: &mut Advice, folder: &RunFolder, info: &RunInfo) -> Result<(), Failure> {
    let wanted = [advice.verdicts.recommended, advice.verdicts.runner_up];
    let both: Vec<_> = advice.verdicts.judged.iter().filter(|it| wanted.contains(&Some(it.way))).cloned().collect();
    if both.is_empty() {
        return Ok(());
    }
    let sockets = tempfile::Builder::new().prefix("llmbench-").tempdir().map_err(Failure::usage)?;
    let bench = bench(&advice.question, folder, info, sockets.path())?;
    for it in both {
        let seconds = advice.question.requests as f64 / advice.question.rps;
        let step = Step::spinner(&format!("verify {} ({seconds:.0} s)", it.name));
        let verified = verify(&advice.question, &advice.model, &it, &bench);
        if bench.interrupt.is_set() {
            return Err(Failure::new(Exit::Interrupted, "interrupted while verifying; start again"));
        }
        let verified = verified.map_err(Failure::usage)?;
        step.done(verified.reason.as_deref().unwrap_or("measured"));
        advice.verified.push(verified);
    }
    Ok(())
}

/// The run's model, interpreter and requests again.
fn bench(question: &Question, folder: &RunFolder, info: &RunInfo, sockets: &Path) -> Result<Bench, Failure> {
    let settings = recorded_settings(info)?;
    if settings.dataset.is_some() {
        return Err(Failure::usage("the run's requests come from a dataset; --verify needs a run of generated ones"));
    }
    let interrupt = Interrupt::install().map_err(Failure::bug)?;
    let cache = cache::root().map_err(Failure::usage)?;
    let model = pipeline::model::open(settings.model.as_deref(), &cache, &Terminal)?;
    let timestamp = info.plan.timestamp;
    let prompt = ModelPrompt::load(&model, settings.model.as_deref(), timestamp)?;
    let workshop = Workshop { cache: &cache, observer: &Terminal, cancelled: &|| interrupt.is_set() };
    let found = subjects::find(&settings, Some(workshop))?;
    let of_kind = |kind: &str| -> Option<SubjectSpec> {
        let specs = found.iter().map(|found| &found.spec);
        specs.clone().find(|spec| spec.kind == kind && spec.unavailable.is_none()).cloned()
    };
    let native = of_kind("native").ok_or_else(|| Failure::bug("the native worker is gone"))?;
    let spec = workload_spec(&settings, question.size);
    let dir = if info.plan.workloads.contains(&spec) {
        folder.workload_dir()
    } else {
        let dir = folder.path().join("advise").join("workload");
        make_dir(&dir)?;
        let step = Step::spinner("workload");
        workload::build(&spec, settings.seed, &prompt, &dir, &mut |_, _| {}).map_err(Failure::usage)?;
        step.done(&spec.id);
        dir
    };
    let (requests, texts) = workload::paths(&dir, &spec.id);
    let tokenizer = Tokenizer::load(&model.paths.dir.join("tokenizer.json")).map_err(Failure::usage)?;
    let pool = spec.pool as usize;
    let bodies = lines(&requests)?.into_iter().take(pool).map(String::into_bytes).collect();
    let expected =
        lines(&texts)?.iter().take(pool).map(|line| right_answer(&tokenizer, line)).collect::<Result<_, _>>()?;
    Ok(Bench {
        python: of_kind("python"),
        program: native.program.clone(),
        native,
        model: model.paths.clone(),
        timestamp,
        inputs: Inputs { requests, texts, pool: spec.pool, warmup: spec.warmup },
        bodies,
        expected,
        sockets: sockets.to_owned(),
        cores: host::probe(&host::Roots::default(), folder.path()).effective_cores as usize,
        interrupt,
    })
}

/// The settings of the run; folders of an older llmbench keep only the command line.
fn recorded_settings(info: &RunInfo) -> Result<Settings, Failure> {
    let options = resume::recorded(info).or_else(|| RunArgs::options_of(&info.command)).ok_or_else(|| {
        Failure::usage(format!(
            "the command in run.json of {} is not one of this llmbench, so its servers cannot be started; measure again",
            info.run_id
        ))
    })?;
    Settings::of(&options)
}

fn workload_spec(settings: &Settings, size: Size) -> WorkloadSpec {
    let pool = if size.tokens > LARGE_TOKENS { LARGE_POOL } else { POOL };
    let kind = settings.workload.clone();
    let Size { tokens, turns } = size;
    WorkloadSpec { id: format!("{kind}-t{tokens}-n{turns}"), kind, tokens, turns, pool, warmup: pool / 8, bytes: 0 }
}

fn lines(path: &Path) -> Result<Vec<String>, Failure> {
    Ok(input::read_text("the workload", path)?.lines().map(str::to_owned).collect())
}

/// Check of the ids of a prompt, as servers answer them.
fn right_answer(tokenizer: &Tokenizer, line: &str) -> Result<u64, Failure> {
    let prompt: String = serde_json::from_str(line)
        .map_err(|error| Failure::usage(format!("a prompt of the workload is broken ({error}); measure again")))?;
    let ids = tokenizer.ids(&prompt).map_err(Failure::usage)?;
    Ok(check(&ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>()))
}
