//! The CPU's work of a request: parse, template, tokenize, and the body that goes to the upstream.

use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use engines::parse::ChatBody;
use engines::template::Now;
use engines::tokenize::Tokenize;
use engines::tokenizers::choose::{Candidate, choose};
use engines::{EngineError, Template};
use serde_json::{Map, Value};
use server_api::Api;

use super::conversation::{self, Parts, flag};
use super::refusal::Refusal;
use super::reply::Reply;

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
        let body = forward(api, body.rest, &ids, &reply)?;
        let ns = |from: Instant, to: Instant| u64::try_from((to - from).as_nanos()).unwrap_or(u64::MAX);
        let times = Times {
            json_ns: ns(start, parsed) + ns(tokenized, Instant::now()),
            template_ns: ns(parsed, rendered),
            tokenize_ns: ns(rendered, tokenized),
        };
        Ok(Prepared { body: body.into(), prompt_tokens: ids.len(), reply, times })
    }
}

/// The body for the upstream. `rest` are the members of the client's body that are neither its conversation nor its template's.
///
/// # Errors
/// 400: a member asks for what this API cannot do.
fn forward(api: Api, rest: Map<String, Value>, ids: &[u32], reply: &Reply) -> Result<Vec<u8>, Refusal> {
    let members = api.forward(rest, reply.stream, reply.choices).map_err(Refusal::bad)?;
    let upstream = api.upstream().ok_or_else(|| Refusal::internal(format!("the API {api} takes no token ids")))?;
    Ok(with_ids(upstream.ids, ids, &members))
}

/// `{"<name>":[ids],…members}`.
fn with_ids(name: &str, ids: &[u32], members: &Map<String, Value>) -> Vec<u8> {
    let mut body = Vec::with_capacity(ids.len() * 7 + 256);
    body.extend_from_slice(b"{\"");
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(b"\":");
    // Writing numbers and parsed JSON into memory cannot fail.
    let _ = serde_json::to_writer(&mut body, ids);
    if members.is_empty() {
        body.push(b'}');
        return body;
    }
    let at = body.len();
    let _ = serde_json::to_writer(&mut body, members);
    body[at] = b',';
    body
}

fn refuse(rest: &Map<String, Value>) -> Result<(), Refusal> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use server_api::{LLAMA_CPP, OPENAI_COMPLETIONS, SGLANG};

    use super::*;

    fn body(api: Api, rest: Value, stream: bool) -> Result<Value, String> {
        let Value::Object(rest) = rest else { panic!() };
        let reply = Reply { stream, usage: stream, model: String::new(), choices: 1 };
        let body = forward(api, rest, &[1, 4_000_000_000], &reply).map_err(|refusal| refusal.message)?;
        Ok(serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn completions_get_everything_that_they_know() {
        let rest = json!({"model": "m", "temperature": 0.1, "max_completion_tokens": 5, "max_tokens": 9, "top_k": 3,
            "stream_options": {"include_usage": true}, "tool_choice": "auto", "store": true, "ignore_eos": true});
        let want = json!({"prompt": [1, 4_000_000_000_u32], "model": "m", "temperature": 0.1, "top_k": 3,
            "stream_options": {"include_usage": true}, "ignore_eos": true, "max_tokens": 5, "stream": true});
        assert_eq!(body(OPENAI_COMPLETIONS, rest, true).unwrap(), want);
        // Chat has no limit where none is given; completions would stop after 16 tokens.
        let want = json!({"prompt": [1, 4_000_000_000_u32], "max_tokens": null, "stream": false});
        assert_eq!(body(OPENAI_COMPLETIONS, json!({"stream_options": {"x": 1}}), false).unwrap(), want);
    }

    #[test]
    fn sglang_gets_sampling_parameters_by_its_names() {
        let rest = json!({"model": "m", "temperature": 0, "max_tokens": 9, "seed": 3, "stop": ["x"], "min_tokens": 2, "user": "u"});
        let want = json!({"input_ids": [1, 4_000_000_000_u32], "stream": true, "sampling_params":
            {"temperature": 0, "stop": ["x"], "max_new_tokens": 9, "sampling_seed": 3, "min_new_tokens": 2}});
        assert_eq!(body(SGLANG, rest, true).unwrap(), want);
        let schema = json!({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}});
        let got = body(SGLANG, schema, false).unwrap();
        assert_eq!(got["sampling_params"]["json_schema"], json!("{\"type\":\"object\"}"));
        assert_eq!(got["sampling_params"]["max_new_tokens"], json!(null));
        assert!(body(SGLANG, json!({"logit_bias": {"1": 2}}), false).unwrap_err().contains("logit_bias"));
    }

    #[test]
    fn llamacpp_gets_its_own_names() {
        let rest = json!({"model": "m", "temperature": 0.5, "max_tokens": 9, "frequency_penalty": 1, "stop": "x"});
        let want = json!({"prompt": [1, 4_000_000_000_u32], "stream": false, "temperature": 0.5, "frequency_penalty": 1,
            "stop": ["x"], "n_predict": 9, "cache_prompt": true});
        assert_eq!(body(LLAMA_CPP, rest, false).unwrap(), want);
        assert_eq!(body(LLAMA_CPP, json!({}), true).unwrap()["n_predict"], json!(-1));
    }

    #[test]
    fn more_replies_than_one_only_where_the_api_has_them() {
        let reply = Reply { stream: false, usage: false, model: String::new(), choices: 2 };
        let rest = || json!({"n": 2}).as_object().unwrap().clone();
        assert!(forward(OPENAI_COMPLETIONS, rest(), &[1], &reply).is_ok());
        for api in [SGLANG, LLAMA_CPP] {
            assert!(forward(api, rest(), &[1], &reply).unwrap_err().message.contains("n cannot be passed on"));
        }
    }
}
