//! OpenAI's `/v1/completions` with token ids: vLLM and others.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Piece, Said, max_tokens, unreadable};
use crate::chat::Usage;
use crate::prepare::Reply;

/// Members of chat that completions do not have and that change nothing in the reply.
const CHAT_ONLY: [&str; 11] = [
    "tool_choice",
    "parallel_tool_calls",
    "store",
    "metadata",
    "service_tier",
    "verbosity",
    "prompt_cache_key",
    "safety_identifier",
    "include_reasoning",
    "add_special_tokens",
    "top_logprobs",
];
/// Members that would be refused although they ask for nothing.
const OFF: [&str; 4] = ["logprobs", "echo", "continue_final_message", "chat_template"];

pub fn members(mut rest: Map<String, Value>, reply: &Reply) -> Map<String, Value> {
    for name in CHAT_ONLY.iter().chain(&OFF) {
        rest.remove(*name);
    }
    if !reply.stream {
        rest.remove("stream_options");
    }
    // Null says: as many as fit. Without it this API stops after 16 tokens, and chat does not.
    let most = max_tokens(&mut rest).unwrap_or(Value::Null);
    rest.insert("max_tokens".to_owned(), most);
    rest.insert("stream".to_owned(), reply.stream.into());
    rest
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    finish_reason: Option<String>,
}

pub fn event(data: &[u8]) -> Result<Said, String> {
    let answer: Answer = serde_json::from_slice(data).map_err(|error| unreadable(data, &error))?;
    let piece = |choice: Choice| Piece {
        index: choice.index,
        text: choice.text.unwrap_or_default(),
        finish: choice.finish_reason,
    };
    Ok(Said {
        pieces: answer.choices.into_iter().map(piece).collect(),
        usage: answer.usage.filter(|usage| !usage.is_null()).map(Usage::Given),
        error: answer.error.filter(|error| !error.is_null()),
    })
}
