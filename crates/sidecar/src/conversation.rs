//! From the body of a chat request to what the template is given, as vLLM and SGLang prepare it.

use engines::parse::{ChatBody, Content, Message};
use engines::template::Conversation;
use engines::{Template, template};
use serde_json::{Map, Value, json};

use super::refusal::Refusal;

/// What a template makes of contents that are lists of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// It goes through them.
    Kept,
    /// It expects text: servers give it the texts of the parts, one a line.
    Joined,
}

impl Parts {
    /// Tries it: a template that expects text prints the list as Python does, or fails.
    pub fn of(template: &Template) -> Self {
        const PROBE: &str = "zyxwv";
        let messages = json!([{"role": "user", "content": [{"type": "text", "text": PROBE}]}]);
        let rendered = Conversation::from_json(&messages, None).and_then(|conversation| template.render(&conversation));
        let kept =
            rendered.is_ok_and(|text| text.contains(PROBE) && !text.contains("'type'") && !text.contains("\"type\""));
        if kept { Self::Kept } else { Self::Joined }
    }
}

/// What the template gets of a request, and whether the beginning of a reply follows. Takes its members out of `rest`; what
/// remains there is for the upstream.
///
/// # Errors
/// 400: the conversation holds what no template here can print, or a member asks for what is not supported.
pub fn build(body: &mut ChatBody, parts: Parts) -> Result<(Conversation, bool), Refusal> {
    for (index, message) in body.messages.iter_mut().enumerate() {
        flatten(message, parts).map_err(|reason| Refusal::bad(format!("messages[{index}]: {reason}")))?;
    }
    let mut messages = serde_json::to_value(&body.messages).map_err(|error| Refusal::bad(error.to_string()))?;
    for (index, message) in messages.as_array_mut().into_iter().flatten().enumerate() {
        arguments(message).map_err(|reason| Refusal::bad(format!("messages[{index}]: {reason}")))?;
    }
    let tools = body.tools.as_ref().map(serde_json::to_value).transpose();
    let tools = tools.map_err(|error| Refusal::bad(error.to_string()))?;
    let wrong = |error: template::TemplateError| Refusal::bad(error.to_string());
    let mut conversation = Conversation::from_json(&messages, tools.as_ref()).map_err(wrong)?;
    let rest = &mut body.rest;
    for name in ["documents", "reasoning_effort"] {
        if let Some(value) = rest.remove(name).filter(|value| !value.is_null()) {
            conversation = conversation.with_variable(name, &value);
        }
    }
    match rest.remove("chat_template_kwargs") {
        None | Some(Value::Null) => {}
        Some(Value::Object(variables)) => {
            for (name, value) in &variables {
                conversation = conversation.with_variable(name, value);
            }
        }
        Some(_) => {
            return Err(Refusal::bad("chat_template_kwargs is no object; give the template's variables by name"));
        }
    }
    let prompt = flag(rest, "add_generation_prompt")?.unwrap_or(true);
    Ok((conversation, prompt))
}

/// A member that is true or false, taken out.
///
/// # Errors
/// 400: it is something else.
pub fn flag(rest: &mut Map<String, Value>, name: &str) -> Result<Option<bool>, Refusal> {
    match rest.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(flag)),
        Some(other) => Err(Refusal::bad(format!("{name} must be true or false, not {other}"))),
    }
}

/// Refuses what is no text; joins texts for a template that expects one.
fn flatten(message: &mut Message, format: Parts) -> Result<(), String> {
    let Content::Parts(parts) = &message.content else { return Ok(()) };
    if let Some(other) = parts.iter().find(|part| part.text.is_none()) {
        return Err(format!(
            "a part of the type `{}` has no text; only text can be tokenized here, so send such requests to the server itself",
            other.kind
        ));
    }
    if format == Parts::Joined {
        let texts: Vec<&str> = parts.iter().filter_map(|part| part.text.as_deref()).collect();
        message.content = Content::Text(texts.join("\n"));
    }
    Ok(())
}

/// Arguments of tool calls become objects, which templates print in their own way; clients send them as a string of JSON.
fn arguments(message: &mut Value) -> Result<(), String> {
    let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut);
    for function in calls.into_iter().flatten().filter_map(|call| call.get_mut("function")?.as_object_mut()) {
        let parsed = match function.get("arguments") {
            None | Some(Value::Null) => json!({}),
            Some(Value::String(text)) if text.is_empty() => json!({}),
            Some(Value::String(text)) => serde_json::from_str(text).map_err(|error| {
                format!("the arguments of a tool call are no JSON ({error}); send what the model gave")
            })?,
            Some(_) => continue,
        };
        function.insert("arguments".to_owned(), parsed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> Template {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tokenizer_config.json"), "{}").unwrap();
        std::fs::write(dir.path().join("chat_template.jinja"), source).unwrap();
        Template::load(dir.path(), 0).unwrap()
    }

    const TEXT: &str = "{% for m in messages %}{{ m.content }}|{% endfor %}{{ x }}";
    const LOOP: &str = "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}[{{ p.text }}]{% endfor %}{% endif %}|{% endfor %}";

    fn rendered(source: &str, body: &str) -> Result<String, String> {
        let template = template(source);
        let mut body = ChatBody::read(body.as_bytes()).unwrap();
        let parts = Parts::of(&template);
        let (conversation, prompt) = build(&mut body, parts).map_err(|refusal| refusal.message)?;
        template.render_with(&conversation, prompt).map_err(|error| error.to_string())
    }

    #[test]
    fn parts_are_joined_where_the_template_expects_text() {
        let body = r#"{"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
            "chat_template_kwargs": {"x": 7}}"#;
        assert_eq!(rendered(TEXT, body).unwrap(), "a\nb|7");
        assert_eq!(rendered(LOOP, body).unwrap(), "[a][b]|");
        let image =
            r#"{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}]}"#;
        let error = rendered(LOOP, image).unwrap_err();
        assert!(error.contains("messages[0]") && error.contains("image_url"), "{error}");
    }

    #[test]
    fn arguments_of_tool_calls_are_objects_for_the_template() {
        let source = "{% for m in messages %}{% for c in m.tool_calls %}{{ c.function.arguments | tojson }};{% endfor %}{% endfor %}";
        let body = |arguments: &str| {
            format!(
                r#"{{"messages": [{{"role": "assistant", "tool_calls": [{{"type": "function", "function": {{"name": "f"{arguments}}}}}]}}]}}"#
            )
        };
        let given = |arguments: &str| rendered(source, &body(arguments));
        assert_eq!(given(r#", "arguments": "{\"a\":1}""#).unwrap(), "{\"a\": 1};");
        assert_eq!(given(r#", "arguments": {"b": 2}"#).unwrap(), "{\"b\": 2};");
        assert_eq!(given(r#", "arguments": """#).unwrap(), "{};");
        assert_eq!(given("").unwrap(), "{};");
        assert!(given(r#", "arguments": "{a""#).unwrap_err().contains("no JSON"));
    }

    #[test]
    fn members_of_the_template_do_not_go_upstream() {
        let mut body = ChatBody::read(
            br#"{"messages": [{"role": "user", "content": "a"}], "documents": [{"t": 1}], "add_generation_prompt": false, "seed": 1}"#,
        )
        .unwrap();
        let (_, prompt) = build(&mut body, Parts::Joined).unwrap();
        assert!(!prompt);
        assert_eq!(body.rest.keys().collect::<Vec<_>>(), ["seed"]);
        let mut body = ChatBody::read(br#"{"messages": [{"role": "user"}], "chat_template_kwargs": 3}"#).unwrap();
        assert!(build(&mut body, Parts::Joined).unwrap_err().message.contains("no object"));
    }
}
