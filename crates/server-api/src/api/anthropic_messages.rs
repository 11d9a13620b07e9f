//! Anthropic's messages, as their own service, vLLM and llama.cpp have it: `message_start`, blocks of content with deltas,
//! `message_delta` with the reason to stop and the usage, `message_stop`.
//!
//! Its `input_tokens` are the tokens of the prompt that no cache had; `cache_read_input_tokens` and `cache_creation_input_tokens` come
//! on top. vLLM tells no cached tokens and counts all as input.
//!
//! A key is sent twice, as `x-api-key` and as a bearer token: Anthropic's service wants the first, vLLM (`--api-key`) the second,
//! llama.cpp takes either.
//!
//! Over 500 lines, because an API is one file: what a client reads and writes, what a server does, and both forms of an answer.

use std::ops::Range;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Api, Dialect, Headers, take};
use crate::ask::{BodyError, Settings};
use crate::chunk::{Chunk, Common, Ended, Finish, Piece, Usage, count, non_empty};
use crate::conversation::{self, data_url};
use crate::json::{Cursor, Raw};
use crate::request::{BadBody, Wanted, chat};
use crate::write::{Choice, Ending, Tokens, Voice, end_object, put, put_number};

/// `/v1/messages`.
pub const API: Api = Api(&AnthropicMessages);

/// The version of the API that is spoken.
const VERSION: &str = "2023-06-01";

struct AnthropicMessages;

#[derive(Deserialize)]
struct Body {
    model: Option<String>,
    system: Option<Value>,
    messages: Option<Vec<Value>>,
    tools: Option<Vec<Value>>,
    max_tokens: Option<u64>,
    stream: Option<bool>,
    ignore_eos: Option<bool>,
}

impl Dialect for AnthropicMessages {
    fn name(&self) -> &'static str {
        "anthropic"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["anthropic-messages"]
    }

    fn paths(&self) -> &'static [&'static str] {
        &["/v1/messages"]
    }

    fn takes_messages(&self) -> bool {
        true
    }

    fn headers(&self, key: Option<&str>) -> Headers {
        let mut headers = vec![("anthropic-version", VERSION.to_owned())];
        if let Some(key) = key {
            headers.push(("x-api-key", key.to_owned()));
            headers.push(("authorization", format!("Bearer {key}")));
        }
        headers
    }

    fn key<'h>(&self, field: &dyn Fn(&str) -> Option<&'h str>) -> Option<&'h str> {
        field("x-api-key").or_else(|| field("authorization")?.strip_prefix("Bearer "))
    }

    fn chat(&self, request: &Map<String, Value>, settings: &Settings) -> Result<Map<String, Value>, BodyError> {
        let mut request = request.clone();
        let own = super::most_tokens(&mut request);
        let most = settings.max_tokens.map(Value::from).or(own).ok_or(BodyError::NoLimit { backend: API })?;
        let mut body = Map::new();
        if let Some(model) = &settings.model {
            body.insert("model".to_owned(), json!(model));
        }
        let messages = conversation::list(&request);
        let system: Vec<String> =
            messages.iter().filter(|message| is_system(message)).map(conversation::text).collect();
        if !system.is_empty() {
            body.insert("system".to_owned(), json!(system.join("\n\n")));
        }
        let mut turns: Vec<Value> = Vec::with_capacity(messages.len());
        for (number, message) in messages.iter().enumerate().filter(|(_, message)| !is_system(message)) {
            let wrong = |reason| BodyError::Message { backend: API, number, reason };
            match message["role"].as_str() {
                Some("tool") => {
                    let result = json!({"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": conversation::text(message)});
                    // The results of one turn's calls are one message.
                    match turns.last_mut() {
                        Some(last) if last["content"][0]["type"] == "tool_result" => {
                            last["content"].as_array_mut().into_iter().for_each(|blocks| blocks.push(result.clone()));
                        }
                        _ => turns.push(json!({"role": "user", "content": [result]})),
                    }
                }
                Some(role) => turns.push(json!({"role": role, "content": content(message).map_err(wrong)?})),
                None => return Err(wrong("it has no role".to_owned())),
            }
        }
        body.insert("messages".to_owned(), turns.into());
        body.insert("max_tokens".to_owned(), most);
        if let Some(temperature) = settings.temperature {
            body.insert("temperature".to_owned(), json!(temperature));
        }
        if settings.ignore_eos {
            body.insert("ignore_eos".to_owned(), json!(true));
        }
        body.insert("stream".to_owned(), json!(settings.stream));
        for (name, theirs) in [("top_p", "top_p"), ("top_k", "top_k")] {
            body.extend(take(&mut request, name).map(|value| (theirs.to_owned(), value)));
        }
        if let Some(stop) = take(&mut request, "stop") {
            body.insert("stop_sequences".to_owned(), if stop.is_string() { json!([stop]) } else { stop });
        }
        if let Some(tools) = request.get("tools").and_then(Value::as_array) {
            body.insert("tools".to_owned(), tools.iter().map(tool).collect());
        }
        if let Some(choice) = take(&mut request, "tool_choice") {
            let choice = match choice.as_str() {
                Some("required") => json!({"type": "any"}),
                Some(word) => json!({"type": word}),
                None => json!({"type": "tool", "name": choice["function"]["name"]}),
            };
            body.insert("tool_choice".to_owned(), choice);
        }
        Ok(body)
    }

    fn read<'a>(&self, json: &'a [u8], each: &mut dyn FnMut(&Piece<'a>)) -> Option<Chunk<'a>> {
        let (mut chunk, mut common) = (Chunk::default(), Common::default());
        let (mut kind, mut blocks, mut stopped) = (Raw(b""), None, None);
        let mut cursor = Cursor::new(json);
        // What an event is stands anywhere in it, so its parts are taken as they come: their names do not overlap.
        cursor.members(|cursor, name| {
            match name {
                b"type" => kind = cursor.text()?.unwrap_or(kind),
                b"delta" => stopped = delta(cursor, each)?.or(stopped),
                b"content_block" => block(cursor, each)?,
                b"content" => blocks = Some(cursor.value()?),
                b"stop_reason" => stopped = cursor.text()?.or(stopped),
                b"usage" => usage(cursor, &mut chunk.usage)?,
                b"message" if cursor.peek()? == b'{' => cursor.members(|cursor, name| match name {
                    b"usage" => {
                        usage(cursor, &mut chunk.usage)?;
                        // The first event counts an answer that is not made yet.
                        chunk.usage.completion = None;
                        Some(())
                    }
                    _ => cursor.skip(),
                })?,
                _ => common.take(cursor, name)?,
            }
            Some(())
        })?;
        if let Some(blocks) = blocks {
            Cursor::new(blocks).items(|cursor| block(cursor, each))?;
        }
        chunk.done = kind.0 == b"message_stop";
        common.is_error |= kind.0 == b"error";
        if let Some(word) = stopped {
            each(&Piece { ended: Some(ended(word)), ..Piece::default() });
        }
        cursor.is_at_end().then(|| common.into(chunk))
    }

    fn parse(&self, body: &[u8]) -> Result<Wanted, BadBody> {
        let body: Body = serde_json::from_slice(body)?;
        let most = body.max_tokens.ok_or_else(|| BadBody("`max_tokens` is missing: this API has no default".into()))?;
        let mut messages = Vec::new();
        if let Some(system) = body.system.filter(|system| !system.is_null()) {
            messages.push(json!({"role": "system", "content": system}));
        }
        for message in body.messages.ok_or_else(|| crate::request::missing("messages"))? {
            messages.extend(said(message)?);
        }
        let tools = body.tools.map(|tools| {
            let each = tools.into_iter().map(|tool| {
                json!({"type": "function", "function": {
                    "name": tool["name"], "description": tool["description"], "parameters": tool["input_schema"],
                }})
            });
            each.collect()
        });
        Ok(Wanted {
            model: body.model,
            prompts: vec![chat(Some(messages), tools)?],
            choices: 1,
            output_tokens: Some(most),
            stream: body.stream.unwrap_or(false),
            include_usage: true,
            ignore_eos: body.ignore_eos.unwrap_or(false),
        })
    }

    fn ends_apart(&self) -> bool {
        true
    }

    fn splits_reasoning(&self) -> bool {
        true
    }

    fn begin(&self, voice: &mut Voice, choice: &Choice<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":");
        put_head(voice, out);
        out.extend_from_slice(b"[],\"stop_reason\":null,\"stop_sequence\":null");
        let usage = Tokens { completion: 0, ..Tokens::of([*choice], 1) };
        put_usage(Some(&usage), out);
        out.extend_from_slice(b"}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n");
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
        let block = block_at(choice, range.start);
        let (empty, kind, name) = match block {
            Block::Thinking => ("\"thinking\",\"thinking\":\"\",\"signature\":\"\"", "thinking_delta", "thinking"),
            Block::Text(_) => ("\"text\",\"text\":\"\"", "text_delta", "text"),
        };
        let number = block.number();
        if range.start == 0 || (choice.reasoning > 0 && range.start == choice.reasoning) {
            if number > 0 {
                put_stop(Block::Thinking, out);
            }
            put_number(out, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":", number);
            put(out, format_args!(",\"content_block\":{{\"type\":{empty}}}}}\n\n"));
        }
        put_number(out, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":", number);
        put(out, format_args!(",\"delta\":{{\"type\":\"{kind}\",\"{name}\":\""));
        choice.put_words(range, out);
        out.extend_from_slice(b"\"}");
    }

    fn ending(&self, _voice: &mut Voice, choice: &Choice<'_>, usage: Option<&Tokens>, out: &mut Vec<u8>) {
        if choice.sent > 0 {
            put_stop(block_at(choice, choice.sent - 1), out);
        }
        out.extend_from_slice(b"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"");
        out.extend_from_slice(stop_reason(choice.ending).as_bytes());
        out.extend_from_slice(b"\",\"stop_sequence\":null}");
        put_usage(usage, out);
    }

    fn done(&self, _voice: &mut Voice, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    }

    fn whole(
        &self,
        voice: &mut Voice,
        choices: &[Choice<'_>],
        usage: Option<&Tokens>,
        out: &mut Vec<u8>,
        stamps: &mut Vec<usize>,
    ) {
        let Some(choice) = choices.first() else { return };
        put_head(voice, out);
        out.push(b'[');
        let border = choice.reasoning.min(choice.produced);
        if border > 0 {
            out.extend_from_slice(b"{\"type\":\"thinking\",\"thinking\":\"");
            choice.put_words(0..border, out);
            out.extend_from_slice(b"\",\"signature\":\"\"}");
        }
        if border < choice.produced {
            out.extend_from_slice(if border > 0 {
                b",{\"type\":\"text\",\"text\":\""
            } else {
                b"{\"type\":\"text\",\"text\":\""
            });
            choice.put_words(border..choice.produced, out);
            out.extend_from_slice(b"\"}");
        }
        put(out, format_args!("],\"stop_reason\":\"{}\",\"stop_sequence\":null", stop_reason(choice.ending)));
        put_usage(usage, out);
        stamps.push(end_object(0, out));
    }

    fn error(&self, status: u16, message: &str) -> String {
        let kind = match status {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 | 529 => "overloaded_error",
            400..500 => "invalid_request_error",
            _ => "api_error",
        };
        json!({"type": "error", "error": {"type": kind, "message": message}}).to_string()
    }

    fn error_event(&self, _voice: &mut Voice, message: &str, out: &mut Vec<u8>) {
        put(out, format_args!("event: error\ndata: {}\n\n", self.error(500, message)));
    }
}

fn is_system(message: &Value) -> bool {
    matches!(message["role"].as_str(), Some("system" | "developer"))
}

/// The content of a message of the chat: its text, or its blocks.
fn content(message: &Value) -> Result<Value, String> {
    let calls = message["tool_calls"].as_array().filter(|calls| !calls.is_empty());
    let mut blocks = match (&message["content"], calls) {
        (Value::String(text), None) => return Ok(json!(text)),
        (Value::String(text), Some(_)) if text.is_empty() => Vec::new(),
        (Value::String(text), Some(_)) => vec![json!({"type": "text", "text": text})],
        (Value::Array(parts), _) => parts.iter().map(part).collect::<Result<_, _>>()?,
        (_, None) => return Ok(json!("")),
        _ => Vec::new(),
    };
    for call in calls.into_iter().flatten() {
        let arguments = &call["function"]["arguments"];
        let input = match arguments.as_str() {
            Some(text) => {
                serde_json::from_str(text).map_err(|_| "the arguments of a tool call are no JSON".to_owned())?
            }
            None => arguments.clone(),
        };
        blocks.push(json!({"type": "tool_use", "id": call["id"], "name": call["function"]["name"], "input": input}));
    }
    Ok(blocks.into())
}

fn part(part: &Value) -> Result<Value, String> {
    match part["type"].as_str() {
        Some("text") => Ok(json!({"type": "text", "text": part["text"]})),
        Some("image_url") => {
            let url = part["image_url"]["url"].as_str().unwrap_or_default();
            let source = match data_url(url) {
                Some((kind, data)) => json!({"type": "base64", "media_type": kind, "data": data}),
                None => json!({"type": "url", "url": url}),
            };
            Ok(json!({"type": "image", "source": source}))
        }
        other => Err(format!("it has a part of the type {}", other.unwrap_or("none"))),
    }
}

/// A tool of the chat.
fn tool(tool: &Value) -> Value {
    let function = &tool["function"];
    let mut own = json!({"name": function["name"], "input_schema": function["parameters"]});
    if let Some(description) = function["description"].as_str() {
        own["description"] = json!(description);
    }
    own
}

/// A message as the chat has it: results of tools are messages of their own there.
fn said(message: Value) -> Result<Vec<Value>, BadBody> {
    let Value::Array(blocks) = &message["content"] else { return Ok(vec![message]) };
    let (mut all, mut parts, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    for block in blocks {
        match block["type"].as_str() {
            Some("text") => parts.push(json!({"type": "text", "text": block["text"]})),
            Some("thinking" | "redacted_thinking") => {}
            Some("image") => {
                let source = &block["source"];
                let url = source["url"].as_str().map(str::to_owned).unwrap_or_else(|| {
                    let of = |name: &str| source[name].as_str().unwrap_or_default();
                    format!("data:{};base64,{}", of("media_type"), of("data"))
                });
                parts.push(json!({"type": "image_url", "image_url": {"url": url}}));
            }
            Some("tool_use") => calls.push(json!({"id": block["id"], "type": "function", "function":
                {"name": block["name"], "arguments": block["input"].to_string()}})),
            Some("tool_result") => all.push(
                json!({"role": "tool", "tool_call_id": block["tool_use_id"], "content": conversation::text(block)}),
            ),
            other => {
                return Err(BadBody(format!("a block of the type {} is not known here", other.unwrap_or("none"))));
            }
        }
    }
    if !parts.is_empty() || !calls.is_empty() {
        let mut own = json!({"role": message["role"], "content": conversation::joined(parts)});
        if !calls.is_empty() {
            own["tool_calls"] = calls.into();
        }
        all.push(own);
    }
    Ok(all)
}

/// A delta's text, reasoning or part of a call, to `each`; returns the reason to stop.
fn delta<'a>(cursor: &mut Cursor<'a>, each: &mut dyn FnMut(&Piece<'a>)) -> Option<Option<Raw<'a>>> {
    let (mut piece, mut stopped) = (Piece::default(), None);
    cursor.members(|cursor, name| {
        match name {
            b"text" => piece.content = non_empty(cursor)?,
            b"thinking" => piece.reasoning = non_empty(cursor)?,
            b"partial_json" => piece.tool_call = non_empty(cursor)?.is_some(),
            b"stop_reason" => stopped = cursor.text()?,
            _ => cursor.skip()?,
        }
        Some(())
    })?;
    if piece.has_content() {
        each(&piece);
    }
    Some(stopped)
}

/// A block, whole or as it begins.
fn block<'a>(cursor: &mut Cursor<'a>, each: &mut dyn FnMut(&Piece<'a>)) -> Option<()> {
    let mut piece = Piece::default();
    cursor.members(|cursor, name| {
        match name {
            b"type" => piece.tool_call = cursor.text()?.is_some_and(|kind| kind.0.ends_with(b"tool_use")),
            b"text" => piece.content = non_empty(cursor)?,
            b"thinking" => piece.reasoning = non_empty(cursor)?,
            _ => cursor.skip()?,
        }
        Some(())
    })?;
    if piece.has_content() {
        each(&piece);
    }
    Some(())
}

fn ended(word: Raw<'_>) -> Ended<'_> {
    let finish = match word.0 {
        b"end_turn" | b"stop_sequence" | b"pause_turn" => Finish::Stop,
        b"max_tokens" | b"model_context_window_exceeded" => Finish::Length,
        b"tool_use" => Finish::ToolCalls,
        b"refusal" => Finish::ContentFilter,
        _ => Finish::Other,
    };
    Ended { finish, word }
}

fn usage(cursor: &mut Cursor<'_>, usage: &mut Usage) -> Option<()> {
    let (mut input, mut read, mut made, mut output) = (None, None, None, None);
    cursor.members(|cursor, name| {
        match name {
            b"input_tokens" => input = count(cursor)?,
            b"cache_read_input_tokens" => read = count(cursor)?,
            b"cache_creation_input_tokens" => made = count(cursor)?,
            b"output_tokens" => output = count(cursor)?,
            _ => cursor.skip()?,
        }
        Some(())
    })?;
    let parts = [input, read, made].into_iter().flatten();
    // A count of 0 is that of a server that does not know it yet.
    let prompt = Some(parts.fold(0, u32::saturating_add)).filter(|prompt| *prompt > 0);
    usage.update(Usage { prompt, completion: output, cached: read, reasoning: None });
    Some(())
}

/// A block of the answer.
enum Block {
    Thinking,
    /// With its number.
    Text(u32),
}

impl Block {
    fn number(&self) -> u32 {
        match self {
            Self::Thinking => 0,
            Self::Text(number) => *number,
        }
    }
}

/// In which block a token stands.
fn block_at(choice: &Choice<'_>, token: u32) -> Block {
    if token < choice.reasoning { Block::Thinking } else { Block::Text(u32::from(choice.reasoning > 0)) }
}

/// The end of a block; reasoning is signed before.
fn put_stop(block: Block, out: &mut Vec<u8>) {
    if matches!(block, Block::Thinking) {
        out.extend_from_slice(b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,");
        out.extend_from_slice(b"\"delta\":{\"type\":\"signature_delta\",\"signature\":\"none\"}}\n\n");
    }
    put_number(out, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":", block.number());
    out.extend_from_slice(b"}\n\n");
}

/// A message up to its content.
fn put_head(voice: &Voice, out: &mut Vec<u8>) {
    let Voice { id, model, .. } = voice;
    put(
        out,
        format_args!(
            "{{\"id\":\"msg_{id}\",\"type\":\"message\",\"role\":\"assistant\",\"model\":{model},\"content\":"
        ),
    );
}

fn put_usage(usage: Option<&Tokens>, out: &mut Vec<u8>) {
    let Some(Tokens { prompt, cached, completion, .. }) = usage else { return };
    put(
        out,
        format_args!(
            ",\"usage\":{{\"input_tokens\":{},\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":{cached},\
             \"output_tokens\":{completion}}}",
            prompt.saturating_sub(*cached)
        ),
    );
}

fn stop_reason(ending: Ending) -> &'static str {
    match ending {
        Ending::Stop => "end_turn",
        Ending::Length => "max_tokens",
    }
}
