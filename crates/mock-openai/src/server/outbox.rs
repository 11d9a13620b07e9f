//! What is to be written to a connection, when, and what it is stamped with.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use netpoll::now_ns;
use rustix::io::Errno;
use rustix::net::SendFlags;

use server_api::stamp;

/// Most bytes that wait for a client that does not read.
pub(super) const MOST_WAITING: usize = 64 << 20;

/// What a huge answer is made of.
static FILLING: [u8; 64 << 10] = [b'a'; 64 << 10];

/// An event with content, for its truth: the end of the step that gave it, ns.
pub(super) type Due = Option<u64>;

/// An event with content whose first byte was written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub at_ns: u64,
    pub due_ns: u64,
    /// It had to wait for room in the socket.
    pub was_blocked: bool,
}

#[derive(Debug)]
struct Piece {
    bytes: Vec<u8>,
    /// Bytes of it that are written.
    offset: usize,
    stamps: Vec<usize>,
    /// Further bytes of filling after it.
    filling: u64,
    not_before_ns: u64,
    due: Due,
    was_blocked: bool,
}

/// The bytes that wait, in order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Piece>,
    waiting: usize,
    /// The socket was full.
    pub blocked: bool,
}

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// More waits than a client may leave unread.
    pub fn is_overfull(&self) -> bool {
        self.waiting > MOST_WAITING
    }

    /// When the first piece may be written; None if nothing waits, or if it waits for room only.
    pub fn next_ns(&self) -> Option<u64> {
        self.pieces.front().filter(|_| !self.blocked).map(|piece| piece.not_before_ns)
    }

    /// Writes the bytes, or keeps them if they are not due or if others wait. `stamps` are places for the time of the write. Returns
    /// what an event with content was written with, if it was.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn offer(
        &mut self,
        socket: &OwnedFd,
        bytes: &mut [u8],
        stamps: &[usize],
        not_before_ns: u64,
        due: Due,
    ) -> io::Result<Option<Written>> {
        if !self.pieces.is_empty() {
            self.keep(bytes.to_vec(), stamps.to_vec(), not_before_ns, due, 0);
            return Ok(None);
        }
        let at_ns = now_ns();
        if at_ns < not_before_ns {
            self.keep(bytes.to_vec(), stamps.to_vec(), not_before_ns, due, 0);
            return Ok(None);
        }
        for &at in stamps {
            stamp(bytes, at, at_ns);
        }
        let taken = send(socket, bytes)?;
        if taken == 0 && !bytes.is_empty() {
            // Not written at all: it gets its stamp when it is.
            for &at in stamps {
                bytes[at..at + 20].fill(b' ');
            }
            self.keep(bytes.to_vec(), stamps.to_vec(), 0, due, 0);
            self.block();
            return Ok(None);
        }
        if taken < bytes.len() {
            self.keep(bytes[taken..].to_vec(), Vec::new(), 0, None, 0);
            self.block();
        }
        Ok(due.map(|due_ns| Written { at_ns, due_ns, was_blocked: false }))
    }

    /// Keeps bytes, and so much filling after them.
    pub fn keep(&mut self, bytes: Vec<u8>, stamps: Vec<usize>, not_before_ns: u64, due: Due, filling: u64) {
        self.waiting += bytes.len();
        let was_blocked = self.blocked;
        self.pieces.push_back(Piece { bytes, offset: 0, stamps, filling, not_before_ns, due, was_blocked });
    }

    /// Writes what is due and what the socket takes.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn flush(&mut self, socket: &OwnedFd, written: &mut Vec<Written>) -> io::Result<()> {
        self.blocked = false;
        while let Some(piece) = self.pieces.front_mut() {
            let at_ns = now_ns();
            if piece.not_before_ns > at_ns {
                return Ok(());
            }
            if piece.offset == 0 {
                for &at in &piece.stamps {
                    stamp(&mut piece.bytes, at, at_ns);
                }
            }
            while piece.offset < piece.bytes.len() {
                let taken = send(socket, &piece.bytes[piece.offset..])?;
                if taken == 0 {
                    self.block();
                    return Ok(());
                }
                if piece.offset == 0
                    && let Some(due_ns) = piece.due
                {
                    written.push(Written { at_ns, due_ns, was_blocked: piece.was_blocked });
                }
                piece.offset += taken;
            }
            while piece.filling > 0 {
                let part = piece.filling.min(FILLING.len() as u64) as usize;
                let taken = send(socket, &FILLING[..part])?;
                if taken == 0 {
                    self.block();
                    return Ok(());
                }
                piece.filling -= taken as u64;
            }
            self.waiting -= piece.bytes.len();
            self.pieces.pop_front();
        }
        Ok(())
    }

    /// The socket is full: what waits, waits for it.
    fn block(&mut self) {
        self.blocked = true;
        for piece in &mut self.pieces {
            piece.was_blocked = true;
        }
    }
}

/// Bytes that the socket took; 0 if it is full.
fn send(socket: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match rustix::net::send(socket.as_fd(), bytes, SendFlags::NOSIGNAL) {
            Ok(taken) => return Ok(taken),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(0),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (OwnedFd, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        (near.into(), far)
    }

    #[test]
    fn bytes_that_are_not_due_wait_and_are_stamped_when_they_go() {
        let (near, mut far) = pair();
        let mut outbox = Outbox::default();
        let now = now_ns();
        let mut first = b"a".to_vec();
        assert!(outbox.offer(&near, &mut first, &[], 0, Some(5)).unwrap().is_some());
        let mut second = [b' '; 20];
        assert!(outbox.offer(&near, &mut second, &[0], now + 5_000_000, Some(6)).unwrap().is_none());
        let mut third = b"c".to_vec();
        assert!(outbox.offer(&near, &mut third, &[], 0, None).unwrap().is_none(), "it must not overtake");
        assert_eq!(outbox.next_ns(), Some(now + 5_000_000));
        let mut written = Vec::new();
        outbox.flush(&near, &mut written).unwrap();
        assert!(written.is_empty());
        while now_ns() < now + 5_000_000 {}
        outbox.flush(&near, &mut written).unwrap();
        assert_eq!(written.iter().map(|one| one.due_ns).collect::<Vec<_>>(), [6]);
        assert!(outbox.is_empty());
        let mut bytes = [0; 22];
        far.read_exact(&mut bytes).unwrap();
        let stamped: u64 = std::str::from_utf8(&bytes[1..21]).unwrap().trim().parse().unwrap();
        assert_eq!((bytes[0], bytes[21], stamped), (b'a', b'c', written[0].at_ns));
    }

    #[test]
    fn a_full_socket_keeps_the_rest_in_order() {
        let (near, mut far) = pair();
        let mut outbox = Outbox::default();
        let mut sent = Vec::new();
        for number in 0..2000u32 {
            let mut bytes = number.to_le_bytes().repeat(100);
            sent.extend_from_slice(&bytes);
            outbox.offer(&near, &mut bytes, &[], 0, Some(0)).unwrap();
        }
        assert!(outbox.blocked && outbox.next_ns().is_none());
        outbox.keep(Vec::new(), Vec::new(), 0, None, 100_000);
        sent.extend(vec![b'a'; 100_000]);
        let (mut got, mut written, mut buffer) = (Vec::new(), Vec::new(), vec![0; 50_000]);
        while got.len() < sent.len() {
            let count = far.read(&mut buffer).unwrap();
            got.extend_from_slice(&buffer[..count]);
            outbox.flush(&near, &mut written).unwrap();
        }
        assert!(got == sent && outbox.is_empty());
        assert!(!written.is_empty() && written.iter().all(|one| one.was_blocked));
    }
}
