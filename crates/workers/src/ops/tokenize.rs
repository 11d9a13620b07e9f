//! `tokenize`: the text of a prompt into its ids.

use std::sync::Arc;

use engines::{EngineError, tokenize};

use super::{Op, Produced};
use crate::inputs::Inputs;

pub struct Tokenize {
    engine: Box<tokenize::Tokenize>,
    prompts: Arc<Vec<String>>,
}

impl Tokenize {
    pub fn new(engine: Box<tokenize::Tokenize>, inputs: &Inputs) -> Result<Self, EngineError> {
        Ok(Self { engine, prompts: inputs.prompts()? })
    }
}

impl Op for Tokenize {
    fn call(&self, index: usize) -> Result<Produced, EngineError> {
        self.engine.run(&self.prompts[index]).map(Produced::Ids)
    }
}
