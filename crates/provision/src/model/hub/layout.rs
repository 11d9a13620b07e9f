//! The hub's cache as `huggingface_hub` lays it out: `models--org--name/{blobs,snapshots,refs,.no_exist}`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Fetched, HubError};
use crate::cache;
use crate::model::TOKENIZER;

/// The folder of one model.
#[derive(Debug, Clone)]
pub(super) struct RepoCache {
    dir: PathBuf,
    locks: PathBuf,
}

impl RepoCache {
    pub(super) fn new(cache: &Path, id: &str) -> Self {
        let name = format!("models--{}", id.replace('/', "--"));
        Self { dir: cache.join(&name), locks: cache.join(".locks").join(name) }
    }

    /// Where a file's content lies, by its etag.
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.dir.join("blobs").join(etag)
    }

    /// Where `huggingface_hub` gathers a download too, so each can go on with what the other began.
    pub(super) fn incomplete(&self, etag: &str) -> PathBuf {
        self.dir.join("blobs").join(format!("{etag}.incomplete"))
    }

    /// The lock that `huggingface_hub` takes for the same content.
    pub(super) fn lock(&self, etag: &str) -> PathBuf {
        self.locks.join(format!("{etag}.lock"))
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.dir.join("snapshots").join(commit)
    }

    /// Shows a blob under the file's name in the commit's snapshot.
    pub(super) fn link(&self, commit: &str, file: &str, etag: &str) -> Result<(), HubError> {
        let pointer = self.snapshot(commit).join(file);
        if pointer.exists() {
            return Ok(());
        }
        cache::make_dir(&self.snapshot(commit))?;
        let target = Path::new("../../blobs").join(etag);
        match symlink(&target, &pointer) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == ErrorKind::AlreadyExists && pointer.exists() => Ok(()),
            Err(_) => {
                // A dangling link, or a file system without links, where `huggingface_hub` copies as well.
                let _ = fs::remove_file(&pointer);
                let copied = fs::copy(self.blob(etag), &pointer);
                copied.map(|_| ()).map_err(|e| HubError::io(&pointer, &e))
            }
        }
    }

    /// Notes that the commit has no such file. Only saves requests, so failing is no error.
    pub(super) fn mark_missing(&self, commit: &str, file: &str) {
        let path = self.dir.join(".no_exist").join(commit).join(file);
        if let Some(parent) = path.parent() {
            let _ = fs::create_dir_all(parent).and_then(|()| fs::write(&path, ""));
        }
    }

    /// Notes which commit a branch or tag is.
    pub(super) fn write_ref(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        let path = self.dir.join("refs").join(revision);
        if revision == commit || fs::read_to_string(&path).is_ok_and(|found| found == commit) {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            cache::make_dir(parent)?;
        }
        Ok(cache::write_atomically(&path, commit.as_bytes())?)
    }

    /// What the cache has of a revision, if it has the tokenizer.
    pub(super) fn cached(&self, revision: &str) -> Result<Option<Fetched>, HubError> {
        let path = self.dir.join("refs").join(revision);
        let commit = match fs::read_to_string(&path) {
            Ok(text) => text.trim().to_owned(),
            // No branch or tag of that name: perhaps a commit.
            Err(_) => revision.to_owned(),
        };
        if !is_commit(&commit) {
            return Ok(None);
        }
        let dir = self.snapshot(&commit);
        // `exists` follows the link, so a pointer to a blob that is gone does not count.
        Ok(dir.join(TOKENIZER).exists().then(|| Fetched { dir, commit, notes: Vec::new() }))
    }

    /// True if `revision` is a commit of which each file is here or known not to be.
    pub(super) fn is_complete(&self, revision: &str, files: &[&str]) -> bool {
        let missing = self.dir.join(".no_exist").join(revision);
        is_commit(revision)
            && files.iter().all(|f| self.snapshot(revision).join(f).exists() || missing.join(f).exists())
    }
}

/// A git commit, and so a safe name for a folder.
pub(super) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(std::io::Error::from(ErrorKind::Unsupported))
}
