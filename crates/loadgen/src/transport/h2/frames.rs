//! What frames of the server mean that are no bodies.

use std::sync::atomic::Ordering;

use super::frame::{FrameHead, code, code_name, flag, kind, number, put_head, setting};
use super::outgoing::Overflow;
use super::stream::Fields;
use super::{Http2, broken};
use crate::outcome::ErrorClass;
use crate::transport::answer::Failure;
use crate::transport::codec::Decoded;
use crate::transport::exchange::Exchange;
use crate::transport::hpack::MOST_FIELDS;

/// How much of what a server says when it goes away is kept, bytes.
const QUOTED: usize = 200;

impl Http2 {
    /// Takes a frame that is no body.
    pub(super) fn take_frame(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        at_ns: u64,
        decoded: &mut Vec<Decoded>,
    ) -> Result<(), Failure> {
        match head.kind {
            kind::HEADERS => {
                let block = unpadded(head, payload)?;
                let block = if head.has(flag::PRIORITY) { block.get(5..) } else { Some(block) };
                let block = block.ok_or_else(|| broken("a head is too short"))?;
                self.check_known(head.stream)?;
                let is_last = head.has(flag::END_STREAM);
                if head.has(flag::END_HEADERS) {
                    return self.take_fields(head.stream, is_last, block, at_ns, decoded);
                }
                self.block = Some((head.stream, is_last, block.to_vec()));
                Ok(())
            }
            kind::CONTINUATION => {
                let Some((stream, is_last, mut block)) = self.block.take() else {
                    return Err(broken("it went on with a head that it had not begun"));
                };
                block.extend_from_slice(payload);
                if block.len() > MOST_FIELDS {
                    return Err(broken("a head does not end"));
                }
                if head.has(flag::END_HEADERS) {
                    return self.take_fields(stream, is_last, &block, at_ns, decoded);
                }
                self.block = Some((stream, is_last, block));
                Ok(())
            }
            kind::RST_STREAM => {
                let code = payload.try_into().map_err(|_| broken("a reset has a wrong length"))?;
                self.check_known(head.stream)?;
                self.take_reset(head.stream, u32::from_be_bytes(code), at_ns, decoded);
                Ok(())
            }
            kind::SETTINGS => self.take_settings(head, payload),
            kind::PUSH_PROMISE => Err(broken("it pushes although it was told not to")),
            kind::PING => {
                let ping: [u8; 8] = payload.try_into().map_err(|_| broken("a ping has a wrong length"))?;
                if !head.has(flag::ACK) {
                    put_head(&mut self.output, ping.len(), kind::PING, flag::ACK, 0);
                    self.output.extend_from_slice(&ping);
                }
                Ok(())
            }
            kind::GOAWAY => {
                let (last, rest) = payload.split_first_chunk::<4>().ok_or_else(|| broken("a goodbye is too short"))?;
                let (code, said) = rest.split_first_chunk::<4>().ok_or_else(|| broken("a goodbye is too short"))?;
                self.take_farewell(number(*last), u32::from_be_bytes(*code), said, decoded);
                Ok(())
            }
            kind::WINDOW_UPDATE => {
                let more = payload.try_into().map_err(|_| broken("a window has a wrong length"))?;
                let widened = match (head.stream, number(more)) {
                    (_, 0) => return Err(broken("it widens a window by nothing")),
                    (0, more) => self.outgoing.widen(more),
                    (stream, more) => self.outgoing.widen_stream(stream, more),
                };
                widened.map_err(|Overflow| broken("it widens a window beyond 2^31 - 1 bytes"))
            }
            // Priorities, and whatever comes to be later (section 4.1).
            _ => Ok(()),
        }
    }

    fn take_fields(
        &mut self,
        stream: u32,
        is_last: bool,
        block: &[u8],
        at_ns: u64,
        decoded: &mut Vec<Decoded>,
    ) -> Result<(), Failure> {
        // Of a stream that is over too: the block belongs to the state of the connection.
        let fields = Fields::read(&mut self.hpack, block);
        let fields = fields.map_err(|error| broken(&format!("a head cannot be read: {error}")))?;
        let Some(one) = self.streams.get_mut(&stream) else { return Ok(()) };
        let verdict = match fields.status {
            // Trailers have nothing that matters here.
            _ if one.exchange.has_heading() && is_last => Ok(()),
            _ if one.exchange.has_heading() => Err("it sent a second head"),
            None => Err("a head has no status"),
            // An interim answer (103 Early Hints) is followed by the answer itself.
            Some(..200) if !is_last => return Ok(()),
            Some(..200) => Err("an interim answer ends its stream"),
            Some(_) => {
                one.expected = fields.length;
                one.exchange.begin(fields.heading, self.protocol.reading());
                Ok(())
            }
        };
        match verdict {
            Err(what) => self.fail(stream, broken(what), Some(code::PROTOCOL_ERROR), decoded),
            Ok(()) if is_last => self.finish(stream, at_ns, decoded),
            Ok(()) => {}
        }
        Ok(())
    }

    fn take_reset(&mut self, stream: u32, code: u32, at_ns: u64, decoded: &mut Vec<Decoded>) {
        let Some(one) = self.streams.get(&stream) else { return };
        let name = code_name(code);
        let (class, message) = if one.exchange.says_end() {
            // The stream of events was complete.
            return self.finish(stream, at_ns, decoded);
        } else if code == code::REFUSED_STREAM {
            (ErrorClass::Draining, format!("the server did not take the request ({name})"))
        } else if one.exchange.has_heading() {
            (ErrorClass::ShortBody, format!("the server reset the stream in the middle of the answer ({name})"))
        } else {
            (ErrorClass::Reset, format!("the server reset the stream before it answered ({name})"))
        };
        // A reset is not answered by one.
        self.outgoing.forget(stream);
        self.fail(stream, Failure::new(class, message), None, decoded);
    }

    fn take_settings(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), Failure> {
        if head.has(flag::ACK) {
            return Ok(());
        }
        if head.stream != 0 || !payload.len().is_multiple_of(6) {
            return Err(broken("its settings have a wrong length"));
        }
        let mut limit = self.limit.unwrap_or(usize::MAX);
        for one in payload.chunks_exact(6) {
            let value = u32::from_be_bytes([one[2], one[3], one[4], one[5]]);
            match u16::from_be_bytes([one[0], one[1]]) {
                setting::MAX_CONCURRENT_STREAMS => limit = value as usize,
                setting::INITIAL_WINDOW_SIZE => {
                    let set = self.outgoing.set_initial(value);
                    set.map_err(|Overflow| broken("its windows are larger than 2^31 - 1 bytes"))?;
                }
                setting::MAX_FRAME_SIZE if !(16_384..1 << 24).contains(&value) => {
                    return Err(broken("its largest frame has a size that cannot be"));
                }
                setting::MAX_FRAME_SIZE => self.outgoing.set_most(value as usize),
                // A table of fields is not used, and the rest concerns servers.
                _ => {}
            }
        }
        self.limit = Some(limit);
        self.known.0.store(limit, Ordering::Relaxed);
        put_head(&mut self.output, 0, kind::SETTINGS, flag::ACK, 0);
        Ok(())
    }

    /// The server goes away: it answers streams up to `last`.
    fn take_farewell(&mut self, last: u32, code: u32, said: &[u8], decoded: &mut Vec<Decoded>) {
        self.closed = true;
        let name = code_name(code);
        let said = String::from_utf8_lossy(&said[..said.len().min(QUOTED)]).trim().to_owned();
        let said = if said.is_empty() { name } else { format!("{name}: {said}") };
        let failure = if code == code::NO_ERROR {
            let message = format!("the server goes away and did not take the request (GOAWAY {said})");
            Failure::new(ErrorClass::Draining, message)
        } else {
            Failure::new(ErrorClass::Reset, format!("the server ended the connection (GOAWAY {said})"))
        };
        let mut refused: Vec<u32> = self.streams.keys().copied().filter(|&stream| stream > last).collect();
        refused.sort_unstable();
        for stream in refused {
            self.outgoing.forget(stream);
            self.fail(stream, failure.clone(), None, decoded);
        }
        for (id, _) in std::mem::take(&mut self.waiting) {
            decoded.push(Exchange::new(self.protocol.api).fail(id, failure.clone()));
        }
        self.farewell = Some((code, said));
    }

    /// A frame of a stream that was never begun is none of a server that can be followed.
    pub(super) fn check_known(&self, stream: u32) -> Result<(), Failure> {
        if stream % 2 == 1 && stream < self.next_stream {
            Ok(())
        } else {
            Err(broken("it speaks on a stream that nobody began"))
        }
    }

    /// Whether the first bytes of the server are of HTTP/2; false if there are too few of them.
    pub(super) fn is_greeted(bytes: &[u8]) -> Result<bool, Failure> {
        const OLD: &[u8] = b"HTTP/";
        if bytes.starts_with(OLD) {
            let line = bytes.split(|&byte| byte == b'\r' || byte == b'\n').next().unwrap_or_default();
            let line = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
            return Err(Failure::new(ErrorClass::Protocol, format!("the server answered `{line}`")));
        }
        if OLD.starts_with(bytes) {
            return Ok(false);
        }
        match FrameHead::read(bytes) {
            None => Ok(false),
            Some(head) if head.kind == kind::SETTINGS && head.stream == 0 && !head.has(flag::ACK) => Ok(true),
            Some(_) => Err(Failure::new(ErrorClass::Protocol, "the server's first bytes are none of HTTP/2")),
        }
    }
}

/// The payload of a frame without its padding.
fn unpadded(head: FrameHead, payload: &[u8]) -> Result<&[u8], Failure> {
    if !head.has(flag::PADDED) {
        return Ok(payload);
    }
    let content =
        payload.split_first().and_then(|(&padding, rest)| rest.get(..rest.len().checked_sub(padding.into())?));
    content.ok_or_else(|| broken("a head is all padding"))
}
