//! The bytes of one write while they are put together.

use std::os::fd::OwnedFd;

use super::outbox::{Due, Outbox, Written};

/// Memory that all connections of a thread use in turn.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// One event, or one body.
    pub event: Vec<u8>,
    /// What is written next.
    pub out: Vec<u8>,
    /// Places in `out` for the time of the write.
    pub stamps: Vec<usize>,
}

impl Scratch {
    /// Appends the event to what is written next, as a chunk if `chunked`; `at` is the place of its stamp.
    pub fn frame(&mut self, chunked: bool, at: Option<usize>) {
        if chunked {
            put_hex(&mut self.out, self.event.len() as u64);
            self.out.extend_from_slice(b"\r\n");
        }
        self.stamps.extend(at.map(|at| self.out.len() + at));
        self.out.extend_from_slice(&self.event);
        if chunked {
            self.out.extend_from_slice(b"\r\n");
        }
        self.event.clear();
    }
}

/// A number as a chunk's size has it.
pub(super) fn put_hex(out: &mut Vec<u8>, number: u64) {
    let digits = (number.max(1).ilog2() / 4 + 1) as usize;
    out.extend((0..digits).rev().map(|place| b"0123456789abcdef"[(number >> (4 * place)) as usize & 15]));
}

/// A connection to write to.
pub(super) struct Line<'a> {
    pub socket: &'a OwnedFd,
    pub outbox: &'a mut Outbox,
    pub scratch: &'a mut Scratch,
    /// Events with content that were written.
    pub written: &'a mut Vec<Written>,
}

impl Line<'_> {
    /// Writes what was put together, or keeps it until it is due.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn send(&mut self, not_before_ns: u64, due: Due) -> std::io::Result<()> {
        let Scratch { out, stamps, .. } = self.scratch;
        let written = self.outbox.offer(self.socket, out, stamps, not_before_ns, due);
        out.clear();
        stamps.clear();
        self.written.extend(written?);
        Ok(())
    }

    /// The same in two writes: up to `cut`, and the rest after `gap_ns`.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn send_in_two(&mut self, cut: usize, not_before_ns: u64, gap_ns: u64, due: Due) -> std::io::Result<()> {
        let rest = self.scratch.out.split_off(cut);
        let stamps = std::mem::take(&mut self.scratch.stamps);
        let (first, second): (Vec<usize>, Vec<usize>) = stamps.iter().partition(|at| **at < cut);
        // The write that counts is the one with the stamp.
        let (first_due, second_due) = if second.is_empty() { (due, None) } else { (None, due) };
        self.scratch.stamps = first;
        self.send(not_before_ns, first_due)?;
        self.scratch.out.extend_from_slice(&rest);
        self.scratch.stamps.extend(second.iter().map(|at| at - cut));
        self.send(not_before_ns.max(netpoll::now_ns()) + gap_ns, second_due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_chunks() {
        for number in [0, 1, 9, 10, 15, 16, 255, 256, 0xabc_def0, u64::MAX] {
            let mut out = Vec::new();
            put_hex(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{number:x}"));
        }
    }

    #[test]
    fn stamps_move_with_their_event() {
        let mut scratch = Scratch { out: b"head".to_vec(), ..Scratch::default() };
        scratch.event = b"0123456789".to_vec();
        scratch.frame(true, Some(3));
        assert_eq!((scratch.out.as_slice(), scratch.stamps.as_slice()), (&b"heada\r\n0123456789\r\n"[..], &[10][..]));
        assert_eq!(scratch.out[10], b'3');
    }
}
