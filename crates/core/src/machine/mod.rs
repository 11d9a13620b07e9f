//! The machine that measures: what it is, and what about it makes figures wrong. Everything is read, nothing is tuned.
//!
//! A fact that cannot be read is `unknown` and never an error, so that the same code runs on macOS and in locked-down
//! containers. The files are read below [`Roots`], so that tests can show it other machines.

mod cgroup;
mod clock;
mod cpu;
mod facts;
mod gpu;
mod load;
mod memory;
mod roots;
mod snapshot;
mod system;

use std::path::Path;

use crate::record::{Fact, FactVerdict};

pub use gpu::{Gpu, GpuUsage, GpuWatch};
pub use roots::Roots;
pub use snapshot::Snapshot;

/// What is known about the machine.
#[derive(Debug, Clone)]
pub struct Machine {
    /// In the order in which people read them.
    pub facts: Vec<Fact>,
    /// Cores that the process can really use at once: the smaller of the affinity mask and the cgroup quota rounded up; at
    /// least 1.
    pub effective_cores: u32,
    /// Logical cores that are online.
    pub logical_cores: u32,
    /// Linux boot id.
    pub boot_id: Option<String>,
    /// NVIDIA GPUs; empty where there are none or no driver.
    pub gpus: Vec<Gpu>,
}

impl Machine {
    /// The facts that make figures wrong.
    pub fn bad(&self) -> Vec<&Fact> {
        self.facts.iter().filter(|fact| fact.verdict == FactVerdict::Bad).collect()
    }
}

/// Examines the machine. Takes about 0.2 s, in which the process rests, to see what others do with the CPUs.
///
/// `folder`: where the run will be written, for the free space; its nearest parent that exists is asked.
pub fn probe(roots: &Roots, folder: &Path) -> Machine {
    let mut facts = facts::Facts::default();
    let cores = cpu::probe(roots, &mut facts);
    load::probe(roots, cores.logical, &mut facts);
    memory::probe(roots, &mut facts);
    let boot_id = system::probe(roots, folder, &mut facts);
    clock::probe(roots, &mut facts);
    let gpus = gpu::probe(&mut facts);
    Machine { facts: facts.into_vec(), effective_cores: cores.effective, logical_cores: cores.logical, boot_id, gpus }
}

/// The id of this boot of Linux; none elsewhere.
pub fn boot_id() -> Option<String> {
    system::boot_id(&Roots::default())
}

/// The counters of the host now; [`Snapshot::since`] compares two.
pub fn snapshot() -> Snapshot {
    Snapshot::take(&Roots::default())
}
