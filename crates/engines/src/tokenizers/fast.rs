//! `fastokens`. Its optional caches of inputs and segments stay off; the cache of words that it always has stays on.

use std::path::Path;
use std::sync::Arc;

use super::loaded::{Loaded, read, unfit};
use crate::engine::{Engine, EngineError};
use crate::tokenize::Tokenize;

struct Fast(Arc<fastokens::Tokenizer>);

impl Loaded for Fast {
    fn call_path(&self, name: &str) -> Option<Box<Tokenize>> {
        let tokenizer = Arc::clone(&self.0);
        match name {
            "encode" => Some(Box::new(Encode(tokenizer))),
            "encode_batch" => Some(Box::new(EncodeBatch(tokenizer))),
            _ => None,
        }
    }
}

pub fn load(path: &Path) -> Result<Box<dyn Loaded>, EngineError> {
    let json = serde_json::from_slice(&read(path)?)
        .map_err(|error| EngineError::Failed(format!("{} is not JSON: {error}; fetch it again", path.display())))?;
    let mut tokenizer = fastokens::Tokenizer::from_json(json).map_err(|error| unfit("fastokens", path, error))?;
    tokenizer.set_padding(None);
    tokenizer.set_truncation(None);
    Ok(Box::new(Fast(Arc::new(tokenizer))))
}

struct Encode(Arc<fastokens::Tokenizer>);

impl Engine for Encode {
    type Input = str;
    type Output = Vec<u32>;

    fn run(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        self.0.encode(text).map_err(EngineError::failed)
    }
}

/// `encode_batch` with one text.
struct EncodeBatch(Arc<fastokens::Tokenizer>);

impl Engine for EncodeBatch {
    type Input = str;
    type Output = Vec<u32>;

    fn run(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let mut batch = self.0.encode_batch(&[text], false).map_err(EngineError::failed)?;
        match (batch.pop(), batch.len()) {
            (Some(ids), 0) => Ok(ids),
            (_, more) => Err(EngineError::Failed(format!("encode_batch gave {} lists for one text", more + 1))),
        }
    }
}
