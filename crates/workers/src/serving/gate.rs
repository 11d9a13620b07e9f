//! Do all ways to ask get the same answers? Before a way is measured, some requests of the workload are sent by it, one at a time and
//! greedily, and compared with the same requests as ids: prompt tokens by the server's usage, and the text of the answer.
//!
//! One at a time, because under load a server may batch in other ways, add in another order, and round a token to another.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use loadgen::serving::probe;
use record::protocol::target::Patience;
use record::protocol::{ErrorKind, Inputs};
use server_api::Api;
use server_api::json::Raw;

use super::asks::{Extent, Form, Pool, Way};
use super::patience::request_ns;
use super::server::Running;
use super::sidecar::Sidecar;
use crate::load_worker::Refusal;
use record::format;

/// Characters of an answer that a sentence shows.
const SHOWN: usize = 40;
/// What says that a server has no such API or takes no such prompt, rather than that it failed.
const NOT_TAKEN: [u16; 6] = [400, 404, 405, 415, 422, 501];

/// What is asked, and by which way.
pub struct Asked<'a> {
    pub server: &'a Running,
    pub sidecar: Option<&'a Sidecar>,
    pub way: &'a Way,
    pub inputs: &'a Inputs,
    pub pool: &'a Pool,
    pub extent: Extent,
    pub patience: &'a Patience,
}

/// What came of the ways so far.
#[derive(Default)]
pub struct Gates {
    references: Vec<(Inputs, Extent, Reference)>,
    /// Ways that were looked at: by form, and whether through the sidecar.
    held: Vec<(Inputs, Extent, Form, bool, Option<Refusal>)>,
}

/// The answers to ids.
#[derive(Debug, Clone)]
struct Reference {
    said: Vec<Said>,
    /// The server gives the same answer again, so that other answers mean other prompts.
    is_stable: bool,
}

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    /// By its usage; none where it gives none.
    prompt_tokens: Option<u64>,
    /// By its usage.
    output_tokens: Option<u64>,
    text: String,
    /// A part of the text was told apart as reasoning: the marks around it are gone.
    has_reasoning: bool,
}

impl Gates {
    /// Passes where the answers agree. A way is asked once.
    ///
    /// # Errors
    /// A mismatch with a sentence about the first difference; unavailable where the server takes no such request.
    pub fn hold(&mut self, asked: &Asked<'_>) -> Result<(), Refusal> {
        let Asked { way, inputs, extent, .. } = asked;
        let known = self.held.iter().find(|(of, much, form, sidecar, _)| {
            of == *inputs && much == extent && *form == way.form && *sidecar == way.sidecar
        });
        if let Some((.., refusal)) = known {
            return refusal.clone().map_or(Ok(()), Err);
        }
        let outcome = self.look(asked);
        let refusal = outcome.as_ref().err().cloned();
        self.held.push(((*inputs).clone(), *extent, way.form, way.sidecar, refusal));
        outcome
    }

    fn look(&mut self, asked: &Asked<'_>) -> Result<(), Refusal> {
        let until = Instant::now() + Duration::from_secs_f64(asked.patience.gate_s);
        let reference = match self.reference(asked.inputs, asked.extent) {
            Some(reference) => reference.clone(),
            None => {
                let reference = Reference::ask(asked, until).map_err(|refusal| Refusal {
                    message: format!(
                        "what the ways are compared with, token ids, cannot be asked for: {}",
                        refusal.message
                    ),
                    ..refusal
                })?;
                self.references.push((asked.inputs.clone(), asked.extent, reference.clone()));
                reference
            }
        };
        if asked.way.form == Form::Ids {
            return Ok(());
        }
        for (number, expected) in reference.said.iter().enumerate() {
            let said = asked.one(asked.way, asked.sidecar, number, until)?;
            if let Some(difference) = difference(&said, expected, asked.way, reference.is_stable) {
                return Err(Refusal {
                    kind: ErrorKind::Mismatch,
                    message: format!("request {}: {difference}", asked.index(number)),
                });
            }
        }
        Ok(())
    }

    fn reference(&self, inputs: &Inputs, extent: Extent) -> Option<&Reference> {
        let found = self.references.iter().find(|(of, much, _)| of == inputs && *much == extent);
        found.map(|(.., reference)| reference)
    }

    /// What a gate compared: `gate_requests`, and how many of them by prompt tokens (`gate_counts`) and by text (`gate_texts`).
    pub fn readings(&self, inputs: &Inputs, extent: Extent) -> BTreeMap<String, f64> {
        let Some(reference) = self.reference(inputs, extent) else { return BTreeMap::new() };
        let requests = reference.said.len();
        let counts = reference.said.iter().filter(|said| said.prompt_tokens.is_some()).count();
        let texts = if reference.is_stable { requests } else { 0 };
        let readings = [("gate_requests", requests), ("gate_counts", counts), ("gate_texts", texts)];
        readings.into_iter().map(|(name, count)| (name.to_owned(), count as f64)).collect()
    }
}

impl Reference {
    /// Asks with ids until the answers come again, three times at most: the first may differ from what a warm cache gives.
    fn ask(asked: &Asked<'_>, until: Instant) -> Result<Self, Refusal> {
        let way = asked.way.as_ids();
        let all =
            || (0..asked.requests()).map(|number| asked.one(&way, None, number, until)).collect::<Result<Vec<_>, _>>();
        let mut said = all()?;
        for _ in 0..2 {
            let again = all()?;
            if again == said {
                return Ok(Self { said, is_stable: true });
            }
            said = again;
        }
        Ok(Self { said, is_stable: false })
    }
}

impl Asked<'_> {
    fn requests(&self) -> usize {
        (self.extent.requests as usize).clamp(1, self.pool.len())
    }

    /// The place in the pool of request `number` of the gate: they are spread evenly.
    fn index(&self, number: usize) -> usize {
        number * self.pool.len() / self.requests()
    }

    fn one(&self, way: &Way, sidecar: Option<&Sidecar>, number: usize, until: Instant) -> Result<Said, Refusal> {
        let server = self.server;
        let left_ns = u64::try_from(until.saturating_duration_since(Instant::now()).as_nanos()).unwrap_or(u64::MAX);
        if left_ns == 0 {
            return Err(Refusal::failed(format!(
                "comparing the ways to ask took longer than {} s, with {} requests of {} tokens each; ask for shorter prompts with --tokens",
                self.patience.gate_s,
                self.requests(),
                self.extent.tokens
            )));
        }
        let body = self
            .pool
            .one(way, server.model.as_deref(), self.index(number), self.extent.tokens, false)
            .map_err(Refusal::unavailable)?;
        let target = sidecar.map_or(&server.access.target, |sidecar| &sidecar.target);
        let page = probe::post(target, way.backend, server.key(), &body, request_ns(self.patience).min(left_ns))
            .map_err(Refusal::failed)?;
        if page.status == 200 {
            return Said::read(way.backend, &page.body).map_err(Refusal::failed);
        }
        let said = String::from_utf8_lossy(&page.body);
        let message = format!(
            "{} answers {} to {}: {}",
            way.backend.path(),
            page.status,
            name(way.form),
            shown(&said.split_whitespace().collect::<Vec<_>>().join(" "), 200)
        );
        Err(if NOT_TAKEN.contains(&page.status) { Refusal::unavailable(message) } else { Refusal::failed(message) })
    }
}

impl Said {
    /// A whole answer of an API.
    fn read(api: Api, body: &[u8]) -> Result<Self, String> {
        let (mut content, mut reasoning, mut has_text) = (String::new(), String::new(), false);
        let chunk = api.read_each(body.trim_ascii(), &mut |piece| {
            content.extend(piece.content.or(piece.cumulative).map(Raw::decode));
            reasoning.extend(piece.reasoning.map(Raw::decode));
            has_text |= piece.has_content() || piece.cumulative.is_some() || piece.ended.is_some();
        });
        let Some(chunk) = chunk else {
            return Err(format!(
                "the server's answer is no JSON of the API {api} ({:?}); see whether something stands between it and the client",
                shown(&String::from_utf8_lossy(body), SHOWN)
            ));
        };
        if !has_text {
            return Err(
                "the server's answer has no text where its API has one; see what it is with --base-url".to_owned()
            );
        }
        Ok(Self {
            prompt_tokens: chunk.usage.prompt.map(u64::from),
            output_tokens: chunk.usage.completion.map(u64::from),
            has_reasoning: !reasoning.is_empty(),
            text: reasoning + &content,
        })
    }

    /// Whether the two answers are the same to a reader: space around an answer is cut by some servers' chats, a character that its
    /// last token leaves open is shown or not, a chat that tells reasoning apart leaves its marks out, and one that looks for tool calls
    /// may hold all of a short answer back.
    fn agrees(&self, expected: &Self) -> bool {
        let core = |text: &str| -> String { text.trim_end_matches('\u{fffd}').trim().to_owned() };
        let (said, expected) = (core(&self.text), core(&expected.text));
        let held_back = said.is_empty() && self.output_tokens.is_some_and(|tokens| tokens > 1);
        said == expected || (self.has_reasoning && expected.contains(&said)) || held_back
    }
}

/// The sentence about an answer that is not the expected one.
fn difference(said: &Said, expected: &Said, way: &Way, is_stable: bool) -> Option<String> {
    let how = if way.sidecar { "through the sidecar" } else { name(way.form) };
    if let (Some(tokens), Some(of_ids)) = (said.prompt_tokens, expected.prompt_tokens)
        && tokens != of_ids
    {
        let why = match (way.form, tokens > of_ids) {
            (Form::Text, true) => "the server adds special tokens to a prompt that has them",
            (Form::Text, false) => "the server's tokenizer is not the one of --model, or it cuts the prompt",
            (_, true) => "the server's chat template is not the one of --model, or it adds special tokens again",
            (_, false) => "the server's chat template is not the one of --model, or it cuts the prompt",
        };
        return Some(format!(
            "{} prompt tokens as {how} and {} as ids: {why}",
            format::count(tokens),
            format::count(of_ids)
        ));
    }
    (is_stable && !said.agrees(expected)).then(|| {
        format!(
            "the greedy answer as {how} is {:?} and as ids {:?}, with as many prompt tokens: the prompts are not the same; compare the server's \
             template and tokenizer with those of --model",
            shown(&said.text, SHOWN),
            shown(&expected.text, SHOWN)
        )
    })
}

fn name(form: Form) -> &'static str {
    match form {
        Form::Messages => "messages",
        Form::Text => "text",
        Form::Ids => "ids",
    }
}

fn shown(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use server_api::{ANTHROPIC_MESSAGES, LLAMA_CPP, OPENAI_CHAT, OPENAI_COMPLETIONS, SGLANG};

    use super::*;

    fn said(tokens: u64, text: &str) -> Said {
        Said { prompt_tokens: Some(tokens), output_tokens: Some(8), text: text.to_owned(), has_reasoning: false }
    }

    fn way(form: &str) -> Way {
        let op =
            json!({"name": "ask", "engine": "server", "call_path": "stream", "threads": 1, "params": {"form": form}});
        Way::of(&serde_json::from_value(op).unwrap()).unwrap()
    }

    #[test]
    fn answers_of_all_apis_are_read() {
        let read = |api: Api, answer: Value| Said::read(api, answer.to_string().as_bytes());
        let usage = json!({"prompt_tokens": 9, "completion_tokens": 8});
        let chat = read(OPENAI_CHAT, json!({"choices": [{"message": {"content": " a b"}}], "usage": usage})).unwrap();
        assert_eq!(chat, said(9, " a b"));
        let text = read(OPENAI_COMPLETIONS, json!({"choices": [{"text": " a b"}], "usage": usage})).unwrap();
        assert_eq!(text, chat);
        let llama = read(LLAMA_CPP, json!({"content": " a b", "tokens_evaluated": 9, "tokens_predicted": 8})).unwrap();
        assert_eq!(llama, chat);
        let answer = json!({"text": " a b", "meta_info": {"prompt_tokens": 9, "completion_tokens": 8}});
        assert_eq!(read(SGLANG, answer.clone()).unwrap(), chat);
        // A list where there may be several prompts.
        assert_eq!(read(SGLANG, json!([answer])).unwrap(), chat);
        let usage = json!({"input_tokens": 2, "cache_read_input_tokens": 7, "output_tokens": 8});
        let blocks = json!([{"type": "text", "text": " a"}, {"type": "text", "text": " b"}]);
        let messages = json!({"type": "message", "content": blocks, "stop_reason": "end_turn", "usage": usage});
        assert_eq!(read(ANTHROPIC_MESSAGES, messages).unwrap(), chat);
        let thinking = json!({"choices": [{"message": {"content": null, "reasoning_content": "so"}}]});
        assert!(read(OPENAI_CHAT, thinking).unwrap().has_reasoning);
        assert!(read(OPENAI_CHAT, json!({"choices": []})).unwrap_err().contains("no text"));
        assert!(Said::read(OPENAI_CHAT, b"<html>").unwrap_err().contains("no JSON"));
    }

    #[test]
    fn other_prompts_are_told_apart_by_their_tokens() {
        let of_ids = said(4012, " a");
        assert_eq!(difference(&said(4012, " a"), &of_ids, &way("messages"), true), None);
        let more = difference(&said(4013, " a"), &of_ids, &way("text"), true).unwrap();
        assert!(more.starts_with("4,013 prompt tokens as text and 4,012 as ids: ") && more.contains("special tokens"));
        let other = difference(&said(3990, " a"), &of_ids, &way("messages"), true).unwrap();
        assert!(other.contains("3,990") && other.contains("template"), "{other}");
        let through = Way { sidecar: true, ..way("messages") };
        assert!(difference(&said(1, " a"), &of_ids, &through, true).unwrap().contains("through the sidecar"));
    }

    #[test]
    fn other_answers_count_where_the_server_repeats_its_own() {
        let of_ids = said(10, " one two");
        assert!(difference(&said(10, " one three"), &of_ids, &way("text"), true).unwrap().contains("one three"));
        assert_eq!(difference(&said(10, " one three"), &of_ids, &way("text"), false), None);
        assert_eq!(difference(&said(10, "one two \u{fffd}"), &of_ids, &way("text"), true), None);
        let thinking = Said { has_reasoning: true, ..said(10, "two") };
        assert_eq!(difference(&thinking, &of_ids, &way("messages"), true), None);
        assert_eq!(difference(&said(10, ""), &of_ids, &way("messages"), true), None, "held back by a parser");
        let silent = Said { output_tokens: Some(1), ..said(10, "") };
        assert!(difference(&silent, &of_ids, &way("messages"), true).is_some());
    }
}
