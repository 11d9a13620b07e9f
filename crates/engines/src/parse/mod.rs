//! Parsing and validating the body of a chat-completions request.

mod body;
mod message;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::engine::{Engine, EngineError};

pub use body::ChatBody;
pub use message::{Content, Message, Part, ROLES, Role, ToolCall};

/// From the bytes of a request body to a validated request.
pub type Parse = dyn Engine<Input = [u8], Output = ChatRequest>;

pub const ENGINE: &str = "serde";
pub const CALL_PATHS: [&str; 1] = ["serde_json.from_slice"];

/// The call path of that name, if there is one.
pub fn call_path(name: &str) -> Option<Box<Parse>> {
    (name == CALL_PATHS[0]).then(|| Box::new(Serde) as Box<Parse>)
}

/// An OpenAI chat-completions request. Fields that are not named here are allowed and ignored; fields of messages, tools and
/// tool calls that are not named are kept, since a template may print them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ChatRequest {
    #[serde(default)]
    pub model: Option<String>,
    #[serde(deserialize_with = "message::deserialize_list")]
    pub messages: Vec<Message>,
    #[serde(default)]
    pub tools: Option<Vec<Tool>>,
    /// `none`, `auto`, `required`, or a named function.
    #[serde(default)]
    pub tool_choice: Option<Value>,
    #[serde(default)]
    pub max_tokens: Option<u64>,
    #[serde(default)]
    pub max_completion_tokens: Option<u64>,
    #[serde(default)]
    pub stream: Option<bool>,
    #[serde(default)]
    pub temperature: Option<f64>,
    #[serde(default)]
    pub top_p: Option<f64>,
    #[serde(default)]
    pub top_k: Option<i64>,
    #[serde(default)]
    pub n: Option<u32>,
    #[serde(default)]
    pub seed: Option<i64>,
    #[serde(default)]
    pub frequency_penalty: Option<f64>,
    #[serde(default)]
    pub presence_penalty: Option<f64>,
    #[serde(default)]
    pub logprobs: Option<bool>,
    #[serde(default)]
    pub top_logprobs: Option<u32>,
    #[serde(default)]
    pub user: Option<String>,
}

/// A function that the model may call: `{"type": "function", "function": {"name": …, "description": …, "parameters": …}}`.
/// Validated, and kept with the order of its keys, in which templates print it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct Tool(Map<String, Value>);

impl Tool {
    /// Name of the function.
    pub fn name(&self) -> &str {
        self.0.get("function").and_then(|function| function.get("name")).and_then(Value::as_str).unwrap_or_default()
    }
}

impl TryFrom<Map<String, Value>> for Tool {
    type Error = String;

    fn try_from(tool: Map<String, Value>) -> Result<Self, String> {
        match tool.get("type").and_then(Value::as_str) {
            Some("function") => {}
            Some(other) => return Err(format!("a tool has the type `{other}`; only `function` is supported")),
            None => return Err("a tool has no type; give \"type\": \"function\"".to_owned()),
        }
        let function = tool.get("function").and_then(Value::as_object).ok_or("a tool has no object `function`")?;
        if !function.get("name").is_some_and(Value::is_string) {
            return Err("the function of a tool has no name".to_owned());
        }
        if let Some(description) = function.get("description")
            && !description.is_string()
            && !description.is_null()
        {
            return Err("the description of a function is not a string".to_owned());
        }
        if let Some(parameters) = function.get("parameters")
            && !parameters.is_object()
            && !parameters.is_null()
        {
            return Err("the parameters of a function are not an object".to_owned());
        }
        Ok(Self(tool))
    }
}

/// `serde_json::from_slice` into [`ChatRequest`].
struct Serde;

impl Engine for Serde {
    type Input = [u8];
    type Output = ChatRequest;

    fn run(&self, body: &[u8]) -> Result<ChatRequest, EngineError> {
        serde_json::from_slice(body)
            .map_err(|error| EngineError::Failed(format!("the request is not a chat-completions body: {error}")))
    }
}
