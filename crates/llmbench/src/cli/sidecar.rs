//! `llmbench sidecar`: template and tokenizer in front of an inference server.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use provision::cache;
use runner::interrupt::Interrupt;

use super::console;
use crate::terminal::{Step, Terminal};
use pipeline::{Exit, Failure};
use sidecar::{Api, BaseUrl, Drained, Endpoint, Pipeline, Settings, Sidecar};

/// How often a signal is looked for.
const LOOK: Duration = Duration::from_millis(20);
/// So that each tokenizer stays in the thread that calls it: the sidecar has its own. Read when an engine is first used.
const ONE_THREAD: [(&str, &str); 2] = [("FASTOKENS_BPE_THREADS", "1"), ("TOKENIZERS_PARALLELISM", "false")];

/// `llmbench sidecar`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  llmbench sidecar --model ./qwen3 --upstream http://localhost:8000\n  llmbench sidecar --model Qwen/Qwen3-8B --upstream unix:/run/vllm.sock \\\n      --listen 0.0.0.0:8080 --workers 4\n  llmbench sidecar --model ./m --upstream http://localhost:30000 \\\n      --upstream-api sglang\n\nClients send chat completions; the server gets token ids. GET /metrics, /health\nand /ready say how it goes. The first line on stdout is where it listens.\n\nExit codes:\n    0  stopped by Ctrl-C or SIGTERM, and every request had its answer\n    2  wrong arguments, or a model or a socket that cannot be used\n  130  stopped, and requests were cut (--drain-timeout, or a second Ctrl-C)"
)]
pub struct SidecarArgs {
    /// The server: http://HOST:PORT or unix:PATH.
    #[arg(long, value_name = "URL")]
    pub upstream: String,

    /// How it takes token ids.
    #[arg(long, value_name = "API", default_value = "completions", value_parser = upstream_api())]
    pub upstream_api: Api,

    /// A folder with tokenizer.json, a Hugging Face id, or nothing for the built-in model.
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,

    /// Where to listen: HOST:PORT or unix:PATH; port 0 is any.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = Endpoint::listen)]
    pub listen: Endpoint,

    /// Tokenizer engine; auto: the fastest that gives the ids of tokenizers.
    #[arg(long, value_name = "ENGINE", default_value = "auto")]
    pub engine: String,

    /// Threads that render and tokenize [default: those of this machine].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub workers: Option<u32>,

    /// Requests that may wait for them; beyond it the answer is 503 [default: 64 a worker].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub queue: Option<u32>,

    /// Threads for sockets [default: one for four workers].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub io_threads: Option<u32>,

    /// Largest request, MiB; beyond it the answer is 413.
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub max_body_mb: u32,

    /// Requests that are being read or wait, MiB of all together; beyond it the answer is 503.
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub max_held_mb: u32,

    /// Longest time for a request's body, s; beyond it the answer is 408.
    #[arg(long, value_name = "S", default_value_t = 30.0, value_parser = seconds)]
    pub read_timeout: f64,

    /// Connections of clients; the next gets 503.
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,

    /// Longest wait for a connection to the server, s.
    #[arg(long, value_name = "S", default_value_t = 5.0, value_parser = seconds)]
    pub connect_timeout: f64,

    /// Longest silence of the server within an answer, s.
    #[arg(long, value_name = "S", default_value_t = 600.0, value_parser = seconds)]
    pub silence_timeout: f64,

    /// How long requests under way may still take after Ctrl-C or SIGTERM, s.
    #[arg(long, value_name = "S", default_value_t = 30.0, value_parser = seconds)]
    pub drain_timeout: f64,
}

/// The names of the APIs that take ids, each with what it is.
fn upstream_api() -> impl TypedValueParser<Value = Api> {
    let values = Api::upstreams().map(|(_, upstream)| PossibleValue::new(upstream.name).help(upstream.about));
    PossibleValuesParser::new(values).try_map(|name| Api::parse_upstream(&name))
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 1e6 => Ok(seconds),
        _ => Err("give seconds, above 0 and at most 1000000".to_owned()),
    }
}

/// Serves until a signal comes.
///
/// # Errors
/// Usage: the model, the engine or the socket cannot be used.
pub fn sidecar(args: &SidecarArgs) -> Result<Exit, Failure> {
    // Read here and not by the parser of the command line, which would repeat a password in its complaint.
    let upstream = BaseUrl::parse(&args.upstream).map_err(|error| Failure::usage(format!("--upstream: {error}")))?;
    one_thread()?;
    let interrupt = Interrupt::install().map_err(Failure::bug)?;
    let cache = cache::root().map_err(Failure::usage)?;
    let model = pipeline::model::open(args.model.as_deref(), &cache, &Terminal)?;
    let step = Step::spinner("tokenizer");
    let engine = Some(args.engine.as_str()).filter(|engine| *engine != "auto");
    let pipeline = Arc::new(Pipeline::load(&model.paths.dir, engine).map_err(Failure::usage)?);
    step.done(pipeline.engine());
    tell(&pipeline);
    let upstream_name = upstream.to_string();
    let settings = settings(args, upstream);
    let (workers, queue) = (settings.workers, settings.queue);
    let running = Sidecar::start(settings, &pipeline).map_err(Failure::usage)?;
    console::print(&format!("{}\n", running.endpoint()))?;
    eprintln!(
        "model {}, upstream {}, {workers} workers, queue {queue}; Ctrl-C ends",
        model.identity.name, upstream_name
    );
    while !interrupt.is_set() {
        thread::sleep(LOOK);
    }
    eprintln!("draining");
    match running.drain(Duration::from_secs_f64(args.drain_timeout)) {
        Drained::Completely => Ok(Exit::Success),
        Drained::Cut(connections) => Err(Failure::new(
            Exit::Interrupted,
            format!("{connections} connections were cut after {} s; see --drain-timeout", args.drain_timeout),
        )),
    }
}

fn settings(args: &SidecarArgs, upstream: BaseUrl) -> Settings {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let workers = args.workers.map_or(cores, |workers| workers as usize);
    let mut settings = Settings::new(upstream, args.upstream_api, workers);
    settings.listen = args.listen.clone();
    if let Some(queue) = args.queue {
        settings.queue = queue as usize;
    }
    if let Some(threads) = args.io_threads {
        settings.io_threads = threads as usize;
    }
    settings.max_body = (args.max_body_mb as usize) << 20;
    settings.max_held = (args.max_held_mb as usize) << 20;
    settings.read_timeout = Duration::from_secs_f64(args.read_timeout);
    settings.max_connections = args.max_connections as usize;
    settings.connect_timeout = Duration::from_secs_f64(args.connect_timeout);
    settings.silence_timeout = Duration::from_secs_f64(args.silence_timeout);
    settings
}

/// Which engine it is, and why not another.
fn tell(pipeline: &Pipeline) {
    let (candidates, texts) = pipeline.candidates();
    for candidate in candidates {
        let engine = candidate.engine;
        match (&candidate.rejected, candidate.bytes_per_s) {
            (Some(reason), _) => eprintln!("note: {engine} is not used: {reason}"),
            (None, Some(speed)) => eprintln!("{engine}: same ids on {texts} texts, {:.0} MB/s", speed / 1e6),
            (None, None) => eprintln!("{engine}: same ids on {texts} texts"),
        }
    }
    eprintln!("tokenizer {}", pipeline.engine());
}

/// Starts this program again with what keeps tokenizers in one thread, unless the user has said otherwise: it must stand in the
/// environment before any thread starts.
fn one_thread() -> Result<(), Failure> {
    use std::os::unix::process::CommandExt;
    let missing: Vec<(&str, &str)> =
        ONE_THREAD.into_iter().filter(|(name, _)| std::env::var_os(name).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let program = std::env::current_exe().map_err(Failure::bug)?;
    let error = std::process::Command::new(program).args(std::env::args_os().skip(1)).envs(missing).exec();
    Err(Failure::bug(format!("cannot start again with the environment of tokenizers: {error}")))
}
