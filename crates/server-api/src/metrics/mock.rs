//! The counters of `llmbench mock`: vLLM's, and some of its own.

use super::{Counters, vllm};

pub(super) const COUNTERS: Counters = Counters {
    server: "llmbench mock",
    mark: "mock:steps_total",
    clock: "front end: the mock's own TTFT less its queue and prefill. Its clock starts at the last byte of the request, so unexplained is what \
            the network, the kernel and the client add.",
    ..vllm::COUNTERS
};
