//! The sidecar between a client and a server that both belong to the test.
//!
//! A little over 500 lines: one test a promise of the component, all on the same client and server.

#[path = "sidecar/client.rs"]
mod client;
#[path = "sidecar/limits.rs"]
mod limits;
#[allow(dead_code, reason = "cli.rs uses the rest")]
#[path = "cli/model.rs"]
mod model;
#[path = "sidecar/upstream.rs"]
mod upstream;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use server_api::{LLAMA_CPP, OPENAI_COMPLETIONS, SGLANG};
use sidecar::metrics::Outcome;
use sidecar::{Api, BaseUrl, Drained, Endpoint, Pipeline, Settings, Sidecar};

use client::{Client, Reply};
use upstream::{Asked, Conn, Then, Upstream};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

static TOKENIZER: LazyLock<String> = LazyLock::new(|| model::tokenizer(false).to_string());
static PIPELINE: LazyLock<Arc<Pipeline>> = LazyLock::new(|| pipeline(model::CHATML));

fn pipeline(template: &str) -> Arc<Pipeline> {
    let dir = tempfile::tempdir().unwrap();
    model::write_files(dir.path(), &TOKENIZER, template);
    Arc::new(Pipeline::load(dir.path(), None).unwrap())
}

/// Ids by the reference of a conversation in ChatML.
fn ids(messages: &[(&str, &str)]) -> Vec<u32> {
    let messages = messages.iter().map(|(role, content)| format!("<|im_start|>{role}\n{content}<|im_end|>\n"));
    let prompt = messages.collect::<String>() + "<|im_start|>assistant\n";
    let tokenizer = tokenizers::Tokenizer::from_bytes(TOKENIZER.as_bytes()).unwrap();
    tokenizer.encode(prompt, false).unwrap().get_ids().to_vec()
}

fn settings(upstream: &Upstream, api: Api) -> Settings {
    Settings::new(BaseUrl::parse(&upstream.url()).unwrap(), api, 2)
}

fn start(upstream: &Upstream, api: Api) -> Sidecar {
    Sidecar::start(settings(upstream, api), &PIPELINE).unwrap()
}

fn client(sidecar: &Sidecar) -> Client {
    Client::connect(sidecar.endpoint())
}

fn body(stream: bool) -> Value {
    json!({"model": "small", "stream": stream, "max_tokens": 4, "messages": [{"role": "user", "content": "Ça va? 🎈 <|im_end|>"}]})
}

fn text_chunk(text: &str, finish: Value) -> String {
    let chunk = json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "small",
        "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": finish}]});
    format!("data: {chunk}\n\n")
}

fn greeting() -> String {
    [
        &text_chunk("Hé", json!(null))[..],
        &text_chunk("llo \"w", json!(null)),
        &text_chunk("🎈\n", json!("length")),
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,\"total_tokens\":12}}\n\n",
        "data: [DONE]\n\n",
    ]
    .concat()
}

/// Waits until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn ids_are_the_references_and_a_stream_becomes_chunks_wherever_it_is_cut() {
    for step in [1, 7, 100_000] {
        let upstream = Upstream::start(move |_, conn| {
            conn.stream(&greeting(), step);
            Then::Keep
        });
        let sidecar = start(&upstream, OPENAI_COMPLETIONS);
        let mut client = client(&sidecar);
        let mut body = body(true);
        body["stream_options"] = json!({"include_usage": true});
        let key = "authorization: Bearer k-e-y\r\nx-request-id: r1\r\ncookie: c\r\n";
        let reply = client.ask("POST", "/v1/chat/completions", key, &body.to_string());
        assert_eq!(reply.head.status, 200, "{}", reply.text());
        assert_eq!(reply.head.headers["content-type"], "text/event-stream");
        assert!(reply.head.headers["server-timing"].contains("tokenize;dur="));
        assert_eq!(reply.content(), "Héllo \"w🎈\n");
        let events = reply.events();
        assert_eq!(events.len(), 5, "{events:?}");
        assert_eq!(events[0]["choices"][0]["delta"], json!({"role": "assistant", "content": "Hé"}));
        assert_eq!(events[2]["choices"][0]["finish_reason"], "length");
        assert_eq!(events[3]["usage"]["total_tokens"], 12);
        assert_eq!(events[4], "[DONE]");
        assert!(
            events[..4].iter().all(|event| event["object"] == "chat.completion.chunk" && event["model"] == "small")
        );
        assert!(events[..4].iter().all(|event| event["id"] == events[0]["id"]));

        let asked = &upstream.asked()[0];
        assert_eq!(asked.line, "POST /v1/completions HTTP/1.1");
        assert_eq!(asked.headers["authorization"], "Bearer k-e-y");
        assert_eq!(asked.headers["x-request-id"], "r1");
        assert!(!asked.headers.contains_key("cookie"));
        let want = json!({"prompt": ids(&[("user", "Ça va? 🎈 <|im_end|>")]), "model": "small",
            "stream_options": {"include_usage": true}, "max_tokens": 4, "stream": true});
        assert_eq!(asked.json(), want);
    }
}

#[test]
fn a_whole_answer_becomes_a_chat_completion() {
    let upstream = Upstream::start(|_, conn| {
        let answer =
            json!({"choices": [{"index": 0, "text": "Hi", "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}});
        conn.whole("200 OK", "application/json", &answer.to_string());
        Then::Keep
    });
    let sidecar = start(&upstream, OPENAI_COMPLETIONS);
    let mut client = client(&sidecar);
    for turn in 1..=3 {
        let reply = client.chat(&body(false));
        let answer = reply.json();
        assert_eq!(
            answer["choices"],
            json!([{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}])
        );
        assert_eq!((&answer["object"], &answer["usage"]), (&json!("chat.completion"), &json!({"prompt_tokens": 3})));
        assert_eq!(reply.head.headers["x-served-by"], "script");
        until("the request is counted", || sidecar.metrics().count(Outcome::Answered) == turn);
    }
    assert_eq!(upstream.connections(), 1, "the connection is kept");
}

#[test]
fn sglang_and_llamacpp_are_spoken_to_in_their_own_way() {
    let upstream = Upstream::start(|asked, conn| {
        let events = if asked.line.contains("/generate") {
            "data: {\"text\":\"a\",\"meta_info\":{\"finish_reason\":null}}\n\n\
             data: {\"text\":\"ab\",\"meta_info\":{\"finish_reason\":{\"type\":\"stop\"},\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n\
             data: [DONE]\n\n"
        } else {
            "data: {\"content\":\"a\",\"stop\":false}\n\n\
             data: {\"content\":\"b\",\"stop\":false}\n\n\
             data: {\"content\":\"\",\"stop\":true,\"stop_type\":\"eos\",\"tokens_predicted\":2}\n\n"
        };
        conn.stream(events, 11);
        Then::Close
    });
    let want = ids(&[("user", "Ça va? 🎈 <|im_end|>")]);
    for (api, path, prompt) in [(SGLANG, "/generate", "input_ids"), (LLAMA_CPP, "/completion", "prompt")] {
        let sidecar = start(&upstream, api);
        let mut body = body(true);
        body["stream_options"] = json!({"include_usage": true});
        let reply = client(&sidecar).chat(&body);
        assert_eq!(reply.content(), "ab", "{}", reply.text());
        let events = reply.events();
        assert_eq!(events.last().unwrap(), "[DONE]");
        assert_eq!(events[events.len() - 2]["usage"]["completion_tokens"], 2);
        let asked = upstream.asked();
        let asked = asked.last().unwrap();
        assert!(asked.line.contains(path));
        assert_eq!(asked.json()[prompt], json!(want));
    }
}

#[test]
fn events_are_passed_on_as_they_come() {
    let (go, gone) = channel::<()>();
    let gone = Mutex::new(gone);
    let upstream = Upstream::start(move |_, conn| {
        conn.stream_head();
        for text in ["one", "two"] {
            conn.chunk(text_chunk(text, json!(null)).as_bytes());
            gone.lock().unwrap().recv().unwrap();
        }
        conn.chunk(text_chunk("", json!("stop")).as_bytes());
        conn.stream_end();
        Then::Keep
    });
    let sidecar = start(&upstream, OPENAI_COMPLETIONS);
    let mut client = client(&sidecar);
    client.send("POST", "/v1/chat/completions", "", &body(true).to_string());
    assert_eq!(client.head().status, 200);
    for text in ["one", "two"] {
        // The upstream writes nothing more before this has arrived here.
        let chunk = String::from_utf8(client.chunk().unwrap()).unwrap();
        assert!(chunk.contains(&format!("\"content\":\"{text}\"")), "{chunk}");
        go.send(()).unwrap();
    }
    let rest: Vec<u8> = std::iter::from_fn(|| client.chunk()).flatten().collect();
    assert!(rest.ends_with(b"data: [DONE]\n\n"));
}

#[test]
fn errors_of_the_upstream_come_with_their_status() {
    let upstream = Upstream::start(|asked, conn| {
        match asked.headers.get("x-case").map(String::as_str) {
            Some("429") => {
                conn.raw(b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nslow")
            }
            Some("404") => conn.whole("404 Not Found", "application/json", "{\"error\":{\"message\":\"no model\"}}"),
            Some("302") => conn.raw(b"HTTP/1.1 302 Found\r\nlocation: http://elsewhere/\r\ncontent-length: 0\r\n\r\n"),
            Some("html") => conn.whole("200 OK", "text/html", "<p>"),
            Some("cut") => {
                conn.stream_head();
                conn.chunk(text_chunk("a", json!(null)).as_bytes());
                return Then::Close;
            }
            Some("error") => conn.stream("data: {\"error\":{\"message\":\"out of memory\"}}\n\ndata: [DONE]\n\n", 9),
            _ => return Then::Close,
        }
        Then::Keep
    });
    let sidecar = start(&upstream, OPENAI_COMPLETIONS);
    let mut client = client(&sidecar);
    let mut case = |name: &str, stream: bool| {
        client.ask("POST", "/v1/chat/completions", &format!("x-case: {name}\r\n"), &body(stream).to_string())
    };
    for stream in [true, false] {
        let reply = case("429", stream);
        assert_eq!((reply.head.status, reply.text().as_str()), (429, "slow"));
        assert_eq!(reply.head.headers["retry-after"], "7");
        let reply = case("404", stream);
        assert_eq!((reply.head.status, reply.message().as_str()), (404, "no model"));
        let reply = case("302", stream);
        assert!(reply.head.status == 502 && reply.message().contains("nothing is followed"), "{}", reply.text());
        let reply = case("nothing", stream);
        assert!(reply.head.status == 502 && reply.message().contains("broke off"), "{}", reply.text());
        let reply = case("html", stream);
        assert!(reply.head.status == 502 && reply.message().contains("--upstream-api"), "{}", reply.text());
    }
    let reply = case("cut", true);
    assert!(reply.head.status == 200 && reply.content() == "a", "{}", reply.text());
    assert!(reply.text().contains("broke off") && !reply.text().contains("[DONE]"), "{}", reply.text());
    let reply = case("error", true);
    assert!(reply.text().contains("out of memory") && !reply.text().contains("[DONE]"), "{}", reply.text());
    let metrics = sidecar.metrics();
    until("all are counted", || metrics.count(Outcome::UpstreamFailed) == 8);
    assert_eq!((metrics.count(Outcome::UpstreamStatus), metrics.count(Outcome::Answered)), (4, 0));
}

#[test]
fn an_upstream_that_is_not_there_or_silent_is_named() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = BaseUrl::parse(&format!("http://127.0.0.1:{port}")).unwrap();
    let sidecar = Sidecar::start(Settings::new(url, OPENAI_COMPLETIONS, 1), &PIPELINE).unwrap();
    let reply = client(&sidecar).chat(&body(true));
    assert_eq!(reply.head.status, 502);
    assert!(
        reply.message().contains(&format!("127.0.0.1:{port}")) && reply.message().contains("check that"),
        "{}",
        reply.text()
    );
    assert_eq!(client(&sidecar).ask("GET", "/health", "", "").head.status, 200);
    assert_eq!(client(&sidecar).ask("GET", "/ready", "", "").head.status, 503);

    let upstream = Upstream::start(|asked, conn| {
        if asked.headers.contains_key("x-begin") {
            conn.stream_head();
            conn.chunk(text_chunk("a", json!(null)).as_bytes());
        }
        conn.is_left();
        Then::Close
    });
    let mut settings = settings(&upstream, OPENAI_COMPLETIONS);
    settings.silence_timeout = Duration::from_millis(100);
    let sidecar = Sidecar::start(settings, &PIPELINE).unwrap();
    let reply = client(&sidecar).chat(&body(false));
    assert!(reply.head.status == 504 && reply.message().contains("within 0.1 s"), "{}", reply.text());
    let reply = client(&sidecar).ask("POST", "/v1/chat/completions", "x-begin: 1\r\n", &body(true).to_string());
    assert!(reply.content() == "a" && reply.text().contains("nothing came for 0.1 s"), "{}", reply.text());
}

#[test]
fn requests_that_cannot_be_served_are_refused_here() {
    let upstream = Upstream::start(|_, _| Then::Close);
    let mut settings = settings(&upstream, OPENAI_COMPLETIONS);
    settings.max_body = 10_000;
    let sidecar = Sidecar::start(settings, &PIPELINE).unwrap();
    let refused = |body: &str| -> (u16, String) {
        let reply: Reply = client(&sidecar).ask("POST", "/v1/chat/completions", "", body);
        (reply.head.status, reply.message())
    };
    let message = r#""messages": [{"role": "user", "content": "a"}]"#;
    for (body, status, said) in [
        ("{".to_owned(), 400, "EOF"),
        (r#"{"messages": []}"#.to_owned(), 400, "at least one message"),
        (format!("{{{message}, \"logprobs\": true}}"), 400, "logprobs is not supported"),
        (format!("{{{message}, \"tool_choice\": \"required\"}}"), 400, "tool_choice"),
        (format!("{{{message}, \"n\": 0}}"), 400, "n must be"),
        (format!("{{{message}, \"stream\": 1}}"), 400, "stream must be"),
        (
            r#"{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}"#.to_owned(),
            400,
            "image_url",
        ),
        ("x".repeat(10_001), 413, "--max-body-mb"),
    ] {
        let (got, message) = refused(&body);
        assert!(got == status && message.contains(said), "{body:.80}: {got} {message}");
    }
    for (method, path, status) in
        [("GET", "/v1/chat/completions", 405), ("POST", "/health", 405), ("GET", "/v1/embeddings", 404)]
    {
        assert_eq!(client(&sidecar).ask(method, path, "", "").head.status, status, "{method} {path}");
    }
    assert_eq!(upstream.asked().len(), 0);
    until("all are counted", || sidecar.metrics().count(Outcome::Refused) == 8);
    let metrics = client(&sidecar).ask("GET", "/metrics", "", "").text();
    assert!(metrics.contains("llmbench_sidecar_requests_total{outcome=\"refused\"} 8\n"), "{metrics}");
    // Harmless where they ask for nothing.
    let off =
        format!("{{{message}, \"logprobs\": false, \"top_logprobs\": null, \"tool_choice\": \"none\", \"n\": 1}}");
    assert_eq!(refused(&off).0, 502);
}

#[test]
fn models_are_the_upstreams() {
    let upstream = Upstream::start(|asked, conn| {
        let key = asked.headers.get("authorization").map(String::as_str);
        let (status, list) =
            if key == Some("Bearer k") { ("200 OK", "{\"data\":[]}") } else { ("401 Unauthorized", "{}") };
        conn.whole(status, "application/json", list);
        Then::Keep
    });
    let sidecar = start(&upstream, OPENAI_COMPLETIONS);
    let mut client = client(&sidecar);
    assert_eq!(client.ask("GET", "/v1/models", "authorization: Bearer k\r\n", "").json(), json!({"data": []}));
    assert_eq!(client.ask("GET", "/v1/models", "", "").head.status, 401);
    assert_eq!(client.ask("GET", "/ready", "", "").head.status, 503);
}

#[test]
fn a_client_that_leaves_frees_the_upstream() {
    let left = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&left);
    let upstream = Upstream::start(move |asked: &Asked, conn: &mut Conn| {
        if asked.json()["stream"] == true {
            conn.stream_head();
            conn.chunk(text_chunk("a", json!(null)).as_bytes());
        }
        seen.store(conn.is_left(), SeqCst);
        Then::Close
    });
    let sidecar = start(&upstream, OPENAI_COMPLETIONS);
    for (turn, stream) in [true, false].into_iter().enumerate() {
        left.store(false, SeqCst);
        let mut client = client(&sidecar);
        client.send("POST", "/v1/chat/completions", "", &body(stream).to_string());
        if stream {
            client.head();
            client.chunk().unwrap();
        } else {
            until("the request arrives", || upstream.asked().len() == turn + 1);
        }
        drop(client);
        until("the upstream sees that nobody waits", || left.load(SeqCst));
        until("it is counted", || sidecar.metrics().count(Outcome::ClientGone) == turn as u64 + 1);
    }
}

#[test]
fn a_kept_connection_that_the_upstream_closed_costs_no_request() {
    // It announces to keep the connection and closes it, as llama-server does after a stream.
    let upstream = Upstream::start(|_, conn| {
        conn.stream(&greeting(), 1000);
        Then::Close
    });
    let sidecar = start(&upstream, OPENAI_COMPLETIONS);
    let mut client = client(&sidecar);
    for _ in 0..50 {
        assert_eq!(client.chat(&body(true)).content(), "Héllo \"w🎈\n");
    }
    assert!(upstream.connections() >= 50);
}

#[test]
fn beyond_the_queue_requests_are_told_to_come_again() {
    // A rendering that takes long, and ends.
    let slow = format!(
        "{{% for a in range(60000) %}}{{% if a is divisibleby 7 %}}{{% endif %}}{{% endfor %}}{}",
        model::CHATML
    );
    let pipeline = pipeline(&slow);
    let upstream = Upstream::start(|_, conn| {
        conn.stream(&greeting(), 1000);
        Then::Keep
    });
    let mut settings = settings(&upstream, OPENAI_COMPLETIONS);
    (settings.workers, settings.queue) = (1, 1);
    let sidecar = Sidecar::start(settings, &pipeline).unwrap();
    let mut clients: Vec<Client> = (0..12).map(|_| client(&sidecar)).collect();
    for client in &mut clients {
        client.send("POST", "/v1/chat/completions", "", &body(true).to_string());
    }
    let replies: Vec<Reply> = clients.iter_mut().map(Client::receive).collect();
    let (refused, answered): (Vec<&Reply>, Vec<&Reply>) = replies.iter().partition(|reply| reply.head.status == 503);
    assert!(!refused.is_empty() && !answered.is_empty(), "{} refused", refused.len());
    for reply in refused {
        assert!(reply.head.headers["retry-after"].parse::<u64>().unwrap() >= 1);
        assert!(reply.message().contains("queue is full"), "{}", reply.text());
    }
    assert!(answered.iter().all(|reply| reply.head.status == 200 && reply.content() == "Héllo \"w🎈\n"));
}

#[test]
fn draining_finishes_what_is_under_way_and_takes_nothing_new() {
    let (go, gone) = channel::<()>();
    let gone = Mutex::new(gone);
    let upstream = Upstream::start(move |_, conn| {
        conn.stream_head();
        conn.chunk(text_chunk("a", json!(null)).as_bytes());
        // Ends also when the test does.
        let _ = gone.lock().unwrap().recv();
        conn.chunk(text_chunk("b", json!("stop")).as_bytes());
        conn.stream_end();
        Then::Keep
    });
    let sidecar = start(&upstream, OPENAI_COMPLETIONS);
    let endpoint = sidecar.endpoint().clone();
    let (mut busy, _idle) = (client(&sidecar), client(&sidecar));
    busy.send("POST", "/v1/chat/completions", "", &body(true).to_string());
    busy.head();
    busy.chunk().unwrap();
    let draining = std::thread::spawn(move || sidecar.drain(LONG));
    let Endpoint::Tcp(address) = endpoint else { panic!() };
    until("nothing new is taken", || std::net::TcpStream::connect(address.as_str()).is_err());
    assert!(!draining.is_finished());
    go.send(()).unwrap();
    let rest: Vec<u8> = std::iter::from_fn(|| busy.chunk()).flatten().collect();
    assert!(String::from_utf8(rest).unwrap().ends_with("data: [DONE]\n\n"));
    assert_eq!(draining.join().unwrap(), Drained::Completely);

    let sidecar = start(&upstream, OPENAI_COMPLETIONS);
    let mut stuck = client(&sidecar);
    stuck.send("POST", "/v1/chat/completions", "", &body(true).to_string());
    stuck.head();
    assert_eq!(sidecar.drain(Duration::from_millis(50)), Drained::Cut(1));
}

#[test]
fn the_verb_serves_on_a_unix_socket_until_it_is_told_to_end() {
    let upstream = Upstream::start(|_, conn| {
        conn.stream(&greeting(), 1000);
        Then::Keep
    });
    let dir = tempfile::tempdir().unwrap();
    model::write_files(&dir.path().join("model"), &TOKENIZER, model::CHATML);
    let socket = dir.path().join("s.sock");
    // What a sidecar that was killed leaves behind.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let mut child = Command::new(env!("CARGO_BIN_EXE_llmbench"))
        .args([
            "sidecar",
            "--model",
            "model",
            "--engine",
            "hf-tokenizers",
            "--upstream",
            &upstream.url(),
            "--listen",
            "unix:s.sock",
        ])
        .current_dir(dir.path())
        .env("LLMBENCH_CACHE", dir.path().join("cache"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "unix:s.sock\n");
    let mut client = Client::connect(&Endpoint::Unix(socket.clone()));
    let reply = client.ask("POST", "/v1/chat/completions", "authorization: Bearer s3cret\r\n", &body(true).to_string());
    assert_eq!(reply.content(), "Héllo \"w🎈\n");
    assert_eq!(upstream.asked()[0].json()["prompt"], json!(ids(&[("user", "Ça va? 🎈 <|im_end|>")])));
    let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("draining") && said.contains("hf-tokenizers") && !said.contains("s3cret"), "{said}");
    assert!(!socket.exists());
}
