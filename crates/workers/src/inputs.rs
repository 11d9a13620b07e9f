//! The inputs of cells: two files that the parent wrote, read once and shared by all cells that name them.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engines::template::Conversation;
use engines::{EngineError, Tokenizer};
use record::protocol;

/// What is derived from the files once and then only read, by any thread.
type Shared<T> = RefCell<Option<Arc<Vec<T>>>>;

/// Which requests are measured and which are for warming up: `pool` of them, then `warmup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub pool: usize,
    pub warmup: usize,
}

impl Extent {
    pub fn total(self) -> usize {
        self.pool + self.warmup
    }

    /// # Errors
    /// When there are no warm-up requests.
    pub fn can_warm(self) -> Result<(), EngineError> {
        if self.warmup > 0 {
            return Ok(());
        }
        let message = "the workload holds no warm-up requests; give it some, or set the warm-up time to 0";
        Err(EngineError::Failed(message.to_owned()))
    }

    /// The request `step` after `index`, cyclically within the pool or within the warm-up requests.
    pub fn following(self, index: usize, step: usize) -> usize {
        if index < self.pool {
            (index + step) % self.pool
        } else {
            self.pool + (index - self.pool + step) % self.warmup
        }
    }
}

/// Requests and prompts of one workload; each form of them is made at its first use, never in a timed part.
pub struct Inputs {
    pub extent: Extent,
    requests: PathBuf,
    texts: PathBuf,
    lines: Shared<Vec<u8>>,
    conversations: Shared<Conversation>,
    prompts: Shared<String>,
    ids: Shared<Vec<u32>>,
}

impl Inputs {
    pub fn new(inputs: &protocol::Inputs) -> Result<Self, EngineError> {
        if inputs.pool == 0 {
            return Err(EngineError::Failed("the pool of a workload must hold at least one request".to_owned()));
        }
        Ok(Self {
            extent: Extent { pool: inputs.pool as usize, warmup: inputs.warmup as usize },
            requests: inputs.requests.clone(),
            texts: inputs.texts.clone(),
            lines: RefCell::default(),
            conversations: RefCell::default(),
            prompts: RefCell::default(),
            ids: RefCell::default(),
        })
    }

    /// True when `inputs` names the same requests.
    pub fn is(&self, inputs: &protocol::Inputs) -> bool {
        self.requests == inputs.requests
            && self.texts == inputs.texts
            && self.extent == Extent { pool: inputs.pool as usize, warmup: inputs.warmup as usize }
    }

    /// The requests as a client sent them.
    pub fn lines(&self) -> Result<Arc<Vec<Vec<u8>>>, EngineError> {
        shared(&self.lines, || lines(&self.requests, self.extent.total()))
    }

    /// Messages and tools of the requests, as a server has them after validation.
    pub fn conversations(&self) -> Result<Arc<Vec<Conversation>>, EngineError> {
        shared(&self.conversations, || {
            self.lines()?.iter().enumerate().map(|(index, line)| conversation(&self.requests, index, line)).collect()
        })
    }

    /// The rendered prompts.
    pub fn prompts(&self) -> Result<Arc<Vec<String>>, EngineError> {
        shared(&self.prompts, || {
            let read = |(index, line): (usize, &Vec<u8>)| {
                serde_json::from_slice(line).map_err(|error| broken(&self.texts, index, &error))
            };
            lines(&self.texts, self.extent.total())?.iter().enumerate().map(read).collect()
        })
    }

    /// The prompts' ids by hf-tokenizers' `encode`.
    pub fn ids(&self, tokenizer: &Tokenizer) -> Result<Arc<Vec<Vec<u32>>>, EngineError> {
        shared(&self.ids, || self.prompts()?.iter().map(|prompt| tokenizer.ids(prompt)).collect())
    }
}

fn shared<T>(cell: &Shared<T>, make: impl FnOnce() -> Result<Vec<T>, EngineError>) -> Result<Arc<Vec<T>>, EngineError> {
    if let Some(values) = cell.borrow().as_ref() {
        return Ok(Arc::clone(values));
    }
    let values = Arc::new(make()?);
    *cell.borrow_mut() = Some(Arc::clone(&values));
    Ok(values)
}

fn lines(path: &Path, count: usize) -> Result<Vec<Vec<u8>>, EngineError> {
    let bytes = std::fs::read(path).map_err(|error| {
        EngineError::Failed(format!("the workload file {} cannot be read: {error}", path.display()))
    })?;
    let mut lines: Vec<Vec<u8>> = bytes.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    if lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    if lines.len() < count {
        let message = format!(
            "the workload file {} holds {} lines where {count} are needed; it may be truncated",
            path.display(),
            lines.len()
        );
        return Err(EngineError::Failed(message));
    }
    lines.truncate(count);
    Ok(lines)
}

fn conversation(path: &Path, index: usize, line: &[u8]) -> Result<Conversation, EngineError> {
    let request: serde_json::Value = serde_json::from_slice(line).map_err(|error| broken(path, index, &error))?;
    let tools = request.get("tools").filter(|tools| !tools.is_null());
    Conversation::from_json(&request["messages"], tools).map_err(|error| broken(path, index, &error))
}

fn broken(path: &Path, index: usize, error: &dyn std::fmt::Display) -> EngineError {
    EngineError::Failed(format!("line {} of the workload file {} is broken: {error}", index + 1, path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pool_and_warm_up_requests_cycle_each_within_themselves() {
        let extent = Extent { pool: 4, warmup: 3 };
        assert_eq!((0..6).map(|step| extent.following(2, step)).collect::<Vec<_>>(), [2, 3, 0, 1, 2, 3]);
        assert_eq!((0..5).map(|step| extent.following(5, step)).collect::<Vec<_>>(), [5, 6, 4, 5, 6]);
    }
}
