//! From a suite and settings to a plan.

use std::collections::{BTreeMap, BTreeSet};

use loadgen::order::Drive;
use record::plan::WorkloadSpec;
use record::plan::{Cell, Check, ModelIdentity, Plan, Runs, SubjectSpec, Timing};
use serde_json::Value;

use super::Suite;
use super::settings::{ExperimentSettings, PlanContext};
use super::spec::Profile;

/// What a plan is made of, beside the suite.
pub struct Ingredients<'a> {
    pub profile_name: &'a str,
    pub profile: &'a Profile,
    pub settings: &'a [ExperimentSettings],
    pub context: &'a PlanContext,
    pub model: ModelIdentity,
    pub subjects: Vec<SubjectSpec>,
    pub seed: u64,
    /// Unix seconds.
    pub timestamp: i64,
    /// Further facts that the analysis needs.
    pub facts: BTreeMap<String, Value>,
}

/// The plan of the suite's selected experiments.
///
/// # Errors
/// The sentence of the experiment whose settings leave nothing to measure.
pub fn plan(suite: &dyn Suite, ingredients: Ingredients) -> Result<Plan, String> {
    let experiments = suite.experiments();
    let mut cells: Vec<Cell> = Vec::new();
    let mut workloads: Vec<WorkloadSpec> = Vec::new();
    for settings in ingredients.settings {
        let experiment = experiments
            .iter()
            .find(|experiment| experiment.name() == settings.name)
            .ok_or_else(|| format!("experiment {} has no code; this is a bug", settings.name))?;
        cells.extend(experiment.cells(ingredients.context, settings)?);
        for workload in experiment.workloads(ingredients.context, settings)? {
            if !workloads.contains(&workload) {
                workloads.push(workload);
            }
        }
    }
    one_reference_a_group(&mut cells);
    let subjects_used: BTreeSet<&str> = cells.iter().map(|cell| cell.subject.as_str()).collect();
    let subjects =
        ingredients.subjects.into_iter().filter(|subject| subjects_used.contains(subject.id.as_str())).collect();
    let mut settings = ingredients.facts;
    settings.insert("effective_cores".to_owned(), Value::from(ingredients.context.cores));
    for experiment in ingredients.settings {
        let value = serde_json::to_value(experiment).map_err(|error| error.to_string())?;
        settings.insert(format!("experiment.{}", experiment.name), value);
    }
    Ok(Plan {
        schema: record::SCHEMA,
        suite: suite.spec().name.clone(),
        profile: ingredients.profile_name.to_owned(),
        seed: ingredients.seed,
        timestamp: ingredients.timestamp,
        model: ingredients.model,
        subjects,
        workloads,
        cells,
        runs: Runs {
            looks: ingredients.profile.looks.clone(),
            target_share: ingredients.profile.target_share,
            target_half_width: ingredients.profile.target_half_width,
            budget_s: ingredients.profile.budget_s,
            blocks: ingredients.profile.blocks,
        },
        settings,
    })
}

/// The settings of an experiment, as the plan keeps them.
pub fn settings_of(plan: &Plan, experiment: &str) -> Option<ExperimentSettings> {
    plan.settings.get(&format!("experiment.{experiment}")).and_then(|value| serde_json::from_value(value.clone()).ok())
}

/// Rough wall time of one run, s: the blocks as long as they aim to be, warm-up, and the starts of the processes.
pub fn expected_run_s(plan: &Plan) -> f64 {
    let block_ns = |cell: &Cell| match cell.timing {
        Timing::Window { window_ns } => window_ns,
        Timing::Stretch { ref order, span_ns, .. } if matches!(Drive::of(order), Ok(Drive::Limit(_))) => {
            span_ns * TRIES
        }
        Timing::Stretch { span_ns, .. } => span_ns + SERVER_START_NS,
        Timing::First => 5_000_000,
        Timing::Loop | Timing::Each => cell.target_ns,
    };
    let blocks: f64 = plan
        .cells
        .iter()
        .filter(|cell| plan.subjects.iter().any(|subject| subject.id == cell.subject && subject.unavailable.is_none()))
        .map(|cell| {
            let visits = match cell.timing {
                Timing::First | Timing::Stretch { .. } => 1,
                _ => plan.runs.blocks,
            };
            // A block of long calls is one call: 10,000 tokens take about 10 ms in the tokenizer.
            block_ns(cell) as f64 * f64::from(visits) + WARMUP_NS
        })
        .sum();
    let starts: f64 = plan
        .subjects
        .iter()
        .filter(|subject| subject.unavailable.is_none())
        .map(|subject| if subject.kind == "python" { PYTHON_START_S } else { NATIVE_START_S })
        .sum();
    blocks / 1e9 + starts
}

const WARMUP_NS: f64 = 25e6;
/// Half of what a Python server takes to start: the load cells of a strategy share one server.
const SERVER_START_NS: u64 = 1_500_000_000;
/// Rates that a search tries: a few doublings and as many halvings.
const TRIES: u64 = 12;
const PYTHON_START_S: f64 = 3.0;
const NATIVE_START_S: f64 = 0.7;

/// Several experiments and interpreters may each name a reference for the same outputs; the first is the reference.
fn one_reference_a_group(cells: &mut [Cell]) {
    let mut have: BTreeSet<String> = BTreeSet::new();
    for cell in cells {
        if let Some(Check { group, reference }) = &mut cell.check
            && *reference
        {
            *reference = have.insert(group.clone());
        }
    }
}
