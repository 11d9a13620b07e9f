//! OpenAI's completions, with the fields that vLLM adds: text, or a list of token ids.

use std::ops::Range;

use serde_json::{Map, Value, json};

use super::{Api, Dialect, Upstream, most_tokens, object};
use crate::ask::{Ask, Settings};
use crate::chunk::{Chunk, Piece};
use crate::openai::{self, Body, put_usage};
use crate::request::{BadBody, Wanted, missing};
use crate::write::{Choice, Ending, Tokens, Voice, end_object, put, put_number};

/// `/v1/completions`: text or token ids.
pub const API: Api = Api(&OpenAiCompletions);

/// Members of chat that completions do not have and that change nothing in the answer.
const CHAT_ONLY: [&str; 11] = [
    "tool_choice",
    "parallel_tool_calls",
    "store",
    "metadata",
    "service_tier",
    "verbosity",
    "prompt_cache_key",
    "safety_identifier",
    "include_reasoning",
    "add_special_tokens",
    "top_logprobs",
];
/// Members that would be refused although they ask for nothing.
const OFF: [&str; 4] = ["logprobs", "echo", "continue_final_message", "chat_template"];

struct OpenAiCompletions;

impl Dialect for OpenAiCompletions {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["vllm", "sglang-oai", "openai-completions"]
    }

    fn paths(&self) -> &'static [&'static str] {
        &["/v1/completions"]
    }

    fn as_it_is(&self) -> Option<(&'static str, Value)> {
        Some(("add_special_tokens", Value::Bool(false)))
    }

    fn prompt(&self, ask: &Ask<'_>, settings: &Settings) -> Map<String, Value> {
        let mut body = match ask {
            Ask::Ids(ids) => object(json!({"prompt": ids})),
            Ask::Text(text) => object(json!({"prompt": text})),
            Ask::Messages(_) => Map::new(),
        };
        openai::settle(settings, &mut body);
        body
    }

    fn read<'a>(&self, json: &'a [u8], each: &mut dyn FnMut(&Piece<'a>)) -> Option<Chunk<'a>> {
        openai::read(json, each)
    }

    fn parse(&self, body: &[u8]) -> Result<Wanted, BadBody> {
        let mut body: Body = serde_json::from_slice(body)?;
        let prompts = body.prompt.take().ok_or_else(|| missing("prompt"))?.0;
        Ok(body.wanted(prompts))
    }

    fn prefix(&self, voice: &Voice) -> Vec<u8> {
        let Voice { id, created, model, .. } = voice;
        format!(
            "data: {{\"id\":\"cmpl-{id}\",\"object\":\"text_completion\",\"created\":{created},\"model\":{model},\"choices\":["
        )
        .into_bytes()
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
        put_choice(choice, range, ending, out);
        out.push(b']');
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
                "{{\"id\":\"cmpl-{id}\",\"object\":\"text_completion\",\"created\":{created},\"model\":{model},\"choices\":["
            ),
        );
        for (place, choice) in choices.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            put_choice(choice, 0..choice.produced, Some(choice.ending), out);
        }
        out.push(b']');
        openai::put_usage_member(usage, out);
        stamps.push(end_object(0, out));
    }

    fn upstream(&self) -> Option<Upstream> {
        let about = "OpenAI /v1/completions with a list of ids as the prompt: vLLM, and most others";
        Some(Upstream { name: "completions", about, ids: "prompt" })
    }

    fn forward(&self, mut rest: Map<String, Value>, stream: bool, _choices: u32) -> Result<Map<String, Value>, String> {
        for name in CHAT_ONLY.iter().chain(&OFF) {
            rest.remove(*name);
        }
        if !stream {
            rest.remove("stream_options");
        }
        // Null says: as many as fit. Without it this API stops after 16 tokens, and chat does not.
        let most = most_tokens(&mut rest).unwrap_or(Value::Null);
        rest.insert("max_tokens".to_owned(), most);
        rest.insert("stream".to_owned(), stream.into());
        Ok(rest)
    }
}

fn put_choice(choice: &Choice<'_>, range: Range<u32>, ending: Option<Ending>, out: &mut Vec<u8>) {
    put_number(out, "{\"index\":", choice.index);
    out.extend_from_slice(b",\"text\":\"");
    choice.put_words(range, out);
    out.extend_from_slice(b"\",\"logprobs\":null,\"finish_reason\":");
    openai::put_finish(ending, out);
    out.extend_from_slice(b",\"stop_reason\":null}");
}
