//! Chat completions as clients read them: chunks of a stream, and the whole.

use serde_json::{Value, json};

use super::reply::Reply;
use super::said::{Piece, Said, Usage};

/// The end of a stream.
pub const DONE: &[u8] = b"data: [DONE]\n\n";

/// Writes the answer to one request.
#[derive(Debug)]
pub struct Writer {
    /// `{"id":…,"object":"chat.completion.chunk","created":…,"model":…,"choices":[`
    head: Vec<u8>,
    id: String,
    created: u64,
    reply: Reply,
    /// For each reply: whether its role was written, and whether it is finished.
    begun: Vec<bool>,
    finished: Vec<bool>,
    usage: Option<Usage>,
}

impl Writer {
    /// `created` in Unix seconds.
    pub fn new(id: String, created: u64, reply: Reply) -> Self {
        let model = Value::from(reply.model.as_str());
        let head = format!(
            "{{\"id\":{},\"object\":\"chat.completion.chunk\",\"created\":{created},\"model\":{model},\"choices\":[",
            Value::from(id.as_str())
        );
        let count = reply.choices as usize;
        Self {
            head: head.into_bytes(),
            id,
            created,
            reply,
            begun: vec![false; count],
            finished: vec![false; count],
            usage: None,
        }
    }

    /// Appends the events that say the same to a client of a chat; its usage comes last, with [`Writer::end`].
    ///
    /// # Errors
    /// A piece of a reply that was not asked for.
    pub fn chunk(&mut self, said: Said, out: &mut Vec<u8>) -> Result<(), String> {
        if said.usage.is_some() {
            self.usage = said.usage;
        }
        for piece in said.pieces {
            let index = piece.index as usize;
            let Some(begun) = self.begun.get_mut(index) else {
                return Err(format!("the upstream sent reply {index} of {}", self.reply.choices));
            };
            let first = !std::mem::replace(begun, true);
            // An empty piece in the middle says nothing; the first says that the reply begins.
            if piece.text.is_empty() && piece.finish.is_none() && !first {
                continue;
            }
            self.finished[index] |= piece.finish.is_some();
            self.write_piece(&piece, first, out);
        }
        Ok(())
    }

    fn write_piece(&self, piece: &Piece, first: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"{\"index\":");
        out.extend_from_slice(piece.index.to_string().as_bytes());
        out.extend_from_slice(b",\"delta\":{");
        if first {
            out.extend_from_slice(b"\"role\":\"assistant\",");
        }
        out.extend_from_slice(b"\"content\":");
        write_string(&piece.text, out);
        out.extend_from_slice(b"},\"finish_reason\":");
        match &piece.finish {
            Some(finish) => write_string(finish, out),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b"}]}\n\n");
    }

    /// Whether all replies have their end.
    pub fn is_finished(&self) -> bool {
        self.finished.iter().all(|finished| *finished)
    }

    /// Appends the chunk of the usage, if it was asked for and is known, and `[DONE]`.
    pub fn end(&self, out: &mut Vec<u8>) {
        if let (true, Some(usage)) = (self.reply.usage, &self.usage) {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(&self.head);
            out.extend_from_slice(b"],\"usage\":");
            out.extend_from_slice(usage.json().to_string().as_bytes());
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(DONE);
    }

    /// The whole answer.
    ///
    /// # Errors
    /// The upstream's answer lacks a reply.
    pub fn whole(&self, said: &Said) -> Result<Vec<u8>, String> {
        if said.pieces.len() != self.reply.choices as usize {
            return Err(format!(
                "the upstream answered with {} replies where {} were asked for",
                said.pieces.len(),
                self.reply.choices
            ));
        }
        let choices: Vec<Value> = said
            .pieces
            .iter()
            .map(|piece| {
                json!({
                    "index": piece.index,
                    "message": {"role": "assistant", "content": piece.text},
                    "finish_reason": piece.finish,
                })
            })
            .collect();
        let mut answer = json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.reply.model,
            "choices": choices,
        });
        if let Some(usage) = &said.usage {
            answer["usage"] = usage.json();
        }
        Ok(answer.to_string().into_bytes())
    }
}

/// Appends an event that holds an error.
pub fn write_error(error: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(error);
    out.extend_from_slice(b"\n\n");
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    // Writing a string into memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(choices: u32, usage: bool) -> Writer {
        let reply = Reply { stream: true, usage, model: "m\"".to_owned(), choices };
        Writer::new("chatcmpl-1".to_owned(), 5, reply)
    }

    fn said(index: u32, text: &str, finish: Option<&str>) -> Said {
        let piece = Piece { index, text: text.to_owned(), finish: finish.map(str::to_owned) };
        Said { pieces: vec![piece], ..Said::default() }
    }

    fn chunks(out: &[u8]) -> Vec<Value> {
        let text = std::str::from_utf8(out).unwrap();
        text.split_terminator("\n\n")
            .map(|event| event.strip_prefix("data: ").unwrap())
            .map(|data| if data == "[DONE]" { json!("DONE") } else { serde_json::from_str(data).unwrap() })
            .collect()
    }

    #[test]
    fn role_first_then_texts_then_usage() {
        let mut writer = writer(1, true);
        let mut out = Vec::new();
        writer.chunk(said(0, "", None), &mut out).unwrap();
        writer.chunk(said(0, "a\n\u{1}é", None), &mut out).unwrap();
        writer.chunk(said(0, "", None), &mut out).unwrap();
        assert!(!writer.is_finished());
        writer.chunk(said(0, "b", Some("length")), &mut out).unwrap();
        assert!(writer.is_finished());
        let usage = Usage::Counted { prompt: 3, completion: 2, cached: Some(1) };
        writer.chunk(Said { usage: Some(usage), ..Said::default() }, &mut out).unwrap();
        writer.end(&mut out);
        let choice = |delta: Value, finish: Value| {
            json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "m\"",
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
        };
        let usage = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "m\"", "choices": [],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1}}});
        let want = [
            choice(json!({"role": "assistant", "content": ""}), json!(null)),
            choice(json!({"content": "a\n\u{1}é"}), json!(null)),
            choice(json!({"content": "b"}), json!("length")),
            usage,
            json!("DONE"),
        ];
        assert_eq!(chunks(&out), want);
    }

    #[test]
    fn several_replies_end_each_for_itself() {
        let mut writer = writer(2, false);
        let mut out = Vec::new();
        writer.chunk(said(1, "x", Some("stop")), &mut out).unwrap();
        assert!(!writer.is_finished());
        writer.chunk(said(0, "y", Some("stop")), &mut out).unwrap();
        assert!(writer.is_finished());
        assert!(writer.chunk(said(2, "z", None), &mut out).is_err());
        assert!(chunks(&out).iter().all(|chunk| chunk["choices"][0]["delta"]["role"] == "assistant"));
    }

    #[test]
    fn the_whole_has_a_message_for_each_reply() {
        let writer = writer(1, false);
        let mut answer = said(0, "hi", Some("stop"));
        answer.usage = Some(Usage::Given(json!({"prompt_tokens": 1})));
        let whole: Value = serde_json::from_slice(&writer.whole(&answer).unwrap()).unwrap();
        assert_eq!(whole["object"], "chat.completion");
        assert_eq!(
            whole["choices"][0],
            json!({"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"})
        );
        assert_eq!(whole["usage"], json!({"prompt_tokens": 1}));
        assert!(writer.whole(&Said::default()).unwrap_err().contains("0 replies"));
    }
}
