//! The built-in model: the o200k vocabulary as `tokenizer.json`, and a ChatML template of our own.
//!
//! Generated once into the user's cache from the ranks that come inside `tiktoken-rs`, so that every engine, native or
//! Python, gets the same vocabulary without a download. The ids of ordinary text are those of the original engine.
//!
//! # Special tokens
//!
//! | id | token |
//! |---|---|
//! | 199998 | `<\|reserved_199998\|>` (o200k leaves this id free) |
//! | 199999 | `<\|endoftext\|>` (as in o200k; the pad token) |
//! | 200000 | `<\|im_start\|>` |
//! | 200001 | `<\|im_end\|>` (the end-of-turn token) |
//! | 200002 … 200017 | `<\|reserved_200002\|>` … `<\|reserved_200017\|>` |
//! | 200018 | `<\|endofprompt\|>` (as in o200k) |
//!
//! All are single tokens wherever they stand in a text (`tokenizers`: added tokens; `tiktoken`: `allowed_special="all"` with
//! [`TiktokenVocabulary::special_tokens`]). To encode them as ordinary text instead, set `encode_special_tokens`
//! (`tokenizers`) or use `encode_ordinary` (`tiktoken`).

mod files;
mod vocabulary;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use record::protocol::TiktokenVocabulary;
use sha2::{Digest, Sha256};
use tiktoken_rs::O200K_BASE_PAT_STR;

pub use files::CHAT_TEMPLATE;
pub use vocabulary::{LAST_ID, RANKS, special_tokens};

use crate::versions;

/// Raised when the files are generated differently, so that an older cache is not taken for this one.
const GENERATOR: u32 = 1;

/// Last file that is written: `sha256  path` of the others, one a line.
const SUMS: &str = "SHA256SUMS";

const MODEL_DIR: &str = "model";
const RANKS_FILE: &str = "o200k_base.tiktoken";

/// Where the built-in model lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Builtin {
    /// A folder with exactly `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja`.
    pub dir: PathBuf,
    /// What it takes to construct the same vocabulary as a `tiktoken.Encoding` offline.
    pub tiktoken: TiktokenVocabulary,
}

/// Why the built-in model could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuiltinError {
    #[error("cannot write the built-in model to {}: {source}; free some space there or choose another cache folder", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot make the built-in model: {0}; this is a bug, please report it")]
    Vocabulary(String),
}

/// Makes sure that the built-in model is in `cache`, and says where.
///
/// The first call takes about a second and writes 11 MB; `progress` is told the share that is done, from 0 to 1. Later calls
/// verify the files by their SHA-256 and make them again if one is damaged. The folder's name comes from what the
/// content depends on, and it appears by one rename, so that two processes can do this at once.
pub fn ensure(cache: &Path, progress: &dyn Fn(f32)) -> Result<Builtin, BuiltinError> {
    let home = cache.join(format!("builtin-{}", key()));
    if !verified(&home) {
        generate(cache, &home, progress)?;
    }
    progress(1.0);
    Ok(Builtin {
        dir: home.join(MODEL_DIR),
        tiktoken: TiktokenVocabulary {
            name: "o200k_base".to_owned(),
            ranks: home.join(RANKS_FILE),
            pattern: O200K_BASE_PAT_STR.to_owned(),
            special_tokens: special_tokens().into_iter().collect::<BTreeMap<_, _>>(),
        },
    })
}

/// What the content of the files depends on, as 16 hex digits.
fn key() -> String {
    let mut hash = Sha256::new();
    hash.update(GENERATOR.to_le_bytes());
    for part in [versions::of("tiktoken-rs"), O200K_BASE_PAT_STR, CHAT_TEMPLATE] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    for (name, id) in special_tokens() {
        hash.update(name.as_bytes());
        hash.update(id.to_le_bytes());
    }
    hex::encode(&hash.finalize()[..8])
}

/// True when every file is there with the bytes that were written.
fn verified(home: &Path) -> bool {
    let Ok(sums) = fs::read_to_string(home.join(SUMS)) else { return false };
    let mut files = 0;
    for line in sums.lines() {
        let Some((sum, name)) = line.split_once("  ") else { return false };
        match fs::read(home.join(name)) {
            Ok(bytes) if hex::encode(Sha256::digest(&bytes)) == sum => files += 1,
            _ => return false,
        }
    }
    files == 4
}

fn generate(cache: &Path, home: &Path, progress: &dyn Fn(f32)) -> Result<(), BuiltinError> {
    let bug = |error: String| BuiltinError::Vocabulary(error);
    progress(0.0);
    let bpe = tiktoken_rs::o200k_base().map_err(|error| bug(error.to_string()))?;
    progress(0.2);
    let ranks = vocabulary::ranks(&bpe).map_err(bug)?;
    drop(bpe);
    let merges = vocabulary::merges(&ranks, &|share| progress(0.25 + 0.6 * share)).map_err(bug)?;
    let tokenizer = files::tokenizer_json(&ranks, &merges).map_err(|error| bug(error.to_string()))?;
    let config = files::tokenizer_config().map_err(|error| bug(error.to_string()))?;
    progress(0.92);

    let temporary = cache.join(format!(".builtin-{}", unique()));
    let write_error = |source: io::Error| BuiltinError::Write { path: cache.to_owned(), source };
    let written = write_all(
        &temporary,
        &[
            (&format!("{MODEL_DIR}/tokenizer.json"), &tokenizer),
            (&format!("{MODEL_DIR}/tokenizer_config.json"), &config),
            (&format!("{MODEL_DIR}/chat_template.jinja"), CHAT_TEMPLATE.as_bytes()),
            (RANKS_FILE, &files::tiktoken_ranks(&ranks)),
        ],
    )
    .and_then(|()| publish(&temporary, home, cache));
    if written.is_err() {
        // Nothing that is half made stays behind; the first error is the one to tell.
        let _ = fs::remove_dir_all(&temporary);
    }
    written.map_err(write_error)
}

/// A name that no other process and no other thread of this one uses.
fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn write_all(folder: &Path, files: &[(&str, &[u8])]) -> io::Result<()> {
    // Left by a process of the same id that was killed.
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder.join(MODEL_DIR))?;
    let mut sums = String::new();
    for (name, bytes) in files {
        let mut file = fs::File::create(folder.join(name))?;
        file.write_all(bytes)?;
        sums += &format!("{}  {name}\n", hex::encode(Sha256::digest(bytes)));
    }
    fs::write(folder.join(SUMS), sums)
}

/// Moves the finished folder to its place. Another process may have been faster: then its files are used. A damaged
/// folder in the way is moved aside first.
fn publish(temporary: &Path, home: &Path, cache: &Path) -> io::Result<()> {
    for _ in 0..8 {
        match fs::rename(temporary, home) {
            Ok(()) => return Ok(()),
            Err(_) if verified(home) => return fs::remove_dir_all(temporary),
            Err(error) if !home.exists() => return Err(error),
            Err(_) => {
                let aside = cache.join(format!(".builtin-damaged-{}", unique()));
                // Fails when another process moved it first; then the next turn of the loop sees the new state.
                if fs::rename(home, &aside).is_ok() {
                    fs::remove_dir_all(&aside)?;
                }
            }
        }
    }
    Err(io::Error::other("the folder keeps changing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publish_replaces_a_damaged_folder_and_keeps_a_sound_one() {
        let cache = tempfile::tempdir().unwrap();
        let home = cache.path().join("builtin-x");
        let files: [(&str, &[u8]); 4] = [("model/a", b"1"), ("model/b", b"2"), ("model/c", b"3"), ("d", b"4")];

        fs::create_dir_all(home.join("model")).unwrap();
        fs::write(home.join("model/a"), b"torn").unwrap();
        let temporary = cache.path().join("t1");
        write_all(&temporary, &files).unwrap();
        publish(&temporary, &home, cache.path()).unwrap();
        assert!(verified(&home));

        let again = cache.path().join("t2");
        write_all(&again, &files).unwrap();
        publish(&again, &home, cache.path()).unwrap();
        assert!(verified(&home) && !again.exists());

        fs::write(home.join("d"), b"5").unwrap();
        assert!(!verified(&home), "a changed byte is noticed");
    }
}
