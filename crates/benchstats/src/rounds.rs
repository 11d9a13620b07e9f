//! The ratio of two cells within one run, from blocks that lie next to each other.
//!
//! Two cells that are compared are visited side by side in every round of a run. What slows the machine for longer than a
//! round meets both blocks and cancels in their ratio; what hits one block alone makes that round's ratio an outlier, and
//! the median over the rounds keeps it from deciding the run. (Hodges and Lehmann 1963 argue for estimates of this kind
//! under contamination; the median is the one whose breakdown point is one half.)
//!
//! The price: a cost that strikes fewer than half of the blocks of a cell is in its absolute figure and not in the ratio.

/// A block: the number of its round, and its value (above zero).
pub type Block = (u32, f64);

/// `exp(median over rounds of ln(a/b))`.
///
/// Each block of the cell with fewer blocks is set against the other's block of the same round, or of the nearest round where
/// that cell was not visited in this one (against the geometric mean of two that are equally near). None without a block, or
/// with a value that is not above zero.
pub fn ratio(a: &[Block], b: &[Block]) -> Option<f64> {
    if a.is_empty() || b.is_empty() || a.iter().chain(b).any(|&(_, v)| v.is_nan() || v <= 0.0) {
        return None;
    }
    if a.len() > b.len() {
        return ratio(b, a).map(f64::recip);
    }
    let mut logs: Vec<f64> = a.iter().map(|&(round, value)| value.ln() - log_near(b, round)).collect();
    Some(median(&mut logs).exp())
}

/// Mean log of the blocks nearest to a round.
fn log_near(blocks: &[Block], round: u32) -> f64 {
    let nearest = blocks.iter().map(|(at, _)| at.abs_diff(round)).min().unwrap_or(0);
    let (sum, n) = blocks
        .iter()
        .filter(|(at, _)| at.abs_diff(round) == nearest)
        .fold((0.0, 0), |(sum, n), (_, value)| (sum + value.ln(), n + 1));
    sum / f64::from(n)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_round_shares_cancels_and_one_disturbed_block_does_not_decide() {
        let speed = [1.0, 1.7, 1.1, 0.8, 1.4];
        let a: Vec<Block> = (0..5).map(|i| (i, 3.0 * speed[i as usize])).collect();
        let mut b: Vec<Block> = (0..5).map(|i| (i, speed[i as usize])).collect();
        b[2].1 *= 10.0;
        assert!((ratio(&a, &b).unwrap() - 3.0).abs() < 1e-12);
        assert!((ratio(&b, &a).unwrap() - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_sparser_cell_is_set_against_the_nearest_rounds() {
        let dense: Vec<Block> = (0..13).map(|i| (i, f64::from(i + 1))).collect();
        // Rounds 4 and 8 exist in both, 20 does not: its nearest is 12.
        let sparse = [(4, 10.0), (8, 18.0), (20, 26.0)];
        assert!((ratio(&sparse, &dense).unwrap() - 2.0).abs() < 1e-12);
        // Between two rounds that are equally near: their geometric mean.
        assert!((ratio(&[(1, 6.0)], &[(0, 2.0), (2, 4.5)]).unwrap() - 2.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        assert_eq!(ratio(&[], &[(0, 1.0)]), None);
        assert_eq!(ratio(&[(0, 0.0)], &[(0, 1.0)]), None);
        assert_eq!(ratio(&[(0, f64::NAN)], &[(0, 1.0)]), None);
    }
}
