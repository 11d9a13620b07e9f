//! Splits text into words by the patterns of a `tokenizer.json`, in linear time.
//!
//! The patterns of byte-level BPE end in `\s+(?!\S)|\s+`: a run of white space, without its last character if a word
//! follows. No linear-time engine has the look-ahead, and none needs it here: the run is matched as a whole and then cut
//! (the way the documentation of the `bpe` crate's tokenizers gives).

use std::panic::{RefUnwindSafe, UnwindSafe};

use regex_automata::Input;
use regex_automata::meta::{Cache, Regex};
use regex_automata::util::pool::Pool;

/// White space whose last character is left to the word behind it.
const LOOK_AHEAD: &str = r"|\s+(?!\S)";

type MakeCaches = Box<dyn Fn() -> Vec<Cache> + Send + Sync + UnwindSafe + RefUnwindSafe>;

/// Patterns applied one after the other, each to the pieces that the ones before it left.
pub struct Splitter {
    stages: Vec<Regex>,
    /// Scratch memory, one set a thread at work.
    caches: Pool<Vec<Cache>, MakeCaches>,
}

impl Splitter {
    /// # Errors
    /// When a pattern needs what a linear-time engine does not have.
    pub fn new(patterns: &[String]) -> Result<Self, String> {
        let stages = patterns.iter().map(|pattern| compile(pattern)).collect::<Result<Vec<_>, _>>()?;
        let for_pool = stages.clone();
        let make: MakeCaches = Box::new(move || for_pool.iter().map(Regex::create_cache).collect());
        Ok(Self { stages, caches: Pool::new(make) })
    }

    /// Hands the pieces of `text` to `on`, in order; together they are the text.
    pub fn each(&self, text: &str, on: &mut impl FnMut(&str)) {
        let mut caches = self.caches.get();
        stage(&self.stages, &mut caches, text, on);
    }
}

/// The pattern, with the white space before a word as a second pattern whose matches are cut.
fn compile(pattern: &str) -> Result<Regex, String> {
    let whole = |error: regex_automata::meta::BuildError| {
        let reason = error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
        format!("its pattern needs more than a linear-time engine has ({})", reason.lines().last().unwrap_or_default())
    };
    match pattern.split_once(LOOK_AHEAD) {
        None => Regex::new(pattern).map_err(whole),
        Some((words, r"|\s+" | r"|\s")) => Regex::new_many(&[words, r"\s+"]).map_err(whole),
        Some((_, rest)) => Err(format!("its pattern goes on behind its white space, with {rest}")),
    }
}

fn stage(stages: &[Regex], caches: &mut [Cache], text: &str, on: &mut impl FnMut(&str)) {
    let (Some((regex, stages)), Some((cache, caches))) = (stages.split_first(), caches.split_first_mut()) else {
        on(text);
        return;
    };
    let mut from = 0;
    let mut at = 0;
    while let Some(found) = regex.search_with(cache, &Input::new(text).span(at..text.len())) {
        let mut end = found.end();
        // Only the second pattern is cut: a run of two and more before a word leaves it the last.
        if found.pattern().as_usize() == 1 && end < text.len() {
            let last = text[found.start()..end].char_indices().next_back().map_or(0, |(index, _)| index);
            if last > 0 {
                end = found.start() + last;
            }
        }
        if end == found.start() {
            // An empty match splits nothing.
            match text[end..].chars().next() {
                Some(next) => at = end + next.len_utf8(),
                None => break,
            }
            continue;
        }
        if from < found.start() {
            stage(stages, caches, &text[from..found.start()], on);
        }
        stage(stages, caches, &text[found.start()..end], on);
        from = end;
        at = end;
    }
    if from < text.len() {
        stage(stages, caches, &text[from..], on);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(patterns: &[&str], text: &str) -> Vec<String> {
        let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        let mut pieces = Vec::new();
        Splitter::new(&patterns).unwrap().each(text, &mut |piece| pieces.push(piece.to_owned()));
        assert_eq!(pieces.concat(), text);
        pieces
    }

    const WORDS: &str = r" ?\p{L}+|\s*[\r\n]+|\s+(?!\S)|\s+";

    #[test]
    fn white_space_leaves_its_last_character_to_the_word() {
        assert_eq!(pieces(&[WORDS], "a   b"), ["a", "  ", " b"]);
        assert_eq!(pieces(&[WORDS], "a\t\u{3000}b "), ["a", "\t", "\u{3000}", "b", " "]);
        assert_eq!(pieces(&[WORDS], "a  \n  "), ["a", "  \n", "  "]);
        assert_eq!(pieces(&[WORDS], "a b   "), ["a", " b", "   "]);
    }

    #[test]
    fn patterns_follow_each_other_and_what_none_matches_stays() {
        assert_eq!(pieces(&[r"\p{N}{1,3}", WORDS], "ab12345  c!?"), ["ab", "123", "45", " ", " c", "!?"]);
        assert_eq!(pieces(&["x*"], "abxxc"), ["ab", "xx", "c"], "empty matches do not split");
        assert!(pieces(&[WORDS], "").is_empty() || pieces(&[WORDS], "") == [""]);
        assert_eq!(pieces(&[], "a b"), ["a b"]);
    }

    #[test]
    fn other_look_around_is_refused() {
        for pattern in [r"a(?=b)", r"a|\s+(?!\S)|b", r"(?<!x)y"] {
            assert!(Splitter::new(&[pattern.to_owned()]).is_err(), "{pattern}");
        }
    }
}
