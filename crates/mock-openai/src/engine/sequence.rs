//! One sequence of tokens: a prompt and the output that grows after it.

use crate::tokens::{Chain, Reply};

/// Names a sequence: a request can have several (several prompts, several choices).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub request: u64,
    pub choice: u32,
}

/// A sequence as it is submitted.
#[derive(Debug, Clone)]
pub struct NewSequence {
    pub key: Key,
    /// The prompt; at least one token.
    pub prompt: Chain,
    /// What it will answer.
    pub reply: Reply,
    /// Tokens of the answer; at least one.
    pub output_tokens: u32,
}

/// A sequence within the engine.
#[derive(Debug)]
pub(super) struct Sequence {
    pub key: Key,
    /// Prompt and output so far.
    pub chain: Chain,
    reply: Reply,
    output_tokens: u32,
    pub produced: u32,
    /// Tokens whose KV is in `blocks`.
    pub computed: usize,
    pub blocks: Vec<u32>,
    /// Tokens that the step under way computes.
    pub scheduled: usize,
    pub was_admitted: bool,
    pub aborted: bool,
}

impl Sequence {
    pub fn new(new: NewSequence) -> Self {
        Self {
            key: new.key,
            chain: new.prompt,
            reply: new.reply,
            output_tokens: new.output_tokens.max(1),
            produced: 0,
            computed: 0,
            blocks: Vec::new(),
            scheduled: 0,
            was_admitted: false,
            aborted: false,
        }
    }

    /// Tokens whose KV is not there yet.
    pub fn missing(&self) -> usize {
        self.chain.len() - self.computed
    }

    /// Whether the next step only computes the token that the last one gave.
    pub fn is_decoding(&self) -> bool {
        self.produced > 0 && self.missing() == 1
    }

    /// Takes the next token of the answer; true if it is the last.
    pub fn produce(&mut self) -> bool {
        self.chain.push(self.reply.token(self.produced));
        self.produced += 1;
        self.produced == self.output_tokens
    }
}
