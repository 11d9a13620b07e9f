//! One file's content, from the hub into the cache: resumed, checked, and shown under its name only when it is right.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::client::{Client, Failure, Metadata};
use super::layout::RepoCache;
use super::{Fetch, HubError};
use crate::cache::{self, Lock};

/// No tokenizer file comes near this; what claims to be larger is something else.
const MAX_BYTES: u64 = 1 << 30;
/// How long another process may take over the same file.
const PATIENCE: Duration = Duration::from_secs(600);

/// Makes sure that the file is in the commit's snapshot, and fetches its content if no snapshot has it yet.
pub(super) fn ensure(
    client: &Client,
    repo: &RepoCache,
    commit: &str,
    file: &'static str,
    meta: &Metadata,
    progress: &mut dyn FnMut(&Fetch),
) -> Result<(), HubError> {
    let blob = repo.blob(&meta.etag);
    // A pointer that is a file of its own is how the cache looks where there are no links.
    let pointer = repo.snapshot(commit).join(file);
    if pointer.exists() {
        return Ok(());
    }
    if !blob.exists() {
        let host = &client.host;
        let _lock = Lock::acquire(&repo.lock(&meta.etag), PATIENCE, &mut || {
            tracing::info!("another process fetches {file} from {host}; waiting for it");
        })?;
        if !blob.exists() {
            download(client, repo, commit, file, meta, progress)?;
        }
    }
    repo.link(commit, file, &meta.etag)
}

fn download(
    client: &Client,
    repo: &RepoCache,
    commit: &str,
    file: &'static str,
    meta: &Metadata,
    progress: &mut dyn FnMut(&Fetch),
) -> Result<(), HubError> {
    if meta.size.is_some_and(|s| s > MAX_BYTES) {
        return Err(client.not_a_hub(&format!("{file} is larger than 1 GiB")));
    }
    let blob = repo.blob(&meta.etag);
    let part = repo.incomplete(&meta.etag);
    if let Some(parent) = blob.parent() {
        cache::make_dir(parent)?;
    }
    client.retry(|| {
        fetch_part(client, &part, commit, file, meta, progress)?;
        check(&part, meta).map_err(|reason| {
            // What is there cannot be completed to the right content, so the next try starts anew.
            let _ = fs::remove_file(&part);
            damaged(client, file, reason)
        })
    })?;
    fs::rename(&part, &blob).map_err(|e| HubError::io(&blob, &e))
}

/// Appends what is missing to the part file; after a failure it keeps what came.
fn fetch_part(
    client: &Client,
    part: &Path,
    commit: &str,
    file: &'static str,
    meta: &Metadata,
    progress: &mut dyn FnMut(&Fetch),
) -> Result<(), Failure> {
    let disk = |e: io::Error| Failure::Final(HubError::io(part, &e));
    let open = OpenOptions::new().create(true).truncate(false).write(true).open(part);
    let mut out = open.map_err(disk)?;
    let mut done = out.seek(SeekFrom::End(0)).map_err(disk)?;
    if meta.size.is_some_and(|size| done > size) {
        done = restart(&mut out).map_err(disk)?;
    }
    if done > 0 && meta.size == Some(done) {
        return Ok(());
    }
    let mut response = client.get(commit, file, done)?;
    let resumed = response.status().as_u16() == 206
        && response
            .headers()
            .get("content-range")
            .is_some_and(|v| v.to_str().is_ok_and(|v| v.starts_with(&format!("bytes {done}-"))));
    if response.status().as_u16() == 416 {
        restart(&mut out).map_err(disk)?;
        return Err(damaged(client, file, "it cannot be resumed".into()));
    }
    if done > 0 && !resumed {
        done = restart(&mut out).map_err(disk)?;
    }
    let total = meta.size.or_else(|| Some(done + response.body().content_length()?)).unwrap_or(0);
    let mut body = response.body_mut().with_config().limit(MAX_BYTES).reader();
    let mut buffer = vec![0; 64 * 1024];
    progress(&Fetch { file, done, total });
    loop {
        match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                out.write_all(&buffer[..n]).map_err(disk)?;
                done += n as u64;
                progress(&Fetch { file, done, total });
            }
            Err(e) => {
                return Err(match ureq::Error::from(e) {
                    ureq::Error::Timeout(_) => Failure::Again(client.silent(&client.host, file), None),
                    e => damaged(client, file, format!("the connection broke after {done} bytes: {e}")),
                });
            }
        }
    }
    match meta.size {
        // Kept for the next try, which asks for the rest.
        Some(size) if done < size => Err(damaged(client, file, format!("only {done} of {size} bytes came"))),
        _ => out.sync_all().map_err(disk),
    }
}

fn restart(out: &mut File) -> io::Result<u64> {
    out.set_len(0)?;
    out.seek(SeekFrom::Start(0))
}

fn damaged(client: &Client, file: &str, reason: String) -> Failure {
    let error =
        HubError::Damaged { id: client.id.to_owned(), file: file.to_owned(), reason, attempts: client.config.attempts };
    Failure::Again(error, None)
}

/// Compares length and hash with what the hub said. An etag of another form than the hub's own says nothing.
fn check(part: &Path, meta: &Metadata) -> Result<(), String> {
    let bytes = fs::read(part).map_err(|e| e.to_string())?;
    if meta.size.is_some_and(|size| size != bytes.len() as u64) {
        return Err(format!("{} bytes came in place of {}", bytes.len(), meta.size.unwrap_or(0)));
    }
    let right = match meta.etag.len() {
        _ if !meta.etag.bytes().all(|b| b.is_ascii_hexdigit()) => true,
        64 => hex::encode(Sha256::digest(&bytes)) == meta.etag,
        // Git's hash of a blob; some mirrors give the plain one.
        40 => {
            let mut git = Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
            git.update(&bytes);
            hex::encode(git.finalize()) == meta.etag || hex::encode(Sha1::digest(&bytes)) == meta.etag
        }
        _ => true,
    };
    if right { Ok(()) } else { Err("its hash is not the one that the hub gives".into()) }
}
