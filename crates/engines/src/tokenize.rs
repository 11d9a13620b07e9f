//! Tokenization by Hugging Face `tokenizers`, by each of its call paths.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use serde::Deserialize;

use crate::engine::{Engine, EngineError};
use crate::versions;

/// From a text to its token ids.
pub type Tokenize = dyn Engine<Input = str, Output = Vec<u32>>;

/// Name of the engine.
pub const ENGINE: &str = "hf-tokenizers";

/// Its call paths, the most used first.
pub const CALL_PATHS: [&str; 3] = ["encode", "encode_fast", "encode_batch"];

/// A loaded `tokenizer.json`, shared by all call paths and threads.
#[derive(Clone)]
pub struct Tokenizer(Arc<tokenizers::Tokenizer>);

/// Why a `tokenizer.json` cannot be used. Every message names the file and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    #[error("{file} does not exist; give a model folder that holds a tokenizer.json")]
    Missing { file: String },
    #[error("{file} cannot be read: {reason}")]
    Unreadable { file: String, reason: String },
    #[error("{file} is truncated: it ends at line {line}, column {column}, in the middle of the JSON; fetch it again")]
    Truncated { file: String, line: usize, column: usize },
    #[error(
        "{file} is not JSON ({reason}); a tokenizer.json of Hugging Face tokenizers is needed, not a SentencePiece or Git LFS file"
    )]
    NotJson { file: String, reason: String },
    #[error(
        "{file} is JSON, but no tokenizer: it has no \"model\"; a tokenizer.json of Hugging Face tokenizers is needed"
    )]
    NotATokenizer { file: String },
    #[error(
        "{file} is a tokenizer of the kind `{kind}`, which is not supported; use a model with BPE, Unigram, WordPiece or WordLevel"
    )]
    Kind { file: String, kind: String },
    #[error(
        "{file} is not supported by tokenizers {version} ({reason}); fetch the newest one of the model's repository, or take another model"
    )]
    Unsupported { file: String, version: &'static str, reason: String },
}

impl Tokenizer {
    /// Reads and loads a `tokenizer.json`.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let file = path.display().to_string();
        match std::fs::read(path) {
            Ok(bytes) => Self::from_bytes(&file, &bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(LoadError::Missing { file }),
            Err(error) => Err(LoadError::Unreadable { file, reason: error.to_string() }),
        }
    }

    /// Loads the bytes of a `tokenizer.json`; `file` is its name for error messages.
    ///
    /// Padding and truncation that the file may switch on are switched off: a server gets every token of its prompt, once.
    pub fn from_bytes(file: &str, bytes: &[u8]) -> Result<Self, LoadError> {
        let mut inner =
            tokenizers::Tokenizer::from_bytes(bytes).map_err(|error| diagnose(file, bytes, &error.to_string()))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| LoadError::Unsupported {
            file: file.to_owned(),
            version: versions::of("tokenizers"),
            reason: error.to_string(),
        })?;
        Ok(Self(Arc::new(inner)))
    }

    /// The token ids of `text`; nothing is added around it.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        Encode(self.clone()).run(text)
    }

    /// The loaded tokenizer itself.
    pub fn inner(&self) -> &tokenizers::Tokenizer {
        &self.0
    }

    /// The call path of that name, if there is one.
    pub fn call_path(&self, name: &str) -> Option<Box<Tokenize>> {
        match name {
            "encode" => Some(Box::new(Encode(self.clone()))),
            "encode_fast" => Some(Box::new(EncodeFast(self.clone()))),
            "encode_batch" => Some(Box::new(EncodeBatch(self.clone()))),
            _ => None,
        }
    }
}

/// Numbers of tokens of `texts`, in order, on all cores; special tokens are not added.
pub fn count_tokens(tokenizer: &Tokenizer, texts: &[String]) -> Result<Vec<usize>, EngineError> {
    texts
        .par_iter()
        .map(|text| {
            tokenizer.0.encode_fast(text.as_str(), false).map(|encoding| encoding.len()).map_err(EngineError::failed)
        })
        .collect()
}

/// Says what is wrong with a file that did not load. Only called on failure, so the second parse costs nobody anything.
fn diagnose(file: &str, bytes: &[u8], error: &str) -> LoadError {
    #[derive(Deserialize)]
    struct Head {
        model: Option<Model>,
    }
    #[derive(Deserialize)]
    struct Model {
        #[serde(rename = "type")]
        kind: Option<String>,
    }

    let file = file.to_owned();
    if let Err(json) = serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
        return if json.is_eof() && bytes.contains(&b'{') {
            LoadError::Truncated { file, line: json.line(), column: json.column() }
        } else if bytes.is_empty() {
            LoadError::NotJson { file, reason: "the file is empty".to_owned() }
        } else {
            LoadError::NotJson { file, reason: json.to_string() }
        };
    }
    match serde_json::from_slice::<Head>(bytes) {
        Ok(Head { model: Some(Model { kind: Some(kind) }) })
            if !["BPE", "Unigram", "WordPiece", "WordLevel"].contains(&kind.as_str()) =>
        {
            LoadError::Kind { file, kind }
        }
        Ok(Head { model: Some(_) }) => {
            LoadError::Unsupported { file, version: versions::of("tokenizers"), reason: error.to_owned() }
        }
        Ok(Head { model: None }) | Err(_) => LoadError::NotATokenizer { file },
    }
}

/// `Tokenizer::encode`: ids, tokens and byte offsets.
struct Encode(Tokenizer);

impl Engine for Encode {
    type Input = str;
    type Output = Vec<u32>;

    fn run(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let encoding = self.0.0.encode(text, false).map_err(EngineError::failed)?;
        Ok(encoding.get_ids().to_vec())
    }
}

/// `Tokenizer::encode_fast`: the same without offsets.
struct EncodeFast(Tokenizer);

impl Engine for EncodeFast {
    type Input = str;
    type Output = Vec<u32>;

    fn run(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let encoding = self.0.0.encode_fast(text, false).map_err(EngineError::failed)?;
        Ok(encoding.get_ids().to_vec())
    }
}

/// `Tokenizer::encode_batch` with one text.
struct EncodeBatch(Tokenizer);

impl Engine for EncodeBatch {
    type Input = str;
    type Output = Vec<u32>;

    fn run(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let encodings = self.0.0.encode_batch(vec![text], false).map_err(EngineError::failed)?;
        match encodings.as_slice() {
            [encoding] => Ok(encoding.get_ids().to_vec()),
            other => Err(EngineError::Failed(format!("encode_batch gave {} encodings for one text", other.len()))),
        }
    }
}
