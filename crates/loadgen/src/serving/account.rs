//! What a server itself counted between two of its `/metrics` pages: requests, prompt tokens, and where the time to the first token
//! went by its own clock.
//!
//! | server | its TTFT begins | source |
//! |---|---|---|
//! | vLLM 0.32 | after HTTP, JSON and the checks of the request, before the template (`arrival_time` in `vllm/renderers/base.py`); it ends where the API server takes up the engine's output (`v1/metrics/stats.py`) | its code, and a live server |
//! | SGLang | where its tokenizer manager takes up the request: after HTTP and JSON, in some versions after the template | its documentation; not run by us |
//! | llama.cpp | it has none: only the time of all prompts (`--metrics`) | a live server |
//! | `llmbench mock` | at the last byte of the request; it ends before the first token is written | ours |

use super::prometheus::Page;

/// A family of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    Mock,
    Vllm,
    SgLang,
    LlamaCpp,
}

impl Server {
    pub fn name(self) -> &'static str {
        match self {
            Self::Mock => "llmbench mock",
            Self::Vllm => "vLLM",
            Self::SgLang => "SGLang",
            Self::LlamaCpp => "llama.cpp",
        }
    }
}

/// A name on the page, perhaps only the samples with a label.
type Name = (&'static str, Option<(&'static str, &'static str)>);

/// A mean: sums (s) over a count; without a count over the requests of the client.
#[derive(Debug, Clone, Copy)]
struct Mean {
    sums: &'static [Name],
    count: Option<Name>,
}

/// How a family names what it counts.
#[derive(Debug)]
struct Dialect {
    server: Server,
    /// A name that only its pages have.
    mark: &'static str,
    ttft: Option<Mean>,
    queue: Option<Mean>,
    prefill: Option<Mean>,
    /// Requests that ended, however they ended.
    requests: Option<&'static str>,
    /// Counters that together are the prompt tokens, cached ones too.
    prompt_tokens: &'static [&'static str],
    /// Significant digits of a number on the page, where they are few.
    digits: Option<i32>,
}

const fn histogram(sums: &'static [Name], count: Name) -> Option<Mean> {
    Some(Mean { sums, count: Some(count) })
}

/// The names that vLLM has and our mock has taken over.
const VLLM: Dialect = Dialect {
    server: Server::Vllm,
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
    prompt_tokens: &["vllm:prompt_tokens"],
    digits: None,
};

/// The first whose mark is on the page.
static DIALECTS: [Dialect; 4] = [
    Dialect { server: Server::Mock, mark: "mock:steps_total", ..VLLM },
    VLLM,
    Dialect {
        server: Server::SgLang,
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
        prompt_tokens: &["sglang:prompt_tokens"],
        digits: None,
    },
    Dialect {
        server: Server::LlamaCpp,
        mark: "llamacpp:prompt_seconds_total",
        ttft: None,
        queue: None,
        prefill: Some(Mean { sums: &[("llamacpp:prompt_seconds_total", None)], count: None }),
        requests: None,
        prompt_tokens: &["llamacpp:prompt_tokens", "llamacpp:prompt_tokens_cached"],
        digits: Some(6),
    },
];

/// What a client knows of the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Requests that were sent.
    pub sent: u64,
    /// Those that were answered well.
    pub ok: u64,
    /// Prompt tokens by the usage in the answers; None where not every answer said so.
    pub prompt_tokens: Option<u64>,
}

/// What a server counted between two pages.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Account {
    pub server: Server,
    /// Requests that ended.
    pub requests: Option<f64>,
    /// Prompt tokens, cached ones too.
    pub prompt_tokens: Option<f64>,
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
        let dialect = dialect(after)?;
        let grown = |name: &'static str| growth(before, after, (name, None));
        let mean = |mean: &Option<Mean>| mean.and_then(|mean| mean.ns(before, after, answered));
        let counters = dialect.prompt_tokens;
        let all = counters.iter().map(|name| grown(name)).sum::<Option<f64>>();
        let account = Self {
            server: dialect.server,
            requests: dialect.requests.and_then(grown),
            prompt_tokens: all.filter(|_| !counters.is_empty()),
            prompt_tokens_within: counters
                .iter()
                .filter_map(|name| Some(resolution(after.sum(name)?, dialect.digits?)))
                .sum(),
            ttft_ns: mean(&dialect.ttft),
            queue_ns: mean(&dialect.queue),
            prefill_ns: mean(&dialect.prefill),
        };
        let fell = [account.requests, account.prompt_tokens].iter().flatten().any(|grown| *grown < 0.0);
        (!fell).then_some(account)
    }

    /// Whether the requests were those of this client and no others: requests, and prompt tokens where all were answered. None where the server
    /// counts neither.
    pub fn agrees(&self, seen: &Seen) -> Option<bool> {
        // A request that failed may or may not have reached the server's counters.
        let requests = self.requests.map(|counted| counted >= seen.ok as f64 && counted <= seen.sent as f64);
        let tokens = self
            .prompt_tokens
            .zip(seen.prompt_tokens)
            .filter(|_| seen.ok == seen.sent)
            .map(|(counted, told)| (counted - told as f64).abs() <= self.prompt_tokens_within);
        match (requests, tokens) {
            (None, None) => None,
            (requests, tokens) => Some(requests.unwrap_or(true) && tokens.unwrap_or(true)),
        }
    }

    /// Whether the server has counted all that it will count of these.
    pub fn has_caught_up(&self, seen: &Seen) -> bool {
        self.requests.is_none_or(|counted| counted >= seen.ok as f64)
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

/// The family of the server that a page is of.
pub fn family(page: &Page) -> Option<Server> {
    dialect(page).map(|dialect| dialect.server)
}

fn dialect(page: &Page) -> Option<&'static Dialect> {
    DIALECTS.iter().find(|dialect| page.samples.iter().any(|sample| sample.name == dialect.mark))
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

    const SEEN: Seen = Seen { sent: 10, ok: 10, prompt_tokens: Some(1000) };

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
        assert_eq!((account.server, account.requests, account.prompt_tokens), (Server::Vllm, Some(10.0), Some(1000.0)));
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
        assert_eq!(account.agrees(&Seen { sent: 12, ok: 10, prompt_tokens: Some(7) }), Some(true));
        assert_eq!(account.agrees(&Seen { sent: 12, ok: 11, prompt_tokens: None }), Some(false));
        assert!(!account.has_caught_up(&Seen { sent: 12, ok: 11, prompt_tokens: None }));
    }

    #[test]
    fn a_server_that_began_anew_has_no_account() {
        assert_eq!(Account::between(&vllm(15.0), &vllm(5.0), 10), None);
        assert_eq!(Account::between(&page(""), &page("other 1\n"), 10), None);
        assert!(Account::between(&page(""), &vllm(10.0), 10).is_some());
    }

    #[test]
    fn the_mock_is_told_from_vllm_by_its_mark() {
        let mut after = vllm(5.0);
        after.samples.extend(page("mock:steps_total 3\n").samples);
        assert_eq!(Account::between(&page(""), &after, 5).unwrap().server, Server::Mock);
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
        assert_eq!((account.server, account.agrees(&SEEN)), (Server::SgLang, Some(true)));
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
        assert_eq!((account.server, account.requests, account.queue_ns), (Server::LlamaCpp, None, None));
        assert!((account.prefill_ns.unwrap() - 10e6).abs() < 10.0, "{account:?}");
        // 100 + 900 tokens, and 100 are one step of what it prints.
        assert_eq!(account.agrees(&SEEN), Some(true));
        assert_eq!(account.agrees(&Seen { prompt_tokens: Some(1090), ..SEEN }), Some(true));
        assert_eq!(account.agrees(&Seen { prompt_tokens: Some(1200), ..SEEN }), Some(false));
        let old = page("llamacpp:prompt_tokens_total 5\nllamacpp:prompt_seconds_total 1\n");
        assert_eq!(Account::between(&page(""), &old, 1).unwrap().agrees(&SEEN), None);
        assert!((resolution(23_384_100.0, 6) - 100.0).abs() < 1e-9 && (resolution(676_490.0, 6) - 1.0).abs() < 1e-9);
    }
}
