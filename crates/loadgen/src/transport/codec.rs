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

/// The protocol of one connection.
pub(super) trait Codec: Send {
    /// Most requests that may wait for their answers on one connection.
    fn at_once(&self) -> usize;

    /// Appends the bytes that stand in front of a payload of `length` bytes.
    fn begin(&mut self, id: u64, length: usize, head: &mut Vec<u8>);

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

    /// The request that waits is given up: what came of its answer until now.
    fn partial(&mut self) -> Option<Box<Reply>> {
        None
    }
}
