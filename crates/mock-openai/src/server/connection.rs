//! One connection of a client.

use std::os::fd::OwnedFd;

use super::answer::Answer;
use super::outbox::Outbox;
use crate::http::Reader;

/// A connection and what goes on on it: at most one request at a time, in the order of their coming.
#[derive(Debug)]
pub(super) struct Connection {
    pub socket: OwnedFd,
    /// Tells reports of an earlier connection in the same place from those of this one.
    pub generation: u32,
    pub reader: Reader,
    pub outbox: Outbox,
    pub answer: Option<Box<Answer>>,
    /// To be closed when all is written, whatever comes.
    pub closing: bool,
    /// Closed only then, so that a client that is still sending reads its answer: a close with bytes unread is a reset.
    pub lingers_until_ns: Option<u64>,
    /// Whether the poller waits for room to write.
    pub watched_for_room: bool,
    /// The earliest timer that is set for it.
    pub timer_ns: Option<u64>,
}

impl Connection {
    pub fn new(socket: OwnedFd, generation: u32) -> Self {
        Self {
            socket,
            generation,
            reader: Reader::default(),
            outbox: Outbox::default(),
            answer: None,
            closing: false,
            lingers_until_ns: None,
            watched_for_room: false,
            timer_ns: None,
        }
    }

    /// When something is to be done for it though its client does nothing.
    pub fn next_ns(&self) -> Option<u64> {
        let extra = self.answer.as_ref().and_then(|answer| answer.extra_ns);
        // An endless answer goes on when what it wrote is gone.
        match self.outbox.is_empty() {
            true => extra.or(self.lingers_until_ns),
            false => self.outbox.next_ns(),
        }
    }

    /// Makes the close a reset.
    pub fn reset_on_close(&self) {
        // A Unix socket knows no reset; its end is then only an end.
        let _ = rustix::net::sockopt::set_socket_linger(&self.socket, Some(std::time::Duration::ZERO));
    }
}
