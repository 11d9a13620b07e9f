//! Every native tokenizer engine, loaded from the `tokenizer.json` of a model folder, behind one trait.
//!
//! [`KINDS`] is the table of them; what a build tells of versions, what `llmbench list` shows, what experiment 7 and the
//! sidecar choose from are read from it. None adds special tokens around the text; all recognise added tokens in it, as the
//! stable `tokenizers` does. An engine that cannot represent a tokenizer says [`EngineError::Unavailable`] with the reason,
//! at loading and never in a call.
//!
//! Two engines split one long text over threads of their own, which makes a comparison of one thread unequal.
//! `TOKENIZERS_PARALLELISM=false` (or `RAYON_NUM_THREADS=1`) and `FASTOKENS_BPE_THREADS=1` in the environment of the process
//! switch that off ([`ONE_THREAD`]); both are read once, so they must be set before the process starts.

mod added;
mod backtracking;
mod byte_level;
pub mod choose;
#[cfg(feature = "fastokens")]
mod fast;
mod gate;
mod hf;
#[cfg(feature = "hf-tokenizers-rc")]
mod hf_rc;
#[cfg(feature = "kitoken")]
mod kit;
pub mod load_cost;
mod loaded;
mod split;
mod tiktoken;

use std::path::Path;

pub use gate::{Difference, difference};
pub use loaded::Loaded;

use self::loaded::{Load, file};
use crate::engine::EngineError;

/// Name of the engine whose ids are the truth.
pub const REFERENCE: &str = crate::tokenize::ENGINE;

/// Environment variables under which every engine uses the calling thread alone.
pub const ONE_THREAD: [(&str, &str); 3] =
    [("TOKENIZERS_PARALLELISM", "false"), ("RAYON_NUM_THREADS", "1"), ("FASTOKENS_BPE_THREADS", "1")];

/// An engine and how it is loaded.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub engine: &'static str,
    /// Name of the package, as [`crate::versions::of`] knows it.
    pub package: &'static str,
    pub call_paths: &'static [&'static str],
    /// What a server calls on it: the path that stays in the calling thread.
    pub server: &'static str,
    /// A server that is not told an engine chooses among those that race; the others are slower than one of them on every
    /// text that was tried, and are had by name.
    races: bool,
    /// Loads `tokenizer.json`; `None` where this build does not hold the engine.
    load: Option<Load>,
}

impl Kind {
    /// True when the engine was compiled in.
    pub fn is_built(&self) -> bool {
        self.load.is_some()
    }
}

/// Writes [`KINDS`]. `calls` are the call paths, the plain one first; the feature behind `if` is the one that compiles the engine in.
macro_rules! kinds {
    ($($engine:literal of $package:literal, calls $calls:expr, server $server:literal, races $races:literal, $load:path $(, if $feature:literal)?;)+) => {
        /// All engines, the reference first. A new one is its file here, its line in this table and its package in Cargo.toml.
        pub const KINDS: &[Kind] = &[$(Kind {
            engine: $engine,
            package: $package,
            call_paths: &$calls,
            server: $server,
            races: $races,
            $(#[cfg(feature = $feature)])?
            load: Some($load),
            $(#[cfg(not(feature = $feature))]
            load: None,)?
        }),+];
    };
}

kinds! {
    // Every tokenizer that there is; the reference.
    "hf-tokenizers" of "tokenizers", calls crate::tokenize::CALL_PATHS, server "encode_fast", races false, hf::load;
    // Every tokenizer that there is.
    "hf-tokenizers-rc" of "tokenizers-rc", calls ["encode", "encode_into", "encode_batch"], server "encode_into", races true, hf_rc::load, if "hf-tokenizers-rc";
    // Byte-level BPE behind one split pattern.
    "tiktoken-rs" of "tiktoken-rs", calls ["encode"], server "encode", races false, tiktoken::load;
    // Byte-level BPE.
    "bpe" of "bpe", calls ["encode_via_backtracking"], server "encode_via_backtracking", races false, backtracking::load;
    // Most tokenizers.
    "kitoken" of "kitoken", calls ["encode"], server "encode", races false, kit::load, if "kitoken";
    // Most BPE.
    "fastokens" of "fastokens", calls ["encode", "encode_batch"], server "encode", races true, fast::load, if "fastokens";
}

/// The engine of that name.
pub fn kind(engine: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.engine == engine)
}

/// Loads the `tokenizer.json` of `model`, a folder, with `engine`.
///
/// # Errors
/// [`EngineError::Unavailable`] when there is no such engine, this build does not hold it, or it cannot represent the
/// tokenizer; [`EngineError::Failed`] when the file cannot be read or is broken.
pub fn load(engine: &str, model: &Path) -> Result<Box<dyn Loaded>, EngineError> {
    let Some(kind) = kind(engine) else {
        let known: Vec<&str> = KINDS.iter().map(|kind| kind.engine).collect();
        return Err(EngineError::Unavailable(format!("there is no engine {engine}; there are: {}", known.join(", "))));
    };
    let Some(load) = kind.load else {
        return Err(EngineError::Unavailable(format!(
            "this build was made without {engine}; build it with --features all-engines"
        )));
    };
    load(&file(model))
}
