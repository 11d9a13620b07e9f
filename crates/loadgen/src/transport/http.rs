//! HTTP/1.1 with keep-alive, as much of it as posting a body and reading the answer needs (RFC 9112): one request at a time on
//! a connection, answers with a content length, in chunks, or up to the end of the connection.
//!
//! The system's delayed acknowledgements are left as they are, because real clients have them: a server that writes head and body
//! apart without TCP_NODELAY is seen to take 40 ms longer (uvicorn 0.54 with `--workers` does: its listening socket has protocol
//! number 0, for which asyncio does not set the option).

use super::MOST_BYTES;
use super::answer::{AnswerFormat, Failure};
use super::codec::{Codec, Decoded, Rest};
use super::head::{Body, Head};
use crate::outcome::ErrorClass;

/// How much of a failed answer's body goes into the message, bytes.
const QUOTED: usize = 200;

/// HTTP on one connection.
pub(super) struct Http {
    /// The request's head up to the content length.
    prefix: Vec<u8>,
    format: AnswerFormat,
    keep: bool,
    /// The request that waits for its answer.
    waiting: Option<u64>,
    first_byte_ns: Option<u64>,
    head: Option<Head>,
    body: Vec<u8>,
    reusable: bool,
}

impl Http {
    /// Posts to `path` of `authority` (host and port).
    pub fn new(authority: &str, path: &str, format: AnswerFormat, keep: bool) -> Self {
        let prefix =
            format!("POST {path} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\ncontent-length: ");
        Self {
            prefix: prefix.into_bytes(),
            format,
            keep,
            waiting: None,
            first_byte_ns: None,
            head: None,
            body: Vec::new(),
            reusable: true,
        }
    }

    /// Takes the answer that is complete.
    fn complete(&mut self, id: u64, status: u16, decoded: &mut Vec<Decoded>) {
        let answer = if (200..300).contains(&status) {
            self.format.read(&self.body, self.keep)
        } else {
            let quoted = String::from_utf8_lossy(&self.body[..self.body.len().min(QUOTED)]);
            Err(Failure::new(ErrorClass::Status, format!("HTTP status {status}: {}", quoted.trim())))
        };
        decoded.push(Decoded { id, first_byte_ns: self.first_byte_ns.take().unwrap_or(0), answer, reply: None });
        (self.waiting, self.head) = (None, None);
        self.body.clear();
    }
}

impl Codec for Http {
    fn at_once(&self) -> usize {
        1
    }

    fn is_serial(&self) -> bool {
        true
    }

    fn begin(&mut self, id: u64, payload: &[u8], head: &mut Vec<u8>) -> Rest {
        self.waiting = Some(id);
        head.extend_from_slice(&self.prefix);
        head.extend_from_slice(payload.len().to_string().as_bytes());
        head.extend_from_slice(b"\r\n\r\n");
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
                self.first_byte_ns.get_or_insert(at_ns);
            }
            let Some(head) = &mut self.head else {
                let Some((head, length)) = Head::read(rest)? else { return Ok(used) };
                used += length;
                self.reusable &= head.keep_alive;
                // An interim answer (100 Continue, 103 Early Hints) is followed by the answer itself.
                if head.heading.status >= 200 {
                    self.head = Some(head);
                }
                continue;
            };
            let complete = match &mut head.body {
                Body::Length(length) => {
                    if *length > MOST_BYTES {
                        return Err(too_long());
                    }
                    let take = rest.len().min(*length - self.body.len());
                    self.body.extend_from_slice(&rest[..take]);
                    used += take;
                    self.body.len() == *length
                }
                Body::Chunked(chunked) => {
                    used += chunked.decode(rest, &mut self.body)?;
                    chunked.is_complete()
                }
                Body::Close => {
                    self.body.extend_from_slice(rest);
                    used += rest.len();
                    false
                }
            };
            if self.body.len() > MOST_BYTES {
                return Err(too_long());
            }
            if !complete {
                return Ok(used);
            }
            let status = head.heading.status;
            self.complete(id, status, decoded);
        }
    }

    fn end(&mut self, decoded: &mut Vec<Decoded>) -> Option<u64> {
        let id = self.waiting?;
        if let Some(Head { heading, body: Body::Close, .. }) = &self.head {
            let status = heading.status;
            self.complete(id, status, decoded);
            return None;
        }
        self.first_byte_ns.map(|_| id)
    }

    fn is_reusable(&self) -> bool {
        self.reusable
    }
}

fn too_long() -> Failure {
    Failure::new(ErrorClass::Protocol, format!("the answer is longer than {MOST_BYTES} bytes"))
}

#[cfg(test)]
mod tests {
    use super::super::head::LONGEST_HEAD;
    use super::*;
    use crate::check::check;
    use proptest::prelude::*;

    fn waiting() -> Http {
        let mut http = Http::new("localhost:1", "/prepare", AnswerFormat::Opaque, false);
        http.begin(5, b"abc", &mut Vec::new());
        http
    }

    /// Feeds a stream cut in two; returns the answers and the request that its end cuts short.
    fn feed(stream: &[u8], cut: usize) -> Result<(Vec<Decoded>, Option<u64>, bool), Failure> {
        let (mut http, mut decoded) = (waiting(), Vec::new());
        let used = http.decode(&stream[..cut], 1, &mut decoded)?;
        if cut < stream.len() {
            http.decode(&stream[used..], 2, &mut decoded)?;
        }
        let short = http.end(&mut decoded);
        Ok((decoded, short, http.is_reusable()))
    }

    #[test]
    fn the_request_is_what_servers_expect() {
        let mut head = Vec::new();
        Http::new("localhost:80", "/prepare", AnswerFormat::Opaque, false).begin(1, &[0; 12], &mut head);
        let text = String::from_utf8(head).unwrap();
        assert!(text.starts_with("POST /prepare HTTP/1.1\r\nhost: localhost:80\r\n"));
        assert!(text.ends_with("content-length: 12\r\n\r\n"));
    }

    #[test]
    fn bodies_end_in_three_ways_however_they_are_cut() {
        let streams: [(&[u8], bool); 4] = [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", true),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nConnection: close\r\n\r\nhello", false),
            (b"HTTP/1.0 200 OK\r\n\r\nhello", false),
        ];
        for (stream, reusable) in streams {
            for cut in 0..=stream.len() {
                let (decoded, short, again) = feed(stream, cut).unwrap();
                assert_eq!((decoded.len(), short, again), (1, None, reusable), "cut at {cut}");
                assert_eq!(decoded[0].id, 5);
                assert_eq!(decoded[0].answer.as_ref().unwrap().check, check(b"hello"));
                assert_eq!(decoded[0].first_byte_ns, if cut == 0 { 2 } else { 1 });
            }
        }
    }

    #[test]
    fn failures_have_their_class() {
        let (decoded, ..) = feed(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", 10).unwrap();
        let failure = decoded[0].answer.as_ref().unwrap_err();
        assert_eq!((failure.class, failure.message.as_str()), (ErrorClass::Status, "HTTP status 503: busy"));
        let (decoded, short, _) = feed(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", 10).unwrap();
        assert_eq!((decoded.len(), short), (0, Some(5)));
        for bad in [
            &b"SSH-2.0-OpenSSH\r\n"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokMORE",
        ] {
            assert_eq!(feed(bad, bad.len()).unwrap_err().class, ErrorClass::Protocol);
        }
        let endless = [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'a'; LONGEST_HEAD]].concat();
        assert_eq!(feed(&endless, endless.len()).unwrap_err().class, ErrorClass::Protocol);
    }

    proptest! {
        /// Whatever a server sends: no panic, never more taken than there is, no answer to a request that does not wait.
        #[test]
        fn no_bytes_break_it(
            start in prop::sample::select(vec!["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"]),
            rest in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"0123af;:\r\n ".to_vec())], 0..80),
            cut in 0_usize..100,
        ) {
            let stream = [start.as_bytes(), &rest].concat();
            if let Ok((decoded, short, _)) = feed(&stream, cut.min(stream.len())) {
                prop_assert!(decoded.len() <= 1 && decoded.iter().all(|one| one.id == 5));
                prop_assert!(short.is_none_or(|id| id == 5 && decoded.is_empty()));
            }
        }
    }

    #[test]
    fn a_connection_carries_one_request_after_another() {
        let (mut http, mut decoded) = (waiting(), Vec::new());
        for id in 6..9 {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            assert_eq!(http.decode(answer, id, &mut decoded).unwrap(), answer.len());
            http.begin(id, b"a", &mut Vec::new());
        }
        assert_eq!(decoded.iter().map(|one| (one.id, one.first_byte_ns)).collect::<Vec<_>>(), [(5, 6), (6, 7), (7, 8)]);
    }
}
