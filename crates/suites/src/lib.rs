//! The table of suites. A new suite is a folder beside this file and one line in [`all`].

pub mod analysis;
pub mod axes;
pub mod planning;
pub mod preprocessing;
pub mod present;
pub mod serving;
pub mod settings;
pub mod spec;

use record::measurements::Measurements;
use record::plan::WorkloadSpec;
use record::plan::{Cell, Plan};
use record::results::{ExperimentResult, Record, RunInfo};

use self::settings::{ExperimentSettings, PlanContext, SubjectKind};
use self::spec::{ExperimentSpec, SuiteSpec};

/// One stage of an LLM system: a folder of experiments and its `suite.toml`.
pub trait Suite: Sync {
    /// The parsed `suite.toml`: everything about the experiments that is data.
    fn spec(&self) -> &SuiteSpec;

    /// The experiments in the order of their numbers; each has its entry in the specification.
    fn experiments(&self) -> Vec<Box<dyn Experiment>>;

    /// The kinds of process that measure its cells.
    fn subjects(&self) -> &'static [SubjectKind];

    /// The `engine/call_path` pairs a subject of this kind (`native`, `python`) can be asked for, with their operation.
    fn engines(&self) -> Vec<EngineEntry>;
}

/// One question: which cells answer it, and what the measurements say.
pub trait Experiment {
    /// Name in `suite.toml`.
    fn name(&self) -> &'static str;

    /// The points to measure.
    ///
    /// # Errors
    /// A sentence when the settings leave nothing that could answer the question.
    fn cells(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<Cell>, String>;

    /// The sets of requests that its cells name.
    ///
    /// # Errors
    /// As [`Experiment::cells`].
    fn workloads(&self, context: &PlanContext, settings: &ExperimentSettings) -> Result<Vec<WorkloadSpec>, String>;

    /// Pairs of cells (row, baseline) whose ratio the experiment judges; the stopping rule looks at their half-widths.
    fn comparisons(&self, plan: &Plan) -> Vec<(String, String)>;

    /// Rows, tables, figures and sentences, computed from the measurements alone.
    fn analyse(&self, input: &AnalysisInput) -> (ExperimentResult, Vec<Record>);
}

/// What an experiment's analysis reads.
pub struct AnalysisInput<'a> {
    pub plan: &'a Plan,
    pub info: &'a RunInfo,
    pub measurements: &'a Measurements,
    pub settings: &'a ExperimentSettings,
    pub spec: &'a ExperimentSpec,
}

/// A line of `llmbench list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineEntry {
    /// `native` or `python`.
    pub kind: &'static str,
    pub op: &'static str,
    pub engine: &'static str,
    pub call_path: &'static str,
}

/// All suites, in the order of the pipeline.
pub fn all() -> Vec<Box<dyn Suite>> {
    vec![Box::new(preprocessing::Preprocessing::new()), Box::new(serving::Serving::new())]
}

/// The suite of this name, or the name that is nearest to it.
///
/// # Errors
/// A sentence with the nearest name.
pub fn find(name: &str) -> Result<Box<dyn Suite>, String> {
    let names: Vec<String> = all().iter().map(|suite| suite.spec().name.clone()).collect();
    all()
        .into_iter()
        .find(|suite| suite.spec().name == name)
        .ok_or_else(|| format!("there is no suite `{name}`{}", spec::suggestion(name, &names)))
}
