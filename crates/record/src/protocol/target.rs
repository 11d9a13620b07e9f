//! The server of models that a worker asks, as the worker is told.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Environment variable with the server that is asked, as JSON.
pub const TARGET_VAR: &str = "LLMBENCH_TARGET";

/// The server that is asked; plain data, without a secret in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetCommand {
    /// Where it is; none for our mock.
    pub base_url: Option<String>,
    /// The server's name of the model; none: the first of its list.
    pub model: Option<String>,
    /// The environment variable that holds the key.
    pub key_env: Option<String>,
    /// This program, which is the mock as well.
    pub program: PathBuf,
    /// Arguments of the mock.
    pub mock: Vec<String>,
}
