//! What is answered: words that depend on the prompt's ids and on nothing else.

use super::mix;
use super::tokenizer::{PromptText, Tokenizer, word_id};

/// Bytes of a word of the answer, its space before it included. All have this length.
pub const WORD_BYTES: usize = 5;

/// One token each, by the rule of [`Tokenizer::Words`] and in the vocabularies that the field uses.
const WORDS: [&str; 64] = [
    " able", " back", " ball", " bank", " base", " best", " blue", " book", " both", " call", " card", " care",
    " case", " city", " come", " dark", " data", " date", " days", " door", " down", " each", " east", " even",
    " face", " fact", " fall", " farm", " fire", " food", " form", " free", " full", " game", " give", " gold",
    " good", " hand", " hard", " head", " help", " here", " high", " home", " hour", " idea", " just", " keep",
    " kind", " land", " last", " late", " left", " life", " line", " list", " live", " long", " look", " made",
    " main", " make", " mind", " name",
];

/// The ids of the words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyIds([u32; 64]);

impl ReplyIds {
    /// The ids that the tokenizer gives the words, so that an answer that comes back in the next turn's prompt is found in the
    /// cache. A word that is not one token gets the id of the rule of words.
    pub fn of(tokenizer: &Tokenizer) -> Self {
        Self(WORDS.map(|word| match tokenizer.encode(PromptText::Text(word)).as_deref() {
            Ok(&[id]) => id,
            _ => word_id(word.as_bytes()),
        }))
    }
}

/// The answer to one prompt, endless and the same at every look.
#[derive(Debug, Clone)]
pub struct Reply {
    seed: u64,
    ids: std::sync::Arc<ReplyIds>,
}

impl Reply {
    /// The answer to the prompt of this identity ([`Chain::identity`](super::Chain::identity)); `choice` tells several answers apart.
    pub fn new(identity: u64, choice: u32, ids: std::sync::Arc<ReplyIds>) -> Self {
        Self { seed: mix(identity ^ u64::from(choice).rotate_left(32)), ids }
    }

    /// The id of token number `index`.
    pub fn token(&self, index: u32) -> u32 {
        self.ids.0[self.place(index)]
    }

    /// The text of token number `index`, [`WORD_BYTES`] of ASCII letters and a space.
    pub fn word(&self, index: u32) -> &'static str {
        WORDS[self.place(index)]
    }

    /// A number that depends on the prompt alone.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    fn place(&self, index: u32) -> usize {
        (mix(self.seed.wrapping_add(u64::from(index))) % 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn words_are_tokens_and_answers_differ() {
        let tokenizer = Tokenizer::Words;
        let ids = Arc::new(ReplyIds::of(&tokenizer));
        for word in WORDS {
            assert_eq!(word.len(), WORD_BYTES);
            assert_eq!(tokenizer.encode(PromptText::Text(word)).unwrap(), [word_id(word.as_bytes())]);
        }
        let reply = Reply::new(1, 0, Arc::clone(&ids));
        let text: String = (0..40).map(|index| reply.word(index)).collect();
        let expected: Vec<u32> = (0..40).map(|index| reply.token(index)).collect();
        assert_eq!(tokenizer.encode(PromptText::Text(&text)).unwrap(), expected);
        let other: String = (0..40).map(|index| Reply::new(1, 1, Arc::clone(&ids)).word(index)).collect();
        assert_ne!(text, other);
    }
}
