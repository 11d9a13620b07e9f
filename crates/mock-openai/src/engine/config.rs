//! What an engine is like.

/// The settings of an [`Engine`](super::Engine).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// `a`: what a step takes in any case, ns.
    pub step_ns: u64,
    /// `b`: what each prompt token takes that a step computes, ns.
    pub prefill_token_ns: u64,
    /// `c`: what each sequence takes that decodes in a step, ns.
    pub decode_sequence_ns: u64,
    /// Most tokens that a step computes.
    pub max_batched_tokens: usize,
    /// Most sequences that run at a time.
    pub max_sequences: usize,
    /// Blocks of the KV cache.
    pub kv_blocks: usize,
    /// Tokens a block holds.
    pub block_size: usize,
    /// Whether full blocks are found again by prompts that begin with the same tokens.
    pub prefix_cache: bool,
    /// Whether a prompt may be computed over several steps.
    pub chunked_prefill: bool,
}

impl Default for EngineConfig {
    /// A small engine on a fast accelerator: steps of 10 ms, 20,000 prompt tokens a second beyond that, 1 ms more for each 50 sequences.
    fn default() -> Self {
        Self {
            step_ns: 10_000_000,
            prefill_token_ns: 50_000,
            decode_sequence_ns: 20_000,
            max_batched_tokens: 2048,
            max_sequences: 256,
            kv_blocks: 65_536,
            block_size: 16,
            prefix_cache: true,
            chunked_prefill: true,
        }
    }
}

/// Settings with which nothing could ever run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineConfigError {
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    #[error("a KV cache of {0} blocks is too large; the most is {most}", most = EngineConfig::MOST_BLOCKS)]
    Blocks(usize),
}

impl EngineConfig {
    /// Most blocks of the KV cache; each takes 20 bytes of memory.
    pub const MOST_BLOCKS: usize = 1 << 27;

    /// Whether a sequence can ever be computed to its end: its last token is given out and not kept.
    pub fn fits(&self, prompt_tokens: usize, output_tokens: usize) -> bool {
        let kept = prompt_tokens.saturating_add(output_tokens).saturating_sub(1);
        kept.div_ceil(self.block_size) <= self.kv_blocks
    }

    /// # Errors
    /// [`EngineConfigError`].
    pub fn check(&self) -> Result<(), EngineConfigError> {
        let needed = [
            (self.max_batched_tokens, "the token budget of a step"),
            (self.max_sequences, "the number of sequences"),
            (self.kv_blocks, "the number of KV blocks"),
            (self.block_size, "the size of a block"),
        ];
        if let Some((_, name)) = needed.iter().find(|(value, _)| *value == 0) {
            return Err(EngineConfigError::Zero(name));
        }
        if self.kv_blocks > Self::MOST_BLOCKS {
            return Err(EngineConfigError::Blocks(self.kv_blocks));
        }
        Ok(())
    }

    /// What a step takes, ns. At least 1: time must pass.
    pub fn step_duration_ns(&self, prefill_tokens: usize, decoding: usize) -> u64 {
        let prefill = self.prefill_token_ns.saturating_mul(prefill_tokens as u64);
        let decode = self.decode_sequence_ns.saturating_mul(decoding as u64);
        self.step_ns.saturating_add(prefill).saturating_add(decode).max(1)
    }
}
