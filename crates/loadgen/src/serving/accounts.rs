//! What a server counted of a run, from its page of counters (`/metrics`) before and after, beside what the client saw.

use std::time::Duration;

use server_api::metrics::{self, Account, Page, Seen};

use super::probe;
use super::record::Record;
use super::target::Target;

/// How long fetching a page may take, ns.
const FETCH_NS: u64 = 5_000_000_000;

/// Servers count a request a moment after its last byte: so often the page is read until it has all, and how long between.
const LOOKS: u32 = 10;
const BETWEEN: Duration = Duration::from_millis(100);

/// The server's counters; None where it has no such page.
pub fn page(target: &Target, key: Option<&str>) -> Option<Page> {
    let fetched = probe::fetch(target, "/metrics", key, FETCH_NS).ok()?;
    (fetched.status == 200).then(|| Page::parse(&fetched.body))
}

/// A run by the server and by the client.
#[derive(Debug, Clone, Copy)]
pub struct Accounted {
    pub account: Account,
    pub seen: Seen,
    /// The share of looked-up prompt tokens that the server's cache of prefixes had.
    pub hit_rate: Option<f64>,
}

/// Reads the page after a run until it has all that the client saw, or for a second. None where the page is gone, is of no server that is
/// known, or the server began anew.
pub fn after(before: &Page, records: &[Record], target: &Target, key: Option<&str>) -> Option<Accounted> {
    let seen = seen(records);
    let mut look = 1;
    loop {
        let after = page(target, key)?;
        let account = Account::between(before, &after, seen.ok)?;
        if account.has_caught_up(&seen) || look == LOOKS {
            return Some(Accounted { account, seen, hit_rate: metrics::hit_rate(before, &after) });
        }
        look += 1;
        std::thread::sleep(BETWEEN);
    }
}

/// What a client saw of its requests.
pub fn seen(records: &[Record]) -> Seen {
    let ok: Vec<&Record> = records.iter().filter(|record| record.is_ok()).collect();
    let told = ok.iter().all(|record| record.prompt_tokens > 0);
    let sum = |of: fn(&Record) -> u32| ok.iter().map(|record| u64::from(of(record))).sum();
    Seen {
        sent: records.iter().filter(|record| record.sent_ns > 0).count() as u64,
        ok: ok.len() as u64,
        prompt_tokens: told.then(|| sum(|record| record.prompt_tokens)),
        cached_tokens: sum(|record| record.cached_tokens),
        output_tokens: sum(|record| record.output_tokens),
    }
}
