//! OpenAI's chat completions, with the fields that vLLM adds.

use std::ops::Range;

use serde_json::{Map, Value};

use super::{Api, Dialect};
use crate::ask::{BodyError, Settings};
use crate::chunk::{Chunk, Piece};
use crate::openai::{self, Body, put_usage};
use crate::request::{BadBody, Wanted, chat};
use crate::write::{Choice, Ending, Tokens, Voice, end_object, put, put_number};

/// `/v1/chat/completions`: messages.
pub const API: Api = Api(&OpenAiChat);

struct OpenAiChat;

impl Dialect for OpenAiChat {
    fn name(&self) -> &'static str {
        "openai-chat"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["vllm-chat", "sglang-oai-chat"]
    }

    fn paths(&self) -> &'static [&'static str] {
        &["/v1/chat/completions"]
    }

    fn takes_messages(&self) -> bool {
        true
    }

    fn chat(&self, request: &Map<String, Value>, settings: &Settings) -> Result<Map<String, Value>, BodyError> {
        let mut body = request.clone();
        // How a data set wanted to be answered is not what is measured, and its model is not this server's.
        for name in ["model", "stream", "stream_options", "n", "temperature", "max_completion_tokens"] {
            body.remove(name);
        }
        openai::settle(settings, &mut body);
        Ok(body)
    }

    fn read<'a>(&self, json: &'a [u8], each: &mut dyn FnMut(&Piece<'a>)) -> Option<Chunk<'a>> {
        openai::read(json, each)
    }

    fn parse(&self, body: &[u8]) -> Result<Wanted, BadBody> {
        let mut body: Body = serde_json::from_slice(body)?;
        let prompts = vec![chat(body.messages.take(), body.tools.take())?];
        Ok(body.wanted(prompts))
    }

    fn prefix(&self, voice: &Voice) -> Vec<u8> {
        let Voice { id, created, model, .. } = voice;
        format!(
            "data: {{\"id\":\"chatcmpl-{id}\",\"object\":\"chat.completion.chunk\",\"created\":{created},\"model\":{model},\"choices\":["
        )
        .into_bytes()
    }

    fn begin(&self, voice: &mut Voice, choice: &Choice<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&voice.prefix);
        put_number(out, "{\"index\":", choice.index);
        out.extend_from_slice(b",\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,");
        out.extend_from_slice(b"\"finish_reason\":null}]}\n\n");
    }

    fn content(
        &self,
        voice: &mut Voice,
        choice: &Choice<'_>,
        range: Range<u32>,
        ending: Option<Ending>,
        usage: Option<&Tokens>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(&voice.prefix);
        put_number(out, "{\"index\":", choice.index);
        out.extend_from_slice(b",\"delta\":{");
        let border = choice.border(&range);
        if border > range.start {
            out.extend_from_slice(b"\"reasoning_content\":\"");
            choice.put_words(range.start..border, out);
            out.push(b'"');
        }
        if border < range.end || range.is_empty() {
            out.extend_from_slice(if border > range.start { b",\"content\":\"" } else { b"\"content\":\"" });
            choice.put_words(border..range.end, out);
            out.push(b'"');
        }
        out.extend_from_slice(b"},\"logprobs\":null,\"finish_reason\":");
        openai::put_finish(ending, out);
        out.extend_from_slice(b"}]");
        openai::put_usage_member(usage, out);
    }

    fn usage(&self, voice: &mut Voice, usage: &Tokens, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(&voice.prefix);
        out.extend_from_slice(b"],\"usage\":");
        put_usage(usage, out);
        true
    }

    fn whole(
        &self,
        voice: &mut Voice,
        choices: &[Choice<'_>],
        usage: Option<&Tokens>,
        out: &mut Vec<u8>,
        stamps: &mut Vec<usize>,
    ) {
        let Voice { id, created, model, .. } = voice;
        put(
            out,
            format_args!(
                "{{\"id\":\"chatcmpl-{id}\",\"object\":\"chat.completion\",\"created\":{created},\"model\":{model},\"choices\":["
            ),
        );
        for (place, choice) in choices.iter().enumerate() {
            put_number(out, if place > 0 { ",{\"index\":" } else { "{\"index\":" }, choice.index);
            out.extend_from_slice(b",\"message\":{\"role\":\"assistant\",\"content\":\"");
            let border = choice.reasoning.min(choice.produced);
            choice.put_words(border..choice.produced, out);
            out.push(b'"');
            if border > 0 {
                out.extend_from_slice(b",\"reasoning_content\":\"");
                choice.put_words(0..border, out);
                out.push(b'"');
            }
            out.extend_from_slice(b",\"tool_calls\":[]},\"logprobs\":null,\"finish_reason\":");
            openai::put_finish(Some(choice.ending), out);
            out.extend_from_slice(b",\"stop_reason\":null}");
        }
        out.push(b']');
        openai::put_usage_member(usage, out);
        stamps.push(end_object(0, out));
    }
}
