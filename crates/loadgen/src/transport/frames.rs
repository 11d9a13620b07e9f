//! Length-prefixed frames: u32 LE length of the payload, u64 LE id, payload. Many requests at once, answers in any order.

use super::MOST_BYTES;
use super::answer::{AnswerFormat, Failure};
use super::codec::{Codec, Decoded, Rest};
use crate::outcome::ErrorClass;

const HEAD: usize = 4 + 8;

/// Frames of one connection.
pub(super) struct Frames {
    format: AnswerFormat,
    keep: bool,
    /// When the first byte of the frame that is not complete yet was read.
    first_byte_ns: Option<u64>,
    /// Its id, once it is known.
    partial: Option<u64>,
}

impl Frames {
    pub fn new(format: AnswerFormat, keep: bool) -> Self {
        Self { format, keep, first_byte_ns: None, partial: None }
    }
}

impl Codec for Frames {
    fn at_once(&self) -> usize {
        usize::MAX
    }

    fn begin(&mut self, id: u64, payload: &[u8], head: &mut Vec<u8>) -> Rest {
        // The transport refuses payloads over MOST_BYTES, which fits.
        head.extend((payload.len() as u32).to_le_bytes());
        head.extend(id.to_le_bytes());
        Rest::Payload
    }

    fn decode(&mut self, bytes: &[u8], at_ns: u64, decoded: &mut Vec<Decoded>) -> Result<usize, Failure> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let first_byte_ns = *self.first_byte_ns.get_or_insert(at_ns);
            let Some((length, after)) = rest.split_first_chunk::<4>() else { break };
            let Some((id, after)) = after.split_first_chunk::<8>() else { break };
            let (length, id) = (u32::from_le_bytes(*length) as usize, u64::from_le_bytes(*id));
            if length > MOST_BYTES {
                let message = format!("the server sent a frame of {length} bytes, over the limit of {MOST_BYTES}");
                return Err(Failure::new(ErrorClass::Protocol, message));
            }
            self.partial = Some(id);
            let Some(payload) = after.get(..length) else { break };
            decoded.push(Decoded { id, first_byte_ns, answer: self.format.read(payload, self.keep), reply: None });
            (self.first_byte_ns, self.partial) = (None, None);
            rest = &rest[HEAD + length..];
        }
        Ok(bytes.len() - rest.len())
    }

    fn end(&mut self, _: &mut Vec<Decoded>) -> Option<u64> {
        self.partial
    }

    fn is_reusable(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::check;
    use proptest::prelude::*;

    fn frame(id: u64, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        Frames::new(AnswerFormat::Opaque, false).begin(id, payload, &mut frame);
        frame.extend(payload);
        frame
    }

    /// Feeds `stream` in parts as a connection does, the part's number being its time.
    fn feed(codec: &mut Frames, stream: &[u8], cuts: &[usize]) -> Vec<Decoded> {
        let (mut decoded, mut left, mut start) = (Vec::new(), Vec::new(), 0);
        for (time, &end) in cuts.iter().chain([&stream.len()]).enumerate() {
            left.extend_from_slice(&stream[start..end]);
            let used = codec.decode(&left, time as u64, &mut decoded).unwrap();
            left.drain(..used);
            start = end;
        }
        decoded
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_answers(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6),
            mut cuts in prop::collection::vec(0_usize..200, 0..8),
        ) {
            let mut stream = Vec::new();
            let mut starts = Vec::new();
            for (id, payload) in payloads.iter().enumerate() {
                starts.push(stream.len());
                stream.extend(frame(id as u64, payload));
            }
            cuts.iter_mut().for_each(|cut| *cut = (*cut).min(stream.len()));
            cuts.sort_unstable();
            let mut codec = Frames::new(AnswerFormat::Opaque, false);
            let decoded = feed(&mut codec, &stream, &cuts);
            prop_assert_eq!(decoded.len(), payloads.len());
            for (id, one) in decoded.iter().enumerate() {
                prop_assert_eq!(one.id, id as u64);
                prop_assert_eq!(one.answer.as_ref().unwrap().check, check(&payloads[id]));
                // The first byte's time is that of the part that holds it.
                let part = cuts.iter().filter(|&&cut| cut <= starts[id]).count() as u64;
                prop_assert_eq!(one.first_byte_ns, part);
            }
            prop_assert_eq!(codec.end(&mut Vec::new()), None);
        }
    }

    #[test]
    fn a_cut_frame_names_its_request() {
        let stream = frame(77, b"answer");
        let mut codec = Frames::new(AnswerFormat::Opaque, false);
        assert!(feed(&mut codec, &stream[..15], &[]).is_empty());
        assert_eq!(codec.end(&mut Vec::new()), Some(77));
        let mut codec = Frames::new(AnswerFormat::Opaque, false);
        let huge = u32::MAX.to_le_bytes().into_iter().chain([0; 8]).collect::<Vec<_>>();
        assert_eq!(codec.decode(&huge, 0, &mut Vec::new()).unwrap_err().class, ErrorClass::Protocol);
    }
}
