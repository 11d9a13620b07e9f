//! The HTTP front end of the simulated server, as a queue: what a request costs there before the engine sees it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What the front end is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontConfig {
    /// What each request takes, ns.
    pub request_ns: u64,
    /// What each prompt token takes, ns.
    pub token_ns: u64,
    /// Workers that each serve one request at a time, in the order of arrival.
    pub workers: usize,
    /// Whether the time is spent as CPU time in threads, so that it takes cores away from others on this host. Otherwise
    /// it only passes.
    pub burn: bool,
}

impl Default for FrontConfig {
    /// A front end that costs nothing beyond what this program itself does.
    fn default() -> Self {
        Self { request_ns: 0, token_ns: 0, workers: 1, burn: false }
    }
}

impl FrontConfig {
    /// The service time of a request, ns.
    pub fn service_ns(&self, prompt_tokens: usize) -> u64 {
        self.request_ns.saturating_add(self.token_ns.saturating_mul(prompt_tokens as u64))
    }
}

/// When a request was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    pub start_ns: u64,
    pub done_ns: u64,
}

/// First come, first served by `workers` servers (the recursion of Kiefer and Wolfowitz).
#[derive(Debug)]
pub struct Front {
    config: FrontConfig,
    /// When each worker is free.
    free: BinaryHeap<Reverse<u64>>,
}

impl Front {
    pub fn new(config: FrontConfig) -> Self {
        let free = (0..config.workers.max(1)).map(|_| Reverse(0)).collect();
        Self { config, free }
    }

    /// Serves the next request. A request that its client gives up is served all the same: the work is done by then.
    pub fn serve(&mut self, received_ns: u64, prompt_tokens: usize) -> Served {
        let free_ns = self.free.pop().map_or(0, |Reverse(ns)| ns);
        let start_ns = free_ns.max(received_ns);
        let done_ns = start_ns.saturating_add(self.config.service_ns(prompt_tokens));
        self.free.push(Reverse(done_ns));
        Served { start_ns, done_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(workers: usize, arrivals: &[(u64, usize)]) -> Vec<(u64, u64)> {
        let mut front = Front::new(FrontConfig { request_ns: 100, token_ns: 2, workers, burn: false });
        let served = arrivals.iter().map(|&(at, tokens)| front.serve(at, tokens));
        served.map(|served| (served.start_ns, served.done_ns)).collect()
    }

    #[test]
    fn requests_wait_for_the_first_free_worker() {
        let arrivals = [(0, 50), (10, 0), (20, 0), (1000, 5)];
        assert_eq!(times(1, &arrivals), [(0, 200), (200, 300), (300, 400), (1000, 1110)]);
        assert_eq!(times(2, &arrivals), [(0, 200), (10, 110), (110, 210), (1000, 1110)]);
        assert_eq!(times(3, &arrivals), [(0, 200), (10, 110), (20, 120), (1000, 1110)]);
    }
}
