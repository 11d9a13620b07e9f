//! What the value of `--model` means.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// A folder here, or a repository on the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSpec {
    Folder(PathBuf),
    Hub {
        /// `org/name`, or one of the hub's old names without an organisation (`gpt2`).
        id: String,
        /// A branch, tag or commit, written `org/name@revision`.
        revision: Option<String>,
    },
}

/// Why a value names no model.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SpecError {
    #[error("--model got an empty value: name a folder or a Hugging Face id, or leave it out for the built-in model")]
    Empty,
    #[error("there is no folder {}: check the path", .0.display())]
    NoFolder(PathBuf),
    #[error("{} is a file: --model takes the folder that holds tokenizer.json", .0.display())]
    File(PathBuf),
    #[error(
        "`{0}` is neither a folder here nor a Hugging Face id: an id is `org/name` or `org/name@revision`, of letters, \
         digits, `-`, `_` and `.`"
    )]
    Neither(String),
}

impl ModelSpec {
    /// A folder that exists wins over an id of the same spelling, as in `transformers`.
    pub fn parse(value: &str) -> Result<Self, SpecError> {
        if value.trim().is_empty() {
            return Err(SpecError::Empty);
        }
        let path = expand_home(value);
        if path.is_dir() {
            return Ok(Self::Folder(path));
        }
        if path.is_file() {
            return Err(SpecError::File(path));
        }
        let looks_like_path = value.starts_with(['/', '.', '~', '\\'])
            || value.ends_with('/')
            || value.contains('\\')
            || value.split('@').next().unwrap_or(value).matches('/').count() > 1;
        if looks_like_path {
            return Err(SpecError::NoFolder(path));
        }
        let (id, revision) = match value.split_once('@') {
            Some((id, revision)) => (id, Some(revision)),
            None => (value, None),
        };
        let good = id.split('/').all(is_id_part) && revision.is_none_or(is_revision);
        if !good {
            return Err(SpecError::Neither(value.to_owned()));
        }
        Ok(Self::Hub { id: id.to_owned(), revision: revision.map(str::to_owned) })
    }
}

/// The hub's rule for each half of an id.
fn is_id_part(part: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric() || c == '_';
    part.len() <= 96
        && part.starts_with(edge)
        && part.ends_with(edge)
        && part.chars().all(|c| edge(c) || c == '-' || c == '.')
        && !part.contains("--")
        && !part.contains("..")
}

/// Becomes a path in the hub's cache and a part of an address, so it may not climb or break out of either.
fn is_revision(revision: &str) -> bool {
    !revision.is_empty()
        && revision.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && revision.split('/').all(|p| !p.trim_matches('.').is_empty())
}

/// `~/` at the start, which a shell leaves alone in `--model=~/x`.
fn expand_home(value: &str) -> PathBuf {
    match (value.strip_prefix("~/"), dirs::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(value),
    }
}

/// The last part of a folder's real path: what the model is called in records.
pub fn folder_name(dir: &Path) -> String {
    let real = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_path_buf());
    match real.file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => real.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(id: &str, revision: Option<&str>) -> Result<ModelSpec, SpecError> {
        Ok(ModelSpec::Hub { id: id.into(), revision: revision.map(str::to_owned) })
    }

    #[test]
    fn ids() {
        assert_eq!(ModelSpec::parse("Qwen/Qwen3-0.6B"), hub("Qwen/Qwen3-0.6B", None));
        assert_eq!(ModelSpec::parse("gpt2"), hub("gpt2", None));
        assert_eq!(ModelSpec::parse("o/n@v1.0"), hub("o/n", Some("v1.0")));
        assert_eq!(ModelSpec::parse("o/n@refs/pr/1"), hub("o/n", Some("refs/pr/1")));
    }

    #[test]
    fn neither_folder_nor_id() {
        assert_eq!(ModelSpec::parse(" "), Err(SpecError::Empty));
        for value in ["o/n@", "o/n@../x", "o n", "o/..", "-o/n", "o/n@a\nb", "https:x", "o/", "ö/n"] {
            assert!(ModelSpec::parse(value).is_err(), "{value}");
        }
        for value in ["./none", "/none/at/all", "a/b/c", "none/"] {
            assert!(matches!(ModelSpec::parse(value), Err(SpecError::NoFolder(_))), "{value}");
        }
    }

    #[test]
    fn folders() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("m@x");
        std::fs::create_dir(&dir).unwrap();
        assert_eq!(ModelSpec::parse(dir.to_str().unwrap()), Ok(ModelSpec::Folder(dir.clone())));
        assert_eq!(folder_name(&dir.join(".")), "m@x");
        let file = dir.join("tokenizer.json");
        std::fs::write(&file, "").unwrap();
        assert_eq!(ModelSpec::parse(file.to_str().unwrap()), Err(SpecError::File(file)));
    }
}
