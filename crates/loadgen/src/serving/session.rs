//! What is asked: sessions of one or more turns.

use std::sync::Arc;

use super::mark::Mark;
use crate::arrivals::{Extent, Schedule};

/// One request of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The body of the request. Shared: a pool is used again and again.
    pub body: Arc<[u8]>,
    /// From the end of the answer before it until this turn is due, ns; of no meaning for the first.
    pub think_ns: u64,
    /// Where each session that sends this body writes its own number, so that no two requests are the same.
    pub mark: Option<Mark>,
}

impl Turn {
    /// What a session sends: the body itself, or a copy in `scratch` with the session's number in it. Nothing is allocated once `scratch` has
    /// had a body of that length.
    pub fn body_of<'a>(&'a self, session: u32, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        let Some(mark) = &self.mark else { return &self.body };
        scratch.clear();
        scratch.extend_from_slice(&self.body);
        mark.write(session, scratch);
        scratch
    }
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
        Self { turns: vec![Turn { body: body.into(), think_ns: 0, mark: None }] }
    }
}

impl Session {
    /// The same as a request that is never the same twice.
    pub fn marked(body: impl Into<Arc<[u8]>>, mark: Mark) -> Self {
        Self { turns: vec![Turn { body: body.into(), think_ns: 0, mark: Some(mark) }] }
    }
}

/// How load is offered. Arrivals are sessions; where each has one turn, they are requests.
#[derive(Debug, Clone, Copy)]
pub enum Load<'a> {
    /// Sessions begin at scheduled times; at most `cap` requests are in flight, and the others wait in order.
    Open { schedule: &'a Schedule, cap: Option<usize> },
    /// So many users: each begins the next session when its last one ended. A user who thinks has nothing in flight.
    ///
    /// The first requests of the users are due evenly over `stagger_ns` ([`stagger_ns`]); 0: all at once, which is a burst that the client
    /// itself makes and cannot send in no time.
    Closed { concurrency: usize, extent: Extent, stagger_ns: u64 },
}

/// Least time between the first requests of two users, ns: some times what sending one takes.
const BETWEEN_USERS_NS: u64 = 100_000;
/// Requests of each user from which on there is a steady state that the beginning may lead to.
const ROUNDS: usize = 3;
/// The beginning takes at most this part of a run that has a duration.
const PART: u64 = 4;

/// Over how long the users of a closed loop begin where one request takes `response_ns`: that time, so that the loop begins as it goes on,
/// with its requests spread, and not with a burst that the client would make itself. Where each user has too few requests for a loop that goes
/// on, or so many users begin that the client could not send their requests in that time, as long as sending them takes.
pub fn stagger_ns(response_ns: u64, concurrency: usize, extent: Extent) -> u64 {
    let goes_on = extent.count.is_none_or(|count| count / concurrency.max(1) >= ROUNDS);
    let most = extent.duration_ns.map_or(u64::MAX, |duration| duration / PART);
    let least = BETWEEN_USERS_NS.saturating_mul(concurrency.saturating_sub(1) as u64);
    if goes_on { response_ns.min(most).max(least) } else { least }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_begin_over_one_response_time() {
        let ms = 1_000_000;
        assert_eq!(stagger_ns(50 * ms, 10, Extent::duration(1000 * ms)), 50 * ms);
        assert_eq!(stagger_ns(50 * ms, 10, Extent::count(30)), 50 * ms);
        // One request each: there is nothing to lead to, and all are to be under way at once.
        assert_eq!(stagger_ns(50 * ms, 11, Extent::count(11)), ms);
        assert_eq!(stagger_ns(1, 501, Extent::count(5000)), 50 * ms, "no faster than the client sends");
        assert_eq!(stagger_ns(600 * ms, 2, Extent::duration(1000 * ms)), 250 * ms);
        assert_eq!(stagger_ns(50 * ms, 1, Extent::count(1)), 0);
    }
}
