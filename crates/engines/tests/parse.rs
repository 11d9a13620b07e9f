//! The typed parser: what it takes, what it keeps, and how it refuses.

use engines::parse::{ChatRequest, Content, Role, call_path};

fn parse(body: &str) -> Result<ChatRequest, String> {
    call_path("serde_json.from_slice").unwrap().run(body.as_bytes()).map_err(|error| error.to_string())
}

const FULL: &str = r#"{
    "model": "m", "stream": true, "temperature": 0.5, "max_tokens": 16, "vendor_field": {"x": [1]},
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "u"}}, {"type": "text", "text": "ü"}]},
        {"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"z\": 1}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "42", "cache_hint": 3},
        {"content": "Thanks", "name": "ann", "role": "user"}
    ],
    "tools": [{"type": "function", "function": {"parameters": {"type": "object"}, "name": "f", "strict": true}}]
}"#;

#[test]
fn every_field_arrives() {
    let request = parse(FULL).unwrap();
    assert_eq!(request.model.as_deref(), Some("m"));
    assert_eq!((request.stream, request.temperature, request.max_tokens), (Some(true), Some(0.5), Some(16)));
    let [system, user, assistant, tool, last] = request.messages.as_slice() else { panic!("five messages") };
    assert_eq!((system.role, &system.content), (Role::System, &Content::Text("Be brief.".to_owned())));
    assert_eq!(user.content.text(), "aü");
    assert_eq!((&assistant.content, assistant.reasoning_content.as_deref()), (&Content::Null, Some("hm")));
    assert_eq!(assistant.tool_calls.as_ref().unwrap()[0].name(), "f");
    assert_eq!((tool.tool_call_id.as_deref(), &tool.extra["cache_hint"]), (Some("c1"), &serde_json::json!(3)));
    assert_eq!((last.role, last.name.as_deref()), (Role::User, Some("ann")));
    assert_eq!(request.tools.unwrap()[0].name(), "f");
}

#[test]
fn what_a_template_sees_is_what_was_sent() {
    let request = parse(FULL).unwrap();
    let sent: serde_json::Value = serde_json::from_str(FULL).unwrap();
    assert_eq!(serde_json::to_value(&request.messages).unwrap(), sent["messages"]);
    // Tools are printed by templates, so the order of their keys counts.
    assert_eq!(serde_json::to_string(&request.tools).unwrap(), serde_json::to_string(&sent["tools"]).unwrap());
}

#[test]
fn an_absent_content_is_not_null() {
    let request = parse(r#"{"messages": [{"role": "assistant"}, {"role": "assistant", "content": null}]}"#).unwrap();
    assert_eq!(request.messages[0].content, Content::Absent);
    assert_eq!(request.messages[1].content, Content::Null);
    assert_eq!(serde_json::to_string(&request.messages[0]).unwrap(), r#"{"role":"assistant"}"#);
    assert_eq!(serde_json::to_string(&request.messages[1]).unwrap(), r#"{"role":"assistant","content":null}"#);
}

#[test]
fn errors_name_the_message_and_the_remedy() {
    for (body, wanted) in [
        (
            r#"{"messages": [{"role": "user", "content": "a"}, {"role": "bot", "content": "b"}]}"#,
            "messages[1]: unknown role `bot`; use one of system,",
        ),
        (r#"{"messages": [{"content": "a"}]}"#, "messages[0]: there is no role"),
        (
            r#"{"messages": [{"role": "user", "content": 5}]}"#,
            "messages[0]: invalid type: integer `5`, expected a content that is a string, a list of parts or null",
        ),
        (r#"{"messages": [{"role": 1}]}"#, "expected a role (system, developer"),
        (r#"{"messages": []}"#, "messages is empty"),
        (r#"{"model": "m"}"#, "missing field `messages`"),
        (r#"{"messages": [7]}"#, "messages[0]: invalid type: integer `7`, expected a message"),
        (
            r#"{"messages": [{"role": "user", "content": "a"}], "tools": [{"type": "web"}]}"#,
            "the type `web`; only `function`",
        ),
        (
            r#"{"messages": [{"role": "user", "content": "a"}], "tools": [{"type": "function", "function": {}}]}"#,
            "has no name",
        ),
        (
            r#"{"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 1}}]}]}"#,
            "messages[0]: the arguments of a tool call are neither",
        ),
        (r#"{"messages": [{"role": "user", "content": "a"}], "max_tokens": "many"}"#, "invalid type: string \"many\""),
        (r#"{"messages": [{"role": "user""#, "EOF while parsing"),
    ] {
        let error = parse(body).unwrap_err();
        assert!(error.contains(wanted), "{body}: {error}");
        assert!(error.starts_with("the request is not a chat-completions body: "), "{error}");
        assert_eq!(error.matches("line 1").count(), 1, "the place is told once: {error}");
    }
    assert!(parse("{\"messages\": \"\u{0}\"}").is_err());
    assert!(
        call_path("serde_json.from_slice")
            .unwrap()
            .run(b"{\"messages\": [{\"role\": \"user\", \"content\": \"\xff\"}]}")
            .is_err()
    );
}
