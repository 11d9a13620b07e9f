//! Tokens of a server that has no model: how text becomes ids, what identifies a prefix, and what is answered.

mod chain;
mod reply;
mod tokenizer;

pub use chain::Chain;
pub use reply::{Reply, ReplyIds, WORD_BYTES};
pub use tokenizer::{PromptText, TokenizeFn, Tokenizer};

/// Mixes 64 bits so that each depends on all (the finalizer of SplitMix64, Steele, Lea and Flood 2014).
pub(crate) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
