//! `kitoken`, which converts a `tokenizer.json` into its own tables.

use std::path::Path;
use std::sync::Arc;

use kitoken::Kitoken;
use kitoken::convert::ConversionError;

use super::{Loaded, read, unfit};
use crate::engine::{Engine, EngineError};
use crate::tokenize::Tokenize;

struct Kit(Arc<Kitoken>);

impl Loaded for Kit {
    fn call_path(&self, name: &str) -> Option<Box<Tokenize>> {
        (name == "encode").then(|| Box::new(Encode(Arc::clone(&self.0))) as Box<Tokenize>)
    }
}

pub fn load(path: &Path) -> Result<Box<dyn Loaded>, EngineError> {
    let bytes = read(path)?;
    let tokenizer = Kitoken::from_tokenizers_slice(&bytes)
        .map_err(|error: ConversionError| unfit("kitoken", path, error))?;
    Ok(Box::new(Kit(Arc::new(tokenizer))))
}

/// `Kitoken::encode` with special tokens recognised.
struct Encode(Arc<Kitoken>);

impl Engine for Encode {
    type Input = str;
    type Output = Vec<u32>;

    fn run(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        self.0.encode(text, true).map_err(EngineError::failed)
    }
}
