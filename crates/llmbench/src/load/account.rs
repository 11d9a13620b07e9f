//! What a server counted of a run beside what the client saw. Where they differ, somebody else uses the server, requests were lost, or one
//! of the two counts wrongly.

use loadgen::serving::accounts::Accounted;
use serde::{Deserialize, Serialize};

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
    /// Prompt tokens of the requests that succeeded, less those from the cache where the server counts so; 0 where they are not known.
    pub prompt_tokens_sent: u64,
    pub prompt_tokens_counted: u64,
    /// How far that number may be from the true one, where the server prints few digits.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub prompt_tokens_within: u64,
    pub output_tokens_received: u64,
    pub output_tokens_counted: u64,
    /// Sentences on what does not agree.
    #[serde(skip)]
    pub notes: Vec<String>,
}

impl From<Accounted> for Account {
    fn from(Accounted { account, seen, .. }: Accounted) -> Self {
        let whole = |counted: f64| counted.round() as u64;
        let mut this = Self {
            counters: account.server.prefix.to_owned(),
            requests_sent: seen.sent,
            requests_completed: seen.ok,
            requests_counted: account.requests.map(whole),
            prompt_tokens_sent: account.told(&seen).unwrap_or(0),
            prompt_tokens_counted: account.prompt_tokens.map_or(0, whole),
            prompt_tokens_within: account.prompt_tokens_within.ceil() as u64,
            output_tokens_received: seen.output_tokens,
            output_tokens_counted: account.output_tokens.map_or(0, whole),
            notes: Vec::new(),
        };
        let requests = (account.requests_agree(&seen) == Some(false)).then(|| this.requests_differ());
        let tokens = (account.prompt_tokens_agree(&seen) == Some(false)).then(|| this.prompt_tokens_differ());
        this.notes = requests.into_iter().chain(tokens).collect();
        this
    }
}

impl Account {
    fn requests_differ(&self) -> String {
        let count = record::format::count;
        let counted = self.requests_counted.unwrap_or(0);
        let why = if counted > self.requests_sent {
            "somebody else uses it, and the figures are of both"
        } else {
            "the run may have reached more than one server behind the address"
        };
        format!(
            "{} requests were sent and {} of them answered, but the server counted {}: {why}",
            count(self.requests_sent),
            count(self.requests_completed),
            count(counted)
        )
    }

    fn prompt_tokens_differ(&self) -> String {
        format!(
            "the prompts had {} tokens by the answers, and {} by the server's counter {}:prompt_tokens_total: cached or repeated tokens \
             may count differently there",
            record::format::count(self.prompt_tokens_sent),
            record::format::count(self.prompt_tokens_counted),
            self.counters,
        )
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use server_api::metrics::{self, Page, Seen};

    /// Of two pages of a kind of server.
    fn account(before: &str, after: &str, seen: Seen) -> Account {
        let page = |text: &str| Page::parse(text.as_bytes());
        let account = metrics::Account::between(&page(before), &page(after), seen.ok).unwrap();
        Account::from(Accounted { account, seen, hit_rate: None })
    }

    fn seen(sent: u64, ok: u64, prompt_tokens: u64) -> Seen {
        Seen { sent, ok, prompt_tokens: Some(prompt_tokens), cached_tokens: 0, output_tokens: 5 }
    }

    fn vllm(requests: u64, prompt_tokens: u64) -> String {
        format!(
            "vllm:request_success_total{{finished_reason=\"stop\"}} 3\n\
             vllm:request_success_total{{finished_reason=\"length\"}} {}\nvllm:prompt_tokens_total{{engine=\"0\"}} {prompt_tokens}.0\n\
             vllm:generation_tokens_total 5\n",
            requests - 3
        )
    }

    #[test]
    fn counters_of_three_servers() {
        // Before the first request vLLM has no line of a labelled counter.
        let none = "vllm:prompt_tokens_total 0\n";
        let first = account(none, &vllm(7, 10), seen(7, 7, 10));
        assert_eq!(
            (first.counters.as_str(), first.requests_counted, first.prompt_tokens_counted, first.output_tokens_counted),
            ("vllm", Some(7), 10, 5)
        );
        assert_eq!(account(none, none, seen(1, 1, 0)).requests_counted, Some(0));
        let page = "llamacpp:prompt_tokens_total 9\nllamacpp:tokens_predicted_total 4\n";
        let llama = account("", page, seen(1, 1, 9));
        assert_eq!(
            (llama.counters.as_str(), llama.requests_counted, llama.output_tokens_counted),
            ("llamacpp", None, 4)
        );
        let page = "sglang:prompt_tokens_total{} 2\nsglang:num_requests_total 1\n";
        assert_eq!(account("", page, seen(1, 1, 2)).requests_counted, Some(1));
    }

    /// A server of six digits is not blamed for those that it does not print.
    #[test]
    fn few_digits_are_no_difference() {
        let of = |sent| account("", "llamacpp:prompt_tokens_total 2.33841e+07\n", seen(10, 10, sent));
        let rounded = of(23_384_150);
        assert!(rounded.notes.is_empty() && rounded.prompt_tokens_within == 100, "{rounded:?}");
        assert_eq!(of(23_384_250).notes.len(), 1);
    }

    #[test]
    fn what_agrees_needs_no_word() {
        let notes = |counted, tokens, seen| account("", &vllm(counted, tokens), seen).notes;
        assert!(notes(10, 70, seen(10, 10, 70)).is_empty());
        // Of two that failed the server counted one, with its tokens.
        assert!(notes(9, 80, seen(10, 8, 70)).is_empty());
        let other = notes(12, 90, seen(10, 10, 70));
        assert!(
            other[0].contains("counted 12: somebody else") && other[1].contains("70 tokens") && other.len() == 2,
            "{other:?}"
        );
        let lost = notes(9, 63, seen(10, 10, 70));
        assert!(
            lost[0].contains("counted 9") && lost[0].contains("more than one server") && lost.len() == 2,
            "{lost:?}"
        );
    }
}
