//! The HTTP front end of the simulated server, as a queue: what a request costs there before the engine sees it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What the front end is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontConfig {
    /// What each request takes, ns.
    pub request_ns: u64,
    /// What each message takes whose prompt the template writes, ns. Templates take their time by messages and hardly by their length.
    pub message_ns: u64,
    /// What each token takes that is made of text, ns. Prompts that come as ids have none.
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
        Self { request_ns: 0, message_ns: 0, token_ns: 0, workers: 1, burn: false }
    }
}

/// What there is to do for a request: it depends on the form of its prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Messages that the template goes through; 0 for a prompt of text or of ids.
    pub messages: usize,
    /// Tokens that are made of text; 0 for a prompt of ids.
    pub tokens: usize,
}

impl FrontConfig {
    /// The service time of a request, ns.
    pub fn service_ns(&self, work: Work) -> u64 {
        self.request_ns
            .saturating_add(self.message_ns.saturating_mul(work.messages as u64))
            .saturating_add(self.token_ns.saturating_mul(work.tokens as u64))
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
    pub fn serve(&mut self, received_ns: u64, work: Work) -> Served {
        let free_ns = self.free.pop().map_or(0, |Reverse(ns)| ns);
        let start_ns = free_ns.max(received_ns);
        let done_ns = start_ns.saturating_add(self.config.service_ns(work));
        self.free.push(Reverse(done_ns));
        Served { start_ns, done_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(workers: usize, arrivals: &[(u64, usize)]) -> Vec<(u64, u64)> {
        let mut front = Front::new(FrontConfig { request_ns: 100, message_ns: 0, token_ns: 2, workers, burn: false });
        let served = arrivals.iter().map(|&(at, tokens)| front.serve(at, Work { messages: 0, tokens }));
        served.map(|served| (served.start_ns, served.done_ns)).collect()
    }

    #[test]
    fn each_form_has_its_price() {
        let front = FrontConfig { request_ns: 1, message_ns: 100, token_ns: 10, workers: 1, burn: false };
        let of = |messages, tokens| front.service_ns(Work { messages, tokens });
        assert_eq!([of(3, 7), of(0, 7), of(0, 0)], [371, 71, 1], "messages, text, ids");
    }

    #[test]
    fn requests_wait_for_the_first_free_worker() {
        let arrivals = [(0, 50), (10, 0), (20, 0), (1000, 5)];
        assert_eq!(times(1, &arrivals), [(0, 200), (200, 300), (300, 400), (1000, 1110)]);
        assert_eq!(times(2, &arrivals), [(0, 200), (10, 110), (110, 210), (1000, 1110)]);
        assert_eq!(times(3, &arrivals), [(0, 200), (10, 110), (20, 120), (1000, 1110)]);
    }
}
