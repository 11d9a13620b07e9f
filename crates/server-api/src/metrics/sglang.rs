//! SGLang's counters (`--enable-metrics`), by its documentation; not run by us. Its `prompt_tokens` have those from the cache in them.

use super::{Counters, PromptTokens, histogram};

pub(super) const COUNTERS: Counters = Counters {
    server: "SGLang",
    prefix: "sglang",
    mark: "sglang:num_requests_total",
    ttft: histogram(
        &[("sglang:time_to_first_token_seconds_sum", None)],
        ("sglang:time_to_first_token_seconds_count", None),
    ),
    queue: histogram(&[("sglang:queue_time_seconds_sum", None)], ("sglang:queue_time_seconds_count", None)),
    // A prompt that is computed in chunks has a time for each of them, and one for the last.
    prefill: histogram(
        &[
            ("sglang:per_stage_req_latency_seconds_sum", Some(("stage", "prefill_forward"))),
            ("sglang:per_stage_req_latency_seconds_sum", Some(("stage", "chunked_prefill"))),
        ],
        ("sglang:per_stage_req_latency_seconds_count", Some(("stage", "prefill_forward"))),
    ),
    requests: Some("sglang:num_requests"),
    prompt_tokens: PromptTokens::All("sglang:prompt_tokens"),
    output_tokens: "sglang:generation_tokens",
    prefix_cache: None,
    digits: None,
    // After HTTP and JSON, in some versions after the template.
    clock: "front end: SGLang's own TTFT less its queue and prefill. Its clock starts where its tokenizer manager takes the request up: what comes \
            before, beyond HTTP wait, is in unexplained.",
};
