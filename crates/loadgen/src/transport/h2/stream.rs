//! One request and its answer on a connection of HTTP/2.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::super::exchange::{Exchange, Heading};
use super::super::hpack::{BadBlock, Decoder};

/// Streams by their numbers.
pub(super) type Streams = HashMap<u32, Stream, BuildHasherDefault<Spread>>;

/// Spreads the numbers of streams by a multiplication (Knuth, The Art of Computer Programming, section 6.4). One is looked up for each
/// frame, and it is the client who gives them out: nobody can make them collide.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u32(byte.into()));
    }

    fn write_u32(&mut self, number: u32) {
        // The golden ratio of 2^64.
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        // The upper half is the better one, and a table goes by the lower bits.
        self.0.rotate_left(32)
    }
}

/// A stream of which the answer is not complete.
#[derive(Debug)]
pub(super) struct Stream {
    /// The request.
    pub id: u64,
    pub exchange: Exchange,
    /// Bytes that the server may still send before it is given more.
    pub window: i64,
    /// Bytes of the body so far, and how many there are to be by the head.
    pub received: u64,
    pub expected: Option<u64>,
}

/// Fields of a block.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// None in trailers.
    pub status: Option<u16>,
    pub length: Option<u64>,
    pub heading: Heading,
}

impl Fields {
    /// Reads a block.
    ///
    /// # Errors
    /// [`BadBlock`].
    pub fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Self, BadBlock> {
        let mut fields = Self::default();
        decoder.decode(block, &mut |name, value| match name {
            b":status" if value.len() == 3 => fields.status = digits(value).and_then(|status| status.try_into().ok()),
            b"content-length" => fields.length = digits(value),
            _ => fields.heading.take(name, value),
        })?;
        fields.heading.status = fields.status.unwrap_or(0);
        Ok(fields)
    }
}

fn digits(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    text.and_then(|text| text.parse().ok())
}
