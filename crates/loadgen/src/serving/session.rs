//! What is asked: sessions of one or more turns.

use std::sync::Arc;

use crate::arrivals::{Extent, Schedule};

/// One request of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The body of the request. Shared: a pool is used again and again.
    pub body: Arc<[u8]>,
    /// From the end of the answer before it until this turn is due, ns; of no meaning for the first.
    pub think_ns: u64,
}

/// Turns that follow each other: each is due when the one before it was answered and its think time is over. A session ends with
/// its last turn, or with a turn that failed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Session {
    pub turns: Vec<Turn>,
}

impl Session {
    /// A request without further turns.
    pub fn single(body: impl Into<Arc<[u8]>>) -> Self {
        Self { turns: vec![Turn { body: body.into(), think_ns: 0 }] }
    }
}

/// How load is offered. Arrivals are sessions; where each has one turn, they are requests.
#[derive(Debug, Clone, Copy)]
pub enum Load<'a> {
    /// Sessions begin at scheduled times; at most `cap` requests are in flight, and the others wait in order.
    Open { schedule: &'a Schedule, cap: Option<usize> },
    /// So many users: each begins the next session when its last one ended. A user who thinks has nothing in flight.
    Closed { concurrency: usize, extent: Extent },
}
