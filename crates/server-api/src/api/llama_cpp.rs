//! llama.cpp's own `/completion`: text or token ids.
//!
//! Of its counts (`tools/server/server-task.cpp`): `tokens_evaluated` is the whole prompt, what was found in the cache too;
//! `timings.cache_n` is what was found there and `timings.prompt_n` what was computed, so that the two are the prompt together.
//! `tokens_cached` is what the cache holds when the answer ends, prompt and answer, and says nothing of a hit.

use std::ops::Range;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Api, Dialect, Upstream, most_tokens, object, refuse, schema, take};
use crate::ask::{Ask, Settings};
use crate::chunk::{Chunk, Common, Ended, Finish, Piece, count, non_empty};
use crate::json::{Cursor, Raw};
use crate::prompt::Prompts;
use crate::request::{BadBody, Wanted, missing};
use crate::write::{Choice, Ending, Tokens, Voice, end_object, put, put_number};

/// `/completion`.
pub const API: Api = Api(&LlamaCpp);

/// Members that chat calls the same.
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

struct LlamaCpp;

#[derive(Deserialize)]
struct Body {
    prompt: Option<Prompts>,
    /// -1: no limit.
    n_predict: Option<i64>,
    stream: Option<bool>,
    ignore_eos: Option<bool>,
}

impl Dialect for LlamaCpp {
    fn name(&self) -> &'static str {
        "llama.cpp"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["llamacpp", "llama-cpp"]
    }

    fn paths(&self) -> &'static [&'static str] {
        &["/completion", "/completions"]
    }

    fn names_models(&self) -> bool {
        false
    }

    fn ends_with_word(&self) -> bool {
        false
    }

    fn prompt(&self, ask: &Ask<'_>, settings: &Settings) -> Map<String, Value> {
        let mut body = match ask {
            Ask::Ids(ids) => object(json!({"prompt": ids})),
            Ask::Text(text) => object(json!({"prompt": text})),
            Ask::Messages(_) => Map::new(),
        };
        if let Some(tokens) = settings.max_tokens {
            body.insert("n_predict".to_owned(), json!(tokens));
        }
        if let Some(temperature) = settings.temperature {
            body.insert("temperature".to_owned(), json!(temperature));
        }
        if settings.ignore_eos {
            body.insert("ignore_eos".to_owned(), json!(true));
        }
        body.insert("stream".to_owned(), json!(settings.stream));
        body.insert("cache_prompt".to_owned(), json!(true));
        body
    }

    fn read<'a>(&self, json: &'a [u8], each: &mut dyn FnMut(&Piece<'a>)) -> Option<Chunk<'a>> {
        let (mut chunk, mut common, mut piece) = (Chunk::default(), Common::default(), Piece::default());
        let (mut has_ended, mut kind, mut computed) = (false, None, None);
        let mut cursor = Cursor::new(json);
        cursor.members(|cursor, name| {
            match name {
                b"content" => piece.content = non_empty(cursor)?,
                b"index" => piece.index = count(cursor)?.unwrap_or(0),
                b"stop" => has_ended |= cursor.is_true()?,
                // "limit", "eos", "word", and "none" before the end.
                b"stop_type" => kind = cursor.text()?.filter(|kind| !matches!(kind.0, b"none" | b"")).or(kind),
                // Of servers before `stop_type`.
                b"stopped_limit" if cursor.peek()? == b't' => {
                    cursor.skip()?;
                    kind = Some(Raw(b"limit"));
                }
                b"tokens_predicted" => chunk.usage.completion = count(cursor)?,
                b"tokens_evaluated" => chunk.usage.prompt = count(cursor)?,
                b"timings" => cursor.members(|cursor, name| {
                    match name {
                        b"cache_n" => chunk.usage.cached = count(cursor)?,
                        b"prompt_n" => computed = count(cursor)?,
                        _ => cursor.skip()?,
                    }
                    Some(())
                })?,
                _ => common.take(cursor, name)?,
            }
            Some(())
        })?;
        // Servers before `cache_n` tell what was computed.
        let found = chunk.usage.prompt.zip(computed).map(|(prompt, computed)| prompt.saturating_sub(computed));
        chunk.usage.cached = chunk.usage.cached.or(found);
        let word = kind.or(has_ended.then_some(Raw(b"stop")));
        piece.ended = word.map(|word| {
            let finish = match word.0 {
                b"limit" => Finish::Length,
                b"stop" | b"eos" | b"word" => Finish::Stop,
                _ => Finish::Other,
            };
            Ended { finish, word }
        });
        each(&piece);
        cursor.is_at_end().then(|| common.into(chunk))
    }

    fn parse(&self, body: &[u8]) -> Result<Wanted, BadBody> {
        let body: Body = serde_json::from_slice(body)?;
        Ok(Wanted {
            model: None,
            prompts: body.prompt.ok_or_else(|| missing("prompt"))?.0,
            choices: 1,
            output_tokens: body.n_predict.and_then(|tokens| u64::try_from(tokens).ok()),
            stream: body.stream.unwrap_or(false),
            include_usage: true,
            ignore_eos: body.ignore_eos.unwrap_or(false),
        })
    }

    fn ends_apart(&self) -> bool {
        true
    }

    fn content(
        &self,
        _voice: &mut Voice,
        choice: &Choice<'_>,
        range: Range<u32>,
        _ending: Option<Ending>,
        _usage: Option<&Tokens>,
        out: &mut Vec<u8>,
    ) {
        put_number(out, "data: {\"index\":", choice.index);
        out.extend_from_slice(b",\"content\":\"");
        choice.put_words(range.clone(), out);
        out.extend_from_slice(b"\",\"tokens\":[");
        choice.put_ids(range.clone(), out);
        put_number(out, "],\"stop\":false,\"id_slot\":0,\"tokens_predicted\":", range.end);
        put_number(out, ",\"tokens_evaluated\":", choice.prompt_tokens);
    }

    fn ending(&self, voice: &mut Voice, choice: &Choice<'_>, _usage: Option<&Tokens>, out: &mut Vec<u8>) {
        put_number(out, "data: {\"index\":", choice.index);
        out.extend_from_slice(b",\"content\":\"\",\"tokens\":[],\"stop\":true,");
        put_end(voice, choice, out);
    }

    /// It says nothing after the last event.
    fn done(&self, _voice: &mut Voice, _out: &mut Vec<u8>) {}

    fn whole(
        &self,
        voice: &mut Voice,
        choices: &[Choice<'_>],
        _usage: Option<&Tokens>,
        out: &mut Vec<u8>,
        stamps: &mut Vec<usize>,
    ) {
        let is_list = choices.len() > 1;
        for (place, choice) in choices.iter().enumerate() {
            if is_list {
                out.push(if place == 0 { b'[' } else { b',' });
            }
            put_number(out, "{\"index\":", choice.index);
            out.extend_from_slice(b",\"content\":\"");
            choice.put_words(0..choice.produced, out);
            out.extend_from_slice(b"\",\"tokens\":[");
            choice.put_ids(0..choice.produced, out);
            out.extend_from_slice(b"],\"stop\":true,");
            put_end(voice, choice, out);
            stamps.push(end_object(0, out));
        }
        if is_list {
            out.push(b']');
        }
    }

    fn upstream(&self) -> Option<Upstream> {
        let about = "llama.cpp /completion with a list of ids as the prompt";
        Some(Upstream { name: self.name(), about, ids: "prompt" })
    }

    fn forward(&self, mut rest: Map<String, Value>, stream: bool, choices: u32) -> Result<Map<String, Value>, String> {
        if choices == 1 {
            rest.remove("n");
        }
        refuse(&rest, &["n", "stop_token_ids", "min_tokens", "repetition_penalty", "best_of"], self.name())?;
        let mut members = Map::new();
        for name in SAME {
            members.extend(take(&mut rest, name).map(|value| (name.to_owned(), value)));
        }
        if let Some(stop) = take(&mut rest, "stop") {
            members.insert("stop".to_owned(), if stop.is_string() { json!([stop]) } else { stop });
        }
        members.extend(schema(&mut rest)?.map(|schema| ("json_schema".to_owned(), schema)));
        members.insert("n_predict".to_owned(), most_tokens(&mut rest).unwrap_or(json!(-1)));
        members.insert("cache_prompt".to_owned(), take(&mut rest, "cache_prompt").unwrap_or(json!(true)));
        members.insert("stream".to_owned(), stream.into());
        Ok(members)
    }
}

/// What it says at the end.
fn put_end(voice: &Voice, choice: &Choice<'_>, out: &mut Vec<u8>) {
    let stop = match choice.ending {
        Ending::Stop => "eos",
        Ending::Length => "limit",
    };
    let (prompt, cached, predicted) = (choice.prompt_tokens, choice.cached, choice.produced);
    put(out, format_args!("\"id_slot\":0,\"model\":{},\"tokens_predicted\":{predicted},", voice.model));
    put(out, format_args!("\"tokens_evaluated\":{prompt},\"tokens_cached\":{},", prompt + predicted));
    put(out, format_args!("\"truncated\":false,\"stop_type\":\"{stop}\",\"stopping_word\":\"\","));
    put(
        out,
        format_args!(
            "\"timings\":{{\"cache_n\":{cached},\"prompt_n\":{},\"predicted_n\":{predicted}}}",
            prompt.saturating_sub(cached)
        ),
    );
}
