//! The engine on a clock of small numbers: step by step against schedules that were worked out by hand.

mod batching;
mod memory;
mod random;

use std::sync::Arc;

use super::{Counts, Engine, EngineConfig, Event, Key, NewSequence};
use crate::tokens::{Chain, Reply, ReplyIds, Tokenizer};

/// A step takes 100, a prompt token 1, a decoding sequence 10; blocks of 4, 16 tokens a step.
fn config() -> EngineConfig {
    EngineConfig {
        step_ns: 100,
        prefill_token_ns: 1,
        decode_sequence_ns: 10,
        max_batched_tokens: 16,
        max_sequences: 8,
        kv_blocks: 100,
        block_size: 4,
        prefix_cache: true,
        chunked_prefill: true,
    }
}

/// An engine whose events are written as short lines: `110 token A0`.
struct Bench {
    engine: Engine,
    ids: Arc<ReplyIds>,
    log: Vec<String>,
}

impl Bench {
    fn new(config: EngineConfig) -> Self {
        let ids = Arc::new(ReplyIds::of(&Tokenizer::Words));
        Self { engine: Engine::new(config).unwrap(), ids, log: Vec::new() }
    }

    /// The request of this letter: a prompt of its own.
    fn submit(&mut self, name: char, ready_ns: u64, prompt: usize, output: u32) {
        let ids: Vec<u32> = (0..prompt as u32).map(|index| index + 1000 * name as u32).collect();
        self.submit_ids(name, ready_ns, &ids, output);
    }

    fn submit_ids(&mut self, name: char, ready_ns: u64, ids: &[u32], output: u32) {
        let prompt = Chain::of(self.engine.config.block_size, ids);
        let reply = Reply::new(prompt.identity(), 0, Arc::clone(&self.ids));
        let key = Key { request: u64::from(name), choice: 0 };
        self.engine.submit(ready_ns, NewSequence { key, prompt, reply, output_tokens: output });
    }

    /// The ids that follow a prompt.
    fn reply(&self, ids: &[u32], tokens: u32) -> Vec<u32> {
        let identity = Chain::of(self.engine.config.block_size, ids).identity();
        let reply = Reply::new(identity, 0, Arc::clone(&self.ids));
        (0..tokens).map(|index| reply.token(index)).collect()
    }

    fn abort(&mut self, name: char, at_ns: u64) {
        let mut events = Vec::new();
        self.engine.abort(u64::from(name), at_ns, &mut events);
        self.log.extend(events.into_iter().map(line));
    }

    fn until(&mut self, now_ns: u64) {
        let mut events = Vec::new();
        self.engine.advance(now_ns, &mut events);
        self.log.extend(events.into_iter().map(line));
    }

    /// Goes from event to event, as a caller that is on time does, until the engine is empty.
    fn finish(&mut self) {
        while let Some(next) = self.engine.next_ns() {
            self.until(next);
        }
    }

    fn counts(&self) -> Counts {
        self.engine.counts()
    }

    #[track_caller]
    fn expect(&mut self, lines: &[&str]) {
        assert_eq!(std::mem::take(&mut self.log), lines);
    }
}

fn line(event: Event) -> String {
    let name = |key: Key| char::from_u32(key.request as u32).unwrap();
    match event {
        Event::Queued { key, at_ns } => format!("{at_ns} queued {}", name(key)),
        Event::Admitted { key, at_ns, cached } => format!("{at_ns} admitted {} cached {cached}", name(key)),
        Event::Token { key, at_ns, index, last } => {
            format!("{at_ns} token {}{index}{}", name(key), if last { " last" } else { "" })
        }
        Event::Preempted { key, at_ns } => format!("{at_ns} preempted {}", name(key)),
        Event::Aborted { key, at_ns } => format!("{at_ns} aborted {}", name(key)),
    }
}
