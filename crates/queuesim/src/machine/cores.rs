//! Cores that the running threads share.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::turns::Turns;

/// How threads share the cores.
pub(super) enum Cores {
    Even(Even),
    Turns(Turns),
}

impl Cores {
    pub(super) fn new(cores: usize, turn_ns: Option<u64>, threads: usize) -> Self {
        match turn_ns {
            None => Self::Even(Even::new(cores, threads)),
            Some(ns) => Self::Turns(Turns::new(cores, ns, threads)),
        }
    }

    /// Moves the clock to `now`, which is not beyond the next event.
    pub(super) fn advance(&mut self, now: f64) {
        match self {
            Self::Even(even) => even.advance(now),
            Self::Turns(turns) => turns.advance(now),
        }
    }

    pub(super) fn start(&mut self, thread: u32, work: f64) {
        match self {
            Self::Even(even) => even.start(thread, work),
            Self::Turns(turns) => turns.start(thread, work),
        }
    }

    /// Takes a thread off its core or out of the queue for one; the work that it still has, ns.
    pub(super) fn stop(&mut self, thread: u32) -> f64 {
        match self {
            Self::Even(even) => even.stop(thread),
            Self::Turns(turns) => turns.stop(thread),
        }
    }

    /// When the next thread finishes, or a turn ends.
    pub(super) fn next(&mut self) -> f64 {
        match self {
            Self::Even(even) => even.next(),
            Self::Turns(turns) => turns.next(),
        }
    }

    /// The thread that finishes now, to be called at the time that [`Cores::next`] gave; none if only a turn ended.
    pub(super) fn finish(&mut self) -> Option<u32> {
        match self {
            Self::Even(even) => even.finish(),
            Self::Turns(turns) => turns.finish(),
        }
    }

    /// Time of all cores spent on work so far, ns.
    pub(super) fn busy(&self) -> f64 {
        match self {
            Self::Even(even) => even.busy,
            Self::Turns(turns) => turns.busy,
        }
    }
}

/// Processor sharing in virtual time: `attained` is the work (ns) that each running thread has received since the machine was
/// last idle, so that a thread finishes when it reaches its own start plus its work (as in fair queueing, Parekh and Gallager
/// 1993). With no more threads than cores it advances like the clock, and whole ns stay exact.
pub(super) struct Even {
    cores: f64,
    running: usize,
    attained: f64,
    now: f64,
    /// (attained work at the finish, order of the start, thread); the first is a positive float as bits, which sort alike.
    finishes: BinaryHeap<Reverse<(u64, u64, u32)>>,
    /// By thread: its current entry (order of the start, attained work at the finish); the order is 0 if it does not run.
    entries: Vec<(u64, f64)>,
    starts: u64,
    busy: f64,
}

impl Even {
    fn new(cores: usize, threads: usize) -> Self {
        Self {
            cores: cores as f64,
            running: 0,
            attained: 0.0,
            now: 0.0,
            finishes: BinaryHeap::with_capacity(threads),
            entries: vec![(0, 0.0); threads],
            starts: 0,
            busy: 0.0,
        }
    }

    fn speed(&self) -> f64 {
        let running = self.running as f64;
        if running <= self.cores { 1.0 } else { self.cores / running }
    }

    /// Moves the clock to `now`, which is not beyond the next finish.
    fn advance(&mut self, now: f64) {
        let elapsed = now - self.now;
        if elapsed > 0.0 && self.running > 0 {
            self.busy += elapsed * self.cores.min(self.running as f64);
            self.attained += elapsed * self.speed();
        }
        self.now = now;
    }

    fn start(&mut self, thread: u32, work: f64) {
        if self.running == 0 {
            self.attained = 0.0;
            self.finishes.clear();
        }
        self.running += 1;
        self.starts += 1;
        let finish = self.attained + work;
        self.entries[thread as usize] = (self.starts, finish);
        self.finishes.push(Reverse((finish.to_bits(), self.starts, thread)));
    }

    /// Takes a thread off its core; the work that it still has, ns.
    fn stop(&mut self, thread: u32) -> f64 {
        let (_, finish) = std::mem::take(&mut self.entries[thread as usize]);
        self.running -= 1;
        (finish - self.attained).max(0.0)
    }

    /// When the next thread finishes.
    fn next(&mut self) -> f64 {
        while let Some(Reverse((finish, order, thread))) = self.finishes.peek().copied() {
            if self.entries[thread as usize].0 == order {
                return self.now + (f64::from_bits(finish) - self.attained).max(0.0) / self.speed();
            }
            self.finishes.pop();
        }
        f64::INFINITY
    }

    /// The thread that finishes now; to be called at the time that [`Even::next`] gave.
    fn finish(&mut self) -> Option<u32> {
        let Reverse((finish, _, thread)) = self.finishes.pop()?;
        self.entries[thread as usize] = (0, 0.0);
        self.running -= 1;
        // Rounding cannot accumulate: the finish is what the attained work is by definition.
        self.attained = f64::from_bits(finish);
        Some(thread)
    }
}
