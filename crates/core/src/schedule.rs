//! In which order a run visits its cells. Everything here is a function of the plan's seed and the run's number, so that a
//! resumed measurement continues exactly as an uninterrupted one.
//!
//! A run's blocks are laid out as randomised complete blocks: round `b` visits block `b` of every cell of every subject
//! once, in an order shuffled anew. So the blocks of one cell are spread over the run by construction, and slow drift of the
//! machine meets all cells alike.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

use crate::plan::{Plan, Timing};

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
    /// All visits of these cells.
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

/// The order of run `run`.
pub fn run_schedule(plan: &Plan, run: u32) -> RunSchedule {
    let mut rng = rng(plan.seed, "schedule", run, "");
    let (first, mut prepare): (Vec<usize>, Vec<usize>) =
        (0..plan.cells.len()).partition(|&i| plan.cells[i].timing == Timing::First);
    shuffle(&mut prepare, &mut rng);
    let mut order = first;
    shuffle(&mut order, &mut rng);
    let first = order.into_iter().map(|cell| visit(plan, cell, 0, &mut rng)).collect();
    let mut visits = Vec::with_capacity(prepare.len() * plan.runs.blocks as usize);
    let mut round = prepare.clone();
    for block in 0..plan.runs.blocks {
        shuffle(&mut round, &mut rng);
        visits.extend(round.iter().map(|&cell| visit(plan, cell, block, &mut rng)));
    }
    RunSchedule { first, prepare, visits }
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
