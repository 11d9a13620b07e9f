//! What OpenAI's chat and completions share: `choices`, usage, and the members that every request has. One reader serves both,
//! because servers mix them: usage stands in the last event, in the last choice or in every event, the reason to finish comes on
//! the last content or alone, contents are `null` or missing.

use std::io::Write;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::ask::Settings;
use super::chunk::{Chunk, Common, Ended, Finish, Piece, Usage, count, non_empty};
use super::json::{Cursor, Raw};
use super::prompt::{Prompt, Prompts};
use super::request::Wanted;
use super::write::{Ending, Tokens};

/// The members that hold for every request.
pub(crate) fn settle(settings: &Settings, body: &mut Map<String, Value>) {
    if let Some(model) = &settings.model {
        body.insert("model".to_owned(), json!(model));
    }
    if let Some(tokens) = settings.max_tokens {
        body.insert("max_tokens".to_owned(), json!(tokens));
    }
    if let Some(temperature) = settings.temperature {
        body.insert("temperature".to_owned(), json!(temperature));
    }
    if settings.ignore_eos {
        body.insert("ignore_eos".to_owned(), json!(true));
    }
    body.insert("stream".to_owned(), json!(settings.stream));
    if settings.stream {
        body.insert("stream_options".to_owned(), json!({"include_usage": true}));
    }
}

/// Reads an event or a whole answer.
pub(crate) fn read<'a>(json: &'a [u8], each: &mut dyn FnMut(&Piece<'a>)) -> Option<Chunk<'a>> {
    let (mut chunk, mut common) = (Chunk::default(), Common::default());
    let mut cursor = Cursor::new(json);
    cursor.members(|cursor, name| {
        match name {
            b"choices" => cursor.items(|cursor| {
                let piece = choice(cursor, &mut chunk)?;
                each(&piece);
                Some(())
            })?,
            b"usage" => usage(cursor, &mut chunk)?,
            _ => common.take(cursor, name)?,
        }
        Some(())
    })?;
    cursor.is_at_end().then(|| common.into(chunk))
}

fn choice<'a>(cursor: &mut Cursor<'a>, chunk: &mut Chunk<'a>) -> Option<Piece<'a>> {
    let mut piece = Piece::default();
    cursor.members(|cursor, name| {
        match name {
            b"index" => piece.index = count(cursor)?.unwrap_or(0),
            b"delta" | b"message" => delta(cursor, &mut piece)?,
            b"text" => piece.content = non_empty(cursor)?.or(piece.content),
            b"finish_reason" => piece.ended = cursor.text()?.map(ended).or(piece.ended),
            b"usage" => usage(cursor, chunk)?,
            _ => cursor.skip()?,
        }
        Some(())
    })?;
    Some(piece)
}

fn delta<'a>(cursor: &mut Cursor<'a>, piece: &mut Piece<'a>) -> Option<()> {
    cursor.members(|cursor, name| {
        match name {
            b"content" => piece.content = non_empty(cursor)?.or(piece.content),
            b"reasoning_content" | b"reasoning" => piece.reasoning = non_empty(cursor)?.or(piece.reasoning),
            b"tool_calls" => piece.tool_call |= cursor.length()? > 0,
            _ => cursor.skip()?,
        }
        Some(())
    })
}

/// The words of `finish_reason`.
pub(crate) fn ended(word: Raw<'_>) -> Ended<'_> {
    let finish = match word.0 {
        b"stop" => Finish::Stop,
        b"length" => Finish::Length,
        b"tool_calls" | b"function_call" => Finish::ToolCalls,
        b"content_filter" => Finish::ContentFilter,
        b"abort" | b"cancelled" | b"error" => Finish::Abort,
        _ => Finish::Other,
    };
    Ended { finish, word }
}

fn usage<'a>(cursor: &mut Cursor<'a>, chunk: &mut Chunk<'a>) -> Option<()> {
    let json = cursor.value()?;
    if !json.starts_with(b"{") {
        return Some(());
    }
    let mut usage = Usage::default();
    Cursor::new(json).members(|cursor, name| {
        match name {
            b"prompt_tokens" => usage.prompt = count(cursor)?,
            b"completion_tokens" => usage.completion = count(cursor)?,
            b"prompt_tokens_details" => usage.cached = detail(cursor, b"cached_tokens")?.or(usage.cached),
            b"completion_tokens_details" => usage.reasoning = detail(cursor, b"reasoning_tokens")?.or(usage.reasoning),
            b"reasoning_tokens" => usage.reasoning = count(cursor)?,
            _ => cursor.skip()?,
        }
        Some(())
    })?;
    chunk.usage.update(usage);
    chunk.usage_json = Some(json);
    Some(())
}

/// A number within an object of details.
pub(crate) fn detail(cursor: &mut Cursor<'_>, wanted: &[u8]) -> Option<Option<u32>> {
    let mut found = None;
    cursor.members(|cursor, name| {
        if name == wanted {
            found = count(cursor)?;
            return Some(());
        }
        cursor.skip()
    })?;
    Some(found)
}

/// What a server reads of both, and of vLLM's additions.
#[derive(Deserialize)]
pub(crate) struct Body {
    pub messages: Option<Vec<Value>>,
    pub tools: Option<Value>,
    pub prompt: Option<Prompts>,
    model: Option<String>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    n: Option<u32>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    ignore_eos: Option<bool>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

impl Body {
    /// What is wanted of these prompts.
    pub fn wanted(self, prompts: Vec<Prompt>) -> Wanted {
        Wanted {
            model: self.model,
            prompts,
            choices: self.n.unwrap_or(1),
            output_tokens: self.max_completion_tokens.or(self.max_tokens),
            stream: self.stream.unwrap_or(false),
            include_usage: self.stream_options.and_then(|options| options.include_usage).unwrap_or(false),
            ignore_eos: self.ignore_eos.unwrap_or(false),
        }
    }
}

/// The reason of an end, null before it.
pub(crate) fn put_finish(ending: Option<Ending>, out: &mut Vec<u8>) {
    match ending {
        None => out.extend_from_slice(b"null"),
        Some(ending) => {
            out.push(b'"');
            out.extend_from_slice(ending.name().as_bytes());
            out.push(b'"');
        }
    }
}

/// The usage as a member that follows others.
pub(crate) fn put_usage_member(usage: Option<&Tokens>, out: &mut Vec<u8>) {
    if let Some(usage) = usage {
        out.extend_from_slice(b",\"usage\":");
        put_usage(usage, out);
    }
}

/// The usage as an object.
pub(crate) fn put_usage(tokens: &Tokens, out: &mut Vec<u8>) {
    let Tokens { prompt, cached, completion, reasoning } = tokens;
    let total = prompt + completion;
    // Writing to a vector does not fail.
    let _ = write!(
        out,
        "{{\"prompt_tokens\":{prompt},\"total_tokens\":{total},\"completion_tokens\":{completion},\
         \"prompt_tokens_details\":{{\"cached_tokens\":{cached}}}"
    );
    if *reasoning > 0 {
        let _ = write!(out, ",\"completion_tokens_details\":{{\"reasoning_tokens\":{reasoning}}}");
    }
    out.push(b'}');
}
