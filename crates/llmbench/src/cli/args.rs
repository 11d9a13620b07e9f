//! What can be said on the command line.

use std::path::PathBuf;

use super::words;
use clap::{Args, Parser, Subcommand};

use loadgen::service_level::Level;
use suites::axes::{AxisValue, parse_list};

/// Measures where the time goes in an LLM system outside the GPU.
#[derive(Debug, Parser)]
#[command(
    name = "llmbench",
    version,
    about = "Finds the bottleneck in an LLM pipeline outside the GPU, with evidence",
    max_term_width = 100,
    after_help = "Examples:\n  llmbench run preprocessing --quick     the whole suite on the built-in model\n  llmbench run preprocessing --exp 1 3   two experiments, in full\n  llmbench doctor                        is this machine fit for measuring?\n  llmbench list                          suites, experiments, engines"
)]
pub struct Cli {
    /// Log more to stderr (-v: info, -vv: debug).
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,

    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Measure a suite of experiments and write a report.
    Run(Box<RunArgs>),
    /// Show suites, experiments and engines, and what is available here.
    List(ListArgs),
    /// Examine the machine, the clocks, the interpreters and the GPU; say what to mend.
    Doctor(DoctorArgs),
    /// List the Python interpreters: GIL or free-threaded, which engines are there, how to get the rest.
    Python(PythonArgs),
    /// Render the report of a run folder again, without measuring.
    Report(ReportArgs),
    /// Say what to build for a load and a service level, from what a run measured.
    Advise(Box<super::advise::AdviseArgs>),
    /// Put load on a server of a model and show what a client sees.
    Load(Box<super::load::LoadArgs>),
    /// Measure how late the client of `load` sees what is sent on this machine.
    Calibrate(super::calibrate::CalibrateArgs),
    /// Rank the engines of a run over the texts on which all of them are right.
    Rank(RankArgs),
    /// Run template and tokenizer in front of an inference server, which gets token ids.
    Sidecar(Box<super::sidecar::SidecarArgs>),
    /// Serve a simulated inference engine whose timing is known, with faults on demand.
    Mock(Box<super::mock::MockArgs>),
    /// Print the completion script of a shell.
    #[command(
        after_help = "Examples:\n  llmbench completions fish > ~/.config/fish/completions/llmbench.fish\n  source <(llmbench completions bash)"
    )]
    Completions { shell: clap_complete::Shell },
    /// The native worker; started by `run`.
    #[command(hide = true)]
    Worker {
        /// `load` drives servers, `serve` is one, `serving` asks servers of models; without it, calls are timed.
        role: Option<String>,
    },
}

/// `llmbench run`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  llmbench run preprocessing --quick\n  llmbench run preprocessing --exp anatomy gpu-wait --gpu-step-ms 25\n  llmbench run preprocessing --model Qwen/Qwen3-0.6B --threads 1,2,4\n  llmbench run preprocessing --dataset sharegpt.json --exp 1 3 4\n  llmbench run preprocessing --quick --dry-run\n  llmbench run preprocessing --resume latest\n  llmbench run serving --quick --base-url http://localhost:8000\n\nExit codes:\n    0  all measured\n    2  wrong arguments, settings or input\n    4  nothing selected\n  100  some cells failed, or the disk was full before all runs were made\n  101  engines that must agree did not\n  103  environment refused (--strict-env)\n  130  interrupted; what was measured is kept, go on with --resume"
)]
pub struct RunArgs {
    #[arg(help = words::suites())]
    pub suite: String,

    /// Few runs in minutes: indicative.
    #[arg(long, conflicts_with = "full")]
    pub quick: bool,

    /// All points, until the intervals are narrow or the time is over (the default).
    #[arg(long)]
    pub full: bool,

    #[arg(long, value_name = "EXP", num_args = 1.., help = words::experiments())]
    pub exp: Vec<String>,

    /// A folder with tokenizer.json, a Hugging Face id, or nothing for the built-in model.
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,

    /// Python interpreter by path or version; repeat it to compare several.
    #[arg(long, value_name = "PYTHON")]
    pub python: Vec<String>,

    /// Use what the interpreter has installed instead of an environment of our own.
    #[arg(long)]
    pub no_env: bool,

    /// Where the run folder goes.
    #[arg(long, value_name = "DIR", env = "LLMBENCH_OUTPUT")]
    pub output: Option<PathBuf>,

    /// Thread counts of the experiments that have threads: 1,2,4 or 1,cores,2*cores.
    #[arg(long, value_name = "LIST", value_parser = list)]
    pub threads: Option<AxisList>,

    /// Tokens a request.
    #[arg(long, value_name = "LIST", value_parser = list)]
    pub tokens: Option<AxisList>,

    /// Turns a conversation.
    #[arg(long, value_name = "LIST", value_parser = list)]
    pub turns: Option<AxisList>,

    /// Requests a batch (gpu-wait).
    #[arg(long, value_name = "LIST", value_parser = list)]
    pub batch: Option<AxisList>,

    /// Extrapolate gpu-wait to this many requests [default: 100000].
    #[arg(long, value_name = "N")]
    pub requests: Option<u64>,

    /// Length of a GPU step in ms, to compute how long the GPU idles (gpu-wait).
    #[arg(long, value_name = "MS")]
    pub gpu_step_ms: Option<f64>,

    /// What an hour of one core costs, USD, for the cost of a million requests (strategies) [default: 0.04].
    #[arg(long, value_name = "USD")]
    pub cpu_hour_price: Option<f64>,

    /// The server that the serving suite asks: http://HOST:PORT or unix:PATH; without it, llmbench's own mock (SIMULATED).
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,

    /// The server's name of the model [default: the first of its list].
    #[arg(long, value_name = "NAME", requires = "base_url")]
    pub model_name: Option<String>,

    /// The environment variable with the server's API key.
    #[arg(long, value_name = "VAR", requires = "base_url")]
    pub api_key_env: Option<String>,

    /// Send the key in plain text to a server on another machine.
    #[arg(long, requires = "api_key_env")]
    pub insecure_key: bool,

    /// Requests at once (latency-wall, prefix-cache, sidecar).
    #[arg(long, value_name = "LIST", value_parser = list)]
    pub concurrency: Option<AxisList>,

    /// Service level that max-rate looks for; repeatable [default: "ttft:p99:500ms tpot:p95:50ms"].
    #[arg(long, value_name = "LEVEL")]
    pub slo: Vec<Level>,

    /// Requests a second that max-rate finds replicas for.
    #[arg(long, value_name = "N")]
    pub demand: Option<f64>,

    /// What an hour of one server costs, USD (max-rate).
    #[arg(long, value_name = "USD")]
    pub replica_hour_price: Option<f64>,

    /// Text of the generated conversations: words that people write, or random letters (worst case for caches).
    #[arg(long, value_name = "KIND", value_parser = ["words", "letters"])]
    pub workload: Option<String>,

    /// Measure on real conversations: ShareGPT JSON, JSONL of OpenAI messages, or plain text.
    #[arg(long, value_name = "FILE", conflicts_with = "workload")]
    pub dataset: Option<PathBuf>,

    /// Leave out requests of the dataset that the model's template refuses.
    #[arg(long, requires = "dataset")]
    pub skip_refused: bool,

    /// Numbers of runs after which the results are looked at; the last is the most that are made.
    #[arg(long, value_name = "LIST", value_parser = list)]
    pub runs: Option<AxisList>,

    /// Seed of texts, orders and offsets [default: 1].
    #[arg(long)]
    pub seed: Option<u64>,

    /// Settings in a TOML file; the command line wins over it.
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,

    /// Show the plan (cells, subjects, runs, expected time) and measure nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// Go on with an interrupted run (a folder, or `latest`).
    #[arg(long, value_name = "RUN")]
    pub resume: Option<PathBuf>,

    /// Refuse to measure where the environment would make figures wrong.
    #[arg(long)]
    pub strict_env: bool,

    /// Draw no figures.
    #[arg(long)]
    pub no_plots: bool,
}

/// `llmbench list`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  llmbench list\n  llmbench list --python 3.12\n  llmbench list --json")]
pub struct ListArgs {
    /// Look at this interpreter too; repeatable.
    #[arg(long, value_name = "PYTHON")]
    pub python: Vec<String>,

    /// For programs.
    #[arg(long)]
    pub json: bool,
}

/// `llmbench doctor`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  llmbench doctor\n  llmbench doctor --json")]
pub struct DoctorArgs {
    /// Look at this interpreter too; repeatable.
    #[arg(long, value_name = "PYTHON")]
    pub python: Vec<String>,

    /// For programs.
    #[arg(long)]
    pub json: bool,
}

/// `llmbench python`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  llmbench python\n  llmbench python --python ./venv --python 3.13t\n  llmbench python --json\n\nExit codes:\n    0  all listed\n    2  an interpreter named with --python is of no use, or the cache cannot be\n       written\n  130  interrupted"
)]
pub struct PythonArgs {
    /// Look at this interpreter too (a path, an environment or a version); repeatable.
    #[arg(long, value_name = "PYTHON")]
    pub python: Vec<String>,

    /// For programs.
    #[arg(long)]
    pub json: bool,
}

/// `llmbench report`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  llmbench report output/latest\n  llmbench report output/latest --no-plots")]
pub struct ReportArgs {
    /// A run folder, or `latest`.
    pub run: PathBuf,

    /// Draw no figures.
    #[arg(long)]
    pub no_plots: bool,
}

/// `llmbench rank`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  llmbench rank\n  llmbench rank latest --subject native\n  llmbench rank latest --baseline tiktoken-rs\n  llmbench rank latest --op template --json"
)]
pub struct RankArgs {
    /// A run folder, or `latest`.
    #[arg(default_value = "latest")]
    pub run: PathBuf,

    /// The experiment whose cells are ranked.
    #[arg(long, value_name = "EXP", default_value = "engines")]
    pub experiment: String,

    /// What the engines do.
    #[arg(long, value_name = "OP", default_value = "tokenize", value_parser = ["tokenize", "template"])]
    pub op: String,

    /// Compare with this engine: ENGINE, ENGINE/CALL_PATH or SUBJECT:ENGINE/CALL_PATH.
    #[arg(long, value_name = "ENGINE")]
    pub baseline: Option<String>,

    /// Rank only what ran in this subject: native, python.
    #[arg(long, value_name = "SUBJECT")]
    pub subject: Option<String>,

    /// For programs.
    #[arg(long)]
    pub json: bool,
}

/// A list of axis values as one argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AxisList(pub Vec<AxisValue>);

fn list(text: &str) -> Result<AxisList, String> {
    parse_list(text).map(AxisList)
}
