//! Collation: id lists of several lengths into one rectangle, as a model takes them.

use crate::engine::{Engine, EngineError};

/// From the id lists of a batch to its tensors.
pub type Collate = dyn Engine<Input = [Vec<u32>], Output = Collated>;

pub const ENGINE: &str = "native";
pub const CALL_PATHS: [&str; 1] = ["pad"];

/// Rows are padded to a multiple of this, so that kernels meet few shapes.
pub const MULTIPLE: usize = 8;

/// What stands in `ids` where a row has ended.
pub const PAD_ID: i64 = 0;

/// Two row-major `[batch, length]` tensors.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collated {
    pub batch: usize,
    /// The longest list, rounded up to a multiple of [`MULTIPLE`].
    pub length: usize,
    pub ids: Vec<i64>,
    /// 1 where `ids` is a token, 0 where it is padding.
    pub mask: Vec<i64>,
}

/// The call path of that name, if there is one.
pub fn call_path(name: &str) -> Option<Box<Collate>> {
    (name == CALL_PATHS[0]).then(|| Box::new(Pad) as Box<Collate>)
}

struct Pad;

impl Engine for Pad {
    type Input = [Vec<u32>];
    type Output = Collated;

    fn run(&self, lists: &[Vec<u32>]) -> Result<Collated, EngineError> {
        let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
        let length = longest.next_multiple_of(MULTIPLE);
        let mut ids = Vec::with_capacity(lists.len() * length);
        let mut mask = Vec::with_capacity(lists.len() * length);
        for (row, list) in lists.iter().enumerate() {
            let end = (row + 1) * length;
            ids.extend(list.iter().map(|&id| i64::from(id)));
            mask.resize(ids.len(), 1);
            ids.resize(end, PAD_ID);
            mask.resize(end, 0);
        }
        Ok(Collated { batch: lists.len(), length, ids, mask })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_padded_to_the_next_multiple_of_eight_of_the_longest() {
        let lists = vec![vec![5, 6, 7], (1..=9).collect(), vec![]];
        let collated = Pad.run(&lists).unwrap();
        assert_eq!((collated.batch, collated.length), (3, 16));
        assert_eq!(collated.ids[..4], [5, 6, 7, 0]);
        assert_eq!(collated.mask[..4], [1, 1, 1, 0]);
        assert_eq!(collated.ids[16..26], [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]);
        assert_eq!(collated.mask[16..32].iter().sum::<i64>(), 9);
        assert_eq!(collated.ids[32..], [0; 16]);
        assert_eq!(collated.mask[32..], [0; 16]);
    }

    #[test]
    fn a_multiple_of_eight_is_not_padded_and_an_empty_batch_is_empty() {
        assert_eq!(Pad.run(&[vec![1; 8]]).unwrap().length, 8);
        assert_eq!(Pad.run(&[]).unwrap(), Collated::default());
        assert!(call_path("pad").is_some() && call_path("pack").is_none());
    }
}
