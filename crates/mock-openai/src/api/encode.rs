//! Answers as JSON, written by hand: an event of a stream is some memory copies and no allocation.
//!
//! Each event with content, and each after it, carries `"llmbench":{"written_ns":N,"index":I}`. N is filled in when the event is
//! written ([`stamp`]): room for it is left as spaces, which JSON allows before a number.

#[cfg(test)]
mod tests;

use std::io::Write;
use std::ops::Range;

use serde_json::json;

use super::Api;
use crate::tokens::{Reply, WORD_BYTES};

/// Room for a stamp: the digits of the largest u64.
const STAMP_ROOM: usize = 20;

/// Writes the time into the room that an event left at `at`.
pub fn stamp(bytes: &mut [u8], at: usize, written_ns: u64) {
    let mut rest = written_ns;
    for place in bytes[at..at + STAMP_ROOM].iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The model had said what it wanted to say.
    Stop,
    /// As many tokens as were asked for.
    Length,
}

impl Ending {
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// One answer of a request.
#[derive(Debug, Clone)]
pub struct Choice {
    pub index: u32,
    pub reply: Reply,
    pub prompt_tokens: u32,
    /// Tokens of the prompt that were found in the cache.
    pub cached: u32,
    /// The first tokens that are reasoning (chat only).
    pub reasoning: u32,
    pub output_tokens: u32,
    pub ending: Ending,
    /// Tokens that the engine gave.
    pub produced: u32,
    /// Tokens that were put into chunks.
    pub sent: u32,
    /// Text in place of words (faults).
    pub text: Option<&'static str>,
}

/// Tokens of all answers of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub prompt_tokens: u64,
    pub cached: u64,
    pub completion_tokens: u64,
    pub reasoning: u64,
}

impl Usage {
    /// Choices of one prompt count it once, as the field's servers do.
    pub fn of(choices: &[Choice], choices_a_prompt: u32) -> Self {
        let each = choices_a_prompt.max(1);
        choices.iter().fold(Self::default(), |mut all, choice| {
            if choice.index % each == 0 {
                all.prompt_tokens += u64::from(choice.prompt_tokens);
                all.cached += u64::from(choice.cached);
            }
            all.completion_tokens += u64::from(choice.produced);
            all.reasoning += u64::from(choice.reasoning.min(choice.produced));
            all
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let Self { prompt_tokens, cached, completion_tokens, reasoning } = self;
        let total = prompt_tokens + completion_tokens;
        put(
            out,
            format_args!(
                "{{\"prompt_tokens\":{prompt_tokens},\"total_tokens\":{total},\"completion_tokens\":{completion_tokens},"
            ),
        );
        put(out, format_args!("\"prompt_tokens_details\":{{\"cached_tokens\":{cached}}}"));
        if *reasoning > 0 {
            put(out, format_args!(",\"completion_tokens_details\":{{\"reasoning_tokens\":{reasoning}}}"));
        }
        out.push(b'}');
    }
}

/// The words of one answer's API: what is the same in all its events.
#[derive(Debug)]
pub struct Voice {
    pub api: Api,
    /// The request's id.
    pub id: String,
    pub model: String,
    created: u64,
    /// The beginning of each event.
    prefix: Vec<u8>,
}

impl Voice {
    /// `id` is of plain characters ([`Head::request_id`](crate::http::Head::request_id)); `created` is in s since 1970.
    pub fn new(api: Api, id: &str, model: &str, created: u64) -> Self {
        let mut prefix = b"data: ".to_vec();
        let name = json!(model);
        match api {
            Api::Chat => put(
                &mut prefix,
                format_args!(
                    "{{\"id\":\"chatcmpl-{id}\",\"object\":\"chat.completion.chunk\",\"created\":{created},\"model\":{name},\"choices\":["
                ),
            ),
            Api::Completions => put(
                &mut prefix,
                format_args!(
                    "{{\"id\":\"cmpl-{id}\",\"object\":\"text_completion\",\"created\":{created},\"model\":{name},\"choices\":["
                ),
            ),
            Api::Sglang => prefix.extend_from_slice(b"{\"text\":\""),
            Api::LlamaCpp => prefix.extend_from_slice(b"{\"index\":"),
        }
        Self { api, id: id.to_owned(), model: model.to_owned(), created, prefix }
    }

    /// Whether the end of an answer is an event of its own in any case.
    pub fn ends_apart(&self) -> bool {
        self.api == Api::LlamaCpp
    }

    /// Whether the usage is an event of its own, if it was asked for.
    pub fn has_usage_event(&self) -> bool {
        matches!(self.api, Api::Chat | Api::Completions)
    }

    /// The event before the first content of a chat; others have none.
    pub fn role(&self, choice: u32, out: &mut Vec<u8>) {
        if self.api == Api::Chat {
            out.extend_from_slice(&self.prefix);
            put(
                out,
                format_args!(
                    "{{\"index\":{choice},\"delta\":{{\"role\":\"assistant\",\"content\":\"\"}},\"logprobs\":null,"
                ),
            );
            out.extend_from_slice(b"\"finish_reason\":null}]}\n\n");
        }
    }

    /// An event with the tokens of `range`; `ends` puts the reason of the end into it, `usage` the usage. Returns where its stamp goes.
    pub fn content(
        &self,
        choice: &Choice,
        range: Range<u32>,
        ends: bool,
        usage: Option<&Usage>,
        index: u32,
        out: &mut Vec<u8>,
    ) -> usize {
        out.extend_from_slice(&self.prefix);
        let ending = ends.then_some(choice.ending);
        match self.api {
            Api::Chat => {
                put_number(out, "{\"index\":", choice.index);
                out.extend_from_slice(b",\"delta\":{");
                let border = choice.reasoning.clamp(range.start, range.end);
                if border > range.start {
                    out.extend_from_slice(b"\"reasoning_content\":\"");
                    choice.words(range.start..border, out);
                    out.push(b'"');
                }
                if border < range.end || range.is_empty() {
                    out.extend_from_slice(if border > range.start { b",\"content\":\"" } else { b"\"content\":\"" });
                    choice.words(border..range.end, out);
                    out.push(b'"');
                }
                out.extend_from_slice(b"},\"logprobs\":null,\"finish_reason\":");
                finish_reason(ending, out);
                out.extend_from_slice(b"}]");
            }
            Api::Completions => {
                put_number(out, "{\"index\":", choice.index);
                out.extend_from_slice(b",\"text\":\"");
                choice.words(range, out);
                out.extend_from_slice(b"\",\"logprobs\":null,\"finish_reason\":");
                finish_reason(ending, out);
                out.extend_from_slice(b",\"stop_reason\":null}]");
            }
            Api::Sglang => {
                // SGLang repeats the text from its beginning in every event.
                choice.words(0..range.end, out);
                out.extend_from_slice(b"\",");
                self.meta_info(choice, range.end, ending, out);
            }
            Api::LlamaCpp => {
                put_number(out, "", choice.index);
                out.extend_from_slice(b",\"content\":\"");
                choice.words(range.clone(), out);
                out.extend_from_slice(b"\",\"tokens\":[");
                choice.ids(range.clone(), out);
                put_number(out, "],\"stop\":false,\"id_slot\":0,\"tokens_predicted\":", range.end);
                put_number(out, ",\"tokens_evaluated\":", choice.prompt_tokens);
            }
        }
        if let Some(usage) = usage {
            out.extend_from_slice(b",\"usage\":");
            usage.write(out);
        }
        end_event(index, out)
    }

    /// The end of an answer as an event without content. Returns where its stamp goes.
    pub fn ending(&self, choice: &Choice, index: u32, out: &mut Vec<u8>) -> usize {
        if self.api != Api::LlamaCpp {
            return self.content(choice, choice.sent..choice.sent, true, None, index, out);
        }
        out.extend_from_slice(&self.prefix);
        put_number(out, "", choice.index);
        out.extend_from_slice(b",\"content\":\"\",\"tokens\":[],\"stop\":true,");
        self.llama_end(choice, out);
        end_event(index, out)
    }

    /// The usage as an event without choices. Returns where its stamp goes.
    pub fn usage(&self, usage: &Usage, index: u32, out: &mut Vec<u8>) -> usize {
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(b"],\"usage\":");
        usage.write(out);
        end_event(index, out)
    }

    /// The end of the stream.
    pub fn done(&self, out: &mut Vec<u8>) {
        if self.api != Api::LlamaCpp {
            out.extend_from_slice(b"data: [DONE]\n\n");
        }
    }

    /// The whole answer as one JSON document. Appends where its stamps go: one, but one for each answer of a list.
    pub fn whole(&self, choices: &[Choice], usage: Option<&Usage>, out: &mut Vec<u8>, stamps: &mut Vec<usize>) {
        let Self { id, created, .. } = self;
        let model = json!(self.model);
        let is_list = choices.len() > 1 && !matches!(self.api, Api::Chat | Api::Completions);
        match self.api {
            Api::Chat => put(
                out,
                format_args!(
                    "{{\"id\":\"chatcmpl-{id}\",\"object\":\"chat.completion\",\"created\":{created},\"model\":{model},\"choices\":["
                ),
            ),
            Api::Completions => put(
                out,
                format_args!(
                    "{{\"id\":\"cmpl-{id}\",\"object\":\"text_completion\",\"created\":{created},\"model\":{model},\"choices\":["
                ),
            ),
            _ if is_list => out.push(b'['),
            _ => {}
        }
        for (place, choice) in choices.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            stamps.extend(self.whole_choice(choice, out));
        }
        match self.api {
            Api::Chat | Api::Completions => {
                out.push(b']');
                if let Some(usage) = usage {
                    out.extend_from_slice(b",\"usage\":");
                    usage.write(out);
                }
                stamps.push(end_object(0, out));
            }
            _ if is_list => out.push(b']'),
            _ => {}
        }
    }

    /// Returns where the stamp goes, where each answer has its own.
    fn whole_choice(&self, choice: &Choice, out: &mut Vec<u8>) -> Option<usize> {
        let all = 0..choice.produced;
        match self.api {
            Api::Chat => {
                put_number(out, "{\"index\":", choice.index);
                out.extend_from_slice(b",\"message\":{\"role\":\"assistant\",\"content\":\"");
                let border = choice.reasoning.min(choice.produced);
                choice.words(border..choice.produced, out);
                out.push(b'"');
                if border > 0 {
                    out.extend_from_slice(b",\"reasoning_content\":\"");
                    choice.words(0..border, out);
                    out.push(b'"');
                }
                out.extend_from_slice(b",\"tool_calls\":[]},\"logprobs\":null,\"finish_reason\":");
                finish_reason(Some(choice.ending), out);
                out.extend_from_slice(b",\"stop_reason\":null}");
                None
            }
            Api::Completions => {
                put_number(out, "{\"index\":", choice.index);
                out.extend_from_slice(b",\"text\":\"");
                choice.words(all, out);
                out.extend_from_slice(b"\",\"logprobs\":null,\"finish_reason\":");
                finish_reason(Some(choice.ending), out);
                out.extend_from_slice(b",\"stop_reason\":null}");
                None
            }
            Api::Sglang => {
                out.extend_from_slice(b"{\"text\":\"");
                choice.words(all.clone(), out);
                out.extend_from_slice(b"\",\"output_ids\":[");
                choice.ids(all, out);
                out.extend_from_slice(b"],");
                self.meta_info(choice, choice.produced, Some(choice.ending), out);
                Some(end_object(0, out))
            }
            Api::LlamaCpp => {
                put_number(out, "{\"index\":", choice.index);
                out.extend_from_slice(b",\"content\":\"");
                choice.words(all.clone(), out);
                out.extend_from_slice(b"\",\"tokens\":[");
                choice.ids(all, out);
                out.extend_from_slice(b"],\"stop\":true,");
                self.llama_end(choice, out);
                Some(end_object(0, out))
            }
        }
    }

    /// What SGLang says beside the text; of a stream without the ids.
    fn meta_info(&self, choice: &Choice, completion: u32, ending: Option<Ending>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"meta_info\":{\"id\":\"");
        out.extend_from_slice(self.id.as_bytes());
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

    /// What llama.cpp says at the end.
    fn llama_end(&self, choice: &Choice, out: &mut Vec<u8>) {
        let stop = match choice.ending {
            Ending::Stop => "eos",
            Ending::Length => "limit",
        };
        let (prompt, cached, predicted) = (choice.prompt_tokens, choice.cached, choice.produced);
        put(out, format_args!("\"id_slot\":0,\"model\":{},\"tokens_predicted\":{predicted},", json!(self.model)));
        put(
            out,
            format_args!("\"tokens_evaluated\":{prompt},\"tokens_cached\":{},\"truncated\":false,", prompt + predicted),
        );
        put(out, format_args!("\"stop_type\":\"{stop}\",\"stopping_word\":\"\","));
        put(
            out,
            format_args!(
                "\"timings\":{{\"cache_n\":{cached},\"prompt_n\":{},\"predicted_n\":{predicted}}}",
                prompt - cached
            ),
        );
    }
}

impl Choice {
    fn words(&self, range: Range<u32>, out: &mut Vec<u8>) {
        out.reserve(range.len() * WORD_BYTES);
        for index in range {
            match self.text {
                None => out.extend_from_slice(self.reply.word(index).as_bytes()),
                Some(text) => out.extend_from_slice(text.as_bytes()),
            }
        }
    }

    fn ids(&self, range: Range<u32>, out: &mut Vec<u8>) {
        let first = range.start;
        for index in range {
            put_number(out, if index == first { "" } else { "," }, self.reply.token(index));
        }
    }
}

fn finish_reason(ending: Option<Ending>, out: &mut Vec<u8>) {
    match ending {
        None => out.extend_from_slice(b"null"),
        Some(ending) => {
            out.push(b'"');
            out.extend_from_slice(ending.name().as_bytes());
            out.push(b'"');
        }
    }
}

/// The stamp's room, and the end of the object.
fn end_object(index: u32, out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(b",\"llmbench\":{\"written_ns\":");
    let at = out.len();
    out.extend_from_slice(&[b' '; STAMP_ROOM]);
    put_number(out, ",\"index\":", index);
    out.extend_from_slice(b"}}");
    at
}

fn end_event(index: u32, out: &mut Vec<u8>) -> usize {
    let at = end_object(index, out);
    out.extend_from_slice(b"\n\n");
    at
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector does not fail.
    let _ = out.write_fmt(text);
}

/// A number without the machinery of `write!`.
fn put_number(out: &mut Vec<u8>, before: &str, number: u32) {
    out.extend_from_slice(before.as_bytes());
    let mut digits = [0; 10];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
