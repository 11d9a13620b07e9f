//! The head of an HTTP/1 answer (RFC 9112): its status, how its body ends, and the few fields that matter here.

use super::answer::Failure;
use super::chunked::Chunked;
use super::exchange::Heading;
use crate::outcome::ErrorClass;

/// Longest head of an answer, bytes, and most fields in it.
pub(super) const LONGEST_HEAD: usize = 64 << 10;
const MOST_FIELDS: usize = 128;

/// How the body of an answer ends.
#[derive(Debug)]
pub(super) enum Body {
    Length(usize),
    Chunked(Chunked),
    /// With the connection.
    Close,
}

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub heading: Heading,
    pub body: Body,
    /// The connection takes another request afterwards, by what the server says.
    pub keep_alive: bool,
}

impl Head {
    /// Reads a head; None if it is not whole. Also returns its length.
    ///
    /// # Errors
    /// Bytes that are not HTTP/1, a head that does not end, a content length that is no number.
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, Failure> {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let parsed = response
            .parse(bytes)
            .map_err(|error| Failure::new(ErrorClass::Protocol, format!("the answer is not HTTP/1: {error}")))?;
        let httparse::Status::Complete(length) = parsed else {
            if bytes.len() > LONGEST_HEAD {
                return Err(Failure::new(ErrorClass::Protocol, "the head of the answer does not end"));
            }
            return Ok(None);
        };
        let status = response.code.unwrap_or(0);
        let mut head = Self {
            heading: Heading { status, ..Heading::default() },
            body: Body::Close,
            keep_alive: response.version == Some(1),
        };
        for field in response.headers.iter() {
            head.take(field.name, field.value)?;
        }
        if status < 200 || status == 204 || status == 304 {
            head.body = Body::Length(0);
        }
        // An interim answer says nothing about the connection.
        head.keep_alive = status < 200 || (head.keep_alive && !matches!(head.body, Body::Close));
        Ok(Some((head, length)))
    }

    fn take(&mut self, name: &str, value: &[u8]) -> Result<(), Failure> {
        let has = |token: &str| {
            let mut tokens = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            tokens.any(|found| found.eq_ignore_ascii_case(token.as_bytes()))
        };
        if name.eq_ignore_ascii_case("connection") {
            self.keep_alive = (self.keep_alive || has("keep-alive")) && !has("close");
        } else if name.eq_ignore_ascii_case("transfer-encoding") && has("chunked") {
            self.body = Body::Chunked(Chunked::new());
        } else if name.eq_ignore_ascii_case("content-length") && !matches!(self.body, Body::Chunked(_)) {
            let length = std::str::from_utf8(value).ok().and_then(|value| value.trim().parse().ok());
            self.body = Body::Length(
                length.ok_or_else(|| Failure::new(ErrorClass::Protocol, "the answer has a bad content length"))?,
            );
        } else {
            self.heading.take(name.as_bytes(), value);
        }
        Ok(())
    }
}
