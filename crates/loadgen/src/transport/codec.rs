//! Protocols as pure functions of bytes: no socket, no clock.

use super::answer::{Answer, Failure};
use crate::serving::reply::Reply;

/// An answer that was read whole.
#[derive(Debug, PartialEq)]
pub(super) struct Decoded {
    pub id: u64,
    pub first_byte_ns: u64,
    pub answer: Result<Answer, Failure>,
    /// What came of it, where the protocol is that of a model server; of a failed request too.
    pub reply: Option<Box<Reply>>,
}

/// What of a request follows the bytes that [`Codec::begin`] gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Its payload as it is, at once.
    Payload,
    /// Nothing: the payload was among them.
    Nothing,
    /// Something that the protocol holds back until the server lets it go ([`Codec::output`]).
    Held,
}

/// The protocol of one connection.
pub(super) trait Codec: Send {
    /// Most requests that may wait for their answers on one connection.
    fn at_once(&self) -> usize;

    /// True if an answer is known for that of a request only because it is the next one.
    fn is_serial(&self) -> bool {
        false
    }

    /// Begins a request: appends the bytes that go out now.
    fn begin(&mut self, id: u64, payload: &[u8], head: &mut Vec<u8>) -> Rest;

    /// Reads what it can of `bytes` (what was left over before, then what came at `at_ns`) and returns how many it needs no more.
    ///
    /// # Errors
    /// When the bytes are not of the protocol. The connection is then of no more use.
    fn decode(&mut self, bytes: &[u8], at_ns: u64, decoded: &mut Vec<Decoded>) -> Result<usize, Failure>;

    /// The server ended the connection. Returns the request whose answer is cut short; an answer that ends with the
    /// connection is complete.
    fn end(&mut self, decoded: &mut Vec<Decoded>) -> Option<u64>;

    /// False if the connection takes no more requests.
    fn is_reusable(&self) -> bool;

    /// A request that waits is given up: what came of its answer until now.
    fn partial(&mut self, _id: u64) -> Option<Box<Reply>> {
        None
    }

    /// True once the server has said what has to be known before a request goes out.
    fn is_ready(&self) -> bool {
        true
    }

    /// True if [`Codec::output`] has something to give.
    fn has_output(&self) -> bool {
        false
    }

    /// Appends what is to be sent besides the beginnings of requests, and the requests whose last byte is in it.
    fn output(&mut self, _bytes: &mut Vec<u8>, _whole: &mut Vec<u64>) {}
}
