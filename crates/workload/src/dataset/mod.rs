//! Real conversations from a file: ShareGPT JSON, JSON Lines of OpenAI `messages`, or plain text.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod build;
mod conversation;
mod read;

pub use build::{OnTemplateError, build_dataset};

/// What a dataset file holds, as its content shows (its name is not looked at).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatasetFormat {
    /// Objects with `conversations` (also `conversation`, `items`) of `from` and `value`.
    ShareGpt,
    /// Objects with OpenAI `messages`, with or without the rest of a request body.
    Messages,
    /// Paragraphs, each of which becomes one user message.
    Text,
}

/// Where in the file something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// From 1.
    Line(u64),
    /// Index in the JSON array, from 0.
    Item(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Item(item) => write!(f, "item {item} of the array (the first is 0)"),
        }
    }
}

/// One usable conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub place: Place,
    /// A request body whose messages end with one of the user or a tool.
    pub body: Value,
}

/// What became of the conversations of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetSummary {
    /// Conversations (or paragraphs) in the file.
    pub read: u64,
    /// Of which messages were cut off: replies at the end, and in ShareGPT replies before the first question.
    pub cut: u64,
    /// Left out: without a message of the user.
    pub skipped: u64,
    /// Left out: the same as an earlier one.
    pub duplicates: u64,
}

impl fmt::Display for DatasetSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read, cut, skipped, duplicates } = self;
        write!(
            f,
            "{read} conversations read, {cut} of them cut to end with a user or tool message, {skipped} skipped without one, {duplicates} skipped as duplicates"
        )
    }
}

/// The usable conversations of a file, in its order.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    pub path: PathBuf,
    pub format: DatasetFormat,
    pub samples: Vec<Sample>,
    pub summary: DatasetSummary,
}

/// Why a dataset cannot be used. Each sentence names the place in the file.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    #[error("cannot read the dataset {}: {source}; check the path and its permissions", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the dataset {} is empty; give a file with conversations or text", path.display())]
    Empty { path: PathBuf },
    #[error("the dataset {} is not UTF-8 at byte {offset}; convert it, for example with iconv -t UTF-8", path.display())]
    Utf8 { path: PathBuf, offset: u64 },
    #[error("the dataset {} has broken JSON at {place}, column {column}: {message}", path.display())]
    Json { path: PathBuf, place: Place, column: usize, message: String },
    #[error("the dataset {}, {place}: {problem}; correct or remove this conversation", path.display())]
    Sample { path: PathBuf, place: Place, problem: String },
    #[error("the dataset {} has no usable conversation ({summary}); each needs at least one message of the user; check that it is ShareGPT JSON, JSONL of OpenAI messages or plain text", path.display())]
    NoneUsable { path: PathBuf, summary: DatasetSummary },
    #[error(
        "the dataset {} gives {usable} usable conversation, but one to measure and another to warm up are needed; add conversations", path.display()
    )]
    TooFew { path: PathBuf, usable: usize },
    #[error("the dataset {}, {place}: the chat template failed: {message}; repair the conversation or the template, or leave out what fails with --skip-refused", path.display())]
    Template { path: PathBuf, place: Place, message: String },
}

/// Reads all conversations of a file. What it holds is told from its content.
///
/// # Errors
/// A file that cannot be read, is empty or not UTF-8; broken JSON; a wrong role; missing content; no usable conversation.
pub fn dataset(path: &Path) -> Result<Dataset, DatasetError> {
    read::read(path, 0, usize::MAX)
}

/// Reads the whole file as [`dataset`] does, but keeps at most `keep` conversations, each with the same chance (reservoir
/// sampling from `seed`), so that memory stays small however large the file is.
///
/// # Errors
/// As [`dataset`].
pub fn dataset_sample(path: &Path, seed: u64, keep: usize) -> Result<Dataset, DatasetError> {
    read::read(path, seed, keep.max(1))
}
