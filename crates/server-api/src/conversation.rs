//! Chat messages in the form of OpenAI, as far as other APIs have to be told what stands in them.

use serde_json::{Map, Value};

/// The messages of a request.
pub(crate) fn list(request: &Map<String, Value>) -> &[Value] {
    request.get("messages").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The text of a message or block: its content, or the texts of its parts, one a line.
pub(crate) fn text(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

/// Parts as a content: one text is that text, none is null.
pub(crate) fn joined(parts: Vec<Value>) -> Value {
    match parts.as_slice() {
        [] => Value::Null,
        [one] if one["type"] == "text" => one["text"].clone(),
        _ => Value::Array(parts),
    }
}

/// Media type and data of a `data:` URL in base64.
pub(crate) fn data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    Some((head.strip_suffix(";base64")?, data))
}
