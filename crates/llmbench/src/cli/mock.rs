//! `llmbench mock`: the simulated engine as a server of its own.

mod tokenizer;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use mock_openai::engine::EngineConfig;
use mock_openai::fault::{Fault, Faults};
use mock_openai::front::FrontConfig;
use mock_openai::tokens::Tokenizer;
use mock_openai::{Config, Listen, Server};
use runner::interrupt::Interrupt;
use rustix::process::{Resource, getrlimit, setrlimit};

use super::console;
use pipeline::{Exit, Failure};

/// How often Ctrl-C is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Places, tokens and blocks: from 1 on.
fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "it must be a whole number from 1 on".to_owned())
}

/// `llmbench mock`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  llmbench mock --port 8000\n  llmbench mock --port 0 --step-ms 10 --decode-us 0 --max-num-seqs 1000\n  llmbench mock --unix /tmp/mock.sock --front-ms 4 --front-burn\n  llmbench mock --tokenizer ./qwen3 --front-message-us 11 --front-token-us 1.9\n  llmbench mock --fault reset:3 --fault 503:1 --fault-probability 0.01\n\nThe first line on stdout is the endpoint. A step of the engine takes\n  step-ms + prefill-us x prompt tokens + decode-us x decoding sequences.\nRequests ask for a fault with the header `x-llmbench-fault: KIND[:ARG]`:\n  stall:MS[:K]  stall-server:MS  reset[:K]  truncate[:K]  no-done  empty\n  endless[:MS]  split-line[:MS]  split-utf8[:MS]  tokens-per-chunk:K\n  garbage[:K]  error-event[:K]  no-usage  usage-in-choice  huge[:BYTES]\n  slow-head[:MS]  content-type[:TYPE]  close  401  429[:S]  503[:S]\n  status:N  redirect[:URL]  no-http        (K: after so many chunks)\nWhat happened to a request: GET /llmbench/truth/ID (its x-request-id).\n\nExit codes:\n    0  ended by Ctrl-C or SIGTERM\n    2  wrong arguments, or an address that cannot be had"
)]
pub struct MockArgs {
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub host: IpAddr,

    /// The port; 0: any that is free.
    #[arg(long, value_name = "PORT", default_value_t = 8000)]
    pub port: u16,

    /// Listen on a Unix socket instead.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["host", "port"])]
    pub unix: Option<PathBuf>,

    /// The name of the model; requests for another get 404.
    #[arg(long, value_name = "NAME", default_value = "mock")]
    pub model: String,

    /// What a step takes in any case, ms.
    #[arg(long, value_name = "MS", default_value = "10", value_parser = milliseconds)]
    pub step_ms: Ns,

    /// What each prompt token takes that a step computes, µs.
    #[arg(long, value_name = "US", default_value = "50", value_parser = microseconds)]
    pub prefill_us: Ns,

    /// What each decoding sequence takes in a step, µs.
    #[arg(long, value_name = "US", default_value = "20", value_parser = microseconds)]
    pub decode_us: Ns,

    /// Most tokens that a step computes.
    #[arg(long, value_name = "N", default_value = "2048", value_parser = count)]
    pub max_num_batched_tokens: usize,

    /// Most sequences that run at a time.
    #[arg(long, value_name = "N", default_value = "256", value_parser = count)]
    pub max_num_seqs: usize,

    /// Longest prompt and answer together, tokens.
    #[arg(long, value_name = "N", default_value = "131072", value_parser = count)]
    pub max_model_len: usize,

    /// Blocks of the KV cache.
    #[arg(long, value_name = "N", default_value = "65536", value_parser = count)]
    pub num_kv_blocks: usize,

    /// Tokens a block.
    #[arg(long, value_name = "N", default_value = "16", value_parser = count)]
    pub block_size: usize,

    /// Compute every prompt from its beginning.
    #[arg(long)]
    pub no_prefix_caching: bool,

    /// Compute every prompt in one step.
    #[arg(long)]
    pub no_chunked_prefill: bool,

    /// What the front end takes for a request, ms.
    #[arg(long, value_name = "MS", default_value = "0", value_parser = milliseconds)]
    pub front_ms: Ns,

    /// What the front end takes for a message, which its template writes, µs.
    #[arg(long, value_name = "US", default_value = "0", value_parser = microseconds)]
    pub front_message_us: Ns,

    /// What the front end takes for a token that it makes of text, µs; prompts that come as ids have none.
    #[arg(long, value_name = "US", default_value = "0", value_parser = microseconds)]
    pub front_token_us: Ns,

    /// Template and tokenizer of this model, a folder or a Hugging Face id, make the prompts [default: a token a word].
    #[arg(long, value_name = "MODEL")]
    pub tokenizer: Option<String>,

    /// Workers of the front end.
    #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
    pub front_workers: usize,

    /// Spend the front end's time as CPU time of this machine instead of waiting.
    #[arg(long)]
    pub front_burn: bool,

    /// Tokens of an answer whose request does not say.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub default_max_tokens: u32,

    /// The model ends by itself after so many tokens: N or FIRST-LAST, drawn by the prompt [default: never].
    #[arg(long, value_name = "RANGE", value_parser = range)]
    pub natural_tokens: Option<RangeInclusive<u32>>,

    /// Tokens at the beginning of a chat's answer that are reasoning.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub reasoning_tokens: u32,

    /// Tokens a chunk.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub stream_interval: u32,

    /// Send the reason of the end as an event of its own.
    #[arg(long)]
    pub finish_apart: bool,

    /// Send the head of a stream before its first token.
    #[arg(long)]
    pub early_head: bool,

    /// A fault that happens by chance; repeat it for several.
    #[arg(long, value_name = "KIND[:ARG]", requires = "fault_probability")]
    pub fault: Vec<Fault>,

    /// How likely a request gets a fault, 0 to 1.
    #[arg(long, value_name = "P", requires = "fault", value_parser = probability)]
    pub fault_probability: Option<f64>,

    /// Seed of the faults.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Requests whose truth is kept.
    #[arg(long, value_name = "N", default_value_t = 4096)]
    pub truth: usize,

    /// Threads that read and write sockets.
    #[arg(long, value_name = "N", default_value = "1", value_parser = count)]
    pub io_threads: usize,

    /// The variable that holds the key which requests to /v1 must bear.
    #[arg(long, value_name = "VARIABLE")]
    pub api_key_env: Option<String>,
}

/// Nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ns(pub u64);

fn milliseconds(text: &str) -> Result<Ns, String> {
    duration(text, 1e6)
}

fn microseconds(text: &str) -> Result<Ns, String> {
    duration(text, 1e3)
}

fn duration(text: &str, ns: f64) -> Result<Ns, String> {
    // An hour: longer is a slip of the pen.
    let fits = |value: &f64| (0.0..=3.6e12).contains(&(value * ns));
    let value = text.parse().ok().filter(fits).ok_or_else(|| "it must be a time from 0 to an hour".to_owned())?;
    Ok(Ns((value * ns).round() as u64))
}

fn probability(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|p| (0.0..=1.0).contains(p)).ok_or_else(|| "it must be a number from 0 to 1".to_owned())
}

fn range(text: &str) -> Result<RangeInclusive<u32>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|number| *number > 0);
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err("it must be N or FIRST-LAST, from 1 on".to_owned()),
    }
}

/// Serves until Ctrl-C or SIGTERM.
///
/// # Errors
/// Usage, when the address cannot be had or the settings make no sense.
pub fn mock(args: &MockArgs) -> Result<Exit, Failure> {
    let config = config(args)?;
    let listen = match &args.unix {
        Some(path) => Listen::Unix(path.clone()),
        None => Listen::Tcp(SocketAddr::new(args.host, args.port)),
    };
    let interrupt = Interrupt::install().map_err(Failure::bug)?;
    allow_all_files();
    let server = Server::start(config, &listen).map_err(Failure::usage)?;
    console::print(&format!("{}\n", server.endpoint()))?;
    eprintln!("a simulated engine as `{}`; Ctrl-C ends it", args.model);
    while !interrupt.is_set() {
        if let Some(failure) = server.failure() {
            return Err(Failure::bug(failure));
        }
        std::thread::sleep(LOOK);
    }
    server.stop();
    Ok(Exit::Success)
}

fn config(args: &MockArgs) -> Result<Config, Failure> {
    let api_key = match &args.api_key_env {
        None => None,
        Some(name) => match std::env::var(name) {
            Ok(key) if !key.is_empty() => Some(key),
            _ => {
                return Err(Failure::usage(format!(
                    "the variable {name} of --api-key-env holds no key; set it or leave the option out"
                )));
            }
        },
    };
    Ok(Config {
        model: args.model.clone(),
        engine: EngineConfig {
            step_ns: args.step_ms.0,
            prefill_token_ns: args.prefill_us.0,
            decode_sequence_ns: args.decode_us.0,
            max_batched_tokens: args.max_num_batched_tokens,
            max_sequences: args.max_num_seqs,
            kv_blocks: args.num_kv_blocks,
            block_size: args.block_size,
            prefix_cache: !args.no_prefix_caching,
            chunked_prefill: !args.no_chunked_prefill,
        },
        front: FrontConfig {
            request_ns: args.front_ms.0,
            message_ns: args.front_message_us.0,
            token_ns: args.front_token_us.0,
            workers: args.front_workers,
            burn: args.front_burn,
        },
        tokenizer: match &args.tokenizer {
            Some(model) => tokenizer::of(model)?,
            None => Tokenizer::Words,
        },
        max_model_len: args.max_model_len,
        default_output_tokens: args.default_max_tokens,
        natural_tokens: args.natural_tokens.clone(),
        reasoning_tokens: args.reasoning_tokens,
        tokens_per_chunk: args.stream_interval,
        finish_apart: args.finish_apart,
        early_head: args.early_head,
        faults: Faults {
            kinds: args.fault.clone(),
            probability: args.fault_probability.unwrap_or(0.0),
            seed: args.seed,
        },
        api_key,
        truth: args.truth,
        io_threads: args.io_threads,
        ..Config::default()
    })
}

/// Every client takes a file: as many as this process may have without asking anybody.
fn allow_all_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // It stays as it was where the system refuses.
    let _ = setrlimit(Resource::Nofile, limit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        assert_eq!((milliseconds("0.5"), microseconds("20")), (Ok(Ns(500_000)), Ok(Ns(20_000))));
        assert!(["-1", "x", "nan", "inf", "3600001"].iter().all(|bad| milliseconds(bad).is_err()));
        assert_eq!((range("5"), range("2-7")), (Ok(5..=5), Ok(2..=7)));
        assert!(["0", "7-2", "-3", "", "1-"].iter().all(|bad| range(bad).is_err()));
        assert!(probability("1.01").is_err() && probability("nan").is_err() && count("0").is_err());
    }
}
