//! `collate`: the id lists of a batch into tensors. The batch of index `i` is request `i` and those after it.

use engines::{EngineError, collate};

use super::{Op, Produced};
use crate::inputs::Extent;

pub struct Collate {
    engine: Box<collate::Collate>,
    /// The pool with its first `batch - 1` requests once more behind it, so that every batch is a slice, and then the
    /// warm-up requests in the same way.
    lists: Vec<Vec<u32>>,
    pool: usize,
    batch: usize,
}

impl Collate {
    pub fn new(
        engine: Box<collate::Collate>,
        ids: &[Vec<u32>],
        extent: Extent,
        batch: usize,
    ) -> Result<Self, EngineError> {
        let mut lists = Vec::new();
        for (first, count) in [(0, extent.pool), (extent.pool, extent.warmup)] {
            if count > 0 {
                lists.extend((0..count + batch - 1).map(|step| ids[extent.following(first, step)].clone()));
            }
        }
        Ok(Self { engine, lists, pool: extent.pool, batch })
    }
}

impl Op for Collate {
    fn call(&self, index: usize) -> Result<Produced, EngineError> {
        let start = if index < self.pool { index } else { index + self.batch - 1 };
        self.engine.run(&self.lists[start..start + self.batch]).map(Produced::Collated)
    }
}
