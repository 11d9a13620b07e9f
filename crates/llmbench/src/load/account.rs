//! What a server counted of a run, from its page of counters (`/metrics`) before and after: requests and tokens that were sent must be
//! those that it counted. Where they are not, somebody else uses the server, requests were lost, or one of the two counts wrongly.

use std::time::Duration;

use loadgen::serving::Run;
use loadgen::serving::probe;
use serde::{Deserialize, Serialize};
use server_api::metrics::{self, Counted, Counters, Page};

use super::server::Access;

/// How long fetching a page may take, ns.
const FETCH_NS: u64 = 5_000_000_000;

/// Servers count a request a moment after its last byte: so often the page is read until it has all, and how long between.
const LOOKS: u32 = 10;
const BETWEEN: Duration = Duration::from_millis(100);

/// Counts of one page.
#[derive(Clone, Copy)]
pub struct Counts {
    counters: &'static Counters,
    /// 0 until the first request ended, where the server counts requests: counters with labels appear with their first value.
    requests: Option<f64>,
    prompt_tokens: Counted,
    /// How far the printed prompt tokens may be from the true ones.
    prompt_within: f64,
    output_tokens: f64,
}

impl Counts {
    /// Of the server's page; None where it has none, or none with known counters.
    pub fn fetch(access: &Access) -> Option<Self> {
        let timeout_ns = FETCH_NS.min(access.timeout_ns);
        let page = probe::fetch(&access.target, "/metrics", access.key.as_deref(), timeout_ns).ok()?;
        (page.status == 200).then(|| Self::of(&Page::parse(&page.body))).flatten()
    }

    fn of(page: &Page) -> Option<Self> {
        let counters = metrics::of(page)?;
        Some(Self {
            counters,
            prompt_tokens: counters.prompt_tokens.of(page)?,
            prompt_within: counters.within(page),
            output_tokens: page.sum(counters.output_tokens).unwrap_or(0.0),
            requests: counters.requests.map(|name| page.sum(name).unwrap_or(0.0)),
        })
    }
}

/// A run by the client and by the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Whose names the counters have: `vllm`, `sglang`, `llamacpp`.
    pub counters: String,
    pub requests_sent: u64,
    /// Those that the client saw succeed.
    pub requests_completed: u64,
    /// Those that the server counted, whatever their end; None where it counts none.
    pub requests_counted: Option<u64>,
    /// Prompt tokens of the requests that succeeded; less those from the cache where the server counts so.
    pub prompt_tokens_sent: u64,
    pub prompt_tokens_counted: u64,
    /// How far that number may be from the true one, where the server prints few digits.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub prompt_tokens_within: u64,
    pub output_tokens_received: u64,
    pub output_tokens_counted: u64,
}

impl Account {
    /// Reads the page until it has what the run says, or for a second. None where the page is gone, or the server began anew.
    pub fn after(run: &Run, before: Counts, access: &Access) -> Option<Self> {
        let mut account = None;
        for look in 0..LOOKS {
            if look > 0 {
                std::thread::sleep(BETWEEN);
            }
            let found = Self::between(run, before, Counts::fetch(access)?)?;
            let is_whole = found.notes().is_empty();
            account = Some(found);
            if is_whole {
                break;
            }
        }
        account
    }

    fn between(run: &Run, before: Counts, after: Counts) -> Option<Self> {
        let counters = before.counters;
        if after.counters.server != counters.server {
            return None;
        }
        let more = |after: f64, before: f64| (after >= before).then(|| (after - before).round() as u64);
        let requests_counted = match (after.requests, before.requests) {
            (Some(after), Some(before)) => Some(more(after, before)?),
            _ => None,
        };
        let mut account = Self {
            counters: counters.prefix.to_owned(),
            requests_sent: 0,
            requests_completed: 0,
            requests_counted,
            prompt_tokens_sent: 0,
            prompt_tokens_counted: more(after.prompt_tokens.tokens, before.prompt_tokens.tokens)?,
            prompt_tokens_within: after.prompt_within.ceil() as u64,
            output_tokens_received: 0,
            output_tokens_counted: more(after.output_tokens, before.output_tokens)?,
        };
        for record in &run.records {
            account.requests_sent += u64::from(record.sent_ns > 0);
            if record.is_ok() {
                let cached = if after.prompt_tokens.with_cached { 0 } else { record.cached_tokens };
                account.requests_completed += 1;
                account.prompt_tokens_sent += u64::from(record.prompt_tokens.saturating_sub(cached));
                account.output_tokens_received += u64::from(record.output_tokens);
            }
        }
        Some(account)
    }

    /// Sentences on what does not agree. Of requests that failed a server may count some and some not, and their tokens too; what it cannot
    /// do is count fewer than were answered, or more than were sent.
    pub fn notes(&self) -> Vec<String> {
        let count = record::format::count;
        let mut notes = Vec::new();
        if let Some(counted) = self.requests_counted
            && !(self.requests_completed..=self.requests_sent).contains(&counted)
        {
            let why = if counted > self.requests_sent {
                "somebody else uses it, and the figures are of both"
            } else {
                "the run may have reached more than one server behind the address"
            };
            notes.push(format!(
                "{} requests were sent and {} of them answered, but the server counted {}: {why}",
                count(self.requests_sent),
                count(self.requests_completed),
                count(counted)
            ));
        }
        let is_whole = self.requests_completed == self.requests_sent;
        let (sent, counted, within) = (self.prompt_tokens_sent, self.prompt_tokens_counted, self.prompt_tokens_within);
        if counted + within < sent || (is_whole && counted > sent + within) {
            notes.push(format!(
                "the prompts had {} tokens by the answers, and {} by the server's counter {}_tokens_total: cached or repeated tokens \
                 may count differently there",
                count(sent),
                count(counted),
                format_args!("{}:prompt", self.counters),
            ));
        }
        notes
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(page: &str) -> Counts {
        Counts::of(&Page::parse(page.as_bytes())).unwrap()
    }

    fn account(sent: u64, completed: u64, counted: u64, tokens: (u64, u64)) -> Account {
        Account {
            counters: "vllm".to_owned(),
            requests_sent: sent,
            requests_completed: completed,
            requests_counted: Some(counted),
            prompt_tokens_sent: tokens.0,
            prompt_tokens_counted: tokens.1,
            prompt_tokens_within: 0,
            output_tokens_received: 0,
            output_tokens_counted: 0,
        }
    }

    #[test]
    fn counters_of_three_servers() {
        let vllm = counts(
            "vllm:request_success_total{finished_reason=\"stop\"} 3\nvllm:request_success_total{finished_reason=\"length\"} 4\n\
             vllm:prompt_tokens_total{engine=\"0\"} 10.0\nvllm:generation_tokens_total 5\n",
        );
        assert_eq!(
            (vllm.counters.prefix, vllm.requests, vllm.prompt_tokens.tokens, vllm.output_tokens),
            ("vllm", Some(7.0), 10.0, 5.0)
        );
        let llama = counts("llamacpp:prompt_tokens_total 9\nllamacpp:tokens_predicted_total 4\n");
        assert_eq!((llama.counters.prefix, llama.requests, llama.output_tokens), ("llamacpp", None, 4.0));
        // Before the first request vLLM has no line of a labelled counter.
        assert_eq!(counts("vllm:prompt_tokens_total 0\n").requests, Some(0.0));
        assert_eq!(counts("sglang:prompt_tokens_total{} 2\nsglang:num_requests_total 1\n").requests, Some(1.0));
        assert!(Counts::of(&Page::parse(b"process_cpu_seconds_total 1\n")).is_none());
    }

    /// A server of six digits is not blamed for those that it does not print.
    #[test]
    fn few_digits_are_no_difference() {
        let rounded = Account { prompt_tokens_within: 100, ..account(10, 10, 10, (70_050, 70_000)) };
        assert!(rounded.notes().is_empty());
        assert_eq!(Account { prompt_tokens_within: 10, ..rounded }.notes().len(), 1);
        let counts = counts("llamacpp:prompt_tokens_total 2.33841e+07\n");
        assert!((counts.prompt_within - 100.0).abs() < 1e-9 && !counts.prompt_tokens.with_cached);
    }

    #[test]
    fn what_agrees_needs_no_word() {
        assert!(account(10, 10, 10, (70, 70)).notes().is_empty());
        // Of two that failed the server counted one, with its tokens.
        assert!(account(10, 8, 9, (70, 80)).notes().is_empty());
        let other = account(10, 10, 12, (70, 90)).notes();
        assert!(
            other[0].contains("counted 12: somebody else") && other[1].contains("70 tokens") && other.len() == 2,
            "{other:?}"
        );
        let lost = account(10, 10, 9, (70, 63)).notes();
        assert!(
            lost[0].contains("counted 9") && lost[0].contains("more than one server") && lost.len() == 2,
            "{lost:?}"
        );
    }
}
