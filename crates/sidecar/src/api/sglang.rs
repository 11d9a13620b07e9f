//! SGLang's `/generate`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Piece, Said, max_tokens, refuse, take, unreadable};
use crate::chat::Usage;
use crate::prepare::Reply;
use crate::refusal::Refusal;

/// Members that are called the same there.
const SAME: [&str; 12] = [
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "stop",
    "stop_token_ids",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "ignore_eos",
    "skip_special_tokens",
    "no_stop_trim",
];
/// Members with another name there.
const RENAMED: [(&str, &str); 5] = [
    ("seed", "sampling_seed"),
    ("min_tokens", "min_new_tokens"),
    ("regex", "regex"),
    ("ebnf", "ebnf"),
    ("spaces_between_special_tokens", "spaces_between_special_tokens"),
];
const API: &str = "SGLang";

pub fn members(mut rest: Map<String, Value>, reply: &Reply) -> Result<Map<String, Value>, Refusal> {
    if reply.choices == 1 {
        rest.remove("n");
    }
    refuse(&rest, &["n", "logit_bias", "best_of"], API)?;
    let mut sampling = Map::new();
    for name in SAME {
        sampling.extend(take(&mut rest, name).map(|value| (name.to_owned(), value)));
    }
    // Null says: as many as fit; without it, it would be 128.
    sampling.insert("max_new_tokens".to_owned(), max_tokens(&mut rest).unwrap_or(Value::Null));
    for (name, theirs) in RENAMED {
        sampling.extend(take(&mut rest, name).map(|value| (theirs.to_owned(), value)));
    }
    if let Some(format) = take(&mut rest, "response_format") {
        let schema = match format["type"].as_str() {
            Some("text") => None,
            Some("json_object") => Some(json!({"type": "object"})),
            Some("json_schema") => Some(format["json_schema"]["schema"].clone()),
            _ => {
                return Err(Refusal::bad("response_format has an unknown type; give text, json_object or json_schema"));
            }
        };
        sampling.extend(schema.map(|schema| ("json_schema".to_owned(), Value::from(schema.to_string()))));
    }
    let mut members = Map::new();
    members.insert("sampling_params".to_owned(), sampling.into());
    for name in ["rid", "priority", "lora_path"] {
        members.extend(take(&mut rest, name).map(|value| (name.to_owned(), value)));
    }
    members.insert("stream".to_owned(), reply.stream.into());
    Ok(members)
}

/// What of a reply's text was passed on.
#[derive(Debug)]
pub struct Text {
    /// Events hold the whole text so far; otherwise only what is new.
    whole: bool,
    passed: String,
}

impl Text {
    pub fn whole() -> Self {
        Self { whole: true, passed: String::new() }
    }

    pub fn new_only() -> Self {
        Self { whole: false, passed: String::new() }
    }

    fn new_part(&mut self, text: String) -> Result<String, String> {
        if !self.whole {
            return Ok(text);
        }
        let Some(new) = text.strip_prefix(self.passed.as_str()).map(str::to_owned) else {
            return Err(format!(
                "a text of the upstream does not continue the {} bytes before it; if the server was started to send only what is new, say --upstream-api sglang-incremental",
                self.passed.len()
            ));
        };
        self.passed = text;
        Ok(new)
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    text: String,
    #[serde(default)]
    meta_info: Option<Meta>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    finish_reason: Option<Value>,
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    cached_tokens: Option<u64>,
}

pub fn event(data: &[u8], text: &mut Text) -> Result<Said, String> {
    let answer: Answer = serde_json::from_slice(data).map_err(|error| unreadable(data, &error))?;
    if let Some(error) = answer.error.filter(|error| !error.is_null()) {
        return Ok(Said { error: Some(error), ..Said::default() });
    }
    let meta = answer.meta_info.as_ref();
    let reason = meta.and_then(|meta| meta.finish_reason.as_ref()).filter(|reason| !reason.is_null());
    let finish = reason.map(|reason| reason["type"].as_str().or(reason.as_str()).unwrap_or("stop").to_owned());
    if finish.as_deref() == Some("abort") {
        let message =
            reason.and_then(|reason| reason["message"].as_str()).unwrap_or("the upstream aborted the request");
        return Ok(Said { error: Some(json!({"message": message, "type": "abort"})), ..Said::default() });
    }
    // Counts stand in every event; those of the last are the reply's.
    let usage = meta.filter(|_| finish.is_some()).and_then(|meta| {
        Some(Usage::Counted {
            prompt: meta.prompt_tokens?,
            completion: meta.completion_tokens?,
            cached: meta.cached_tokens,
        })
    });
    let piece = Piece { index: 0, text: text.new_part(answer.text)?, finish };
    Ok(Said { pieces: vec![piece], usage, error: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_of_a_text_that_grows() {
        let mut text = Text::whole();
        let mut said = |data: Value| event(data.to_string().as_bytes(), &mut text);
        let first = said(json!({"text": "é", "meta_info": {"finish_reason": null, "completion_tokens": 1}})).unwrap();
        assert_eq!((first.pieces[0].text.as_str(), first.usage), ("é", None));
        let last = said(json!({"text": "éa", "meta_info":
            {"finish_reason": {"type": "length"}, "prompt_tokens": 7, "completion_tokens": 2, "cached_tokens": 3}}));
        let last = last.unwrap();
        assert_eq!(last.pieces, [Piece { index: 0, text: "a".into(), finish: Some("length".into()) }]);
        assert_eq!(last.usage, Some(Usage::Counted { prompt: 7, completion: 2, cached: Some(3) }));
        assert!(said(json!({"text": "b"})).unwrap_err().contains("sglang-incremental"));
        let abort = said(json!({"text": "éa", "meta_info": {"finish_reason": {"type": "abort", "message": "full"}}}));
        assert_eq!(abort.unwrap().error.unwrap()["message"], "full");
    }

    #[test]
    fn only_what_is_new_is_passed_on_as_it_is() {
        let mut text = Text::new_only();
        for part in ["ha", "ha", ""] {
            let said = event(json!({"text": part}).to_string().as_bytes(), &mut text).unwrap();
            assert_eq!(said.pieces[0].text, part);
        }
    }
}
