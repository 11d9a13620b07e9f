//! The server of models that a worker asks, as the worker is told.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Environment variable with the server that is asked, as JSON.
pub const TARGET_VAR: &str = "LLMBENCH_TARGET";

/// The server that is asked; plain data, without a secret in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// How long things may take.
    #[serde(default)]
    pub patience: Patience,
}

/// How long things may take on a slow server, s. Everything that the worker waits for ends within one of these, so that a cell ends with
/// figures or with a sentence that says what to ask for instead; the worker tells what a block may take in all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Patience {
    /// From the first byte of a request to the last of its answer; so long is waited for answers after the last request of a stretch.
    pub request_s: f64,
    /// A stretch of a closed loop is made as long as it takes that users are answered several times, and no longer than this.
    pub stretch_s: f64,
    /// Requests that show the pool of a workload to the server's cache before it is measured.
    pub warm_s: f64,
    /// Arrivals of one rate, in the search for the largest that holds a service level.
    pub try_s: f64,
    /// All rates of such a search, or all numbers of users of a search for the plateau.
    pub search_s: f64,
    /// All requests that compare the ways to ask.
    pub gate_s: f64,
}

impl Default for Patience {
    fn default() -> Self {
        Self { request_s: 120.0, stretch_s: 120.0, warm_s: 60.0, try_s: 60.0, search_s: 600.0, gate_s: 600.0 }
    }
}
