//! vLLM's counters. Its `prompt_tokens` have those from the cache in them.

use super::{Counters, PromptTokens, histogram};

pub(super) const COUNTERS: Counters = Counters {
    server: "vLLM",
    prefix: "vllm",
    mark: "vllm:time_to_first_token_seconds_count",
    ttft: histogram(
        &[("vllm:time_to_first_token_seconds_sum", None)],
        ("vllm:time_to_first_token_seconds_count", None),
    ),
    queue: histogram(&[("vllm:request_queue_time_seconds_sum", None)], ("vllm:request_queue_time_seconds_count", None)),
    prefill: histogram(
        &[("vllm:request_prefill_time_seconds_sum", None)],
        ("vllm:request_prefill_time_seconds_count", None),
    ),
    requests: Some("vllm:request_success"),
    prompt_tokens: PromptTokens::All("vllm:prompt_tokens"),
    output_tokens: "vllm:generation_tokens",
    prefix_cache: Some(("vllm:prefix_cache_hits", "vllm:prefix_cache_queries")),
    digits: None,
    // 0.32: `arrival_time` in `vllm/renderers/base.py`; it ends where the API server takes up the engine's output
    // (`v1/metrics/stats.py`). Its code, and a live server.
    clock: "front end: vLLM's own TTFT less its queue and prefill, which is template, tokenizer, and the way to the engine and back. Its clock starts \
            after HTTP and JSON: these, beyond HTTP wait, and the write of the first token are in unexplained.",
};
