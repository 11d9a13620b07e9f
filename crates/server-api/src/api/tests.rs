//! What the APIs' readers make of bytes as the services write them, and names.

use proptest::prelude::*;

use super::*;
use crate::chunk::{Fault, Finish, Usage, Written};
use crate::json::Raw;

fn text(raw: Option<Raw<'_>>) -> Option<String> {
    raw.map(Raw::decode)
}

fn of(api: Api, json: &str) -> Chunk<'_> {
    api.read(json.as_bytes()).unwrap_or_else(|| panic!("{json}"))
}

fn parse(json: &str) -> Chunk<'_> {
    of(OPENAI_CHAT, json)
}

fn finish(chunk: &Chunk<'_>) -> Option<Finish> {
    chunk.piece.ended.map(|ended| ended.finish)
}

fn message(chunk: &Chunk<'_>) -> Option<String> {
    text(chunk.fault.map(|fault| fault.message))
}

/// A stream as it is on the wire, event by event: text, reasoning, calls of tools, usage, the end, the error.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    text: String,
    reasoning: String,
    calls: usize,
    events: usize,
    usage: Usage,
    finish: Option<Finish>,
    done: bool,
    error: Option<String>,
}

fn hear(api: Api, stream: &str) -> Heard {
    let mut heard = Heard::default();
    for event in stream.split_terminator("\n\n") {
        let data: Vec<&str> = event.lines().filter_map(|line| line.strip_prefix("data:")).collect();
        let data = data.join("\n");
        let chunk = of(api, data.trim());
        heard.text += &text(chunk.piece.content).unwrap_or_default();
        heard.reasoning += &text(chunk.piece.reasoning).unwrap_or_default();
        heard.calls += usize::from(chunk.piece.tool_call);
        heard.events += usize::from(chunk.piece.has_content());
        heard.usage.update(chunk.usage);
        heard.finish = finish(&chunk).or(heard.finish);
        heard.done |= chunk.done;
        heard.error = message(&chunk).or(heard.error);
    }
    heard
}

#[test]
fn names_come_back_and_others_are_known() {
    for api in Api::ALL {
        assert_eq!(api.name().parse(), Ok(api));
        assert_eq!(serde_json::to_value(api).unwrap(), json!(api.name()));
        assert_eq!(serde_json::from_value::<Api>(json!(api.name())).unwrap(), api);
        let first = Api::at(api.path()).unwrap();
        assert_eq!(first.path(), api.path());
    }
    let mut names: Vec<&str> =
        Api::ALL.iter().flat_map(|api| api.0.aliases().iter().copied().chain([api.name()])).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "a name of two");
    assert_eq!("vllm".parse(), Ok(OPENAI_COMPLETIONS));
    assert_eq!("anthropic-messages".parse(), Ok(ANTHROPIC_MESSAGES));
    let said = "tgi".parse::<Api>().unwrap_err();
    assert!(said.contains("openai-chat, openai, openai-responses, anthropic, sglang"), "{said}");
    assert_eq!(Api::parse_upstream("completions"), Ok(OPENAI_COMPLETIONS));
    let said = Api::parse_upstream("anthropic").unwrap_err();
    assert!(said.contains("completions, sglang, sglang-incremental, llama.cpp"), "{said}");
}

#[test]
fn keys_go_in_the_fields_that_servers_look_at() {
    assert_eq!(OPENAI_CHAT.headers(Some("k")), [("authorization", "Bearer k".to_owned())]);
    assert_eq!(OPENAI_CHAT.headers(None), []);
    let fields = ANTHROPIC_MESSAGES.headers(Some("k"));
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["anthropic-version", "x-api-key", "authorization"]);
    for api in Api::ALL {
        let fields = api.headers(Some("k"));
        let find = |name: &str| fields.iter().find(|(of, _)| *of == name).map(|(_, value)| value.as_str());
        assert_eq!(api.key(&find), Some("k"), "{api:?}");
    }
}

#[test]
fn chat_of_openai_and_vllm() {
    let role =
        parse(r#"{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#);
    assert!(!role.piece.has_content() && role.piece.ended.is_none());
    let null = parse(r#"{"choices":[{"delta":{"role":"assistant","content":null}}]}"#);
    assert!(!null.piece.has_content());
    let last = parse(r#"{"choices":[{"delta":{"content":"a\"b"},"finish_reason":"length"}],"usage":null}"#);
    assert_eq!((text(last.piece.content), finish(&last)), (Some("a\"b".into()), Some(Finish::Length)));
    let usage = parse(
        r#"{"choices":[],"usage":{"prompt_tokens":7,"total_tokens":9,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":1}}}"#,
    );
    assert_eq!(usage.usage, Usage { prompt: Some(7), completion: Some(2), cached: Some(4), reasoning: Some(1) });
}

#[test]
fn reasoning_tools_and_usage_in_a_choice() {
    for name in ["reasoning", "reasoning_content"] {
        let json = format!(r#"{{"choices":[{{"delta":{{"{name}":"hm","content":null}}}}]}}"#);
        let chunk = parse(&json);
        assert_eq!((text(chunk.piece.reasoning), chunk.piece.content), (Some("hm".into()), None));
    }
    let tool = parse(r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}"#);
    assert!(tool.piece.has_content() && tool.piece.content.is_none());
    assert!(!parse(r#"{"choices":[{"delta":{"tool_calls":[]}}]}"#).piece.has_content());
    let choice = parse(r#"{"choices":[{"delta":{},"finish_reason":"stop","usage":{"completion_tokens":3}}]}"#);
    assert_eq!(choice.usage.completion, Some(3));
}

#[test]
fn whole_answers() {
    let whole = parse(
        r#"{"choices":[{"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"completion_tokens":1}}"#,
    );
    assert_eq!((text(whole.piece.content), whole.usage.completion), (Some("hi".into()), Some(1)));
    let text_of = parse(r#"{"choices":[{"index":0,"text":" there","logprobs":null,"finish_reason":null}]}"#);
    assert_eq!(text(text_of.piece.content), Some(" there".into()));
}

#[test]
fn sglang_and_llama() {
    let sglang = of(
        SGLANG,
        r#"{"text":"a b","output_ids":[1,2],"meta_info":{"id":"x","finish_reason":{"type":"length","length":2},"prompt_tokens":5,"completion_tokens":2,"cached_tokens":1}}"#,
    );
    assert_eq!((text(sglang.piece.cumulative), finish(&sglang)), (Some("a b".into()), Some(Finish::Length)));
    assert_eq!((sglang.usage.prompt, sglang.usage.cached), (Some(5), Some(1)));
    assert!(!sglang.piece.has_content(), "whether text is new is told by what came before");
    let new = of(SGLANG_INCREMENTAL, r#"{"text":" b","meta_info":{"finish_reason":null,"completion_tokens":2}}"#);
    assert_eq!((text(new.piece.content), new.piece.cumulative), (Some(" b".into()), None));
    let abort = of(SGLANG, r#"{"text":"a","meta_info":{"finish_reason":{"type":"abort","message":"full"}}}"#);
    assert_eq!((finish(&abort), message(&abort)), (Some(Finish::Abort), Some("full".into())));
    let list = of(SGLANG, r#"[{"text":"a","meta_info":{"prompt_tokens":9}}]"#);
    assert_eq!((text(list.piece.cumulative), list.usage.prompt), (Some("a".into()), Some(9)));
}

/// As llama-server writes them: b6000 and after, and before `cache_n`.
#[test]
fn llama_cpp_tells_what_its_cache_had() {
    let llama = of(
        LLAMA_CPP,
        r#"{"index":0,"content":" x","tokens":[4],"stop":false,"id_slot":-1,"tokens_predicted":3,"tokens_evaluated":9}"#,
    );
    assert_eq!((text(llama.piece.content), finish(&llama), llama.usage.prompt), (Some(" x".into()), None, Some(9)));
    assert_eq!(llama.usage.cached, None, "nothing says it yet");
    let end = of(
        LLAMA_CPP,
        r#"{"index":0,"content":"","tokens":[],"id_slot":0,"stop":true,"model":"m.gguf","tokens_predicted":4,"tokens_evaluated":1000,"generation_settings":{"stop":[]},"prompt":"p","has_new_line":false,"truncated":false,"stop_type":"limit","stopping_word":"","tokens_cached":1003,"timings":{"cache_n":936,"prompt_n":64,"prompt_ms":12.5,"predicted_n":4,"predicted_ms":1.5}}"#,
    );
    assert_eq!((end.piece.content, finish(&end)), (None, Some(Finish::Length)));
    let usage = Usage { prompt: Some(1000), completion: Some(4), cached: Some(936), reasoning: None };
    assert_eq!(end.usage, usage, "`tokens_cached` is what the cache holds now");
    let old = of(
        LLAMA_CPP,
        r#"{"content":"","stop":true,"tokens_predicted":4,"tokens_evaluated":1000,"tokens_cached":1003,"stopped_limit":true,"stopped_eos":false,"timings":{"prompt_n":64,"predicted_n":4}}"#,
    );
    assert_eq!((old.usage.cached, finish(&old)), (Some(936), Some(Finish::Length)));
    for word in ["eos", "word"] {
        let json = format!(r#"{{"content":"","stop":true,"stop_type":"{word}"}}"#);
        assert_eq!(finish(&of(LLAMA_CPP, &json)), Some(Finish::Stop));
    }
    assert_eq!(finish(&of(LLAMA_CPP, r#"{"content":"a","stop":false,"stop_type":"none"}"#)), None);
}

/// Anthropic's own service: `ping`, `input_tokens` without those of the cache, a first count that is none.
#[test]
fn messages_of_anthropic() {
    let stream = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_01\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"c\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":25,\"cache_creation_input_tokens\":100,\"cache_read_input_tokens\":2000,\"output_tokens\":1,\"service_tier\":\"standard\"}} }\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n",
        "event: ping\ndata: {\"type\": \"ping\"}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"Let me\"}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"EqQB\"}}\n\n",
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hel\\u006co\"}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"!\"}}\n\n",
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"get\",\"input\":{}}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\"}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\"\"}}\n\n",
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":2}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":89}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );
    let usage = Usage { prompt: Some(2125), completion: Some(89), cached: Some(2000), reasoning: None };
    let want = Heard {
        text: "Hello!".into(),
        reasoning: "Let me".into(),
        calls: 2,
        events: 5,
        usage,
        finish: Some(Finish::ToolCalls),
        done: true,
        error: None,
    };
    assert_eq!(hear(ANTHROPIC_MESSAGES, stream), want);
    let overloaded = "event: error\ndata: {\"type\": \"error\", \"error\": {\"type\": \"overloaded_error\", \"message\": \"Overloaded\"}}\n\n";
    assert_eq!(hear(ANTHROPIC_MESSAGES, overloaded).error.as_deref(), Some("Overloaded"));
    let whole = of(
        ANTHROPIC_MESSAGES,
        r#"{"id":"msg_1","type":"message","role":"assistant","model":"c","content":[{"type":"thinking","thinking":"hm","signature":"x"},{"type":"text","text":"hi"}],"stop_reason":"max_tokens","stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":3}}"#,
    );
    assert_eq!((text(whole.piece.content), text(whole.piece.reasoning)), (Some("hi".into()), Some("hm".into())));
    assert_eq!((finish(&whole), whole.usage.prompt, whole.usage.completion), (Some(Finish::Length), Some(10), Some(3)));
}

/// vLLM counts no tokens in its first event, and ends with `[DONE]` as well; llama.cpp puts the cached tokens first.
#[test]
fn messages_of_vllm_and_llama_cpp() {
    let vllm = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"chatcmpl-1\",\"content\":[],\"model\":\"m\",\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":0,\"output_tokens\":0}}}\n\n",
        "event: content_block_delta\ndata: {\"index\":0,\"delta\":{\"text\":\"a\",\"type\":\"text_delta\"},\"type\":\"content_block_delta\"}\n\n",
        "event: message_delta\ndata: {\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"input_tokens\":7,\"output_tokens\":2},\"type\":\"message_delta\"}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\ndata: [DONE]\n\n",
    );
    let heard = hear(ANTHROPIC_MESSAGES, vllm);
    assert_eq!((heard.text.as_str(), heard.finish, heard.done), ("a", Some(Finish::Stop), true));
    assert_eq!(heard.usage, Usage { prompt: Some(7), completion: Some(2), ..Usage::default() });
    let llama = r#"data: {"type":"message_start","message":{"usage":{"cache_read_input_tokens":6,"input_tokens":4,"output_tokens":0}}}"#;
    let heard = hear(ANTHROPIC_MESSAGES, llama);
    assert_eq!((heard.usage.prompt, heard.usage.cached, heard.usage.completion), (Some(10), Some(6), None));
}

/// OpenAI's own service, and vLLM, which writes `type` last.
#[test]
fn responses_of_openai_and_vllm() {
    let stream = concat!(
        "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"created_at\":1,\"status\":\"in_progress\",\"error\":null,\"incomplete_details\":null,\"output\":[],\"usage\":null}}\n\n",
        "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":2,\"output_index\":0,\"item\":{\"id\":\"rs_1\",\"type\":\"reasoning\",\"summary\":[]}}\n\n",
        "event: response.reasoning_summary_text.delta\ndata: {\"type\":\"response.reasoning_summary_text.delta\",\"sequence_number\":3,\"item_id\":\"rs_1\",\"output_index\":0,\"summary_index\":0,\"delta\":\"hm\"}\n\n",
        "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":4,\"output_index\":1,\"item\":{\"id\":\"msg_1\",\"type\":\"message\",\"status\":\"in_progress\",\"content\":[],\"role\":\"assistant\"}}\n\n",
        "event: response.content_part.added\ndata: {\"type\":\"response.content_part.added\",\"part\":{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"\"}}\n\n",
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":6,\"item_id\":\"msg_1\",\"output_index\":1,\"content_index\":0,\"delta\":\"Hi\",\"logprobs\":[],\"obfuscation\":\"x8\"}\n\n",
        "event: response.output_text.delta\ndata: {\"content_index\":0,\"delta\":\" there\",\"item_id\":\"msg_1\",\"logprobs\":[],\"output_index\":1,\"sequence_number\":7,\"type\":\"response.output_text.delta\"}\n\n",
        "event: response.output_text.done\ndata: {\"type\":\"response.output_text.done\",\"item_id\":\"msg_1\",\"text\":\"Hi there\"}\n\n",
        "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"output_index\":2,\"item\":{\"type\":\"function_call\",\"name\":\"f\",\"arguments\":\"\"}}\n\n",
        "event: response.function_call_arguments.delta\ndata: {\"type\":\"response.function_call_arguments.delta\",\"delta\":\"{}\"}\n\n",
        "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":12,\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"completed\",\"error\":null,\"incomplete_details\":null,\"output\":[{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"Hi there\"}]}],\"usage\":{\"input_tokens\":36,\"input_tokens_details\":{\"cached_tokens\":32},\"output_tokens\":87,\"output_tokens_details\":{\"reasoning_tokens\":5},\"total_tokens\":123}}}\n\n",
    );
    let want = Heard {
        text: "Hi there".into(),
        reasoning: "hm".into(),
        calls: 2,
        events: 5,
        usage: Usage { prompt: Some(36), completion: Some(87), cached: Some(32), reasoning: Some(5) },
        finish: Some(Finish::Stop),
        done: true,
        error: None,
    };
    assert_eq!(hear(OPENAI_RESPONSES, stream), want);
    let cut = of(
        OPENAI_RESPONSES,
        r#"{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"usage":{"output_tokens":8}}}"#,
    );
    assert_eq!((finish(&cut), cut.usage.completion, cut.done), (Some(Finish::Length), Some(8), true));
    let failed = of(
        OPENAI_RESPONSES,
        r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"The model failed."},"usage":null}}"#,
    );
    assert_eq!((message(&failed).as_deref(), finish(&failed)), (Some("The model failed."), Some(Finish::Abort)));
    let error = of(
        OPENAI_RESPONSES,
        r#"{"type":"error","sequence_number":3,"code":"ERR","message":"Something went wrong","param":null}"#,
    );
    assert_eq!(message(&error).as_deref(), Some("Something went wrong"));
    let whole = of(
        OPENAI_RESPONSES,
        r#"{"id":"resp_1","object":"response","status":"completed","error":null,"output":[{"type":"reasoning","summary":[{"type":"summary_text","text":"so"}]},{"id":"m","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","annotations":[],"text":"hi"}]}],"usage":{"input_tokens":3,"output_tokens":1}}"#,
    );
    assert_eq!((text(whole.piece.content), text(whole.piece.reasoning)), (Some("hi".into()), Some("so".into())));
    assert_eq!((finish(&whole), whole.usage.prompt), (Some(Finish::Stop), Some(3)));
}

/// A conversation with tools, as each API has it and back again: a server reads the same messages.
#[test]
fn a_conversation_comes_through_every_api_of_messages() {
    let request = json!({
        "messages": [
            {"role": "system", "content": "be short"},
            {"role": "user", "content": "weather?"},
            {"role": "assistant", "content": "let me see", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get", "arguments": "{\"at\":1}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "rain"},
            {"role": "assistant", "content": "rain"},
            {"role": "user", "content": "and now?"}
        ],
        "tools": [{"type": "function", "function": {"name": "get", "description": "gets", "parameters": {"type": "object"}}}],
        "max_tokens": 99
    });
    let settings = Settings { model: Some("m".into()), max_tokens: Some(5), ignore_eos: true, ..Settings::default() };
    let wanted = |api: Api| api.parse(&api.body(&Ask::Messages(&request), &settings).unwrap()).unwrap();
    let chat = wanted(OPENAI_CHAT);
    for api in [ANTHROPIC_MESSAGES, OPENAI_RESPONSES] {
        assert_eq!(wanted(api), chat, "{api:?}");
        let text = api.body(&Ask::Text("a"), &settings).unwrap_err().to_string();
        assert!(text.contains("takes no text"), "{text}");
    }
    // The data set's own limit where no other is set, and a sentence where there is none at all.
    let own = Settings { max_tokens: None, ..settings.clone() };
    let body: Value =
        serde_json::from_slice(&ANTHROPIC_MESSAGES.body(&Ask::Messages(&request), &own).unwrap()).unwrap();
    assert_eq!((&body["max_tokens"], &body["system"]), (&json!(99), &json!("be short")));
    let bare = json!({"messages": [{"role": "user", "content": "a"}]});
    let said = ANTHROPIC_MESSAGES.body(&Ask::Messages(&bare), &own).unwrap_err().to_string();
    assert!(said.contains("needs a number of output tokens"), "{said}");
    let odd = json!({"messages": [{"role": "user", "content": [{"type": "video"}]}], "max_tokens": 1});
    for api in [ANTHROPIC_MESSAGES, OPENAI_RESPONSES] {
        let said = api.body(&Ask::Messages(&odd), &settings).unwrap_err().to_string();
        assert!(said.contains("message 0") && said.contains("video"), "{said}");
    }
}

#[test]
fn parts_become_the_parts_of_each_api() {
    let parts = json!([{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]);
    let request = json!({"messages": [{"role": "user", "content": parts}], "max_tokens": 1});
    let body = |api: Api| -> Value {
        serde_json::from_slice(&api.body(&Ask::Messages(&request), &Settings::default()).unwrap()).unwrap()
    };
    let anthropic = &body(ANTHROPIC_MESSAGES)["messages"][0]["content"];
    assert_eq!(anthropic[1]["source"], json!({"type": "base64", "media_type": "image/png", "data": "AA=="}));
    let responses = &body(OPENAI_RESPONSES)["input"][0]["content"];
    assert_eq!((&responses[0]["type"], &responses[1]["type"]), (&json!("input_text"), &json!("input_image")));
    let read = |api: Api| api.parse(body(api).to_string().as_bytes()).unwrap().prompts;
    assert_eq!(read(ANTHROPIC_MESSAGES), read(OPENAI_RESPONSES));
}

#[test]
fn errors_in_all_dresses() {
    for (json, message) in [
        (r#"{"error":{"message":"no room","type":"x","code":500}}"#, "no room"),
        (r#"{"error":"broken"}"#, "broken"),
        (r#"{"object":"error","message":"bad","code":40001}"#, "bad"),
        (r#"{"detail":"Not Found"}"#, "Not Found"),
        (r#"{"error":{"code":1}}"#, ""),
    ] {
        for api in Api::ALL {
            assert_eq!(self::message(&of(api, json)).as_deref(), Some(message), "{api:?} {json}");
        }
    }
    assert_eq!(parse(r#"{"error":null,"choices":[]}"#).fault, None);
    assert_eq!(parse(r#"{"message":"no error by itself"}"#).fault, None);
    let whole = parse(r#"{"error":{"message":"m","code":5}}"#).fault;
    assert_eq!(whole, Some(Fault { message: Raw(b"m"), json: Some(br#"{"message":"m","code":5}"#) }));
}

#[test]
fn the_stamp_of_the_mock() {
    let chunk = parse(r#"{"choices":[{"delta":{"content":"x"}}],"llmbench":{"written_ns":123456789012345,"index":7}}"#);
    assert_eq!(chunk.written, Some(Written { at_ns: 123_456_789_012_345, index: 7 }));
    assert_eq!(parse(r#"{"llmbench":{"index":7}}"#).written, None);
}

#[test]
fn what_is_no_object_is_none() {
    for bad in ["", "[]", "[DONE", "{", "{\"choices\":[{\"delta\":{\"content\":\"x\"}}]", "{} x", "null"] {
        for api in Api::ALL {
            assert_eq!(api.read(bad.as_bytes()), None, "{api:?} {bad}");
        }
    }
}

proptest! {
    /// No bytes make a reader panic, and what is cut is none.
    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..120), cut in 0_usize..400) {
        let events = [
            r#"{"choices":[{"delta":{"content":"äx","tool_calls":[1]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1},"llmbench":{"written_ns":1}}"#,
            r#"{"type":"message_start","message":{"usage":{"input_tokens":1}},"delta":{"text":"ä","stop_reason":"x"},"content":[{"type":"text","text":"a"}]}"#,
            r#"{"type":"response.completed","delta":"ä","item":{"type":"message"},"response":{"status":"completed","output":[{"type":"message","content":[{"text":"a"}]}],"usage":{"input_tokens":1}}}"#,
            r#"{"text":"ä","meta_info":{"finish_reason":{"type":"abort","message":"m"},"prompt_tokens":1},"content":"a","stop":true,"timings":{"cache_n":1}}"#,
        ];
        for api in Api::ALL {
            let _ = api.read(&bytes);
            let _ = api.read(&[b"{", &bytes[..]].concat());
            for event in events {
                let json = event.as_bytes();
                prop_assert!(api.read(json).is_some());
                prop_assert!(cut >= json.len() || api.read(&json[..cut]).is_none());
            }
        }
    }
}
