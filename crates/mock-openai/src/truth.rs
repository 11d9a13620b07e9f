//! What really happened to each request.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer was written to its end.
    Complete,
    /// The client went away.
    Aborted,
    /// A fault ended it.
    Cut,
    /// It was answered with an error.
    Refused,
}

/// One answer (choice) of a request. Times that the engine tells are those of its schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoiceTruth {
    pub prompt_tokens: u32,
    /// Tokens of the prompt that were found in the prefix cache.
    pub cached_tokens: u32,
    pub output_tokens: u32,
    /// When it was ready and began to wait for the engine.
    pub queued_ns: Option<u64>,
    /// The beginning of the step that computed its first prompt tokens: queueing ends and prefill begins.
    pub admitted_ns: Option<u64>,
    /// The end of the step that computed its last prompt token and gave its first token: prefill ends.
    pub first_token_ns: Option<u64>,
    /// The end of the step that gave its last token.
    pub last_token_ns: Option<u64>,
    pub preemptions: u32,
}

/// The truth of one request. All times are CLOCK_MONOTONIC, ns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// `x-request-id`, or the one that was made.
    pub id: String,
    /// The path.
    pub endpoint: String,
    pub stream: bool,
    /// Right after the read that brought the last byte of the request.
    pub received_ns: u64,
    /// When the front end took it up.
    pub front_start_ns: Option<u64>,
    /// When the front end was done with it.
    pub front_done_ns: Option<u64>,
    pub choices: Vec<ChoiceTruth>,
    /// For each event with content (for a whole answer: the one), the time immediately before the write that took its first byte. It is
    /// the stamp that the event carries.
    pub written_ns: Vec<u64>,
    /// Events that found the socket full and were written when the client had read.
    pub blocked: u32,
    /// The most that an event was written after the end of the step that gave it: this server's own lateness, faults included, ns.
    pub late_ns: u64,
    /// When the answer was written to its end, or given up.
    pub finished_ns: u64,
    /// The fault that was asked for or drawn.
    pub fault: Option<String>,
    pub outcome: Outcome,
}

/// The truths of the last requests.
#[derive(Debug)]
pub struct Truths {
    most: usize,
    kept: Mutex<VecDeque<Arc<Truth>>>,
    another: Condvar,
}

impl Truths {
    pub fn new(most: usize) -> Self {
        Self { most, kept: Mutex::new(VecDeque::new()), another: Condvar::new() }
    }

    /// Keeps a truth, and forgets the oldest if there are too many.
    pub fn keep(&self, truth: Truth) {
        if self.most > 0 {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == self.most {
                kept.pop_front();
            }
            kept.push_back(Arc::new(truth));
            self.another.notify_all();
        }
    }

    /// All that are kept, in the order of their ends.
    pub fn all(&self) -> Vec<Arc<Truth>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The last request of this id.
    pub fn find(&self, id: &str) -> Option<Arc<Truth>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().find(|truth| truth.id == id).cloned()
    }

    /// The last request of this id, if it ends within so long.
    pub fn wait_for(&self, id: &str, patience: Duration) -> Option<Arc<Truth>> {
        let start = Instant::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(truth) = kept.iter().rev().find(|truth| truth.id == id) {
                return Some(Arc::clone(truth));
            }
            let left = patience.checked_sub(start.elapsed())?;
            kept = self.another.wait_timeout(kept, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether anything is kept at all.
    pub fn is_kept(&self) -> bool {
        self.most > 0
    }
}
