//! The fastest engine that gives the reference's ids for a model: what a server should tokenize with.
//!
//! A candidate is compared with the stable `tokenizers` on texts of every kind of [`crate::corpus`], with the model's own
//! special tokens in them. The first id that differs rejects it. Those that remain race on text that none has seen.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use super::loaded::file;
use super::{KINDS, Kind, REFERENCE, difference, kind, load};
use crate::corpus::{self, Kind as Text};
use crate::engine::EngineError;
use crate::tokenize::{Tokenize, Tokenizer};

/// Short texts of each kind, and one long one, bytes.
const SHORT: (usize, usize) = (300, 24);
const LONG: usize = 20_000;
/// Texts of the race of each kind, and of the warm-up before it: requests of a thousand tokens.
const RACE: (usize, usize) = (4_000, 12);
const RACE_KINDS: [Text; 2] = [Text::English, Text::Code];
/// Seeds of the texts; what warms is not what is timed.
const SEEDS: [u64; 3] = [11, 12, 13];

/// An engine that was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    pub engine: &'static str,
    pub call_path: &'static str,
    /// Why it cannot be taken: it does not load, or where its ids differ.
    pub rejected: Option<String>,
    /// Speed in the race, bytes/s; none where there was no race.
    pub bytes_per_s: Option<f64>,
}

/// The engine to tokenize with.
pub struct Chosen {
    pub engine: &'static str,
    pub call_path: &'static str,
    pub tokenize: Box<Tokenize>,
    /// All that were looked at, in order.
    pub candidates: Vec<Candidate>,
    /// Texts of the comparison.
    pub texts: usize,
}

/// The engine of that name, if its ids are the reference's; without a name, the fastest for which that is so.
///
/// It takes as long as loading the engines, and about a second for texts.
///
/// # Errors
/// The reference does not load; there is no such engine; the named one does not load or gives other ids.
pub fn choose(name: Option<&str>, model: &Path) -> Result<Chosen, EngineError> {
    let wanted: Vec<&Kind> = match name {
        None => KINDS.iter().filter(|kind| kind.races).collect(),
        Some(name) => vec![kind(name).ok_or_else(|| unknown(name))?],
    };
    let reference = Tokenizer::load(&file(model)).map_err(EngineError::failed)?;
    let texts = check_texts(&reference);
    let mut candidates = Vec::new();
    let mut left: Vec<(usize, Box<Tokenize>)> = Vec::new();
    for kind in wanted {
        let passed = load_call(kind, model)
            .map_err(|error| error.to_string())
            .and_then(|tokenize| compare(&reference, &*tokenize, &texts).map(|()| tokenize));
        let (rejected, passed) = match passed {
            Ok(tokenize) => (None, Some(tokenize)),
            Err(reason) => (Some(reason), None),
        };
        left.extend(passed.map(|tokenize| (candidates.len(), tokenize)));
        candidates.push(Candidate { engine: kind.engine, call_path: kind.server, rejected, bytes_per_s: None });
    }
    if let (Some(name), Some(reason)) = (name, candidates.first().and_then(|only| only.rejected.as_deref())) {
        return Err(EngineError::Unavailable(format!(
            "{name} cannot tokenize for this model ({reason}); leave the choice open, or name {REFERENCE}"
        )));
    }
    if left.len() > 1 {
        for (at, tokenize) in &left {
            candidates[*at].bytes_per_s = Some(race(&**tokenize)?);
        }
    }
    let speed = |at: usize| candidates[at].bytes_per_s.unwrap_or(0.0);
    let best = left.into_iter().max_by(|(left, _), (right, _)| speed(*left).total_cmp(&speed(*right)));
    let (engine, call_path, tokenize) = match best {
        Some((at, tokenize)) => (candidates[at].engine, candidates[at].call_path, tokenize),
        None => {
            let Kind { engine, server: call_path, .. } = KINDS[0];
            candidates.push(Candidate { engine, call_path, rejected: None, bytes_per_s: None });
            (engine, call_path, load_call(&KINDS[0], model)?)
        }
    };
    Ok(Chosen { engine, call_path, tokenize, candidates, texts: texts.len() })
}

fn unknown(name: &str) -> EngineError {
    let known: Vec<&str> = KINDS.iter().filter(|kind| kind.is_built()).map(|kind| kind.engine).collect();
    EngineError::Unavailable(format!("there is no tokenizer engine {name}; there are: {}", known.join(", ")))
}

fn load_call(kind: &Kind, model: &Path) -> Result<Box<Tokenize>, EngineError> {
    // A table that names what the engine does not have is a mistake, and a test looks at it.
    let missing = || EngineError::Unavailable(format!("{} has no call path {}", kind.engine, kind.server));
    load(kind.engine, model)?.call_path(kind.server).ok_or_else(missing)
}

/// Texts of every kind, with the special tokens of the model.
fn check_texts(reference: &Tokenizer) -> Vec<String> {
    let mut special: Vec<String> =
        reference.inner().get_added_tokens_decoder().into_values().map(|token| token.content).collect();
    // The decoder is a hash map; texts are to be the same at every start.
    special.sort_unstable();
    let mut texts: Vec<String> = ["", " ", "a", "\n"].map(str::to_owned).to_vec();
    for text in Text::ALL {
        texts.extend(corpus::texts(text, SHORT.0, SHORT.1, SEEDS[0], &special));
        // A long word costs some engines the square of its length and shows nothing that a shorter one does not.
        let long = if text == Text::LongWord { LONG / 10 } else { LONG };
        texts.push(corpus::text(text, long, SEEDS[0], &special));
    }
    texts
}

/// Says where ids differ, if they do.
fn compare(reference: &Tokenizer, tokenize: &Tokenize, texts: &[String]) -> Result<(), String> {
    for text in texts {
        let ids = tokenize.run(text).map_err(|error| error.to_string())?;
        match difference(reference, text, &ids) {
            Ok(None) => {}
            Ok(Some(difference)) => return Err(format!("other ids than {REFERENCE}: {difference}")),
            Err(error) => return Err(format!("{REFERENCE} failed on a text of the comparison: {error}")),
        }
    }
    Ok(())
}

/// Bytes a second on text that is new to the engine, after other text of the kind.
fn race(tokenize: &Tokenize) -> Result<f64, EngineError> {
    let texts = |seed: u64| -> Vec<String> {
        RACE_KINDS.iter().flat_map(|&kind| corpus::texts(kind, RACE.0, RACE.1, seed, &[])).collect()
    };
    for text in texts(SEEDS[1]) {
        black_box(tokenize.run(&text)?);
    }
    let texts = texts(SEEDS[2]);
    let bytes: usize = texts.iter().map(String::len).sum();
    let start = Instant::now();
    for text in &texts {
        black_box(tokenize.run(text)?);
    }
    Ok(bytes as f64 / start.elapsed().as_secs_f64().max(1e-9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_what_engines_have() {
        for kind in KINDS {
            assert!(kind.call_paths.contains(&kind.server), "{kind:?}");
        }
        assert_eq!(KINDS[0].engine, REFERENCE);
        assert!(!KINDS[0].races, "the fallback needs no race");
    }

    /// Gives the ids of another text for one that holds a smiley.
    struct Wrong(Tokenizer);

    impl crate::engine::Engine for Wrong {
        type Input = str;
        type Output = Vec<u32>;

        fn run(&self, text: &str) -> Result<Vec<u32>, EngineError> {
            self.0.ids(&text.replace('😀', ":)"))
        }
    }

    #[test]
    fn one_wrong_character_rejects_and_right_ids_pass() {
        let cache = tempfile::tempdir().unwrap();
        let dir = crate::builtin::ensure(cache.path(), &|_| {}).unwrap().dir;
        let reference = Tokenizer::load(&file(&dir)).unwrap();
        let texts = check_texts(&reference);
        assert!(texts.len() > 200 && texts.iter().any(|text| text.contains("<|endoftext|>")));
        let reason = compare(&reference, &Wrong(reference.clone()), &texts).unwrap_err();
        assert!(reason.contains("other ids than hf-tokenizers: id "), "{reason}");

        let chosen = choose(None, &dir).unwrap();
        assert!(chosen.candidates.iter().all(|candidate| candidate.rejected.is_none()), "{:?}", chosen.candidates);
        let best = chosen.candidates.iter().max_by(|a, b| a.bytes_per_s.partial_cmp(&b.bytes_per_s).unwrap()).unwrap();
        assert_eq!(best.engine, chosen.engine);
        let text = corpus::text(Text::Emoji, 5_000, 99, &[]);
        assert_eq!(chosen.tokenize.run(&text).unwrap(), reference.ids(&text).unwrap());

        assert_eq!(choose(Some(REFERENCE), &dir).unwrap().engine, REFERENCE);
        let error = choose(Some("sentencepiece"), &dir).err().unwrap().to_string();
        assert!(error.contains("there are: hf-tokenizers"), "{error}");
        let empty = tempfile::tempdir().unwrap();
        assert!(choose(None, empty.path()).is_err());
    }
}
