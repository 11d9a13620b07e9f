//! The serving suite: what a client sees of a server under load, and whose fault it is.
//!
//! What experiments conclude from figures are pure functions of one value a run:
//!
//! | module | question | experiment |
//! |---|---|---|
//! | [`knee`] | where does more load bring no more answers; are all requests counted | 1 latency-wall |
//! | [`interaction`] | does a benefit hold under load | 2 prefix-cache |
//! | [`tax`] | what does a way of sending cost, and what does queueing make of it | 3 sidecar |
//! | [`ttft_parts`] | where does a time to first token go | 1 latency-wall, 2 prefix-cache |
//! | [`bisection`] | which rate holds a service level, how many replicas carry a demand | 7 max-rate |
//!
//! The figures come from `llmbench worker serving` ([`workers::serving`]), a process that asks a server: one that was named with
//! `--base-url`, or llmbench's own mock, and then SIMULATED stands over everything.

mod asking;
pub mod bisection;
pub mod interaction;
pub mod knee;
mod latency_wall;
mod max_rate;
mod prefix_cache;
mod sidecar;
mod stack;
pub mod tax;
mod tax_findings;
pub mod ttft_parts;
mod usage;

use super::settings::SubjectKind;
use super::spec::SuiteSpec;
use super::{EngineEntry, Experiment, Suite};

/// The suite and its parsed specification.
pub struct Serving {
    spec: SuiteSpec,
}

impl Serving {
    /// Reads the embedded `suite.toml`.
    pub fn new() -> Self {
        let spec = SuiteSpec::parse(include_str!("suite.toml")).expect("the embedded suite.toml is parsed by a test");
        Self { spec }
    }
}

impl Default for Serving {
    fn default() -> Self {
        Self::new()
    }
}

impl Suite for Serving {
    fn spec(&self) -> &SuiteSpec {
        &self.spec
    }

    fn experiments(&self) -> Vec<Box<dyn Experiment>> {
        vec![
            Box::new(latency_wall::LatencyWall),
            Box::new(prefix_cache::PrefixCache),
            Box::new(sidecar::Sidecar),
            Box::new(max_rate::MaxRate),
        ]
    }

    /// Servers are asked; no engine is called.
    fn engines(&self) -> Vec<EngineEntry> {
        Vec::new()
    }

    fn subjects(&self) -> &'static [SubjectKind] {
        &[SubjectKind::Server]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_and_the_experiments_name_each_other_in_order() {
        let suite = Serving::new();
        let specified: Vec<String> =
            suite.spec().experiments.iter().map(|experiment| experiment.name.clone()).collect();
        let coded: Vec<&str> = suite.experiments().iter().map(|experiment| experiment.name()).collect();
        assert_eq!(specified, coded);
        assert_eq!(suite.spec().experiments.iter().map(|e| e.id).collect::<Vec<_>>(), [1, 2, 3, 7]);
    }
}
