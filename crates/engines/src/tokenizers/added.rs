//! Added tokens, found in a text before anything else is done to it.

use aho_corasick::{AhoCorasick, BuildError, MatchKind};

use super::byte_level::{Added, normalized};

/// A part of a text.
pub enum Segment<'t> {
    Token(u32),
    /// Text between added tokens, normalized.
    Text(&'t str),
}

/// Finds added tokens as `tokenizers` does: of several at one place the longest; those that are not `normalized` in the text
/// as it is, the others in what is left of it, once that is normalized.
pub struct AddedTokens {
    raw: Option<Matcher>,
    normalized: Option<Matcher>,
    nfc: bool,
}

struct Matcher {
    search: AhoCorasick,
    ids: Vec<u32>,
}

impl AddedTokens {
    pub fn new(added: &[Added], nfc: bool) -> Result<Self, BuildError> {
        let matcher = |normalized: bool| {
            let chosen: Vec<&Added> =
                added.iter().filter(|token| token.normalized == normalized && !token.content.is_empty()).collect();
            if chosen.is_empty() {
                return Ok(None);
            }
            let search = AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .build(chosen.iter().map(|token| &token.content))?;
            Ok(Some(Matcher { search, ids: chosen.iter().map(|token| token.id).collect() }))
        };
        Ok(Self { raw: matcher(false)?, normalized: matcher(true)?, nfc })
    }

    /// Hands the parts of `text` to `on`, in order; empty texts are left out.
    pub fn each(&self, text: &str, on: &mut impl FnMut(Segment)) {
        let mut inner = |segment: Segment<'_>| match segment {
            Segment::Token(id) => on(Segment::Token(id)),
            Segment::Text(text) => segments(self.normalized.as_ref(), &normalized(text, self.nfc), on),
        };
        segments(self.raw.as_ref(), text, &mut inner);
    }
}

fn segments(matcher: Option<&Matcher>, text: &str, on: &mut impl FnMut(Segment)) {
    let mut start = 0;
    if let Some(Matcher { search, ids }) = matcher {
        for found in search.find_iter(text) {
            if start < found.start() {
                on(Segment::Text(&text[start..found.start()]));
            }
            on(Segment::Token(ids[found.pattern().as_usize()]));
            start = found.end();
        }
    }
    if start < text.len() {
        on(Segment::Text(&text[start..]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(added: &AddedTokens, text: &str) -> Vec<String> {
        let mut parts = Vec::new();
        added.each(text, &mut |segment| {
            parts.push(match segment {
                Segment::Token(id) => id.to_string(),
                Segment::Text(text) => format!("[{text}]"),
            });
        });
        parts
    }

    #[test]
    fn the_longest_token_wins_and_text_is_normalized_between_tokens_only() {
        let token = |content: &str, id, normalized| Added { content: content.to_owned(), id, normalized };
        let added =
            AddedTokens::new(&[token("<a>", 1, false), token("<a>b", 2, false), token("é", 3, true)], true).unwrap();
        // A combining stroke behind ">" would make another character of both if the whole text were normalized first.
        assert_eq!(parts(&added, "x<a>b<a>\u{338}y"), ["[x]", "2", "1", "[\u{338}y]"]);
        assert_eq!(parts(&added, "e\u{301}<a>"), ["3", "1"]);
        assert!(parts(&added, "").is_empty());
        let none = AddedTokens::new(&[], false).unwrap();
        assert_eq!(parts(&none, "e\u{301}"), ["[e\u{301}]"]);
    }
}
