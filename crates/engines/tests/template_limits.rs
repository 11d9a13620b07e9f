//! A template is untrusted: whatever it does, rendering ends with text or with an error that says why.

use std::sync::Arc;
use std::thread;

use engines::template::{ChatTemplate, Conversation, LimitKind, Limits, SpecialTokens, TemplateError};
use serde_json::json;

fn compile(source: &str, limits: Limits) -> Result<ChatTemplate, TemplateError> {
    ChatTemplate::compile(source, &SpecialTokens::default(), limits, 0)
}

fn hello() -> Conversation {
    Conversation::from_json(&json!([{"role": "user", "content": "Hello"}]), None).unwrap()
}

fn render(source: &str) -> Result<String, TemplateError> {
    compile(source, Limits::default())?.render(&hello(), true)
}

/// Renders on a thread with the stack that Rust gives to threads, so that too deep a recursion shows.
fn render_on_thread(source: String) -> Result<String, TemplateError> {
    thread::Builder::new().stack_size(2 << 20).spawn(move || render(&source)).unwrap().join().unwrap()
}

fn limit(result: Result<String, TemplateError>) -> LimitKind {
    match result {
        Err(TemplateError::Limit { limit, .. }) => limit,
        other => panic!("no limit reached: {:.200}", format!("{other:?}")),
    }
}

#[test]
fn endless_and_explosive_work_runs_out_of_fuel() {
    for source in [
        "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(s='aaaaaaaaaaaaaaaa') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s='aaaaaaaaaaaaaaaa') %}{% for i in range(99) %}{% set ns.s = ns.s.replace('a', 'aa') %}{% endfor %}",
        "{% set ns = namespace(s='a') %}{% for i in range(99) %}{% set ns.s = ns.s.join([ns.s, ns.s, ns.s]) %}{% endfor %}",
        "{% set ns = namespace(s='a') %}{% for i in range(99) %}{% set ns.s = (ns.s ~ '\\n' ~ ns.s)|indent(9, true) %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x|tojson }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x|string }}",
        "{{ 'a'.center(1000000000000) }}",
        "{{ 'x'|indent(1000000000000, true) }}",
    ] {
        assert_eq!(limit(render_on_thread(source.to_owned())), LimitKind::Work, "{source}");
    }
}

#[test]
fn huge_requests_are_refused_before_memory_is_taken() {
    for source in [
        "{% for i in range(10**9) %}{% endfor %}",
        "{{ 'a' * 10**9 }}",
        "{{ [1] * 10**12 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '%1000000000s'|format(1) }}",
        "{{ [1]|tojson(indent=1000000000) }}",
        "{{ '\t'.expandtabs(10**12) }}",
        "{{ 2 ** 100000 }}",
    ] {
        let error = render_on_thread(source.to_owned()).unwrap_err();
        assert!(
            matches!(error, TemplateError::Render { line: 1, .. } | TemplateError::Limit { .. }),
            "{source}: {error:?}"
        );
    }
}

#[test]
fn output_source_and_recursion_have_limits_of_their_own() {
    let limits = Limits { output_bytes: 1000, ..Limits::default() };
    let long = compile("{% for i in range(2000) %}x{% endfor %}", limits).unwrap();
    assert_eq!(limit(long.render(&hello(), true)), LimitKind::Output);
    let error = compile(&" ".repeat(2 << 20), Limits::default()).unwrap_err();
    assert!(matches!(error, TemplateError::Limit { limit: LimitKind::Source, .. }), "{error}");
    let endless = "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}";
    assert_eq!(limit(render_on_thread(endless.to_owned())), LimitKind::Recursion);
    let mutual = "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}";
    assert_eq!(limit(render_on_thread(mutual.to_owned())), LimitKind::Recursion);
    let parens = format!("{{{{ {}1{} }}}}", "(".repeat(20_000), ")".repeat(20_000));
    assert_eq!(limit(render_on_thread(parens)), LimitKind::Recursion);
}

#[test]
fn values_nested_without_end_do_not_overflow_the_stack() {
    let nest = |body: &str| {
        format!(
            "{{% set ns = namespace(x=[1]) %}}{{% for i in range(99999) %}}{{% set ns.x = {body} %}}{{% endfor %}}done"
        )
    };
    for body in ["[ns.x]", "{'a': ns.x}", "(ns.x,)", "[[[[[[[[ns.x]]]]]]]]", "ns.x[0:]", "ns.x|list|map('string')"] {
        match render_on_thread(nest(body)) {
            Ok(text) => assert_eq!(text, "done", "{body}"),
            Err(TemplateError::Limit { .. } | TemplateError::Render { .. }) => {}
            Err(other) => panic!("{body}: {other}"),
        }
    }
    let straight = format!("{{% set x = [1] %}}{}done", "{% set x=[x] %}".repeat(60_000));
    match render_on_thread(straight) {
        Ok(text) => assert_eq!(text, "done"),
        Err(error) => assert!(matches!(error, TemplateError::Limit { .. }), "{error}"),
    }
}

#[test]
fn errors_say_what_where_and_what_to_do() {
    let raised = render("{{ raise_exception('roles must alternate') }}").unwrap_err();
    assert_eq!(raised, TemplateError::Raised { line: 1, message: "roles must alternate".to_owned() });
    assert!(raised.to_string().contains("change the messages"), "{raised}");
    let nested = render("{% macro f() %}\n{{ raise_exception('in a macro') }}{% endmacro %}\n\n{{ f()|trim }}");
    assert_eq!(nested.unwrap_err(), TemplateError::Raised { line: 2, message: "in a macro".to_owned() });
    for (source, line, limit) in [
        ("\n{% for i in range(10**9) %}{{ i }}{% endfor %}", 2, LimitKind::Range),
        ("{% set a = range(99999) %}\n\n{% for i in a %}{% for j in a %}{% endfor %}{% endfor %}", 3, LimitKind::Work),
    ] {
        let error = render(source).unwrap_err();
        let TemplateError::Limit { line: found, limit: which, .. } = &error else { panic!("{error:?}") };
        assert_eq!((*found, *which), (line, limit));
        let text = error.to_string();
        assert!(text.starts_with(&format!("the chat template, line {line} exceeds the limit on ")), "{text}");
        assert!(!text.contains("conversation"), "it is the template's fault: {text}");
    }

    let syntax = render("line one\n{% for m in messages %}\n{{ m.content + }}\n{% endfor %}").unwrap_err();
    match &syntax {
        TemplateError::Syntax { line, excerpt, .. } => {
            assert_eq!((*line, excerpt.as_str()), (3, "{{ m.content + }}"));
        }
        other => panic!("{other:?}"),
    }
    assert!(!syntax.to_string().contains('\n'), "{syntax}");
    let undefined = render("a\n{{ messages[0].tool.name }}").unwrap_err();
    match &undefined {
        TemplateError::Render { line, reason } => {
            assert_eq!(*line, 2);
            assert!(reason.contains("messages[0].tool"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    for source in ["{{ messages.append(1) }}", "{{ messages[0].update({'a': 1}) }}"] {
        let error = render(source).unwrap_err();
        assert!(error.to_string().contains("unsafe"), "{error}");
    }
    assert!(render("{% include 'x' %}").is_err() && render("{{ nothing() }}").is_err());
}

#[test]
fn one_template_renders_the_same_on_many_threads() {
    let source = "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + m.content|length %}{% endfor %}{{ ns.n }}{{ bos_token }}";
    let mut special = SpecialTokens::default();
    special.set("bos_token", "<s>");
    let template = Arc::new(ChatTemplate::compile(source, &special, Limits::default(), 0).unwrap());
    let handles: Vec<_> = (1..=8usize)
        .map(|count| {
            let template = Arc::clone(&template);
            thread::spawn(move || {
                let messages = vec![json!({"role": "user", "content": "abc"}); count];
                let conversation = Conversation::from_json(&json!(messages), None).unwrap();
                (0..200).map(|_| template.render(&conversation, false).unwrap()).collect::<Vec<_>>()
            })
        })
        .collect();
    for (index, handle) in handles.into_iter().enumerate() {
        let want = format!("{}<s>", 3 * (index + 1));
        assert!(handle.join().unwrap().iter().all(|text| *text == want));
    }
}

#[test]
fn variables_win_over_tokens_and_extra_json_reaches_the_template() {
    let mut special = SpecialTokens::default();
    special.set("bos_token", "<s>");
    let source =
        "{{ bos_token }}|{{ tools is none }}|{{ add_generation_prompt }}|{{ enable_thinking }}|{{ documents is none }}";
    let template = ChatTemplate::compile(source, &special, Limits::default(), 0).unwrap();
    let messages = json!([{"role": "user", "content": "x"}]);
    let extra = json!({"enable_thinking": false, "bos_token": "B"});
    let text = template.render_json(&messages, None, true, extra.as_object().unwrap()).unwrap();
    assert_eq!(text, "B|True|True|False|True");
    let plain = template.render_json(&messages, Some(&json!([])), false, &serde_json::Map::new()).unwrap();
    assert_eq!(plain, "<s>|False|False||True");
}

#[test]
fn the_clock_is_the_given_one() {
    let source = "{{ strftime_now('%d %b %Y') }}";
    let template = ChatTemplate::compile(source, &SpecialTokens::default(), Limits::default(), 1_795_493_106);
    assert_eq!(template.unwrap().render(&hello(), false).unwrap(), "24 Nov 2026");
}
