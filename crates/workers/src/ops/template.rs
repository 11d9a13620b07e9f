//! `template`: a conversation into the text of its prompt.

use std::sync::Arc;

use engines::template::Conversation;
use engines::{EngineError, render};

use super::{Op, Produced};
use crate::inputs::Inputs;

pub struct Template {
    engine: Box<render::Render>,
    conversations: Arc<Vec<Conversation>>,
}

impl Template {
    pub fn new(engine: Box<render::Render>, inputs: &Inputs) -> Result<Self, EngineError> {
        Ok(Self { engine, conversations: inputs.conversations()? })
    }
}

impl Op for Template {
    fn call(&self, index: usize) -> Result<Produced, EngineError> {
        self.engine.run(&self.conversations[index]).map(Produced::Text)
    }
}
