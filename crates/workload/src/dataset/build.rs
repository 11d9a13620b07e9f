//! Makes the two files of a workload from a dataset.

use std::path::Path;

use super::super::files::Files;
use super::super::rng::Stream;
use super::super::{Progress, Prompt, WorkloadError, WorkloadFiles, WorkloadSpec, check_id};
use super::{Dataset, DatasetError};

/// What to do with a conversation that the model's chat template refuses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnTemplateError {
    /// Stop and name the conversation.
    #[default]
    Fail,
    /// Take another one; [`WorkloadFiles::skipped`] counts them.
    Skip,
}

/// Rendered prompts whose tokens are counted in one call.
const CHUNK: usize = 64;

/// Draws `spec.pool` + `spec.warmup` conversations in an order from `seed`, renders them and writes the two files.
///
/// Where the dataset has fewer, pool and warm-up shrink in proportion (each keeps at least one); the returned `spec` has the
/// real numbers. No conversation is in both, but real conversations may share text.
///
/// # Errors
/// Fewer than two usable conversations; a template that raises (unless skipped); a tokenizer or a disk that fails.
pub fn build_dataset(
    dataset: &Dataset,
    spec: &WorkloadSpec,
    seed: u64,
    prompt: &dyn Prompt,
    dir: &Path,
    on_error: OnTemplateError,
    progress: Progress<'_>,
) -> Result<WorkloadFiles, WorkloadError> {
    check_id(spec)?;
    if spec.pool == 0 || spec.warmup == 0 {
        return Err(WorkloadError::spec(spec, "pool and warmup must be at least 1"));
    }
    let mut order: Vec<usize> = (0..dataset.samples.len()).collect();
    Stream::new(seed, "dataset/order").shuffle(&mut order);
    let wanted = spec.pool + spec.warmup;
    let mut files = Files::create(dir, &spec.id)?;
    let (mut made, mut skipped) = (0u32, 0u32);
    let mut refused = None;
    let mut order = order.into_iter().map(|index| &dataset.samples[index]).peekable();
    progress(0, wanted);
    while made < wanted && order.peek().is_some() {
        let (mut bodies, mut texts) = (Vec::new(), Vec::new());
        let room = CHUNK.min((wanted - made) as usize);
        for sample in order.by_ref() {
            match prompt.render(&sample.body) {
                Ok(text) => {
                    bodies.push(&sample.body);
                    texts.push(text);
                }
                Err(message) => {
                    let error = DatasetError::Template { path: dataset.path.clone(), place: sample.place, message };
                    if on_error == OnTemplateError::Fail {
                        return Err(error.into());
                    }
                    skipped += 1;
                    refused = Some(error);
                }
            }
            if texts.len() == room {
                break;
            }
        }
        let failed = |message| WorkloadError::Model { id: spec.id.clone(), what: "tokenizer", request: made, message };
        let counts = prompt.count(&texts).map_err(failed)?;
        if counts.len() != texts.len() {
            return Err(failed(format!("it counted {} texts of {}", counts.len(), texts.len())));
        }
        for ((body, text), tokens) in bodies.into_iter().zip(&texts).zip(counts) {
            files.push(body, text, tokens)?;
            made += 1;
        }
        progress(made, wanted);
    }
    if made < 2 {
        return Err(match refused {
            Some(error) => error.into(),
            None => DatasetError::TooFew { path: dataset.path.clone(), usable: made as usize }.into(),
        });
    }
    let mut real = spec.clone();
    if made < wanted {
        let share = u64::from(made) * u64::from(spec.warmup) / u64::from(wanted);
        real.warmup = u32::try_from(share).unwrap_or(1).max(1);
        real.pool = made - real.warmup;
    }
    files.finish(real, skipped)
}
