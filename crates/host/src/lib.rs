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
mod steadiness;
mod system;

use std::path::Path;

use record::results::{Fact, FactVerdict};

pub use gpu::{Gpu, GpuUse, GpuWatch};
pub use roots::Roots;
pub use snapshot::{Others, Snapshot};

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

/// Examines the machine. Takes about 0.5 s: for 0.2 s the process rests, to see what others do with the CPUs; for 0.3 s it
/// works on one core, to see how steady its speed is.
///
/// `folder`: where the run will be written, for the free space; its nearest parent that exists is asked.
pub fn probe(roots: &Roots, folder: &Path) -> Machine {
    let mut facts = facts::Facts::default();
    let cores = cpu::probe(roots, &mut facts);
    load::probe(roots, cores.logical, &mut facts);
    steadiness::probe(&mut facts);
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Whatever this machine is: every fact has its own key and a value, and what is not right says what to do.
    #[test]
    fn this_machine() {
        let machine = probe(&Roots::default(), Path::new("."));
        let keys: BTreeSet<&str> = machine.facts.iter().map(|fact| fact.key.as_str()).collect();
        assert_eq!(keys.len(), machine.facts.len());
        for fact in &machine.facts {
            println!("{:?} {}: {}", fact.verdict, fact.title, fact.value);
            assert!(!fact.title.is_empty() && !fact.value.is_empty(), "{fact:?}");
            let must_mend = matches!(fact.verdict, FactVerdict::Warn | FactVerdict::Bad);
            assert!(!must_mend || fact.remedy.is_some(), "{fact:?}");
        }
        assert!((1..=machine.logical_cores).contains(&machine.effective_cores));
        assert!(machine.bad().iter().all(|fact| fact.verdict == FactVerdict::Bad));
        assert_eq!(machine.boot_id, boot_id());
    }

    /// A machine that shows nothing at all, as macOS does: no failure, and no verdict that is not known.
    #[test]
    fn a_machine_that_shows_nothing() {
        let (folder, roots) = facts::testing::tree(&[]);
        let machine = probe(&roots, folder.path());
        assert!(machine.effective_cores >= 1);
        assert_eq!(machine.boot_id, None);
        let unknown = machine.facts.iter().filter(|fact| fact.verdict == FactVerdict::Unknown).count();
        assert!(unknown >= 15, "{:?}", machine.facts);
    }
}
