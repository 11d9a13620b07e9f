//! What every engine of this folder is behind, and how it reads its file.

use std::path::{Path, PathBuf};

use crate::engine::EngineError;
use crate::tokenize::Tokenize;

/// A loaded tokenizer of some engine. Its call paths share it, from any thread.
pub trait Loaded: Send + Sync {
    /// The call path of that name, if the engine has it.
    fn call_path(&self, name: &str) -> Option<Box<Tokenize>>;
}

pub(super) type Load = fn(&Path) -> Result<Box<dyn Loaded>, EngineError>;

/// The tokenizer's file in a model folder.
pub(super) fn file(model: &Path) -> PathBuf {
    model.join("tokenizer.json")
}

/// Reads the file, or says what is wrong with it in the words of the stable engine.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, EngineError> {
    std::fs::read(path).map_err(|error| {
        EngineError::Failed(format!("{} cannot be read: {error}; give a model folder that holds it", path.display()))
    })
}

/// What an engine says of a tokenizer that it does not take.
pub(super) fn unfit(engine: &str, path: &Path, reason: impl std::fmt::Display) -> EngineError {
    EngineError::Unavailable(format!(
        "{engine} cannot represent {}: {reason}; leave this engine out for this model",
        path.display()
    ))
}
