//! A lock that is handed over in order, and CPython's request to drop it.

use std::collections::VecDeque;

use super::LockRules;

/// State of a lock. Who runs is the engine's business.
pub(super) struct Lock {
    interval: Option<f64>,
    pub(super) hand_over: f64,
    pub(super) owner: Option<u32>,
    /// The owner was chosen and does not run yet.
    pub(super) handing_over: bool,
    pub(super) requested: bool,
    waiters: VecDeque<u32>,
    last_holder: u32,
    /// Changes of holder so far.
    switches: u64,
    /// (deadline, thread, its wait's number, switches when the timer started). All timers last equally long, so that the queue is sorted.
    timers: VecDeque<(f64, u32, u64, u64)>,
    /// By thread: the number of its current wait, 0 if it does not wait.
    waits: Vec<u64>,
    wait_count: u64,
    taken_at: f64,
    pub(super) busy: f64,
}

impl Lock {
    pub(super) fn new(rules: &LockRules, threads: usize) -> Self {
        Self {
            interval: rules.switch_interval_ns.map(|ns| ns as f64),
            hand_over: rules.hand_over_ns as f64,
            owner: None,
            handing_over: false,
            requested: false,
            waiters: VecDeque::new(),
            last_holder: u32::MAX,
            switches: 0,
            timers: VecDeque::new(),
            waits: vec![0; threads],
            wait_count: 0,
            taken_at: 0.0,
            busy: 0.0,
        }
    }

    pub(super) fn is_held_by(&self, thread: u32) -> bool {
        self.owner == Some(thread)
    }

    /// Takes a free lock.
    pub(super) fn take(&mut self, thread: u32, now: f64) {
        self.owner = Some(thread);
        self.requested = false;
        self.taken_at = now;
        if self.last_holder != thread {
            self.last_holder = thread;
            self.switches += 1;
        }
    }

    /// Queues a thread for the lock.
    pub(super) fn wait(&mut self, thread: u32, now: f64) {
        self.wait_count += 1;
        self.waits[thread as usize] = self.wait_count;
        self.waiters.push_back(thread);
        if let Some(interval) = self.interval {
            self.timers.push_back((now + interval, thread, self.wait_count, self.switches));
        }
    }

    /// Releases the lock to the longest waiting thread, which owns it from now on; None if nobody waits.
    pub(super) fn release(&mut self, now: f64) -> Option<u32> {
        self.busy += now - self.taken_at;
        self.owner = None;
        let next = self.waiters.pop_front()?;
        self.waits[next as usize] = 0;
        self.take(next, now);
        Some(next)
    }

    pub(super) fn has_waiters(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// When the next waiting thread's patience ends.
    pub(super) fn next_timer(&mut self) -> f64 {
        while let Some((deadline, thread, wait, _)) = self.timers.front() {
            if self.waits[*thread as usize] == *wait {
                return *deadline;
            }
            self.timers.pop_front();
        }
        f64::INFINITY
    }

    /// The timer of [`Lock::next_timer`] ends: the thread starts another, and asks for the lock if it did not change hands.
    pub(super) fn expire(&mut self, now: f64) {
        let (Some(interval), Some((_, thread, wait, switches))) = (self.interval, self.timers.pop_front()) else {
            return;
        };
        // While a thread is being woken up nobody is there to be asked.
        if switches == self.switches && !self.handing_over {
            self.requested = true;
        }
        self.timers.push_back((now + interval, thread, wait, self.switches));
    }
}
