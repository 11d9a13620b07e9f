//! SGLang's `/generate`: text or token ids. Each event of a stream repeats the text from its beginning; a server that was started to
//! send only what is new (`--incremental-streaming-output`) has a name of its own, since nothing in its bytes tells.

use std::ops::Range;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Api, Dialect, Upstream, most_tokens, object, refuse, schema, take};
use crate::ask::{Ask, Settings};
use crate::chunk::{Chunk, Common, Ended, Fault, Finish, Piece, count, non_empty};
use crate::json::{Cursor, Raw};
use crate::openai::ended;
use crate::prompt::Prompts;
use crate::request::{BadBody, Wanted, missing};
use crate::write::{Choice, Ending, Tokens, Voice, end_object, put, put_number};

/// Texts of a stream are the whole text so far.
pub const API: Api = Api(&Sglang { is_incremental: false });
/// Texts of a stream are what is new.
pub const INCREMENTAL: Api = Api(&Sglang { is_incremental: true });

/// Sampling parameters that chat calls the same.
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
/// Members of chat, and their names here.
const RENAMED: [(&str, &str); 5] = [
    ("seed", "sampling_seed"),
    ("min_tokens", "min_new_tokens"),
    ("regex", "regex"),
    ("ebnf", "ebnf"),
    ("spaces_between_special_tokens", "spaces_between_special_tokens"),
];

struct Sglang {
    is_incremental: bool,
}

#[derive(Deserialize)]
struct Body {
    text: Option<Prompts>,
    input_ids: Option<Prompts>,
    sampling_params: Option<SamplingParams>,
    stream: Option<bool>,
}

#[derive(Deserialize, Default)]
struct SamplingParams {
    max_new_tokens: Option<u64>,
    n: Option<u32>,
    ignore_eos: Option<bool>,
}

impl Dialect for Sglang {
    fn name(&self) -> &'static str {
        if self.is_incremental { "sglang-incremental" } else { "sglang" }
    }

    fn aliases(&self) -> &'static [&'static str] {
        if self.is_incremental { &[] } else { &["sglang-native"] }
    }

    fn paths(&self) -> &'static [&'static str] {
        &["/generate"]
    }

    fn names_models(&self) -> bool {
        false
    }

    fn prompt(&self, ask: &Ask<'_>, settings: &Settings) -> Map<String, Value> {
        let mut body = match ask {
            Ask::Ids(ids) => object(json!({"input_ids": ids})),
            Ask::Text(text) => object(json!({"text": text})),
            Ask::Messages(_) => Map::new(),
        };
        let mut sampling = Map::new();
        if let Some(tokens) = settings.max_tokens {
            sampling.insert("max_new_tokens".to_owned(), json!(tokens));
        }
        if let Some(temperature) = settings.temperature {
            sampling.insert("temperature".to_owned(), json!(temperature));
        }
        if settings.ignore_eos {
            sampling.insert("ignore_eos".to_owned(), json!(true));
        }
        body.insert("sampling_params".to_owned(), Value::Object(sampling));
        body.insert("stream".to_owned(), json!(settings.stream));
        body
    }

    fn read<'a>(&self, json: &'a [u8], each: &mut dyn FnMut(&Piece<'a>)) -> Option<Chunk<'a>> {
        let (mut chunk, mut common, mut piece) = (Chunk::default(), Common::default(), Piece::default());
        let mut cursor = Cursor::new(json);
        cursor.members(|cursor, name| {
            match name {
                b"text" if self.is_incremental => piece.content = non_empty(cursor)?,
                b"text" => piece.cumulative = cursor.text()?,
                b"index" => piece.index = count(cursor)?.unwrap_or(0),
                b"meta_info" => meta(cursor, &mut chunk, &mut piece)?,
                _ => common.take(cursor, name)?,
            }
            Some(())
        })?;
        each(&piece);
        cursor.is_at_end().then(|| common.into(chunk))
    }

    fn parse(&self, body: &[u8]) -> Result<Wanted, BadBody> {
        let body: Body = serde_json::from_slice(body)?;
        let sampling = body.sampling_params.unwrap_or_default();
        let prompts = match (body.text, body.input_ids) {
            (Some(_), Some(_)) => return Err(BadBody("give `text` or `input_ids`, not both".into())),
            (Some(prompts), None) | (None, Some(prompts)) => prompts.0,
            (None, None) => return Err(missing("text")),
        };
        Ok(Wanted {
            model: None,
            prompts,
            choices: sampling.n.unwrap_or(1),
            output_tokens: sampling.max_new_tokens,
            stream: body.stream.unwrap_or(false),
            include_usage: true,
            ignore_eos: sampling.ignore_eos.unwrap_or(false),
        })
    }

    fn content(
        &self,
        voice: &mut Voice,
        choice: &Choice<'_>,
        range: Range<u32>,
        ending: Option<Ending>,
        _usage: Option<&Tokens>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(b"data: {\"text\":\"");
        let start = if self.is_incremental { range.start } else { 0 };
        choice.put_words(start..range.end, out);
        out.extend_from_slice(b"\",");
        put_meta(voice, choice, range.end, ending, out);
    }

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
            out.extend_from_slice(b"{\"text\":\"");
            choice.put_words(0..choice.produced, out);
            out.extend_from_slice(b"\",\"output_ids\":[");
            choice.put_ids(0..choice.produced, out);
            out.extend_from_slice(b"],");
            put_meta(voice, choice, choice.produced, Some(choice.ending), out);
            stamps.push(end_object(0, out));
        }
        if is_list {
            out.push(b']');
        }
    }

    fn upstream(&self) -> Option<Upstream> {
        let about = if self.is_incremental {
            "the same of a server that was started to send only what is new"
        } else {
            "SGLang /generate with input_ids; texts of a stream are the whole text so far"
        };
        Some(Upstream { name: self.name(), about, ids: "input_ids" })
    }

    fn forward(&self, mut rest: Map<String, Value>, stream: bool, choices: u32) -> Result<Map<String, Value>, String> {
        if choices == 1 {
            rest.remove("n");
        }
        refuse(&rest, &["n", "logit_bias", "best_of"], "SGLang")?;
        let mut sampling = Map::new();
        for name in SAME {
            sampling.extend(take(&mut rest, name).map(|value| (name.to_owned(), value)));
        }
        // Null says: as many as fit; without it, it would be 128.
        sampling.insert("max_new_tokens".to_owned(), most_tokens(&mut rest).unwrap_or(Value::Null));
        for (name, theirs) in RENAMED {
            sampling.extend(take(&mut rest, name).map(|value| (theirs.to_owned(), value)));
        }
        let schema = schema(&mut rest)?;
        sampling.extend(schema.map(|schema| ("json_schema".to_owned(), Value::from(schema.to_string()))));
        let mut members = Map::new();
        members.insert("sampling_params".to_owned(), sampling.into());
        for name in ["rid", "priority", "lora_path"] {
            members.extend(take(&mut rest, name).map(|value| (name.to_owned(), value)));
        }
        members.insert("stream".to_owned(), stream.into());
        Ok(members)
    }
}

/// The account of a request: counts in every event, those of the last are the answer's.
fn meta<'a>(cursor: &mut Cursor<'a>, chunk: &mut Chunk<'a>, piece: &mut Piece<'a>) -> Option<()> {
    let mut message = None;
    cursor.members(|cursor, name| {
        match name {
            b"prompt_tokens" => chunk.usage.prompt = count(cursor)?,
            b"completion_tokens" => chunk.usage.completion = count(cursor)?,
            b"cached_tokens" => chunk.usage.cached = count(cursor)?,
            // {"type":"length","length":8}, or a string in older versions.
            b"finish_reason" if cursor.peek()? == b'{' => {
                let mut word = Raw(b"stop");
                cursor.members(|cursor, name| {
                    match name {
                        b"type" => word = cursor.text()?.unwrap_or(word),
                        b"message" => message = cursor.text()?,
                        _ => cursor.skip()?,
                    }
                    Some(())
                })?;
                piece.ended = Some(ended(word));
            }
            b"finish_reason" => piece.ended = cursor.text()?.map(ended).or(piece.ended),
            _ => cursor.skip()?,
        }
        Some(())
    })?;
    if let Some(Ended { finish: Finish::Abort, .. }) = piece.ended {
        chunk.fault = Some(Fault { message: message.unwrap_or(Raw(b"")), json: None });
    }
    Some(())
}

/// What it says beside the text; of a stream without the ids.
fn put_meta(voice: &Voice, choice: &Choice<'_>, completion: u32, ending: Option<Ending>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"meta_info\":{\"id\":\"");
    out.extend_from_slice(voice.id.as_bytes());
    out.extend_from_slice(b"\",\"finish_reason\":");
    match ending {
        None => out.extend_from_slice(b"null"),
        Some(Ending::Length) => put(out, format_args!("{{\"type\":\"length\",\"length\":{completion}}}")),
        Some(Ending::Stop) => out.extend_from_slice(b"{\"type\":\"stop\",\"matched\":0}"),
    }
    put_number(out, ",\"prompt_tokens\":", choice.prompt_tokens);
    put_number(out, ",\"completion_tokens\":", completion);
    put_number(out, ",\"cached_tokens\":", choice.cached);
    put_number(out, "},\"index\":", choice.index);
}
