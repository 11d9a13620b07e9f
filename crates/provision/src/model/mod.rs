//! From the value of `--model` to a folder that every subject reads and an identity that no two models share.
//!
//! A value is a folder ([`folder`]) or a Hugging Face id ([`hub`]). Both end in [`normalise`]: three files, checked, under
//! a name that is made from their content. Workers read that copy, so that a model that changes under a running
//! measurement changes nothing.

pub mod folder;
pub mod hub;
pub mod spec;

use std::path::Path;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::cache::{self, CacheError};
use record::plan::ModelIdentity;
use record::protocol::ModelPaths;

pub use folder::FolderError;
pub use hub::{Fetch, HubConfig, HubError};
pub use spec::{ModelSpec, SpecError};

/// Name of the tokenizer's file, in a model's folder and in the normalised one.
pub const TOKENIZER: &str = "tokenizer.json";
/// Name of the file with the special tokens and, in many models, the template.
pub const CONFIG: &str = "tokenizer_config.json";
/// Name of the chat template's file.
pub const TEMPLATE: &str = "chat_template.jinja";

/// A model that can be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The normalised folder. `tiktoken` is none; whoever made the vocabulary knows better and may set it.
    pub paths: ModelPaths,
    pub identity: ModelIdentity,
    /// The commit of the hub that the files come from.
    pub commit: Option<String>,
    /// What the user should know: what was assumed, or why a cached copy was taken. Whole sentences.
    pub notes: Vec<String>,
}

/// Why a model cannot be used.
#[derive(Debug, Error)]
pub enum ModelError {
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// Opens what `--model VALUE` names. Of a Hugging Face id only the three tokenizer files are fetched, and none that the
/// hub's cache has already; `progress` hears of the bytes. `cache_root` is [`cache::root`].
pub fn open(
    value: &str,
    cache_root: &Path,
    hub: &HubConfig,
    progress: &mut dyn FnMut(&Fetch),
) -> Result<Model, ModelError> {
    match ModelSpec::parse(value)? {
        ModelSpec::Folder(dir) => {
            let name = spec::folder_name(&dir);
            normalise(&dir, &name, cache_root)
        }
        ModelSpec::Hub { id, revision } => {
            let fetched = hub::fetch(&id, revision.as_deref(), hub, progress)?;
            let files = folder::read(&fetched.dir, value)?;
            let mut model = store(files, value, cache_root)?;
            model.commit = Some(fetched.commit);
            model.notes.splice(0..0, fetched.notes);
            Ok(model)
        }
    }
}

/// Checks the model in `dir` and copies it to `cache_root/models/<first 16 digits of its SHA-256>`, a folder with exactly
/// `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja`. `name` is what the model is called in records.
pub fn normalise(dir: &Path, name: &str, cache_root: &Path) -> Result<Model, ModelError> {
    store(folder::read(dir, &dir.display().to_string())?, name, cache_root)
}

fn store(files: folder::Files, name: &str, cache_root: &Path) -> Result<Model, ModelError> {
    let list: [(&str, &[u8]); 3] =
        [(TOKENIZER, &files.tokenizer), (CONFIG, &files.config), (TEMPLATE, files.template.as_bytes())];
    let sha256 = digest(&list);
    // Copies, no hard links: someone who edits the original in place must not change what a record names by its hash.
    let dir = cache::install(&cache_root.join("models"), &sha256[..16], &list)?;
    Ok(Model {
        paths: ModelPaths { dir, tiktoken: None },
        identity: ModelIdentity { name: name.to_owned(), sha256 },
        commit: None,
        notes: files.notes,
    })
}

/// SHA-256 over the files in order; each as its name, a zero byte, its length (u64, little-endian) and its bytes, so that
/// no two sets of files read alike.
fn digest(files: &[(&str, &[u8])]) -> String {
    let mut sha = Sha256::new();
    for (name, bytes) in files {
        sha.update(name.as_bytes());
        sha.update([0]);
        sha.update((bytes.len() as u64).to_le_bytes());
        sha.update(bytes);
    }
    hex::encode(sha.finalize())
}
