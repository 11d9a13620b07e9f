//! Downloads that fail: one sentence each, that names the remedy.

use std::fs;

use crate::fixture::*;
use crate::server::{Reply, Send, Server};

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert!(!text.contains('\n'), "one line: {text}");
}

/// The error where every request is answered like this: with the token, and without.
fn both(reply: Reply) -> (String, String) {
    let hub = always(reply);
    let with = Place::new(&hub.url).error("o/n");
    (with, Place::new(&hub.url).without_token().error("o/n"))
}

#[test]
fn gated() {
    for status in [401, 403] {
        let (with, without) = both(Reply::new(status).header("X-Error-Code", "GatedRepo"));
        has(&with, &["o/n is gated", "the account of HF_TOKEN has no access", "accept its licence at", "/o/n"]);
        has(&without, &["o/n is gated and no token is set", "set HF_TOKEN"]);
    }
}

#[test]
fn not_there_or_not_for_us() {
    let (with, without) =
        both(Reply::new(401).header("X-Error-Message", "Invalid credentials in Authorization header"));
    has(&with, &["refused the token: set HF_TOKEN"]);
    has(&without, &["asks for a token to show o/n", "set HF_TOKEN", "check the spelling"]);
    let (with, without) = both(Reply::new(401).header("X-Error-Code", "RepoNotFound"));
    has(&with, &["has no model o/n", "no folder of that name here"]);
    has(&without, &["set HF_TOKEN", "no folder of that name here"]);
    let (with, without) = both(Reply::new(404).header("X-Error-Code", "RepoNotFound"));
    has(&with, &["has no model o/n", "check the spelling"]);
    assert!(without.contains("has no model o/n"), "{without}");
    let hub = always(Reply::new(404).header("X-Error-Code", "RevisionNotFound"));
    has(&Place::new(&hub.url).error("o/n@v9"), &["o/n has no revision `v9`"]);
    let e = Place::new(&hub.url).error("models/qwen/x");
    has(&e, &["there is no folder models/qwen/x"]);
}

#[test]
fn a_server_that_sends_the_token_back_does_not_get_it_printed() {
    let said = format!("no rights for Bearer {TOKEN}");
    let hub = always(Reply::new(403).header("X-Error-Message", said));
    has(
        &Place::new(&hub.url).error("o/n"),
        &["does not let this account read o/n", "no rights for Bearer ***", "HF_TOKEN"],
    );
}

#[test]
fn no_tokenizer_json() {
    let hub = Server::start(|asked, _| match asked.path.ends_with("tokenizer.model") {
        true => Reply::new(200).header("X-Repo-Commit", COMMIT).header("ETag", "\"aa\"").body("sentencepiece"),
        false => missing("EntryNotFound"),
    });
    let e = Place::new(&hub.url).error("o/n");
    has(&e, &["o/n has no tokenizer.json (it has tokenizer.model, a SentencePiece", "convert it", "--model DIR"]);
    assert!(hub.lines().iter().all(|line| line.starts_with("HEAD ")), "{:?}", hub.lines());
    let hub = always(missing("EntryNotFound"));
    has(&Place::new(&hub.url).error("o/n"), &["o/n has no tokenizer.json: convert it"]);
}

#[test]
fn no_chat_template_names_the_model() {
    let cdn = Server::start(|asked, _| cdn_reply(asked));
    let url = cdn.url.clone();
    let hub = Server::start(move |asked, _| match asked.path.rsplit('/').next() {
        Some("chat_template.jinja") => missing("EntryNotFound"),
        Some("tokenizer_config.json") => {
            let reply = Reply::new(200).header("X-Repo-Commit", COMMIT);
            reply.header("ETag", format!("\"{}\"", git_hash(b"{}"))).body("{}")
        }
        _ => hub_reply(asked, &url),
    });
    has(&Place::new(&hub.url).error("o/n"), &["o/n has no chat template", "instruct"]);
}

#[test]
fn damaged_on_the_way() {
    let (hub, cdn) = with_cdn(&[Send::Cut(10); 99]);
    let place = Place::new(&hub.url);
    let e = place.error("o/n");
    has(&e, &["tokenizer.json of o/n arrived damaged 4 times", "--model FOLDER"]);
    assert_eq!(cdn.lines().len(), 4);
    assert!(!place.repo().join("blobs").join(sha256(tokenizer().as_bytes())).exists());
    assert!(!place.repo().join("refs/main").exists());

    // As long as promised, but of another content.
    let cdn = Server::start(|_, _| Reply::new(200).body(tokenizer().replace("t7", "u7")));
    let url = cdn.url.clone();
    let hub = Server::start(move |asked, _| hub_reply(asked, &url));
    let e = Place::new(&hub.url).error("o/n");
    has(&e, &["arrived damaged 4 times (its hash is not the one that the hub gives)"]);

    // A small file, whose etag is its git hash.
    let cdn = Server::start(|asked, _| cdn_reply(asked));
    let url = cdn.url.clone();
    let hub = Server::start(move |asked, _| {
        let reply = hub_reply(asked, &url);
        match asked.path.ends_with("tokenizer_config.json") {
            true => reply.body(CONFIG.replace('x', "y")),
            false => reply,
        }
    });
    has(&Place::new(&hub.url).error("o/n"), &["tokenizer_config.json of o/n arrived damaged"]);
}

#[test]
fn silence() {
    let (hub, _cdn) = with_cdn(&[Send::Stall(10); 99]);
    let mut place = Place::new(&hub.url);
    place.config.attempts = 2;
    has(&place.error("o/n"), &["was silent for", "tokenizer.json", "--model FOLDER"]);
    let hub = always(Reply::new(200).header("Content-Length", 5));
    let mut place = Place::new(&hub.url);
    place.config.attempts = 1;
    has(&place.error("o/n"), &["does not answer as a Hugging Face hub"]);
}

#[test]
fn a_server_that_keeps_failing() {
    let hub = always(Reply::new(503));
    has(&Place::new(&hub.url).error("o/n"), &["failed 4 times (status 503)", "try again later"]);
    assert_eq!(hub.lines().len(), 4);
    let hub = always(Reply::new(429).header("Retry-After", 3600));
    has(&Place::new(&hub.url).error("o/n"), &["status 429", "next in 3600 s", "HF_TOKEN"]);
    assert_eq!(hub.lines().len(), 1, "an hour is not waited for");
}

#[test]
fn nobody_there() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    has(&Place::new(&closed).error("o/n"), &["cannot reach 127.0.0.1", "refused the connection", "HF_ENDPOINT"]);
    let e = Place::new("http://no-such-host.invalid").error("o/n");
    has(&e, &["cannot reach no-such-host.invalid", "--model FOLDER"]);
}

#[test]
fn something_that_is_no_hub() {
    let hub = always(Reply::new(200).body("<html>log in</html>"));
    has(&Place::new(&hub.url).error("o/n"), &["does not answer as a Hugging Face hub", "HF_ENDPOINT"]);
    let etag = Reply::new(200).header("X-Repo-Commit", COMMIT).header("ETag", "\"../../../x\"");
    let hub = always(etag);
    has(&Place::new(&hub.url).error("o/n"), &["does not answer as a Hugging Face hub"]);
    let hub = always(Reply::new(200).header("X-Repo-Commit", "../../x").header("ETag", "\"aa\""));
    has(&Place::new(&hub.url).error("o/n"), &["does not answer as a Hugging Face hub"]);
    let hub = Server::start(|asked, _| Reply::new(302).header("Location", &asked.path));
    has(&Place::new(&hub.url).error("o/n"), &["redirects in a circle"]);
    for endpoint in ["hub.example", "ftp://hub.example", "http://"] {
        has(&Place::new(endpoint).error("o/n"), &["HF_ENDPOINT"]);
    }
}

#[test]
fn a_token_that_cannot_be_sent() {
    let mut place = Place::new("http://127.0.0.1:9");
    place.config.token = provision::model::hub::Token::new("hf_a\nb");
    let e = place.error("o/n");
    has(&e, &["HF_TOKEN holds a character that no token has"]);
    assert!(!e.contains("hf_a"));
}

#[test]
fn a_full_disk() {
    let (hub, _cdn) = working();
    let place = Place::new(&hub.url);
    let blobs = place.repo().join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    let part = blobs.join(format!("{}.incomplete", sha256(tokenizer().as_bytes())));
    std::os::unix::fs::symlink("/dev/full", part).unwrap();
    has(&place.error("o/n"), &["no space is left for", "HF_HUB_CACHE"]);
}

#[test]
fn a_cache_that_cannot_be_written() {
    let (hub, _cdn) = working();
    let mut place = Place::new(&hub.url);
    let file = place.tmp.path().join("file");
    fs::write(&file, "").unwrap();
    place.config.cache = file.join("hub");
    has(&place.error("o/n"), &["the hub's cache cannot be used", "HF_HUB_CACHE"]);
}
