//! What a simulated server is like.

use std::ops::RangeInclusive;

use crate::engine::EngineConfig;
use crate::fault::Faults;
use crate::front::FrontConfig;
use crate::tokens::Tokenizer;

/// Everything about a server but its address.
#[derive(Debug, Clone)]
pub struct Config {
    /// The name of the model; requests for another get 404.
    pub model: String,
    pub engine: EngineConfig,
    pub front: FrontConfig,
    pub tokenizer: Tokenizer,
    /// Longest prompt and answer together, tokens. What is longer gets 400.
    pub max_model_len: usize,
    /// Tokens of an answer whose request does not say.
    pub default_output_tokens: u32,
    /// After how many tokens the model ends by itself, drawn evenly from this range by the prompt's ids; a request with `ignore_eos` goes on.
    /// None: it never does.
    pub natural_tokens: Option<RangeInclusive<u32>>,
    /// How many tokens at the beginning of a chat's answer are reasoning; a request may say otherwise (`x-llmbench-reasoning`).
    pub reasoning_tokens: u32,
    /// Tokens a chunk holds.
    pub tokens_per_chunk: u32,
    /// Whether the reason of the end is an event of its own (llama.cpp, transformers) or in the last one with content (vLLM).
    pub finish_apart: bool,
    /// Whether a stream's head is sent when the front end is done with the request (as vLLM does) or with the first token.
    pub early_head: bool,
    /// Faults that happen to requests that ask for none.
    pub faults: Faults,
    /// The key that requests to `/v1` must bear.
    pub api_key: Option<String>,
    /// Requests whose truth is kept, the last ones.
    pub truth: usize,
    /// Threads that read and write sockets. One is right where client and server share few cores.
    pub io_threads: usize,
    /// Largest body of a request, bytes.
    pub largest_body: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model: "mock".into(),
            engine: EngineConfig::default(),
            front: FrontConfig::default(),
            tokenizer: Tokenizer::default(),
            max_model_len: 131_072,
            default_output_tokens: 128,
            natural_tokens: None,
            reasoning_tokens: 0,
            tokens_per_chunk: 1,
            finish_apart: false,
            early_head: false,
            faults: Faults::default(),
            api_key: None,
            truth: 4096,
            io_threads: 1,
            largest_body: 64 << 20,
        }
    }
}
