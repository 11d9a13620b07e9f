//! The `bpe` crate: linear-time BPE by backtracking, fed with the tokens of `tokenizer.json`.
//!
//! The crate merges and does nothing else. What stands before it here is what its own tokenizers have: added tokens by
//! Aho-Corasick, words by a linear-time regular expression ([`Splitter`]). Its tables are built from the tokens at loading;
//! the crates that ship with a vocabulary load tables that were built before, which is faster.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use bpe::byte_pair_encoding::BytePairEncoding;

use super::added::{AddedTokens, Segment};
use super::byte_level::ByteLevelBpe;
use super::loaded::{Loaded, unfit};
use super::split::Splitter;
use crate::engine::{Engine, EngineError};
use crate::tokenize::Tokenize;

const ENGINE: &str = "bpe";

struct Backtracking(Arc<Tables>);

struct Tables {
    bpe: BytePairEncoding,
    /// Id of each token of the dictionary, where it is not its place in it.
    ids: Option<Vec<u32>>,
    added: AddedTokens,
    splitter: Splitter,
}

impl Loaded for Backtracking {
    fn call_path(&self, name: &str) -> Option<Box<Tokenize>> {
        (name == "encode_via_backtracking").then(|| Box::new(Encode(Arc::clone(&self.0))) as Box<Tokenize>)
    }
}

pub fn load(path: &Path) -> Result<Box<dyn Loaded>, EngineError> {
    let ByteLevelBpe { tokens, splits, nfc, added } = ByteLevelBpe::read(ENGINE, path)?;
    let splitter = Splitter::new(&splits).map_err(|reason| unfit(ENGINE, path, reason))?;
    let added = AddedTokens::new(&added, nfc).map_err(|error| unfit(ENGINE, path, error))?;
    let (tokens, ids): (Vec<Vec<u8>>, Vec<u32>) = tokens.into_iter().unzip();
    let dense = ids.iter().zip(0..).all(|(id, place)| *id == place);
    let factor = hash_factor(&tokens);
    // The crate checks by assertions that every token is what its own bytes encode to.
    let bpe = catch_unwind(AssertUnwindSafe(|| BytePairEncoding::from_dictionary(tokens, Some(factor))))
        .map_err(|_| unfit(ENGINE, path, "some token cannot be reached by merges of lower ids"))?;
    Ok(Box::new(Backtracking(Arc::new(Tables { bpe, ids: (!dense).then_some(ids), added, splitter }))))
}

/// A factor for the crate's hash function under which all tokens differ in the 32 bits that it keeps.
fn hash_factor(tokens: &[Vec<u8>]) -> u64 {
    let hashes: Vec<u64> = tokens.iter().map(|token| fnv(token)).collect();
    let mut kept = Vec::with_capacity(hashes.len());
    let mut differ = |factor: &u64| {
        kept.clear();
        kept.extend(hashes.iter().map(|hash| (hash.wrapping_mul(*factor) >> 32) as u32));
        kept.sort_unstable();
        kept.windows(2).all(|pair| pair[0] != pair[1])
    };
    // Odd multiples of the golden ratio of 64 bits, as in Fibonacci hashing (Knuth, TAOCP 6.4). Of 200,000 tokens two collide
    // by chance under 99 factors in 100; of o200k no two do under the 13th, of Qwen 3 under the first. Of a million tokens no
    // factor would do, and the crate refuses them.
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    const TRIES: u64 = 2_000;
    (0..TRIES).map(|step| GOLDEN.wrapping_mul(2 * step + 1)).find(&mut differ).unwrap_or(GOLDEN)
}

/// FNV-1a of the length, as eight little-endian bytes, and the bytes: what the crate hashes a token by.
fn fnv(token: &[u8]) -> u64 {
    let length = (token.len() as u64).to_le_bytes();
    length
        .iter()
        .chain(token)
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3))
}

struct Encode(Arc<Tables>);

impl Engine for Encode {
    type Input = str;
    type Output = Vec<u32>;

    fn run(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let Tables { bpe, ids, added, splitter } = &*self.0;
        let mut output = Vec::with_capacity(text.len() / 4);
        added.each(text, &mut |segment| match segment {
            Segment::Token(id) => output.push(id),
            Segment::Text(text) => splitter.each(text, &mut |word| {
                let places = bpe.encode_via_backtracking(word.as_bytes());
                match ids {
                    None => output.extend(places),
                    Some(ids) => output.extend(places.into_iter().map(|place| ids[place as usize])),
                }
            }),
        });
        Ok(output)
    }
}
