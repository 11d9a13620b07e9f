//! llama.cpp's counters (`--metrics`). Its `prompt_tokens_total` counts the tokens that were computed, in all versions;
//! `prompt_tokens_cached_total`, since August 2026 (upstream commit decaf508b), those that its cache had. Together they are the prompts; on an
//! older server what answers say was cached has to be left out of the client's count. It prints six significant digits, and counts
//! no requests and nothing before the prompt.

use super::{Counters, Mean, PromptTokens};

pub(super) const COUNTERS: Counters = Counters {
    server: "llama.cpp",
    prefix: "llamacpp",
    mark: "llamacpp:prompt_seconds_total",
    ttft: None,
    queue: None,
    prefill: Some(Mean { sums: &[("llamacpp:prompt_seconds_total", None)], count: None }),
    requests: None,
    prompt_tokens: PromptTokens::Apart { computed: "llamacpp:prompt_tokens", cached: "llamacpp:prompt_tokens_cached" },
    output_tokens: "llamacpp:tokens_predicted",
    prefix_cache: None,
    digits: Some(6),
    clock: "llama.cpp counts the time of prompts and nothing before it: front end and queue are in unexplained.",
};
