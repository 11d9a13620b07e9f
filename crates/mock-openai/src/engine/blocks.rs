//! The blocks of the KV cache: who holds them, and what is found in those that nobody holds.

use std::collections::HashMap;

/// No block.
const NONE: u32 = u32::MAX;

#[derive(Debug, Clone)]
struct Block {
    /// Of all tokens up to the end of this block, once they are computed.
    hash: Option<u64>,
    holders: u32,
    /// Neighbours in the list of blocks that nobody holds.
    before: u32,
    after: u32,
}

/// All blocks. Those that nobody holds form a list in the order in which they will be reused; they keep their content until then.
#[derive(Debug)]
pub(super) struct Blocks {
    size: usize,
    blocks: Vec<Block>,
    by_hash: HashMap<u64, u32>,
    first: u32,
    last: u32,
    free: usize,
}

impl Blocks {
    pub fn new(count: usize, size: usize) -> Self {
        let block = Block { hash: None, holders: 0, before: NONE, after: NONE };
        let mut blocks =
            Self { size, blocks: vec![block; count], by_hash: HashMap::new(), first: NONE, last: NONE, free: 0 };
        for index in 0..count as u32 {
            blocks.append(index);
        }
        blocks
    }

    /// Blocks that `tokens` take.
    pub fn needed(&self, tokens: usize) -> usize {
        tokens.div_ceil(self.size)
    }

    /// Tokens a block holds.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Blocks that somebody holds.
    pub fn used(&self) -> usize {
        self.blocks.len() - self.free
    }

    /// How many of the blocks are here, from the first on without a gap.
    pub fn found(&self, hashes: &[u64]) -> usize {
        hashes.iter().take_while(|hash| self.by_hash.contains_key(hash)).count()
    }

    /// Takes the blocks of `found` (all of which are here) and `fresh` empty ones; None, and nothing changed, if there are too few.
    pub fn take(&mut self, found: &[u64], fresh: usize) -> Option<Vec<u32>> {
        let known: Vec<u32> = found.iter().filter_map(|hash| self.by_hash.get(hash).copied()).collect();
        let unheld = known.iter().filter(|&&index| self.blocks[index as usize].holders == 0).count();
        if self.free < unheld + fresh {
            return None;
        }
        let mut taken = known;
        for &index in &taken {
            if self.blocks[index as usize].holders == 0 {
                self.unlink(index);
            }
            self.blocks[index as usize].holders += 1;
        }
        for _ in 0..fresh {
            taken.push(self.reuse_first());
        }
        Some(taken)
    }

    /// One empty block.
    pub fn take_one(&mut self) -> Option<u32> {
        (self.free > 0).then(|| self.reuse_first())
    }

    /// The content of a block is computed. If another block has the same content, that one is found.
    pub fn publish(&mut self, index: u32, hash: u64) {
        let block = &mut self.blocks[index as usize];
        if block.hash.is_none()
            && let std::collections::hash_map::Entry::Vacant(entry) = self.by_hash.entry(hash)
        {
            entry.insert(index);
            block.hash = Some(hash);
        }
    }

    /// Lets go of a sequence's blocks, its end first.
    pub fn give_back(&mut self, held: &mut Vec<u32>) {
        while let Some(index) = held.pop() {
            let block = &mut self.blocks[index as usize];
            block.holders -= 1;
            if block.holders == 0 {
                self.append(index);
            }
        }
    }

    /// Takes the block that was unused for longest. There is one: the callers have looked.
    fn reuse_first(&mut self) -> u32 {
        let index = self.first;
        self.unlink(index);
        let block = &mut self.blocks[index as usize];
        block.holders = 1;
        if let Some(hash) = block.hash.take() {
            self.by_hash.remove(&hash);
        }
        index
    }

    fn append(&mut self, index: u32) {
        let last = self.last;
        let block = &mut self.blocks[index as usize];
        block.before = last;
        block.after = NONE;
        match self.blocks.get_mut(last as usize) {
            Some(before) => before.after = index,
            None => self.first = index,
        }
        self.last = index;
        self.free += 1;
    }

    fn unlink(&mut self, index: u32) {
        let Block { before, after, .. } = self.blocks[index as usize];
        match self.blocks.get_mut(before as usize) {
            Some(block) => block.after = after,
            None => self.first = after,
        }
        match self.blocks.get_mut(after as usize) {
            Some(block) => block.before = before,
            None => self.last = before,
        }
        self.free -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_blocks_are_found_until_they_are_reused() {
        let mut blocks = Blocks::new(4, 16);
        let mut one = blocks.take(&[], 2).unwrap();
        blocks.publish(one[0], 10);
        blocks.publish(one[1], 11);
        assert_eq!((blocks.found(&[10, 11, 12]), blocks.found(&[11]), blocks.found(&[12, 10])), (2, 1, 0));
        let mut two = blocks.take(&[10], 1).unwrap();
        assert_eq!((blocks.used(), blocks.free), (3, 1));
        blocks.give_back(&mut one);
        assert_eq!((blocks.used(), blocks.found(&[10, 11])), (2, 2));
        blocks.give_back(&mut two);
        // Never used, then the end of the first sequence, then the end of the second; the shared beginning last.
        let order: Vec<Option<u64>> = (0..4)
            .map(|_| {
                let next = blocks.blocks[blocks.first as usize].hash;
                blocks.take_one().unwrap();
                next
            })
            .collect();
        assert_eq!(order, [None, Some(11), None, Some(10)]);
        assert_eq!((blocks.found(&[10]), blocks.take_one()), (0, None));
    }

    #[test]
    fn found_blocks_that_nobody_holds_count_as_room_once() {
        let mut blocks = Blocks::new(3, 16);
        let mut held = blocks.take(&[], 2).unwrap();
        blocks.publish(held[0], 1);
        blocks.publish(held[1], 2);
        blocks.give_back(&mut held);
        assert_eq!(blocks.take(&[1, 2], 2), None);
        assert_eq!((blocks.free, blocks.found(&[1, 2])), (3, 2), "a refusal changes nothing");
        let taken = blocks.take(&[1, 2], 1).unwrap();
        assert_eq!((taken.len(), blocks.free), (3, 0));
    }

    #[test]
    fn equal_content_is_kept_in_two_places_and_found_in_the_first() {
        let mut blocks = Blocks::new(3, 16);
        let (mut one, mut two) = (blocks.take(&[], 1).unwrap(), blocks.take(&[], 1).unwrap());
        blocks.publish(one[0], 7);
        blocks.publish(two[0], 7);
        assert_eq!(blocks.take(&[7], 0).unwrap(), one);
        blocks.give_back(&mut two);
        blocks.give_back(&mut one);
        assert_eq!(blocks.found(&[7]), 1);
    }
}
