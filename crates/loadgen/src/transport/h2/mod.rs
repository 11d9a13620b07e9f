//! HTTP/2 (RFC 9113) as clients of model servers speak it: with prior knowledge over plain connections, by ALPN over TLS.
//!
//! Each request is a stream, and a connection carries as many at once as the server lets it (`SETTINGS_MAX_CONCURRENT_STREAMS`);
//! the pool opens another one when all are full. A connection stands when the server's settings are there, so that its limit is
//! never passed. Requests that are given to it earlier wait, as they do for a handshake: the wait is between their first and
//! their last byte.
//!
//! Nothing is sent twice. The RFC lets a client repeat a request that the server says it did not take (`GOAWAY` with a lower stream,
//! `REFUSED_STREAM`); here it has failed ([`ErrorClass::Draining`]), as over HTTP/1.1 a request of which a byte was taken.
//!
//! Windows towards this side are so large, and renewed so early, that a server does not wait for them. Those towards the server are
//! its own: a body that is larger waits for it, which is a price of HTTP/2 and shows in the time of sending.

mod frame;
mod frames;
mod outgoing;
mod stream;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::frame::{
    FrameHead, HEAD, MOST_PAYLOAD, PREFACE, USUAL_WINDOW, code, flag, kind, put_head, put_reset, put_settings,
    put_window, setting,
};
use self::outgoing::Outgoing;
use self::stream::{Stream, Streams};
use super::answer::Failure;
use super::codec::{Codec, Decoded, Rest};
use super::exchange::Exchange;
use super::hpack::{Decoder, MOST_FIELDS, put_no_table};
use super::protocol::Protocol;
use crate::outcome::ErrorClass;
use crate::serving::reply::Reply;

/// What a stream of the server may send before it is given more, bytes: a stream of 1,000 tokens takes some 300 kB.
const STREAM_WINDOW: i64 = 16 << 20;

/// The same for all streams of a connection together.
const CONNECTION_WINDOW: i64 = 1 << 30;

/// Largest number of a stream.
const LAST_STREAM: u32 = (1 << 31) - 1;

/// Answers whose memory is kept for later ones.
const MOST_SPARE: usize = 1024;

/// How many requests at once a connection carried by the word of the server that spoke last; until one spoke, 1.
#[derive(Debug, Clone)]
pub(super) struct Limit(Arc<AtomicUsize>);

impl Default for Limit {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(1)))
    }
}

/// The protocol on one connection.
pub(super) struct Http2 {
    protocol: Arc<Protocol>,
    /// What is known of the server's limit before it speaks on this connection.
    known: Limit,
    /// Most streams at once; None until the server's settings are there.
    limit: Option<usize>,
    streams: Streams,
    /// Requests for which there is no stream yet.
    waiting: VecDeque<(u64, Vec<u8>)>,
    next_stream: u32,
    /// No request goes this way any more.
    closed: bool,
    /// What the server said when it went away.
    farewell: Option<(u32, String)>,
    hpack: Decoder,
    /// A block of fields that is not whole: its stream, whether the stream ends with it, and its bytes.
    block: Option<(u32, bool, Vec<u8>)>,
    data: Option<Data>,
    /// When the first byte of a frame that is not whole was read.
    cut_ns: Option<u64>,
    /// Bytes that the server may still send on this connection.
    window: i64,
    outgoing: Outgoing,
    output: Vec<u8>,
    whole: Vec<u64>,
    spare: Vec<Exchange>,
}

/// A frame of a body that is being read.
#[derive(Debug, Clone, Copy)]
struct Data {
    stream: u32,
    /// Bytes of the body, and of the padding behind it, that are still to come.
    left: usize,
    padding: usize,
    is_last: bool,
}

impl Http2 {
    pub fn new(protocol: Arc<Protocol>, known: Limit) -> Self {
        let mut output = PREFACE.to_vec();
        let settings = [
            (setting::ENABLE_PUSH, 0),
            (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW as u32),
            (setting::MAX_HEADER_LIST_SIZE, MOST_FIELDS as u32),
        ];
        put_settings(&mut output, &settings);
        put_window(&mut output, 0, (CONNECTION_WINDOW - USUAL_WINDOW) as u32);
        Self {
            protocol,
            known,
            limit: None,
            streams: Streams::default(),
            waiting: VecDeque::new(),
            next_stream: 1,
            closed: false,
            farewell: None,
            hpack: Decoder::new(),
            block: None,
            data: None,
            cut_ns: None,
            window: CONNECTION_WINDOW,
            outgoing: Outgoing::new(),
            output,
            whole: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Begins a stream; true if the request is whole in `out`.
    fn open(&mut self, id: u64, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let stream = self.next_stream;
        // 2^31 is no number of a stream, and no request follows that one.
        self.next_stream += 2;
        let mut block = Vec::with_capacity(512);
        if stream == 1 {
            put_no_table(&mut block);
        }
        self.protocol.put_block(payload.len(), &mut block);
        let mut rest = block.as_slice();
        let mut kind = kind::HEADERS;
        loop {
            let (part, after) = rest.split_at(rest.len().min(self.outgoing.most()));
            let ends_request = if payload.is_empty() && kind == kind::HEADERS { flag::END_STREAM } else { 0 };
            let ends_block = if after.is_empty() { flag::END_HEADERS } else { 0 };
            put_head(out, part.len(), kind, ends_request | ends_block, stream);
            out.extend_from_slice(part);
            if after.is_empty() {
                break;
            }
            (rest, kind) = (after, kind::CONTINUATION);
        }
        let mut exchange = self.spare.pop().unwrap_or_else(|| Exchange::new(self.protocol.api));
        exchange.reset();
        self.streams.insert(stream, Stream { id, exchange, window: STREAM_WINDOW, received: 0, expected: None });
        payload.is_empty() || self.outgoing.start(stream, id, payload, out)
    }

    /// Streams that may be open at once.
    fn limit(&self) -> usize {
        self.limit.unwrap_or_else(|| self.known.0.load(Ordering::Relaxed).max(1))
    }

    fn has_room(&self) -> bool {
        self.limit.is_some_and(|limit| self.streams.len() < limit)
    }

    /// Sends what had to wait and need not any more.
    fn release(&mut self) {
        let (mut output, mut whole) = (std::mem::take(&mut self.output), std::mem::take(&mut self.whole));
        self.outgoing.advance(&mut output, &mut whole);
        while self.has_room()
            && let Some((id, payload)) = self.waiting.pop_front()
        {
            if self.open(id, &payload, &mut output) {
                whole.push(id);
            }
        }
        (self.output, self.whole) = (output, whole);
    }

    /// Forgets a stream and what of its request was not written.
    fn close(&mut self, stream: u32) -> Option<Stream> {
        let one = self.streams.remove(&stream)?;
        if self.outgoing.forget(stream) {
            // The server has answered or failed without the rest of the request.
            put_reset(&mut self.output, stream, code::CANCEL);
        }
        Some(one)
    }

    fn keep(&mut self, exchange: Exchange) {
        if self.spare.len() < MOST_SPARE {
            self.spare.push(exchange);
        }
    }

    /// The request of a stream has failed. `reset`: the server does not know that yet.
    fn fail(&mut self, stream: u32, failure: Failure, reset: Option<u32>, decoded: &mut Vec<Decoded>) {
        let Some(mut one) = self.close(stream) else { return };
        if let Some(code) = reset {
            put_reset(&mut self.output, stream, code);
        }
        decoded.push(one.exchange.fail(one.id, failure));
        self.keep(one.exchange);
    }

    /// The server has said everything on a stream.
    fn finish(&mut self, stream: u32, at_ns: u64, decoded: &mut Vec<Decoded>) {
        let Some(mut one) = self.close(stream) else { return };
        let cut = one.expected.filter(|&expected| expected != one.received && !one.exchange.is_streamed());
        decoded.push(if !one.exchange.has_heading() {
            one.exchange.fail(one.id, broken("it ended a stream without an answer"))
        } else if let Some(expected) = cut {
            let message = format!("the answer ended after {} of {expected} bytes", one.received);
            one.exchange.fail(one.id, Failure::new(ErrorClass::ShortBody, message))
        } else {
            one.exchange.complete(one.id, at_ns, true, self.protocol.reading())
        });
        self.keep(one.exchange);
    }

    /// Takes the head of a frame of a body; the body is taken as it comes.
    fn begin_data(&mut self, head: FrameHead, padding: usize, since_ns: u64) -> Result<(), Failure> {
        let is_last = head.has(flag::END_STREAM);
        // The whole payload counts, its padding too (section 6.9.1).
        self.window -= head.length as i64;
        if self.window < 0 {
            return Err(broken("it sent more than the window of the connection"));
        }
        if self.window < CONNECTION_WINDOW / 2 {
            put_window(&mut self.output, 0, (CONNECTION_WINDOW - self.window) as u32);
            self.window = CONNECTION_WINDOW;
        }
        if let Some(one) = self.streams.get_mut(&head.stream) {
            one.exchange.touch(since_ns);
            one.window -= head.length as i64;
            if one.window < 0 {
                return Err(broken("it sent more than the window of a stream"));
            }
            if one.window < STREAM_WINDOW / 2 && !is_last {
                put_window(&mut self.output, head.stream, (STREAM_WINDOW - one.window) as u32);
                one.window = STREAM_WINDOW;
            }
        } else {
            self.check_known(head.stream)?;
        }
        let padded = usize::from(head.has(flag::PADDED));
        let left = (head.length - padded).checked_sub(padding).ok_or_else(|| broken("a frame is all padding"))?;
        self.data = Some(Data { stream: head.stream, left, padding, is_last });
        Ok(())
    }

    /// Takes bytes of a body; returns how many.
    fn take_data(&mut self, mut data: Data, bytes: &[u8], at_ns: u64, decoded: &mut Vec<Decoded>) -> usize {
        let part = &bytes[..bytes.len().min(data.left)];
        data.left -= part.len();
        let padding = data.padding.min(bytes.len() - part.len());
        data.padding -= padding;
        let is_done = data.left == 0 && data.padding == 0;
        self.data = (!is_done).then_some(data);
        if let Some(one) = self.streams.get_mut(&data.stream) {
            one.received += part.len() as u64;
            let fed = if !one.exchange.has_heading() {
                Err(broken("it sent a body without a head"))
            } else if part.is_empty() {
                Ok(())
            } else {
                one.exchange.feed(part, at_ns, self.protocol.reading())
            };
            match fed {
                Err(failure) => self.fail(data.stream, failure, Some(code::CANCEL), decoded),
                Ok(()) if is_done && data.is_last => self.finish(data.stream, at_ns, decoded),
                Ok(()) => {}
            }
        }
        part.len() + padding
    }
}

impl Codec for Http2 {
    fn at_once(&self) -> usize {
        if self.protocol.single_use { 1 } else { self.limit() }
    }

    fn begin(&mut self, id: u64, payload: &[u8], head: &mut Vec<u8>) -> Rest {
        self.closed |= self.protocol.single_use;
        if !self.has_room() || !self.waiting.is_empty() {
            self.waiting.push_back((id, payload.to_vec()));
            return Rest::Held;
        }
        if self.open(id, payload, head) { Rest::Nothing } else { Rest::Held }
    }

    fn decode(&mut self, bytes: &[u8], at_ns: u64, decoded: &mut Vec<Decoded>) -> Result<usize, Failure> {
        let mut rest = bytes;
        loop {
            if let Some(data) = self.data {
                if rest.is_empty() && data.left + data.padding > 0 {
                    break;
                }
                rest = &rest[self.take_data(data, rest, at_ns, decoded)..];
                continue;
            }
            if rest.is_empty() {
                self.cut_ns = None;
                break;
            }
            let since_ns = *self.cut_ns.get_or_insert(at_ns);
            if self.limit.is_none() && !Self::is_greeted(rest)? {
                break;
            }
            let Some(head) = FrameHead::read(rest) else { break };
            if head.length > MOST_PAYLOAD {
                return Err(broken("a frame is larger than the largest that is taken"));
            }
            if head.kind == kind::HEADERS
                && let Some(one) = self.streams.get_mut(&head.stream)
            {
                one.exchange.touch(since_ns);
            }
            if let Some((stream, ..)) = &self.block
                && (head.kind != kind::CONTINUATION || head.stream != *stream)
            {
                return Err(broken("a head was interrupted"));
            }
            if head.kind == kind::DATA {
                let padded = usize::from(head.has(flag::PADDED));
                if padded > head.length {
                    return Err(broken("a frame is too short for its padding"));
                }
                let Some(start) = rest.get(HEAD..HEAD + padded) else { break };
                let padding = start.first().copied().unwrap_or(0);
                self.begin_data(head, usize::from(padding), since_ns)?;
                rest = &rest[HEAD + padded..];
            } else {
                let Some(payload) = rest.get(HEAD..HEAD + head.length) else { break };
                self.take_frame(head, payload, at_ns, decoded)?;
                rest = &rest[HEAD + head.length..];
            }
            self.cut_ns = None;
        }
        self.release();
        Ok(bytes.len() - rest.len())
    }

    fn end(&mut self, decoded: &mut Vec<Decoded>) -> Option<u64> {
        let mut open: Vec<u32> = self.streams.keys().copied().collect();
        open.sort_unstable();
        let farewell = self.farewell.take().map(|(_, said)| format!(" (GOAWAY {said})")).unwrap_or_default();
        for stream in open {
            let Some(one) = self.streams.get(&stream) else { continue };
            let (class, message) = if one.exchange.says_end() {
                // A stream of events that said its last word is complete whatever the protocol still owes.
                let at_ns = one.exchange.last_ns();
                self.finish(stream, at_ns, decoded);
                continue;
            } else if one.exchange.has_begun() {
                (ErrorClass::ShortBody, format!("the connection ended in the middle of the answer{farewell}"))
            } else if !farewell.is_empty() {
                (ErrorClass::Reset, format!("the server closed the connection before it answered{farewell}"))
            } else {
                // Why it ended is known where the connection is.
                continue;
            };
            self.fail(stream, Failure::new(class, message), None, decoded);
        }
        None
    }

    fn is_reusable(&self) -> bool {
        !self.closed && self.next_stream <= LAST_STREAM
    }

    fn partial(&mut self, id: u64) -> Option<Box<Reply>> {
        let Some(stream) = self.streams.iter().find(|(_, one)| one.id == id).map(|(&stream, _)| stream) else {
            self.waiting.retain(|(waiting, _)| *waiting != id);
            return None;
        };
        let mut one = self.streams.remove(&stream)?;
        self.outgoing.forget(stream);
        put_reset(&mut self.output, stream, code::CANCEL);
        let reply = one.exchange.take_reply();
        self.keep(one.exchange);
        self.release();
        Some(reply)
    }

    fn is_ready(&self) -> bool {
        self.limit.is_some()
    }

    fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    fn output(&mut self, bytes: &mut Vec<u8>, whole: &mut Vec<u64>) {
        bytes.append(&mut self.output);
        whole.append(&mut self.whole);
    }
}

fn broken(what: &str) -> Failure {
    Failure::new(ErrorClass::Protocol, format!("the server broke the rules of HTTP/2: {what}"))
}

#[cfg(test)]
mod tests;
