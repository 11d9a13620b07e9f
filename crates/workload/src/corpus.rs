//! Makes a workload of bare texts: what a tokenizer is compared on, without a chat around it.

use std::path::Path;

use super::conversation::body;
use super::files::Files;
use super::{Progress, WorkloadError, WorkloadFiles, WorkloadSpec, check_id};

/// What the kind of such a workload begins with: `corpus/english`.
pub const CORPUS: &str = "corpus/";

/// Where the texts come from. This crate knows no engine and no vocabulary, so the caller has them.
pub trait Corpus {
    /// `count` texts of a kind, each of `bytes` bytes less what would cut a character. The same arguments give the same texts.
    ///
    /// # Errors
    /// A sentence when there is no such kind.
    fn texts(&self, kind: &str, bytes: u32, count: u32, seed: u64) -> Result<Vec<String>, String>;
}

/// Writes the pool and the warm-up requests of a `corpus/<kind>` workload into `dir`: the bare text as the prompt, and as a
/// request a chat of one message with the same text. Tokens are not counted.
///
/// # Errors
/// A specification that is not one of a corpus, a kind that the caller does not have, a disk that fails.
pub fn build_corpus(
    spec: &WorkloadSpec,
    seed: u64,
    corpus: &dyn Corpus,
    dir: &Path,
    progress: Progress<'_>,
) -> Result<WorkloadFiles, WorkloadError> {
    check_id(spec)?;
    let kind = spec
        .kind
        .strip_prefix(CORPUS)
        .ok_or_else(|| WorkloadError::spec(spec, format!("the kind must be {CORPUS}<kind>, not {:?}", spec.kind)))?;
    for (what, value) in [("bytes", spec.bytes), ("pool", spec.pool)] {
        if value == 0 {
            return Err(WorkloadError::spec(spec, format!("{what} must be at least 1")));
        }
    }
    let total = spec.pool + spec.warmup;
    progress(0, total);
    let texts = corpus.texts(kind, spec.bytes, total, seed).map_err(|problem| WorkloadError::spec(spec, problem))?;
    let mut files = Files::create(dir, &spec.id)?;
    for (done, text) in (1..).zip(&texts) {
        files.push(&body(std::iter::once((true, text.clone()))), text, 0)?;
        progress(done, total);
    }
    files.finish(spec.clone(), 0)
}
