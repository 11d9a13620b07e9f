//! What it costs to load a tokenizer: time, and memory of the process.

use std::path::Path;
use std::time::Instant;

use super::{Loaded, load};
use crate::engine::EngineError;

/// Cost of one loading.
///
/// Memory is of the whole process, so it says something in a process that did nothing before: what an earlier loading
/// freed is used again and does not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadCost {
    /// Wall time from the path to a tokenizer that can encode, ns. The file is read in it, from the page cache as a rule.
    pub load_ns: u64,
    /// Resident memory that the process has more than before, bytes: the tables, and what the allocator keeps. 0 if it has
    /// less. `None` where the system does not say (it is not Linux).
    pub resident_bytes: Option<u64>,
    /// The same at the peak: what a container needs to have free while it loads.
    pub peak_bytes: Option<u64>,
}

/// Loads the `tokenizer.json` in `model`, a folder, with `engine`, and says what that cost.
///
/// # Errors
/// Those of [`load`].
pub fn load_cost(engine: &str, model: &Path) -> Result<(Box<dyn Loaded>, LoadCost), EngineError> {
    let before = Memory::now();
    let start = Instant::now();
    let loaded = load(engine, model)?;
    let load_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let after = Memory::now();
    let growth = |of: fn(&Memory) -> u64| {
        let (before, after) = (before.as_ref()?, after.as_ref()?);
        Some(of(after).saturating_sub(before.resident))
    };
    let cost = LoadCost {
        load_ns,
        resident_bytes: growth(|memory| memory.resident),
        // A peak from before this loading says nothing about it.
        peak_bytes: growth(|memory| memory.peak)
            .filter(|_| before.as_ref().zip(after.as_ref()).is_some_and(|(before, after)| after.peak > before.peak)),
    };
    Ok((loaded, cost))
}

/// Memory of this process, bytes.
struct Memory {
    resident: u64,
    peak: u64,
}

impl Memory {
    /// From `/proc/self/status` (proc(5): VmRSS and VmHWM, in KiB).
    fn now() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let field = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
        };
        Some(Self { resident: field("VmRSS")?, peak: field("VmHWM")? })
    }
}
