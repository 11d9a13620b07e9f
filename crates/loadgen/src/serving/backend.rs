//! The dialects of servers: where a request is posted and what its body is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// An API of model servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Backend {
    /// `/v1/chat/completions`: messages.
    #[serde(rename = "openai-chat")]
    OpenAiChat,
    /// `/v1/completions`: text or token ids.
    #[serde(rename = "openai")]
    OpenAi,
    /// SGLang's `/generate`: text or token ids.
    #[serde(rename = "sglang")]
    Sglang,
    /// llama.cpp's `/completion`: text or token ids.
    #[serde(rename = "llama.cpp")]
    LlamaCpp,
}

impl Backend {
    /// All, the default first.
    pub const ALL: [Self; 4] = [Self::OpenAiChat, Self::OpenAi, Self::Sglang, Self::LlamaCpp];

    /// The name on command lines and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAiChat => "openai-chat",
            Self::OpenAi => "openai",
            Self::Sglang => "sglang",
            Self::LlamaCpp => "llama.cpp",
        }
    }

    /// Where requests are posted, below the base URL.
    pub fn path(self) -> &'static str {
        match self {
            Self::OpenAiChat => "/v1/chat/completions",
            Self::OpenAi => "/v1/completions",
            Self::Sglang => "/generate",
            Self::LlamaCpp => "/completion",
        }
    }

    /// True if it takes messages, false if it takes text or ids.
    pub fn takes_messages(self) -> bool {
        self == Self::OpenAiChat
    }

    /// The body of a request.
    ///
    /// # Errors
    /// [`BodyError`]: the backend does not take this kind of prompt, or the extra members are of no use.
    pub fn body(self, ask: &Ask<'_>, settings: &Settings) -> Result<Vec<u8>, BodyError> {
        let mut body = match (self, ask) {
            (Self::OpenAiChat, Ask::Messages(request)) => messages(request)?,
            (Self::OpenAiChat, _) | (_, Ask::Messages(_)) => {
                return Err(BodyError::Kind { backend: self, kind: ask.kind() });
            }
            (Self::OpenAi | Self::LlamaCpp, Ask::Text(text)) => object(json!({"prompt": text})),
            (Self::OpenAi | Self::LlamaCpp, Ask::Ids(ids)) => object(json!({"prompt": ids})),
            (Self::Sglang, Ask::Text(text)) => object(json!({"text": text})),
            (Self::Sglang, Ask::Ids(ids)) => object(json!({"input_ids": ids})),
        };
        match self {
            Self::OpenAiChat | Self::OpenAi => settings.openai(&mut body),
            Self::Sglang => settings.sglang(&mut body),
            Self::LlamaCpp => settings.llama(&mut body),
        }
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

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = String;

    /// By its name, or as other load generators call it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "openai-chat" | "vllm-chat" | "sglang-oai-chat" => Self::OpenAiChat,
            "openai" | "vllm" | "sglang-oai" | "openai-completions" => Self::OpenAi,
            "sglang" | "sglang-native" => Self::Sglang,
            "llama.cpp" | "llamacpp" | "llama-cpp" => Self::LlamaCpp,
            _ => {
                let names: Vec<&str> = Self::ALL.iter().map(|backend| backend.name()).collect();
                return Err(format!("`{text}` is no backend: give one of {}", names.join(", ")));
            }
        })
    }
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub enum Ask<'a> {
    /// A chat request with `messages`, and `tools` perhaps; its other members are kept where settings do not say otherwise.
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

impl Settings {
    fn openai(&self, body: &mut Map<String, Value>) {
        if let Some(model) = &self.model {
            body.insert("model".to_owned(), json!(model));
        }
        if let Some(tokens) = self.max_tokens {
            body.insert("max_tokens".to_owned(), json!(tokens));
        }
        if let Some(temperature) = self.temperature {
            body.insert("temperature".to_owned(), json!(temperature));
        }
        if self.ignore_eos {
            body.insert("ignore_eos".to_owned(), json!(true));
        }
        body.insert("stream".to_owned(), json!(self.stream));
        if self.stream {
            body.insert("stream_options".to_owned(), json!({"include_usage": true}));
        }
    }

    fn sglang(&self, body: &mut Map<String, Value>) {
        let mut sampling = Map::new();
        if let Some(tokens) = self.max_tokens {
            sampling.insert("max_new_tokens".to_owned(), json!(tokens));
        }
        if let Some(temperature) = self.temperature {
            sampling.insert("temperature".to_owned(), json!(temperature));
        }
        if self.ignore_eos {
            sampling.insert("ignore_eos".to_owned(), json!(true));
        }
        body.insert("sampling_params".to_owned(), Value::Object(sampling));
        body.insert("stream".to_owned(), json!(self.stream));
    }

    fn llama(&self, body: &mut Map<String, Value>) {
        if let Some(tokens) = self.max_tokens {
            body.insert("n_predict".to_owned(), json!(tokens));
        }
        if let Some(temperature) = self.temperature {
            body.insert("temperature".to_owned(), json!(temperature));
        }
        if self.ignore_eos {
            body.insert("ignore_eos".to_owned(), json!(true));
        }
        body.insert("stream".to_owned(), json!(self.stream));
        body.insert("cache_prompt".to_owned(), json!(true));
    }
}

/// Why a request has no body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the backend {backend} takes no {kind}: choose another --backend")]
    Kind { backend: Backend, kind: &'static str },
    #[error("a chat request has no `messages`")]
    NoMessages,
    #[error("a request cannot be written as JSON: {0}")]
    Json(String),
}

fn messages(request: &Value) -> Result<Map<String, Value>, BodyError> {
    let request = request.as_object().filter(|request| request.get("messages").is_some_and(Value::is_array));
    let mut body = request.ok_or(BodyError::NoMessages)?.clone();
    // How a dataset wanted to be answered is not what is measured, and its model is not this server's.
    for name in ["model", "stream", "stream_options", "n", "temperature", "max_completion_tokens"] {
        body.remove(name);
    }
    Ok(body)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(backend: Backend, ask: Ask<'_>, settings: &Settings) -> Value {
        serde_json::from_slice(&backend.body(&ask, settings).unwrap()).unwrap()
    }

    fn settings() -> Settings {
        Settings { model: Some("m".into()), max_tokens: Some(8), ignore_eos: true, ..Settings::default() }
    }

    #[test]
    fn chat_keeps_messages_and_tools_and_overrides_the_rest() {
        let request = json!({"model": "x", "messages": [{"role": "user", "content": "hi"}], "tools": [1], "stream": false, "n": 3, "max_tokens": 256});
        let body = body(Backend::OpenAiChat, Ask::Messages(&request), &settings());
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
        let openai = body(Backend::OpenAi, Ask::Ids(&[1, 2]), &plain);
        assert_eq!(
            (&openai["prompt"], &openai["stream"], openai.get("stream_options")),
            (&json!([1, 2]), &json!(false), None)
        );
        let sglang = body(Backend::Sglang, Ask::Ids(&[1, 2]), &settings());
        assert_eq!(
            sglang,
            json!({
                "input_ids": [1, 2], "stream": true,
                "sampling_params": {"max_new_tokens": 8, "temperature": 0.0, "ignore_eos": true}
            })
        );
        let llama = body(Backend::LlamaCpp, Ask::Text("a"), &settings());
        assert_eq!((&llama["prompt"], &llama["n_predict"]), (&json!("a"), &json!(8)));
        let bare = Settings { model: None, temperature: None, ..Settings::default() };
        let request = json!({"model": "x", "messages": [], "temperature": 0.7});
        let chat = body(Backend::OpenAiChat, Ask::Messages(&request), &bare);
        assert_eq!((chat.get("model"), chat.get("temperature")), (None, None), "the server decides");
        let text = Backend::OpenAiChat.body(&Ask::Text("a"), &settings()).unwrap_err();
        assert_eq!(text.to_string(), "the backend openai-chat takes no text: choose another --backend");
        assert_eq!(Backend::OpenAiChat.body(&Ask::Messages(&json!({})), &settings()), Err(BodyError::NoMessages));
    }

    #[test]
    fn extra_members_win_and_go_into_objects() {
        let extra = json!({"sampling_params": {"top_k": 1}, "stream": 5}).as_object().unwrap().clone();
        let sglang = body(Backend::Sglang, Ask::Text("a"), &Settings { extra, ..settings() });
        assert_eq!(
            (&sglang["sampling_params"]["top_k"], &sglang["sampling_params"]["max_new_tokens"]),
            (&json!(1), &json!(8))
        );
        assert_eq!(sglang["stream"], json!(5));
    }

    #[test]
    fn names_come_back_and_others_are_known() {
        for backend in Backend::ALL {
            assert_eq!(backend.name().parse(), Ok(backend));
            assert_eq!(serde_json::to_value(backend).unwrap(), json!(backend.name()));
        }
        assert_eq!("vllm".parse(), Ok(Backend::OpenAi));
        assert!("tgi".parse::<Backend>().unwrap_err().contains("openai-chat, openai, sglang, llama.cpp"));
    }
}
