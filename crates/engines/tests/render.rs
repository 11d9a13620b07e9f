//! The built-in template, and templates that cannot be loaded.

use engines::builtin::CHAT_TEMPLATE;
use engines::parse;
use engines::render::{Template, conversation};

fn folder(template: Option<&str>, config: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();
    if let Some(template) = template {
        std::fs::write(dir.path().join("chat_template.jinja"), template).unwrap();
    }
    dir
}

fn render(template: &str, body: &str) -> Result<String, String> {
    let dir = folder(Some(template), "{}");
    let template = Template::load(dir.path(), 0).map_err(|error| error.to_string())?;
    let request = parse::call_path("serde_json.from_slice").unwrap().run(body.as_bytes()).unwrap();
    template.call_path("render").unwrap().run(&conversation(&request).unwrap()).map_err(|error| error.to_string())
}

#[test]
fn requests_with_tools_have_a_template_of_their_own_where_the_model_has_one() {
    let config = r#"{"chat_template": [{"name": "default", "template": "D\r\n{{ tools }}"}, {"name": "tool_use", "template": "T {{ tools[0].function.name }}"}]}"#;
    let plain = r#"{"messages": [{"role": "user", "content": "x"}]}"#;
    let tools = r#"{"messages": [{"role": "user", "content": "x"}], "tools": [{"type": "function", "function": {"name": "f"}}]}"#;
    let render = |file: Option<&str>, body: &str| {
        let dir = folder(file, config);
        let request = parse::call_path("serde_json.from_slice").unwrap().run(body.as_bytes()).unwrap();
        Template::load(dir.path(), 0).unwrap().render(&conversation(&request).unwrap()).unwrap()
    };
    // As the resolved folder has it: the default in its file, all in the configuration.
    assert_eq!(render(Some("D\n{{ tools }}"), plain), "D\nNone");
    assert_eq!(render(Some("D\n{{ tools }}"), tools), "T f");
    assert_eq!(render(None, tools), "T f");
    // A file of its own takes the place of all of them.
    assert_eq!(render(Some("F"), tools), "F");
}

#[test]
fn a_plain_conversation_is_chatml() {
    let body = r#"{"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "a <b> \"c\"\n"}, {"role": "assistant", "content": "d"}, {"role": "user", "content": [{"type": "text", "text": "e"}, {"type": "text", "text": "f"}]}]}"#;
    assert_eq!(
        render(CHAT_TEMPLATE, body).unwrap(),
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\na <b> \"c\"\n<|im_end|>\n<|im_start|>assistant\nd<|im_end|>\n<|im_start|>user\nef<|im_end|>\n<|im_start|>assistant\n"
    );
    assert_eq!(
        render(CHAT_TEMPLATE, r#"{"messages": [{"role": "user", "content": ""}]}"#).unwrap(),
        "<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn tools_calls_and_results_are_rendered() {
    let body = r#"{"messages": [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "w", "arguments": "{\"z\": 1, \"city\": \"Köln <3\"}"}},
            {"id": "2", "type": "function", "function": {"name": "w", "arguments": {"city": "Bonn", "days": [1, 2.5]}}}]},
        {"role": "tool", "tool_call_id": "1", "content": "rain"},
        {"role": "tool", "tool_call_id": "2", "content": "sun"},
        {"role": "assistant", "content": "Both."}],
      "tools": [{"type": "function", "function": {"name": "w", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]}"#;
    assert_eq!(
        render(CHAT_TEMPLATE, body).unwrap(),
        "<|im_start|>system\n## Functions\n\nThese functions can be called, one JSON description a line:\n<functions>\n{\"type\": \"function\", \"function\": {\"name\": \"w\", \"parameters\": {\"type\": \"object\", \"properties\": {\"city\": {\"type\": \"string\"}}}}}\n</functions>\n\nA call is one JSON object in its own tag:\n<call>\n{\"name\": NAME, \"arguments\": OBJECT}\n</call><|im_end|>\n\
         <|im_start|>user\nWeather?<|im_end|>\n\
         <|im_start|>assistant\n<call>\n{\"name\": \"w\", \"arguments\": {\"z\": 1, \"city\": \"Köln <3\"}}\n</call>\n<call>\n{\"name\": \"w\", \"arguments\": {\"city\": \"Bonn\", \"days\": [1, 2.5]}}\n</call><|im_end|>\n\
         <|im_start|>user\n<result>\nrain\n</result>\n<result>\nsun\n</result><|im_end|>\n\
         <|im_start|>assistant\nBoth.<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn a_folder_without_a_template_and_a_broken_one_are_told() {
    let dir = folder(None, r#"{"chat_template": "x{{ messages | length }}"}"#);
    assert!(Template::load(dir.path(), 0).is_ok(), "the template of the config is taken when there is no file");
    let error = |dir: &tempfile::TempDir| Template::load(dir.path(), 0).map(|_| ()).unwrap_err().to_string();
    assert!(error(&folder(None, "{}")).contains("has no chat template"));
    assert!(error(&folder(Some("{% for %}"), "{}")).contains("line 1"));
    assert!(error(&folder(Some("x"), "{")).contains("tokenizer_config.json is not JSON"));
    assert!(error(&tempfile::tempdir().unwrap()).contains("tokenizer_config.json cannot be read"));
}

#[test]
fn the_template_s_refusal_is_the_message() {
    let body = r#"{"messages": [{"role": "user", "content": "a"}]}"#;
    assert!(
        render("{{ raise_exception('roles must alternate') }}", body).unwrap_err().contains("roles must alternate")
    );
}
