//! The frames of the data socket, as [`record::protocol::serve`] describes them.

/// Length and id before each payload, bytes.
const HEADER: usize = 4 + 8;
/// Status and stamps at the start of each answer's payload, bytes.
const STAMPS: usize = 1 + 3 * 8;
/// Longest payload of a request, bytes.
pub const MAX_PAYLOAD: usize = 64 << 20;
/// Room for a read, bytes; a stretch of many requests of some kB is read at once.
const READ: usize = 64 << 10;

/// When the front end had the whole request, when its service began, and when its result was ready; ns of CLOCK_MONOTONIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamps {
    pub received_ns: u64,
    pub started_ns: u64,
    pub finished_ns: u64,
}

/// An answer with its header: ids as little-endian u32, or the message of a failure.
pub fn answer(id: u64, stamps: Stamps, outcome: Result<&[u8], &str>) -> Vec<u8> {
    let (status, mut body) = match outcome {
        Ok(ids) => (0_u8, ids),
        Err(message) => (1, message.as_bytes()),
    };
    // A message is short; ids that a u32 cannot count would have needed a request beyond what is let in.
    let longest = u32::MAX as usize - STAMPS;
    body = &body[..body.len().min(longest)];
    let length = u32::try_from(STAMPS + body.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(HEADER + STAMPS + body.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&id.to_le_bytes());
    frame.push(status);
    for stamp in [stamps.received_ns, stamps.started_ns, stamps.finished_ns] {
        frame.extend_from_slice(&stamp.to_le_bytes());
    }
    frame.extend_from_slice(body);
    frame
}

/// A frame said that it is longer than [`MAX_PAYLOAD`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// Cuts what arrives on a stream into frames.
#[derive(Debug, Default)]
pub struct Splitter {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Splitter {
    /// Where the next bytes go; never empty.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        let wanted =
            self.length().map_or(READ, |length| (HEADER + length).saturating_sub(self.end - self.start).max(READ));
        if self.end + wanted > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end + wanted > self.buffer.len() {
                self.buffer.resize(self.end + wanted, 0);
            }
        }
        &mut self.buffer[self.end..]
    }

    /// So many bytes were put into [`Splitter::space`].
    pub fn advance(&mut self, bytes: usize) {
        self.end = (self.end + bytes).min(self.buffer.len());
    }

    /// Id and payload of the next frame that is complete.
    pub fn next(&mut self) -> Result<Option<(u64, Vec<u8>)>, TooLong> {
        let Some(length) = self.length() else { return Ok(None) };
        if length > MAX_PAYLOAD {
            return Err(TooLong);
        }
        let data = &self.buffer[self.start..self.end];
        let Some(payload) = data.get(HEADER..HEADER + length) else { return Ok(None) };
        let frame = (u64::from_le_bytes(array(&data[4..HEADER])), payload.to_vec());
        self.start += HEADER + length;
        Ok(Some(frame))
    }

    /// Length of the next payload, if its header is there; not more than one byte above what is allowed.
    fn length(&self) -> Option<usize> {
        let data = &self.buffer[self.start..self.end];
        (data.len() >= HEADER).then(|| (u32::from_le_bytes(array(&data[..4])) as usize).min(MAX_PAYLOAD + 1))
    }
}

/// The first `N` bytes of a slice that has as many.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[..N]);
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: u64, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_le_bytes();
        [&length[..], &id.to_le_bytes(), payload].concat()
    }

    #[test]
    fn frames_come_whole_however_the_stream_is_cut() {
        let payloads = [vec![], b"{}".to_vec(), vec![7; 3 * READ], b"x".to_vec()];
        let stream: Vec<u8> =
            payloads.iter().enumerate().flat_map(|(id, payload)| request(id as u64, payload)).collect();
        for step in [1, 5, 12, 13, 1000, READ, stream.len()] {
            let mut splitter = Splitter::default();
            let mut found = Vec::new();
            for mut piece in stream.chunks(step) {
                while !piece.is_empty() {
                    let space = splitter.space();
                    let taken = space.len().min(piece.len());
                    space[..taken].copy_from_slice(&piece[..taken]);
                    splitter.advance(taken);
                    piece = &piece[taken..];
                    while let Some(frame) = splitter.next().unwrap() {
                        found.push(frame);
                    }
                }
            }
            let want: Vec<_> = payloads.iter().cloned().enumerate().map(|(id, payload)| (id as u64, payload)).collect();
            assert!(found == want, "cut every {step} bytes");
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_before_its_payload_is_read() {
        for (length, refused) in [(MAX_PAYLOAD as u32, false), (MAX_PAYLOAD as u32 + 1, true), (u32::MAX, true)] {
            let mut splitter = Splitter::default();
            splitter.space()[..4].copy_from_slice(&length.to_le_bytes());
            splitter.advance(HEADER);
            assert_eq!(splitter.next(), if refused { Err(TooLong) } else { Ok(None) });
        }
    }

    #[test]
    fn an_answer_is_header_status_stamps_and_body() {
        let stamps = Stamps { received_ns: 1, started_ns: 2, finished_ns: 3 };
        let frame = answer(9, stamps, Ok(&[5, 0, 0, 0]));
        let want = [
            &29_u32.to_le_bytes()[..],
            &9_u64.to_le_bytes(),
            &[0],
            &1_u64.to_le_bytes(),
            &2_u64.to_le_bytes(),
            &3_u64.to_le_bytes(),
            &[5, 0, 0, 0],
        ];
        assert_eq!(frame, want.concat());
        let frame = answer(9, stamps, Err("no"));
        assert_eq!((frame[HEADER], &frame[HEADER + STAMPS..]), (1, &b"no"[..]));
    }
}
