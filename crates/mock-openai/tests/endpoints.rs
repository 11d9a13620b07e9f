//! Every endpoint over a real socket.

mod common;

use common::{Client, config, start, truth_of, until};
use mock_openai::{Config, Listen, Outcome, Server};
use serde_json::{Value, json};

fn chat(stream: bool, more: Value) -> String {
    let mut body = json!({"model": "mock", "messages": [{"role": "user", "content": "hello you there"}], "max_tokens": 5, "stream": stream});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string()
}

#[test]
fn chat_streamed_and_whole_say_the_same() {
    let server = start(config());
    let mut client = Client::connect(&server);
    let whole = client.ask("/v1/chat/completions", "", &chat(false, json!({})));
    assert_eq!(whole.status, 200);
    let whole = whole.json();
    let text = whole["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert_eq!(text.split_ascii_whitespace().count(), 5);
    assert_eq!(whole["choices"][0]["finish_reason"], "length");
    let usage = json!({"prompt_tokens": 6, "total_tokens": 11, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 0}});
    assert_eq!(whole["usage"], usage);

    let streamed =
        client.ask("/v1/chat/completions", "", &chat(true, json!({"stream_options": {"include_usage": true}})));
    assert!(streamed.head.contains("content-type: text/event-stream"), "{}", streamed.head);
    assert_eq!(streamed.events().last().unwrap(), "[DONE]");
    let chunks = streamed.chunks();
    assert_eq!(chunks.len(), 1 + 5 + 1);
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    let content: String =
        chunks[1..6].iter().map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().unwrap()).collect();
    assert_eq!(content, text);
    let reasons: Vec<&Value> = chunks[..6].iter().map(|chunk| &chunk["choices"][0]["finish_reason"]).collect();
    assert_eq!(reasons, [&Value::Null, &Value::Null, &Value::Null, &Value::Null, &Value::Null, &json!("length")]);
    assert_eq!((&chunks[6]["choices"], &chunks[6]["usage"]), (&json!([]), &usage));
    let indices: Vec<&Value> = chunks[1..].iter().map(|chunk| &chunk["llmbench"]["index"]).collect();
    assert_eq!(indices, [0, 1, 2, 3, 4, 5]);

    // Without being asked, no usage.
    let streamed = client.ask("/v1/chat/completions", "", &chat(true, json!({})));
    assert!(streamed.chunks().iter().all(|chunk| chunk["usage"].is_null()));
}

#[test]
fn one_prompt_in_four_apis_gets_one_answer() {
    let server = start(config());
    let mut client = Client::connect(&server);
    let ids = client.ask("/tokenize", "", &json!({"prompt": "one two three"}).to_string()).json();
    assert_eq!((ids["count"].as_u64(), ids["tokens"].as_array().unwrap().len()), (Some(3), 3));
    let llama = client.ask("/tokenize", "", &json!({"content": "one two three"}).to_string()).json();
    assert_eq!(llama["tokens"], ids["tokens"]);
    let ids = &ids["tokens"];
    let mut texts = Vec::new();
    for prompt in [json!("one two three"), ids.clone(), json!([ids])] {
        let body = json!({"prompt": prompt, "max_tokens": 4, "model": "mock"});
        let whole = client.ask("/v1/completions", "", &body.to_string()).json();
        texts.push(whole["choices"][0]["text"].as_str().unwrap().to_owned());
        let mut body = body;
        body["stream"] = true.into();
        let chunks = client.ask("/v1/completions", "", &body.to_string()).chunks();
        texts.push(chunks.iter().map(|chunk| chunk["choices"][0]["text"].as_str().unwrap()).collect());
    }
    for prompt in [json!({"text": "one two three"}), json!({"input_ids": ids})] {
        let mut body = prompt;
        body["sampling_params"] = json!({"max_new_tokens": 4, "ignore_eos": true});
        let whole = client.ask("/generate", "", &body.to_string()).json();
        texts.push(whole["text"].as_str().unwrap().to_owned());
        assert_eq!(whole["meta_info"]["prompt_tokens"], 3);
        assert_eq!(whole["meta_info"]["finish_reason"], json!({"type": "length", "length": 4}));
        assert_eq!(whole["output_ids"].as_array().unwrap().len(), 4);
        body["stream"] = true.into();
        let answer = client.ask("/generate", "", &body.to_string());
        assert_eq!(answer.events().last().unwrap(), "[DONE]");
        let chunks = answer.chunks();
        // Each repeats all of the text.
        assert_eq!(
            chunks.iter().map(|chunk| chunk["text"].as_str().unwrap().len()).collect::<Vec<_>>(),
            [5, 10, 15, 20]
        );
        texts.push(chunks[3]["text"].as_str().unwrap().to_owned());
    }
    for prompt in [json!("one two three"), ids.clone(), json!([ids[0], " two three"])] {
        let mut body = json!({"prompt": prompt, "n_predict": 4});
        let whole = client.ask("/completion", "", &body.to_string()).json();
        texts.push(whole["content"].as_str().unwrap().to_owned());
        body["stream"] = true.into();
        let answer = client.ask("/completion", "", &body.to_string());
        let chunks = answer.chunks();
        assert_eq!(chunks.len(), 5);
        assert_eq!(
            (&chunks[4]["stop"], &chunks[4]["tokens_predicted"], &chunks[4]["tokens_evaluated"]),
            (&json!(true), &json!(4), &json!(3))
        );
        texts.push(chunks.iter().map(|chunk| chunk["content"].as_str().unwrap()).collect());
    }
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
}

#[test]
fn several_prompts_and_choices() {
    let server = start(config());
    let mut client = Client::connect(&server);
    let body = json!({"prompt": ["a", "b c"], "n": 2, "max_tokens": 3, "stream": true, "stream_options": {"include_usage": true}});
    let chunks = client.ask("/v1/completions", "", &body.to_string()).chunks();
    for index in 0..4 {
        assert_eq!(chunks.iter().filter(|chunk| chunk["choices"][0]["index"] == index).count(), 3);
    }
    let usage = &chunks.last().unwrap()["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(3), &json!(12)));
    let body = json!({"prompt": ["a", "b"], "n": 2, "max_tokens": 3});
    let whole = client.ask("/v1/completions", "", &body.to_string()).json();
    let texts: Vec<&str> =
        whole["choices"].as_array().unwrap().iter().map(|choice| choice["text"].as_str().unwrap()).collect();
    assert!(texts.len() == 4 && texts[0] != texts[1] && texts[0] != texts[2]);
}

#[test]
fn reasoning_comes_first() {
    let server = start(config());
    let mut client = Client::connect(&server);
    let body = chat(true, json!({"stream_options": {"include_usage": true}}));
    let chunks = client.ask("/v1/chat/completions", "x-llmbench-reasoning: 3\r\n", &body).chunks();
    let kinds: Vec<&str> = chunks[1..6]
        .iter()
        .map(
            |chunk| if chunk["choices"][0]["delta"]["reasoning_content"].is_string() { "reasoning" } else { "content" },
        )
        .collect();
    assert_eq!(kinds, ["reasoning", "reasoning", "reasoning", "content", "content"]);
    assert_eq!(chunks[6]["usage"]["completion_tokens_details"]["reasoning_tokens"], 3);
}

#[test]
fn answers_of_natural_length_and_those_that_ignore_the_end() {
    let server = start(Config { natural_tokens: Some(2..=4), ..config() });
    let mut client = Client::connect(&server);
    let mut lengths = std::collections::BTreeSet::new();
    for number in 0..20 {
        let body = json!({"prompt": format!("prompt {number}"), "max_tokens": 9});
        let whole = client.ask("/v1/completions", "", &body.to_string()).json();
        assert_eq!(whole["choices"][0]["finish_reason"], "stop");
        lengths.insert(whole["usage"]["completion_tokens"].as_u64().unwrap());
    }
    assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [2, 3, 4]);
    let body = json!({"prompt": "a", "max_tokens": 9, "ignore_eos": true});
    assert_eq!(client.ask("/v1/completions", "", &body.to_string()).json()["usage"]["completion_tokens"], 9);
}

#[test]
fn wrong_requests_get_the_field_s_errors() {
    let server = start(Config { max_model_len: 100, api_key: Some("secret".into()), ..config() });
    let mut client = Client::connect(&server);
    let key = "authorization: Bearer secret\r\n";
    for (path, fields, body, status, part) in [
        ("/v1/chat/completions", "", chat(false, json!({})), 401, "API key"),
        ("/v1/chat/completions", "authorization: Bearer other\r\n", chat(false, json!({})), 401, "API key"),
        ("/v1/chat/completions", key, chat(false, json!({"model": "gpt"})), 404, "`gpt`"),
        ("/v1/chat/completions", key, chat(false, json!({"max_tokens": 99_999_999})), 400, "context"),
        ("/v1/chat/completions", key, chat(false, json!({"max_tokens": 0})), 400, "at least 1"),
        ("/v1/chat/completions", key, "{".into(), 400, "EOF"),
        ("/v1/completions", key, json!({"prompt": ""}).to_string(), 400, "no token"),
        ("/v1/completions", key, json!({"prompt": "a ".repeat(200)}).to_string(), 400, "context"),
        ("/v1/nothing", key, "{}".into(), 404, "/v1/models"),
        ("/v1/models", key, "{}".into(), 405, "GET"),
        ("/generate", "x-llmbench-fault: nonsense\r\n", json!({"text": "a"}).to_string(), 400, "stall-server"),
    ] {
        let answer = client.ask(path, fields, &body);
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(client.get("/health").status, 200);
    client.send(b"GET /v1/models HTTP/1.1\r\nauthorization: Bearer secret\r\n\r\n");
    assert_eq!(client.answer().unwrap().json()["data"][0]["id"], "mock");
    // What is no HTTP is answered once, and the connection ends.
    client.send(b"hello\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 400);
    assert!(client.answer().is_none());
    // A client that is still sending reads why it need not.
    let mut client = Client::connect(&server);
    client.send(b"POST /v1/completions HTTP/1.1\r\ncontent-length: 10000000000\r\n\r\n");
    client.send(&[b' '; 1 << 20]);
    assert_eq!(client.answer().unwrap().status, 413);
    // A refusal leaves no trace in the engine.
    assert_eq!((server.counts().steps, server.counts().running), (0, 0));
}

#[test]
fn a_connection_serves_one_request_after_the_other_however_they_come() {
    let server = start(config());
    let mut client = Client::connect(&server);
    let body = json!({"prompt": "a b", "max_tokens": 3, "stream": true}).to_string();
    let mut bytes = Vec::new();
    for number in 0..3 {
        bytes.extend(common::request("/v1/completions", &format!("x-request-id: r{number}\r\n"), &body));
        bytes.extend_from_slice(b"GET /health HTTP/1.1\r\n\r\n");
    }
    client.send(&bytes);
    for number in 0..3 {
        let answer = client.answer().unwrap();
        assert!(answer.head.contains(&format!("x-request-id: r{number}\r\n")), "{}", answer.head);
        assert_eq!(answer.chunks().len(), 3);
        assert_eq!(client.answer().unwrap().status, 200);
    }
    // Byte by byte, in chunks, after 100 Continue.
    for byte in common::request("/v1/completions", "", &body) {
        client.send(&[byte]);
    }
    assert_eq!(client.answer().unwrap().chunks().len(), 3);
    client.send(b"POST /v1/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 100);
    for part in body.as_bytes().chunks(7) {
        client.send(format!("{:x}\r\n", part.len()).as_bytes());
        client.send(part);
        client.send(b"\r\n");
    }
    client.send(b"0\r\n\r\n");
    assert_eq!(client.answer().unwrap().chunks().len(), 3);
    // Many that are refused one after the other.
    client.send(&common::request("/v1/completions", "", r#"{"prompt":""}"#).repeat(3_000));
    for _ in 0..3_000 {
        assert_eq!(client.answer().unwrap().status, 400);
    }
    // The last request of a connection, and one of HTTP/1.0.
    client.post("/v1/completions", "connection: close\r\n", &body);
    let answer = client.answer().unwrap();
    assert!(answer.head.contains("connection: close") && client.answer().is_none());
    let mut client = Client::connect(&server);
    client.send(format!("POST /v1/completions HTTP/1.0\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes());
    let (parts, error) = client.until_end();
    let text: String = parts.into_iter().map(|(_, bytes)| String::from_utf8(bytes).unwrap()).collect();
    assert!(error.is_none() && !text.contains("chunked") && text.ends_with("data: [DONE]\n\n"), "{text}");
}

#[test]
fn a_client_that_goes_away_frees_what_it_held() {
    let server = start(config());
    let body = json!({"prompt": "a b c", "max_tokens": 100_000, "stream": true}).to_string();
    let mut client = Client::connect(&server);
    client.post("/v1/completions", "x-request-id: gone\r\n", &body);
    until("a sequence runs", || server.counts().running == 1 && server.counts().blocks_used > 0);
    drop(client);
    until("it is gone", || server.counts().running == 0 && server.counts().blocks_used == 0);
    let truth = truth_of(&server, "gone");
    assert_eq!(truth.outcome, Outcome::Aborted);
    assert!(truth.choices[0].output_tokens < 100_000 && truth.choices[0].last_token_ns.is_none());
}

#[test]
fn a_unix_socket_and_a_stop_within_a_stream() {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mock.sock");
    let server = Server::start(config(), &Listen::Unix(path.clone())).unwrap();
    assert_eq!(server.endpoint().to_string(), format!("unix:{}", path.display()));
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let body = json!({"prompt": "a", "max_tokens": 100_000, "stream": true}).to_string();
    stream.write_all(&common::request("/v1/completions", "", &body)).unwrap();
    let mut bytes = [0; 100];
    assert!(stream.read(&mut bytes).unwrap() > 0);
    assert!(Server::start(config(), &Listen::Unix(path.clone())).is_err(), "it is taken");
    server.stop();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(!path.exists());
    // What a killed server leaves behind does not keep the next from starting.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists() && Server::start(config(), &Listen::Unix(path)).is_ok());
}

#[test]
fn metrics_count_what_was_done() {
    let server = start(config());
    let mut client = Client::connect(&server);
    let prompt: Vec<u32> = (0..40).collect();
    let body = json!({"prompt": prompt, "max_tokens": 5}).to_string();
    for _ in 0..3 {
        client.ask("/v1/completions", "", &body);
    }
    let text = client.get("/metrics").text().to_owned();
    let value = |name: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name}{{")))
            .unwrap_or_else(|| panic!("no {name} in {text}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert_eq!(value("vllm:prompt_tokens_total"), 120.0);
    assert_eq!(value("vllm:generation_tokens_total"), 15.0);
    assert_eq!((value("vllm:prefix_cache_queries_total"), value("vllm:prefix_cache_hits_total")), (120.0, 64.0));
    for name in ["time_to_first_token", "request_queue_time", "request_prefill_time", "e2e_request_latency"] {
        assert_eq!(value(&format!("vllm:{name}_seconds_count")), 3.0);
    }
    assert!(value("vllm:request_prefill_time_seconds_sum") >= 3.0 * 0.002);
    assert_eq!((value("vllm:num_requests_running"), value("vllm:num_requests_waiting")), (0.0, 0.0));
    assert!(text.contains("finished_reason=\"length\"} 3\n"));
}
