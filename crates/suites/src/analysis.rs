//! From measurements to results: a pure function of what stands in the run folder.

use benchstats::paired;
use record::measurements::Measurements;
use record::plan::Plan;
use record::results::{Results, RunInfo, Status};

use super::planning::settings_of;
use super::{AnalysisInput, Suite};

/// Everything that the suite's experiments say about the measurements.
pub fn analyse(suite: &dyn Suite, info: &RunInfo, measurements: &Measurements) -> Results {
    let plan = &info.plan;
    let mut results = Results {
        schema: record::SCHEMA,
        run_id: info.run_id.clone(),
        suite: plan.suite.clone(),
        experiments: Vec::new(),
        records: Vec::new(),
    };
    for experiment in suite.experiments() {
        let Some(settings) = settings_of(plan, experiment.name()) else { continue };
        let Some(spec) = suite.spec().experiments.iter().find(|spec| spec.name == experiment.name()) else { continue };
        let (result, records) =
            experiment.analyse(&AnalysisInput { plan, info, measurements, settings: &settings, spec });
        results.experiments.push(result);
        results.records.extend(records);
    }
    results
}

/// Relative half-widths of the 95% intervals of all comparisons, for the stopping rule. A comparison of cells that could
/// not be measured is left out: more runs would not mend it.
pub fn half_widths(suite: &dyn Suite, plan: &Plan, measurements: &Measurements) -> Vec<f64> {
    suite
        .experiments()
        .iter()
        .filter(|experiment| settings_of(plan, experiment.name()).is_some())
        .flat_map(|experiment| experiment.comparisons(plan))
        .filter(|(row, baseline)| usable(measurements.status(row)) && usable(measurements.status(baseline)))
        .map(|(row, baseline)| {
            let ratios: Vec<f64> = measurements.ratios(&row, &baseline).into_values().collect();
            paired::of_ratios(&ratios, 0.95).map_or(f64::INFINITY, |paired| paired.half_width_log(0.95).exp_m1())
        })
        .collect()
}

fn usable(status: Status) -> bool {
    matches!(status, Status::Ok | Status::Mismatch | Status::Unchecked)
}
