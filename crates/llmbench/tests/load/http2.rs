//! `llmbench load --http-version 2`.

#[path = "../../../loadgen/tests/common/h2_server.rs"]
#[allow(dead_code)]
mod h2_server;

use std::sync::atomic::Ordering;

use serde_json::Value;

use self::h2_server::{Act, Server, Setup};
use super::shell::Shell;
use super::{load, refused};

#[test]
fn requests_share_connections_and_the_record_says_so() {
    let server = Server::start(Setup { max_streams: 4, ..Setup::default() }, |number| match number {
        0 => Act::Refuse { status: 404 },
        _ => Act::Stream { tokens: 5, gap_ms: 2 },
    });
    let url = server.target().to_string();
    let more = ["--http-version", "2", "--max-concurrency", "6", "--num-prompts", "30"];
    let (code, out, err) = load(&Shell::new(), &url, &[&more[..], &["--json"]].concat());
    let json: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {code} {err}"));
    let (run, ours) = (&json["runs"][0], &json["runs"][0]["llmbench"]);
    assert_eq!((run["completed"].as_u64(), run["total_output_tokens"].as_u64()), (Some(30), Some(150)));
    assert_eq!(ours["http_version"], "2");
    let connections = &ours["run"]["connections"];
    // Six users take two connections of four streams.
    assert_eq!((&connections["http_version"], connections["before"].as_u64()), (&Value::from("2"), Some(2)));
    assert!(server.most_streams.load(Ordering::Relaxed) <= 4);
    // The list of models, the first request, the page of counters (there is none) then and before the run, and those of the load.
    assert_eq!(server.asked.lock().unwrap().len(), 1 + 1 + 2 + 30);
    let (_, out, err) = load(&Shell::new(), &url, &more);
    assert!(out.contains("openai-chat over HTTP/2: "), "{out}{err}");
}

#[test]
fn a_server_without_it_is_named() {
    let server = super::server::Server::tokens(2);
    let one = ["--max-concurrency", "1", "--http-version"];
    let said = refused(&server.url, &[&one[..], &["2"]].concat());
    assert!(
        said.contains("does not speak HTTP/2: the server answered `HTTP/1.1 200 OK`; leave out --http-version 2"),
        "{said}"
    );
    assert!(refused(&server.url, &[&one[..], &["3"]].concat()).contains("give 1.1 or 2"));
}
