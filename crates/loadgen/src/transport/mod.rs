//! How requests reach a server and answers come back.
//!
//! The driver's thread owns the transport and does everything through it: no other thread reads or writes a socket, so the
//! cost of a request is a write, a wait and a read, and stamps are taken right at these calls. Connections are opened before
//! the clock starts; what opening costs is a figure of its own.

mod answer;
mod chunked;
mod codec;
mod completion;
mod connection;
mod endpoint;
mod exchange;
mod frames;
mod h2;
mod head;
mod hpack;
mod http;
mod in_process;
mod kernel_stamp;
mod protocol;
mod remote;
mod sockets;
mod tls;

pub use answer::{Answer, AnswerFormat, Failure};
pub use endpoint::{Endpoint, EndpointError};
pub use in_process::{InProcess, Served};
pub use protocol::Protocol;
pub use remote::SocketOptions;
pub use sockets::Sockets;

use netpoll as poller;
use serde::{Deserialize, Serialize};

use crate::outcome::ErrorClass;
use crate::serving::histogram::Histogram;
use crate::serving::reply::Reply;

/// The largest payload of a request or an answer, bytes.
pub const MOST_BYTES: usize = 64 << 20;

/// What carries requests to a server. All calls come from one thread. Times are CLOCK_MONOTONIC, ns.
pub trait Transport: Send {
    /// Opens connections and waits until they stand. Called once, before the clock starts.
    ///
    /// # Errors
    /// [`OpenError`]: the server is not there, or the system's limits are too low.
    fn open(&mut self, connections: usize) -> Result<Opening, OpenError>;

    /// Offers a request. `id` must not have been used before on this transport. It does not block: what the socket does not
    /// take at once is written during [`Transport::wait`].
    ///
    /// # Errors
    /// The failure, if the request could not be handed to any connection; then no event follows.
    fn submit(&mut self, id: u64, payload: &[u8]) -> Result<Submitted, Failure>;

    /// Waits until something happened or until `until_ns`, and appends what happened. It may return early and empty.
    /// It returns at `until_ns` even if more is to be read.
    ///
    /// # Errors
    /// When the system's polling fails; the transport is then of no more use.
    fn wait(&mut self, until_ns: u64, events: &mut Vec<Event>) -> std::io::Result<()>;

    /// Gives a request up and returns what came of its answer, where that is known. An answer that still comes is a stray.
    fn abandon(&mut self, id: u64) -> Option<Box<Reply>>;

    /// Connections that were opened after [`Transport::open`]: none was free, or one had died.
    fn opened_late(&self) -> Opening;

    /// How long bytes had been in the kernel when they were read, ns, of a sample of all reads; None where the system does not tell.
    fn read_delay(&self) -> Option<&Histogram> {
        None
    }
}

/// A request that was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    /// When its bytes were first offered.
    pub began_ns: u64,
    /// When the last byte was taken; None if it was not taken at once: then [`Event::Sent`] follows.
    pub sent_ns: Option<u64>,
}

/// What a transport reports.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The connection that was opened for a request stands.
    Connected { id: u64, at_ns: u64 },
    /// The last byte of a request was taken, later than at once.
    Sent { id: u64, at_ns: u64 },
    /// A whole answer was read. The failure is one that the server reported.
    Done { id: u64, first_byte_ns: u64, done_ns: u64, answer: Result<Answer, Failure>, reply: Option<Box<Reply>> },
    /// The request is lost, after what is in the reply.
    Failed { id: u64, at_ns: u64, failure: Failure, reply: Option<Box<Reply>> },
    /// An answer to a request that waits for none, or bytes that nobody asked for.
    Stray { id: Option<u64> },
}

/// The cost of opening connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// For each connection, from the call until it stood, ns.
    pub connect_ns: Vec<u64>,
}

/// Why connections cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot connect to {endpoint} (connection {number}): {message}; is the server running?")]
    Connect { endpoint: String, number: usize, message: String },
    #[error(
        "cannot connect to {endpoint}: connection {number} needs more open files than the limit of {limit}; raise it with `ulimit -n {needed}`"
    )]
    Files { endpoint: String, number: usize, limit: u64, needed: u64 },
    #[error(
        "cannot agree on TLS with {endpoint}: {message}; for a certificate of an authority of your own name it in SSL_CERT_FILE, for a server without TLS write http://"
    )]
    Tls { endpoint: String, message: String },
    #[error("{endpoint} does not speak HTTP/2: {message}; leave out --http-version 2")]
    Http2 { endpoint: String, message: String },
    #[error("cannot prepare to wait for sockets: {0}")]
    Poller(std::io::Error),
}

/// Sends one request and waits for its answer: to look at an answer, or to see that a server serves. `id` must not have been
/// used before on this transport, and nothing else may be under way on it.
///
/// # Errors
/// The failure, a time limit of `timeout_ns` among them.
pub fn ask(transport: &mut impl Transport, id: u64, payload: &[u8], timeout_ns: u64) -> Result<Answer, Failure> {
    let deadline = crate::clock::now_ns() + timeout_ns;
    transport.submit(id, payload)?;
    let mut events = Vec::new();
    while crate::clock::now_ns() < deadline {
        let waited = transport.wait(deadline, &mut events);
        waited.map_err(|error| Failure::new(ErrorClass::Connect, format!("waiting for the answer failed: {error}")))?;
        for event in events.drain(..) {
            match event {
                Event::Done { id: of, answer, .. } if of == id => return answer,
                Event::Failed { id: of, failure, .. } if of == id => return Err(failure),
                _ => {}
            }
        }
    }
    transport.abandon(id);
    Err(Failure::new(ErrorClass::Timeout, format!("no answer within {} s", timeout_ns as f64 / 1e9)))
}
