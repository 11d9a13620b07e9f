//! Every fault, as the bytes that a client gets.

mod common;

use std::io::ErrorKind;
use std::time::Duration;

use common::{Answer, Client, Part, config, parse, start, truth_of, until};
use mock_openai::fault::{Fault, Faults};
use mock_openai::{Config, Outcome, Server};
use serde_json::{Value, json};

const STREAM: &str = r#"{"messages":[{"role":"user","content":"a b"}],"max_tokens":5,"stream":true,"stream_options":{"include_usage":true}}"#;
const WHOLE: &str = r#"{"messages":[{"role":"user","content":"a b"}],"max_tokens":5}"#;
const CHAT: &str = "/v1/chat/completions";

fn field(fault: &str) -> String {
    format!("x-llmbench-fault: {fault}\r\nx-request-id: {}\r\n", fault.replace(':', "-"))
}

fn ask(server: &Server, fault: &str, body: &str) -> Option<Answer> {
    let mut client = Client::connect(server);
    client.post(CHAT, &field(fault), body);
    client.answer()
}

/// All bytes until the connection ends.
fn raw(server: &Server, fault: &str, body: &str) -> (Vec<Part>, Vec<u8>, Option<ErrorKind>) {
    let mut client = Client::connect(server);
    client.post(CHAT, &format!("{}connection: close\r\n", field(fault)), body);
    let (parts, error) = client.until_end();
    let all = parts.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    (parts, all, error)
}

fn count(bytes: &[u8], what: &str) -> usize {
    bytes.windows(what.len()).filter(|window| *window == what.as_bytes()).count()
}

/// Events with content.
fn contents(bytes: &[u8]) -> usize {
    count(bytes, "\"content\":\" ")
}

fn outcome(server: &Server, fault: &str) -> Outcome {
    let id = fault.replace(':', "-");
    let truth = truth_of(server, &id);
    assert_eq!(truth.fault.as_deref(), Some(fault));
    truth.outcome
}

#[test]
fn refusals() {
    let server = start(config());
    for (fault, status, part) in [
        ("401", 401, "authenticationerror"),
        ("429", 429, "retry-after: 1\r\n"),
        ("429:30", 429, "retry-after: 30\r\n"),
        ("503:2", 503, "retry-after: 2\r\n"),
        ("status:500", 500, "internalservererror"),
        ("redirect", 307, "location: http://127.0.0.1:1/v1/chat/completions\r\n"),
        ("redirect:http://example.invalid/x", 307, "location: http://example.invalid/x\r\n"),
    ] {
        let answer = ask(&server, fault, STREAM).unwrap();
        assert_eq!(answer.status, status);
        assert!(answer.head.contains(part) || answer.text().to_lowercase().contains(part), "{}", answer.head);
        assert_eq!(outcome(&server, fault), Outcome::Refused);
    }
    let (_, bytes, _) = raw(&server, "no-http", STREAM);
    assert!(!bytes.is_empty() && !bytes.starts_with(b"HTTP"));
    assert_eq!(server.counts().steps, 0);
}

#[test]
fn resets() {
    let server = start(config());
    let (_, bytes, error) = raw(&server, "reset", STREAM);
    assert_eq!((bytes.len(), error), (0, Some(ErrorKind::ConnectionReset)));
    let (_, bytes, error) = raw(&server, "reset:3", STREAM);
    assert_eq!((contents(&bytes), error), (3, Some(ErrorKind::ConnectionReset)));
    // More than there are: after the last.
    let (_, bytes, error) = raw(&server, "reset:99", STREAM);
    assert_eq!((contents(&bytes), count(&bytes, "[DONE]"), error), (5, 0, Some(ErrorKind::ConnectionReset)));
    let (_, bytes, error) = raw(&server, "reset:1", WHOLE);
    assert_eq!((bytes.len(), error), (0, Some(ErrorKind::ConnectionReset)));
    assert_eq!(outcome(&server, "reset:3"), Outcome::Cut);
    until("the engine is empty", || server.counts().running == 0 && server.counts().blocks_used == 0);
}

#[test]
fn streams_that_are_cut() {
    let server = start(config());
    let (_, bytes, error) = raw(&server, "truncate:2", STREAM);
    assert_eq!((contents(&bytes), count(&bytes, "[DONE]"), error), (2, 0, None));
    assert!(!bytes.ends_with(b"0\r\n\r\n") && parse(&bytes).is_none());
    let (_, bytes, _) = raw(&server, "truncate:0", STREAM);
    assert!(bytes.ends_with(b"\r\n\r\n") && contents(&bytes) == 0, "a head and nothing else");
    let (_, bytes, _) = raw(&server, "truncate:1", WHOLE);
    assert!(bytes.starts_with(b"HTTP/1.1 200") && parse(&bytes).is_none());
    assert_eq!(outcome(&server, "truncate:2"), Outcome::Cut);

    let answer = ask(&server, "no-done", STREAM).unwrap();
    assert_eq!((contents(&answer.body), count(&answer.body, "[DONE]"), answer.chunks().len()), (5, 0, 7));
    let answer = ask(&server, "error-event:2", STREAM).unwrap();
    assert_eq!(contents(&answer.body), 2);
    assert_eq!(answer.chunks().last().unwrap()["error"]["code"], 500);
    assert_eq!(answer.events().last().unwrap(), "[DONE]");
    assert_eq!(ask(&server, "error-event", WHOLE).unwrap().status, 500);
    until("the engine is empty", || server.counts().running == 0);
}

#[test]
fn answers_without_a_token_or_without_an_end() {
    let server = start(config());
    let answer = ask(&server, "empty", STREAM).unwrap();
    assert_eq!((answer.status, contents(&answer.body)), (200, 0));
    let chunks = answer.chunks();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chunks[1]["choices"][0]["finish_reason"], "length");
    assert_eq!(chunks[2]["usage"]["completion_tokens"], 0);
    assert_eq!(answer.events().last().unwrap(), "[DONE]");
    assert_eq!(ask(&server, "empty", WHOLE).unwrap().json()["choices"][0]["message"]["content"], "");

    let mut client = Client::connect(&server);
    client.post(CHAT, &field("endless:1"), STREAM);
    client.stream.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
    // What comes in 0.15 s at the least, and it would go on.
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while contents(&bytes) < 40 {
        let read = std::io::Read::read(&mut client.stream, &mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..read]);
    }
    assert_eq!(count(&bytes, "[DONE]") + count(&bytes, "\"finish_reason\":\"stop\""), 0);
    drop(client);
    assert_eq!(outcome(&server, "endless:1"), Outcome::Aborted);
}

#[test]
fn events_in_two_parts_are_the_same_events() {
    let server = start(config());
    let plain = ask(&server, "stall:0", STREAM).unwrap();
    let (parts, bytes, _) = raw(&server, "split-line:5", STREAM);
    let (answer, _) = parse(&bytes).unwrap();
    let text = |answer: &Answer| -> String {
        let chunks = answer.chunks();
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
    };
    assert_eq!(text(&answer), text(&plain));
    // A part ends where no event does.
    let within = |part: &&Part| !part.1.ends_with(b"\n");
    assert!(parts.iter().filter(within).count() >= 3, "{}", parts.len());
    assert!(parts.iter().any(|part| part.1.ends_with(b"}\n")), "between the line ends");
    let (parts, bytes, _) = raw(&server, "split-utf8:5", STREAM);
    assert!(parts.iter().filter(|part| std::str::from_utf8(&part.1).is_err()).count() >= 4, "{}", parts.len());
    let (answer, _) = parse(&bytes).unwrap();
    assert_eq!(text(&answer), " né€𝄞".repeat(5));
    // The stamps are still those of the writes.
    let stamps: Vec<u64> =
        answer.chunks().iter().filter_map(|chunk| chunk["llmbench"]["written_ns"].as_u64()).collect();
    let truth = truth_of(&server, "split-utf8-5");
    assert_eq!(truth.written_ns, stamps[..5]);
    let (parts, bytes, _) = raw(&server, "split-line:5", WHOLE);
    assert!(parts.len() >= 2 && parse(&bytes).unwrap().0.json()["usage"]["completion_tokens"] == 5);
}

#[test]
fn several_tokens_a_chunk() {
    let server = start(config());
    let answer = ask(&server, "tokens-per-chunk:2", STREAM).unwrap();
    let words: Vec<usize> = answer
        .chunks()
        .iter()
        .filter_map(|chunk| {
            chunk["choices"][0]["delta"]["content"].as_str().map(|text| text.split_ascii_whitespace().count())
        })
        .collect();
    assert_eq!(words, [0, 2, 2, 1]);
    assert_eq!(answer.chunks().last().unwrap()["usage"]["completion_tokens"], 5);
}

#[test]
fn garbage_within_a_stream() {
    let server = start(config());
    let (_, bytes, error) = raw(&server, "garbage:2", STREAM);
    let (answer, used) = parse(&bytes).unwrap();
    assert_eq!((used, error), (bytes.len(), None));
    assert!(std::str::from_utf8(&answer.body).is_err());
    assert_eq!((contents(&answer.body), count(&answer.body, "[DONE]")), (5, 1));
    let answer = ask(&server, "garbage", WHOLE).unwrap();
    assert!(serde_json::from_slice::<Value>(&answer.body).is_err());
}

#[test]
fn usage_that_is_missing_or_elsewhere() {
    let server = start(config());
    let chunks = ask(&server, "no-usage", STREAM).unwrap().chunks();
    assert!(chunks.len() == 6 && chunks.iter().all(|chunk| chunk["usage"].is_null()));
    assert!(ask(&server, "no-usage", WHOLE).unwrap().json()["usage"].is_null());
    let chunks = ask(&server, "usage-in-choice", STREAM).unwrap().chunks();
    assert_eq!(chunks.len(), 6);
    assert_eq!(chunks[5]["usage"]["completion_tokens"], 5);
    assert_eq!(chunks[5]["choices"][0]["finish_reason"], "length");
}

#[test]
fn pauses() {
    let server = start(config());
    for (fault, first) in [("stall:120", 0), ("stall:120:2", 2)] {
        assert_eq!(contents(&ask(&server, fault, STREAM).unwrap().body), 5);
        assert_eq!(outcome(&server, fault), Outcome::Complete);
        let truth = truth_of(&server, &fault.replace(':', "-"));
        let due = truth.choices[0].first_token_ns.unwrap();
        assert!(truth.written_ns[first] >= due + 120_000_000);
        // Those that waited follow at once, each with a write of its own.
        assert!(truth.written_ns[4] - truth.written_ns[first] < 100_000_000);
        assert!(truth.written_ns.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(truth.late_ns >= 100_000_000);
    }
    ask(&server, "stall-server:120", STREAM).unwrap();
    let truth = truth_of(&server, "stall-server-120");
    assert!(truth.choices[0].first_token_ns.unwrap() >= truth.received_ns + 120_000_000);

    let (parts, bytes, _) = raw(&server, "slow-head:150", STREAM);
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let mut seen = 0;
    let within = parts.iter().take_while(|(_, bytes)| {
        seen += bytes.len();
        seen < head
    });
    assert!(within.count() > 10);
    assert!(parts.last().unwrap().0 - parts[0].0 > 100_000_000);
    assert_eq!(contents(&parse(&bytes).unwrap().0.body), 5);
}

#[test]
fn heads_that_lie() {
    let server = start(config());
    assert!(ask(&server, "content-type", STREAM).unwrap().head.contains("content-type: text/html\r\n"));
    assert!(
        ask(&server, "content-type:application/x", WHOLE).unwrap().head.contains("content-type: application/x\r\n")
    );
    for body in [STREAM, WHOLE] {
        let mut client = Client::connect(&server);
        client.post(CHAT, &field("close"), body);
        let answer = client.answer().unwrap();
        assert!(!answer.head.contains("connection: close"));
        assert!(client.answer().is_none(), "it is closed all the same");
    }
}

#[test]
fn huge_answers_are_as_long_as_they_say() {
    let server = start(config());
    for body in [STREAM, WHOLE] {
        let answer = ask(&server, "huge:20000000", body).unwrap();
        assert_eq!(answer.status, 200);
        assert!(answer.body.len() > 20_000_000);
        let filled = answer.body.iter().filter(|byte| **byte == b'a').count();
        assert!((20_000_000..20_001_000).contains(&filled));
        if body == WHOLE {
            let json = answer.json();
            assert_eq!(json["choices"][0]["message"]["content"].as_str().map(str::len), Some(20_000_000));
            assert!(json["llmbench"]["written_ns"].is_u64());
        } else {
            assert_eq!(answer.chunks()[1]["choices"][0]["delta"]["content"].as_str().map(str::len), Some(20_000_000));
        }
    }
}

#[test]
fn faults_by_chance_and_none_where_none_is_drawn() {
    let faults = Faults { kinds: vec!["503".parse::<Fault>().unwrap()], probability: 0.5, seed: 1 };
    let server = start(Config { faults: faults.clone(), ..config() });
    let mut client = Client::connect(&server);
    let statuses: Vec<u16> = (0..40).map(|_| client.ask(CHAT, "", WHOLE).status).collect();
    let expected: Vec<u16> = (0..40).map(|number| if faults.draw(number).is_some() { 503 } else { 200 }).collect();
    assert_eq!(statuses, expected);
    assert!(statuses.contains(&200) && statuses.contains(&503));
    // A request that asks for a fault gets that one.
    let body = json!({"messages": [{"role": "user", "content": "a"}], "max_tokens": 1}).to_string();
    assert!((0..10).all(|_| client.ask(CHAT, "x-llmbench-fault: 429\r\n", &body).status == 429));
}

#[test]
fn a_client_that_does_not_read_gets_all_of_it_later() {
    let server = start(config());
    let mut client = Client::connect(&server);
    // SGLang's stream repeats the text: some 6 MB, more than the sockets hold.
    let body = json!({"text": "a", "sampling_params": {"max_new_tokens": 1500}, "stream": true});
    client.post("/generate", "x-request-id: slow\r\nconnection: close\r\n", &body.to_string());
    std::thread::sleep(Duration::from_secs(4));
    let (parts, error) = client.until_end();
    assert_eq!(error, None);
    let bytes: Vec<u8> = parts.into_iter().flat_map(|(_, bytes)| bytes).collect();
    let (answer, _) = parse(&bytes).unwrap();
    assert_eq!(answer.chunks().len(), 1500);
    let truth = truth_of(&server, "slow");
    assert_eq!((truth.outcome, truth.written_ns.len()), (Outcome::Complete, 1500));
    let stamps: Vec<u64> =
        answer.chunks().iter().map(|chunk| chunk["llmbench"]["written_ns"].as_u64().unwrap()).collect();
    assert_eq!(stamps, truth.written_ns);
}
