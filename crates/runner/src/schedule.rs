//! In which order a run visits its cells. Everything here is a function of the plan's seed and the run's number, so that a
//! resumed measurement continues exactly as an uninterrupted one.
//!
//! A run's blocks are laid out as randomised complete blocks: a round visits every cell of every subject once, in an order
//! shuffled anew. So the blocks of one cell are spread over the run by construction, and slow drift of the machine meets
//! all cells alike. Cells that are compared with each other ([`Cell::beside`](record::plan::Cell)) stand together in each
//! round, in shuffled order: on a shared host the speed of a core changes within seconds, and what lies close in time
//! shares it.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

use record::plan::{Plan, Timing};

/// Number of the calibration, where a run's number is asked for.
pub const CALIBRATION: u32 = u32::MAX;

/// Most bytes of padding in a worker's environment. Four kilobytes are enough to shift the stack through a page.
const MAX_PADDING: u64 = 4096;

/// One visit to a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// Index into `plan.cells`.
    pub cell: usize,
    pub block: u32,
    /// Request of the pool at which the calls start.
    pub offset: u64,
}

/// What a run does, in order. Cells that failed earlier are still in it; the runner passes over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSchedule {
    /// Cells with [`Timing::First`], one visit each, each in a process in which nothing was called yet.
    pub first: Vec<Visit>,
    /// Indices of all other cells, in the order in which they are prepared.
    pub prepare: Vec<usize>,
    /// All visits of these cells: round by round, and after them one visit to each cell with [`Timing::Stretch`].
    pub visits: Vec<Visit>,
}

/// What differs between two starts of the same subject.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Launch {
    /// `PYTHONHASHSEED`.
    pub hash_seed: u32,
    /// Length of the padding in the environment, bytes; it shifts the stack.
    pub padding: usize,
}

/// The fewest blocks of a cell in a run, however long they are.
const LEAST_BLOCKS: u32 = 3;

/// In how many rounds a cell is visited whose block lasts `block_ns` where it aims at `target_ns`: as many as take the time
/// that `rounds` blocks of the aimed length would, at least three, at most all.
pub fn blocks_of(rounds: u32, target_ns: u64, block_ns: f64) -> u32 {
    let fitting = (f64::from(rounds) * target_ns as f64 / block_ns.max(1.0)).round();
    // A float to integer cast saturates.
    (fitting as u32).clamp(LEAST_BLOCKS.min(rounds), rounds)
}

impl RunSchedule {
    /// Leaves of each cell as many visits as `blocks` (by index into `plan.cells`) says, evenly spread over the rounds.
    pub fn thin(&mut self, rounds: u32, blocks: &[u32]) {
        let kept = |visit: &Visit| {
            let wanted = u64::from(blocks.get(visit.cell).copied().unwrap_or(rounds).min(rounds));
            let (round, rounds) = (u64::from(visit.block), u64::from(rounds.max(1)));
            (round + 1) * wanted / rounds > round * wanted / rounds
        };
        self.visits.retain(kept);
    }
}

/// The seed that all stretches of a run are told.
pub fn stretch_seed(plan: u64, run: u32) -> u64 {
    let mut hash = Sha256::new();
    hash.update(b"llmbench arrivals 1\0");
    hash.update(plan.to_le_bytes());
    hash.update(run.to_le_bytes());
    let hash = hash.finalize();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    u64::from_le_bytes(bytes)
}

/// The order of run `run`.
pub fn run_schedule(plan: &Plan, run: u32) -> RunSchedule {
    let mut rng = rng(plan.seed, "schedule", run, "");
    let (first, mut prepare): (Vec<usize>, Vec<usize>) =
        (0..plan.cells.len()).partition(|&i| plan.cells[i].timing == Timing::First);
    shuffle(&mut prepare, &mut rng);
    let mut order = first;
    shuffle(&mut order, &mut rng);
    let first = order.into_iter().map(|cell| visit(plan, cell, 0, &mut rng)).collect();
    let (long, in_rounds): (Vec<usize>, Vec<usize>) =
        prepare.iter().partition(|&&i| matches!(plan.cells[i].timing, Timing::Stretch { .. }));
    let mut visits = Vec::with_capacity(in_rounds.len() * plan.runs.blocks as usize + long.len());
    let mut round = groups(plan, &in_rounds);
    for block in 0..plan.runs.blocks {
        shuffle(&mut round, &mut rng);
        for group in &mut round {
            shuffle(group, &mut rng);
            visits.extend(group.iter().map(|&cell| visit(plan, cell, block, &mut rng)));
        }
    }
    // Stretches come last, and those beside each other together: what a worker keeps up for them idles beside no other cell.
    let mut stretches = groups(plan, &long);
    shuffle(&mut stretches, &mut rng);
    for group in &mut stretches {
        shuffle(group, &mut rng);
        visits.extend(group.iter().map(|&cell| visit(plan, cell, 0, &mut rng)));
    }
    RunSchedule { first, prepare, visits }
}

/// Cells that stand together in a round.
fn groups(plan: &Plan, cells: &[usize]) -> Vec<Vec<usize>> {
    let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
    for &cell in cells {
        let name = plan.cells[cell].beside.as_str();
        match groups.iter_mut().find(|(of, _)| !name.is_empty() && *of == name) {
            Some((_, group)) => group.push(cell),
            None => groups.push((name, vec![cell])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// The start conditions of `subject` in run `run` at its `attempt`-th start within it.
pub fn launch(seed: u64, run: u32, subject: &str, attempt: u32) -> Launch {
    let mut rng = rng(seed, "launch", run, &format!("{subject}/{attempt}"));
    Launch { hash_seed: rng.next_u32(), padding: below(&mut rng, MAX_PADDING + 1) as usize }
}

fn visit(plan: &Plan, cell: usize, block: u32, rng: &mut ChaCha8Rng) -> Visit {
    let name = &plan.cells[cell].workload;
    let pool = plan.workloads.iter().find(|w| &w.id == name).map_or(1, |w| w.pool.max(1));
    Visit { cell, block, offset: below(rng, u64::from(pool)) }
}

/// ChaCha's stream is fixed by its definition; the seed is SHA-256 of what it depends on.
fn rng(seed: u64, use_: &str, run: u32, of: &str) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(b"llmbench schedule 1\0");
    hash.update(seed.to_le_bytes());
    hash.update(run.to_le_bytes());
    hash.update(use_.as_bytes());
    hash.update([0]);
    hash.update(of.as_bytes());
    ChaCha8Rng::from_seed(hash.finalize().into())
}

/// A number in `0..n` (Lemire's multiplication; its bias is below n/2^64). Written here because the crates' own sampling
/// may change its stream between versions.
fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(n)) >> 64) as u64
}

/// Fisher-Yates.
fn shuffle<T>(items: &mut [T], rng: &mut ChaCha8Rng) {
    for i in (1..items.len()).rev() {
        items.swap(i, below(rng, i as u64 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_blocks_are_fewer_and_never_below_three() {
        assert_eq!(blocks_of(8, 10_000_000, 10_000_000.0), 8);
        assert_eq!(blocks_of(8, 10_000_000, 100_000.0), 8);
        assert_eq!(blocks_of(8, 10_000_000, 20_000_000.0), 4);
        assert_eq!(blocks_of(8, 10_000_000, 900_000_000.0), 3);
        assert_eq!(blocks_of(2, 10_000_000, 900_000_000.0), 2);
    }

    #[test]
    fn thinning_spreads_the_visits_over_the_rounds() {
        let visit = |block| Visit { cell: 0, block, offset: 0 };
        let mut schedule = RunSchedule { first: Vec::new(), prepare: vec![0], visits: (0..8).map(visit).collect() };
        schedule.thin(8, &[3]);
        assert_eq!(schedule.visits.iter().map(|visit| visit.block).collect::<Vec<_>>(), [2, 5, 7]);
    }
}
