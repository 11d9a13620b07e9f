//! `handoff`: a tokenized request into the message that the engine process gets.

use engines::handoff::Message;
use engines::{EngineError, handoff};

use super::{Op, Produced};

pub struct Handoff {
    engine: Box<handoff::Encode>,
    messages: Vec<Message>,
}

impl Handoff {
    pub fn new(engine: Box<handoff::Encode>, ids: &[Vec<u32>]) -> Self {
        let message =
            |(index, ids): (usize, &Vec<u32>)| Message { request_id: index.to_string(), prompt_token_ids: ids.clone() };
        Self { engine, messages: ids.iter().enumerate().map(message).collect() }
    }
}

impl Op for Handoff {
    fn call(&self, index: usize) -> Result<Produced, EngineError> {
        self.engine.run(&self.messages[index]).map(Produced::Message)
    }
}
