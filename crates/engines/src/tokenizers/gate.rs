//! The gate of the engine comparison: ids equal to the reference's, or the first difference.

use std::fmt;

use crate::corpus::floor_char_boundary;
use crate::engine::EngineError;
use crate::tokenize::Tokenizer;

/// Characters of the text that are shown on either side of the difference.
const SHOWN: usize = 24;

/// Ids that are shown from the difference on.
const IDS: usize = 4;

/// Where two encodings of a text part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Index of the first id that differs.
    pub position: usize,
    /// Byte of the text where the reference's token at that place begins; the text's length if it has none there.
    pub byte: usize,
    /// The reference's ids from there on, at most four.
    pub reference: Vec<u32>,
    /// The engine's.
    pub ids: Vec<u32>,
    /// The text around that byte.
    pub before: String,
    pub after: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, byte, reference, ids, before, after } = self;
        write!(f, "id {position} (byte {byte}): {ids:?} instead of {reference:?}, between {before:?} and {after:?}")
    }
}

/// The first difference of `ids` from what the reference makes of `text`; `None` when there is none.
///
/// # Errors
/// When the reference cannot encode the text.
pub fn difference(reference: &Tokenizer, text: &str, ids: &[u32]) -> Result<Option<Difference>, EngineError> {
    let encoding = reference.inner().encode(text, false).map_err(EngineError::failed)?;
    let expected = encoding.get_ids();
    if expected == ids {
        return Ok(None);
    }
    let same = expected.iter().zip(ids).take_while(|(left, right)| left == right).count();
    // A token that is a part of a character has the whole character's offsets. Offsets are of the text as given.
    let byte = encoding.get_offsets().get(same).map_or(text.len(), |offsets| floor_char_boundary(text, offsets.0));
    let shown = |ids: &[u32]| ids[same.min(ids.len())..].iter().take(IDS).copied().collect();
    let (before, after) = text.split_at(byte);
    let start = before.char_indices().rev().nth(SHOWN - 1).map_or(0, |(index, _)| index);
    Ok(Some(Difference {
        position: same,
        byte,
        reference: shown(expected),
        ids: shown(ids),
        before: before[start..].to_owned(),
        after: after.chars().take(SHOWN).collect(),
    }))
}
