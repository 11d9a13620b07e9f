//! What the subjects are given to work on: conversations from a seed, or real ones, written once and read by everyone.
//!
//! [`build`] makes them of words (or letters) so that each rendered prompt has the token count asked for; [`dataset`] and
//! [`build_dataset`] take them from a file; [`build_corpus`] takes bare texts from the caller. All write the same two files.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod author;
mod build;
mod closed;
mod code;
mod conversation;
mod corpus;
mod dataset;
mod draft;
mod files;
mod fine;
mod fit;
mod lexicon;
mod lists;
mod prose;
mod rng;
mod topic;

pub use build::build;
pub use corpus::{CORPUS, Corpus, build_corpus};
pub use dataset::{
    Dataset, DatasetError, DatasetFormat, DatasetSummary, OnTemplateError, Place, Sample, build_dataset, dataset,
    dataset_sample,
};
pub use files::hash;
pub use record::plan::WorkloadSpec;

/// The model's template and tokenizer, as the caller has them.
pub trait Prompt {
    /// The chat template applied to the `messages` and `tools` of a request body, with the generation prompt.
    ///
    /// # Errors
    /// The template's own message when it raises.
    fn render(&self, request: &Value) -> Result<String, String>;

    /// Tokens of each text by the model's tokenizer, nothing added before or after. May work on the texts in parallel.
    ///
    /// # Errors
    /// The tokenizer's own message.
    fn count(&self, texts: &[String]) -> Result<Vec<usize>, String>;
}

/// The files that were written, and what is in them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkloadFiles {
    /// As asked for; of a dataset, with the numbers of requests that it really gave.
    pub spec: WorkloadSpec,
    /// JSON Lines: one OpenAI chat-completions body a line, the pool first and then the warm-up requests.
    pub requests: PathBuf,
    /// JSON Lines: the rendered prompt of the same request as a JSON string.
    pub texts: PathBuf,
    /// Lower-case hex SHA-256 over the bytes of `requests` and then those of `texts`.
    pub sha256: String,
    /// Tokens of the rendered prompts, pool and warm-up. Zeros for a corpus, whose texts are not counted.
    pub tokens: Summary,
    /// Requests of a dataset that were left out because the template raised.
    pub skipped: u32,
}

/// Extremes and mean of a count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub min: u32,
    pub max: u32,
    pub mean: f64,
}

impl Summary {
    /// Of counts; zeros when there are none.
    pub fn of(counts: &[usize]) -> Self {
        let clamp = |n: Option<&usize>| n.map_or(0, |&n| u32::try_from(n).unwrap_or(u32::MAX));
        Self {
            min: clamp(counts.iter().min()),
            max: clamp(counts.iter().max()),
            mean: counts.iter().sum::<usize>() as f64 / counts.len().max(1) as f64,
        }
    }
}

/// Why a workload could not be made.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// The specification itself is wrong.
    #[error("workload {id}: {problem}")]
    Spec { id: String, problem: String },
    /// The template's own text leaves no room for messages.
    #[error(
        "workload {id}: {turns} turns need at least {smallest} tokens with this model's template, and {tokens} were asked for; {remedy}"
    )]
    TooFewTokens { id: String, turns: u32, tokens: u32, smallest: u32, remedy: String },
    /// The corrections did not converge.
    #[error(
        "workload {id}: request {request} has {found} tokens where {tokens} were asked for and could not be brought within 1%; this \
         model's tokenizer or template changes its count with every word, so ask for more tokens or another model"
    )]
    NotReached { id: String, request: u32, tokens: u32, found: usize },
    /// The template or the tokenizer failed.
    #[error("workload {id}: the {what} failed on request {request}: {message}")]
    Model { id: String, what: &'static str, request: u32, message: String },
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    #[error("cannot write {}: {source}; free some space or choose another output folder", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

impl WorkloadError {
    fn spec(spec: &WorkloadSpec, problem: impl Into<String>) -> Self {
        Self::Spec { id: spec.id.clone(), problem: problem.into() }
    }
}

/// The id becomes the name of two files.
fn check_id(spec: &WorkloadSpec) -> Result<(), WorkloadError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if spec.id.is_empty() || spec.id.starts_with('.') || !spec.id.chars().all(plain) {
        return Err(WorkloadError::spec(
            spec,
            "the id names files, so it may hold only letters, digits, '-', '_' and '.'",
        ));
    }
    Ok(())
}

/// Tells how far the making of a workload is: requests done, requests in all.
pub type Progress<'a> = &'a mut dyn FnMut(u32, u32);

/// Where the two files of a workload lie in a folder.
pub fn paths(dir: &Path, id: &str) -> (PathBuf, PathBuf) {
    (dir.join(format!("{id}.requests.jsonl")), dir.join(format!("{id}.texts.jsonl")))
}
