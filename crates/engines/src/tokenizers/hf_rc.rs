//! The release candidate of Hugging Face `tokenizers` 1.0.
//!
//! A `tokenizer.json` of today is first rewritten into its canonical form, which is part of loading it.
//! `encode_into` appends to the caller's vector in the calling thread and is what its documentation gives to servers;
//! `encode` copies the text and hands long texts to its pool of threads; `encode_batch` is `encode` of a list of one.

use std::path::Path;

use tokenizers_rc::pipeline::{EncodeOptions, Encoding, Override, PipelineToken, PipelineTokenizer};

use super::loaded::{Loaded, unfit};
use crate::engine::{Engine, EngineError};
use crate::tokenize::Tokenize;

struct Rc(PipelineTokenizer);

impl Loaded for Rc {
    fn call_path(&self, name: &str) -> Option<Box<Tokenize>> {
        // A clone shares the tables.
        let tokenizer = self.0.clone();
        match name {
            "encode" => Some(Box::new(Encode(tokenizer, options()))),
            "encode_into" => Some(Box::new(EncodeInto(tokenizer, options()))),
            "encode_batch" => Some(Box::new(EncodeBatch(tokenizer, options()))),
            _ => None,
        }
    }
}

pub fn load(path: &Path) -> Result<Box<dyn Loaded>, EngineError> {
    let canonical = tokenizers_rc::canonicalize_file(path).map_err(|error| match error {
        tokenizers_rc::ConvertError::Io { .. } | tokenizers_rc::ConvertError::Json(_) => EngineError::failed(error),
        other => unfit("hf-tokenizers-rc", path, other),
    })?;
    let tokenizer = tokenizers_rc::from_json(&canonical).map_err(|error| unfit("hf-tokenizers-rc", path, error))?;
    Ok(Box::new(Rc(tokenizer)))
}

/// Nothing added, padded or cut.
fn options() -> EncodeOptions {
    EncodeOptions { padding: Override::Off, truncation: Override::Off, ..EncodeOptions::no_specials() }
}

fn ids(tokens: &[PipelineToken]) -> Vec<u32> {
    tokens.iter().map(|token| token.id()).collect()
}

fn one(encodings: Result<Vec<Encoding>, tokenizers_rc::Error>) -> Result<Vec<u32>, EngineError> {
    match encodings.map_err(EngineError::failed)?.as_slice() {
        [encoding] => Ok(ids(encoding.ids())),
        other => Err(EngineError::Failed(format!("encode gave {} encodings for one text", other.len()))),
    }
}

struct Encode(PipelineTokenizer, EncodeOptions);

impl Engine for Encode {
    type Input = str;
    type Output = Vec<u32>;

    fn run(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        one(self.0.encode(text, &self.1).wait())
    }
}

struct EncodeInto(PipelineTokenizer, EncodeOptions);

impl Engine for EncodeInto {
    type Input = str;
    type Output = Vec<u32>;

    fn run(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let mut tokens = Vec::new();
        self.0.encode_into(text, &self.1, &mut tokens).map_err(EngineError::failed)?;
        Ok(ids(&tokens))
    }
}

struct EncodeBatch(PipelineTokenizer, EncodeOptions);

impl Engine for EncodeBatch {
    type Input = str;
    type Output = Vec<u32>;

    fn run(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        one(self.0.encode(vec![text], &self.1).wait())
    }
}
