//! Bodies of requests under the server's flow control (RFC 9113, section 5.2).

use std::collections::VecDeque;

use super::frame::{MOST_PAYLOAD, MOST_WINDOW, USUAL_WINDOW, flag, kind, put_head};

/// The server gave more than a window can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overflow;

/// Bodies that are not written whole, and how much may be written.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Bytes that the connection takes.
    window: i64,
    /// Bytes that a new stream takes.
    initial: i64,
    /// Largest payload of a frame.
    most: usize,
    pending: VecDeque<Pending>,
}

#[derive(Debug)]
struct Pending {
    stream: u32,
    id: u64,
    /// Bytes that the stream takes; below 0 after the server made windows smaller.
    window: i64,
    body: Vec<u8>,
    done: usize,
}

impl Outgoing {
    pub fn new() -> Self {
        Self { window: USUAL_WINDOW, initial: USUAL_WINDOW, most: MOST_PAYLOAD, pending: VecDeque::new() }
    }

    /// Appends as much of a body as may go out now; true if that is all of it. The rest follows in [`Outgoing::advance`].
    pub fn start(&mut self, stream: u32, id: u64, body: &[u8], out: &mut Vec<u8>) -> bool {
        let mut window = self.initial;
        // Bodies that began earlier come first.
        let sent = if self.pending.is_empty() { self.put(stream, body, &mut window, out) } else { 0 };
        if sent == body.len() {
            return true;
        }
        self.pending.push_back(Pending { stream, id, window, body: body[sent..].to_vec(), done: 0 });
        false
    }

    /// Appends what may go out by now, and the requests that end with it.
    pub fn advance(&mut self, out: &mut Vec<u8>, whole: &mut Vec<u64>) {
        // One whose own window is used up does not hold up the others.
        let mut at = 0;
        while at < self.pending.len() && self.window > 0 {
            let mut one = std::mem::take(&mut self.pending[at].body);
            let Pending { stream, id, mut window, done, .. } = self.pending[at];
            let sent = self.put(stream, &one[done..], &mut window, out);
            if done + sent == one.len() {
                whole.push(id);
                self.pending.remove(at);
                continue;
            }
            let pending = &mut self.pending[at];
            std::mem::swap(&mut pending.body, &mut one);
            (pending.window, pending.done) = (window, done + sent);
            at += 1;
        }
    }

    /// Appends frames of a body as far as the windows go; returns how many bytes.
    fn put(&mut self, stream: u32, body: &[u8], window: &mut i64, out: &mut Vec<u8>) -> usize {
        let mut sent = 0;
        while sent < body.len() {
            let room = usize::try_from(self.window.min(*window)).unwrap_or(0);
            let take = room.min(self.most).min(body.len() - sent);
            if take == 0 {
                break;
            }
            let flags = if sent + take == body.len() { flag::END_STREAM } else { 0 };
            put_head(out, take, kind::DATA, flags, stream);
            out.extend_from_slice(&body[sent..sent + take]);
            sent += take;
            self.window -= take as i64;
            *window -= take as i64;
        }
        sent
    }

    /// The server takes more on the connection.
    pub fn widen(&mut self, more: u32) -> Result<(), Overflow> {
        self.window += i64::from(more);
        if self.window > MOST_WINDOW { Err(Overflow) } else { Ok(()) }
    }

    /// The server takes more on a stream; one that has sent everything needs no more.
    pub fn widen_stream(&mut self, stream: u32, more: u32) -> Result<(), Overflow> {
        let Some(one) = self.pending.iter_mut().find(|one| one.stream == stream) else { return Ok(()) };
        one.window += i64::from(more);
        if one.window > MOST_WINDOW { Err(Overflow) } else { Ok(()) }
    }

    /// The server sets what streams take at first, those that have begun included (section 6.9.2).
    pub fn set_initial(&mut self, initial: u32) -> Result<(), Overflow> {
        let more = i64::from(initial) - self.initial;
        self.initial += more;
        self.pending.iter_mut().for_each(|one| one.window += more);
        let most = self.pending.iter().map(|one| one.window).max().unwrap_or(0).max(self.initial);
        if most > MOST_WINDOW { Err(Overflow) } else { Ok(()) }
    }

    /// The server sets the largest frame that it takes.
    pub fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    /// Largest payload of a frame to the server, bytes.
    pub fn most(&self) -> usize {
        self.most
    }

    /// A stream is over; true if its body had not been written whole.
    pub fn forget(&mut self, stream: u32) -> bool {
        let before = self.pending.len();
        self.pending.retain(|one| one.stream != stream);
        self.pending.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{FrameHead, HEAD};
    use super::*;

    /// Stream, length and flags of the frames in `bytes`.
    fn frames(mut bytes: &[u8]) -> Vec<(u32, usize, u8)> {
        let mut found = Vec::new();
        while let Some(head) = FrameHead::read(bytes) {
            found.push((head.stream, head.length, head.flags));
            bytes = &bytes[HEAD + head.length..];
        }
        found
    }

    #[test]
    fn windows_are_kept() {
        let (mut outgoing, mut whole) = (Outgoing::new(), Vec::new());
        outgoing.set_initial(10).unwrap();
        let mut out = Vec::new();
        assert!(outgoing.start(1, 100, b"short", &mut out));
        assert!(!outgoing.start(3, 101, &[b'a'; 25], &mut out));
        assert!(!outgoing.start(5, 102, b"b", &mut out), "in its turn, although its own window is open");
        assert_eq!(frames(&out), [(1, 5, 1), (3, 10, 0)]);
        out.clear();
        outgoing.advance(&mut out, &mut whole);
        assert_eq!((frames(&out), whole.as_slice()), (vec![(5, 1, 1)], &[102][..]));
        out.clear();
        outgoing.widen_stream(3, 7).unwrap();
        outgoing.advance(&mut out, &mut whole);
        outgoing.set_initial(4).unwrap();
        outgoing.widen_stream(3, 6).unwrap();
        outgoing.advance(&mut out, &mut whole);
        assert_eq!(frames(&out), [(3, 7, 0)], "six less and six more are none");
        outgoing.set_initial(12).unwrap();
        outgoing.advance(&mut out, &mut whole);
        assert_eq!((frames(&out), whole.as_slice()), (vec![(3, 7, 0), (3, 8, 1)], &[102, 101][..]));
        assert!(!outgoing.forget(3));
    }

    #[test]
    fn the_connection_has_a_window_of_its_own() {
        let (mut outgoing, mut whole, mut out) = (Outgoing::new(), Vec::new(), Vec::new());
        outgoing.set_initial(1 << 20).unwrap();
        assert!(!outgoing.start(1, 1, &vec![0; 70_000], &mut out));
        assert_eq!(frames(&out).iter().map(|frame| frame.1).collect::<Vec<_>>(), [16_384, 16_384, 16_384, 16_383]);
        out.clear();
        outgoing.widen(4_000).unwrap();
        outgoing.advance(&mut out, &mut whole);
        outgoing.widen(465).unwrap();
        outgoing.advance(&mut out, &mut whole);
        assert_eq!((frames(&out), whole.as_slice()), (vec![(1, 4_000, 0), (1, 465, 1)], &[1][..]));
        assert_eq!(outgoing.widen(u32::MAX >> 1), Ok(()));
        assert_eq!(outgoing.widen(1), Err(Overflow));
    }
}
