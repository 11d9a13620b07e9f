//! What a server reads in the body of a request, whatever the API.

use serde::Deserialize;
use serde_json::Value;

use super::api::Api;
use super::prompt::{Prompt, Prompts};

/// Most answers that one request may ask for (prompts times choices).
const MOST_SEQUENCES: usize = 1024;

/// What a client wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    pub model: Option<String>,
    pub prompts: Vec<Prompt>,
    /// Answers to each prompt.
    pub choices: u32,
    /// None: as many as the server thinks right.
    pub output_tokens: Option<u64>,
    pub stream: bool,
    /// Whether the usage is told: some APIs tell it always, some only where it is asked for.
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

impl Api {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`BadBody`].
    pub fn parse(self, body: &[u8]) -> Result<Wanted, BadBody> {
        let wanted = self.dialect().parse(body)?;
        if wanted.choices == 0 {
            return Err(BadBody("`n` must be at least 1".into()));
        }
        if wanted.output_tokens == Some(0) {
            return Err(BadBody("the number of tokens to generate must be at least 1".into()));
        }
        if wanted.prompts.len().saturating_mul(wanted.choices as usize) > MOST_SEQUENCES {
            return Err(BadBody(format!("one request has at most {MOST_SEQUENCES} answers")));
        }
        Ok(wanted)
    }
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

/// Messages in the form of OpenAI's chat as a prompt.
pub(crate) fn chat(messages: Option<Vec<Value>>, tools: Option<Value>) -> Result<Prompt, BadBody> {
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

pub(crate) fn missing(field: &str) -> BadBody {
    BadBody(format!("`{field}` is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LLAMA_CPP, OPENAI_CHAT, OPENAI_COMPLETIONS, SGLANG};

    fn parse(api: Api, body: &str) -> Result<Wanted, String> {
        api.parse(body.as_bytes()).map_err(|BadBody(message)| message)
    }

    #[test]
    fn the_four_apis() {
        let chat = parse(
            OPENAI_CHAT,
            r#"{"model":"m","messages":[{"role":"user","content":"a"}],"max_tokens":5,"max_completion_tokens":7,"stream":true,
                "stream_options":{"include_usage":true},"ignore_eos":true,"temperature":0,"n":2}"#,
        )
        .unwrap();
        assert_eq!((chat.output_tokens, chat.choices, chat.stream, chat.include_usage), (Some(7), 2, true, true));
        let plain = parse(OPENAI_COMPLETIONS, r#"{"prompt":[1,2,3],"max_tokens":4}"#).unwrap();
        assert_eq!((plain.prompts, plain.stream), (vec![Prompt::Ids(vec![1, 2, 3])], false));
        let sglang =
            parse(SGLANG, r#"{"input_ids":[[1],[2]],"sampling_params":{"max_new_tokens":3},"stream":true}"#).unwrap();
        assert_eq!((sglang.prompts.len(), sglang.output_tokens, sglang.include_usage), (2, Some(3), true));
        let llama = parse(LLAMA_CPP, r#"{"prompt":"a","n_predict":-1}"#).unwrap();
        assert_eq!(llama.output_tokens, None);
    }

    #[test]
    fn bad_bodies_say_what_is_wrong() {
        for (api, body, part) in [
            (OPENAI_CHAT, "", "EOF"),
            (OPENAI_CHAT, "{}", "`messages` is missing"),
            (OPENAI_CHAT, r#"{"messages":[]}"#, "at least one"),
            (OPENAI_CHAT, r#"{"messages":[{"content":"a"}]}"#, "no `role`"),
            (OPENAI_CHAT, r#"{"messages":[{"role":"user","content":1}]}"#, "`content` of message 0"),
            (OPENAI_CHAT, r#"{"messages":[{"role":"user"}],"max_tokens":0}"#, "at least 1"),
            (OPENAI_CHAT, r#"{"messages":[{"role":"user"}],"max_tokens":-1}"#, "integer `-1`"),
            (OPENAI_CHAT, r#"{"messages":[{"role":"user"}],"n":0}"#, "`n`"),
            (OPENAI_COMPLETIONS, r#"{"prompt":{}}"#, "a text, a list of token ids"),
            (OPENAI_COMPLETIONS, r#"{"prompt":"a","n":2000}"#, "1024"),
            (SGLANG, r#"{"text":"a","input_ids":[1]}"#, "not both"),
            (SGLANG, "{}", "`text` is missing"),
            (LLAMA_CPP, "[]", "the body is not"),
        ] {
            let message = parse(api, body).unwrap_err();
            assert!(message.contains(part), "{body}: {message}");
        }
    }
}
