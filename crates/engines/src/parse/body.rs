//! A chat-completions request of which nothing is lost: what a component needs that passes it on.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::message::{self, Message};
use super::{EngineError, Tool};

/// The conversation, validated as in [`super::ChatRequest`], and every other member of the body as it was.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatBody {
    pub messages: Vec<Message>,
    pub tools: Option<Vec<Tool>>,
    /// In the order of the body; the last of several members with one name.
    pub rest: Map<String, Value>,
}

impl ChatBody {
    /// Reads the bytes of a body.
    ///
    /// # Errors
    /// What is wrong with it, with the message and the place.
    pub fn read(body: &[u8]) -> Result<Self, EngineError> {
        serde_json::from_slice(body)
            .map_err(|error| EngineError::Failed(format!("the request is not a chat-completions body: {error}")))
    }
}

impl<'de> Deserialize<'de> for ChatBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BodyVisitor)
    }
}

/// By hand: `flatten` would copy every text of the conversation once more.
struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = ChatBody;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object with messages")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ChatBody, A::Error> {
        let (mut messages, mut tools, mut rest) = (None, None, Map::new());
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "messages" => messages = Some(map.next_value_seed(Messages)?),
                "tools" => tools = map.next_value()?,
                _ => {
                    rest.insert(key, map.next_value()?);
                }
            }
        }
        let messages = messages.ok_or_else(|| de::Error::missing_field("messages"))?;
        Ok(ChatBody { messages, tools, rest })
    }
}

struct Messages;

impl<'de> DeserializeSeed<'de> for Messages {
    type Value = Vec<Message>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Message>, D::Error> {
        message::deserialize_list(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{ChatRequest, call_path};

    #[test]
    fn the_conversation_is_the_parsers_and_the_rest_is_kept_in_order() {
        let body = br#"{"seed": 3, "messages": [{"role": "user", "content": "hi", "x": 1}], "stop": ["a"],
            "tools": [{"type": "function", "function": {"name": "f"}}], "temperature": 0.1, "best_of": 2}"#;
        let read = ChatBody::read(body).unwrap();
        let request: ChatRequest = call_path("serde_json.from_slice").unwrap().run(body).unwrap();
        assert_eq!((read.messages, read.tools), (request.messages, request.tools));
        let keys: Vec<&str> = read.rest.keys().map(String::as_str).collect();
        assert_eq!(keys, ["seed", "stop", "temperature", "best_of"]);
        assert_eq!(read.rest["temperature"].to_string(), "0.1");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, said) in [
            (&br#"{"model": "m"}"#[..], "messages"),
            (br#"{"messages": []}"#, "at least one message"),
            (br#"{"messages": [{"role": "user"}, {"role": "king"}]}"#, "messages[1]: unknown role `king`"),
            (br#"{"messages": [{"role": "user"}], "tools": [{}]}"#, "type"),
            (br#"{"messages": [{"role": "us"#, "EOF"),
            (b"[1]", "messages"),
        ] {
            let error = ChatBody::read(body).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
