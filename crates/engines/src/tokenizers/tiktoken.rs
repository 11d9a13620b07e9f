//! `tiktoken-rs`, given ranks, pattern and special tokens of `tokenizer.json`.
//!
//! All added tokens are special tokens to it. It has no normal form: a text that is not in the one that the model asks for is
//! brought there first, between its added tokens.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tiktoken_rs::CoreBPE;
use unicode_normalization::{IsNormalized, is_nfc_quick};

use super::added::{AddedTokens, Segment};
use super::byte_level::{Added, ByteLevelBpe};
use super::loaded::{Loaded, unfit};
use crate::engine::{Engine, EngineError};
use crate::tokenize::Tokenize;

const ENGINE: &str = "tiktoken-rs";

struct Tiktoken(Arc<Tables>);

struct Tables {
    bpe: CoreBPE,
    special: HashSet<&'static str>,
    added: AddedTokens,
    nfc: bool,
}

impl Loaded for Tiktoken {
    fn call_path(&self, name: &str) -> Option<Box<Tokenize>> {
        (name == "encode").then(|| Box::new(Encode(Arc::clone(&self.0))) as Box<Tokenize>)
    }
}

pub fn load(path: &Path) -> Result<Box<dyn Loaded>, EngineError> {
    let ByteLevelBpe { tokens, splits, nfc, added } = ByteLevelBpe::read(ENGINE, path)?;
    let [pattern] = splits.as_slice() else {
        let reason =
            format!("it splits the text by {} patterns one after the other, and tiktoken by one", splits.len());
        return Err(unfit(ENGINE, path, reason));
    };
    if let Some((short, long)) = ambiguous(&added) {
        let reason = format!("its added token {long} begins with another, {short}, and tiktoken may find either");
        return Err(unfit(ENGINE, path, reason));
    }
    let special = added.iter().map(|token| (token.content.clone(), token.id));
    let bpe = CoreBPE::new(tokens.into_iter().collect(), special.collect(), pattern)
        .map_err(|error| unfit(ENGINE, path, error))?;
    let special = added.iter().map(|token| kept(&token.content)).collect();
    let added = AddedTokens::new(&added, nfc).map_err(|error| unfit(ENGINE, path, error))?;
    Ok(Box::new(Tiktoken(Arc::new(Tables { bpe, special, added, nfc }))))
}

/// A token that is the beginning of another: tiktoken joins them to one pattern in no particular order.
fn ambiguous(added: &[Added]) -> Option<(&str, &str)> {
    let mut names: Vec<&str> = added.iter().map(|token| token.content.as_str()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[1].starts_with(pair[0])).map(|pair| (pair[0], pair[1]))
}

/// The name for as long as the process lives: `encode` asks for a set of borrowed names, which would otherwise be made
/// in every call. A name is kept once, however often tokenizers are loaded.
fn kept(name: &str) -> &'static str {
    static NAMES: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.iter().find(|known| **known == name) {
        return known;
    }
    let name: &'static str = Box::leak(name.into());
    names.push(name);
    name
}

/// `CoreBPE::encode` with all special tokens allowed.
struct Encode(Arc<Tables>);

impl Engine for Encode {
    type Input = str;
    type Output = Vec<u32>;

    fn run(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let Tables { bpe, special, added, nfc } = &*self.0;
        if special.is_empty() {
            return Ok(bpe.encode_ordinary(&super::byte_level::normalized(text, *nfc)));
        }
        if !nfc || is_nfc_quick(text.chars()) == IsNormalized::Yes {
            return bpe.encode(text, special).map(|(ids, _)| ids).map_err(EngineError::failed);
        }
        let mut output = Vec::with_capacity(text.len() / 4);
        let mut failure = None;
        added.each(text, &mut |segment| match segment {
            Segment::Token(id) => output.push(id),
            Segment::Text(text) => match bpe.encode(text, special) {
                Ok((ids, _)) => output.extend(ids),
                Err(error) => failure = Some(EngineError::failed(error)),
            },
        });
        failure.map_or(Ok(output), Err)
    }
}
