//! Prompts: text, ids, lists of either, or a mixture of both in one.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde_json::Value;

/// What is to be continued.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    Text(String),
    Ids(Vec<u32>),
    /// Text and ids in turn (llama.cpp).
    Mixed(Vec<Part>),
    Messages {
        messages: Vec<Value>,
        tools: Value,
    },
}

/// A part of a mixed prompt, or a prompt of a list.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    Id(u32),
    Text(String),
    Ids(Vec<u32>),
}

impl Prompt {
    /// Messages that a template goes through to write it.
    pub fn messages(&self) -> usize {
        match self {
            Self::Messages { messages, .. } => messages.len(),
            Self::Text(_) | Self::Ids(_) | Self::Mixed(_) => 0,
        }
    }

    /// How many of its `all` tokens are made of text.
    pub fn tokens_of_text(&self, all: usize) -> usize {
        match self {
            Self::Text(_) | Self::Messages { .. } => all,
            Self::Ids(_) => 0,
            Self::Mixed(parts) => {
                let given = parts.iter().map(|part| match part {
                    Part::Id(_) => 1,
                    Part::Ids(ids) => ids.len(),
                    Part::Text(_) => 0,
                });
                all.saturating_sub(given.sum())
            }
        }
    }
}

/// The `prompt` of a body: one or several.
#[derive(Debug, Default)]
pub(crate) struct Prompts(pub Vec<Prompt>);

impl<'de> Deserialize<'de> for Prompts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PromptsVisitor;

        impl<'de> Visitor<'de> for PromptsVisitor {
            type Value = Prompts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a list of token ids, or a list of these")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Prompts, E> {
                Ok(Prompts(vec![Prompt::Text(text.to_owned())]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Prompts, A::Error> {
                let (mut ids, mut parts) = (Vec::new(), Vec::new());
                // Nearly always a plain list of ids: nothing else is built for one.
                while let Some(part) = list.next_element::<Part>()? {
                    match part {
                        Part::Id(id) if parts.is_empty() => ids.push(id),
                        part => {
                            parts.extend(ids.drain(..).map(Part::Id));
                            parts.push(part);
                        }
                    }
                }
                if parts.is_empty() {
                    return Ok(Prompts(vec![Prompt::Ids(ids)]));
                }
                if parts.iter().any(|part| matches!(part, Part::Id(_))) {
                    return Ok(Prompts(vec![Prompt::Mixed(parts)]));
                }
                let each = parts.into_iter().map(|part| match part {
                    Part::Text(text) => Prompt::Text(text),
                    Part::Ids(ids) => Prompt::Ids(ids),
                    Part::Id(id) => Prompt::Ids(vec![id]),
                });
                Ok(Prompts(each.collect()))
            }
        }

        deserializer.deserialize_any(PromptsVisitor)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PartVisitor;

        impl<'de> Visitor<'de> for PartVisitor {
            type Value = Part;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a token id, a text, or a list of token ids")
            }

            fn visit_u64<E: Error>(self, id: u64) -> Result<Part, E> {
                u32::try_from(id).map(Part::Id).map_err(|_| E::custom(format!("{id} is no token id")))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Part, E> {
                Ok(Part::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Part, A::Error> {
                let mut ids = Vec::new();
                while let Some(id) = list.next_element()? {
                    ids.push(id);
                }
                Ok(Part::Ids(ids))
            }
        }

        deserializer.deserialize_any(PartVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(json: &str) -> Result<Vec<Prompt>, String> {
        serde_json::from_str(json).map(|Prompts(prompts)| prompts).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_prompt_can_be() {
        let text = |text: &str| Prompt::Text(text.into());
        assert_eq!(prompts(r#""a""#), Ok(vec![text("a")]));
        assert_eq!(prompts("[1,2]"), Ok(vec![Prompt::Ids(vec![1, 2])]));
        assert_eq!(prompts("[[1,2],[3]]"), Ok(vec![Prompt::Ids(vec![1, 2]), Prompt::Ids(vec![3])]));
        assert_eq!(prompts(r#"["a","b"]"#), Ok(vec![text("a"), text("b")]));
        let mixed = vec![Part::Id(1), Part::Text("a b".into()), Part::Id(2)];
        assert_eq!(prompts(r#"[1,"a b",2]"#), Ok(vec![Prompt::Mixed(mixed.clone())]));
        let mixed = Prompt::Mixed(mixed);
        assert_eq!((mixed.tokens_of_text(4), mixed.messages()), (2, 0));
        assert_eq!(Prompt::Ids(vec![1, 2]).tokens_of_text(2), 0);
        for bad in ["1", "null", "{}", "[-1]", "[1.5]", "[4294967296]", "[[[1]]]", "[null]"] {
            assert!(prompts(bad).is_err(), "{bad}");
        }
    }
}
