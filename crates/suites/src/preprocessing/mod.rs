//! The preprocessing suite: from the request's bytes to the ids the engine gets.

pub mod anatomy;
pub mod cells;
mod engine_cells;
mod engine_tables;
pub mod engines;
mod exponent;
mod gil_builds;
pub mod gil_cost;
mod gil_curve;
mod gil_hold;
pub mod gil_scaling;
mod gil_victim;
mod gil_wait;
pub mod gpu_wait;
pub mod history_fit;
pub mod history_tax;
pub mod rows;
pub mod spread;
pub mod stacks;
pub mod strategies;
mod strategy_tables;

use super::settings::SubjectKind;
use super::spec::SuiteSpec;
use super::{EngineEntry, Experiment, Suite};

/// The suite and its parsed specification.
pub struct Preprocessing {
    spec: SuiteSpec,
}

impl Preprocessing {
    /// Reads the embedded `suite.toml`.
    pub fn new() -> Self {
        let spec = SuiteSpec::parse(include_str!("suite.toml")).expect("the embedded suite.toml is parsed by a test");
        Self { spec }
    }
}

impl Default for Preprocessing {
    fn default() -> Self {
        Self::new()
    }
}

impl Suite for Preprocessing {
    fn spec(&self) -> &SuiteSpec {
        &self.spec
    }

    fn experiments(&self) -> Vec<Box<dyn Experiment>> {
        vec![
            Box::new(anatomy::Anatomy),
            Box::new(history_tax::HistoryTax),
            Box::new(gpu_wait::GpuWait),
            Box::new(gil_scaling::GilScaling),
            Box::new(strategies::Strategies),
            Box::new(gil_cost::GilCost),
            Box::new(engines::Engines),
        ]
    }

    fn subjects(&self) -> &'static [SubjectKind] {
        use SubjectKind::{NativeCalls, PythonCalls, PythonCallsWithGil, ServedStrategies};
        &[NativeCalls, PythonCalls, PythonCallsWithGil, ServedStrategies]
    }

    fn engines(&self) -> Vec<EngineEntry> {
        ["native", "python"]
            .into_iter()
            .flat_map(|kind| {
                stacks::call_paths(kind, true, true).into_iter().map(move |path| EngineEntry {
                    kind,
                    op: path.op,
                    engine: path.engine,
                    call_path: path.call_path,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_and_the_experiments_name_each_other_in_order() {
        let suite = Preprocessing::new();
        let specified: Vec<String> =
            suite.spec().experiments.iter().map(|experiment| experiment.name.clone()).collect();
        let coded: Vec<&str> = suite.experiments().iter().map(|experiment| experiment.name()).collect();
        assert_eq!(specified, coded);
        assert_eq!(suite.spec().experiments.iter().map(|e| e.id).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    }
}
