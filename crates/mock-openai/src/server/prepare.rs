//! From what a client asks for to sequences for the engine.

use std::sync::Arc;

use server_api::{Ending, Wanted};

use crate::api::{self, Choice};
use crate::config::Config;
use crate::engine::{Key, NewSequence};
use crate::front::Work;
use crate::http::Reply as HttpReply;
use crate::tokens::{Chain, Reply, ReplyIds};

/// The answers that a request will get, and the engine's work for them.
#[derive(Debug)]
pub(super) struct Prepared {
    pub choices: Vec<Choice>,
    pub sequences: Vec<NewSequence>,
    /// What the front end has to do.
    pub work: Work,
}

/// Tokenizes and checks a request. `request` names it in the engine.
///
/// # Errors
/// The answer to a request that cannot be served.
pub(super) fn prepare(
    ask: &Wanted,
    request: u64,
    reasoning: u32,
    config: &Config,
    ids: &Arc<ReplyIds>,
) -> Result<Prepared, HttpReply> {
    let refuse = |message: &str| HttpReply::error(400, message);
    let mut prepared = Prepared { choices: Vec::new(), sequences: Vec::new(), work: Work::default() };
    for prompt in &ask.prompts {
        let tokens = api::ids(prompt, &config.tokenizer).map_err(|message| refuse(&message))?;
        prepared.work.messages += prompt.messages();
        prepared.work.tokens += prompt.tokens_of_text(tokens.len());
        if tokens.is_empty() {
            return Err(refuse("the prompt has no token"));
        }
        let chain = Chain::of(config.engine.block_size, &tokens);
        let room = config.max_model_len.saturating_sub(tokens.len());
        if room == 0 || ask.output_tokens.is_some_and(|wanted| wanted > room as u64) {
            return Err(refuse(&format!(
                "the context of this model is {} tokens, and this request needs {} for its prompt and {} for its answer",
                config.max_model_len,
                tokens.len(),
                ask.output_tokens.unwrap_or(1),
            )));
        }
        let most = ask.output_tokens.unwrap_or_else(|| u64::from(config.default_output_tokens).min(room as u64));
        // `room` is below 2^32: so is what fits into it.
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        for number in 0..ask.choices {
            let index = prepared.choices.len() as u32;
            let reply = Reply::new(chain.identity(), number, Arc::clone(ids));
            let natural = natural_tokens(config, &reply).filter(|natural| *natural <= most && !ask.ignore_eos);
            let output_tokens = natural.unwrap_or(most).max(1);
            if !config.engine.fits(tokens.len(), output_tokens as usize) {
                return Err(refuse(&format!(
                    "a prompt of {} tokens and an answer of {output_tokens} do not fit into a KV cache of {} blocks of {} tokens",
                    tokens.len(),
                    config.engine.kv_blocks,
                    config.engine.block_size,
                )));
            }
            prepared.choices.push(Choice {
                index,
                reply: reply.clone(),
                prompt_tokens: tokens.len() as u32,
                cached: 0,
                reasoning: reasoning.min(output_tokens),
                output_tokens,
                ending: if natural.is_some() { Ending::Stop } else { Ending::Length },
                produced: 0,
                sent: 0,
                text: None,
            });
            let key = Key { request, choice: index };
            prepared.sequences.push(NewSequence { key, prompt: chain.clone(), reply, output_tokens });
        }
    }
    if prepared.choices.is_empty() {
        return Err(refuse("the request has no prompt"));
    }
    Ok(prepared)
}

/// After how many tokens the model ends by itself.
fn natural_tokens(config: &Config, reply: &Reply) -> Option<u32> {
    let range = config.natural_tokens.as_ref()?;
    let (first, last) = (u64::from(*range.start()), u64::from(*range.end()));
    let span = last.saturating_sub(first) + 1;
    Some((first + reply.seed() % span) as u32)
}
