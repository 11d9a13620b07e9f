//! `llmbench run --dry-run`: the plan and how long it would take; nothing is installed, fetched or measured.

use std::fmt::Write as _;

use host::Machine;
use record::plan::{ModelIdentity, Plan};

use super::config::RunConfig;
use super::exit::{Exit, Failure};
use super::{console, run, setup, subjects};
use record::format;
use suites::Suite;
use suites::planning::expected_run_s;
use suites::settings::PlanContext;

/// Prints the plan.
///
/// # Errors
/// As planning itself.
pub fn show(suite: &dyn Suite, config: &RunConfig, machine: &Machine) -> Result<Exit, Failure> {
    let found = if suite.asks_server() { subjects::asker(config)? } else { subjects::expected(config) };
    let name = config.model.clone().unwrap_or_else(|| setup::BUILT_IN.to_owned());
    let planned = subjects::planned_subjects(&found);
    let context = PlanContext {
        subjects: planned.workers,
        drivers: planned.drivers,
        variants: planned.variants,
        cores: machine.effective_cores,
        tiktoken: name == setup::BUILT_IN,
        workload: config.workload.clone(),
    };
    let model = ModelIdentity { name, sha256: String::new() };
    let subjects = found.into_iter().map(|subject| subject.spec).collect();
    let plan = run::make_plan(suite, config, &context, model, subjects, 0)?;
    console::print(&text(&plan, config))
}

/// The plan in words.
pub fn text(plan: &Plan, config: &RunConfig) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "suite      {} ({})", plan.suite, plan.profile);
    let _ = writeln!(out, "model      {}", plan.model.name);
    for subject in &plan.subjects {
        let missing = subject.unavailable.as_ref().map_or(String::new(), |missing| format!(": {}", missing.reason));
        let _ = writeln!(out, "subject    {}{missing}", subject.id);
    }
    for workload in &plan.workloads {
        let shape = if workload.bytes > 0 {
            format!(", {} each", format::bytes(u64::from(workload.bytes)))
        } else if workload.tokens == 0 {
            String::new()
        } else {
            let turns = if workload.turns == 1 { "turn" } else { "turns" };
            format!(", {} tokens in {} {turns}", format::count(u64::from(workload.tokens)), workload.turns)
        };
        let _ = writeln!(
            out,
            "workload   {}: {} requests + {} to warm up{shape}",
            workload.id, workload.pool, workload.warmup
        );
    }
    for experiment in &config.experiments {
        let cells: Vec<_> = plan.cells.iter().filter(|cell| cell.experiment == experiment.name).collect();
        let _ = writeln!(out, "\n{} {}: {} cells", experiment.id, experiment.name, cells.len());
        for cell in cells {
            let _ = writeln!(out, "  {}", cell.id);
        }
    }
    let run_s = expected_run_s(plan);
    let (fewest, most) = (plan.runs.looks.first().copied().unwrap_or(1), plan.runs.looks.last().copied().unwrap_or(1));
    let bounded = |runs: u32| (run_s * f64::from(runs)).min(plan.runs.budget_s.max(run_s));
    let _ = writeln!(
        out,
        "\n{} cells in {} blocks a run; {fewest} to {most} runs of about {}: {} to {} after set-up and calibration",
        plan.cells.len(),
        plan.cells.len() as u32 * plan.runs.blocks,
        minutes(run_s),
        minutes(bounded(fewest)),
        minutes(bounded(most)),
    );
    out
}

fn minutes(seconds: f64) -> String {
    if seconds < 90.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}
