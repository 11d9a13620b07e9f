//! A conversation as template values.

use minijinja::Value;
use minijinja::value::ValueKind;
use serde_json::Value as Json;

use super::error::TemplateError;
use super::pynumber::PyFloat;
use super::pyvalue::{PyDict, PyList};

/// Messages, tools and further variables, ready to be rendered any number of times.
///
/// Building one corresponds to the Python dictionaries that a server has before it calls
/// `apply_chat_template`, plus what that function does to them before the template sees them: keys of a
/// message whose value is null are dropped, and a reasoning text is available as `reasoning_content` and
/// `thinking` whichever of `reasoning_content`, `thinking` and `reasoning` it came under.
#[derive(Clone, Debug)]
pub struct Conversation {
    pub(super) messages: Value,
    pub(super) tools: Value,
    pub(super) variables: Vec<(String, Value)>,
}

/// Names of a message's reasoning, the first that is there wins.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

impl Conversation {
    /// From parsed JSON: `messages` is a list of objects, `tools` a list of objects or nothing.
    ///
    /// Integers beyond 64 bits are floats in `serde_json`, and a template that prints one prints a float; Python keeps the digits.
    ///
    /// # Errors
    /// [`TemplateError::Conversation`] if the shape is another one or there is no message.
    pub fn from_json(messages: &Json, tools: Option<&Json>) -> Result<Conversation, TemplateError> {
        Conversation::from_values(from_json(messages), tools.map(from_json))
    }

    fn from_values(messages: Value, tools: Option<Value>) -> Result<Conversation, TemplateError> {
        let wrong = |text: &str| TemplateError::Conversation(text.to_owned());
        if messages.kind() != ValueKind::Seq {
            return Err(wrong("messages must be a list of objects"));
        }
        let messages: Vec<Value> = messages
            .try_iter()
            .map_err(|_| wrong("messages must be a list of objects"))?
            .enumerate()
            .map(|(at, message)| match message.kind() {
                ValueKind::Map => Ok(normalize(&message)),
                kind => Err(TemplateError::Conversation(format!(
                    "message {at} must be an object with a role and content, it is a {kind}"
                ))),
            })
            .collect::<Result<_, _>>()?;
        if messages.is_empty() {
            return Err(wrong("it has no message; give at least one"));
        }
        let tools = match tools {
            None => Value::from(()),
            Some(tools) if tools.is_none() => Value::from(()),
            Some(tools) => {
                let objects = tools.kind() == ValueKind::Seq
                    && tools.try_iter().is_ok_and(|mut list| list.all(|tool| tool.kind() == ValueKind::Map));
                if !objects {
                    return Err(wrong("tools must be a list of objects"));
                }
                tools
            }
        };
        let messages = Value::from_object(PyList(messages));
        Ok(Conversation { messages, tools, variables: Vec::new() })
    }

    /// Adds a variable that the template may read, such as `enable_thinking` or `documents`.
    ///
    /// It takes precedence over a special token of the same name; `messages`, `tools` and
    /// `add_generation_prompt` cannot be replaced.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &Json) -> Conversation {
        let value = from_json(value);
        match self.variables.iter_mut().find(|(have, _)| have == name) {
            Some((_, have)) => *have = value,
            None => self.variables.push((name.to_owned(), value)),
        }
        self
    }

    /// Number of messages.
    pub fn len(&self) -> usize {
        self.messages.len().unwrap_or(0)
    }

    /// Whether the request names tools, be it none of them: then a template for tools is used where the model has one.
    pub fn has_tools(&self) -> bool {
        !self.tools.is_none()
    }

    /// Always false: a conversation without messages cannot be built.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What `apply_chat_template` does to a message.
fn normalize(message: &Value) -> Value {
    let mut pairs: Vec<(String, Value)> = message
        .as_object()
        .and_then(|object| object.try_iter_pairs())
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_none())
        .map(|(key, value)| (key.to_string(), value))
        .collect();
    let find = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    if let Some(reasoning) = REASONING.iter().find_map(|name| find(name)) {
        if find("thinking").is_none() {
            pairs.insert(0, ("thinking".to_owned(), reasoning.clone()));
        } else if let Some(at) = pairs.iter().position(|(key, _)| key == "thinking") {
            // `{"thinking": …, **message}` keeps the message's value and puts the key first.
            let own = pairs.remove(at);
            pairs.insert(0, own);
        }
        match pairs.iter_mut().find(|(key, _)| key == "reasoning_content") {
            Some((_, value)) => *value = reasoning,
            None => pairs.push(("reasoning_content".to_owned(), reasoning)),
        }
    }
    PyDict::value(pairs.into_iter())
}

/// JSON to what Python's `json.loads` makes of it.
pub(super) fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(small), _) => Value::from(small),
            (None, Some(large)) => Value::from(large),
            (None, None) => PyFloat::value(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from_object(PyList(items.iter().map(from_json).collect())),
        Json::Object(map) => PyDict::value(map.iter().map(|(key, value)| (key.clone(), from_json(value)))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_are_normalized_as_transformers_does() {
        let conversation = Conversation::from_json(
            &json!([
                {"role": "user", "content": null, "name": "x"},
                {"role": "assistant", "reasoning": "r", "content": "c"},
                {"role": "assistant", "content": "c", "thinking": "t", "reasoning_content": "r"},
            ]),
            None,
        )
        .unwrap();
        assert_eq!(
            conversation.messages.to_string(),
            "[{'role': 'user', 'name': 'x'}, \
             {'thinking': 'r', 'role': 'assistant', 'reasoning': 'r', 'content': 'c', 'reasoning_content': 'r'}, \
             {'thinking': 't', 'role': 'assistant', 'content': 'c', 'reasoning_content': 'r'}]"
        );
        assert_eq!(conversation.len(), 3);
    }

    /// Where Python keeps the digits: `serde_json` has a float there, and a template prints what it got.
    #[test]
    fn an_integer_beyond_64_bits_is_a_float() {
        let text = r#"[{"a": 18446744073709551615, "b": -9223372036854775808, "c": 18446744073709551616}]"#;
        let conversation = Conversation::from_json(&serde_json::from_str(text).unwrap(), None).unwrap();
        let printed = "[{'a': 18446744073709551615, 'b': -9223372036854775808, 'c': 1.8446744073709552e+19}]";
        assert_eq!(conversation.messages.to_string(), printed);
    }

    #[test]
    fn wrong_shapes_are_named() {
        for (messages, tools, want) in [
            (json!([]), None, "no message"),
            (json!({"role": "user"}), None, "list of objects"),
            (json!(["hi"]), None, "message 0"),
            (json!([{"role": "user"}]), Some(json!({"a": 1})), "tools"),
        ] {
            let error = Conversation::from_json(&messages, tools.as_ref()).unwrap_err();
            assert!(error.to_string().contains(want), "{error}");
        }
    }
}
