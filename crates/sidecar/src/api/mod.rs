//! How each upstream takes token ids and what it gives back.
//!
//! | api | path | prompt | a reply's text | its end |
//! |---|---|---|---|---|
//! | completions | `/v1/completions` | `prompt: [ids]` | `choices[].text` | `finish_reason`, then `[DONE]` |
//! | sglang | `/generate` | `input_ids` | `text`, the whole so far | `meta_info.finish_reason`, then `[DONE]` |
//! | llama.cpp | `/completion` | `prompt: [ids]` | `content` | `stop: true`, and nothing |

mod completions;
mod llamacpp;
mod sglang;

use serde_json::{Map, Value};

use super::chat::Usage;
use super::prepare::Reply;
use super::refusal::Refusal;
use super::settings::Api;

/// What one event or one whole answer of the upstream says.
#[derive(Debug, Default, PartialEq)]
pub struct Said {
    pub pieces: Vec<Piece>,
    pub usage: Option<Usage>,
    /// An error in place of an answer, as JSON: passed on as it is.
    pub error: Option<Value>,
}

/// A piece of one reply.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Which of the replies.
    pub index: u32,
    pub text: String,
    /// Set on the last piece.
    pub finish: Option<String>,
}

/// The path of an api.
pub fn path(api: Api) -> &'static str {
    match api {
        Api::Completions => "/v1/completions",
        Api::Sglang | Api::SglangIncremental => "/generate",
        Api::LlamaCpp => "/completion",
    }
}

/// The body for the upstream. `rest` are the members of the client's body that are neither its conversation nor its template's.
///
/// # Errors
/// 400: a member asks for what this api cannot do.
pub fn request(api: Api, rest: Map<String, Value>, ids: &[u32], reply: &Reply) -> Result<Vec<u8>, Refusal> {
    let (members, prompt) = match api {
        Api::Completions => (completions::members(rest, reply), "prompt"),
        Api::Sglang | Api::SglangIncremental => (sglang::members(rest, reply)?, "input_ids"),
        Api::LlamaCpp => (llamacpp::members(rest, reply)?, "prompt"),
    };
    Ok(with_ids(prompt, ids, &members))
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

/// Reads the answers of one request.
#[derive(Debug)]
pub enum Reader {
    Completions,
    Sglang(sglang::Text),
    LlamaCpp { prompt_tokens: usize },
}

impl Reader {
    pub fn new(api: Api, prompt_tokens: usize) -> Self {
        match api {
            Api::Completions => Self::Completions,
            Api::Sglang => Self::Sglang(sglang::Text::whole()),
            Api::SglangIncremental => Self::Sglang(sglang::Text::new_only()),
            Api::LlamaCpp => Self::LlamaCpp { prompt_tokens },
        }
    }

    /// What the data of one event of a stream says.
    ///
    /// # Errors
    /// It is not what this api sends; the sentence says so.
    pub fn event(&mut self, data: &[u8]) -> Result<Said, String> {
        match self {
            Self::Completions => completions::event(data),
            Self::Sglang(text) => sglang::event(data, text),
            Self::LlamaCpp { prompt_tokens } => llamacpp::event(data, *prompt_tokens),
        }
    }

    /// What a whole answer says, whose form is that of the only event of a stream.
    ///
    /// # Errors
    /// As of [`Reader::event`].
    pub fn whole(&mut self, body: &[u8]) -> Result<Said, String> {
        self.event(body)
    }
}

/// The sentence about data that cannot be read.
fn unreadable(data: &[u8], error: &serde_json::Error) -> String {
    let shown: String = String::from_utf8_lossy(data).chars().take(80).collect();
    format!("the upstream sent what its API does not ({error}): {shown:?}; check --upstream-api")
}

/// Takes a member out; null counts as not there.
fn take(rest: &mut Map<String, Value>, name: &str) -> Option<Value> {
    rest.remove(name).filter(|value| !value.is_null())
}

/// The most tokens of a reply: the newer name wins.
fn max_tokens(rest: &mut Map<String, Value>) -> Option<Value> {
    let newer = take(rest, "max_completion_tokens");
    let older = take(rest, "max_tokens");
    newer.or(older)
}

/// Refuses members that would change the reply and that this api has no way to say.
fn refuse(rest: &Map<String, Value>, names: &[&str], api: &str) -> Result<(), Refusal> {
    match names.iter().find(|name| rest.get(**name).is_some_and(|value| !value.is_null())) {
        Some(name) => Err(Refusal::bad(format!("{name} cannot be passed on to {api}; leave it out"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(api: Api, rest: Value, stream: bool) -> Result<Value, String> {
        let Value::Object(rest) = rest else { panic!() };
        let reply = Reply { stream, usage: stream, model: String::new(), choices: 1 };
        let body = request(api, rest, &[1, 4_000_000_000], &reply).map_err(|refusal| refusal.message)?;
        Ok(serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn completions_get_everything_that_they_know() {
        let rest = json!({"model": "m", "temperature": 0.1, "max_completion_tokens": 5, "max_tokens": 9, "top_k": 3,
            "stream_options": {"include_usage": true}, "tool_choice": "auto", "store": true, "ignore_eos": true});
        let want = json!({"prompt": [1, 4_000_000_000_u32], "model": "m", "temperature": 0.1, "top_k": 3,
            "stream_options": {"include_usage": true}, "ignore_eos": true, "max_tokens": 5, "stream": true});
        assert_eq!(body(Api::Completions, rest, true).unwrap(), want);
        // Chat has no limit where none is given; completions would stop after 16 tokens.
        let want = json!({"prompt": [1, 4_000_000_000_u32], "max_tokens": null, "stream": false});
        assert_eq!(body(Api::Completions, json!({"stream_options": {"x": 1}}), false).unwrap(), want);
    }

    #[test]
    fn sglang_gets_sampling_parameters_by_its_names() {
        let rest = json!({"model": "m", "temperature": 0, "max_tokens": 9, "seed": 3, "stop": ["x"], "min_tokens": 2, "user": "u"});
        let want = json!({"input_ids": [1, 4_000_000_000_u32], "stream": true, "sampling_params":
            {"temperature": 0, "stop": ["x"], "max_new_tokens": 9, "sampling_seed": 3, "min_new_tokens": 2}});
        assert_eq!(body(Api::Sglang, rest, true).unwrap(), want);
        let schema = json!({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}});
        let got = body(Api::Sglang, schema, false).unwrap();
        assert_eq!(got["sampling_params"]["json_schema"], json!("{\"type\":\"object\"}"));
        assert_eq!(got["sampling_params"]["max_new_tokens"], json!(null));
        assert!(body(Api::Sglang, json!({"logit_bias": {"1": 2}}), false).unwrap_err().contains("logit_bias"));
    }

    #[test]
    fn llamacpp_gets_its_own_names() {
        let rest = json!({"model": "m", "temperature": 0.5, "max_tokens": 9, "frequency_penalty": 1, "stop": "x"});
        let want = json!({"prompt": [1, 4_000_000_000_u32], "stream": false, "temperature": 0.5, "frequency_penalty": 1,
            "stop": ["x"], "n_predict": 9, "cache_prompt": true});
        assert_eq!(body(Api::LlamaCpp, rest, false).unwrap(), want);
        assert_eq!(body(Api::LlamaCpp, json!({}), true).unwrap()["n_predict"], json!(-1));
    }

    #[test]
    fn more_replies_than_one_only_where_the_api_has_them() {
        let reply = Reply { stream: false, usage: false, model: String::new(), choices: 2 };
        let rest = || json!({"n": 2}).as_object().unwrap().clone();
        assert!(request(Api::Completions, rest(), &[1], &reply).is_ok());
        for api in [Api::Sglang, Api::LlamaCpp] {
            assert!(request(api, rest(), &[1], &reply).unwrap_err().message.contains("n cannot be passed on"));
        }
    }
}
