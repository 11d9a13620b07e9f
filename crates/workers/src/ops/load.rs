//! `load`: a tokenizer made from its file, by one engine.
//!
//! The first load of a process is the one that says what a start costs, in memory too (timing `first`); a later one finds the
//! file in the page cache and memory that was freed before. Every load is checked by what the loaded tokenizer makes of the
//! request's prompt, outside the timed part.

use std::path::PathBuf;
use std::sync::Arc;

use engines::EngineError;
use engines::tokenizers::load_cost::{LoadCost, load_cost};
use engines::tokenizers::{Kind, Loaded};

use super::{Op, Produced};
use crate::inputs::Inputs;

pub struct Load {
    kind: &'static Kind,
    model: PathBuf,
    prompts: Arc<Vec<String>>,
}

/// What a call of `load` gives.
pub struct Fresh {
    loaded: Box<dyn Loaded>,
    pub cost: LoadCost,
    call_path: &'static str,
    prompts: Arc<Vec<String>>,
    index: usize,
}

impl Load {
    pub fn new(kind: &'static Kind, model: PathBuf, inputs: &Inputs) -> Result<Self, EngineError> {
        Ok(Self { kind, model, prompts: inputs.prompts()? })
    }
}

impl Op for Load {
    fn call(&self, index: usize) -> Result<Produced, EngineError> {
        let (loaded, cost) = load_cost(self.kind.engine, &self.model)?;
        let (call_path, prompts) = (self.kind.call_paths[0], Arc::clone(&self.prompts));
        Ok(Produced::Loaded(Box::new(Fresh { loaded, cost, call_path, prompts, index })))
    }
}

impl Fresh {
    /// The ids of the request's prompt.
    pub fn ids(&self) -> Result<Vec<u32>, EngineError> {
        let encode = self.loaded.call_path(self.call_path).ok_or_else(|| EngineError::failed("it has no call path"))?;
        encode.run(&self.prompts[self.index])
    }
}
