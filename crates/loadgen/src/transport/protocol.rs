//! What is asked of a server of models, and how.

use server_api::{Api, Headers, OPENAI_CHAT};

use super::exchange::Reading;
use super::hpack::put_field;
use crate::serving::target::{HttpVersion, Place, Target};

/// What a client of this program calls itself.
const AGENT: &str = concat!("llmbench/", env!("CARGO_PKG_VERSION"));

/// What holds for every request of a pool. It has no `Debug`: a key may be in it.
#[derive(Clone)]
pub struct Protocol {
    pub(super) version: HttpVersion,
    /// In whose words answers are read.
    pub(super) api: Api,
    is_post: bool,
    /// The head of each request up to the content length: text, or a block of HTTP/2.
    prefix: Vec<u8>,
    /// Keep the text of answers ([`Reply::text`](crate::serving::reply::Reply::text)).
    pub keep_text: bool,
    /// Use each connection once: the server closes it after an answer, whatever it says.
    pub single_use: bool,
    /// Take answers of any kind whole ([`Answer::content`](super::Answer::content)), whatever their status.
    raw: bool,
}

impl Protocol {
    /// Posts JSON to the target as the API has it, with the key where it looks for one.
    pub fn post(target: &Target, api: Api, key: Option<&str>) -> Self {
        let fields = [("content-type", "application/json"), ("accept", "text/event-stream, application/json")];
        let prefix = prefix("POST", target, api.path(), api.headers(key), &fields);
        Self { version: target.version, api, is_post: true, prefix, keep_text: false, single_use: false, raw: false }
    }

    /// Fetches `call` of the target: the body is given back whole, the status is in
    /// [`Reply::status`](crate::serving::reply::Reply::status).
    pub fn get(target: &Target, call: &str, key: Option<&str>) -> Self {
        // Lists of models and pages of counters are the same for all APIs of a server.
        let api = OPENAI_CHAT;
        let prefix = prefix("GET", target, call, api.headers(key), &[("accept", "*/*")]);
        Self { version: target.version, api, is_post: false, prefix, keep_text: false, single_use: true, raw: true }
    }

    /// Posts, and takes the answer whole as [`Protocol::get`] does.
    #[must_use]
    pub fn whole(mut self) -> Self {
        self.raw = true;
        self
    }

    /// Appends the head of a request of HTTP/1.1 with a body of `length` bytes.
    pub(super) fn put_head(&self, length: usize, head: &mut Vec<u8>) {
        head.extend_from_slice(&self.prefix);
        head.extend_from_slice(length.to_string().as_bytes());
        head.extend_from_slice(b"\r\n\r\n");
    }

    /// Appends the fields of a request of HTTP/2 with a body of `length` bytes.
    pub(super) fn put_block(&self, length: usize, block: &mut Vec<u8>) {
        block.extend_from_slice(&self.prefix);
        if self.is_post {
            put_field(block, "content-length", length.to_string().as_bytes(), false);
        }
    }

    pub(super) fn reading(&self) -> Reading {
        Reading { keep_text: self.keep_text, raw: self.raw }
    }
}

fn prefix(method: &str, target: &Target, call: &str, own: Headers, more: &[(&str, &str)]) -> Vec<u8> {
    let (path, authority) = (target.path(call), target.authority());
    if target.version == HttpVersion::Http2 {
        let scheme = if matches!(target.place, Place::Tcp { tls: true, .. }) { "https" } else { "http" };
        let mut block = Vec::new();
        let pseudo = [(":method", method), (":scheme", scheme), (":authority", &authority), (":path", &path)];
        for (name, value) in pseudo.iter().chain(&[("user-agent", AGENT)]).chain(more) {
            put_field(&mut block, name, value.as_bytes(), false);
        }
        // Keys among them stay out of the tables of both ends.
        own.iter().for_each(|(name, value)| put_field(&mut block, name, value.as_bytes(), true));
        return block;
    }
    let own: String = own.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {authority}\r\nuser-agent: {AGENT}\r\n{own}");
    more.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    (head + "content-length: ").into_bytes()
}
