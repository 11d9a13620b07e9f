//! What inference servers count on their pages of `/metrics`: one file and one line of [`SERVERS`] a kind of server. The names are the
//! server's; what they mean is the same for all.

pub mod account;
mod llama_cpp;
mod mock;
pub mod page;
mod sglang;
mod vllm;

pub use account::{Account, Seen};
pub use page::Page;

/// The kinds of servers that are known. A page is of the first whose mark is on it: the mock has taken over vLLM's names.
pub static SERVERS: [&Counters; 4] = [&mock::COUNTERS, &vllm::COUNTERS, &sglang::COUNTERS, &llama_cpp::COUNTERS];

/// How a kind of server names what it counts. Counters are named without `_total`, as pages are summed.
#[derive(Debug)]
pub struct Counters {
    /// As a reader knows it.
    pub server: &'static str,
    /// The beginning of its names.
    pub prefix: &'static str,
    /// A name that only its pages have, from the start of the server on.
    pub mark: &'static str,
    /// Time to first token by its own clock.
    pub ttft: Option<Mean>,
    pub queue: Option<Mean>,
    pub prefill: Option<Mean>,
    /// Requests that ended, however they ended; counters with labels appear with their first value.
    pub requests: Option<&'static str>,
    pub prompt_tokens: PromptTokens,
    pub output_tokens: &'static str,
    /// Tokens found in the cache of prefixes, and those that were looked up.
    pub prefix_cache: Option<(&'static str, &'static str)>,
    /// Significant digits of a number on the page, where they are few.
    pub digits: Option<i32>,
    /// Where its clock of the TTFT starts, and what a reader has to know of the parts that are left.
    pub clock: &'static str,
}

/// How the tokens of prompts are counted.
#[derive(Debug, Clone, Copy)]
pub enum PromptTokens {
    /// One counter has all, those from a cache too.
    All(&'static str),
    /// One counter has what was computed; what came from a cache has one of its own, on servers that are new enough.
    Apart { computed: &'static str, cached: &'static str },
}

/// A name on the page, perhaps only the samples with a label.
pub type Name = (&'static str, Option<(&'static str, &'static str)>);

/// A mean: sums (s) over a count; without a count over the requests of the client.
#[derive(Debug, Clone, Copy)]
pub struct Mean {
    pub sums: &'static [Name],
    pub count: Option<Name>,
}

const fn histogram(sums: &'static [Name], count: Name) -> Option<Mean> {
    Some(Mean { sums, count: Some(count) })
}

/// The kind of the server that a page is of: by its mark, else by its prompt tokens, since a counter with labels appears with its
/// first value.
pub fn of(page: &Page) -> Option<&'static Counters> {
    let marked = SERVERS.into_iter().find(|counters| page.samples.iter().any(|sample| sample.name == counters.mark));
    // From the end: without its mark a page is not the mock's.
    marked.or_else(|| SERVERS.into_iter().rev().find(|counters| counters.prompt_tokens.of(page).is_some()))
}

/// The kind of server of this name.
pub fn named(server: &str) -> Option<&'static Counters> {
    SERVERS.into_iter().find(|counters| counters.server == server)
}

/// The share of looked-up prompt tokens that the cache of prefixes had between two pages, by whichever names are on them: servers
/// take over each other's.
pub fn hit_rate(before: &Page, after: &Page) -> Option<f64> {
    let grown = |name: &str| Some(after.sum(name)? - before.sum(name).unwrap_or(0.0));
    let (hits, queries) = SERVERS.iter().find_map(|counters| {
        let (hits, queries) = counters.prefix_cache?;
        Some((grown(hits)?, grown(queries)?))
    })?;
    (queries > 0.0).then(|| hits / queries)
}

impl PromptTokens {
    /// What a page counts of them; None where it has none of the names.
    pub fn of(&self, page: &Page) -> Option<Counted> {
        match *self {
            Self::All(name) => Some(Counted { tokens: page.sum(name)?, with_cached: true }),
            Self::Apart { computed, cached } => {
                let (computed, cached) = (page.sum(computed)?, page.sum(cached));
                Some(Counted { tokens: computed + cached.unwrap_or(0.0), with_cached: cached.is_some() })
            }
        }
    }

    fn names(&self) -> [Option<&'static str>; 2] {
        match *self {
            Self::All(name) => [Some(name), None],
            Self::Apart { computed, cached } => [Some(computed), Some(cached)],
        }
    }
}

/// Prompt tokens on a page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counted {
    pub tokens: f64,
    /// Those from a cache are in it. Where they are not, a client leaves out of its own count what answers say was cached.
    pub with_cached: bool,
}
