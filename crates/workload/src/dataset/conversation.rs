//! One object of a dataset as a request body, or what is wrong with it.

use serde_json::{Map, Value, json};

use super::super::conversation::MODEL;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    ShareGpt,
    Messages,
}

pub(super) struct Conversation {
    pub(super) shape: Shape,
    /// None when nothing of it can be asked.
    pub(super) body: Option<Value>,
    pub(super) cut: bool,
}

/// Fields that belong to a request even where the object is no whole request body (that has `model`).
const REQUEST_FIELDS: [&str; 8] =
    ["max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "stream", "tool_choice", "response_format"];

pub(super) fn conversation(value: Value) -> Result<Conversation, String> {
    let Value::Object(mut object) = value else {
        return Err(format!("a conversation must be an object, not {}", kind(&value)));
    };
    let Some(key) =
        ["messages", "conversations", "conversation", "items"].into_iter().find(|key| object.contains_key(*key))
    else {
        if object.contains_key("role") || object.contains_key("from") {
            return Err(
                "this is a single message; put the messages of a conversation into {\"messages\": [...]}".to_owned()
            );
        }
        let keys: Vec<&str> = object.keys().map(String::as_str).take(6).collect();
        return Err(format!("neither \"messages\" nor \"conversations\" is there, only [{}]", keys.join(", ")));
    };
    let shape = if key == "messages" { Shape::Messages } else { Shape::ShareGpt };
    let Value::Array(entries) = object[key].take() else {
        return Err(format!("\"{key}\" must be an array of messages"));
    };
    let mut messages = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        messages.push(message(entry, shape).map_err(|problem| format!("message {index} {problem}"))?);
    }
    let before = messages.len();
    cut(&mut messages, shape);
    if !messages.iter().any(|message| role(message) == "user") {
        return Ok(Conversation { shape, body: None, cut: false });
    }
    let is_cut = messages.len() < before;
    if shape == Shape::ShareGpt
        && let Some(Value::String(system)) = object.get("system")
        && !system.is_empty()
        && role(&messages[0]) != "system"
    {
        messages.insert(0, json!({"role": "system", "content": system}));
    }
    let tools = match object.get("tools") {
        None | Some(Value::Null) => None,
        Some(tools @ Value::Array(list)) if list.iter().all(Value::is_object) => Some(tools.clone()),
        Some(_) => return Err("\"tools\" must be an array of objects".to_owned()),
    };
    let body = if object.contains_key("model") && shape == Shape::Messages {
        // A whole request body stays as it is, in its order.
        object.insert("messages".to_owned(), Value::Array(messages));
        Value::Object(object)
    } else {
        let mut body = request(Value::Array(messages), tools);
        for field in REQUEST_FIELDS {
            if let Some(value) = object.remove(field) {
                body[field] = value;
            }
        }
        body
    };
    Ok(Conversation { shape, body: Some(body), cut: is_cut })
}

/// A request body with the usual settings.
pub(super) fn request(messages: Value, tools: Option<Value>) -> Value {
    let mut body = Map::new();
    body.insert("model".to_owned(), MODEL.into());
    body.insert("messages".to_owned(), messages);
    if let Some(tools) = tools {
        body.insert("tools".to_owned(), tools);
    }
    body.insert("max_tokens".to_owned(), 256.into());
    body.insert("stream".to_owned(), true.into());
    body.insert("temperature".to_owned(), 0.7.into());
    Value::Object(body)
}

/// Replies at the end are what the model is to write. ShareGPT also has pieces that begin with a reply.
fn cut(messages: &mut Vec<Value>, shape: Shape) {
    while messages.last().is_some_and(|message| !matches!(role(message), "user" | "tool" | "function")) {
        messages.pop();
    }
    if shape == Shape::ShareGpt {
        let replies = |message: &&Value| role(message) == "assistant";
        let system = usize::from(messages.first().is_some_and(|message| role(message) == "system"));
        let orphans = messages[system..].iter().take_while(replies).count();
        messages.drain(system..system + orphans);
    }
}

fn role(message: &Value) -> &str {
    message["role"].as_str().unwrap_or_default()
}

fn message(entry: Value, shape: Shape) -> Result<Value, String> {
    let Value::Object(mut message) = entry else {
        return Err(format!("must be an object, not {}", kind(&entry)));
    };
    let (role_key, role) = match ["role", "from"].into_iter().find_map(|key| message.get(key).map(|role| (key, role))) {
        Some((key, Value::String(role))) => (key, role.clone()),
        Some((key, other)) => return Err(format!("has a \"{key}\" that is {} and no string", kind(other))),
        None => return Err("has no role".to_owned()),
    };
    let known = match (role.as_str(), shape) {
        ("system" | "user" | "assistant" | "tool", _) | ("developer" | "function", Shape::Messages) => {
            Some(role.as_str())
        }
        ("human", Shape::ShareGpt) => Some("user"),
        ("gpt" | "chatgpt" | "bing" | "bard" | "model", Shape::ShareGpt) => Some("assistant"),
        ("observation" | "function", Shape::ShareGpt) => Some("tool"),
        _ => None,
    };
    let Some(known) = known else {
        let allowed = match shape {
            Shape::Messages => "system, developer, user, assistant or tool",
            Shape::ShareGpt => "system, human, user, gpt, assistant or tool",
        };
        return Err(format!("has the role {role:?}; it must be {allowed}"));
    };
    if role_key == "role" && message.contains_key("content") {
        message["role"] = known.into();
    } else {
        let content = ["content", "value", "text"].into_iter().find_map(|key| message.remove(key));
        let rest = std::mem::take(&mut message);
        message.insert("role".to_owned(), known.into());
        if let Some(content) = content {
            message.insert("content".to_owned(), content);
        }
        let kept = ["tool_calls", "tool_call_id", "name", "function_call", "reasoning_content"];
        message.extend(rest.into_iter().filter(|(key, _)| kept.contains(&key.as_str())));
    }
    let calls = tool_calls(message.get("tool_calls"))? || message.get("function_call").is_some_and(Value::is_object);
    content(message.get("content"), known == "assistant" && calls)?;
    Ok(Value::Object(message))
}

fn content(content: Option<&Value>, may_be_missing: bool) -> Result<(), String> {
    match content {
        Some(Value::String(_)) => Ok(()),
        None | Some(Value::Null) if may_be_missing => Ok(()),
        None | Some(Value::Null) => Err("has no content".to_owned()),
        Some(Value::Array(parts)) => {
            for part in parts {
                let Some(kind) = part.get("type").and_then(Value::as_str) else {
                    return Err("has a content part without a \"type\"".to_owned());
                };
                if kind == "text" && !part.get("text").is_some_and(Value::is_string) {
                    return Err("has a text part without \"text\"".to_owned());
                }
            }
            Ok(())
        }
        Some(other) => Err(format!("has content that is {}; it must be a string or an array of parts", kind(other))),
    }
}

/// True when there are calls. Their arguments stay as they are, a string or an object.
fn tool_calls(calls: Option<&Value>) -> Result<bool, String> {
    let calls = match calls {
        None | Some(Value::Null) => return Ok(false),
        Some(Value::Array(calls)) => calls,
        Some(other) => return Err(format!("has \"tool_calls\" that are {} and no array", kind(other))),
    };
    for call in calls {
        let function = call.get("function").unwrap_or(call);
        if !function.get("name").is_some_and(Value::is_string) {
            return Err("has a tool call without the name of its function".to_owned());
        }
        if !matches!(function.get("arguments"), None | Some(Value::String(_) | Value::Object(_) | Value::Null)) {
            return Err("has a tool call whose arguments are neither a string nor an object".to_owned());
        }
    }
    Ok(!calls.is_empty())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
