//! The one trait that every engine stands behind, and what it can fail with.

/// An implementation of one operation: a call path of an engine.
///
/// A call does all the work of the operation, as a server's call would: it owns what it returns, and it keeps nothing
/// between calls but what the engine itself keeps in production (`tokenizers` caches words per thread).
pub trait Engine: Send + Sync {
    type Input: ?Sized;
    type Output;

    /// One call.
    fn run(&self, input: &Self::Input) -> Result<Self::Output, EngineError>;
}

/// Why an engine could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The engine failed on this input.
    #[error("{0}")]
    Failed(String),
    /// The engine or the call path is not to be had here; the message has the remedy.
    #[error("{0}")]
    Unavailable(String),
}

impl EngineError {
    /// [`EngineError::Failed`] from what an engine says.
    pub fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}
