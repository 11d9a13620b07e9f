//! From settings, and what is known of the provisions, to a plan.

use std::collections::BTreeMap;

use record::plan::Plan;
use serde_json::Value;

use super::exit::{Exit, Failure};
use super::input;
use super::provisions::Expected;
use super::settings::Settings;
use super::subjects::Found;
use suites::planning::{self, Ingredients};
use suites::settings::PlanContext;

/// The plan of the settings: the same settings on the same provisions give the same.
///
/// # Errors
/// Usage, with the sentence of the experiment whose settings leave nothing to measure; nothing selected where no cell is left.
pub fn of(settings: &Settings, expected: &Expected) -> Result<Plan, Failure> {
    let mut facts: BTreeMap<String, Value> = BTreeMap::new();
    if let Some(path) = &settings.dataset {
        facts.insert("dataset_sha256".to_owned(), Value::from(input::sha256("--dataset", path)?));
    }
    let ingredients = Ingredients {
        profile_name: settings.profile_name.name(),
        profile: &settings.profile,
        settings: &settings.experiment_settings,
        context: &context(settings, expected),
        model: expected.model.clone(),
        subjects: expected.subjects.iter().map(|found| found.spec.clone()).collect(),
        seed: settings.seed,
        timestamp: expected.timestamp,
        facts,
    };
    let plan = planning::plan(settings.suite.as_ref(), ingredients).map_err(Failure::usage)?;
    if plan.cells.is_empty() {
        return Err(Failure::new(Exit::NothingSelected, "the settings leave no cell to measure"));
    }
    Ok(plan)
}

/// The subjects by what they are for.
fn context(settings: &Settings, expected: &Expected) -> PlanContext {
    let (mut subjects, mut drivers, mut variants) = (Vec::new(), Vec::new(), Vec::new());
    for Found { planned, .. } in &expected.subjects {
        let kind = match (planned.serves.is_empty(), planned.variant_of.is_empty()) {
            (false, _) => &mut drivers,
            (true, false) => &mut variants,
            (true, true) => &mut subjects,
        };
        kind.push(planned.clone());
    }
    let workload = settings.workload.clone();
    PlanContext { subjects, drivers, variants, cores: expected.cores, tiktoken: expected.tiktoken, workload }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{ProfileName, RunOptions};
    use record::plan::Cell;
    use suites::axes::AxisValue;

    fn plan(experiments: &[&str]) -> Plan {
        let options = RunOptions {
            profile: Some(ProfileName::Quick),
            experiments: experiments.iter().map(|id| (*id).to_owned()).collect(),
            python: vec!["/nonexistent".to_owned()],
            axes: BTreeMap::from([("tokens".to_owned(), vec![AxisValue::Number(500)])]),
            ..RunOptions::suite("preprocessing")
        };
        let settings = Settings::of(&options).unwrap();
        let machine = crate::probe(std::path::Path::new("."));
        of(&settings, &Expected::of(&settings, &machine).unwrap()).unwrap()
    }

    /// What the command under an experiment measures: the same cells with the same settings, in as many runs and blocks.
    #[test]
    fn an_experiment_alone_is_planned_as_among_others() {
        let whole = plan(&["1", "3", "4"]);
        for id in [1, 3, 4] {
            let alone = plan(&[&id.to_string()]);
            let part = |plan: &Plan| -> Vec<Cell> {
                let of = plan.cells.iter().filter(|cell| cell.experiment_id == id).cloned();
                // Of several experiments with the same outputs, the first holds the reference.
                let unreferred = |mut cell: Cell| {
                    cell.check.iter_mut().for_each(|check| check.reference = false);
                    cell
                };
                of.map(unreferred).collect()
            };
            assert!(!part(&alone).is_empty() && part(&alone).len() == alone.cells.len());
            assert_eq!(part(&whole), part(&alone));
            let name = format!("experiment.{}", alone.cells[0].experiment);
            assert_eq!(whole.settings[&name], alone.settings[&name]);
            assert_eq!((&whole.runs.looks, whole.runs.blocks), (&alone.runs.looks, alone.runs.blocks));
        }
    }
}
