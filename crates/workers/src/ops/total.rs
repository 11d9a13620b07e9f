//! `total`: a request from its bytes to the message for the engine process, without a stamp between the stages.

use std::hint::black_box;
use std::slice;
use std::sync::Arc;

use engines::handoff::Message;
use engines::{EngineError, collate, handoff, parse, render, tokenize};
use record::plan;

use super::{Op, Produced, pair};
use crate::inputs::Inputs;
use crate::model::Model;

pub struct Total {
    lines: Arc<Vec<Vec<u8>>>,
    parse: Box<parse::Parse>,
    render: Box<render::Render>,
    tokenize: Box<tokenize::Tokenize>,
    collate: Box<collate::Collate>,
    handoff: Box<handoff::Encode>,
}

impl Total {
    pub fn new(op: &plan::Op, inputs: &Inputs, model: &Model) -> Result<Self, EngineError> {
        Ok(Self {
            lines: inputs.lines()?,
            parse: model.parse(pair(op, "parse")?)?,
            render: model.render(pair(op, "template")?)?,
            tokenize: model.tokenize(pair(op, "tokenize")?)?,
            collate: model.collate(pair(op, "collate")?)?,
            handoff: model.handoff(pair(op, "handoff")?)?,
        })
    }
}

impl Op for Total {
    fn call(&self, index: usize) -> Result<Produced, EngineError> {
        let request = self.parse.run(&self.lines[index])?;
        let text = self.render.run(&render::conversation(&request)?)?;
        let ids = self.tokenize.run(&text)?;
        let collated = self.collate.run(slice::from_ref(&ids))?;
        let message = self.handoff.run(&Message { request_id: index.to_string(), prompt_token_ids: ids })?;
        black_box(collated);
        Ok(Produced::Message(message))
    }
}
