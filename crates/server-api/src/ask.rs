//! What a client asks, before it is written in the words of an API.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::api::Api;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub enum Ask<'a> {
    /// A chat request in the form of OpenAI with `messages`, and `tools` perhaps; its other members are kept where settings do not
    /// say otherwise and the API has them.
    Messages(&'a Value),
    /// A rendered prompt.
    Text(&'a str),
    Ids(&'a [u32]),
}

impl Ask<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Messages(_) => "messages",
            Self::Text(_) => "text",
            Self::Ids(_) => "token ids",
        }
    }
}

/// What holds for every request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The server's name of the model; none for servers that have one model and no name for it.
    pub model: Option<String>,
    /// Most output tokens.
    pub max_tokens: Option<u32>,
    /// Go on to `max_tokens` whatever the model says. Servers that do not know it may refuse it.
    pub ignore_eos: bool,
    pub stream: bool,
    /// 0 is greedy; None leaves it to the server.
    pub temperature: Option<f64>,
    /// Further members of each body.
    pub extra: Map<String, Value>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: None,
            max_tokens: None,
            ignore_eos: false,
            stream: true,
            temperature: Some(0.0),
            extra: Map::new(),
        }
    }
}

/// Why a request has no body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the backend {backend} takes no {kind}: choose another --backend")]
    Kind { backend: Api, kind: &'static str },
    #[error("a chat request has no `messages`")]
    NoMessages,
    #[error(
        "the backend {backend} needs a number of output tokens: give --random-output-len, or a data set that has one"
    )]
    NoLimit { backend: Api },
    #[error("message {number} of a request cannot be said to {backend}: {reason}")]
    Message { backend: Api, number: usize, reason: String },
    #[error("a request cannot be written as JSON: {0}")]
    Json(String),
}

impl Api {
    /// The body of a request.
    ///
    /// # Errors
    /// [`BodyError`]: the API does not take this kind of prompt, or the extra members are of no use.
    pub fn body(self, ask: &Ask<'_>, settings: &Settings) -> Result<Vec<u8>, BodyError> {
        let dialect = self.dialect();
        let body = match ask {
            Ask::Messages(request) if dialect.takes_messages() => {
                let request =
                    request.as_object().filter(|request| request.get("messages").is_some_and(Value::is_array));
                dialect.chat(request.ok_or(BodyError::NoMessages)?, settings)?
            }
            Ask::Text(_) | Ask::Ids(_) if !dialect.takes_messages() => dialect.prompt(ask, settings),
            _ => return Err(BodyError::Kind { backend: self, kind: ask.kind() }),
        };
        let mut body = body;
        // What the user adds wins; an object goes into an object, so that one sampling parameter can be set.
        for (name, value) in &settings.extra {
            match (body.get_mut(name), value) {
                (Some(Value::Object(there)), Value::Object(more)) => there.extend(more.clone()),
                _ => {
                    body.insert(name.clone(), value.clone());
                }
            }
        }
        serde_json::to_vec(&Value::Object(body)).map_err(|error| BodyError::Json(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{LLAMA_CPP, OPENAI_CHAT, OPENAI_COMPLETIONS, SGLANG};

    fn body(backend: Api, ask: Ask<'_>, settings: &Settings) -> Value {
        serde_json::from_slice(&backend.body(&ask, settings).unwrap()).unwrap()
    }

    fn settings() -> Settings {
        Settings { model: Some("m".into()), max_tokens: Some(8), ignore_eos: true, ..Settings::default() }
    }

    #[test]
    fn chat_keeps_messages_and_tools_and_overrides_the_rest() {
        let request = json!({"model": "x", "messages": [{"role": "user", "content": "hi"}], "tools": [1], "stream": false, "n": 3, "max_tokens": 256});
        let body = body(OPENAI_CHAT, Ask::Messages(&request), &settings());
        assert_eq!(
            body,
            json!({
                "model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": [1], "max_tokens": 8, "temperature": 0.0,
                "ignore_eos": true, "stream": true, "stream_options": {"include_usage": true}
            })
        );
    }

    #[test]
    fn prompts_of_each_backend() {
        let plain = Settings { stream: false, ..settings() };
        let openai = body(OPENAI_COMPLETIONS, Ask::Ids(&[1, 2]), &plain);
        assert_eq!(
            (&openai["prompt"], &openai["stream"], openai.get("stream_options")),
            (&json!([1, 2]), &json!(false), None)
        );
        let sglang = body(SGLANG, Ask::Ids(&[1, 2]), &settings());
        assert_eq!(
            sglang,
            json!({
                "input_ids": [1, 2], "stream": true,
                "sampling_params": {"max_new_tokens": 8, "temperature": 0.0, "ignore_eos": true}
            })
        );
        let llama = body(LLAMA_CPP, Ask::Text("a"), &settings());
        assert_eq!((&llama["prompt"], &llama["n_predict"]), (&json!("a"), &json!(8)));
        let bare = Settings { model: None, temperature: None, ..Settings::default() };
        let request = json!({"model": "x", "messages": [], "temperature": 0.7});
        let chat = body(OPENAI_CHAT, Ask::Messages(&request), &bare);
        assert_eq!((chat.get("model"), chat.get("temperature")), (None, None), "the server decides");
        let text = OPENAI_CHAT.body(&Ask::Text("a"), &settings()).unwrap_err();
        assert_eq!(text.to_string(), "the backend openai-chat takes no text: choose another --backend");
        assert_eq!(OPENAI_CHAT.body(&Ask::Messages(&json!({})), &settings()), Err(BodyError::NoMessages));
    }

    #[test]
    fn extra_members_win_and_go_into_objects() {
        let extra = json!({"sampling_params": {"top_k": 1}, "stream": 5}).as_object().unwrap().clone();
        let sglang = body(SGLANG, Ask::Text("a"), &Settings { extra, ..settings() });
        assert_eq!(
            (&sglang["sampling_params"]["top_k"], &sglang["sampling_params"]["max_new_tokens"]),
            (&json!(1), &json!(8))
        );
        assert_eq!(sglang["stream"], json!(5));
    }
}
