//! The requests of a plan, as files of the run folder.

use std::path::Path;

use record::plan::Plan;
use workload::{CORPUS, OnTemplateError, WorkloadError, WorkloadFiles};

use super::exit::Failure;
use super::model::ModelPrompt;
use super::observer::Observer;
use super::settings::Settings;

/// Conversations of a dataset that are kept for each one that is needed.
const KEEP_FACTOR: usize = 4;

/// Conversations that llmbench made are not at fault when a template fails on them.
fn blame(error: WorkloadError) -> Failure {
    match error {
        WorkloadError::Model { id, what: "chat template", message, .. } => Failure::usage(format!(
            "{message} (on a generated conversation, workload {id}; --dataset takes your own); correct the template or choose \
             another model"
        )),
        other => Failure::usage(other),
    }
}

/// Writes every workload of the plan into the run folder.
///
/// # Errors
/// Usage, with the sentence of the workload.
pub fn write(
    plan: &Plan,
    settings: &Settings,
    prompt: &ModelPrompt,
    dir: &Path,
    observer: &dyn Observer,
) -> Result<Vec<WorkloadFiles>, Failure> {
    let requests: u64 = plan.workloads.iter().map(|spec| u64::from(spec.pool + spec.warmup)).sum();
    let step = observer.step("workload", Some(requests));
    let mut before = 0_u64;
    let mut all = Vec::new();
    for spec in &plan.workloads {
        step.detail(&spec.id);
        let mut progress = |done: u32, _of: u32| step.at(before + u64::from(done), requests);
        let files = match &settings.dataset {
            _ if spec.kind.starts_with(CORPUS) => workload::build_corpus(spec, plan.seed, prompt, dir, &mut progress),
            Some(path) => {
                // Some are refused by the template, so more are kept than are needed.
                let keep = KEEP_FACTOR * (spec.pool + spec.warmup) as usize;
                let dataset = workload::dataset_sample(path, plan.seed, keep).map_err(Failure::usage)?;
                let on_refusal = if settings.skip_refused { OnTemplateError::Skip } else { OnTemplateError::Fail };
                workload::build_dataset(&dataset, spec, plan.seed, prompt, dir, on_refusal, &mut progress)
            }
            None => workload::build(spec, plan.seed, prompt, dir, &mut progress),
        }
        .map_err(blame)?;
        before += u64::from(spec.pool + spec.warmup);
        all.push(files);
    }
    step.done(&format!("{} sets, {requests} requests", all.len()));
    Ok(all)
}
