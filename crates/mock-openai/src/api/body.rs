//! The bodies of requests for tokens.

use serde::Deserialize;
use serde_json::Value;

use super::Api;
use super::prompt::{Prompt, Prompts};

/// Most answers that one request may ask for (prompts times choices).
const MOST_SEQUENCES: usize = 1024;

/// What a client asks for, in whatever API.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    pub api: Api,
    pub model: Option<String>,
    pub prompts: Vec<Prompt>,
    /// Answers to each prompt.
    pub choices: u32,
    /// None: as many as the server thinks right.
    pub output_tokens: Option<u64>,
    pub stream: bool,
    /// Whether the stream ends with the usage. SGLang and llama.cpp always tell it.
    pub include_usage: bool,
    pub ignore_eos: bool,
}

/// What is wrong with a body: a sentence for the client, status 400.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadBody(pub String);

impl From<serde_json::Error> for BadBody {
    fn from(error: serde_json::Error) -> Self {
        Self(format!("the body is not what this endpoint takes: {error}"))
    }
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

/// `/v1/chat/completions` and `/v1/completions`.
#[derive(Deserialize)]
struct OpenAi {
    model: Option<String>,
    messages: Option<Vec<Value>>,
    tools: Option<Value>,
    prompt: Option<Prompts>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    n: Option<u32>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    ignore_eos: Option<bool>,
}

#[derive(Deserialize)]
struct Sglang {
    text: Option<Prompts>,
    input_ids: Option<Prompts>,
    sampling_params: Option<SamplingParams>,
    stream: Option<bool>,
}

#[derive(Deserialize, Default)]
struct SamplingParams {
    max_new_tokens: Option<u64>,
    n: Option<u32>,
    ignore_eos: Option<bool>,
}

#[derive(Deserialize)]
struct LlamaCpp {
    prompt: Option<Prompts>,
    /// -1: no limit.
    n_predict: Option<i64>,
    stream: Option<bool>,
    ignore_eos: Option<bool>,
}

/// `/tokenize`: `prompt` and `messages` as vLLM has it, `content` as llama.cpp has it.
#[derive(Deserialize)]
struct Tokenize {
    model: Option<String>,
    prompt: Option<Prompts>,
    content: Option<Prompts>,
    messages: Option<Vec<Value>>,
    tools: Option<Value>,
}

impl Ask {
    /// # Errors
    /// [`BadBody`].
    pub fn parse(api: Api, body: &[u8]) -> Result<Self, BadBody> {
        let ask = match api {
            Api::Chat | Api::Completions => {
                let body: OpenAi = serde_json::from_slice(body)?;
                let prompts = match api {
                    Api::Chat => vec![chat(body.messages, body.tools)?],
                    _ => body.prompt.ok_or_else(|| missing("prompt"))?.0,
                };
                Self {
                    api,
                    model: body.model,
                    prompts,
                    choices: body.n.unwrap_or(1),
                    output_tokens: body.max_completion_tokens.or(body.max_tokens),
                    stream: body.stream.unwrap_or(false),
                    include_usage: body.stream_options.and_then(|options| options.include_usage).unwrap_or(false),
                    ignore_eos: body.ignore_eos.unwrap_or(false),
                }
            }
            Api::Sglang => {
                let body: Sglang = serde_json::from_slice(body)?;
                let sampling = body.sampling_params.unwrap_or_default();
                let prompts = match (body.text, body.input_ids) {
                    (Some(_), Some(_)) => return Err(BadBody("give `text` or `input_ids`, not both".into())),
                    (Some(prompts), None) | (None, Some(prompts)) => prompts.0,
                    (None, None) => return Err(missing("text")),
                };
                Self {
                    api,
                    model: None,
                    prompts,
                    choices: sampling.n.unwrap_or(1),
                    output_tokens: sampling.max_new_tokens,
                    stream: body.stream.unwrap_or(false),
                    include_usage: true,
                    ignore_eos: sampling.ignore_eos.unwrap_or(false),
                }
            }
            Api::LlamaCpp => {
                let body: LlamaCpp = serde_json::from_slice(body)?;
                Self {
                    api,
                    model: None,
                    prompts: body.prompt.ok_or_else(|| missing("prompt"))?.0,
                    choices: 1,
                    output_tokens: body.n_predict.and_then(|tokens| u64::try_from(tokens).ok()),
                    stream: body.stream.unwrap_or(false),
                    include_usage: true,
                    ignore_eos: body.ignore_eos.unwrap_or(false),
                }
            }
        };
        if ask.choices == 0 {
            return Err(BadBody("`n` must be at least 1".into()));
        }
        if ask.output_tokens == Some(0) {
            return Err(BadBody("the number of tokens to generate must be at least 1".into()));
        }
        if ask.prompts.len().saturating_mul(ask.choices as usize) > MOST_SEQUENCES {
            return Err(BadBody(format!("one request has at most {MOST_SEQUENCES} answers")));
        }
        Ok(ask)
    }

    /// The body of `/tokenize`: the model and the prompt.
    ///
    /// # Errors
    /// [`BadBody`].
    pub fn parse_tokenize(body: &[u8]) -> Result<(Option<String>, Prompt), BadBody> {
        let body: Tokenize = serde_json::from_slice(body)?;
        let prompt = match (body.prompt.or(body.content), body.messages) {
            (Some(prompts), None) => prompts.0.into_iter().next().ok_or_else(|| missing("prompt"))?,
            (None, messages) => chat(messages, body.tools)?,
            (Some(_), Some(_)) => return Err(BadBody("give `prompt` or `messages`, not both".into())),
        };
        Ok((body.model, prompt))
    }
}

fn chat(messages: Option<Vec<Value>>, tools: Option<Value>) -> Result<Prompt, BadBody> {
    let messages = messages.ok_or_else(|| missing("messages"))?;
    if messages.is_empty() {
        return Err(BadBody("`messages` must hold at least one message".into()));
    }
    for (number, message) in messages.iter().enumerate() {
        if !message["role"].is_string() {
            return Err(BadBody(format!("message {number} has no `role`")));
        }
        let content = &message["content"];
        let text = |part: &Value| part.is_object();
        if !(content.is_null() || content.is_string() || content.as_array().is_some_and(|parts| parts.iter().all(text)))
        {
            return Err(BadBody(format!("the `content` of message {number} is neither a text nor a list of parts")));
        }
    }
    Ok(Prompt::Messages { messages, tools: tools.unwrap_or_default() })
}

fn missing(field: &str) -> BadBody {
    BadBody(format!("`{field}` is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(api: Api, body: &str) -> Result<Ask, String> {
        Ask::parse(api, body.as_bytes()).map_err(|BadBody(message)| message)
    }

    #[test]
    fn the_four_apis() {
        let chat = parse(
            Api::Chat,
            r#"{"model":"m","messages":[{"role":"user","content":"a"}],"max_tokens":5,"max_completion_tokens":7,"stream":true,
                "stream_options":{"include_usage":true},"ignore_eos":true,"temperature":0,"n":2}"#,
        )
        .unwrap();
        assert_eq!((chat.output_tokens, chat.choices, chat.stream, chat.include_usage), (Some(7), 2, true, true));
        let plain = parse(Api::Completions, r#"{"prompt":[1,2,3],"max_tokens":4}"#).unwrap();
        assert_eq!((plain.prompts, plain.stream), (vec![Prompt::Ids(vec![1, 2, 3])], false));
        let sglang =
            parse(Api::Sglang, r#"{"input_ids":[[1],[2]],"sampling_params":{"max_new_tokens":3},"stream":true}"#)
                .unwrap();
        assert_eq!((sglang.prompts.len(), sglang.output_tokens, sglang.include_usage), (2, Some(3), true));
        let llama = parse(Api::LlamaCpp, r#"{"prompt":"a","n_predict":-1}"#).unwrap();
        assert_eq!(llama.output_tokens, None);
    }

    #[test]
    fn bad_bodies_say_what_is_wrong() {
        for (api, body, part) in [
            (Api::Chat, "", "EOF"),
            (Api::Chat, "{}", "`messages` is missing"),
            (Api::Chat, r#"{"messages":[]}"#, "at least one"),
            (Api::Chat, r#"{"messages":[{"content":"a"}]}"#, "no `role`"),
            (Api::Chat, r#"{"messages":[{"role":"user","content":1}]}"#, "`content` of message 0"),
            (Api::Chat, r#"{"messages":[{"role":"user"}],"max_tokens":0}"#, "at least 1"),
            (Api::Chat, r#"{"messages":[{"role":"user"}],"max_tokens":-1}"#, "integer `-1`"),
            (Api::Chat, r#"{"messages":[{"role":"user"}],"n":0}"#, "`n`"),
            (Api::Completions, r#"{"prompt":{}}"#, "a text, a list of token ids"),
            (Api::Completions, r#"{"prompt":"a","n":2000}"#, "1024"),
            (Api::Sglang, r#"{"text":"a","input_ids":[1]}"#, "not both"),
            (Api::Sglang, "{}", "`text` is missing"),
            (Api::LlamaCpp, "[]", "the body is not"),
        ] {
            let message = parse(api, body).unwrap_err();
            assert!(message.contains(part), "{body}: {message}");
        }
    }
}
