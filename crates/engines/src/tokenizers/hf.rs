//! The stable Hugging Face `tokenizers`, of [`crate::tokenize`].

use std::path::Path;

use super::loaded::Loaded;
use crate::engine::EngineError;
use crate::tokenize::{Tokenize, Tokenizer};

impl Loaded for Tokenizer {
    fn call_path(&self, name: &str) -> Option<Box<Tokenize>> {
        Self::call_path(self, name)
    }
}

pub fn load(path: &Path) -> Result<Box<dyn Loaded>, EngineError> {
    Ok(Box::new(Tokenizer::load(path).map_err(EngineError::failed)?))
}
