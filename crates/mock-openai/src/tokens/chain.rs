//! A sequence of token ids, kept as the hashes of its blocks.

use super::mix;

/// A sequence of ids by blocks: the hash of a block stands for all ids up to its end, so that equal hashes are equal prefixes (but
/// for a chance of 2⁻⁶⁴ a pair).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    block_size: usize,
    hashes: Vec<u64>,
    /// Tokens after the last full block.
    open: usize,
    /// Of all ids so far.
    state: u64,
}

impl Chain {
    /// `block_size` is at least 1.
    pub fn new(block_size: usize) -> Self {
        Self { block_size: block_size.max(1), hashes: Vec::new(), open: 0, state: 0 }
    }

    /// The chain of these ids.
    pub fn of(block_size: usize, ids: &[u32]) -> Self {
        let mut chain = Self::new(block_size);
        chain.hashes.reserve(ids.len() / chain.block_size);
        for &id in ids {
            chain.push(id);
        }
        chain
    }

    pub fn push(&mut self, id: u32) {
        // The state before is mixed already; the constant (the golden ratio) keeps id 0 from leaving state 0 as it is.
        self.state = mix(self.state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ u64::from(id));
        self.open += 1;
        if self.open == self.block_size {
            self.hashes.push(self.state);
            self.open = 0;
        }
    }

    /// Ids so far.
    pub fn len(&self) -> usize {
        self.hashes.len() * self.block_size + self.open
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One hash for each full block.
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Stands for the whole sequence.
    pub fn identity(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_prefixes_have_equal_hashes_and_others_have_not() {
        let ids: Vec<u32> = (0..100).collect();
        let whole = Chain::of(16, &ids);
        assert_eq!((whole.len(), whole.hashes().len()), (100, 6));
        assert_eq!(Chain::of(16, &ids[..40]).hashes(), &whole.hashes()[..2]);
        let mut other = ids.clone();
        other[20] = 7;
        let other = Chain::of(16, &other);
        assert_eq!(other.hashes()[0], whole.hashes()[0]);
        assert!((1..6).all(|block| other.hashes()[block] != whole.hashes()[block]));
        let mut grown = Chain::of(16, &ids[..99]);
        assert_ne!(grown.identity(), whole.identity());
        grown.push(99);
        assert_eq!(grown, whole);
        assert_ne!(Chain::of(16, &[0]).identity(), Chain::of(16, &[0, 0]).identity());
    }
}
