//! Who takes part in a step, and what a step brings.

use super::{Engine, Event, Sequence};

/// What a step has left and what it holds.
struct Budget {
    tokens: usize,
    prefill: usize,
    decoding: usize,
}

impl Engine {
    /// Composes the step that begins at `at_ns` and says when it ends. Somebody runs or waits.
    pub(super) fn begin_step(&mut self, at_ns: u64, events: &mut Vec<Event>) {
        let mut budget = Budget { tokens: self.config.max_batched_tokens, prefill: 0, decoding: 0 };
        let preemptions = self.counts.preemptions;
        self.schedule_running(at_ns, &mut budget, events);
        // Who was just put back would only take the blocks away again.
        if self.counts.preemptions == preemptions {
            self.admit(at_ns, &mut budget, events);
        }
        self.counts.steps += 1;
        self.step_ends_ns = Some(at_ns + self.config.step_duration_ns(budget.prefill, budget.decoding));
    }

    fn schedule_running(&mut self, at_ns: u64, budget: &mut Budget, events: &mut Vec<Event>) {
        let mut index = 0;
        while index < self.running.len() {
            let sequence = &mut self.running[index];
            let tokens = sequence.missing().min(budget.tokens);
            sequence.scheduled = 0;
            if tokens == 0 {
                index += 1;
                continue;
            }
            let wanted = self.blocks.needed(sequence.computed + tokens);
            if !self.grow(index, wanted, at_ns, events) {
                // The last of all had to go itself.
                return;
            }
            let sequence = &mut self.running[index];
            sequence.scheduled = tokens;
            budget.take(sequence);
            index += 1;
        }
    }

    /// Gives a running sequence `wanted` blocks, if need be by taking them from those that were admitted last; false if it was
    /// itself the last.
    fn grow(&mut self, index: usize, wanted: usize, at_ns: u64, events: &mut Vec<Event>) -> bool {
        while self.running[index].blocks.len() < wanted {
            if let Some(block) = self.blocks.take_one() {
                self.running[index].blocks.push(block);
                continue;
            }
            let Some(mut victim) = self.running.pop() else { return false };
            self.blocks.give_back(&mut victim.blocks);
            victim.computed = 0;
            victim.scheduled = 0;
            self.counts.preemptions += 1;
            events.push(Event::Preempted { key: victim.key, at_ns });
            self.waiting.push_front(victim);
            if self.running.len() == index {
                return false;
            }
        }
        true
    }

    fn admit(&mut self, at_ns: u64, budget: &mut Budget, events: &mut Vec<Event>) {
        while self.running.len() < self.config.max_sequences && budget.tokens > 0 {
            let Some(head) = self.waiting.front() else { return };
            let (length, size) = (head.chain.len(), self.blocks.size());
            // At least one token is computed: somebody has to give the first token of the output.
            let reusable = &head.chain.hashes()[..(length - 1) / size];
            let found = if self.config.prefix_cache { self.blocks.found(reusable) } else { 0 };
            let missing = length - found * size;
            let alone = missing > self.config.max_batched_tokens && budget.prefill == 0;
            let tokens = match self.config.chunked_prefill {
                true => missing.min(budget.tokens),
                false if missing <= budget.tokens || alone => missing,
                false => return,
            };
            let fresh = self.blocks.needed(length) - found;
            let Some(blocks) = self.blocks.take(&reusable[..found], fresh) else { return };
            let Some(mut sequence) = self.waiting.pop_front() else { return };
            sequence.blocks = blocks;
            sequence.computed = found * size;
            sequence.scheduled = tokens;
            budget.take(&sequence);
            if !sequence.was_admitted {
                sequence.was_admitted = true;
                self.counts.prefix_queries += length as u64;
                self.counts.prefix_hits += (found * size) as u64;
                events.push(Event::Admitted { key: sequence.key, at_ns, cached: (found * size) as u32 });
            }
            self.running.push(sequence);
        }
    }

    /// The step ended at `at_ns`.
    pub(super) fn finish_step(&mut self, at_ns: u64, events: &mut Vec<Event>) {
        let (blocks, size, publish) = (&mut self.blocks, self.config.block_size, self.config.prefix_cache);
        self.running.retain_mut(|sequence| {
            let before = sequence.computed / size;
            sequence.computed += sequence.scheduled;
            if publish {
                for block in before..sequence.computed / size {
                    blocks.publish(sequence.blocks[block], sequence.chain.hashes()[block]);
                }
            }
            let (key, index) = (sequence.key, sequence.produced);
            let leaves = if sequence.aborted {
                events.push(Event::Aborted { key, at_ns });
                true
            } else if sequence.scheduled > 0 && sequence.missing() == 0 {
                let last = sequence.produce();
                events.push(Event::Token { key, at_ns, index, last });
                last
            } else {
                false
            };
            sequence.scheduled = 0;
            if leaves {
                blocks.give_back(&mut sequence.blocks);
            }
            !leaves
        });
    }
}

impl Budget {
    /// Counts what the sequence computes in this step.
    fn take(&mut self, sequence: &Sequence) {
        self.tokens = self.tokens.saturating_sub(sequence.scheduled);
        if sequence.is_decoding() {
            self.decoding += 1;
        } else {
            self.prefill += sequence.scheduled;
        }
    }
}
