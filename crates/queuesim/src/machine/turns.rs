//! Cores that threads take turns on.

use std::collections::VecDeque;

/// One queue for all cores, first come first served; a thread goes behind the others when its turn is over and one waits.
///
/// Cores that became free are filled when the clock is about to move, so that a thread whose phase ended goes on with its next
/// phase, on its core and in its turn.
pub(super) struct Turns {
    cores: usize,
    turn: f64,
    now: f64,
    running: Vec<Running>,
    /// Threads without a core, and the work that they still have, ns.
    waiting: VecDeque<(u32, f64)>,
    /// By thread: when it last came off its core by finishing, and when its turn would have ended.
    left: Vec<(f64, f64)>,
    pub(super) busy: f64,
}

struct Running {
    thread: u32,
    finish: f64,
    turn_end: f64,
}

impl Turns {
    pub(super) fn new(cores: usize, turn_ns: u64, threads: usize) -> Self {
        Self {
            cores,
            turn: (turn_ns as f64).max(1.0),
            now: 0.0,
            running: Vec::with_capacity(cores),
            waiting: VecDeque::new(),
            left: vec![(f64::NEG_INFINITY, 0.0); threads],
            busy: 0.0,
        }
    }

    pub(super) fn advance(&mut self, now: f64) {
        self.busy += (now - self.now).max(0.0) * self.running.len() as f64;
        self.now = now;
    }

    pub(super) fn start(&mut self, thread: u32, work: f64) {
        let (left, turn_end) = self.left[thread as usize];
        if left == self.now && turn_end > self.now && self.running.len() < self.cores {
            self.running.push(Running { thread, finish: self.now + work, turn_end });
        } else {
            self.waiting.push_back((thread, work));
        }
    }

    pub(super) fn stop(&mut self, thread: u32) -> f64 {
        if let Some(index) = self.running.iter().position(|one| one.thread == thread) {
            return (self.running.swap_remove(index).finish - self.now).max(0.0);
        }
        let index = self.waiting.iter().position(|(waiting, _)| *waiting == thread);
        index.and_then(|index| self.waiting.remove(index)).map_or(0.0, |(_, work)| work)
    }

    pub(super) fn next(&mut self) -> f64 {
        while self.running.len() < self.cores
            && let Some((thread, work)) = self.waiting.pop_front()
        {
            self.running.push(Running { thread, finish: self.now + work, turn_end: self.now + self.turn });
        }
        let somebody_waits = !self.waiting.is_empty();
        let ends =
            self.running.iter().map(|one| if somebody_waits { one.finish.min(one.turn_end) } else { one.finish });
        // A turn that was over before anybody waited ends now.
        ends.fold(f64::INFINITY, f64::min).max(self.now)
    }

    pub(super) fn finish(&mut self) -> Option<u32> {
        let first = |at: fn(&Running) -> f64, running: &[Running]| {
            let due = running.iter().enumerate().filter(|(_, one)| at(one) <= self.now);
            due.min_by(|a, b| at(a.1).total_cmp(&at(b.1))).map(|(index, _)| index)
        };
        if let Some(index) = first(|one| one.finish, &self.running) {
            let one = self.running.swap_remove(index);
            self.left[one.thread as usize] = (self.now, one.turn_end);
            return Some(one.thread);
        }
        if let Some(index) = first(|one| one.turn_end, &self.running) {
            let one = self.running.swap_remove(index);
            self.waiting.push_back((one.thread, one.finish - self.now));
        }
        None
    }
}
