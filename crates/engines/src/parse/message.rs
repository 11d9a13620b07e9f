//! The messages of a request, deserialized by hand: an untagged enum would copy every text, and its errors would name
//! neither the message nor what was wrong with it.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
    Function,
}

/// The roles, as they are written.
pub const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];

impl Role {
    pub fn as_str(self) -> &'static str {
        ROLES[self as usize]
    }

    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "system" => Self::System,
            "developer" => Self::Developer,
            "user" => Self::User,
            "assistant" => Self::Assistant,
            "tool" => Self::Tool,
            "function" => Self::Function,
            _ => return None,
        })
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RoleVisitor;
        impl Visitor<'_> for RoleVisitor {
            type Value = Role;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                write!(formatter, "a role ({})", ROLES.join(", "))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Role, E> {
                Role::parse(text)
                    .ok_or_else(|| E::custom(format!("unknown role `{text}`; use one of {}", ROLES.join(", "))))
            }
        }
        deserializer.deserialize_str(RoleVisitor)
    }
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Content {
    /// There is no key `content`.
    #[default]
    Absent,
    Null,
    Text(String),
    Parts(Vec<Part>),
}

impl Content {
    /// The text, or the texts of the parts one after the other; empty where there is none.
    pub fn text(&self) -> String {
        match self {
            Self::Absent | Self::Null => String::new(),
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => parts.iter().filter_map(|part| part.text.as_deref()).collect(),
        }
    }
}

/// A part of a message: text, or something that is not text (an image), which is kept as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContentVisitor;
        impl<'de> Visitor<'de> for ContentVisitor {
            type Value = Content;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a content that is a string, a list of parts or null")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Content, E> {
                Ok(Content::Null)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Content, E> {
                Ok(Content::Text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Content, A::Error> {
                let mut found = Vec::with_capacity(parts.size_hint().unwrap_or(0));
                while let Some(part) = parts.next_element()? {
                    found.push(part);
                }
                Ok(Content::Parts(found))
            }
        }
        deserializer.deserialize_any(ContentVisitor)
    }
}

/// A call that the model made: `{"id": …, "type": "function", "function": {"name": …, "arguments": …}}`, the arguments as a
/// string of JSON (OpenAI) or as an object (what templates like to get). Validated, and kept with the order of its keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct ToolCall(Map<String, Value>);

impl ToolCall {
    /// Name of the function that is called.
    pub fn name(&self) -> &str {
        self.0.get("function").and_then(|function| function.get("name")).and_then(Value::as_str).unwrap_or_default()
    }
}

impl TryFrom<Map<String, Value>> for ToolCall {
    type Error = String;

    fn try_from(call: Map<String, Value>) -> Result<Self, String> {
        let function = call.get("function").and_then(Value::as_object).ok_or("a tool call has no object `function`")?;
        if !function.get("name").is_some_and(Value::is_string) {
            return Err("the function of a tool call has no name".to_owned());
        }
        if !function.get("arguments").is_none_or(|arguments| arguments.is_string() || arguments.is_object()) {
            return Err("the arguments of a tool call are neither a string of JSON nor an object".to_owned());
        }
        Ok(Self(call))
    }
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub role: Role,
    pub content: Content,
    pub name: Option<String>,
    pub tool_calls: Option<Vec<ToolCall>>,
    pub tool_call_id: Option<String>,
    pub reasoning_content: Option<String>,
    /// Everything else, in order.
    pub extra: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MessageVisitor;
        impl<'de> Visitor<'de> for MessageVisitor {
            type Value = Message;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a message, which is an object with a role and a content")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Message, A::Error> {
                let mut role = None;
                let mut message = Message {
                    role: Role::User,
                    content: Content::Absent,
                    name: None,
                    tool_calls: None,
                    tool_call_id: None,
                    reasoning_content: None,
                    extra: Map::new(),
                };
                while let Some(key) = map.next_key::<Key>()? {
                    match key {
                        Key::Role => role = Some(map.next_value()?),
                        Key::Content => message.content = map.next_value()?,
                        Key::Name => message.name = map.next_value()?,
                        Key::ToolCalls => message.tool_calls = map.next_value()?,
                        Key::ToolCallId => message.tool_call_id = map.next_value()?,
                        Key::ReasoningContent => message.reasoning_content = map.next_value()?,
                        Key::Other(key) => {
                            message.extra.insert(key, map.next_value()?);
                        }
                    }
                }
                message.role = role.ok_or_else(|| de::Error::custom("there is no role"))?;
                Ok(message)
            }
        }
        deserializer.deserialize_map(MessageVisitor)
    }
}

enum Key {
    Role,
    Content,
    Name,
    ToolCalls,
    ToolCallId,
    ReasoningContent,
    Other(String),
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a key")
            }

            fn visit_str<E: de::Error>(self, key: &str) -> Result<Key, E> {
                Ok(match key {
                    "role" => Key::Role,
                    "content" => Key::Content,
                    "name" => Key::Name,
                    "tool_calls" => Key::ToolCalls,
                    "tool_call_id" => Key::ToolCallId,
                    "reasoning_content" => Key::ReasoningContent,
                    other => Key::Other(other.to_owned()),
                })
            }
        }
        deserializer.deserialize_identifier(KeyVisitor)
    }
}

/// As a template sees it: the keys that were given, role and content first.
impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", self.role.as_str())?;
        match &self.content {
            Content::Absent => {}
            Content::Null => map.serialize_entry("content", &())?,
            Content::Text(text) => map.serialize_entry("content", text)?,
            Content::Parts(parts) => map.serialize_entry("content", parts)?,
        }
        if let Some(name) = &self.name {
            map.serialize_entry("name", name)?;
        }
        if let Some(reasoning) = &self.reasoning_content {
            map.serialize_entry("reasoning_content", reasoning)?;
        }
        if let Some(calls) = &self.tool_calls {
            map.serialize_entry("tool_calls", calls)?;
        }
        if let Some(id) = &self.tool_call_id {
            map.serialize_entry("tool_call_id", id)?;
        }
        for (key, value) in &self.extra {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// The list of messages; an error names the one that it is about.
pub fn deserialize_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Message>, D::Error> {
    struct ListVisitor;
    impl<'de> Visitor<'de> for ListVisitor {
        type Value = Vec<Message>;

        fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
            formatter.write_str("a list of messages")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Message>, A::Error> {
            let mut messages = Vec::with_capacity(list.size_hint().unwrap_or(0));
            while let Some(message) = list.next_element_seed(At(messages.len()))? {
                messages.push(message);
            }
            if messages.is_empty() {
                return Err(de::Error::custom("messages is empty; give at least one message"));
            }
            Ok(messages)
        }
    }

    struct At(usize);
    impl<'de> DeserializeSeed<'de> for At {
        type Value = Message;

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Message, D::Error> {
            Message::deserialize(deserializer)
                .map_err(|error| de::Error::custom(format!("messages[{}]: {error}", self.0)))
        }
    }

    deserializer.deserialize_seq(ListVisitor)
}
