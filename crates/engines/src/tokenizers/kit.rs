//! `kitoken`, which converts a `tokenizer.json` into its own tables.

use std::path::Path;
use std::sync::Arc;

use kitoken::Kitoken;
use kitoken::convert::ConversionError;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::loaded::{Loaded, read, unfit};
use crate::engine::{Engine, EngineError};
use crate::tokenize::Tokenize;

struct Kit(Arc<Kitoken>);

impl Loaded for Kit {
    fn call_path(&self, name: &str) -> Option<Box<Tokenize>> {
        (name == "encode").then(|| Box::new(Encode(Arc::clone(&self.0))) as Box<Tokenize>)
    }
}

pub fn load(path: &Path) -> Result<Box<dyn Loaded>, EngineError> {
    let bytes = without_limits(path, read(path)?)?;
    let tokenizer =
        Kitoken::from_tokenizers_slice(&bytes).map_err(|error: ConversionError| unfit("kitoken", path, error))?;
    Ok(Box::new(Kit(Arc::new(tokenizer))))
}

/// The file without the truncation and padding that it may ask for: the engine would make them a part of the tokenizer.
/// Most files ask for none, and are not copied.
fn without_limits(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>, EngineError> {
    #[derive(Deserialize)]
    struct Limits {
        truncation: Option<IgnoredAny>,
        padding: Option<IgnoredAny>,
    }
    let broken = |error: serde_json::Error| {
        EngineError::Failed(format!("{} is broken: {error}; fetch it again", path.display()))
    };
    let limits: Limits = serde_json::from_slice(&bytes).map_err(broken)?;
    if limits.truncation.is_none() && limits.padding.is_none() {
        return Ok(bytes);
    }
    let mut json: Value = serde_json::from_slice(&bytes).map_err(broken)?;
    json["truncation"] = Value::Null;
    json["padding"] = Value::Null;
    serde_json::to_vec(&json).map_err(broken)
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
