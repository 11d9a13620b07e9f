//! Who writes the text: an author of words, or of random letters.

use super::lexicon::LEXICON;
use super::rng::Stream;
use super::topic::Topic;
use super::{code, lists, prose};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Words,
    Letters,
}

impl Kind {
    /// Tokens of the shortest message: one word (and its mark).
    pub(crate) fn least(self) -> usize {
        match self {
            Self::Words => 3,
            Self::Letters => 6,
        }
    }
}

/// The two sides of a workload. Short texts are kept apart by their last word, which comes from the side's own half of
/// the vocabulary; longer ones differ anyway (and are checked).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Pool,
    Warmup,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Prose,
    Code,
    List,
}

impl Form {
    pub(crate) const ALL: [Self; 3] = [Self::Prose, Self::Code, Self::List];
}

/// A paragraph, a fenced piece of code or a list: what a blank line separates from the next in a message.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) form: Form,
    /// Sentences of prose, which may be added or taken away; code and lists are one part.
    pub(crate) parts: Vec<String>,
}

impl Block {
    pub(crate) fn text(&self) -> String {
        self.parts.join(" ")
    }

    pub(crate) fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.len() + 1).sum::<usize>() + 1
    }
}

pub(crate) struct Author {
    kind: Kind,
    side: Side,
    topic: Topic,
    /// Bytes until the next change of topic.
    left: usize,
}

/// Bytes after which the topic changes: about 1,500 tokens.
const PASSAGE: usize = 6_000;

impl Author {
    pub(crate) fn new(kind: Kind, side: Side, rng: &mut Stream) -> Self {
        Self { kind, side, topic: Topic::new(rng), left: PASSAGE }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// A block of about `bytes` bytes.
    pub(crate) fn block(&mut self, rng: &mut Stream, form: Form, asks: bool, bytes: usize) -> Block {
        if self.left == 0 {
            self.topic = Topic::new(rng);
            self.left = PASSAGE;
        }
        self.left = self.left.saturating_sub(bytes);
        if self.kind == Kind::Letters {
            return Block { form: Form::Prose, parts: self.sentences(rng, false, bytes) };
        }
        let parts = match form {
            Form::Prose => self.sentences(rng, asks, bytes),
            Form::Code => vec![code::block(&self.topic, rng, bytes)],
            Form::List => vec![lists::list(&self.topic, rng, bytes)],
        };
        Block { form, parts }
    }

    /// Sentences until their sum is nearest to `bytes`; at least one.
    fn sentences(&self, rng: &mut Stream, asks: bool, bytes: usize) -> Vec<String> {
        let mut parts: Vec<String> = Vec::new();
        let mut sum = 0;
        loop {
            let ask = asks && (parts.is_empty() || rng.chance(20));
            let part = self.sentence(rng, ask);
            if !parts.is_empty() && sum + part.len() / 2 > bytes {
                return parts;
            }
            sum += part.len() + 1;
            parts.push(part);
        }
    }

    pub(crate) fn sentence(&self, rng: &mut Stream, ask: bool) -> String {
        match self.kind {
            Kind::Letters => {
                let words = rng.range(5, 20);
                letters(rng, words, self.side)
            }
            Kind::Words if ask => prose::question(&self.topic, rng),
            Kind::Words => prose::sentence(&self.topic, rng),
        }
    }

    /// A short text of so many words.
    pub(crate) fn utterance(&self, rng: &mut Stream, words: usize) -> String {
        match self.kind {
            Kind::Letters => letters(rng, words, self.side),
            Kind::Words => {
                let last = own_noun(rng, self.side);
                prose::utterance(&self.topic, rng, words, last)
            }
        }
    }

    /// The shortest of a few texts of one word.
    pub(crate) fn shortest(&self, rng: &mut Stream) -> String {
        const DRAWS: usize = 16;
        let texts = (0..DRAWS).map(|_| self.utterance(rng, 1));
        texts.min_by_key(String::len).unwrap_or_default()
    }

    pub(crate) fn heading(&self, rng: &mut Stream) -> Option<String> {
        (self.kind == Kind::Words)
            .then(|| format!("## {} {}", prose::title(&self.topic, rng), own_noun(rng, self.side)))
    }
}

/// A noun of the side's half of the list.
fn own_noun(rng: &mut Stream, side: Side) -> &'static str {
    let index = LEXICON.noun(rng) & !1;
    let index = if side == Side::Warmup { (index + 1).min(LEXICON.nouns.len() - 1) } else { index };
    &LEXICON.nouns[index].singular
}

/// Words of 1 to 12 random letters: no cache has seen them. The last begins in the side's half of the alphabet.
fn letters(rng: &mut Stream, words: usize, side: Side) -> String {
    let mut text = String::new();
    for i in 0..words {
        if i > 0 {
            text.push(' ');
        }
        let first =
            if i + 1 < words { rng.below(26) } else { rng.below(13) + if side == Side::Warmup { 13 } else { 0 } };
        text.push(char::from(b'a' + first as u8));
        for _ in 0..rng.below(12) {
            text.push(char::from(b'a' + rng.below(26) as u8));
        }
    }
    text
}
