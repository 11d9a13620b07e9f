//! Requests out of the bytes of a connection, in whatever parts they come.

use super::chunked::Chunked;
use super::request::{BodyEnd, Head, LONGEST_HEAD, Rejected, Request};

/// What the bytes so far give.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing whole yet.
    More,
    /// The client waits for `100 Continue` before it sends the body.
    Continue,
    Request(Box<Request>),
}

/// The bytes of a connection that are not yet a request.
#[derive(Debug, Default)]
pub struct Reader {
    input: Vec<u8>,
    /// The head of a request whose body is still coming.
    head: Option<Head>,
    chunked: Option<Chunked>,
}

impl Reader {
    /// Bytes that were read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Bytes that wait.
    pub fn held(&self) -> usize {
        self.input.len()
    }

    /// The next request. To be called again after each one: more than one can be there. `most` is the largest body, bytes.
    ///
    /// # Errors
    /// What comes is no request, or too large; nothing after it can be understood.
    pub fn next(&mut self, most: usize) -> Result<Next, Rejected> {
        if self.head.is_none() {
            // Line ends before a request are to be skipped (RFC 9112, section 2.2).
            let skip = self.input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.input.drain(..skip);
            let Some((mut head, length)) = Head::parse(&self.input)? else {
                if self.input.len() > LONGEST_HEAD {
                    return Err(Rejected::new(431, format!("the head of a request has at most {LONGEST_HEAD} bytes")));
                }
                return Ok(Next::More);
            };
            self.input.drain(..length);
            if let BodyEnd::Length(length) = head.body
                && length > most
            {
                return Err(Rejected::new(413, format!("a body has at most {most} bytes")));
            }
            self.chunked = (head.body == BodyEnd::Chunked).then(Chunked::new);
            let expects = std::mem::take(&mut head.expects_continue);
            let waits = expects && self.input.is_empty() && head.body != BodyEnd::Length(0);
            self.head = Some(head);
            if waits {
                return Ok(Next::Continue);
            }
        }
        let length = match (&mut self.chunked, self.head.as_ref().map(|head| head.body)) {
            (Some(chunked), _) => {
                if !chunked.feed(&mut self.input, most)? {
                    return Ok(Next::More);
                }
                None
            }
            (None, Some(BodyEnd::Length(length))) if self.input.len() >= length => Some(length),
            (None, _) => return Ok(Next::More),
        };
        let body = match length {
            Some(length) => {
                let rest = self.input.split_off(length);
                std::mem::replace(&mut self.input, rest)
            }
            None => self.chunked.take().map(|chunked| chunked.body).unwrap_or_default(),
        };
        Ok(self.head.take().map_or(Next::More, |head| Next::Request(Box::new(Request { head, body }))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Method;
    use super::*;

    const MOST: usize = 1000;

    fn all(parts: &[&[u8]]) -> Result<Vec<(String, Vec<u8>)>, Rejected> {
        let (mut reader, mut found) = (Reader::default(), Vec::new());
        for part in parts {
            reader.push(part);
            loop {
                match reader.next(MOST)? {
                    Next::Request(request) => found.push((request.head.path, request.body)),
                    Next::Continue => {}
                    Next::More => break,
                }
            }
        }
        Ok(found)
    }

    #[test]
    fn every_cut_of_a_pipeline_gives_the_same_requests() {
        let bytes = b"\r\nPOST /a?x=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n\r\n\
            POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4;e=1\r\nWiki\r\n5\r\npedia\r\n0\r\nT: x\r\n\r\nGET /d HTTP/1.0\r\n\r\n";
        let expected = [("/a", "abc"), ("/b", ""), ("/c", "Wikipedia"), ("/d", "")];
        let expected: Vec<_> =
            expected.iter().map(|(path, body)| (path.to_string(), body.as_bytes().to_vec())).collect();
        for cut in 0..bytes.len() {
            assert_eq!(all(&[&bytes[..cut], &bytes[cut..]]).unwrap(), expected, "cut at {cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(all(&single).unwrap(), expected);
    }

    #[test]
    fn what_a_head_says() {
        let mut reader = Reader::default();
        reader.push(
            b"POST / HTTP/1.1\r\nConnection: Close, x\r\nX-Request-Id: abc-1\r\nx-llmbench-fault: stall:5\r\nExpect: 100-continue\r\n\
              Authorization: Bearer k\r\nContent-Length: 2\r\n\r\n",
        );
        assert_eq!(reader.next(MOST), Ok(Next::Continue));
        assert_eq!(reader.next(MOST), Ok(Next::More));
        reader.push(b"{}");
        let Ok(Next::Request(request)) = reader.next(MOST) else { panic!("no request") };
        assert_eq!((request.head.method, request.head.keep_alive), (Method::Post, false));
        assert_eq!(request.head.request_id.as_deref(), Some("abc-1"));
        assert_eq!(request.head.fault.as_deref(), Some("stall:5"));
        assert_eq!(request.head.authorization.as_deref(), Some("Bearer k"));
        assert_eq!(reader.held(), 0);
        let mut reader = Reader::default();
        reader.push(b"GET / HTTP/1.1\r\nx-request-id: a\"b\r\n\r\n");
        let Ok(Next::Request(request)) = reader.next(MOST) else { panic!("no request") };
        assert_eq!(request.head.request_id, None);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let long = [&b"GET / HTTP/1.1\r\nx: "[..], &[b'a'; 70_000]].concat();
        for (bytes, status) in [
            (&b"hello\r\n\r\n"[..], 400),
            (b"\x16\x03\x01\x02\x00\x01", 400),
            (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", 413),
            (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", 400),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3ea\r\n", 413),
            (&long, 431),
        ] {
            let error = all(&[bytes]).unwrap_err();
            assert_eq!(error.status, status, "{}", String::from_utf8_lossy(&bytes[..bytes.len().min(80)]));
        }
    }
}
