//! One answer of a request, as it is being made.

use server_api::{Ending, Tokens, Words};

use crate::tokens::Reply;

/// One answer of a request.
#[derive(Debug, Clone)]
pub struct Choice {
    pub index: u32,
    pub reply: Reply,
    pub prompt_tokens: u32,
    /// Tokens of the prompt that were found in the cache.
    pub cached: u32,
    /// The first tokens that are reasoning, in APIs that tell it apart.
    pub reasoning: u32,
    pub output_tokens: u32,
    pub ending: Ending,
    /// Tokens that the engine gave.
    pub produced: u32,
    /// Tokens that were put into chunks.
    pub sent: u32,
    /// Text in place of words (faults).
    pub text: Option<&'static str>,
}

impl Choice {
    /// As the APIs write it.
    pub fn view(&self) -> server_api::Choice<'_> {
        server_api::Choice {
            index: self.index,
            words: self,
            prompt_tokens: self.prompt_tokens,
            cached: self.cached,
            reasoning: self.reasoning,
            ending: self.ending,
            produced: self.produced,
            sent: self.sent,
        }
    }
}

impl Words for Choice {
    fn word(&self, index: u32) -> &str {
        self.text.unwrap_or_else(|| self.reply.word(index))
    }

    fn id(&self, index: u32) -> u32 {
        self.reply.token(index)
    }
}

/// The tokens of all answers of a request.
pub fn tokens(choices: &[Choice], choices_a_prompt: u32) -> Tokens {
    Tokens::of(choices.iter().map(Choice::view), choices_a_prompt)
}
