//! A request on its way to the right length, and what making it longer asks of it.

use serde_json::Value;

use super::author::{Author, Block, Form};
use super::conversation::{Conversation, Message};
use super::rng::Stream;

/// A request on its way to the right length.
pub(crate) struct Draft {
    /// Index in the workload, the pool first.
    pub(crate) index: u32,
    pub(crate) conversation: Conversation,
    pub(crate) author: Author,
    pub(crate) rng: Stream,
    pub(crate) body: Value,
    pub(crate) text: String,
    pub(crate) tokens: usize,
}

impl Conversation {
    /// Adds a sentence to a paragraph, or a paragraph to a message that has none.
    pub(super) fn lengthen(&mut self, rng: &mut Stream, text: &str) {
        let at = rng.below(self.messages.len());
        let blocks = &mut self.messages[at].blocks;
        match blocks.iter_mut().rfind(|block| block.form == Form::Prose) {
            Some(block) => block.parts.push(text.to_owned()),
            None => blocks.push(Block { form: Form::Prose, parts: vec![text.to_owned()] }),
        }
    }
}

impl Message {
    pub(super) fn bytes(&self) -> usize {
        self.blocks.iter().map(Block::bytes).sum()
    }
}
