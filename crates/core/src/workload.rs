//! What the subjects are given to work on.

use serde::{Deserialize, Serialize};

/// A set of requests with one shape.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkloadSpec {
    /// `words-t1000-n1`: kind, tokens, turns.
    pub id: String,
    /// `words` (words that people write), `letters` (random letters, the worst case for caches) or `dataset`.
    pub kind: String,
    /// Tokens of each rendered prompt by the model's own tokenizer, within 1%. 0 for a dataset.
    pub tokens: u32,
    /// Turns of each conversation. 0 for a dataset.
    pub turns: u32,
    /// Requests that are measured.
    pub pool: u32,
    /// Further requests, of disjoint text, for warming up.
    pub warmup: u32,
}
