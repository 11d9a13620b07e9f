//! Stamps, the truth, and what the client saw: one story.

mod common;

use std::time::Duration;

use common::{Client, config, now_ns, start, truth_of, until};
use mock_openai::engine::EngineConfig;
use mock_openai::front::FrontConfig;
use mock_openai::tokens::{PromptText, Tokenizer};
use mock_openai::{Config, Outcome, Truth};
use serde_json::{Value, json};

/// Streams a request and returns the stamps of its events with content, with the time when each had been read.
fn streamed(client: &mut Client, id: &str, body: &Value) -> Vec<(u64, u64)> {
    let mut body = body.clone();
    body["stream"] = true.into();
    client.post("/v1/completions", &format!("x-request-id: {id}\r\nconnection: close\r\n"), &body.to_string());
    let (parts, error) = client.until_end();
    assert_eq!(error, None);
    let (mut text, mut read) = (String::new(), Vec::new());
    for (at_ns, bytes) in parts {
        text.push_str(std::str::from_utf8(&bytes).unwrap());
        read.resize(text.len(), at_ns);
    }
    let mut found = Vec::new();
    for (at, _) in text.match_indices("\"written_ns\":") {
        let digits = text[at + 13..].trim_start().split(|c: char| !c.is_ascii_digit()).next().unwrap();
        found.push((digits.parse().unwrap(), read[at + 13]));
    }
    found
}

#[test]
fn stamps_rise_are_before_the_read_and_are_the_truth() {
    let server = start(config());
    let mut client = Client::connect(&server);
    let before_ns = now_ns();
    let stamps = streamed(&mut client, "one", &json!({"prompt": "a b c", "max_tokens": 20}));
    assert_eq!(stamps.len(), 20);
    assert!(stamps.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert!(stamps.iter().all(|(written, read)| before_ns < *written && written < read), "{stamps:?}");
    let truth = truth_of(&server, "one");
    assert_eq!(truth.written_ns, stamps.iter().map(|(written, _)| *written).collect::<Vec<_>>());
    let choice = &truth.choices[0];
    let order = [
        before_ns,
        truth.received_ns,
        truth.front_start_ns.unwrap(),
        truth.front_done_ns.unwrap(),
        choice.queued_ns.unwrap(),
        choice.admitted_ns.unwrap(),
        choice.first_token_ns.unwrap(),
        truth.written_ns[0],
        truth.finished_ns,
        now_ns(),
    ];
    assert!(order.is_sorted(), "{order:?}");
    assert_eq!((choice.prompt_tokens, choice.cached_tokens, choice.output_tokens), (3, 0, 20));
    assert_eq!((truth.outcome, truth.stream, truth.fault.clone()), (Outcome::Complete, true, None));
    // The schedule is exact: one prefill of 3 tokens and 19 steps with one sequence.
    assert_eq!(choice.first_token_ns.unwrap() - choice.admitted_ns.unwrap(), 2_000_000 + 3 * 1_000);
    assert_eq!(choice.last_token_ns.unwrap() - choice.first_token_ns.unwrap(), 19 * 2_001_000);
    // No chunk before its time, and the server knows how late it was at most.
    let due = |index: u64| choice.first_token_ns.unwrap() + index * 2_001_000;
    let late: Vec<u64> =
        (0..20).map(|index| truth.written_ns[index as usize].checked_sub(due(index)).unwrap()).collect();
    assert_eq!(late.iter().max(), Some(&truth.late_ns));
}

#[test]
fn the_truth_is_told_over_http() {
    let server = start(Config { truth: 2, ..config() });
    let mut client = Client::connect(&server);
    for id in ["a", "b", "c"] {
        client.ask(
            "/v1/completions",
            &format!("x-request-id: {id}\r\n"),
            &json!({"prompt": "a", "max_tokens": 2}).to_string(),
        );
    }
    let told: Truth = serde_json::from_slice(&client.get("/llmbench/truth/c").body).unwrap();
    assert_eq!(told, *truth_of(&server, "c"));
    assert_eq!(told.written_ns.len(), 1);
    // The last two are kept.
    assert_eq!(client.get("/llmbench/truth/a").status, 404);
    let all = client.get("/llmbench/truth");
    let ids: Vec<String> = all.text().lines().map(|line| serde_json::from_str::<Truth>(line).unwrap().id).collect();
    assert_eq!(ids, ["b", "c"]);
}

#[test]
fn a_whole_answer_is_stamped_too() {
    let server = start(config());
    let mut client = Client::connect(&server);
    let answer = client.ask(
        "/v1/chat/completions",
        "x-request-id: w\r\n",
        r#"{"messages":[{"role":"user","content":"a"}],"max_tokens":3}"#,
    );
    let written = answer.json()["llmbench"]["written_ns"].as_u64().unwrap();
    assert!(written < now_ns());
    assert_eq!(truth_of(&server, "w").written_ns, [written]);
}

#[test]
fn the_front_end_serves_in_turn() {
    let front = FrontConfig { request_ns: 20_000_000, message_ns: 0, token_ns: 1_000_000, workers: 1, burn: false };
    let server = start(Config { front, ..config() });
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(&server)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.post(
            "/v1/completions",
            &format!("x-request-id: f{number}\r\n"),
            &json!({"prompt": "a b", "max_tokens": 1}).to_string(),
        );
    }
    for client in &mut clients {
        assert_eq!(client.answer().unwrap().status, 200);
    }
    let mut served: Vec<(u64, u64)> = (0..3)
        .map(|number| truth_of(&server, &format!("f{number}")))
        .map(|truth| (truth.front_start_ns.unwrap(), truth.front_done_ns.unwrap()))
        .collect();
    served.sort_unstable();
    assert!(served.iter().all(|(start, done)| done - start == 22_000_000), "{served:?}");
    assert!(served[1].0 == served[0].1 && served[2].0 == served[1].1, "{served:?}");
}

#[test]
fn a_front_end_that_burns_and_a_tokenizer_of_one_s_own() {
    let tokenizer = Tokenizer::Custom(std::sync::Arc::new(|prompt| match prompt {
        PromptText::Text("refuse") => Err("this text is refused".into()),
        PromptText::Text(text) => Ok(text.bytes().map(u32::from).collect()),
        PromptText::Messages { messages, .. } => Ok(vec![7; 10 * messages.len()]),
    }));
    let front = FrontConfig { request_ns: 5_000_000, message_ns: 0, token_ns: 0, workers: 2, burn: true };
    let server = start(Config { front, tokenizer, ..config() });
    let mut client = Client::connect(&server);
    let answer =
        client.ask("/v1/completions", "x-request-id: x\r\n", &json!({"prompt": "abcd", "max_tokens": 1}).to_string());
    assert_eq!(answer.json()["usage"]["prompt_tokens"], 4);
    let truth = truth_of(&server, "x");
    assert!(truth.front_done_ns.unwrap() - truth.front_start_ns.unwrap() >= 5_000_000);
    let body =
        json!({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "a"}], "max_tokens": 1});
    assert_eq!(client.ask("/v1/chat/completions", "", &body.to_string()).json()["usage"]["prompt_tokens"], 20);
    let refused = client.ask("/v1/completions", "", &json!({"prompt": "refuse"}).to_string());
    assert_eq!((refused.status, refused.text().contains("this text is refused")), (400, true));
    // A client that goes away while the front end is busy.
    client.post("/v1/completions", "", &json!({"prompt": "abcd", "max_tokens": 1}).to_string());
    drop(client);
    let mut client = Client::connect(&server);
    assert_eq!(client.ask("/v1/completions", "", &json!({"prompt": "abcd", "max_tokens": 1}).to_string()).status, 200);
    until("nothing is left", || server.counts().running == 0 && server.counts().waiting == 0);
}

/// A tokenizer of one's own has threads, and the front end's time passes in them, whatever the tokenizer took of it.
#[test]
fn a_tokenizer_of_one_s_own_and_the_price_of_each_form() {
    let tokenizer = Tokenizer::Custom(std::sync::Arc::new(|prompt| {
        std::thread::sleep(Duration::from_millis(2));
        Ok(match prompt {
            PromptText::Text(_) => vec![7; 4],
            PromptText::Messages { messages, .. } => vec![7; 2 * messages.len()],
        })
    }));
    let front = FrontConfig { request_ns: 0, message_ns: 10_000_000, token_ns: 5_000_000, workers: 1, burn: false };
    let server = start(Config { front, tokenizer, ..config() });
    let mut client = Client::connect(&server);
    let mut took_ms = |id: &str, path: &str, body: serde_json::Value| {
        client.ask(path, &format!("x-request-id: {id}\r\n"), &body.to_string());
        let truth = truth_of(&server, id);
        (truth.front_done_ns.unwrap() - truth.front_start_ns.unwrap()) / 1_000_000
    };
    let message = json!({"role": "user", "content": "a"});
    let messages = took_ms("m", "/v1/chat/completions", json!({"messages": [message, message], "max_tokens": 1}));
    let text = took_ms("t", "/v1/completions", json!({"prompt": "a", "max_tokens": 1}));
    let ids = took_ms("i", "/v1/completions", json!({"prompt": [7, 7, 7, 7], "max_tokens": 1}));
    // 2 messages and 4 tokens, 4 tokens, nothing; sleeping takes longer on a busy machine, never less.
    assert!(messages >= 40 && text >= 20 && text < messages && ids < text, "{messages}, {text} and {ids} ms");
}

#[test]
fn a_stall_holds_up_everybody() {
    let server = start(config());
    let mut client = Client::connect(&server);
    let mut other = Client::connect(&server);
    other.post(
        "/v1/completions",
        "x-request-id: o\r\n",
        &json!({"prompt": "b", "max_tokens": 50, "stream": true}).to_string(),
    );
    std::thread::sleep(Duration::from_millis(20));
    server.stall(Duration::from_millis(150));
    client.ask("/v1/completions", "x-request-id: s\r\n", &json!({"prompt": "a", "max_tokens": 1}).to_string());
    let truth = truth_of(&server, "s");
    let wait = truth.choices[0].admitted_ns.unwrap() - truth.choices[0].queued_ns.unwrap();
    // All of the stall but what it took to ask.
    assert!((50_000_000..160_000_000).contains(&wait), "{wait}");
    other.answer().unwrap();
    let truth = truth_of(&server, "o");
    let longest = truth.written_ns.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    // A chunk before the stall that was written late makes the gap so much shorter.
    assert!(longest + truth.late_ns >= 150_000_000, "{longest}");
    let asked = client.ask("/llmbench/stall/50", "", "").json();
    assert_eq!(asked["duration_ns"], 50_000_000);
    let start = now_ns();
    client.ask("/v1/completions", "", &json!({"prompt": "a", "max_tokens": 1}).to_string());
    assert!(now_ns() - start > 30_000_000);
}

#[test]
fn an_early_head_comes_before_the_first_token() {
    let engine = EngineConfig { step_ns: 100_000_000, ..config().engine };
    for early_head in [false, true] {
        let server = start(Config { early_head, engine: engine.clone(), ..config() });
        let mut client = Client::connect(&server);
        client.post(
            "/v1/completions",
            "connection: close\r\n",
            &json!({"prompt": "a", "max_tokens": 1, "stream": true}).to_string(),
        );
        let (parts, _) = client.until_end();
        let first = String::from_utf8_lossy(&parts[0].1).into_owned();
        assert_eq!(first.ends_with("\r\n\r\n") && !first.contains("data:"), early_head, "{first}");
        if early_head {
            assert!(parts[1].0 - parts[0].0 > 50_000_000, "the token takes a step of 100 ms");
        }
    }
}

#[test]
fn many_streams_over_several_threads() {
    let server = start(Config { io_threads: 3, ..config() });
    std::thread::scope(|scope| {
        for number in 0..16 {
            let server = &server;
            scope.spawn(move || {
                let mut client = Client::connect(server);
                let id = format!("m{number}");
                let stamps = streamed(&mut client, &id, &json!({"prompt": id, "max_tokens": 40}));
                assert_eq!(stamps.len(), 40);
                assert!(stamps.iter().all(|(written, read)| written < read));
                let truth = truth_of(server, &id);
                assert!(truth.written_ns.iter().eq(stamps.iter().map(|(written, _)| written)));
            });
        }
    });
    assert_eq!((server.counts().running, server.counts().blocks_used), (0, 0));
}
