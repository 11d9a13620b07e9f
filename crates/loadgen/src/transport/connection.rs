//! One non-blocking stream socket: what is still to be written, and what was read and not understood yet.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrUnix, SocketType, connect, recv, sendmsg,
    socket, sockopt,
};

use super::answer::Failure;
use super::codec::{Codec, Decoded, Rest};
use super::kernel_stamp;
use super::sockets::Turn;
use super::tls::{Peer, Tls};
use crate::clock::{now_ns, wall_ns};
use crate::outcome::ErrorClass;

/// The kernel's stamp is asked for at one read in so many: it makes a read a tenth dearer, and this sample tells as much.
const STAMPED_ONE_IN: u32 = 8;

/// An address that needs no more resolving.
#[derive(Debug, Clone)]
pub(super) enum Address {
    Unix(SocketAddrUnix),
    Tcp(SocketAddr),
}

/// What reading brought.
#[derive(Debug)]
pub(super) enum Received {
    /// Bytes; the answers among them were decoded.
    Bytes,
    /// Nothing for now.
    Nothing,
    /// The server ended the connection, in good order or not.
    End(Option<io::Error>),
    /// Bytes that are not of the protocol.
    Broken(Failure),
}

/// A connection with its protocol.
pub(super) struct Connection {
    fd: OwnedFd,
    pub codec: Box<dyn Codec>,
    /// When connecting began, until it stands: the handshake of TLS is over, and the protocol has what it needs to begin.
    pub connecting_ns: Option<u64>,
    /// Since when it stands.
    pub stands_ns: u64,
    /// The stream is open; a handshake may be under way on it.
    pub is_open: bool,
    tls: Option<Box<Tls>>,
    /// Requests whose last byte was written while reading, with the time.
    pub flushed: Vec<(u64, u64)>,
    plain: Vec<u8>,
    /// The kernel stamps what it receives.
    stamped: bool,
    /// Reads so far.
    reads: u32,
    /// Between the kernel's stamp and the last read, ns.
    pub read_delay_ns: Option<u64>,
    /// Requests that wait for their answers here.
    pub in_flight: usize,
    /// Number of the last request that went this way, for taking turns.
    pub last_used: u64,
    /// Whether the poller watches for room to write.
    pub watched_for_room: bool,
    pub generation: u32,
    /// Its turn among the connections that take requests, if it is among them.
    pub placed: Option<Turn>,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Bytes of `output` that are written already.
    output_done: usize,
    head: Vec<u8>,
    /// Requests not written whole: id, and the count of queued bytes at its end.
    unsent: VecDeque<(u64, u64)>,
    queued: u64,
    written: u64,
}

impl Connection {
    /// Begins to connect; the connection may stand at once or later ([`Connection::connected`]).
    pub fn start(address: &Address, codec: Box<dyn Codec>, peer: Option<&Peer>, generation: u32) -> io::Result<Self> {
        let began = now_ns();
        let family = match address {
            Address::Unix(_) => AddressFamily::UNIX,
            Address::Tcp(SocketAddr::V4(_)) => AddressFamily::INET,
            Address::Tcp(SocketAddr::V6(_)) => AddressFamily::INET6,
        };
        let fd = socket(family, SocketType::STREAM, None)?;
        rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&fd, true)?;
        let result = match address {
            Address::Unix(path) => connect(&fd, path),
            Address::Tcp(address) => {
                // A request is one write: waiting to fill a segment would only delay its end.
                sockopt::set_tcp_nodelay(&fd, true)?;
                connect(&fd, address)
            }
        };
        let stands = match result {
            Ok(()) => true,
            Err(Errno::INPROGRESS) => false,
            Err(error) => return Err(error.into()),
        };
        let mut connection = Self {
            fd,
            connecting_ns: (!stands || peer.is_some() || !codec.is_ready()).then_some(began),
            codec,
            stands_ns: began,
            is_open: stands,
            tls: peer.map(Tls::new).transpose()?.map(Box::new),
            flushed: Vec::new(),
            plain: Vec::new(),
            stamped: false,
            // Connections that are used alike are not all asked at the same read.
            reads: generation,
            read_delay_ns: None,
            in_flight: 0,
            last_used: 0,
            watched_for_room: false,
            generation,
            placed: None,
            input: Vec::new(),
            output: Vec::new(),
            output_done: 0,
            head: Vec::new(),
            unsent: VecDeque::new(),
            queued: 0,
            written: 0,
        };
        connection.push_output()?;
        if stands {
            connection.push_sealed()?;
        }
        Ok(connection)
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Room to write was reported while connecting: the connection stands, or the error says why not.
    pub fn connected(&mut self) -> io::Result<()> {
        sockopt::socket_error(&self.fd)??;
        self.is_open = true;
        self.stand(now_ns());
        if self.tls.is_some() { self.push_sealed() } else { self.flush_aside() }
    }

    /// Takes note of the time if nothing is left to be done before requests go out.
    fn stand(&mut self, at_ns: u64) {
        let is_agreed = self.tls.as_ref().is_none_or(|tls| !tls.is_handshaking());
        if self.connecting_ns.is_some() && self.is_open && is_agreed && self.codec.is_ready() {
            self.connecting_ns = None;
            self.stands_ns = at_ns;
        }
    }

    /// Goes on with connecting, after the socket was reported ready.
    pub fn advance(&mut self, scratch: &mut [u8]) -> io::Result<()> {
        if !self.is_open {
            return self.connected();
        }
        match self.receive(scratch, &mut Vec::new()) {
            Received::Bytes | Received::Nothing => Ok(()),
            Received::Broken(failure) => {
                // Until they have agreed on TLS it is TLS that is at fault, and afterwards what is spoken in it.
                let is_tls = self.tls.as_ref().is_some_and(|tls| tls.is_handshaking() && !tls.is_other_http);
                let kind = if is_tls { io::ErrorKind::InvalidData } else { io::ErrorKind::Unsupported };
                Err(io::Error::new(kind, failure.message))
            }
            Received::End(None) if self.is_unanswered() => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "it closed the connection without a word of it"))
            }
            Received::End(error) => Err(error.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// True while only the protocol's own beginning is waited for.
    pub fn is_unanswered(&self) -> bool {
        self.is_open && !self.codec.is_ready() && self.tls.as_ref().is_none_or(|tls| !tls.is_handshaking())
    }

    /// Writes what TLS has to send by itself.
    fn push_sealed(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        if self.output_done == self.output.len() {
            self.output.clear();
            self.output_done = 0;
        }
        let before = self.output.len();
        tls.drain(&mut self.output)?;
        self.queued += (self.output.len() - before) as u64;
        if !tls.is_handshaking() {
            // The requests that waited for the end of the handshake are sealed now, all at once.
            let queued = self.queued;
            self.unsent.extend(tls.waiting.drain(..).map(|id| (id, queued)));
        }
        self.flush_aside()
    }

    /// Writes queued bytes and keeps in mind which requests are now written whole.
    fn flush_aside(&mut self) -> io::Result<()> {
        let mut sent = std::mem::take(&mut self.flushed);
        let flushed = self.flush(&mut sent);
        self.flushed = sent;
        flushed
    }

    /// Sends, or queues, what the protocol has to say by itself.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn push_output(&mut self) -> io::Result<()> {
        if !self.codec.has_output() {
            return Ok(());
        }
        if let Some(tls) = &mut self.tls {
            self.head.clear();
            self.codec.output(&mut self.head, &mut tls.waiting);
            tls.write(&self.head)?;
            return if self.is_open { self.push_sealed() } else { Ok(()) };
        }
        if self.output_done == self.output.len() {
            self.output.clear();
            self.output_done = 0;
        }
        let (before, mut whole) = (self.output.len(), Vec::new());
        self.codec.output(&mut self.output, &mut whole);
        self.queued += (self.output.len() - before) as u64;
        let queued = self.queued;
        self.unsent.extend(whole.into_iter().map(|id| (id, queued)));
        if self.is_open { self.flush_aside() } else { Ok(()) }
    }

    /// Measures from now on how long bytes wait in the kernel, where the system tells.
    pub fn measure_delay(&mut self) {
        self.stamped = kernel_stamp::enable(self.fd.as_fd());
    }

    /// The request whose bytes wait for the connection to stand.
    pub fn first_unsent(&self) -> Option<u64> {
        self.flushed.first().or(self.unsent.front()).map(|(id, _)| *id)
    }

    /// True if the server ended the connection while nothing was under way on it, or sent what nobody asked for. Looks without
    /// taking anything.
    pub fn is_spent(&self) -> bool {
        let mut byte = [0; 1];
        match retry(|| recv(&self.fd, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT)) {
            Err(Errno::AGAIN) => false,
            // Tickets and the like come at any time.
            Ok((_, length)) if length > 0 => self.tls.is_none(),
            _ => true,
        }
    }

    /// True if there is something to be read, the end of the connection included.
    pub fn has_news(&self) -> bool {
        let mut byte = [0; 1];
        !matches!(retry(|| recv(&self.fd, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT)), Err(Errno::AGAIN))
    }

    /// True while room in the socket is waited for: bytes are queued, or the stream is being opened.
    pub fn wants_room(&self) -> bool {
        self.is_blocked() || !self.is_open
    }

    /// True while bytes wait for room in the socket.
    pub fn is_blocked(&self) -> bool {
        self.output_done < self.output.len()
    }

    /// Writes a request, or queues what the socket does not take. Returns when its last byte was written, None if it is queued.
    ///
    /// # Errors
    /// The connection is lost, and no byte of the request was taken.
    pub fn send(&mut self, id: u64, payload: &[u8]) -> io::Result<Option<u64>> {
        self.head.clear();
        let rest = self.codec.begin(id, payload, &mut self.head);
        let payload = if rest == Rest::Payload { payload } else { &[] };
        let is_whole = rest != Rest::Held;
        if let Some(tls) = &mut self.tls {
            tls.write(&self.head)?;
            tls.write(payload)?;
            tls.waiting.extend(is_whole.then_some(id));
            let before = self.written;
            if self.is_open
                && !tls.is_handshaking()
                && let Err(error) = self.push_sealed()
                // Once a byte is out, the request is not sent again: reading will find the connection lost.
                && self.written == before
            {
                return Err(error);
            }
            let sent = self.flushed.iter().position(|(of, _)| *of == id);
            return Ok(sent.map(|at| self.flushed.swap_remove(at).1));
        }
        let length = self.head.len() + payload.len();
        let taken = if length == 0 || self.is_blocked() || !self.is_open {
            0
        } else {
            let parts = [IoSlice::new(&self.head), IoSlice::new(payload)];
            match retry(|| sendmsg(&self.fd, &parts, &mut SendAncillaryBuffer::default(), send_flags())) {
                Ok(taken) => taken,
                Err(Errno::AGAIN) => 0,
                Err(error) => return Err(error.into()),
            }
        };
        self.queued += length as u64;
        self.written += taken as u64;
        if taken == length {
            return Ok(is_whole.then(now_ns));
        }
        if self.output_done == self.output.len() {
            self.output.clear();
            self.output_done = 0;
        }
        let of_head = taken.min(self.head.len());
        self.output.extend_from_slice(&self.head[of_head..]);
        self.output.extend_from_slice(&payload[taken - of_head..]);
        self.unsent.extend(is_whole.then_some((id, self.queued)));
        Ok(None)
    }

    /// Writes queued bytes and appends the requests that are now written whole, with the time.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn flush(&mut self, sent: &mut Vec<(u64, u64)>) -> io::Result<()> {
        while self.is_blocked() {
            let parts = [IoSlice::new(&self.output[self.output_done..])];
            let taken = match retry(|| sendmsg(&self.fd, &parts, &mut SendAncillaryBuffer::default(), send_flags())) {
                Ok(taken) => taken,
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            };
            self.output_done += taken;
            self.written += taken as u64;
            let at_ns = now_ns();
            while let Some(&(id, end)) = self.unsent.front().filter(|(_, end)| *end <= self.written) {
                debug_assert!(end <= self.queued);
                sent.push((id, at_ns));
                self.unsent.pop_front();
            }
        }
        Ok(())
    }

    /// Reads once and decodes. The stamp is taken when the read returns, before anything is looked at.
    pub fn receive(&mut self, scratch: &mut [u8], decoded: &mut Vec<(Decoded, u64)>) -> Received {
        self.reads = self.reads.wrapping_add(1);
        let read = if self.stamped && self.reads.is_multiple_of(STAMPED_ONE_IN) {
            retry(|| kernel_stamp::read(self.fd.as_fd(), scratch))
        } else {
            retry(|| rustix::io::read(&self.fd, &mut *scratch)).map(|length| (length, None))
        };
        let (length, stamp) = match read {
            Ok((0, _)) => return Received::End(None),
            Ok(found) => found,
            Err(Errno::AGAIN) => return Received::Nothing,
            Err(error) => return Received::End(Some(error.into())),
        };
        let at_ns = now_ns();
        self.read_delay_ns = stamp.map(|stamp| wall_ns().saturating_sub(stamp));
        let mut bytes = &scratch[..length];
        let mut answers = Vec::new();
        let mut plain = std::mem::take(&mut self.plain);
        let mut is_last = false;
        if let Some(tls) = &mut self.tls {
            plain.clear();
            match tls.read(bytes, &mut plain) {
                Ok(closed) => is_last = closed,
                Err(message) => return Received::Broken(Failure::new(ErrorClass::Protocol, format!("TLS: {message}"))),
            }
            if let Err(error) = self.push_sealed() {
                return Received::End(Some(error));
            }
            bytes = &plain;
        }
        // Mostly the answers of one read are whole: then nothing is copied.
        let result = if self.input.is_empty() {
            let used = self.codec.decode(bytes, at_ns, &mut answers);
            if let Ok(used) = used {
                self.input.extend_from_slice(&bytes[used..]);
            }
            used.map(|_| ())
        } else {
            self.input.extend_from_slice(bytes);
            let used = self.codec.decode(&self.input, at_ns, &mut answers);
            used.map(|used| drop(self.input.drain(..used)))
        };
        decoded.extend(answers.into_iter().map(|answer| (answer, at_ns)));
        self.plain = plain;
        self.stand(at_ns);
        // What follows is no part of a request, and says whether the connection is lost by itself.
        let pushed = if result.is_ok() { self.push_output() } else { Ok(()) };
        match result {
            Err(failure) => Received::Broken(failure),
            Ok(()) if pushed.is_err() => Received::End(pushed.err()),
            Ok(()) if is_last => Received::End(None),
            Ok(()) => Received::Bytes,
        }
    }
}

/// The failure of a request that waited on a connection when it ended.
pub(super) fn ended(error: Option<&io::Error>) -> Failure {
    let message = match error {
        None => "the server closed the connection before it answered".to_owned(),
        Some(error) => format!("the connection was lost before the answer came: {error}"),
    };
    Failure::new(ErrorClass::Reset, message)
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// A server that went away is an error, not a signal. (Rust programs ignore SIGPIPE; libraries cannot count on it.)
fn send_flags() -> SendFlags {
    #[cfg(target_os = "linux")]
    return SendFlags::NOSIGNAL;
    #[cfg(not(target_os = "linux"))]
    return SendFlags::empty();
}
