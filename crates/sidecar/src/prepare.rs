//! The CPU's work of a request: parse, template, tokenize, and the body that goes to the upstream.

use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use engines::parse::ChatBody;
use engines::template::Now;
use engines::tokenize::Tokenize;
use engines::tokenizers::choose::{Candidate, choose};
use engines::{EngineError, Template};
use serde_json::Value;

use super::api;
use super::conversation::{self, Parts, flag};
use super::refusal::Refusal;
use super::settings::Api;

/// Template and tokenizer of a model, shared by all workers.
pub struct Pipeline {
    template: Template,
    parts: Parts,
    tokenize: Box<Tokenize>,
    engine: &'static str,
    candidates: Vec<Candidate>,
    checked: usize,
}

/// A request that can go upstream.
#[derive(Debug)]
pub struct Prepared {
    /// Its body there.
    pub body: Bytes,
    pub prompt_tokens: usize,
    pub reply: Reply,
    pub times: Times,
}

/// What the client wants back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub stream: bool,
    /// The stream ends with a chunk of the usage.
    pub usage: bool,
    /// As the client named it; empty where it did not.
    pub model: String,
    /// How many replies to one prompt.
    pub choices: u32,
}

/// Where the time went, ns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// Reading the body's JSON and writing the one for the upstream.
    pub json_ns: u64,
    pub template_ns: u64,
    pub tokenize_ns: u64,
}

/// Members that a chat request may have and that are not carried out here, with the reason.
const REFUSED: [(&str, &str); 6] = [
    ("logprobs", "log probabilities of chunks are not translated"),
    ("functions", "they are an older form of tools; send tools"),
    ("function_call", "it is an older form of tool_choice; send tools"),
    ("continue_final_message", "the prompt would have to be cut"),
    ("echo", "the prompt is not part of the reply"),
    ("chat_template", "the model's own is used"),
];

impl Pipeline {
    /// Loads the template and the tokenizer of a model folder: the named engine, or the fastest that gives the ids of the
    /// stable `tokenizers` on the texts of the self-check.
    ///
    /// # Errors
    /// What does not load, or which ids differ.
    pub fn load(model: &Path, engine: Option<&str>) -> Result<Self, EngineError> {
        let template = Template::load(model, Now::Clock).map_err(EngineError::failed)?;
        let chosen = choose(engine, model)?;
        Ok(Self {
            parts: Parts::of(&template),
            template,
            tokenize: chosen.tokenize,
            engine: chosen.engine,
            candidates: chosen.candidates,
            checked: chosen.texts,
        })
    }

    /// The engine that tokenizes.
    pub fn engine(&self) -> &'static str {
        self.engine
    }

    /// All engines that were looked at, and on how many texts.
    pub fn candidates(&self) -> (&[Candidate], usize) {
        (&self.candidates, self.checked)
    }

    /// From a chat request's body to the one for the upstream.
    ///
    /// # Errors
    /// 400 with what is wrong.
    pub fn prepare(&self, body: &[u8], api: Api) -> Result<Prepared, Refusal> {
        let start = Instant::now();
        let mut body = ChatBody::read(body).map_err(|error| Refusal::bad(error.to_string()))?;
        refuse(&body.rest)?;
        let reply = reply(&mut body)?;
        let parsed = Instant::now();
        let (conversation, generation_prompt) = conversation::build(&mut body, self.parts)?;
        let text = self
            .template
            .render_with(&conversation, generation_prompt)
            .map_err(|error| Refusal::bad(error.to_string()))?;
        let rendered = Instant::now();
        let ids = self.tokenize.run(&text).map_err(|error| Refusal::internal(error.to_string()))?;
        let tokenized = Instant::now();
        if ids.is_empty() {
            return Err(Refusal::bad("the prompt of this conversation is empty; say something"));
        }
        let body = api::request(api, body.rest, &ids, &reply)?;
        let ns = |from: Instant, to: Instant| u64::try_from((to - from).as_nanos()).unwrap_or(u64::MAX);
        let times = Times {
            json_ns: ns(start, parsed) + ns(tokenized, Instant::now()),
            template_ns: ns(parsed, rendered),
            tokenize_ns: ns(rendered, tokenized),
        };
        Ok(Prepared { body: body.into(), prompt_tokens: ids.len(), reply, times })
    }
}

fn refuse(rest: &serde_json::Map<String, Value>) -> Result<(), Refusal> {
    let asked = |name: &str| {
        rest.get(name).filter(|value| !matches!(value, Value::Null | Value::Bool(false)) && value.as_u64() != Some(0))
    };
    for (name, reason) in REFUSED {
        if asked(name).is_some() {
            return Err(Refusal::bad(format!(
                "{name} is not supported by this sidecar ({reason}); leave it out, or send the request to the server itself"
            )));
        }
    }
    if asked("tool_choice").is_some_and(|choice| !matches!(choice.as_str(), Some("auto" | "none"))) {
        return Err(Refusal::bad(
            "tool_choice must be auto or none: replies are passed on as text and not parsed into tool calls; send the request to the server itself",
        ));
    }
    Ok(())
}

fn reply(body: &mut ChatBody) -> Result<Reply, Refusal> {
    let rest = &mut body.rest;
    let stream = flag(rest, "stream")?.unwrap_or(false);
    let usage = rest.get("stream_options").and_then(|options| options.get("include_usage")) == Some(&Value::Bool(true));
    let model = match rest.get("model") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(model)) => model.clone(),
        Some(other) => return Err(Refusal::bad(format!("model must be a name, not {other}"))),
    };
    let choices = match rest.get("n") {
        None | Some(Value::Null) => 1,
        Some(n) => n
            .as_u64()
            .and_then(|n| u32::try_from(n).ok())
            .filter(|n| (1..=128).contains(n))
            .ok_or_else(|| Refusal::bad(format!("n must be a whole number from 1 to 128, not {n}")))?,
    };
    Ok(Reply { stream, usage: stream && usage, model, choices })
}
