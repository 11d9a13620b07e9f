//! HTTP/1.1 as clients of model servers speak it: a body is posted, and the answer is a stream of events, one JSON text, or a
//! refusal. One request at a time on a connection.

use std::sync::Arc;

use super::answer::Failure;
use super::codec::{Codec, Decoded, Rest};
use super::exchange::Exchange;
use super::head::{Body, Head};
use super::protocol::Protocol;
use crate::outcome::ErrorClass;
use crate::serving::reply::Reply;

/// The protocol on one connection.
pub(super) struct Completion {
    protocol: Arc<Protocol>,
    /// The request that waits for its answer.
    waiting: Option<u64>,
    /// How its body ends, once the head is there.
    body: Option<Body>,
    exchange: Exchange,
    /// Room for a part that leaves the chunked coding.
    part: Vec<u8>,
    /// Bytes of a body of known length so far.
    received: usize,
    reusable: bool,
}

impl Completion {
    pub fn new(protocol: Arc<Protocol>) -> Self {
        Self {
            exchange: Exchange::new(protocol.api),
            protocol,
            waiting: None,
            body: None,
            part: Vec::new(),
            received: 0,
            reusable: true,
        }
    }

    fn begin_body(&mut self, head: Head) {
        self.reusable &= head.keep_alive && !self.protocol.single_use;
        self.exchange.begin(head.heading, self.protocol.reading());
        self.received = 0;
        self.body = Some(head.body);
    }

    /// Takes what it can of the body; returns how many bytes and whether the body is complete.
    fn take_body(&mut self, bytes: &[u8], at_ns: u64) -> Result<(usize, bool), Failure> {
        let Some(body) = &mut self.body else { return Ok((0, false)) };
        let (part, used, complete): (&[u8], usize, bool) = match body {
            Body::Length(length) => {
                let take = bytes.len().min(*length - self.received);
                self.received += take;
                (&bytes[..take], take, self.received == *length)
            }
            Body::Close => (bytes, bytes.len(), false),
            Body::Chunked(chunked) => {
                self.part.clear();
                let used = chunked.decode(bytes, &mut self.part)?;
                (&self.part, used, chunked.is_complete())
            }
        };
        self.exchange.feed(part, at_ns, self.protocol.reading())?;
        Ok((used, complete))
    }

    /// Nothing more of the answer comes. `whole`: as far as HTTP can tell it is complete.
    fn complete(&mut self, id: u64, at_ns: u64, whole: bool, decoded: &mut Vec<Decoded>) {
        (self.waiting, self.body) = (None, None);
        decoded.push(self.exchange.complete(id, at_ns, whole, self.protocol.reading()));
    }
}

impl Codec for Completion {
    fn at_once(&self) -> usize {
        1
    }

    fn is_serial(&self) -> bool {
        true
    }

    fn begin(&mut self, id: u64, payload: &[u8], head: &mut Vec<u8>) -> Rest {
        self.waiting = Some(id);
        self.exchange.reset();
        self.protocol.put_head(payload.len(), head);
        Rest::Payload
    }

    fn decode(&mut self, bytes: &[u8], at_ns: u64, decoded: &mut Vec<Decoded>) -> Result<usize, Failure> {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            let Some(id) = self.waiting else {
                return if rest.is_empty() {
                    Ok(used)
                } else {
                    Err(Failure::new(ErrorClass::Protocol, "the server sent bytes that nobody asked for"))
                };
            };
            if !rest.is_empty() {
                self.exchange.touch(at_ns);
            }
            if self.body.is_none() {
                let Some((head, length)) = Head::read(rest)? else { return Ok(used) };
                used += length;
                // An interim answer (100 Continue, 103 Early Hints) is followed by the answer itself.
                if head.heading.status >= 200 {
                    self.begin_body(head);
                }
                continue;
            }
            let (taken, complete) = self.take_body(rest, at_ns)?;
            used += taken;
            if !complete {
                return Ok(used);
            }
            self.complete(id, at_ns, true, decoded);
        }
    }

    fn end(&mut self, decoded: &mut Vec<Decoded>) -> Option<u64> {
        let id = self.waiting?;
        let Some(body) = &self.body else { return self.exchange.has_begun().then_some(id) };
        // A body that ends with the connection is complete for HTTP. A stream that said its last word is complete whatever the
        // coding still owes; one that did not is judged by its own words.
        let whole = matches!(body, Body::Close);
        if whole || self.exchange.is_streamed() {
            let at_ns = self.exchange.last_ns();
            self.complete(id, at_ns, whole, decoded);
            return None;
        }
        Some(id)
    }

    fn is_reusable(&self) -> bool {
        self.reusable
    }

    fn partial(&mut self, _: u64) -> Option<Box<Reply>> {
        self.waiting.take().map(|_| self.exchange.take_reply())
    }
}

#[cfg(test)]
mod tests {
    use super::super::exchange::MOST_OF_REFUSAL;
    use super::*;
    use crate::serving::varint;
    use proptest::prelude::*;

    const HEAD: &str =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";

    fn waiting() -> Completion {
        let target = "http://localhost:1/api".parse().unwrap();
        let mut codec = Completion::new(Arc::new(Protocol::post(&target, server_api::OPENAI_CHAT, None)));
        codec.begin(5, b"{}", &mut Vec::new());
        codec
    }

    fn chunk(data: &str) -> String {
        format!("{:x}\r\n{data}\r\n", data.len())
    }

    fn token(text: &str) -> String {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
    }

    /// Feeds parts at times 1, 2, … as a connection does: what was not used comes again.
    fn feed(parts: &[&[u8]]) -> Result<(Vec<Decoded>, Option<u64>, bool), Failure> {
        let (mut codec, mut decoded, mut left) = (waiting(), Vec::new(), Vec::new());
        for (index, part) in parts.iter().enumerate() {
            left.extend_from_slice(part);
            let used = codec.decode(&left, index as u64 + 1, &mut decoded)?;
            left.drain(..used);
        }
        let short = codec.end(&mut decoded);
        Ok((decoded, short, codec.is_reusable()))
    }

    #[test]
    fn the_head_has_what_servers_want_and_the_key() {
        let target = "http://localhost:80/api".parse().unwrap();
        let mut head = Vec::new();
        Completion::new(Arc::new(Protocol::post(&target, server_api::OPENAI_COMPLETIONS, Some("sk-1"))))
            .begin(1, &[0; 12], &mut head);
        let text = String::from_utf8(head).unwrap();
        assert!(text.starts_with("POST /api/v1/completions HTTP/1.1\r\nhost: localhost\r\n"), "{text}");
        assert!(text.contains("\r\nauthorization: Bearer sk-1\r\n") && text.ends_with("content-length: 12\r\n\r\n"));
    }

    #[test]
    fn a_stream_by_hand() {
        let parts = [
            HEAD.to_owned(),
            chunk(&token("a")),
            chunk(&token("b")),
            chunk("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"),
            "0\r\n\r\n".to_owned(),
        ];
        let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
        let (decoded, short, again) = feed(&parts).unwrap();
        assert_eq!((decoded.len(), short, again), (1, None, true));
        let reply = decoded[0].reply.as_ref().unwrap();
        assert!(decoded[0].answer.is_ok());
        assert_eq!((reply.first_byte_ns, reply.first_token_ns, reply.last_token_ns, reply.chunks), (1, 2, 3, 2));
        assert_eq!(varint::iter(&reply.gaps).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn ends_of_connections() {
        let class = |text: &str| {
            let (decoded, short, _) = feed(&[text.as_bytes()]).unwrap();
            match decoded.into_iter().next() {
                Some(one) => one.answer.map(|_| ()).map_err(|failure| failure.class),
                None => Err(if short.is_some() { ErrorClass::ShortBody } else { ErrorClass::Reset }),
            }
        };
        let close = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        assert_eq!(class(&format!("{close}{}data: [DONE]\n\n", token("a"))), Ok(()));
        // No [DONE], but a reason to finish; the coding's own end is missing.
        let last = chunk("data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"length\"}]}\n\n");
        assert_eq!(class(&format!("{HEAD}{last}")), Ok(()));
        assert_eq!(class(&format!("{HEAD}{}", chunk(&token("a")))), Err(ErrorClass::ShortBody));
        assert_eq!(class(&format!("{HEAD}{}0\r\n\r\n", chunk(&token("a")))), Err(ErrorClass::ShortBody));
        assert_eq!(
            class("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"),
            Err(ErrorClass::ShortBody)
        );
        assert_eq!(class("HTTP/1.1 200 OK\r\n"), Err(ErrorClass::ShortBody));
        assert_eq!(class(""), Err(ErrorClass::Reset));
    }

    #[test]
    fn refusals_and_whole_answers() {
        let of = |text: &str| feed(&[text.as_bytes()]).unwrap().0.remove(0);
        let redirect = of("HTTP/1.1 307 Moved\r\nlocation: http://elsewhere/v1\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(redirect.answer.unwrap_err().class, ErrorClass::Redirect);
        let busy = of("HTTP/1.1 429 Slow\r\nretry-after: 3\r\ncontent-length: 16\r\n\r\n{\"error\":\"full\"}");
        assert_eq!(busy.answer.unwrap_err().message, "HTTP status 429 (Retry-After: 3): full");
        assert_eq!(busy.reply.unwrap().status, 429);
        let body =
            r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"completion_tokens":1}}"#;
        let whole = of(&format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert!(whole.answer.is_ok());
        let reply = whole.reply.unwrap();
        assert_eq!((reply.first_token_ns, reply.last_token_ns, reply.usage.completion), (0, 1, Some(1)));
    }

    #[test]
    fn bodies_without_measure_are_bounded() {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
        let mut codec = waiting();
        let mut decoded = Vec::new();
        codec.decode(head.as_bytes(), 1, &mut decoded).unwrap();
        let part = vec![b' '; 8 << 20];
        let fed = (0..9).try_for_each(|_| codec.decode(&part, 2, &mut decoded).map(|_| ()));
        assert_eq!(fed.unwrap_err().class, ErrorClass::Protocol);
        let mut codec = waiting();
        codec.decode(b"HTTP/1.1 500 No\r\n\r\n", 1, &mut decoded).unwrap();
        (0..20).for_each(|_| assert_eq!(codec.decode(&part, 2, &mut decoded).unwrap(), part.len()));
        assert!(codec.exchange.held() <= MOST_OF_REFUSAL);
    }

    #[test]
    fn raw_answers_are_given_back() {
        let target = "http://localhost:1".parse().unwrap();
        let mut codec = Completion::new(Arc::new(Protocol::get(&target, "/metrics", None)));
        codec.begin(1, b"", &mut Vec::new());
        let mut decoded = Vec::new();
        codec.decode(b"HTTP/1.1 404 No\r\ncontent-length: 4\r\n\r\nnone", 1, &mut decoded).unwrap();
        let one = decoded.remove(0);
        assert_eq!((one.reply.unwrap().status, one.answer.unwrap().content.unwrap()), (404, b"none".to_vec()));
        assert!(!codec.is_reusable());
    }

    proptest! {
        /// However the bytes are cut: the same tokens and the same end. Whatever they are: no panic.
        #[test]
        fn cuts_do_not_matter(cuts in prop::collection::vec(0_usize..400, 0..8), chunked in any::<bool>()) {
            let events = format!("\u{feff}: hi\r\n\r\n{}{}data: [DONE]\r\r", token("ä"), token("b"));
            let stream = if chunked {
                let (front, back) = events.split_at(20);
                format!("{HEAD}{}{}0\r\n\r\n", chunk(front), chunk(back))
            } else {
                format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\ncontent-length: {}\r\n\r\n{events}", events.len())
            };
            let bytes = stream.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let (decoded, short, again) = feed(&parts).unwrap();
            prop_assert_eq!((decoded.len(), short, again), (1, None, true));
            prop_assert!(decoded[0].answer.is_ok());
            prop_assert_eq!(decoded[0].reply.as_ref().unwrap().chunks, 2);
        }

        #[test]
        fn no_bytes_break_it(
            start in prop::sample::select(vec!["", HEAD, "HTTP/1.1 200 OK\r\n", "HTTP/1.1 503 No\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"]),
            rest in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"0123af;:\r\n {}\"data".to_vec())], 0..120),
        ) {
            if let Ok((decoded, short, _)) = feed(&[start.as_bytes(), &rest]) {
                prop_assert!(decoded.len() <= 1 && decoded.iter().all(|one| one.id == 5));
                prop_assert!(short.is_none_or(|id| id == 5 && decoded.is_empty()));
            }
        }
    }
}
