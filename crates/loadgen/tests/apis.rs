//! The client against the mock over sockets, once for each API: streamed and whole, with usage, cached tokens, reasoning, stamps, and
//! errors before and inside an answer.

use loadgen::arrivals::Extent;
use loadgen::driver::{Control, Options};
use loadgen::outcome::ErrorClass;
use loadgen::serving::probe::{self, ProbeError};
use loadgen::serving::record::Record;
use loadgen::serving::session::{Load, Session};
use loadgen::serving::target::Target;
use loadgen::serving::{Run, run};
use loadgen::transport::{Protocol, Sockets};
use mock_openai::engine::EngineConfig;
use mock_openai::fault::Faults;
use mock_openai::{Config, Listen, Server};
use serde_json::{Value, json};
use server_api::{Api, Ask, Finish, SGLANG_INCREMENTAL, Settings};

const SECOND: u64 = 1_000_000_000;
const TOKENS: u32 = 6;
const KEY: &str = "sk-mock";

fn server(reasoning_tokens: u32, fault: Option<&str>) -> Server {
    let engine = EngineConfig { step_ns: 1_000_000, prefill_token_ns: 0, decode_sequence_ns: 0, ..Default::default() };
    let mut config = Config { engine, reasoning_tokens, api_key: Some(KEY.to_owned()), ..Config::default() };
    if let Some(fault) = fault {
        config.faults = Faults { kinds: vec![fault.parse().unwrap()], probability: 1.0, seed: 0 };
    }
    Server::start(config, &Listen::Tcp("127.0.0.1:0".parse().unwrap())).unwrap()
}

fn target(server: &Server) -> Target {
    format!("http://{}", server.endpoint().address().unwrap()).parse().unwrap()
}

/// A conversation of some blocks of the mock's cache; as text for APIs that take no messages.
fn body(api: Api, stream: bool, max_tokens: Option<u32>) -> Vec<u8> {
    let words = "word ".repeat(100);
    let request = json!({"messages": [{"role": "system", "content": "be short"}, {"role": "user", "content": words}]});
    let settings = Settings { max_tokens, stream, ignore_eos: true, ..Settings::default() };
    let ask = if api.takes_messages() { Ask::Messages(&request) } else { Ask::Text(&words) };
    api.body(&ask, &settings).unwrap()
}

/// Two requests one after the other: the second finds the prompt of the first in the cache.
fn twice(server: &Server, api: Api, stream: bool) -> Run {
    let mut protocol = Protocol::post(&target(server), api, Some(KEY));
    protocol.keep_text = true;
    let transport = Sockets::to_server(&target(server), protocol, SECOND).unwrap();
    let sessions = [Session::single(body(api, stream, Some(TOKENS)))];
    let load = closed(2);
    run(transport, &sessions, load, &Options { connections: 1, ..Options::default() }, &Control::default(), None)
        .unwrap()
}

fn closed(count: usize) -> Load<'static> {
    Load::Closed { concurrency: 1, extent: Extent::count(count), stagger_ns: 0 }
}

/// Those that the mock writes: it is no server that was started to send only what is new.
fn apis() -> impl Iterator<Item = Api> {
    Api::ALL.into_iter().filter(|api| *api != SGLANG_INCREMENTAL)
}

#[test]
fn streams_of_every_api_are_read() {
    for api in apis() {
        let server = server(2, None);
        let run = twice(&server, api, true);
        assert_eq!(run.errors.total(), 0, "{api}: {:?}", run.errors);
        assert_eq!(run.malformed, 0, "{api}");
        let [first, second]: [Record; 2] = run.records.as_slice().try_into().unwrap();
        for record in [&first, &second] {
            assert_eq!((record.chunks, record.output_tokens, record.finish), (TOKENS, TOKENS, Finish::Length), "{api}");
            assert!(record.prompt_tokens >= 100, "{api}: {record:?}");
            assert!(record.first_token_ns > record.sent_ns && record.last_token_ns > record.first_token_ns, "{api}");
            // Of APIs that tell reasoning apart, the answer begins two tokens later.
            assert_eq!(record.first_output_ns > record.first_token_ns, api.takes_messages(), "{api}");
        }
        assert_eq!(first.cached_tokens, 0, "{api}");
        let blocks = second.prompt_tokens / 16;
        assert!(second.cached_tokens > 0 && second.cached_tokens <= blocks * 16, "{api}: {second:?}");
        let truth = run.truth.unwrap_or_else(|| panic!("{api}: no stamps"));
        assert_eq!(truth.error.count(), u64::from(2 * TOKENS), "{api}: each event with content has its stamp");
    }
}

#[test]
fn whole_answers_of_every_api_are_read() {
    for api in apis() {
        let server = server(2, None);
        let run = twice(&server, api, false);
        assert_eq!(run.errors.total(), 0, "{api}: {:?}", run.errors);
        for record in &run.records {
            assert_eq!((record.output_tokens, record.finish), (TOKENS, Finish::Length), "{api}");
            assert_eq!((record.first_token_ns, record.first_output_ns), (0, 0), "{api}: nothing says when it was");
        }
        assert!(run.records[1].cached_tokens > 0, "{api}");
    }
}

/// The same conversation by three APIs of messages is the same prompt, and gets the same answer.
#[test]
fn one_conversation_is_one_prompt() {
    let server = server(0, None);
    let text = |api: Api| {
        let page = probe::post(&target(&server), api, Some(KEY), &body(api, false, Some(TOKENS)), SECOND).unwrap();
        let chunk = api.read(&page.body).unwrap();
        (chunk.piece.content.unwrap().decode(), chunk.usage.prompt)
    };
    let all: Vec<_> = apis().filter(|api| api.takes_messages()).map(text).collect();
    assert!(all.len() == 3 && all.iter().all(|one| one == &all[0]), "{all:?}");
}

#[test]
fn errors_of_every_api_are_told() {
    for api in apis() {
        let inside = server(0, Some("error-event:2"));
        let run = twice(&inside, api, true);
        let failures = &run.errors.0[&ErrorClass::StreamError];
        assert!(failures.first.ends_with("the request's fault says so"), "{api}: {failures:?}");
        let cut = server(0, Some("truncate:2"));
        assert!(twice(&cut, api, true).errors.0.contains_key(&ErrorClass::ShortBody), "{api}");
        let busy = server(0, Some("status:429"));
        let run = twice(&busy, api, true);
        assert!(run.errors.0[&ErrorClass::RateLimited].first.contains("as the request's fault says"), "{api}");
        // The body of the refusal is that of the API.
        let page = probe::post(&target(&busy), api, Some(KEY), &body(api, true, Some(1)), SECOND).unwrap();
        let error: Value = serde_json::from_slice(&page.body).unwrap();
        assert_eq!(error["type"] == "error", api.name() == "anthropic", "{error}");
        assert!(error["error"]["message"].is_string(), "{error}");
    }
}

#[test]
fn a_stream_without_usage_is_counted_by_its_chunks() {
    for api in apis().filter(|api| api.takes_messages()) {
        let server = server(0, Some("no-usage"));
        let run = twice(&server, api, true);
        assert_eq!(run.errors.total(), 0, "{api}: {:?}", run.errors);
        let record = run.records[0];
        assert_eq!(
            (record.counted, record.output_tokens),
            (loadgen::serving::record::Counted::Chunks, TOKENS),
            "{api}"
        );
    }
}

#[test]
fn keys_are_looked_for_where_each_api_has_them() {
    let server = server(0, None);
    for api in apis() {
        let look = |key| probe::probe(&target(&server), api, key, &body(api, true, Some(1)), SECOND);
        assert!(look(Some(KEY)).is_ok(), "{api}");
        if api.path().starts_with("/v1/") {
            let Err(ProbeError::Failed(failure)) = look(Some("other")) else { panic!("{api} takes any key") };
            assert_eq!(failure.class, ErrorClass::Unauthorized, "{api}");
            assert!(failure.message.contains("wants an API key"), "{api}: {failure}");
        }
    }
}

/// What Anthropic's service refuses is refused: it has no default for the length of an answer.
#[test]
fn messages_need_a_limit() {
    let server = server(0, None);
    let api = server_api::ANTHROPIC_MESSAGES;
    let without = json!({"messages": [{"role": "user", "content": "a"}]}).to_string();
    let page = probe::post(&target(&server), api, Some(KEY), without.as_bytes(), SECOND).unwrap();
    let error: Value = serde_json::from_slice(&page.body).unwrap();
    assert_eq!((page.status, &error["error"]["type"]), (400, &json!("invalid_request_error")));
    assert!(error["error"]["message"].as_str().unwrap().contains("max_tokens"), "{error}");
}
