//! The arguments of `llmbench load`, named as other load generators name theirs where they mean the same.

use std::path::PathBuf;

use clap::Args;
use loadgen::arrivals::Step;
use loadgen::serving::target::HttpVersion;
use serde_json::{Map, Value};
use server_api::Api;

use crate::cli::numbers::{List, list};
use crate::load::varying::{Strategy, steps};

/// `llmbench load`.
#[derive(Debug, Clone, Args)]
#[command(
    // As with other load generators, the last of several wins: scripts append what they change.
    args_override_self = true,
    after_help = "Examples:\n  llmbench load --base-url http://localhost:8000 --request-rate 4\n  llmbench load --base-url http://localhost:8000 --max-concurrency 1..64\n  llmbench load --base-url http://localhost:8000 --request-rate 1..16 \\\n      --goodput ttft:200 tpot:50 --num-runs 5\n  llmbench load --base-url http://localhost:8000 --max-concurrency 8 \\\n      --dataset-name random --random-input-len 1024 --save-result\n  llmbench load --base-url http://localhost:8000 --rate-steps 5:60s,20:30s,5:60s\n\nExit codes:\n    0  measured\n    2  wrong arguments or input, or the server cannot serve the first request\n  100  a point is INVALID, or no request of it succeeded\n  130  interrupted; what was measured is shown"
)]
pub struct LoadArgs {
    /// The server: http://host:port, https://host or unix:/path/of/socket.
    // Read later: clap repeats a value that it refuses, and an address can hold a password.
    #[arg(long, value_name = "URL")]
    pub base_url: String,

    /// Its API: openai-chat, openai (completions), openai-responses, anthropic, sglang, sglang-incremental, llama.cpp.
    #[arg(long, value_name = "NAME", default_value = "openai-chat")]
    pub backend: Api,

    /// Version of HTTP: 1.1, or 2, over which requests share connections.
    #[arg(long, value_name = "VERSION", default_value_t = HttpVersion::Http1)]
    pub http_version: HttpVersion,

    /// The server's name of the model [default: its only one].
    #[arg(long, value_name = "NAME", visible_alias = "served-model-name")]
    pub model_name: Option<String>,

    /// Tokenizer and template: a folder with tokenizer.json, a Hugging Face id, or nothing for the built-in one.
    #[arg(long, value_name = "MODEL", visible_alias = "tokenizer")]
    pub model: Option<String>,

    /// Variable of the environment that holds the API key; without such a variable no key is sent.
    #[arg(long, value_name = "VAR", default_value = "OPENAI_API_KEY")]
    pub api_key_env: String,

    /// Send the key in plain text to a server on another machine.
    #[arg(long)]
    pub insecure_key: bool,

    /// Requests a second, open loop: a number, a list (1,2,4), a sweep (1..64), or inf.
    #[arg(long, value_name = "LIST", value_parser = list)]
    pub request_rate: Option<List>,

    /// Users who wait for their answers, closed loop: a number, a list or a sweep; with a rate: the most requests in flight.
    #[arg(long, value_name = "LIST", value_parser = list)]
    pub max_concurrency: Option<List>,

    /// Change the rate during a run: linear, or exponential (by the same factor in the same time), over --duration, or over the time in
    /// which --num-prompts requests are expected.
    #[arg(long, value_name = "NAME", value_parser = ramp, requires_all = ["ramp_up_start_rps", "ramp_up_end_rps"])]
    pub ramp_up_strategy: Option<Strategy>,

    /// Requests a second at the beginning of a ramp.
    #[arg(long, value_name = "RATE", requires = "ramp_up_strategy", value_parser = not_negative)]
    pub ramp_up_start_rps: Option<f64>,

    /// Requests a second at its end; a ramp can go down as well.
    #[arg(long, value_name = "RATE", requires = "ramp_up_strategy", value_parser = not_negative)]
    pub ramp_up_end_rps: Option<f64>,

    /// One rate after another, each with its duration (ms, s, m, h): 10:30s,20:30s; a rate of 0 is a pause.
    #[arg(long, value_name = "RATE:DURATION,…", value_parser = step_list, conflicts_with_all = ["ramp_up_strategy", "arrivals"])]
    pub rate_steps: Option<StepList>,

    /// Gaps between arrivals: 1 is Poisson, below 1 is burstier, above 1 more even, inf is even.
    #[arg(long, value_name = "SHAPE", default_value_t = 1.0, value_parser = burstiness)]
    pub burstiness: f64,

    /// Arrival times of a file: seconds a line, or JSON lines with a `timestamp` in ms (Mooncake).
    #[arg(long, value_name = "FILE", conflicts_with = "ramp_up_strategy")]
    pub arrivals: Option<PathBuf>,

    /// Play the file of arrivals so many times as fast.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, requires = "arrivals", value_parser = above_zero)]
    pub arrivals_speed: f64,

    /// Requests (or sessions, with --by-turns) a run [default: 200, or as many as --duration, --arrivals or --rate-steps have].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    pub num_prompts: Option<u32>,

    /// End a run after so many seconds of arrivals.
    #[arg(long, value_name = "S", value_parser = above_zero)]
    pub duration: Option<f64>,

    /// Runs of each point; from 5 on there are intervals.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub num_runs: u32,

    /// Requests before each point that are not measured.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub num_warmups: u32,

    /// What is asked: words or letters (generated conversations), random (tokens), prefix-repetition, sharegpt or custom (a file).
    #[arg(long, value_name = "NAME", default_value = "words", value_parser = ["words", "letters", "random", "prefix-repetition", "sharegpt", "custom"])]
    pub dataset_name: String,

    /// ShareGPT JSON, JSONL of OpenAI messages, or plain text.
    #[arg(long, value_name = "FILE")]
    pub dataset_path: Option<PathBuf>,

    /// Tokens of each prompt.
    #[arg(long, value_name = "N", visible_alias = "input-len", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub random_input_len: u32,

    /// Tokens of each answer at most.
    #[arg(long, value_name = "N", visible_aliases = ["output-len", "sharegpt-output-len"], default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub random_output_len: u32,

    /// Lengths of random prompts and answers vary by this share on both sides.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub random_range_ratio: f64,

    /// Tokens that all random prompts begin with, besides their own.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub random_prefix_len: u32,

    /// Tokens of the prefixes of prefix-repetition.
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub prefix_repetition_prefix_len: u32,

    /// Tokens behind them.
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub prefix_repetition_suffix_len: u32,

    /// Number of different prefixes.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub prefix_repetition_num_prefixes: u32,

    /// Turns of generated conversations.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub turns: u32,

    /// Ask conversations turn by turn, each when the one before it was answered.
    #[arg(long)]
    pub by_turns: bool,

    /// How long a user thinks before the next turn, ms.
    #[arg(long, value_name = "MS", default_value_t = 0.0, requires = "by_turns", value_parser = not_negative)]
    pub think_time_ms: f64,

    /// How prompts are handed over: messages, text or ids [default: what the backend takes].
    #[arg(long, value_name = "FORM", value_parser = ["messages", "text", "ids"])]
    pub prompt_form: Option<String>,

    /// Different requests that are generated; then they repeat [default: at most 256, all that are needed for random].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub pool: Option<u32>,

    /// Go on to the output length whatever the model says.
    #[arg(long)]
    pub ignore_eos: bool,

    /// Sampling temperature; a negative number leaves it to the server.
    #[arg(long, value_name = "T", default_value_t = 0.0, allow_negative_numbers = true)]
    pub temperature: f64,

    /// Further members of each request, as JSON.
    #[arg(long, value_name = "JSON", value_parser = object)]
    pub extra_body: Option<Members>,

    /// Ask for whole answers.
    #[arg(long)]
    pub no_stream: bool,

    /// Seconds until a request has failed.
    #[arg(long, value_name = "S", default_value_t = 600.0, value_parser = above_zero)]
    pub timeout: f64,

    /// Count requests that meet all these: ttft:MS tpot:MS e2el:MS.
    #[arg(long, value_name = "BOUND", num_args = 1..)]
    pub goodput: Vec<String>,

    /// Metrics of the export: ttft, ttfo, tpot, itl, e2el.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "ttft,tpot,itl,e2el", value_parser = ["ttft", "ttfo", "tpot", "itl", "e2el"])]
    pub percentile_metrics: Vec<String>,

    /// Percentiles.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "90,99", value_parser = percentile)]
    pub metric_percentiles: Vec<f64>,

    /// Write a JSON file a run, with the keys of `vllm bench serve`.
    #[arg(long)]
    pub save_result: bool,

    /// The same with lists of every request.
    #[arg(long)]
    pub save_detailed: bool,

    /// Where these files go.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub result_dir: PathBuf,

    /// Name of the file; several points or runs add their numbers.
    #[arg(long, value_name = "NAME")]
    pub result_filename: Option<String>,

    /// A label in these files.
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,

    /// Further members of these files.
    #[arg(long, value_name = "KEY=VALUE", num_args = 1.., value_parser = pair)]
    pub metadata: Vec<(String, String)>,

    /// Seed of texts and arrivals.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub seed: u64,

    /// For programs.
    #[arg(long)]
    pub json: bool,
}

/// Rates with their durations.
#[derive(Debug, Clone, PartialEq)]
pub struct StepList(pub Vec<Step>);

/// Members of a JSON object.
#[derive(Debug, Clone, PartialEq)]
pub struct Members(pub Map<String, Value>);

fn step_list(text: &str) -> Result<StepList, String> {
    steps(text).map(StepList)
}

fn ramp(text: &str) -> Result<Strategy, String> {
    match text {
        "linear" => Ok(Strategy::Linear),
        "exponential" => Ok(Strategy::Exponential),
        _ => Err("give linear or exponential".to_owned()),
    }
}

fn object(text: &str) -> Result<Members, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Ok(Members(members)),
        Ok(_) => Err("it must be a JSON object, for instance {\"top_k\": 1}".to_owned()),
        Err(error) => Err(format!("it is no JSON ({error}); write for instance {{\"top_k\": 1}}")),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn finite(text: &str, is_good: impl Fn(f64) -> bool, help: &str) -> Result<f64, String> {
    text.parse::<f64>().ok().filter(|value| value.is_finite() && is_good(*value)).ok_or_else(|| help.to_owned())
}

fn above_zero(text: &str) -> Result<f64, String> {
    finite(text, |value| value > 0.0, "give a number above 0")
}

fn not_negative(text: &str) -> Result<f64, String> {
    finite(text, |value| value >= 0.0, "give a number from 0 on")
}

fn share(text: &str) -> Result<f64, String> {
    finite(text, |value| (0.0..1.0).contains(&value), "give a share from 0 to below 1")
}

fn percentile(text: &str) -> Result<f64, String> {
    finite(text, |value| value > 0.0 && value <= 100.0, "give percentiles above 0 and up to 100, for instance 50,90,99")
}

fn burstiness(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 => Ok(value),
        _ => Err("give a number above 0, or inf".to_owned()),
    }
}
