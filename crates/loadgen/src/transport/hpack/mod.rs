//! Header compression of HTTP/2 (RFC 7541), as much of it as a client with constant fields needs: reading everything, writing
//! literal fields.
//!
//! It is our own because it lies in the timed path: no crate that is kept up reads a block without an allocation for each field, and those
//! that are not build the table of the Huffman code anew for each string.

mod huffman;
mod table;

use table::{Dynamic, OVERHEAD, STATIC};

/// Room for fields that the peer numbers: what holds where nothing is said (RFC 9113, section 6.5.2), bytes.
const ROOM: usize = 4096;

/// Largest list of fields, counted as by RFC 9113, section 6.5.2, bytes.
pub(super) const MOST_FIELDS: usize = 64 << 10;

/// A block that cannot be read; the connection is then of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadBlock {
    #[error("it ends in the middle of a field")]
    CutShort,
    #[error("a number in it is too large")]
    Number,
    #[error("it names a field that there is not")]
    Index,
    #[error("a string in it is not of the Huffman code")]
    Huffman,
    #[error("it changes the size of the table at a wrong place or to a size that was not offered")]
    TableSize,
    #[error("its fields take more than {MOST_FIELDS} bytes")]
    TooLong,
}

/// Reads the blocks of one connection.
#[derive(Debug)]
pub(super) struct Decoder {
    table: Dynamic,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Decoder {
    pub fn new() -> Self {
        Self { table: Dynamic::new(ROOM), name: Vec::new(), value: Vec::new() }
    }

    /// Reads a whole block and calls `on` with the name and the value of each field.
    ///
    /// # Errors
    /// [`BadBlock`].
    pub fn decode(&mut self, block: &[u8], on: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BadBlock> {
        let (mut rest, mut may_resize, mut total) = (block, true, 0);
        while let Some(&first) = rest.first() {
            if first & 0xe0 == 0x20 {
                let size = take_number(&mut rest, 5)?;
                if !may_resize || size > ROOM {
                    return Err(BadBlock::TableSize);
                }
                self.table.resize(size);
                continue;
            }
            may_resize = false;
            let mut count = |name: &[u8], value: &[u8]| {
                total += name.len() + value.len() + OVERHEAD;
                if total > MOST_FIELDS {
                    return Err(BadBlock::TooLong);
                }
                on(name, value);
                Ok(())
            };
            if first & 0x80 != 0 {
                let (name, value) = self.table.get(take_number(&mut rest, 7)?).ok_or(BadBlock::Index)?;
                count(name, value)?;
                continue;
            }
            let is_kept = first & 0x40 != 0;
            let number = take_number(&mut rest, if is_kept { 6 } else { 4 })?;
            self.name.clear();
            if number == 0 {
                take_string(&mut rest, &mut self.name)?;
            } else {
                let (name, _) = self.table.get(number).ok_or(BadBlock::Index)?;
                self.name.extend_from_slice(name);
            }
            self.value.clear();
            take_string(&mut rest, &mut self.value)?;
            count(&self.name, &self.value)?;
            if is_kept {
                self.table.add(&self.name, &self.value);
            }
        }
        Ok(())
    }
}

/// An integer whose first `prefix` bits are in the first byte (section 5.1).
fn take_number(rest: &mut &[u8], prefix: u32) -> Result<usize, BadBlock> {
    let (&first, mut after) = rest.split_first().ok_or(BadBlock::CutShort)?;
    let most = (1_usize << prefix) - 1;
    let mut number = usize::from(first) & most;
    if number == most {
        // Four more bytes are enough for any number that is of use here.
        for shift in [0, 7, 14, 21, 28] {
            let (&byte, next) = after.split_first().ok_or(BadBlock::CutShort)?;
            after = next;
            if shift == 28 {
                return Err(BadBlock::Number);
            }
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *rest = after;
    Ok(number)
}

fn take_string(rest: &mut &[u8], out: &mut Vec<u8>) -> Result<(), BadBlock> {
    let is_coded = rest.first().is_some_and(|first| first & 0x80 != 0);
    let length = take_number(rest, 7)?;
    let (text, after) = rest.split_at_checked(length).ok_or(BadBlock::CutShort)?;
    *rest = after;
    if is_coded {
        return huffman::decode(text, MOST_FIELDS, out).map_err(|_| BadBlock::Huffman);
    }
    out.extend_from_slice(text);
    Ok(())
}

/// Begins the first block of a connection: the table of the writer has no room, and is not used.
pub(super) fn put_no_table(block: &mut Vec<u8>) {
    block.push(0x20);
}

/// Appends a field that is in no table afterwards. `is_secret`: proxies keep it out of theirs too.
///
/// Names are in lower case, as HTTP/2 wants them.
pub(super) fn put_field(block: &mut Vec<u8>, name: &str, value: &[u8], is_secret: bool) {
    let kind = if is_secret { 0x10 } else { 0 };
    let same = STATIC.iter().position(|&(known, at)| known == name && at.as_bytes() == value);
    if let (Some(index), false, false) = (same, is_secret, value.is_empty()) {
        put_number(block, 0x80, 7, index + 1);
        return;
    }
    match STATIC.iter().position(|&(known, _)| known == name) {
        Some(index) => put_number(block, kind, 4, index + 1),
        None => {
            block.push(kind);
            put_number(block, 0, 7, name.len());
            block.extend_from_slice(name.as_bytes());
        }
    }
    put_number(block, 0, 7, value.len());
    block.extend_from_slice(value);
}

fn put_number(block: &mut Vec<u8>, kind: u8, prefix: u32, number: usize) {
    let most = (1_usize << prefix) - 1;
    if number < most {
        block.push(kind | number as u8);
        return;
    }
    block.push(kind | most as u8);
    let mut left = number - most;
    while left >= 0x80 {
        block.push(left as u8 | 0x80);
        left >>= 7;
    }
    block.push(left as u8);
}

#[cfg(test)]
mod tests;
