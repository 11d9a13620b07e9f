//! `llmbench run --dry-run`: the plan and how long it would take; nothing is installed, fetched or measured.

use std::fmt::Write as _;

use pipeline::{Exit, Expected, Failure, RunOptions, Settings};
use record::format;
use record::plan::Plan;
use suites::planning::expected_run_s;

use super::console;

/// Prints the plan.
///
/// # Errors
/// As planning itself.
pub fn show(options: &RunOptions) -> Result<Exit, Failure> {
    let resumed = options.resume.as_deref().map(|run| pipeline::resume::open(run, options)).transpose()?;
    let settings = Settings::of(resumed.as_ref().map_or(options, |resumed| &resumed.options))?;
    let expected = Expected::of(&settings, &pipeline::probe(&settings.output))?;
    let plan = pipeline::plan::of(&settings, &expected)?;
    console::print(&text(&plan, &settings))
}

/// The plan in words.
pub fn text(plan: &Plan, settings: &Settings) -> String {
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
    for experiment in &settings.experiments {
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
