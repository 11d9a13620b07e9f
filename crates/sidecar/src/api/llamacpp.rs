//! llama.cpp's own `/completion`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Piece, Said, max_tokens, refuse, take, unreadable};
use crate::chat::Usage;
use crate::prepare::Reply;
use crate::refusal::Refusal;

/// Members that are called the same there.
const SAME: [&str; 16] = [
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "typical_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "repeat_penalty",
    "ignore_eos",
    "logit_bias",
    "grammar",
    "id_slot",
    "mirostat",
    "samplers",
    "n_keep",
];
const API: &str = "llama.cpp";

pub fn members(mut rest: Map<String, Value>, reply: &Reply) -> Result<Map<String, Value>, Refusal> {
    if reply.choices == 1 {
        rest.remove("n");
    }
    refuse(&rest, &["n", "stop_token_ids", "min_tokens", "repetition_penalty", "best_of"], API)?;
    let mut members = Map::new();
    for name in SAME {
        members.extend(take(&mut rest, name).map(|value| (name.to_owned(), value)));
    }
    if let Some(stop) = take(&mut rest, "stop") {
        members.insert("stop".to_owned(), if stop.is_string() { json!([stop]) } else { stop });
    }
    if let Some(format) = take(&mut rest, "response_format") {
        match format["type"].as_str() {
            Some("text") => {}
            Some("json_object") => drop(members.insert("json_schema".to_owned(), json!({"type": "object"}))),
            Some("json_schema") => {
                members.insert("json_schema".to_owned(), format["json_schema"]["schema"].clone());
            }
            _ => {
                return Err(Refusal::bad("response_format has an unknown type; give text, json_object or json_schema"));
            }
        }
    }
    members.insert("n_predict".to_owned(), max_tokens(&mut rest).unwrap_or(json!(-1)));
    members.insert("cache_prompt".to_owned(), take(&mut rest, "cache_prompt").unwrap_or(json!(true)));
    members.insert("stream".to_owned(), reply.stream.into());
    Ok(members)
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    content: String,
    #[serde(default)]
    stop: bool,
    #[serde(default)]
    stop_type: Option<String>,
    /// Of older servers.
    #[serde(default)]
    stopped_limit: Option<bool>,
    #[serde(default)]
    tokens_predicted: Option<u64>,
    #[serde(default)]
    error: Option<Value>,
}

pub fn event(data: &[u8], prompt_tokens: usize) -> Result<Said, String> {
    let answer: Answer = serde_json::from_slice(data).map_err(|error| unreadable(data, &error))?;
    if let Some(error) = answer.error.filter(|error| !error.is_null()) {
        return Ok(Said { error: Some(error), ..Said::default() });
    }
    let limit = answer.stop_type.as_deref() == Some("limit") || answer.stopped_limit == Some(true);
    let finish = answer.stop.then(|| if limit { "length" } else { "stop" }.to_owned());
    let usage = answer.tokens_predicted.filter(|_| answer.stop).map(|completion| Usage::Counted {
        prompt: prompt_tokens as u64,
        completion,
        cached: None,
    });
    Ok(Said { pieces: vec![Piece { index: 0, text: answer.content, finish }], usage, error: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_event_says_why_it_is_the_last() {
        let said = |data: Value| event(data.to_string().as_bytes(), 5).unwrap();
        assert_eq!(
            said(json!({"content": "a", "stop": false})).pieces[0],
            Piece { text: "a".into(), ..Piece::default() }
        );
        let last = said(json!({"content": "", "stop": true, "stop_type": "limit", "tokens_predicted": 4}));
        assert_eq!(last.pieces[0].finish.as_deref(), Some("length"));
        assert_eq!(last.usage, Some(Usage::Counted { prompt: 5, completion: 4, cached: None }));
        assert_eq!(said(json!({"stop": true, "stop_type": "eos"})).pieces[0].finish.as_deref(), Some("stop"));
        assert!(said(json!({"error": {"message": "m"}})).error.is_some());
    }
}
