//! What the sidecar holds of its clients before the queue: bodies, the time in which they come, connections.

use std::time::Duration;

use server_api::OPENAI_COMPLETIONS;
use sidecar::Sidecar;

use super::client::Client;
use super::upstream::{Then, Upstream};
use super::{LONG, PIPELINE, body, client, settings, text_chunk, until};

const CHAT: &str = "POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\n";

/// A server that answers every request with one word.
fn upstream() -> Upstream {
    Upstream::start(|_, conn| {
        conn.stream(&(text_chunk("a", "stop".into()) + "data: [DONE]\n\n"), 64);
        Then::Close
    })
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let upstream = upstream();
    let mut settings = settings(&upstream, OPENAI_COMPLETIONS);
    settings.read_timeout = Duration::from_millis(100);
    let sidecar = Sidecar::start(settings, &PIPELINE).unwrap();
    for body in ["content-length: 500\r\n\r\n{\"messages\":", "transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"] {
        let mut slow = client(&sidecar);
        slow.raw(&format!("{CHAT}{body}"));
        let reply = slow.receive();
        assert!(reply.head.status == 408 && reply.message().contains("--read-timeout"), "{}", reply.text());
        assert!(slow.is_closed());
    }
    assert_eq!(client(&sidecar).chat(&body(true)).content(), "a", "others are served");
    until("nothing is held", || held(&sidecar) == 0);
}

#[test]
fn a_body_that_says_that_it_is_too_large_is_not_read() {
    let upstream = upstream();
    let mut settings = settings(&upstream, OPENAI_COMPLETIONS);
    (settings.max_body, settings.read_timeout) = (1000, LONG);
    let sidecar = Sidecar::start(settings, &PIPELINE).unwrap();
    let mut large = client(&sidecar);
    // Not a byte of the body is sent: the answer comes from what is announced.
    large.raw(&format!("{CHAT}content-length: 1001\r\n\r\n"));
    let reply = large.receive();
    assert!(reply.head.status == 413 && reply.message().contains("1000 bytes"), "{}", reply.text());
}

#[test]
fn all_bodies_together_are_bounded_by_what_has_come() {
    let upstream = upstream();
    let mut settings = settings(&upstream, OPENAI_COMPLETIONS);
    settings.max_held = 2000;
    let sidecar = Sidecar::start(settings, &PIPELINE).unwrap();
    // Announced, and not sent: it takes nothing.
    let mut quiet = client(&sidecar);
    quiet.raw(&format!("{CHAT}content-length: 100000\r\n\r\n"));
    let mut first = client(&sidecar);
    first.raw(&format!("{CHAT}content-length: 1600\r\n\r\n{}", "x".repeat(1500)));
    until("it is held", || held(&sidecar) == 1500);
    let mut second = client(&sidecar);
    second.raw(&format!("{CHAT}content-length: 1600\r\n\r\n{}", "x".repeat(1500)));
    let reply = second.receive();
    assert!(reply.head.status == 503 && reply.message().contains("--max-held-mb"), "{}", reply.text());
    assert_eq!(reply.head.headers["retry-after"], "1");
    drop(first);
    until("it is given back", || held(&sidecar) == 0);
    assert_eq!(client(&sidecar).chat(&body(true)).content(), "a");
}

#[test]
fn connections_are_bounded() {
    let upstream = upstream();
    let mut settings = settings(&upstream, OPENAI_COMPLETIONS);
    settings.max_connections = 2;
    let sidecar = Sidecar::start(settings, &PIPELINE).unwrap();
    let mut kept: Vec<Client> = (0..2).map(|_| client(&sidecar)).collect();
    for one in &mut kept {
        assert_eq!(one.ask("GET", "/health", "", "").head.status, 200);
    }
    let mut third = client(&sidecar);
    let reply = third.ask("GET", "/health", "", "");
    assert!(reply.head.status == 503 && reply.message().contains("--max-connections"), "{}", reply.text());
    assert!(third.is_closed());
    assert_eq!(kept[0].ask("GET", "/health", "", "").head.status, 200, "those that stand are served");
    drop(kept.pop());
    until("there is room again", || client(&sidecar).ask("GET", "/health", "", "").head.status == 200);
}

/// Bytes of bodies that the sidecar has.
fn held(sidecar: &Sidecar) -> u64 {
    let page = client(sidecar).ask("GET", "/metrics", "", "").text();
    let line = page.lines().find_map(|line| line.strip_prefix("llmbench_sidecar_held_bytes "));
    line.unwrap().parse().unwrap()
}
