//! Random draws whose values are the same on every machine and with every version of the `rand` crates: only
//! `next_u64` of ChaCha8 and integer arithmetic are used.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// A stream of draws of its own for each (seed, label).
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    pub(crate) fn new(seed: u64, label: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"workload-1\0");
        hash.update(seed.to_le_bytes());
        hash.update(label.as_bytes());
        Self(ChaCha8Rng::from_seed(hash.finalize().into()))
    }

    /// Uniform in `0..n`; 0 when `n` is 0. The bias of the multiply-shift (Lemire 2019, without the rejection) is below n/2^64.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }

    /// Uniform in `low..=high`.
    pub(crate) fn range(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of a list that is not empty.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }

    /// Fisher-Yates.
    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.below(i + 1));
        }
    }
}

/// A choice among indices with fixed integer weights.
pub(crate) struct Weighted(Vec<u64>);

impl Weighted {
    pub(crate) fn new(weights: impl IntoIterator<Item = u64>) -> Self {
        let mut sum = 0;
        Self(
            weights
                .into_iter()
                .map(|weight| {
                    sum += weight;
                    sum
                })
                .collect(),
        )
    }

    /// Weights by rank after Zipf and Mandelbrot with exponent 1: 1 / (rank + shift).
    pub(crate) fn zipf_mandelbrot(ranks: usize, shift: u64) -> Self {
        Self::new((0..ranks as u64).map(|rank| 1_000_000_000 / (rank + 1 + shift)))
    }

    pub(crate) fn draw(&self, rng: &mut Stream) -> usize {
        let total = self.0.last().copied().unwrap_or(0);
        let at = rng.below(total as usize) as u64;
        self.0.partition_point(|&sum| sum <= at)
    }
}

/// A rank far down the tail of a Zipf law: each power of two holds the same mass (1/r integrates to that), so an octave is
/// drawn first and then a rank inside it. At most 2^`octaves`.
pub(crate) fn tail_rank(rng: &mut Stream, octaves: usize) -> u64 {
    let octave = rng.below(octaves);
    (1u64 << octave) + rng.below(1usize << octave) as u64
}

/// SplitMix64: a rank to bits that look random, so that a rare word is a function of its rank alone.
pub(crate) fn mix(rank: u64, salt: u64) -> u64 {
    let mut z = rank.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
