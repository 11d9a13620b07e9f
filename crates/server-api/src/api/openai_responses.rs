//! OpenAI's responses, as their own service and vLLM have it: numbered events, of which `response.output_text.delta` brings the
//! text and `response.completed` (or `incomplete`, `failed`) the whole answer again with its usage.
//!
//! Over 500 lines, because an API is one file: what a client reads and writes, what a server does, and both forms of an answer.

use std::ops::Range;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Api, Dialect, take};
use crate::ask::{BodyError, Settings};
use crate::chunk::{Chunk, Common, Ended, Finish, Piece, Usage, count, fault, non_empty};
use crate::conversation;
use crate::json::{Cursor, Raw};
use crate::openai::detail;
use crate::request::{BadBody, Wanted, chat, missing};
use crate::write::{Choice, Ending, Tokens, Voice, end_object, put, put_number};

/// What writes the words of an item.
type Words<'a> = &'a dyn Fn(&mut Vec<u8>);

/// `/v1/responses`.
pub const API: Api = Api(&OpenAiResponses);

/// Members of a chat request that are called the same here.
const SAME: [&str; 7] =
    ["top_p", "parallel_tool_calls", "metadata", "service_tier", "user", "prompt_cache_key", "safety_identifier"];

struct OpenAiResponses;

#[derive(Deserialize)]
struct Body {
    model: Option<String>,
    input: Option<Value>,
    instructions: Option<String>,
    tools: Option<Vec<Value>>,
    max_output_tokens: Option<u64>,
    stream: Option<bool>,
    ignore_eos: Option<bool>,
}

impl Dialect for OpenAiResponses {
    fn name(&self) -> &'static str {
        "openai-responses"
    }

    fn paths(&self) -> &'static [&'static str] {
        &["/v1/responses"]
    }

    fn takes_messages(&self) -> bool {
        true
    }

    fn chat(&self, request: &Map<String, Value>, settings: &Settings) -> Result<Map<String, Value>, BodyError> {
        let mut request = request.clone();
        let own = super::most_tokens(&mut request);
        let mut body = Map::new();
        if let Some(model) = &settings.model {
            body.insert("model".to_owned(), json!(model));
        }
        let mut input = Vec::new();
        for (number, message) in conversation::list(&request).iter().enumerate() {
            let wrong = |reason| BodyError::Message { backend: API, number, reason };
            items(message, &mut input).map_err(wrong)?;
        }
        body.insert("input".to_owned(), input.into());
        if let Some(most) = settings.max_tokens.map(Value::from).or(own) {
            body.insert("max_output_tokens".to_owned(), most);
        }
        if let Some(temperature) = settings.temperature {
            body.insert("temperature".to_owned(), json!(temperature));
        }
        if settings.ignore_eos {
            body.insert("ignore_eos".to_owned(), json!(true));
        }
        // A server that kept every answer for later requests would fill its memory with a load test.
        body.insert("store".to_owned(), json!(false));
        body.insert("stream".to_owned(), json!(settings.stream));
        for name in SAME {
            body.extend(take(&mut request, name).map(|value| (name.to_owned(), value)));
        }
        if let Some(tools) = request.get("tools").and_then(Value::as_array) {
            body.insert("tools".to_owned(), tools.iter().map(flat).collect());
        }
        if let Some(choice) = take(&mut request, "tool_choice") {
            body.insert("tool_choice".to_owned(), if choice.is_object() { flat(&choice) } else { choice });
        }
        Ok(body)
    }

    fn read<'a>(&self, json: &'a [u8], each: &mut dyn FnMut(&Piece<'a>)) -> Option<Chunk<'a>> {
        let (mut chunk, mut common) = (Chunk::default(), Common::default());
        let (mut kind, mut text, mut response) = (Raw(b""), None, None);
        let (mut is_call, mut is_whole) = (false, false);
        let mut cursor = Cursor::new(json);
        // What an event is stands anywhere in it: vLLM writes `type` last.
        cursor.members(|cursor, name| {
            match name {
                b"type" => kind = cursor.text()?.unwrap_or(kind),
                b"delta" => text = non_empty(cursor)?,
                b"response" => response = Some(cursor.value()?),
                b"item" => cursor.members(|cursor, name| match name {
                    b"type" => {
                        is_call = cursor.text()?.is_some_and(|kind| kind.0.ends_with(b"_call"));
                        Some(())
                    }
                    _ => cursor.skip(),
                })?,
                b"object" => {
                    let object = cursor.text()?;
                    is_whole = object == Some(Raw(b"response"));
                    common.is_error |= object == Some(Raw(b"error"));
                }
                _ => common.take(cursor, name)?,
            }
            Some(())
        })?;
        let at_end = cursor.is_at_end();
        if is_whole {
            answer(json, Some(each), &mut chunk)?;
        }
        let piece = match kind.0 {
            b"response.output_text.delta" | b"response.refusal.delta" => Piece { content: text, ..Piece::default() },
            b"response.reasoning_text.delta" | b"response.reasoning_summary_text.delta" => {
                Piece { reasoning: text, ..Piece::default() }
            }
            b"response.output_item.added" => Piece { tool_call: is_call, ..Piece::default() },
            // Arguments of a function, input of a tool.
            of if of.ends_with(b"_call_arguments.delta") || of.ends_with(b"_call_input.delta") => {
                Piece { tool_call: text.is_some(), ..Piece::default() }
            }
            b"response.completed" | b"response.incomplete" | b"response.failed" => {
                let ended = answer(response?, None, &mut chunk)?;
                chunk.done = true;
                Piece { ended, ..Piece::default() }
            }
            b"error" => {
                common.is_error = true;
                Piece::default()
            }
            _ => Piece::default(),
        };
        if piece != Piece::default() {
            each(&piece);
        }
        at_end.then(|| common.into(chunk))
    }

    fn parse(&self, body: &[u8]) -> Result<Wanted, BadBody> {
        let body: Body = serde_json::from_slice(body)?;
        let mut messages = Vec::new();
        if let Some(instructions) = body.instructions {
            messages.push(json!({"role": "system", "content": instructions}));
        }
        match body.input.ok_or_else(|| missing("input"))? {
            Value::String(text) => messages.push(json!({"role": "user", "content": text})),
            Value::Array(items) => {
                for item in items {
                    hear(item, &mut messages)?;
                }
            }
            _ => return Err(BadBody("`input` is neither a text nor a list of items".into())),
        }
        let tools = body.tools.map(|tools| {
            let each = tools.into_iter().map(|tool| {
                json!({"type": "function", "function": {
                    "name": tool["name"], "description": tool["description"], "parameters": tool["parameters"],
                }})
            });
            each.collect()
        });
        Ok(Wanted {
            model: body.model,
            prompts: vec![chat(Some(messages), tools)?],
            choices: 1,
            output_tokens: body.max_output_tokens,
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
        for kind in ["response.created", "response.in_progress"] {
            event(voice, kind, out);
            out.extend_from_slice(b",\"response\":");
            put_response(voice, None, None, choice, out);
            out.extend_from_slice(b"}}\n\n");
        }
    }

    fn content(
        &self,
        voice: &mut Voice,
        choice: &Choice<'_>,
        range: Range<u32>,
        _ending: Option<Ending>,
        _usage: Option<&Tokens>,
        out: &mut Vec<u8>,
    ) {
        let item = Item::at(choice, range.start);
        if range.start == 0 || (choice.reasoning > 0 && range.start == choice.reasoning) {
            if item.number > 0 {
                Item::at(choice, 0).close(voice, choice, range.start, out);
            }
            item.open(voice, out);
        }
        event(voice, item.delta(), out);
        item.address(voice, out);
        out.extend_from_slice(b",\"delta\":\"");
        choice.put_words(range, out);
        out.push(b'"');
    }

    fn ending(&self, voice: &mut Voice, choice: &Choice<'_>, usage: Option<&Tokens>, out: &mut Vec<u8>) {
        if choice.sent > 0 {
            Item::at(choice, choice.sent - 1).close(voice, choice, choice.sent, out);
        }
        let kind = match choice.ending {
            Ending::Stop => "response.completed",
            Ending::Length => "response.incomplete",
        };
        event(voice, kind, out);
        out.extend_from_slice(b",\"response\":");
        put_response(voice, Some(choice.sent), usage, choice, out);
        out.push(b'}');
    }

    /// The last event says it.
    fn done(&self, _voice: &mut Voice, _out: &mut Vec<u8>) {}

    fn whole(
        &self,
        voice: &mut Voice,
        choices: &[Choice<'_>],
        usage: Option<&Tokens>,
        out: &mut Vec<u8>,
        stamps: &mut Vec<usize>,
    ) {
        let Some(choice) = choices.first() else { return };
        put_response(voice, Some(choice.produced), usage, choice, out);
        stamps.push(end_object(0, out));
    }

    fn error_event(&self, voice: &mut Voice, message: &str, out: &mut Vec<u8>) {
        event(voice, "error", out);
        put(out, format_args!(",\"code\":\"server_error\",\"message\":{},\"param\":null}}\n\n", json!(message)));
    }
}

/// Tools and the choice of one: here without a level of their own for the function.
fn flat(tool: &Value) -> Value {
    let mut own = Map::new();
    own.insert("type".to_owned(), tool["type"].clone());
    if let Some(function) = tool["function"].as_object() {
        own.extend(function.clone());
    }
    own.into()
}

/// A message of the chat as items of the input.
fn items(message: &Value, input: &mut Vec<Value>) -> Result<(), String> {
    let role = message["role"].as_str().ok_or("it has no role")?;
    if role == "tool" {
        let output = conversation::text(message);
        input.push(json!({"type": "function_call_output", "call_id": message["tool_call_id"], "output": output}));
        return Ok(());
    }
    let calls = message["tool_calls"].as_array().filter(|calls| !calls.is_empty());
    let is_empty = message["content"].is_null() || message["content"] == "";
    if calls.is_none() || !is_empty {
        let content = match &message["content"] {
            Value::Array(parts) => parts.iter().map(|one| part(one, role)).collect::<Result<_, _>>()?,
            Value::String(text) => json!(text),
            _ => json!(""),
        };
        input.push(json!({"role": role, "content": content}));
    }
    for call in calls.into_iter().flatten() {
        let function = &call["function"];
        input.push(json!({"type": "function_call", "call_id": call["id"], "name": function["name"], "arguments": function["arguments"]}));
    }
    Ok(())
}

fn part(part: &Value, role: &str) -> Result<Value, String> {
    match part["type"].as_str() {
        Some("text") if role == "assistant" => Ok(json!({"type": "output_text", "text": part["text"]})),
        Some("text") => Ok(json!({"type": "input_text", "text": part["text"]})),
        Some("image_url") => {
            Ok(json!({"type": "input_image", "image_url": part["image_url"]["url"], "detail": "auto"}))
        }
        other => Err(format!("it has a part of the type {}", other.unwrap_or("none"))),
    }
}

/// An item of the input as the chat has it: calls of functions belong to the message before them.
fn hear(item: Value, messages: &mut Vec<Value>) -> Result<(), BadBody> {
    match item["type"].as_str() {
        None | Some("message") => {
            let content = match &item["content"] {
                Value::Array(parts) => {
                    let each = parts.iter().map(|part| match part["type"].as_str() {
                        Some("input_image") => json!({"type": "image_url", "image_url": {"url": part["image_url"]}}),
                        _ => json!({"type": "text", "text": part["text"]}),
                    });
                    conversation::joined(each.collect())
                }
                content => content.clone(),
            };
            messages.push(json!({"role": item["role"], "content": content}));
        }
        Some("function_call") => {
            let call = json!({"id": item["call_id"], "type": "function", "function":
                {"name": item["name"], "arguments": item["arguments"]}});
            match messages.last_mut().filter(|last| last["role"] == "assistant") {
                Some(last) if last["tool_calls"].is_array() => {
                    last["tool_calls"].as_array_mut().into_iter().for_each(|calls| calls.push(call.clone()));
                }
                Some(last) => last["tool_calls"] = json!([call]),
                None => messages.push(json!({"role": "assistant", "content": null, "tool_calls": [call]})),
            }
        }
        Some("function_call_output") => {
            messages.push(json!({"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]}));
        }
        // What the model thought in earlier turns is not part of the prompt.
        Some("reasoning") => {}
        Some(other) => return Err(BadBody(format!("an item of the type {other} is not known here"))),
    }
    Ok(())
}

/// Reads a response object: usage and how it ended, and its pieces where somebody takes them.
fn answer<'a>(
    json: &'a [u8],
    mut each: Option<&mut dyn FnMut(&Piece<'a>)>,
    chunk: &mut Chunk<'a>,
) -> Option<Option<Ended<'a>>> {
    let (mut status, mut reason, mut called) = (None, None, false);
    Cursor::new(json).members(|cursor, name| {
        match name {
            b"status" => status = cursor.text()?,
            b"error" => chunk.fault = fault(cursor)?.or(chunk.fault),
            b"incomplete_details" => cursor.members(|cursor, name| {
                match name {
                    b"reason" => reason = cursor.text()?,
                    _ => cursor.skip()?,
                }
                Some(())
            })?,
            b"usage" => usage(cursor, &mut chunk.usage)?,
            b"output" => cursor.items(|cursor| {
                let piece = item(cursor)?;
                called |= piece.tool_call;
                if let Some(each) = each.as_mut().filter(|_| piece.has_content()) {
                    each(&piece);
                }
                Some(())
            })?,
            _ => cursor.skip()?,
        }
        Some(())
    })?;
    let ended = status.filter(|status| !matches!(status.0, b"in_progress" | b"queued")).map(|status| {
        let word = reason.unwrap_or(status);
        let finish = match word.0 {
            b"completed" if called => Finish::ToolCalls,
            b"completed" => Finish::Stop,
            b"max_output_tokens" => Finish::Length,
            b"content_filter" => Finish::ContentFilter,
            b"failed" | b"cancelled" => Finish::Abort,
            _ => Finish::Other,
        };
        Ended { finish, word }
    });
    if let (Some(each), Some(_)) = (each, ended) {
        each(&Piece { ended, ..Piece::default() });
    }
    Some(ended)
}

/// An item of the output: of its texts the last.
fn item<'a>(cursor: &mut Cursor<'a>) -> Option<Piece<'a>> {
    let (mut piece, mut text, mut is_reasoning) = (Piece::default(), None, false);
    cursor.members(|cursor, name| {
        match name {
            b"type" => {
                let kind = cursor.text()?.unwrap_or(Raw(b""));
                is_reasoning = kind.0 == b"reasoning";
                piece.tool_call = kind.0.ends_with(b"_call");
            }
            b"content" | b"summary" => cursor.items(|cursor| {
                cursor.members(|cursor, name| {
                    match name {
                        b"text" | b"refusal" => text = non_empty(cursor)?.or(text),
                        _ => cursor.skip()?,
                    }
                    Some(())
                })
            })?,
            _ => cursor.skip()?,
        }
        Some(())
    })?;
    *(if is_reasoning { &mut piece.reasoning } else { &mut piece.content }) = text;
    Some(piece)
}

fn usage(cursor: &mut Cursor<'_>, all: &mut Usage) -> Option<()> {
    let mut usage = Usage::default();
    cursor.members(|cursor, name| {
        match name {
            b"input_tokens" => usage.prompt = count(cursor)?,
            b"output_tokens" => usage.completion = count(cursor)?,
            b"input_tokens_details" => usage.cached = detail(cursor, b"cached_tokens")?,
            b"output_tokens_details" => usage.reasoning = detail(cursor, b"reasoning_tokens")?,
            _ => cursor.skip()?,
        }
        Some(())
    })?;
    all.update(usage);
    Some(())
}

/// The beginning of an event; its object stays open.
fn event(voice: &mut Voice, kind: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\ndata: {\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    put_number(out, "\",\"sequence_number\":", voice.sequence);
    voice.sequence = voice.sequence.wrapping_add(1);
}

/// An item of the output that is being made.
struct Item {
    is_reasoning: bool,
    /// Its place in the output.
    number: u32,
}

impl Item {
    /// In which item a token stands.
    fn at(choice: &Choice<'_>, token: u32) -> Self {
        let is_reasoning = token < choice.reasoning;
        Self { is_reasoning, number: u32::from(!is_reasoning && choice.reasoning > 0) }
    }

    fn delta(&self) -> &'static str {
        if self.is_reasoning { "response.reasoning_text.delta" } else { "response.output_text.delta" }
    }

    /// `,"item_id":…,"output_index":…,"content_index":0`
    fn address(&self, voice: &Voice, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.is_reasoning { b",\"item_id\":\"rs_" } else { b",\"item_id\":\"msg_" });
        out.extend_from_slice(voice.id.as_bytes());
        put_number(out, "\",\"output_index\":", self.number);
        out.extend_from_slice(b",\"content_index\":0");
    }

    fn open(&self, voice: &mut Voice, out: &mut Vec<u8>) {
        event(voice, "response.output_item.added", out);
        put_number(out, ",\"output_index\":", self.number);
        out.extend_from_slice(b",\"item\":");
        self.put(voice, "in_progress", None, out);
        out.extend_from_slice(b"}\n\n");
        event(voice, "response.content_part.added", out);
        self.address(voice, out);
        out.extend_from_slice(b",\"part\":");
        self.put_part(&|_| {}, out);
        out.extend_from_slice(b"}\n\n");
    }

    /// With the tokens of its whole text, which ends before `end`.
    fn close(&self, voice: &mut Voice, choice: &Choice<'_>, end: u32, out: &mut Vec<u8>) {
        let words = |out: &mut Vec<u8>| choice.put_words(self.range(choice, end), out);
        event(voice, if self.is_reasoning { "response.reasoning_text.done" } else { "response.output_text.done" }, out);
        self.address(voice, out);
        out.extend_from_slice(b",\"text\":\"");
        words(out);
        out.extend_from_slice(b"\"}\n\n");
        event(voice, "response.content_part.done", out);
        self.address(voice, out);
        out.extend_from_slice(b",\"part\":");
        self.put_part(&words, out);
        out.extend_from_slice(b"}\n\n");
        event(voice, "response.output_item.done", out);
        put_number(out, ",\"output_index\":", self.number);
        out.extend_from_slice(b",\"item\":");
        self.put(voice, "completed", Some(&words), out);
        out.extend_from_slice(b"}\n\n");
    }

    /// Its tokens of an answer of `end` tokens.
    fn range(&self, choice: &Choice<'_>, end: u32) -> Range<u32> {
        let border = choice.reasoning.min(end);
        if self.is_reasoning { 0..border } else { border..end }
    }

    fn put(&self, voice: &Voice, status: &str, words: Option<Words<'_>>, out: &mut Vec<u8>) {
        let id = &voice.id;
        if self.is_reasoning {
            put(
                out,
                format_args!("{{\"id\":\"rs_{id}\",\"type\":\"reasoning\",\"status\":\"{status}\",\"summary\":[],"),
            );
        } else {
            put(
                out,
                format_args!(
                    "{{\"id\":\"msg_{id}\",\"type\":\"message\",\"status\":\"{status}\",\"role\":\"assistant\","
                ),
            );
        }
        out.extend_from_slice(b"\"content\":[");
        if let Some(words) = words {
            self.put_part(words, out);
        }
        out.extend_from_slice(b"]}");
    }

    fn put_part(&self, words: &dyn Fn(&mut Vec<u8>), out: &mut Vec<u8>) {
        out.extend_from_slice(if self.is_reasoning {
            b"{\"type\":\"reasoning_text\",\"text\":\""
        } else {
            b"{\"type\":\"output_text\",\"text\":\""
        });
        words(out);
        out.extend_from_slice(if self.is_reasoning { b"\"}" } else { b"\",\"annotations\":[]}" });
    }
}

/// A response object, its end left to the caller; `produced`: the tokens of an answer that is complete.
fn put_response(voice: &Voice, produced: Option<u32>, usage: Option<&Tokens>, choice: &Choice<'_>, out: &mut Vec<u8>) {
    let Voice { id, model, created, .. } = voice;
    let (status, details) = match (produced, choice.ending) {
        (None, _) => ("in_progress", "null"),
        (Some(_), Ending::Stop) => ("completed", "null"),
        (Some(_), Ending::Length) => ("incomplete", "{\"reason\":\"max_output_tokens\"}"),
    };
    put(
        out,
        format_args!(
            "{{\"id\":\"resp_{id}\",\"object\":\"response\",\"created_at\":{created},\"status\":\"{status}\",\"error\":null,\
             \"incomplete_details\":{details},\"model\":{model},\"parallel_tool_calls\":true,\"tool_choice\":\"auto\",\"tools\":[],\
             \"output\":["
        ),
    );
    let produced = produced.unwrap_or(0);
    for number in 0..2 {
        // One item for each kind of text that there is.
        let item = Item { is_reasoning: number == 0, number };
        let range = item.range(choice, produced);
        if !range.is_empty() {
            if number == 1 && choice.reasoning > 0 {
                out.push(b',');
            }
            item.put(voice, "completed", Some(&|out: &mut Vec<u8>| choice.put_words(range.clone(), out)), out);
        }
    }
    out.extend_from_slice(b"],\"usage\":");
    match usage {
        None => out.extend_from_slice(b"null"),
        Some(Tokens { prompt, cached, completion, reasoning }) => put(
            out,
            format_args!(
                "{{\"input_tokens\":{prompt},\"input_tokens_details\":{{\"cached_tokens\":{cached}}},\"output_tokens\":{completion},\
                 \"output_tokens_details\":{{\"reasoning_tokens\":{reasoning}}},\"total_tokens\":{}}}",
                prompt + completion
            ),
        ),
    }
}
