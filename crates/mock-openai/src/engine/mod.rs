//! The simulated engine: continuous batching in steps, as a pure state machine.
//!
//! It has no clock. It is told of requests ([`Engine::submit`]) and of the time ([`Engine::advance`]), and says what happened and
//! when ([`Event`]) and when something will happen next ([`Engine::next_ns`]). All times are those of the schedule: a step that
//! began at 10 ms and takes 5 ms ends at 15 ms, however late somebody asks. A caller that is late therefore gets what is due
//! at once, with the times at which it was due, and falls no further behind.
//!
//! The rules, as those of the schedulers that the field uses:
//!
//! - A step costs `a + b·(prompt tokens computed) + c·(decoding sequences)` and computes at most `max_batched_tokens` tokens.
//! - Running sequences come first, in the order of their admission; then waiting ones, first come first served: the first that does
//!   not fit holds up the others.
//! - A sequence is admitted when a place is free, the step has tokens left, and the KV cache has blocks for its whole prompt.
//!   Output takes blocks as it grows; where none is left, the sequence that was admitted last loses its blocks and goes back to
//!   the head of the queue, to be computed again (prompt and output so far).
//! - With chunked prefill a prompt takes what is left of the step's tokens and goes on in the next steps. Without it, a prompt is
//!   computed in one step: it waits for a step with enough tokens left, and one that is longer than `max_batched_tokens`
//!   is the only prompt of its step, and exceeds the budget.
//! - The step that computes the last token of the prompt gives the first token of the output.
//! - A full block is found by later prompts from the end of the step that computed it (prompt and output alike). At least one token of
//!   a prompt is always computed. Unused blocks are reused in the order of their last use, the end of a sequence before its beginning.
//! - A step begins at the end of the step before it, or, after idleness, when a sequence becomes ready. Who becomes ready during a step
//!   waits for its end.

mod blocks;
mod config;
mod sequence;
mod step;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use self::blocks::Blocks;
pub use self::config::{EngineConfig, EngineConfigError};
use self::sequence::Sequence;
pub use self::sequence::{Key, NewSequence};

/// What happened, and when by the schedule (ns of the caller's clock).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The sequence is ready and waits for the engine.
    Queued { key: Key, at_ns: u64 },
    /// The step began that computes the first tokens of the sequence; `cached` tokens of its prompt need not be computed.
    Admitted { key: Key, at_ns: u64, cached: u32 },
    /// The step ended that gave the token number `index` (from 0).
    Token { key: Key, at_ns: u64, index: u32, last: bool },
    /// The sequence lost its blocks and waits again.
    Preempted { key: Key, at_ns: u64 },
    /// An aborted sequence is gone, and its blocks are free.
    Aborted { key: Key, at_ns: u64 },
}

impl Event {
    /// Whom it happened to.
    pub fn key(&self) -> Key {
        match *self {
            Self::Queued { key, .. }
            | Self::Admitted { key, .. }
            | Self::Token { key, .. }
            | Self::Preempted { key, .. }
            | Self::Aborted { key, .. } => key,
        }
    }
}

/// What the engine holds now, and what it did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub running: usize,
    /// Ready and not admitted.
    pub waiting: usize,
    /// Blocks that sequences hold; those that are only cached do not count.
    pub blocks_used: usize,
    pub blocks: usize,
    pub steps: u64,
    pub preemptions: u64,
    /// Prompt tokens of admitted sequences.
    pub prefix_queries: u64,
    /// Those of them that were found in the cache.
    pub prefix_hits: u64,
}

/// The state of the engine.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    blocks: Blocks,
    /// Not ready yet, by the time when they will be, then by the order of their coming.
    coming: BTreeMap<(u64, u64), Sequence>,
    waiting: VecDeque<Sequence>,
    running: Vec<Sequence>,
    /// When the step under way ends.
    step_ends_ns: Option<u64>,
    /// What was scheduled so far ended here; nothing begins before it.
    clock_ns: u64,
    submitted: u64,
    counts: Counts,
}

impl Engine {
    /// # Errors
    /// [`EngineConfigError`] for settings with which nothing could ever run.
    pub fn new(config: EngineConfig) -> Result<Self, EngineConfigError> {
        config.check()?;
        let blocks = Blocks::new(config.kv_blocks, config.block_size);
        Ok(Self {
            blocks,
            coming: BTreeMap::new(),
            waiting: VecDeque::new(),
            running: Vec::new(),
            step_ends_ns: None,
            clock_ns: 0,
            submitted: 0,
            counts: Counts { blocks: config.kv_blocks, ..Counts::default() },
            config,
        })
    }

    /// Takes a sequence that becomes ready at `ready_ns`. The caller has seen to it that it fits ([`EngineConfig::fits`]).
    pub fn submit(&mut self, ready_ns: u64, sequence: NewSequence) {
        self.submitted += 1;
        self.coming.insert((ready_ns, self.submitted), Sequence::new(sequence));
    }

    /// Gives up all sequences of a request. What is in a step under way leaves at the end of the step, without a token.
    pub fn abort(&mut self, request: u64, at_ns: u64, events: &mut Vec<Event>) {
        let mut gone = |sequence: &Sequence| {
            let hit = sequence.key.request == request;
            if hit {
                events.push(Event::Aborted { key: sequence.key, at_ns });
            }
            !hit
        };
        self.coming.retain(|_, sequence| gone(sequence));
        self.waiting.retain(|sequence| gone(sequence));
        if self.step_ends_ns.is_some() {
            for sequence in self.running.iter_mut().filter(|sequence| sequence.key.request == request) {
                sequence.aborted = true;
            }
            return;
        }
        let blocks = &mut self.blocks;
        self.running.retain_mut(|sequence| {
            let stays = gone(sequence);
            if !stays {
                blocks.give_back(&mut sequence.blocks);
            }
            stays
        });
    }

    /// Nothing goes on for `duration_ns` from `at_ns`: the step under way ends so much later, and none begins.
    pub fn stall(&mut self, at_ns: u64, duration_ns: u64) {
        match &mut self.step_ends_ns {
            Some(end) => *end = (*end).max(at_ns) + duration_ns,
            None => self.clock_ns = self.clock_ns.max(at_ns) + duration_ns,
        }
    }

    /// When something happens next if nobody submits or aborts; None while the engine is empty.
    pub fn next_ns(&self) -> Option<u64> {
        let ready = self.coming.first_key_value().map(|((ready, _), _)| *ready);
        match (self.step_ends_ns, ready) {
            (Some(end), Some(ready)) => Some(end.min(ready)),
            (Some(end), None) => Some(end),
            // No step is under way: the next begins when a stall is over.
            (None, ready) if self.waiting.is_empty() && self.running.is_empty() => {
                ready.map(|ready| ready.max(self.clock_ns))
            }
            (None, _) => Some(self.clock_ns),
        }
    }

    /// Goes on to `now_ns` and appends what happened until then (inclusive), in order of time.
    pub fn advance(&mut self, now_ns: u64, events: &mut Vec<Event>) {
        loop {
            match self.step_ends_ns {
                Some(end) if end > now_ns => {
                    self.queue_until(now_ns, events);
                    return;
                }
                Some(end) => {
                    self.queue_until(end, events);
                    self.finish_step(end, events);
                    self.step_ends_ns = None;
                    self.clock_ns = end;
                }
                None => {}
            }
            self.queue_until(self.clock_ns.min(now_ns), events);
            if self.running.is_empty() && self.waiting.is_empty() {
                // Idle until somebody is ready.
                let Some((&(ready, _), _)) = self.coming.first_key_value() else { return };
                if ready > now_ns {
                    return;
                }
                self.clock_ns = self.clock_ns.max(ready);
            }
            if self.clock_ns > now_ns {
                self.queue_until(now_ns, events);
                return;
            }
            self.queue_until(self.clock_ns, events);
            self.begin_step(self.clock_ns, events);
        }
    }

    /// What the engine holds now.
    pub fn counts(&self) -> Counts {
        Counts {
            running: self.running.len(),
            waiting: self.waiting.len(),
            blocks_used: self.blocks.used(),
            ..self.counts
        }
    }

    /// Moves who is ready at `until_ns` to the queue.
    fn queue_until(&mut self, until_ns: u64, events: &mut Vec<Event>) {
        while let Some(first) = self.coming.first_entry() {
            let ready_ns = first.key().0;
            if ready_ns > until_ns {
                return;
            }
            let sequence = first.remove();
            events.push(Event::Queued { key: sequence.key, at_ns: ready_ns });
            self.waiting.push_back(sequence);
        }
    }
}
