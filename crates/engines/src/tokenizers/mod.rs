//! Every native tokenizer engine, loaded from the `tokenizer.json` of a model folder, behind one trait.
//!
//! | engine | package | call paths | which tokenizers |
//! |---|---|---|---|
//! | `hf-tokenizers` | `tokenizers`, stable | `encode`, `encode_fast`, `encode_batch` | all; the reference |
//! | `hf-tokenizers-rc` | `tokenizers`, 1.0 release candidate | `encode`, `encode_into`, `encode_batch` | all |
//! | `tiktoken-rs` | `tiktoken-rs` | `encode` | byte-level BPE behind one split pattern |
//! | `bpe` | `bpe` | `encode_via_backtracking` | byte-level BPE |
//! | `kitoken` | `kitoken` | `encode` | most |
//! | `fastokens` | `fastokens` | `encode`, `encode_batch` | most BPE |
//!
//! None adds special tokens around the text; all recognise added tokens in it, as the stable `tokenizers` does. An engine
//! that cannot represent a tokenizer says [`EngineError::Unavailable`] with the reason, at loading and never in a call.
//!
//! Two engines split one long text over threads of their own, which makes a comparison of one thread unequal.
//! `TOKENIZERS_PARALLELISM=false` (or `RAYON_NUM_THREADS=1`) and `FASTOKENS_BPE_THREADS=1` in the environment of the process
//! switch that off ([`ONE_THREAD`]); both are read once, so they must be set before the process starts.

mod added;
mod backtracking;
mod byte_level;
mod choose;
#[cfg(feature = "fastokens")]
mod fast;
mod gate;
mod hf;
#[cfg(feature = "hf-tokenizers-rc")]
mod hf_rc;
#[cfg(feature = "kitoken")]
mod kit;
mod load_cost;
mod split;
mod tiktoken;

use std::path::{Path, PathBuf};

pub use choose::{Candidate, Chosen, choose};
pub use gate::{Difference, difference};
pub use load_cost::{LoadCost, load_cost};

use crate::engine::EngineError;
use crate::tokenize::Tokenize;

/// Name of the engine whose ids are the truth.
pub const REFERENCE: &str = crate::tokenize::ENGINE;

/// Environment variables under which every engine uses the calling thread alone.
pub const ONE_THREAD: [(&str, &str); 3] =
    [("TOKENIZERS_PARALLELISM", "false"), ("RAYON_NUM_THREADS", "1"), ("FASTOKENS_BPE_THREADS", "1")];

/// A loaded tokenizer of some engine. Its call paths share it, from any thread.
pub trait Loaded: Send + Sync {
    /// The call path of that name, if the engine has it.
    fn call_path(&self, name: &str) -> Option<Box<Tokenize>>;
}

type Load = fn(&Path) -> Result<Box<dyn Loaded>, EngineError>;

/// An engine and how it is loaded.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub engine: &'static str,
    pub call_paths: &'static [&'static str],
    /// Name of the package, as [`crate::versions::of`] knows it.
    pub package: &'static str,
    /// Loads `tokenizer.json`; `None` where this build does not hold the engine.
    load: Option<Load>,
}

impl Kind {
    /// True when the engine was compiled in.
    pub fn is_built(&self) -> bool {
        self.load.is_some()
    }
}

/// All engines, the reference first.
pub const KINDS: [Kind; 6] = [
    Kind { engine: REFERENCE, call_paths: &crate::tokenize::CALL_PATHS, package: "tokenizers", load: Some(hf::load) },
    Kind {
        engine: "hf-tokenizers-rc",
        call_paths: &["encode", "encode_into", "encode_batch"],
        package: "tokenizers-rc",
        #[cfg(feature = "hf-tokenizers-rc")]
        load: Some(hf_rc::load),
        #[cfg(not(feature = "hf-tokenizers-rc"))]
        load: None,
    },
    Kind { engine: "tiktoken-rs", call_paths: &["encode"], package: "tiktoken-rs", load: Some(tiktoken::load) },
    Kind { engine: "bpe", call_paths: &["encode_via_backtracking"], package: "bpe", load: Some(backtracking::load) },
    Kind {
        engine: "kitoken",
        call_paths: &["encode"],
        package: "kitoken",
        #[cfg(feature = "kitoken")]
        load: Some(kit::load),
        #[cfg(not(feature = "kitoken"))]
        load: None,
    },
    Kind {
        engine: "fastokens",
        call_paths: &["encode", "encode_batch"],
        package: "fastokens",
        #[cfg(feature = "fastokens")]
        load: Some(fast::load),
        #[cfg(not(feature = "fastokens"))]
        load: None,
    },
];

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

/// The tokenizer's file in a model folder.
fn file(model: &Path) -> PathBuf {
    model.join("tokenizer.json")
}

/// Reads the file, or says what is wrong with it in the words of the stable engine.
fn read(path: &Path) -> Result<Vec<u8>, EngineError> {
    std::fs::read(path).map_err(|error| {
        EngineError::Failed(format!("{} cannot be read: {error}; give a model folder that holds it", path.display()))
    })
}

/// What an engine says of a tokenizer that it does not take.
fn unfit(engine: &str, path: &Path, reason: impl std::fmt::Display) -> EngineError {
    EngineError::Unavailable(format!(
        "{engine} cannot represent {}: {reason}; leave this engine out for this model",
        path.display()
    ))
}
