//! Which request is due next: arrivals, the later turns of sessions, and the users of a closed loop.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::session::{Load, Session};

/// A request that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub at_ns: u64,
    /// Number of the session in the run.
    pub session: u32,
    pub turn: u16,
}

/// The requests of a run in the order of their due times.
pub(super) struct Source<'a> {
    sessions: &'a [Session],
    offset: usize,
    start_ns: u64,
    arrivals: Arrivals<'a>,
    /// Sessions that began.
    begun: usize,
    /// Due at a known time that has not come.
    later: BinaryHeap<Reverse<Due>>,
    /// Due now, in order.
    ready: VecDeque<Due>,
}

enum Arrivals<'a> {
    Scheduled(&'a [u64]),
    Closed {
        most: usize,
        end_ns: u64,
        /// Users who are left.
        users: usize,
    },
}

impl<'a> Source<'a> {
    pub fn new(load: Load<'a>, sessions: &'a [Session], offset: usize, start_ns: u64) -> Self {
        let mut source = Self {
            sessions,
            offset,
            start_ns,
            arrivals: Arrivals::Scheduled(&[]),
            begun: 0,
            later: BinaryHeap::new(),
            ready: VecDeque::new(),
        };
        match load {
            Load::Open { schedule, .. } => source.arrivals = Arrivals::Scheduled(schedule.times_ns()),
            Load::Closed { concurrency, extent, stagger_ns } => {
                source.arrivals = Arrivals::Closed {
                    most: extent.count.unwrap_or(usize::MAX),
                    end_ns: extent.duration_ns.map_or(u64::MAX, |duration| start_ns.saturating_add(duration)),
                    users: concurrency,
                };
                let step_ns = stagger_ns as f64 / concurrency.max(1) as f64;
                (0..concurrency).for_each(|user| source.begin(start_ns + (user as f64 * step_ns) as u64));
            }
        }
        source
    }

    /// The session of that number.
    pub fn session(&self, number: u32) -> &'a Session {
        &self.sessions[(self.offset + number as usize) % self.sessions.len()]
    }

    /// Takes the next request that is due at `now_ns`, if one is.
    pub fn next(&mut self, now_ns: u64) -> Option<Due> {
        self.advance(now_ns);
        self.ready.pop_front()
    }

    /// True if requests are due and not taken.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// When the next request comes due that is not due yet.
    pub fn next_ns(&self) -> Option<u64> {
        let later = self.later.peek().map(|Reverse(due)| due.at_ns);
        later.into_iter().chain(self.arrival_ns()).min()
    }

    /// A request of a session ended at `at_ns`. `lost`: it could not be handed to any connection.
    pub fn ended(&mut self, session: u32, turn: u16, at_ns: u64, is_ok: bool, lost: bool) {
        let turns = &self.session(session).turns;
        let next = usize::from(turn) + 1;
        if is_ok && let Some(following) = turns.get(next) {
            let due = Due { at_ns: at_ns.saturating_add(following.think_ns), session, turn: next as u16 };
            self.later.push(Reverse(due));
            return;
        }
        if let Arrivals::Closed { users, .. } = &mut self.arrivals {
            if lost {
                // A server that is gone would be asked again at once, and for ever.
                *users -= 1;
            } else {
                self.begin(at_ns);
            }
        }
    }

    /// Sessions of the schedule that did not begin.
    pub fn unsent(&self) -> usize {
        match &self.arrivals {
            Arrivals::Scheduled(times) => times.len() - self.begun + self.waiting(),
            Arrivals::Closed { .. } => 0,
        }
    }

    /// True if nothing is due now or later, as far as is known: what is in flight may have a next turn.
    pub fn is_dry(&self) -> bool {
        self.ready.is_empty() && self.next_ns().is_none()
    }

    /// True if a closed loop lost all its users before its end.
    pub fn lost_all(&self) -> bool {
        matches!(self.arrivals, Arrivals::Closed { users: 0, most, .. } if self.begun < most)
    }

    fn waiting(&self) -> usize {
        self.ready.iter().filter(|due| due.turn == 0).count()
    }

    fn arrival_ns(&self) -> Option<u64> {
        match &self.arrivals {
            Arrivals::Scheduled(times) => times.get(self.begun).map(|time| self.start_ns + time),
            Arrivals::Closed { .. } => None,
        }
    }

    /// A user begins a session, if there is another one.
    fn begin(&mut self, at_ns: u64) {
        let Arrivals::Closed { most, end_ns, .. } = self.arrivals else { return };
        if self.begun < most && at_ns < end_ns {
            self.later.push(Reverse(Due { at_ns, session: self.begun as u32, turn: 0 }));
            self.begun += 1;
        }
    }

    fn advance(&mut self, now_ns: u64) {
        loop {
            let later = self.later.peek().map_or(u64::MAX, |Reverse(due)| due.at_ns);
            let arrival = self.arrival_ns().unwrap_or(u64::MAX);
            if later.min(arrival) > now_ns || later.min(arrival) == u64::MAX {
                return;
            }
            if later <= arrival {
                self.ready.extend(self.later.pop().map(|Reverse(due)| due));
            } else {
                self.ready.push_back(Due { at_ns: arrival, session: self.begun as u32, turn: 0 });
                self.begun += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrivals::{Extent, Schedule};
    use crate::serving::session::Turn;

    fn sessions(turns: usize) -> Vec<Session> {
        vec![Session {
            turns: (0..turns).map(|turn| Turn { body: [turn as u8].into(), think_ns: 100, mark: None }).collect(),
        }]
    }

    #[test]
    fn turns_follow_their_answers_and_arrivals_do_not_wait() {
        let schedule = Schedule::new(vec![0, 50, 90], None).unwrap();
        let sessions = sessions(2);
        let mut source = Source::new(Load::Open { schedule: &schedule, cap: None }, &sessions, 0, 1000);
        assert_eq!(source.next(999), None);
        assert_eq!(source.next(1000), Some(Due { at_ns: 1000, session: 0, turn: 0 }));
        source.ended(0, 0, 1010, true, false);
        assert_eq!(source.next_ns(), Some(1050));
        let all: Vec<(u64, u32, u16)> =
            std::iter::from_fn(|| source.next(2000)).map(|due| (due.at_ns, due.session, due.turn)).collect();
        assert_eq!(all, [(1050, 1, 0), (1090, 2, 0), (1110, 0, 1)]);
        source.ended(0, 1, 1200, true, false);
        source.ended(1, 0, 1200, false, false);
        assert!(source.is_dry() && source.unsent() == 0);
    }

    #[test]
    fn users_begin_one_after_another() {
        let sessions = sessions(1);
        let load = Load::Closed { concurrency: 4, extent: Extent::duration(350), stagger_ns: 400 };
        let mut source = Source::new(load, &sessions, 0, 1000);
        assert_eq!(source.next(1000), Some(Due { at_ns: 1000, session: 0, turn: 0 }));
        assert_eq!((source.next(1099), source.next_ns()), (None, Some(1100)));
        // Who is answered early begins again between the others, and the first sessions stay those of the users' first requests.
        source.ended(0, 0, 1150, true, false);
        let all: Vec<(u64, u32)> =
            std::iter::from_fn(|| source.next(5000)).map(|due| (due.at_ns, due.session)).collect();
        assert_eq!(all, [(1100, 1), (1150, 4), (1200, 2), (1300, 3)]);
    }

    #[test]
    fn users_begin_again_until_the_end() {
        let sessions = sessions(1);
        let extent = Extent { count: Some(4), duration_ns: None };
        let mut source = Source::new(Load::Closed { concurrency: 3, extent, stagger_ns: 0 }, &sessions, 0, 1000);
        let due: Vec<u32> = std::iter::from_fn(|| source.next(1000)).map(|due| due.session).collect();
        assert_eq!(due, [0, 1, 2]);
        source.ended(1, 0, 1500, false, false);
        assert_eq!(source.next(1500), Some(Due { at_ns: 1500, session: 3, turn: 0 }));
        source.ended(0, 0, 1600, true, false);
        assert!(source.is_dry() && !source.lost_all());
        let extent = Extent::duration(500);
        let mut source = Source::new(Load::Closed { concurrency: 1, extent, stagger_ns: 0 }, &sessions, 0, 1000);
        source.next(1000);
        source.ended(0, 0, 1500, true, false);
        assert!(source.is_dry());
        let mut source = Source::new(Load::Closed { concurrency: 1, extent, stagger_ns: 0 }, &sessions, 0, 1000);
        source.next(1000);
        source.ended(0, 0, 1100, false, true);
        assert!(source.is_dry() && source.lost_all());
    }
}
