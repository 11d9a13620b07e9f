use super::*;
use proptest::prelude::*;

fn text(raw: Option<Raw<'_>>) -> Option<String> {
    raw.map(Raw::decode)
}

fn parse(json: &str) -> Chunk<'_> {
    Chunk::parse(json.as_bytes()).unwrap()
}

#[test]
fn chat_of_openai_and_vllm() {
    let role =
        parse(r#"{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#);
    assert!(!role.has_content() && role.finish.is_none());
    let null = parse(r#"{"choices":[{"delta":{"role":"assistant","content":null}}]}"#);
    assert!(!null.has_content());
    let last = parse(r#"{"choices":[{"delta":{"content":"a\"b"},"finish_reason":"length"}],"usage":null}"#);
    assert_eq!((text(last.content), text(last.finish)), (Some("a\"b".into()), Some("length".into())));
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
        assert_eq!((text(chunk.reasoning), chunk.content), (Some("hm".into()), None));
    }
    let tool = parse(r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}"#);
    assert!(tool.has_content() && tool.content.is_none());
    assert!(!parse(r#"{"choices":[{"delta":{"tool_calls":[]}}]}"#).has_content());
    let choice = parse(r#"{"choices":[{"delta":{},"finish_reason":"stop","usage":{"completion_tokens":3}}]}"#);
    assert_eq!(choice.usage.completion, Some(3));
}

#[test]
fn whole_answers() {
    let whole = parse(
        r#"{"choices":[{"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"completion_tokens":1}}"#,
    );
    assert_eq!((text(whole.content), whole.usage.completion), (Some("hi".into()), Some(1)));
    let text_of = parse(r#"{"choices":[{"index":0,"text":" there","logprobs":null,"finish_reason":null}]}"#);
    assert_eq!(text(text_of.content), Some(" there".into()));
}

#[test]
fn sglang_and_llama() {
    let sglang = parse(
        r#"{"text":"a b","output_ids":[1,2],"meta_info":{"id":"x","finish_reason":{"type":"length","length":2},"prompt_tokens":5,"completion_tokens":2,"cached_tokens":1}}"#,
    );
    assert_eq!((text(sglang.cumulative), text(sglang.finish)), (Some("a b".into()), Some("length".into())));
    assert_eq!((sglang.usage.prompt, sglang.usage.cached), (Some(5), Some(1)));
    assert!(!sglang.has_content(), "whether text is new is told by what came before");
    let llama =
        parse(r#"{"index":0,"content":" x","tokens":[4],"stop":false,"tokens_predicted":3,"tokens_evaluated":9}"#);
    assert_eq!((text(llama.content), llama.finish, llama.usage.prompt), (Some(" x".into()), None, Some(9)));
    let end =
        parse(r#"{"content":"","stop":true,"stop_type":"limit","tokens_predicted":4,"timings":{"predicted_ms":1.5}}"#);
    assert_eq!((end.content, text(end.finish), end.usage.completion), (None, Some("limit".into()), Some(4)));
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
        assert_eq!(text(parse(json).error).as_deref(), Some(message), "{json}");
    }
    assert_eq!(parse(r#"{"error":null,"choices":[]}"#).error, None);
    assert_eq!(parse(r#"{"message":"no error by itself"}"#).error, None);
}

#[test]
fn the_stamp_of_the_mock() {
    let chunk = parse(r#"{"choices":[{"delta":{"content":"x"}}],"llmbench":{"written_ns":123456789012345,"index":7}}"#);
    assert_eq!(chunk.written, Some(Written { at_ns: 123_456_789_012_345, index: 7 }));
    assert_eq!(parse(r#"{"llmbench":{"index":7}}"#).written, None);
}

#[test]
fn what_is_no_object_is_none() {
    for bad in ["", "[DONE]", "[]", "{", "{\"choices\":[{\"delta\":{\"content\":\"x\"}}]", "{} x", "null"] {
        assert_eq!(Chunk::parse(bad.as_bytes()), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..120), cut in 0_usize..160) {
        let _ = Chunk::parse(&bytes);
        let json = r#"{"choices":[{"delta":{"content":"äx","tool_calls":[1]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1},"llmbench":{"written_ns":1}}"#.as_bytes();
        let _ = Chunk::parse(&json[..cut.min(json.len())]);
    }
}
