//! One answer of a model server as it comes, whichever version of HTTP brings it: a stream of events, one JSON text, or a refusal.

use super::MOST_BYTES;
use super::answer::{Answer, Failure};
use super::codec::Decoded;
use crate::outcome::ErrorClass;
use crate::serving::reply::{Reader, Reply, refusal};
use server_api::Api;

/// How much of a refusal's body is kept, bytes.
pub(super) const MOST_OF_REFUSAL: usize = 64 << 10;

/// What of the head of an answer matters for its body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Heading {
    pub status: u16,
    /// The body is a stream of events.
    pub is_events: bool,
    /// Fields of refusals.
    pub location: Option<String>,
    pub retry_after: Option<String>,
}

impl Heading {
    /// Takes a field, if it is one of those; names of fields are case-insensitive.
    pub fn take(&mut self, name: &[u8], value: &[u8]) {
        let text = || Some(String::from_utf8_lossy(value).trim().to_owned());
        if name.eq_ignore_ascii_case(b"content-type") {
            let kind = value.split(|&byte| byte == b';').next().unwrap_or_default();
            self.is_events = kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream");
        } else if name.eq_ignore_ascii_case(b"location") {
            self.location = text();
        } else if name.eq_ignore_ascii_case(b"retry-after") {
            self.retry_after = text();
        }
    }

    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// How answers are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Keep the text of answers ([`Reply::text`]).
    pub keep_text: bool,
    /// Take answers of any kind whole ([`Answer::content`]), whatever their status.
    pub raw: bool,
}

/// The answer to one request. Its memory serves for one after another.
#[derive(Debug)]
pub(super) struct Exchange {
    heading: Option<Heading>,
    reply: Box<Reply>,
    reader: Reader,
    /// The body, where it is not a stream of events.
    body: Vec<u8>,
}

impl Exchange {
    /// Of answers of this API.
    pub fn new(api: Api) -> Self {
        Self { heading: None, reply: Box::default(), reader: Reader::new(api), body: Vec::new() }
    }

    /// Before the next answer.
    pub fn reset(&mut self) {
        self.reader.reset();
        self.heading = None;
        self.body.clear();
        if *self.reply != Reply::default() {
            *self.reply = Reply::default();
        }
    }

    /// A byte of the answer was read; the first one counts.
    pub fn touch(&mut self, at_ns: u64) {
        if self.reply.first_byte_ns == 0 {
            self.reply.first_byte_ns = at_ns;
        }
    }

    /// True once any byte of the answer came.
    pub fn has_begun(&self) -> bool {
        self.reply.first_byte_ns > 0
    }

    /// The head of the answer itself, not of an interim one.
    pub fn begin(&mut self, heading: Heading, reading: Reading) {
        self.reply.status = heading.status;
        self.reply.streamed = heading.is_events && heading.is_success() && !reading.raw;
        self.body.clear();
        self.heading = Some(heading);
    }

    pub fn has_heading(&self) -> bool {
        self.heading.is_some()
    }

    /// The body is a stream of events.
    pub fn is_streamed(&self) -> bool {
        self.reply.streamed
    }

    /// The stream has said its last word, whatever the protocol below it still owes.
    pub fn says_end(&self) -> bool {
        self.reply.streamed && self.reply.says_end()
    }

    /// When the answer was last seen to bring something.
    pub fn last_ns(&self) -> u64 {
        self.reply.last_token_ns.max(self.reply.first_byte_ns)
    }

    /// Takes a part of the body.
    ///
    /// # Errors
    /// A body or an event that is too long.
    pub fn feed(&mut self, part: &[u8], at_ns: u64, reading: Reading) -> Result<(), Failure> {
        if self.reply.streamed {
            let fed = self.reader.feed(part, &mut self.reply, at_ns, reading.keep_text);
            return fed.map_err(|error| Failure::new(ErrorClass::Protocol, error.to_string()));
        }
        let is_refusal = !reading.raw && self.heading.as_ref().is_some_and(|heading| !heading.is_success());
        // A refusal of any length is a refusal.
        let room = if is_refusal { MOST_OF_REFUSAL.saturating_sub(self.body.len()) } else { usize::MAX };
        self.body.extend_from_slice(&part[..part.len().min(room)]);
        if self.body.len() > MOST_BYTES {
            return Err(Failure::new(ErrorClass::Protocol, format!("the answer is longer than {MOST_BYTES} bytes")));
        }
        Ok(())
    }

    /// Nothing more of the answer comes, of which the head is there. `whole`: as far as HTTP can tell it is complete.
    pub fn complete(&mut self, id: u64, at_ns: u64, whole: bool, reading: Reading) -> Decoded {
        let heading = self.heading.take().unwrap_or_default();
        let bytes = u32::try_from(self.body.len()).unwrap_or(u32::MAX);
        if self.reply.streamed {
            self.reader.finish(&mut self.reply, at_ns, reading.keep_text);
        }
        let content = reading.raw.then(|| std::mem::take(&mut self.body));
        let verdict = if reading.raw {
            if whole { Ok(()) } else { Err(Failure::new(ErrorClass::ShortBody, "the answer is cut short")) }
        } else if heading.is_success() {
            if !self.reply.streamed {
                self.reply.take_body(self.reader.api(), &self.body, at_ns, reading.keep_text);
            }
            self.reply.judge(whole)
        } else {
            let (location, retry_after) = (heading.location.as_deref(), heading.retry_after.as_deref());
            Err(refusal(self.reader.api(), heading.status, location, retry_after, &self.body))
        };
        let answer = verdict.map(|()| Answer { server: None, check: 0, bytes, content });
        let reply = self.take_reply();
        Decoded { id, first_byte_ns: reply.first_byte_ns, answer, reply: Some(reply) }
    }

    /// The request has failed for a reason that is not in its answer.
    pub fn fail(&mut self, id: u64, failure: Failure) -> Decoded {
        let reply = self.take_reply();
        Decoded { id, first_byte_ns: reply.first_byte_ns, answer: Err(failure), reply: Some(reply) }
    }

    /// What came of the answer until now.
    pub fn take_reply(&mut self) -> Box<Reply> {
        std::mem::take(&mut self.reply)
    }

    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.body.len()
    }
}
