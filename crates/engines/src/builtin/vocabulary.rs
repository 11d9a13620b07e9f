//! The o200k ranks, and the byte-pair merges that lead to them.

use std::collections::HashMap;

use tiktoken_rs::CoreBPE;

/// Ids below this are tokens of the text; the id itself is the hole that o200k leaves before its special tokens.
pub const RANKS: u32 = 199_998;

/// Last id of the vocabulary.
pub const LAST_ID: u32 = 200_018;

/// The special tokens, contiguous over `RANKS..=LAST_ID`.
///
/// `<|endoftext|>` and `<|endofprompt|>` have the ids that o200k gives them. o200k leaves the other ids free. They are
/// all named here, because an engine that counts added tokens up from the end of the ranks would renumber them at a hole.
pub fn special_tokens() -> Vec<(String, u32)> {
    (RANKS..=LAST_ID)
        .map(|id| {
            let name = match id {
                199_999 => "<|endoftext|>".to_owned(),
                200_000 => "<|im_start|>".to_owned(),
                200_001 => "<|im_end|>".to_owned(),
                LAST_ID => "<|endofprompt|>".to_owned(),
                _ => format!("<|reserved_{id}|>"),
            };
            (name, id)
        })
        .collect()
}

/// The bytes of every token of the text; the index is the rank, which is the id.
pub fn ranks(bpe: &CoreBPE) -> Result<Vec<Vec<u8>>, String> {
    (0..RANKS)
        .map(|id| bpe.decode_bytes(&[id]).map_err(|error| format!("the o200k vocabulary has no token {id}: {error}")))
        .collect()
}

/// For every token that is not a single byte, in the order of rank, the two tokens that it is merged from.
///
/// A rank-driven encoder merges the adjacent pair whose concatenation has the lowest rank. Inside the bytes of token `t`,
/// all merges below rank `t` therefore come first, and what they leave are the two parts that are merged into `t`,
/// whatever stands around it. One merge a token is enough, and it is unique (Sennrich et al. 2016, run on the token itself).
pub fn merges(ranks: &[Vec<u8>], progress: &dyn Fn(f32)) -> Result<Vec<(u32, u32)>, String> {
    let by_bytes: HashMap<&[u8], u32> = ranks.iter().zip(0..).map(|(bytes, rank)| (bytes.as_slice(), rank)).collect();
    let mut found = Vec::with_capacity(ranks.len());
    for (rank, bytes) in (0u32..).zip(ranks) {
        if rank % 4096 == 0 {
            progress(rank as f32 / ranks.len() as f32);
        }
        if bytes.len() < 2 {
            continue;
        }
        let pair = split(bytes, rank, &by_bytes)
            .ok_or_else(|| format!("token {rank} of the o200k vocabulary cannot be reached by merges of two tokens"))?;
        found.push(pair);
    }
    progress(1.0);
    Ok(found)
}

/// The two tokens that are left of `bytes` when every merge below `limit` has been made; none if it is not two.
fn split(bytes: &[u8], limit: u32, by_bytes: &HashMap<&[u8], u32>) -> Option<(u32, u32)> {
    let pair_rank = |from: usize, to: usize| by_bytes.get(&bytes[from..to]).copied().filter(|&rank| rank < limit);
    // Starts of the parts, and a last one at the end; pairs[i] is the rank of parts i and i+1 together.
    let mut starts: Vec<usize> = (0..=bytes.len()).collect();
    let mut pairs: Vec<Option<u32>> = (0..bytes.len() - 1).map(|at| pair_rank(at, at + 2)).collect();
    while let Some((at, _)) =
        pairs.iter().enumerate().filter_map(|(at, rank)| rank.map(|rank| (at, rank))).min_by_key(|&(_, rank)| rank)
    {
        starts.remove(at + 1);
        pairs.remove(at);
        if at > 0 {
            pairs[at - 1] = pair_rank(starts[at - 1], starts[at + 1]);
        }
        if at < pairs.len() {
            pairs[at] = pair_rank(starts[at], starts[at + 2]);
        }
    }
    match starts[..] {
        [start, middle, end] => Some((*by_bytes.get(&bytes[start..middle])?, *by_bytes.get(&bytes[middle..end])?)),
        _ => None,
    }
}

/// The character that stands for each byte in a byte-level vocabulary: printable Latin-1 for itself, the other 68 bytes
/// from U+0100 on, in order (the alphabet of GPT-2).
pub fn byte_alphabet() -> [char; 256] {
    let mut alphabet = ['\0'; 256];
    let mut next = 0x100;
    for byte in 0..=255u8 {
        alphabet[usize::from(byte)] = match byte {
            b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
            _ => {
                let stand_in = char::from_u32(next).unwrap_or(char::REPLACEMENT_CHARACTER);
                next += 1;
                stand_in
            }
        };
    }
    alphabet
}

/// `bytes` in the byte-level alphabet.
pub fn byte_level(bytes: &[u8], alphabet: &[char; 256]) -> String {
    bytes.iter().map(|&byte| alphabet[usize::from(byte)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_has_256_characters_and_a_space_is_g_with_dot() {
        let alphabet = byte_alphabet();
        let distinct: std::collections::HashSet<char> = alphabet.into_iter().collect();
        assert_eq!(distinct.len(), 256);
        assert_eq!(alphabet[usize::from(b' ')], 'Ġ');
        assert_eq!(alphabet[usize::from(b'\n')], 'Ċ');
        assert_eq!(alphabet[0xAD], 'Ń');
    }

    #[test]
    fn a_token_is_split_by_the_merges_below_it_and_not_by_the_longest_prefix() {
        // ab=3, bc=4, abc=5, cab=6: "abc" is ab+c since ab has the lower rank; "cab" is c+ab.
        let ranks: Vec<Vec<u8>> =
            ["a", "b", "c", "ab", "bc", "abc", "cab"].iter().map(|t| t.as_bytes().to_vec()).collect();
        assert_eq!(merges(&ranks, &|_| {}), Ok(vec![(0, 1), (1, 2), (3, 2), (2, 3)]));
    }

    #[test]
    fn a_token_that_no_pair_makes_is_an_error() {
        let ranks: Vec<Vec<u8>> = ["a", "b", "c", "abc"].iter().map(|t| t.as_bytes().to_vec()).collect();
        assert!(merges(&ranks, &|_| {}).unwrap_err().contains("token 3"));
    }

    #[test]
    fn special_tokens_are_contiguous_and_distinct() {
        let special = special_tokens();
        assert_eq!(special.len(), 21);
        assert!(special.windows(2).all(|pair| pair[0].1 + 1 == pair[1].1));
        assert_eq!(special[0].1, RANKS);
        let names: std::collections::HashSet<&String> = special.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), 21);
    }
}
