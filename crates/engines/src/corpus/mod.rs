//! The corpus of the engine comparison: texts of kinds that tokenizers treat differently, made from a seed.
//!
//! ```
//! use engines::corpus::{self, Kind};
//!
//! let text = corpus::text(Kind::Emoji, 1_000, 7, &[]);
//! assert!((997..=1_000).contains(&text.len()));
//! assert_eq!(text, corpus::text(Kind::Emoji, 1_000, 7, &[]));
//! assert_ne!(text, corpus::text(Kind::Emoji, 1_000, 8, &[]));
//! ```
//!
//! No text is anybody's: words come from short lists of common words and from rules for making more, scripts from their
//! letters. What they say is nonsense; how they fall into words, and how often words come back, is as in text: word
//! frequencies follow Zipf's law (1949), and rare words are new in every text.

mod code;
mod english;
mod marks;
mod random;
mod scripts;

use random::Random;

/// Sizes that the comparison asks for, bytes: a word to a long document.
pub const SIZES: [usize; 5] = [100, 1_000, 10_000, 100_000, 1_000_000];

/// A kind of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Sentences and paragraphs.
    English,
    /// Functions and data in the manner of several languages.
    Code,
    /// Chinese and Japanese: no spaces between words, three bytes a character.
    ChineseJapanese,
    /// Hindi and Arabic: combining vowel signs, letters of two and three bytes.
    HindiArabic,
    /// Emoji with skin tones, joined sequences, flags and keycaps.
    Emoji,
    /// Long runs of spaces, tabs, line ends of all kinds and the rarer spaces, between a few words.
    Whitespace,
    /// English around the model's special tokens: adjacent, cut, repeated, inside words.
    SpecialTokens,
    /// Any Unicode scalar values, assigned or not.
    RandomUnicode,
    /// One word without a break, the longest thing that a merge has to look at. Seeds take turns: one letter
    /// repeated (seed mod 3 = 0), random lower-case letters (1), two letters in turn (2).
    LongWord,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::English,
        Self::Code,
        Self::ChineseJapanese,
        Self::HindiArabic,
        Self::Emoji,
        Self::Whitespace,
        Self::SpecialTokens,
        Self::RandomUnicode,
        Self::LongWord,
    ];

    /// Name as plans and records have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::English => "english",
            Self::Code => "code",
            Self::ChineseJapanese => "chinese-japanese",
            Self::HindiArabic => "hindi-arabic",
            Self::Emoji => "emoji",
            Self::Whitespace => "whitespace",
            Self::SpecialTokens => "special-tokens",
            Self::RandomUnicode => "random-unicode",
            Self::LongWord => "long-word",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A text of `kind` of at most `bytes` bytes, and at least three less (a character is not cut). The same arguments give
/// the same text. `special_tokens` are the model's, for [`Kind::SpecialTokens`]; without any, that kind holds only what looks
/// like them.
pub fn text(kind: Kind, bytes: usize, seed: u64, special_tokens: &[String]) -> String {
    let mut random = Random::new(seed, kind.name());
    let mut text = String::with_capacity(bytes + 64);
    while text.len() < bytes {
        match kind {
            Kind::English => english::sentence(&mut random, &mut text),
            Kind::Code => code::function(&mut random, &mut text),
            Kind::ChineseJapanese => scripts::chinese_or_japanese(&mut random, &mut text),
            Kind::HindiArabic => scripts::hindi_or_arabic(&mut random, &mut text),
            Kind::Emoji => marks::emoji(&mut random, &mut text),
            Kind::Whitespace => marks::whitespace(&mut random, &mut text),
            Kind::SpecialTokens => marks::special_tokens(&mut random, special_tokens, &mut text),
            Kind::RandomUnicode => marks::scalar(&mut random, &mut text),
            Kind::LongWord => marks::letter(seed, &mut random, &mut text),
        }
    }
    text.truncate(floor_char_boundary(&text, bytes));
    text
}

/// `count` different texts as [`text`] makes them, from seeds that follow from `seed`.
pub fn texts(kind: Kind, bytes: usize, count: usize, seed: u64, special_tokens: &[String]) -> Vec<String> {
    // A multiple of three, so that all long words of a list have one shape.
    (0..count as u64).map(|index| text(kind, bytes, seed.wrapping_add(index * 3_000_003), special_tokens)).collect()
}

/// The last place at or before byte `index` where a character begins, or the text's end.
///
/// As `str::floor_char_boundary`, which the oldest supported compiler does not have.
pub(crate) fn floor_char_boundary(text: &str, index: usize) -> usize {
    // Zero is always one.
    (0..=index.min(text.len())).rev().find(|&place| text.is_char_boundary(place)).unwrap_or(0)
}
