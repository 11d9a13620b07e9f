//! A `tokenizer.json` seen as byte-level BPE: tokens of bytes in the order of their merges, patterns that split the text,
//! added tokens. Engines that know nothing else are built from it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::loaded::{read, unfit};
use crate::engine::EngineError;

/// Pattern of the `ByteLevel` pre-tokenizer (Radford et al. 2019, GPT-2's encoder).
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// Byte-level BPE whose ids grow in the order of its merges, so that the id of a token is its rank.
#[derive(Debug, Clone)]
pub struct ByteLevelBpe {
    /// Bytes and id of every token that text can become, in the order of ids.
    pub tokens: Vec<(Vec<u8>, u32)>,
    /// Patterns that split the text one after the other; what a pattern does not match stays a piece of its own.
    pub splits: Vec<String>,
    /// True when text is brought to the composed normal form first (added tokens are found before).
    pub nfc: bool,
    pub added: Vec<Added>,
}

/// A token that is found in the text before anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    pub content: String,
    pub id: u32,
    /// Found in the normalized text, not in the text as given.
    pub normalized: bool,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    model: Model,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    dropout: Option<f64>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    vocab: HashMap<String, u32>,
    #[serde(default)]
    merges: Vec<Merge>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair([String; 2]),
    Line(String),
}

impl ByteLevelBpe {
    /// Reads the file for `engine`, which the messages name.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] when the tokenizer is of another kind.
    pub fn read(engine: &str, path: &Path) -> Result<Self, EngineError> {
        let bytes = read(path)?;
        let broken = |error| EngineError::Failed(format!("{} is broken: {error}; fetch it again", path.display()));
        let head: Value = serde_json::from_slice(&bytes).map_err(broken)?;
        let kind = head["model"]["type"].as_str().unwrap_or("unknown");
        if kind != "BPE" {
            return Err(unfit(engine, path, format!("its model is of the kind {kind}, not BPE")));
        }
        drop(head);
        let file: File = serde_json::from_slice(&bytes).map_err(broken)?;
        Self::from_file(file).map_err(|reason| unfit(engine, path, reason))
    }

    fn from_file(file: File) -> Result<Self, String> {
        let model = &file.model;
        debug_assert_eq!(model.kind.as_deref(), Some("BPE"));
        if model.dropout.is_some_and(|dropout| dropout > 0.0) {
            return Err("its merges are dropped at random".to_owned());
        }
        if [&model.continuing_subword_prefix, &model.end_of_word_suffix]
            .iter()
            .any(|affix| affix.as_deref().is_some_and(|text| !text.is_empty()))
        {
            return Err("its tokens carry a prefix or suffix for their place in a word".to_owned());
        }
        if model.byte_fallback {
            return Err("it is no byte-level BPE: it falls back to bytes".to_owned());
        }
        for token in &file.added_tokens {
            if token.single_word || token.lstrip || token.rstrip {
                return Err(format!("the added token {} takes the text around it into account", token.content));
            }
        }
        let nfc = nfc(file.normalizer.as_ref())?;
        let normalize = |token: &AddedToken| match token.normalized && nfc {
            true => token.content.nfc().collect(),
            false => token.content.clone(),
        };
        Ok(Self {
            tokens: tokens(model)?,
            splits: splits(file.pre_tokenizer.as_ref())?,
            nfc,
            added: file
                .added_tokens
                .iter()
                .map(|token| Added { content: normalize(token), id: token.id, normalized: token.normalized })
                .collect(),
        })
    }
}

/// The text in the normal form that the tokenizer asks for; not copied where it already has it.
pub fn normalized(text: &str, nfc: bool) -> Cow<'_, str> {
    match nfc && is_nfc_quick(text.chars()) != IsNormalized::Yes {
        true => Cow::Owned(text.nfc().collect()),
        false => Cow::Borrowed(text),
    }
}

/// Single bytes and what merges give, in the order of ids.
fn tokens(model: &Model) -> Result<Vec<(Vec<u8>, u32)>, String> {
    let bytes = byte_of_char();
    let id_of = |token: &str| model.vocab.get(token).copied().ok_or_else(|| format!("its vocabulary lacks {token}"));
    let decode = |token: &str| -> Result<Vec<u8>, String> {
        let byte = |char| bytes.get(&char).copied().ok_or_else(|| format!("its token {token} is not made of bytes"));
        token.chars().map(byte).collect()
    };
    let mut tokens = Vec::with_capacity(model.vocab.len());
    for char in bytes.keys() {
        let mut text = [0; 4];
        let text = char.encode_utf8(&mut text);
        tokens.push((decode(text)?, id_of(text)?));
    }
    let mut last = None;
    for merge in &model.merges {
        let (left, right) = match merge {
            Merge::Pair([left, right]) => (left.as_str(), right.as_str()),
            Merge::Line(line) => line.split_once(' ').ok_or_else(|| format!("its merge {line} is no pair"))?,
        };
        let token = format!("{left}{right}");
        let id = id_of(&token)?;
        if last.is_some_and(|last| id <= last) {
            return Err(format!("its ids are not in the order of its merges (at {token})"));
        }
        last = Some(id);
        tokens.push((decode(&token)?, id));
    }
    tokens.sort_unstable_by_key(|(_, id)| *id);
    if tokens.windows(2).any(|pair| pair[0].1 == pair[1].1) {
        return Err("two of its tokens have the same id".to_owned());
    }
    Ok(tokens)
}

/// The byte behind each character of the byte-level alphabet (GPT-2): printable bytes of Latin-1 stand for themselves, the
/// others for U+0100 and up.
fn byte_of_char() -> HashMap<char, u8> {
    let printable = |byte: &u8| matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    let direct = (0..=u8::MAX).filter(printable).map(|byte| (char::from(byte), byte));
    let moved = (0..=u8::MAX).filter(|byte| !printable(byte));
    direct.chain(moved.zip('\u{100}'..).map(|(byte, char)| (char, byte))).collect()
}

/// True for the composed normal form, false for none.
fn nfc(normalizer: Option<&Value>) -> Result<bool, String> {
    let Some(normalizer) = normalizer.filter(|value| !value.is_null()) else { return Ok(false) };
    match normalizer["type"].as_str() {
        Some("NFC") => Ok(true),
        Some("Sequence") => {
            let parts = normalizer["normalizers"].as_array().map_or(&[][..], Vec::as_slice);
            parts.iter().try_fold(false, |found, part| Ok(found | nfc(Some(part))?))
        }
        other => Err(format!("its normalizer {} is not the composed normal form", other.unwrap_or("without a type"))),
    }
}

fn splits(pre_tokenizer: Option<&Value>) -> Result<Vec<String>, String> {
    let none = || "it has no byte-level pre-tokenizer".to_owned();
    let pre_tokenizer = pre_tokenizer.filter(|value| !value.is_null()).ok_or_else(none)?;
    let parts = match pre_tokenizer["type"].as_str() {
        Some("Sequence") => pre_tokenizer["pretokenizers"].as_array().ok_or_else(none)?.as_slice(),
        _ => std::slice::from_ref(pre_tokenizer),
    };
    let (last, parts) = parts.split_last().ok_or_else(none)?;
    let mut patterns = parts.iter().map(split).collect::<Result<Vec<_>, _>>()?;
    if last["type"] != "ByteLevel" {
        return Err(none());
    }
    if last["add_prefix_space"] != false {
        return Err("its pre-tokenizer adds a space to the text".to_owned());
    }
    if last["use_regex"] != false {
        patterns.push(GPT2.to_owned());
    }
    Ok(patterns)
}

fn split(part: &Value) -> Result<String, String> {
    if part["type"] != "Split" {
        return Err(format!("its pre-tokenizer has a part {}", part["type"]));
    }
    if part["behavior"] != "Isolated" || part["invert"] == true {
        return Err("its split pattern does not leave each match a piece of its own".to_owned());
    }
    part["pattern"]["Regex"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| "it splits the text at a fixed string".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tiny() -> Value {
        let mut vocabulary = serde_json::Map::new();
        let mut alphabet: Vec<char> = byte_of_char().into_keys().collect();
        alphabet.sort_unstable();
        for token in alphabet.iter().map(char::to_string).chain(["th", "he", "the"].map(str::to_owned)) {
            vocabulary.insert(token, vocabulary.len().into());
        }
        json!({
            "added_tokens": [{"id": 300, "content": "<e\u{301}>", "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": true, "special": false}],
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]},
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "vocab": vocabulary, "merges": ["t h", ["h", "e"], "th e"]}
        })
    }

    fn read(json: Value) -> Result<ByteLevelBpe, String> {
        ByteLevelBpe::from_file(serde_json::from_value(json).unwrap())
    }

    #[test]
    fn tokens_are_bytes_in_the_order_of_their_merges() {
        let bpe = read(tiny()).unwrap();
        assert_eq!(bpe.tokens.len(), 259);
        let merged: Vec<_> = bpe.tokens[256..].to_vec();
        assert_eq!(merged, [(b"th".to_vec(), 256), (b"he".to_vec(), 257), (b"the".to_vec(), 258)]);
        let mut bytes: Vec<u8> = bpe.tokens[..256].iter().map(|(bytes, _)| bytes[0]).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>(), "every byte has a token");
        assert_eq!(bpe.splits, [GPT2]);
        assert!(bpe.nfc);
        assert_eq!(bpe.added, [Added { content: "<\u{e9}>".to_owned(), id: 300, normalized: true }]);
    }

    #[test]
    fn what_byte_level_bpe_cannot_do_is_refused_with_its_reason() {
        let changes: [(&str, Value, &str); 8] = [
            ("/model/dropout", json!(0.1), "dropped at random"),
            ("/model/byte_fallback", json!(true), "no byte-level BPE"),
            ("/model/end_of_word_suffix", json!("</w>"), "prefix or suffix"),
            ("/model/merges", json!(["h e", "t h"]), "not in the order of its merges"),
            ("/normalizer", json!({"type": "Lowercase"}), "its normalizer Lowercase"),
            ("/pre_tokenizer", json!({"type": "Metaspace"}), "no byte-level pre-tokenizer"),
            ("/pre_tokenizer/add_prefix_space", json!(true), "adds a space"),
            ("/added_tokens/0/lstrip", json!(true), "takes the text around it into account"),
        ];
        for (pointer, value, reason) in changes {
            let mut json = tiny();
            for (name, default) in
                [("dropout", Value::Null), ("byte_fallback", json!(false)), ("end_of_word_suffix", json!(""))]
            {
                json["model"][name] = default;
            }
            *json.pointer_mut(pointer).unwrap() = value;
            let error = read(json).unwrap_err();
            assert!(error.contains(reason), "{pointer}: {error}");
        }
    }
}
