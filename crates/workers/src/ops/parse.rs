//! `parse`: the bytes of a request body into a validated request.

use std::sync::Arc;

use engines::{EngineError, parse};

use super::{Op, Produced};
use crate::inputs::Inputs;

pub struct Parse {
    engine: Box<parse::Parse>,
    lines: Arc<Vec<Vec<u8>>>,
}

impl Parse {
    pub fn new(engine: Box<parse::Parse>, inputs: &Inputs) -> Result<Self, EngineError> {
        Ok(Self { engine, lines: inputs.lines()? })
    }
}

impl Op for Parse {
    fn call(&self, index: usize) -> Result<Produced, EngineError> {
        self.engine.run(&self.lines[index]).map(Produced::Request)
    }
}
