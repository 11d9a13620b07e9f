//! The tokenizer files of a model on the Hugging Face hub, through the cache that `huggingface_hub` keeps.
//!
//! Written on `ureq` and not on the `hf-hub` crate, whose light line (0.4) knows neither timeouts nor offline mode, shows the
//! token in `Debug`, checks no content, and folds every failure into one kind.
//! What the hub answers is described in <https://huggingface.co/docs/huggingface_hub/package_reference/file_download>,
//! the cache in <https://huggingface.co/docs/huggingface_hub/guides/manage-cache>.

mod client;
mod config;
mod download;
mod error;
mod layout;

use std::path::PathBuf;

pub use config::{HubConfig, Timeouts, Token};
pub use error::HubError;

use super::folder::OTHER_VOCABULARIES;
use super::{CONFIG, TEMPLATE, TOKENIZER};
use client::{Client, Entry};
use layout::RepoCache;

/// All that is ever fetched: no weights, and never code.
const FILES: [&str; 3] = [TOKENIZER, CONFIG, TEMPLATE];

/// How far one file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Name of the file in the repository.
    pub file: &'static str,
    /// Bytes that are here.
    pub done: u64,
    /// Bytes of the whole file.
    pub total: u64,
}

/// A snapshot in the hub's cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Holds the files of one commit, and maybe others that something else fetched.
    pub dir: PathBuf,
    pub commit: String,
    /// Why the cache was taken and the hub not asked; whole sentences.
    pub notes: Vec<String>,
}

/// Brings the tokenizer files of `id` at `revision` (default: `main`) into the hub's cache.
///
/// The hub is asked which commit the revision is; files of it that the cache has are not fetched again. If the hub
/// cannot be reached or fails, but the cache has the revision, that is taken, and a note says so. Nothing is asked in
/// offline mode, nor for a commit that the cache has completely.
pub fn fetch(
    id: &str,
    revision: Option<&str>,
    config: &HubConfig,
    progress: &mut dyn FnMut(&Fetch),
) -> Result<Fetched, HubError> {
    let revision = revision.unwrap_or("main");
    let repo = RepoCache::new(&config.cache, id);
    if config.offline {
        let cached = repo.cached(revision)?;
        return cached.ok_or_else(|| HubError::OfflineMiss {
            id: id.to_owned(),
            revision: revision.to_owned(),
            cache: config.cache.clone(),
        });
    }
    if repo.is_complete(revision, &FILES)
        && let Some(cached) = repo.cached(revision)?
    {
        return Ok(cached);
    }
    match fetch_online(id, revision, config, &repo, progress) {
        Err(e) if e.is_transient() => match repo.cached(revision)? {
            Some(mut cached) => {
                let why = e.reason();
                cached.notes.push(format!("The copy of {id} in the hub's cache is used, because {why}."));
                Ok(cached)
            }
            None => Err(e),
        },
        other => other,
    }
}

fn fetch_online(
    id: &str,
    revision: &str,
    config: &HubConfig,
    repo: &RepoCache,
    progress: &mut dyn FnMut(&Fetch),
) -> Result<Fetched, HubError> {
    let client = Client::new(id, config)?;
    let mut commit: Option<String> = None;
    for file in FILES {
        // From the first answer on by commit, so that a push in between cannot mix two versions.
        let at = commit.as_deref().unwrap_or(revision);
        match client.head(at, file)? {
            Entry::File(meta) => {
                let commit = commit.get_or_insert(meta.commit.clone());
                download::ensure(&client, repo, commit, file, &meta, progress)?;
            }
            Entry::Missing if file == TOKENIZER => {
                return Err(HubError::NoTokenizer { id: id.to_owned(), other: other_vocabulary(&client, revision)? });
            }
            Entry::Missing => {
                if let Some(commit) = &commit {
                    repo.mark_missing(commit, file);
                }
            }
        }
    }
    // The loop returned unless its first file was there, which set the commit.
    let commit = commit.unwrap_or_default();
    repo.write_ref(revision, &commit)?;
    Ok(Fetched { dir: repo.snapshot(&commit), commit, notes: Vec::new() })
}

/// The vocabulary of another shape that the repository has; asked for by name only, not fetched.
fn other_vocabulary(client: &Client, revision: &str) -> Result<Option<(&'static str, &'static str)>, HubError> {
    for (name, what) in OTHER_VOCABULARIES {
        if matches!(client.head(revision, name)?, Entry::File(_)) {
            return Ok(Some((name, what)));
        }
    }
    Ok(None)
}
