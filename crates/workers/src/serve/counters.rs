//! What has come and gone since the last reset.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use record::protocol::serve::ServerStats;
use tokio::sync::Notify;

/// What a request is told that came too late.
pub const DRAINING: &str = "draining: this server takes no more requests";

/// Written by the event loop alone; atomic only because tasks must be `Send`.
///
/// `received` = `answered` + `failed` + those of `in_flight` that came after the reset.
#[derive(Debug, Default)]
pub struct Counters {
    received: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    in_flight: AtomicU64,
    draining: AtomicBool,
    idle: Notify,
}

impl Counters {
    /// A request is there. False: it is refused, since the server drains; it then counts as failed.
    pub fn arrive(&self) -> bool {
        self.received.fetch_add(1, Relaxed);
        let let_in = !self.draining.load(Relaxed);
        let counter = if let_in { &self.in_flight } else { &self.failed };
        counter.fetch_add(1, Relaxed);
        let_in
    }

    /// A request that was let in has its answer.
    pub fn leave(&self, ok: bool) {
        let counter = if ok { &self.answered } else { &self.failed };
        counter.fetch_add(1, Relaxed);
        if self.in_flight.fetch_sub(1, Relaxed) == 1 {
            self.idle.notify_one();
        }
    }

    /// Refuses what comes from now on, and returns when nothing is in flight.
    pub async fn drain(&self) {
        self.draining.store(true, Relaxed);
        while self.in_flight.load(Relaxed) > 0 {
            self.idle.notified().await;
        }
    }

    /// From zero, and open again if it was drained.
    pub fn reset(&self) {
        for counter in [&self.received, &self.answered, &self.failed] {
            counter.store(0, Relaxed);
        }
        self.draining.store(false, Relaxed);
    }

    pub fn stats(&self) -> ServerStats {
        ServerStats {
            received: self.received.load(Relaxed),
            answered: self.answered.load(Relaxed),
            failed: self.failed.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            ..ServerStats::default()
        }
    }
}
