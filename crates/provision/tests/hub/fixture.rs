//! A small model on a server, with its large file on a second one, as the hub keeps it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use provision::model::hub::{HubConfig, Token};
use provision::model::{self, Fetch, Model};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::server::{Asked, Reply, Send, Server};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const TOKEN: &str = "hf_TheSecretOfThisTest";
pub const CONFIG: &str = r#"{"chat_template":"{{ x }}"}"#;
pub const TEMPLATE: &str = "{{ messages }}";

/// Long enough to be cut in the middle.
pub fn tokenizer() -> String {
    let vocab: Vec<String> = (0..20_000).map(|i| format!("\"t{i}\":{i}")).collect();
    format!(r#"{{"model":{{"type":"BPE","vocab":{{{}}},"merges":[]}}}}"#, vocab.join(","))
}

pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// What git calls a file of this content.
pub fn git_hash(bytes: &[u8]) -> String {
    let mut sha = Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
    sha.update(bytes);
    hex::encode(sha.finalize())
}

/// The hub's own files: small ones come from it, the tokenizer by a redirect to `cdn`.
pub fn hub_reply(asked: &Asked, cdn: &str) -> Reply {
    let found = |etag: String, body: &str| {
        let reply = Reply::new(200).header("X-Repo-Commit", COMMIT);
        reply.header("ETag", format!("\"{etag}\"")).body(body)
    };
    match asked.path.rsplit('/').next().unwrap() {
        "tokenizer.json" => {
            let body = tokenizer();
            Reply::new(302)
                .header("X-Repo-Commit", COMMIT)
                .header("X-Linked-Etag", format!("\"{}\"", sha256(body.as_bytes())))
                .header("X-Linked-Size", body.len())
                .header("Location", format!("{cdn}/blob?Signature=abc"))
        }
        "tokenizer_config.json" => found(git_hash(CONFIG.as_bytes()), CONFIG),
        "chat_template.jinja" => found(git_hash(TEMPLATE.as_bytes()), TEMPLATE),
        _ => missing("EntryNotFound"),
    }
}

pub fn missing(code: &str) -> Reply {
    Reply::new(404).header("X-Error-Code", code).header("X-Repo-Commit", COMMIT)
}

/// The tokenizer's bytes, from where the request asks on.
pub fn cdn_reply(asked: &Asked) -> Reply {
    let body = tokenizer().into_bytes();
    let range = asked.header("range").and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-'));
    match range.map(|r| r.parse::<usize>().unwrap()) {
        Some(from) => {
            let (last, all) = (body.len() - 1, body.len());
            let reply = Reply::new(206).header("Content-Range", format!("bytes {from}-{last}/{all}"));
            reply.body(&body[from..])
        }
        None => Reply::new(200).body(body),
    }
}

/// A hub that works, and its CDN.
pub fn working() -> (Server, Server) {
    let cdn = Server::start(|asked, _| cdn_reply(asked));
    let url = cdn.url.clone();
    (Server::start(move |asked, _| hub_reply(asked, &url)), cdn)
}

/// A hub that works, and a CDN whose first answers are sent like this.
pub fn with_cdn(sends: &'static [Send]) -> (Server, Server) {
    let cdn = Server::start(|asked, n| cdn_reply(asked).send(sends.get(n).copied().unwrap_or(Send::All)));
    let url = cdn.url.clone();
    (Server::start(move |asked, _| hub_reply(asked, &url)), cdn)
}

/// A hub that gives this answer to everything.
pub fn always(reply: Reply) -> Server {
    Server::start(move |_, _| reply.clone())
}

/// A place for the caches, and the way to the hub.
pub struct Place {
    pub tmp: tempfile::TempDir,
    pub config: HubConfig,
}

impl Place {
    pub fn new(endpoint: &str) -> Self {
        let tmp = tempfile::tempdir().unwrap();
        let mut config = HubConfig::from_lookup(&|_| None, Some(tmp.path().to_path_buf()));
        config.endpoint = endpoint.to_owned();
        config.token = Token::new(TOKEN);
        config.proxy_from_env = false;
        config.backoff = Duration::from_millis(1);
        config.timeouts.silence = Duration::from_millis(300);
        Self { tmp, config }
    }

    pub fn without_token(mut self) -> Self {
        self.config.token = None;
        self
    }

    /// The answer, or the sentence; neither may hold the token.
    pub fn open(&self, value: &str) -> Result<Model, String> {
        let mut progress = |f: &Fetch| assert!(f.done <= f.total, "{f:?}");
        let root = self.tmp.path().join("llmbench");
        match model::open(value, &root, &self.config, &mut progress) {
            Ok(model) => Ok(model),
            Err(e) => {
                let debug = format!("{e:?}");
                assert!(!debug.contains(TOKEN) && !e.to_string().contains(TOKEN), "{debug}");
                Err(e.to_string())
            }
        }
    }

    pub fn error(&self, value: &str) -> String {
        self.open(value).unwrap_err()
    }

    /// The folder of `o/n` in the hub's cache.
    pub fn repo(&self) -> PathBuf {
        self.config.cache.join("models--o--n")
    }
}

/// Every file below a folder with its bytes; links are followed.
pub fn all_files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = vec![];
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all_files(&path));
        } else if let Ok(bytes) = std::fs::read(&path) {
            found.push((path, bytes));
        }
    }
    found
}
