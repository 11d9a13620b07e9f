//! What the server behind said, event by event, and the words for it that the client's side writes from.

use serde_json::{Value, json};
use server_api::json::Raw;
use server_api::{Api, Chunk, Fault};

/// What one event or one whole answer of the upstream says.
#[derive(Debug, Default, PartialEq)]
pub struct Said {
    pub pieces: Vec<Piece>,
    pub usage: Option<Usage>,
    /// An error in place of an answer, as JSON: passed on as it is.
    pub error: Option<Value>,
}

/// A piece of one reply.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Which of the replies.
    pub index: u32,
    pub text: String,
    /// Set on the last piece.
    pub finish: Option<String>,
}

/// Tokens of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Usage {
    /// In OpenAI's form already.
    Given(Value),
    Counted {
        prompt: u64,
        completion: u64,
        cached: Option<u64>,
    },
}

impl Usage {
    /// In OpenAI's form.
    pub fn json(&self) -> Value {
        match self {
            Self::Given(usage) => usage.clone(),
            Self::Counted { prompt, completion, cached } => {
                let mut usage = json!({
                    "prompt_tokens": prompt,
                    "completion_tokens": completion,
                    "total_tokens": prompt + completion,
                });
                if let Some(cached) = cached {
                    usage["prompt_tokens_details"] = json!({ "cached_tokens": cached });
                }
                usage
            }
        }
    }
}

/// Reads the answers of one request.
#[derive(Debug)]
pub struct Reader {
    api: Api,
    prompt_tokens: usize,
    /// What was passed on of a text that the upstream repeats.
    passed: String,
}

impl Reader {
    /// Of a request with so many tokens.
    pub fn new(api: Api, prompt_tokens: usize) -> Self {
        Self { api, prompt_tokens, passed: String::new() }
    }

    /// What the data of one event of a stream says, or a whole answer, whose form is that of the only event of a stream.
    ///
    /// # Errors
    /// It is not what this API sends; the sentence says so.
    pub fn event(&mut self, data: &[u8]) -> Result<Said, String> {
        let mut pieces = Vec::with_capacity(1);
        let chunk = self.api.read_each(data.trim_ascii(), &mut |piece| pieces.push(*piece));
        let chunk = chunk.ok_or_else(|| {
            let shown: String = String::from_utf8_lossy(data).chars().take(80).collect();
            format!("the upstream sent what its API does not: {shown:?}; check --upstream-api")
        })?;
        if let Some(fault) = chunk.fault {
            return Ok(Said { error: Some(error(&fault)), ..Said::default() });
        }
        let pieces: Result<_, String> = pieces.into_iter().map(|piece| self.piece(&piece)).collect();
        Ok(Said { pieces: pieces?, usage: self.usage(&chunk), error: None })
    }

    fn piece(&mut self, piece: &server_api::Piece<'_>) -> Result<Piece, String> {
        let text = match piece.cumulative {
            Some(all) => self.new_part(all.decode())?,
            None => piece.content.map(Raw::decode).unwrap_or_default(),
        };
        let finish = piece.ended.map(|end| end.finish.word().map_or_else(|| end.word.decode(), str::to_owned));
        Ok(Piece { index: piece.index, text, finish })
    }

    fn new_part(&mut self, text: String) -> Result<String, String> {
        let Some(new) = text.strip_prefix(self.passed.as_str()).map(str::to_owned) else {
            return Err(format!(
                "a text of the upstream does not continue the {} bytes before it; if the server was started to send only what is new, say \
                 --upstream-api {}",
                self.passed.len(),
                server_api::SGLANG_INCREMENTAL
            ));
        };
        self.passed = text;
        Ok(new)
    }

    fn usage(&self, chunk: &Chunk<'_>) -> Option<Usage> {
        if let Some(usage) = chunk.usage_json.and_then(|json| serde_json::from_slice(json).ok()) {
            return Some(Usage::Given(usage));
        }
        Some(Usage::Counted {
            prompt: chunk.usage.prompt.map_or(self.prompt_tokens as u64, u64::from),
            completion: u64::from(chunk.usage.completion?),
            cached: chunk.usage.cached.map(u64::from),
        })
    }
}

fn error(fault: &Fault<'_>) -> Value {
    match fault.json.and_then(|json| serde_json::from_slice(json).ok()) {
        Some(error) => error,
        None if fault.message.is_empty() => json!({"message": "the upstream aborted the request", "type": "abort"}),
        None => json!({"message": fault.message.decode(), "type": "abort"}),
    }
}

#[cfg(test)]
mod tests {
    use server_api::{LLAMA_CPP, OPENAI_COMPLETIONS, SGLANG, SGLANG_INCREMENTAL};

    use super::*;

    fn reader(api: Api) -> impl FnMut(Value) -> Result<Said, String> {
        let mut reader = Reader::new(api, 5);
        move |data| reader.event(data.to_string().as_bytes())
    }

    #[test]
    fn completions_may_have_several_replies_and_their_usage_is_passed_on() {
        let mut said = reader(OPENAI_COMPLETIONS);
        let usage = json!({"prompt_tokens": 1, "prompt_tokens_details": null, "their_own": 5});
        let choices = json!([{"index": 1, "text": "b", "finish_reason": "repetition"}, {"index": 0, "text": "a"}]);
        let both = said(json!({"choices": choices, "usage": usage})).unwrap();
        let piece = |index, text: &str, finish: Option<&str>| Piece {
            index,
            text: text.into(),
            finish: finish.map(str::to_owned),
        };
        assert_eq!(both.pieces, [piece(1, "b", Some("repetition")), piece(0, "a", None)]);
        assert_eq!(both.usage, Some(Usage::Given(usage)));
        let error = said(json!({"error": {"message": "m", "code": 5}})).unwrap().error;
        assert_eq!(error, Some(json!({"message": "m", "code": 5})), "as it is");
    }

    #[test]
    fn what_is_new_of_a_text_that_grows() {
        let mut said = reader(SGLANG);
        let first = said(json!({"text": "é", "meta_info": {"finish_reason": null, "completion_tokens": 1}})).unwrap();
        assert_eq!(first.pieces[0].text.as_str(), "é");
        let last = said(json!({"text": "éa", "meta_info":
            {"finish_reason": {"type": "length"}, "prompt_tokens": 7, "completion_tokens": 2, "cached_tokens": 3}}));
        let last = last.unwrap();
        assert_eq!(last.pieces, [Piece { index: 0, text: "a".into(), finish: Some("length".into()) }]);
        assert_eq!(last.usage, Some(Usage::Counted { prompt: 7, completion: 2, cached: Some(3) }));
        assert!(said(json!({"text": "b"})).unwrap_err().contains("sglang-incremental"));
        let abort = said(json!({"text": "éa", "meta_info": {"finish_reason": {"type": "abort", "message": "full"}}}));
        assert_eq!(abort.unwrap().error.unwrap()["message"], "full");
        let silent = said(json!({"text": "éa", "meta_info": {"finish_reason": {"type": "abort"}}})).unwrap();
        assert_eq!(silent.error.unwrap()["message"], "the upstream aborted the request");
    }

    #[test]
    fn only_what_is_new_is_passed_on_as_it_is() {
        let mut said = reader(SGLANG_INCREMENTAL);
        for part in ["ha", "ha", ""] {
            assert_eq!(said(json!({"text": part})).unwrap().pieces[0].text, part);
        }
    }

    #[test]
    fn the_last_event_says_why_it_is_the_last() {
        let mut said = reader(LLAMA_CPP);
        assert_eq!(
            said(json!({"content": "a", "stop": false})).unwrap().pieces[0],
            Piece { text: "a".into(), ..Piece::default() }
        );
        let last = json!({"content": "", "stop": true, "stop_type": "limit", "tokens_predicted": 4, "tokens_evaluated": 5,
            "tokens_cached": 8, "timings": {"cache_n": 3, "prompt_n": 2}});
        let last = said(last).unwrap();
        assert_eq!(last.pieces[0].finish.as_deref(), Some("length"));
        assert_eq!(last.usage, Some(Usage::Counted { prompt: 5, completion: 4, cached: Some(3) }));
        let eos = said(json!({"stop": true, "stop_type": "eos"})).unwrap();
        assert_eq!(eos.pieces[0].finish.as_deref(), Some("stop"));
        assert!(said(json!({"error": {"message": "m"}})).unwrap().error.is_some());
    }
}
