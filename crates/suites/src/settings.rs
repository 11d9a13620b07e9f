//! An experiment's settings after all overrides, and what planning knows of the machine and the model.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::axes::{self, AxisValue};
use super::spec::{ExperimentSpec, Override};

/// What an experiment is planned and analysed with. Stored in the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExperimentSettings {
    pub id: u32,
    pub name: String,
    pub axes: BTreeMap<String, Vec<AxisValue>>,
    pub params: BTreeMap<String, f64>,
}

impl ExperimentSettings {
    /// The specification with the overrides in their order; later ones win. An override's axis that the experiment does not
    /// have is left out: `--threads` speaks to those experiments that have threads.
    pub fn layered(spec: &ExperimentSpec, overrides: &[&Override]) -> Self {
        let mut settings =
            Self { id: spec.id, name: spec.name.clone(), axes: spec.axes.clone(), params: spec.params.clone() };
        for layer in overrides {
            for (axis, values) in &layer.axes {
                if let Some(slot) = settings.axes.get_mut(axis) {
                    slot.clone_from(values);
                }
            }
            for (name, value) in &layer.params {
                settings.params.insert(name.clone(), *value);
            }
        }
        settings
    }

    /// Numbers of an axis on a machine with that many cores.
    ///
    /// # Errors
    /// A sentence that names experiment and axis.
    pub fn numbers(&self, axis: &str, cores: u32) -> Result<Vec<u32>, String> {
        let values =
            self.axes.get(axis).ok_or_else(|| format!("experiment {}: there is no axis `{axis}`", self.name))?;
        axes::numbers(axis, values, cores).map_err(|message| format!("experiment {}: {message}", self.name))
    }

    /// Words of an axis.
    pub fn words(&self, axis: &str) -> Vec<String> {
        self.axes.get(axis).map(|values| axes::words(values)).unwrap_or_default()
    }

    /// A parameter, if it is set.
    pub fn param(&self, name: &str) -> Option<f64> {
        self.params.get(name).copied()
    }
}

/// A kind of process that measures cells. A suite says which kinds it brings, in an order in which each comes after those that it is
/// made of; whoever runs the suite makes them ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectKind {
    /// The native worker: times calls of Rust engines.
    NativeCalls,
    /// A Python worker for each interpreter: times calls of Python engines.
    PythonCalls,
    /// Each free-threaded interpreter of the Python workers once more, with its GIL switched on.
    PythonCallsWithGil,
    /// For each worker that times calls, one that starts the strategies of its language as servers and puts load on them.
    ServedStrategies,
    /// The worker that puts load on a server of models: the one that was named, or the mock.
    Server,
}

/// A subject as planning sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedSubject {
    pub id: String,
    /// `native` or `python`.
    pub kind: String,
    /// Torch is installed there already.
    pub torch: bool,
    /// An interpreter that can run without the GIL.
    pub free_threaded: bool,
    /// Of a worker that drives servers: their kind, `native` or `python`. Empty for others.
    pub serves: String,
    /// Of a worker that is another one again with the GIL switched on: that one's id. Empty for others.
    pub variant_of: String,
}

impl PlanContext {
    /// The subject whose cells are the baselines: the first Python one, or the first where there is none.
    pub fn baseline(&self) -> Option<&PlannedSubject> {
        self.subjects.iter().find(|subject| subject.kind == "python").or_else(|| self.subjects.first())
    }
}

/// What planning knows.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanContext {
    /// Workers that time calls.
    pub subjects: Vec<PlannedSubject>,
    /// Workers that drive servers.
    pub drivers: Vec<PlannedSubject>,
    /// Workers that are others again with the GIL switched on, where it can be off.
    pub variants: Vec<PlannedSubject>,
    /// Affinity ∩ cgroup quota.
    pub cores: u32,
    /// The model's vocabulary is one that tiktoken has.
    pub tiktoken: bool,
    /// `words`, `letters` or `dataset`.
    pub workload: String,
}
