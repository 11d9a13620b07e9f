//! Text to ids.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::mix;

/// What is to be tokenized.
#[derive(Debug, Clone, Copy)]
pub enum PromptText<'a> {
    Text(&'a str),
    /// Messages of a chat, each an object with a `role`, and the request's `tools` (or null).
    Messages {
        messages: &'a [Value],
        tools: &'a Value,
    },
}

/// A tokenizer of one's own: a prompt to its ids, or a sentence that says why not (the client gets 400 with it).
pub type TokenizeFn = dyn Fn(PromptText<'_>) -> Result<Vec<u32>, String> + Send + Sync;

/// How text becomes ids.
#[derive(Clone, Default)]
pub enum Tokenizer {
    /// The rule of words, which needs no vocabulary: a token is a space, if there is one, and the up to 8 bytes after it that are no
    /// whitespace; other whitespace is a token a byte. Its id is a hash of its bytes. A message is a token for its role, its
    /// content and a token for its end; after the last one a token asks for the answer. About 1.1 tokens a word of English.
    #[default]
    Words,
    /// The caller's own, with real costs: it runs in the threads of the front end, not beside the sockets.
    Custom(Arc<TokenizeFn>),
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Words => "Words",
            Self::Custom(_) => "Custom",
        })
    }
}

/// Most bytes of a word's token, without its space.
const WORD_MOST: usize = 8;

impl Tokenizer {
    /// # Errors
    /// A sentence for the client: what is wrong with the prompt.
    pub fn encode(&self, prompt: PromptText<'_>) -> Result<Vec<u32>, String> {
        if let Self::Custom(encode) = self {
            return encode(prompt);
        }
        let mut ids = Vec::new();
        match prompt {
            PromptText::Text(text) => words(text, &mut ids),
            PromptText::Messages { messages, tools } => {
                if !tools.is_null() {
                    words(&tools.to_string(), &mut ids);
                }
                for message in messages {
                    ids.push(marker(message["role"].as_str().unwrap_or_default()));
                    content(&message["content"], &mut ids);
                    if !message["tool_calls"].is_null() {
                        words(&message["tool_calls"].to_string(), &mut ids);
                    }
                    ids.push(marker("end"));
                }
                ids.push(marker("assistant"));
            }
        }
        Ok(ids)
    }
}

/// The content of a message: a text, or parts of which those with a text count, or nothing.
fn content(value: &Value, ids: &mut Vec<u32>) {
    match value {
        Value::String(text) => words(text, ids),
        Value::Array(parts) => {
            for text in parts.iter().filter_map(|part| part["text"].as_str()) {
                words(text, ids);
            }
        }
        _ => {}
    }
}

fn words(text: &str, ids: &mut Vec<u32>) {
    let bytes = text.as_bytes();
    ids.reserve(bytes.len() / 5);
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        at += usize::from(bytes[at] == b' ');
        let word = bytes[at..].iter().take(WORD_MOST).take_while(|byte| !byte.is_ascii_whitespace()).count();
        at = (at + word).max(start + 1);
        ids.push(word_id(&bytes[start..at]));
    }
}

/// The id of a token by its bytes, at most 9.
pub(super) fn word_id(bytes: &[u8]) -> u32 {
    let value = bytes.iter().fold(bytes.len() as u64, |value, &byte| value.rotate_left(8) ^ u64::from(byte));
    // 31 bits: ids are signed in some servers.
    (mix(value) >> 33) as u32
}

/// The token of a role, or of a message's end: no text has its id but by chance.
fn marker(name: &str) -> u32 {
    (mix(name.bytes().fold(u64::MAX, |value, byte| mix(value ^ u64::from(byte)))) >> 33) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn count(text: &str) -> usize {
        Tokenizer::Words.encode(PromptText::Text(text)).unwrap().len()
    }

    #[test]
    fn the_rule_of_words() {
        assert_eq!(count(""), 0);
        assert_eq!(count("one"), 1);
        assert_eq!(count("one two"), 2);
        assert_eq!(count(" one  two"), 3);
        assert_eq!(count("one\n\ttwo"), 4);
        assert_eq!(count("12345678"), 1);
        assert_eq!(count("123456789"), 2);
        assert_eq!(count("größer €"), 2);
        let ids = Tokenizer::Words.encode(PromptText::Text("a b a b")).unwrap();
        assert_eq!((ids[1] == ids[3], ids[0] == ids[2]), (true, false), "` a` and `a` are two tokens");
    }

    #[test]
    fn a_chat_grows_at_its_end() {
        let encode = |messages: Value| {
            let messages = messages.as_array().unwrap().clone();
            Tokenizer::Words.encode(PromptText::Messages { messages: &messages, tools: &Value::Null }).unwrap()
        };
        let first = encode(json!([{"role": "user", "content": "hello you"}]));
        assert_eq!(first.len(), 5);
        let second = encode(json!([
            {"role": "user", "content": [{"type": "text", "text": "hello you"}]},
            {"role": "assistant", "content": " good day"},
            {"role": "user", "content": "bye"},
        ]));
        assert_eq!(second.len(), 4 + 4 + 3 + 1);
        assert_eq!(second[..5], first[..], "what asked for the answer is the answer's role");
    }
}
