//! What a server itself counted between two of its pages: requests, prompt tokens, and where the time to the first token went by
//! its own clock.

use super::{Counters, Mean, Name, Page};

/// What a client knows of the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Requests that were sent.
    pub sent: u64,
    /// Those that were answered well.
    pub ok: u64,
    /// Prompt tokens by the usage in the answers, cached ones too; None where not every answer said so.
    pub prompt_tokens: Option<u64>,
    /// Those of them that came from a cache, as far as answers say so.
    pub cached_tokens: u64,
    /// Output tokens of the requests that were answered well.
    pub output_tokens: u64,
}

/// What a server counted between two pages.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    pub server: &'static Counters,
    /// Requests that ended.
    pub requests: Option<f64>,
    /// Prompt tokens, cached ones too where `with_cached` says so.
    pub prompt_tokens: Option<f64>,
    pub with_cached: bool,
    pub output_tokens: Option<f64>,
    /// How far the printed figure of the prompt tokens may be from the true one.
    pub prompt_tokens_within: f64,
    /// Mean time to first token by its clock, ns.
    pub ttft_ns: Option<f64>,
    /// Mean time in its queue, ns.
    pub queue_ns: Option<f64>,
    /// Mean time from the queue to the first token, ns.
    pub prefill_ns: Option<f64>,
}

impl Account {
    /// Of two pages with `answered` requests of the client between them. None where the server is of no family that is known, or began anew in
    /// between.
    pub fn between(before: &Page, after: &Page, answered: u64) -> Option<Self> {
        let counters = super::of(after)?;
        if super::of(before).is_some_and(|then| then.server != counters.server) {
            return None;
        }
        let grown = |name: &'static str| growth(before, after, (name, None));
        let mean = |mean: &Option<Mean>| mean.and_then(|mean| mean.ns(before, after, answered));
        let tokens = counters.prompt_tokens;
        let now = tokens.of(after);
        let then = tokens.of(before).map_or(0.0, |then| then.tokens);
        let account = Self {
            server: counters,
            // A counter with labels appears with its first value.
            requests: counters.requests.map(|name| grown(name).unwrap_or(-before.sum(name).unwrap_or(0.0))),
            prompt_tokens: now.map(|now| now.tokens - then),
            with_cached: now.is_some_and(|now| now.with_cached),
            output_tokens: grown(counters.output_tokens),
            prompt_tokens_within: counters.within(after),
            ttft_ns: mean(&counters.ttft),
            queue_ns: mean(&counters.queue),
            prefill_ns: mean(&counters.prefill),
        };
        let fell =
            [account.requests, account.prompt_tokens, account.output_tokens].iter().flatten().any(|grown| *grown < 0.0);
        (!fell).then_some(account)
    }

    /// Whether the requests and their prompt tokens were those of this client and no others. None where the server counts neither.
    pub fn agrees(&self, seen: &Seen) -> Option<bool> {
        match (self.requests_agree(seen), self.prompt_tokens_agree(seen)) {
            (None, None) => None,
            (requests, tokens) => Some(requests.unwrap_or(true) && tokens.unwrap_or(true)),
        }
    }

    /// Of requests that failed a server may count some and some not; what it cannot do is count fewer than were answered, or more than
    /// were sent. None where it counts none.
    pub fn requests_agree(&self, seen: &Seen) -> Option<bool> {
        self.requests.map(|counted| counted >= seen.ok as f64 && counted <= seen.sent as f64)
    }

    /// The same of the tokens of their prompts, within the digits that the server prints. None where it, or the client, counts none.
    pub fn prompt_tokens_agree(&self, seen: &Seen) -> Option<bool> {
        let (counted, told) = (self.prompt_tokens?, self.told(seen)? as f64);
        let is_whole = seen.ok == seen.sent;
        let within = self.prompt_tokens_within;
        Some(counted + within >= told && !(is_whole && counted > told + within))
    }

    /// The prompt tokens that a client knows of, by the server's way to count them: less those from a cache where the server leaves
    /// them out.
    pub fn told(&self, seen: &Seen) -> Option<u64> {
        let cached = if self.with_cached { 0 } else { seen.cached_tokens };
        seen.prompt_tokens.map(|tokens| tokens.saturating_sub(cached))
    }

    /// Whether the server has counted all that it will count of these.
    pub fn has_caught_up(&self, seen: &Seen) -> bool {
        let tokens = self.prompt_tokens.zip(self.told(seen));
        self.requests.is_none_or(|counted| counted >= seen.ok as f64)
            && tokens.is_none_or(|(counted, told)| counted + self.prompt_tokens_within >= told as f64)
    }
}

impl Mean {
    /// None where nothing was counted, or a sum is missing that is no label's.
    fn ns(&self, before: &Page, after: &Page, answered: u64) -> Option<f64> {
        let (first, others) = self.sums.split_first()?;
        let count = match self.count {
            Some(name) => growth(before, after, name)?,
            None => answered as f64,
        };
        let rest: f64 = others.iter().filter_map(|name| growth(before, after, *name)).sum();
        let seconds = growth(before, after, *first)? + rest;
        (count > 0.0 && seconds >= 0.0).then(|| seconds / count * 1e9)
    }
}

impl Counters {
    /// How far the printed number of prompt tokens may be from the true one: on two pages together no further than one step of the
    /// larger.
    pub fn within(&self, page: &Page) -> f64 {
        let Some(digits) = self.digits else { return 0.0 };
        let names = self.prompt_tokens.names().into_iter().flatten();
        names.filter_map(|name| Some(resolution(page.sum(name)?, digits))).sum()
    }
}

/// What a name grew by; one that was not there before began at zero.
fn growth(before: &Page, after: &Page, (name, label): Name) -> Option<f64> {
    Some(sum(after, name, label)? - sum(before, name, label).unwrap_or(0.0))
}

fn sum(page: &Page, name: &str, label: Option<(&str, &str)>) -> Option<f64> {
    match label {
        None => page.sum(name),
        Some((label, value)) => {
            let of = page.samples.iter().filter(|sample| sample.name == name && sample.label(label) == Some(value));
            let values: Vec<f64> = of.map(|sample| sample.value).collect();
            (!values.is_empty()).then(|| values.iter().sum())
        }
    }
}

/// The distance of two neighbouring numbers of so many significant digits at `value`.
fn resolution(value: f64, digits: i32) -> f64 {
    if value > 0.0 { 10f64.powi(value.log10().floor() as i32 + 1 - digits) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Page {
        Page::parse(text.as_bytes())
    }

    const SEEN: Seen = Seen { sent: 10, ok: 10, prompt_tokens: Some(1000), cached_tokens: 0, output_tokens: 0 };

    /// vLLM's page after `n` requests of 100 tokens: 30 ms to the first token, 8 of them in the queue, 15 in prefill.
    fn vllm(n: f64) -> Page {
        page(&format!(
            "vllm:request_success_total{{engine=\"0\",finished_reason=\"length\"}} {}\n\
             vllm:request_success_total{{engine=\"0\",finished_reason=\"stop\"}} {}\n\
             vllm:prompt_tokens_total{{engine=\"0\"}} {}\n\
             vllm:time_to_first_token_seconds_count {n}\nvllm:time_to_first_token_seconds_sum {}\n\
             vllm:request_queue_time_seconds_count {n}\nvllm:request_queue_time_seconds_sum {}\n\
             vllm:request_prefill_time_seconds_count {n}\nvllm:request_prefill_time_seconds_sum {}\n",
            n - 1.0,
            1,
            n * 100.0,
            n * 0.03,
            n * 0.008,
            n * 0.015
        ))
    }

    #[test]
    fn what_vllm_counted() {
        let account = Account::between(&vllm(5.0), &vllm(15.0), 10);
        let account = account.unwrap();
        assert_eq!(
            (account.server.server, account.requests, account.prompt_tokens),
            ("vLLM", Some(10.0), Some(1000.0))
        );
        for (found, truth) in [(account.queue_ns, 8e6), (account.prefill_ns, 15e6)] {
            assert!((found.unwrap() - truth).abs() < 1.0, "{account:?}");
        }
        assert_eq!(account.agrees(&SEEN), Some(true));
        assert!(account.has_caught_up(&SEEN));
    }

    #[test]
    fn others_on_the_server_are_noticed() {
        let account = Account::between(&vllm(5.0), &vllm(16.0), 10).unwrap();
        assert_eq!(account.agrees(&SEEN), Some(false));
        // As many requests, but other prompts.
        let account = Account::between(&vllm(5.0), &vllm(15.0), 10).unwrap();
        assert_eq!(account.agrees(&Seen { prompt_tokens: Some(999), ..SEEN }), Some(false));
        assert_eq!(account.agrees(&Seen { prompt_tokens: None, ..SEEN }), Some(true));
        // Of 12 sent, 2 failed: the server may have counted them or not, and tokens tell nothing.
        assert_eq!(account.agrees(&Seen { sent: 12, ok: 10, prompt_tokens: Some(7), ..SEEN }), Some(true));
        assert_eq!(account.agrees(&Seen { sent: 12, ok: 11, prompt_tokens: None, ..SEEN }), Some(false));
        assert!(!account.has_caught_up(&Seen { sent: 12, ok: 11, prompt_tokens: None, ..SEEN }));
    }

    #[test]
    fn a_server_that_began_anew_has_no_account() {
        assert!(Account::between(&vllm(15.0), &vllm(5.0), 10).is_none());
        assert!(Account::between(&page(""), &page("other 1\n"), 10).is_none());
        assert!(Account::between(&page(""), &vllm(10.0), 10).is_some());
    }

    #[test]
    fn the_mock_is_told_from_vllm_by_its_mark() {
        let mut after = vllm(5.0);
        after.samples.extend(page("mock:steps_total 3\n").samples);
        assert_eq!(Account::between(&page(""), &after, 5).unwrap().server.server, "llmbench mock");
    }

    #[test]
    fn what_sglang_counted() {
        let at = |n: f64| {
            page(&format!(
                "sglang:num_requests_total{{model_name=\"m\"}} {n}\nsglang:prompt_tokens_total {}\n\
                 sglang:time_to_first_token_seconds_count {n}\nsglang:time_to_first_token_seconds_sum {}\n\
                 sglang:queue_time_seconds_count{{tp_rank=\"0\"}} {n}\nsglang:queue_time_seconds_sum{{tp_rank=\"0\"}} {}\n\
                 sglang:queue_time_seconds_count{{tp_rank=\"1\"}} {n}\nsglang:queue_time_seconds_sum{{tp_rank=\"1\"}} {}\n\
                 sglang:per_stage_req_latency_seconds_sum{{stage=\"prefill_forward\"}} {}\n\
                 sglang:per_stage_req_latency_seconds_count{{stage=\"prefill_forward\"}} {n}\n\
                 sglang:per_stage_req_latency_seconds_sum{{stage=\"chunked_prefill\"}} {}\n\
                 sglang:per_stage_req_latency_seconds_count{{stage=\"chunked_prefill\"}} {}\n\
                 sglang:per_stage_req_latency_seconds_sum{{stage=\"request_process\"}} 99\n",
                n * 100.0,
                n * 0.05,
                n * 0.01,
                n * 0.01,
                n * 0.02,
                n * 0.004,
                n * 2.0,
            ))
        };
        let account = Account::between(&at(2.0), &at(12.0), 10).unwrap();
        assert_eq!((account.server.server, account.agrees(&SEEN)), ("SGLang", Some(true)));
        for (found, truth) in [(account.ttft_ns, 50e6), (account.queue_ns, 10e6), (account.prefill_ns, 24e6)] {
            assert!((found.unwrap() - truth).abs() < 1.0, "{account:?}");
        }
    }

    #[test]
    fn llama_cpp_prints_six_digits() {
        let at = |uncached: &str, cached: &str, seconds: f64| {
            page(&format!(
                "llamacpp:prompt_tokens_total {uncached}\nllamacpp:prompt_tokens_cached_total {cached}\n\
                 llamacpp:prompt_seconds_total {seconds}\n"
            ))
        };
        let account =
            Account::between(&at("676490", "2.33841e+07", 122.2), &at("676590", "2.3385e+07", 122.3), 10).unwrap();
        assert_eq!((account.server.server, account.requests, account.queue_ns), ("llama.cpp", None, None));
        assert!((account.prefill_ns.unwrap() - 10e6).abs() < 10.0, "{account:?}");
        // 100 + 900 tokens, and 100 are one step of what it prints.
        assert_eq!(account.agrees(&SEEN), Some(true));
        assert_eq!(account.agrees(&Seen { prompt_tokens: Some(1090), ..SEEN }), Some(true));
        assert_eq!(account.agrees(&Seen { prompt_tokens: Some(1200), ..SEEN }), Some(false));
        assert!((resolution(23_384_100.0, 6) - 100.0).abs() < 1e-9 && (resolution(676_490.0, 6) - 1.0).abs() < 1e-9);
    }
    /// The two shapes of its page: before August 2026 it counted what it computed, since then what its cache had as well.
    #[test]
    fn llama_cpp_counts_cached_tokens_apart_or_not_at_all() {
        let old = |computed: u32| {
            page(&format!("llamacpp:prompt_tokens_total {computed}\nllamacpp:prompt_seconds_total 1.5\n"))
        };
        let new = |computed: u32, cached: u32| {
            let cached = format!("llamacpp:prompt_tokens_cached_total {cached}\n");
            let mut all = old(computed);
            all.samples.extend(page(&cached).samples);
            all
        };
        // Ten prompts of 100 tokens, of which 90 were cached.
        let seen = Seen { cached_tokens: 900, ..SEEN };
        let of_old = Account::between(&old(50), &old(150), 10).unwrap();
        assert_eq!(
            (of_old.prompt_tokens, of_old.told(&seen), of_old.agrees(&seen)),
            (Some(100.0), Some(100), Some(true))
        );
        let of_new = Account::between(&new(50, 500), &new(150, 1400), 10).unwrap();
        assert_eq!(
            (of_new.prompt_tokens, of_new.told(&seen), of_new.agrees(&seen)),
            (Some(1000.0), Some(1000), Some(true))
        );
        for account in [of_old, of_new] {
            assert_eq!(account.agrees(&Seen { prompt_tokens: Some(1500), ..seen }), Some(false));
        }
    }
}
