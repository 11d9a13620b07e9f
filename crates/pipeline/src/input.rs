//! Files that the user names: reading them, and what to say when that fails.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::exit::Failure;

/// Names of a folder that are shown when none is near what was asked for.
const SHOWN: usize = 5;

/// Reads a text file that `option` names.
///
/// # Errors
/// Usage: there is no such file, it may not be read, or it is not UTF-8.
pub fn read_text(option: &str, path: &Path) -> Result<String, Failure> {
    let bytes = fs::read(path).map_err(|error| unreadable(option, path, &error))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::usage(format!("{option} {}: it is not UTF-8 (byte {at}); save it as UTF-8", path.display()))
    })
}

/// Lower-case hex SHA-256 of a file that `option` names, whatever its size.
///
/// # Errors
/// Usage: there is no such file, or it may not be read.
pub fn sha256(option: &str, path: &Path) -> Result<String, Failure> {
    let digest = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hex::encode(hash.finalize())),
                n => hash.update(&buffer[..n]),
            }
        }
    };
    digest().map_err(|error| unreadable(option, path, &error))
}

/// Sees that a file can be read, before anything is set up for it.
///
/// # Errors
/// As [`read_text`].
pub fn check(option: &str, path: &Path) -> Result<(), Failure> {
    File::open(path)
        .and_then(|mut file| file.read(&mut [0]))
        .map(|_| ())
        .map_err(|error| unreadable(option, path, &error))
}

fn unreadable(option: &str, path: &Path, error: &io::Error) -> Failure {
    let problem = match error.kind() {
        ErrorKind::NotFound => not_there(path),
        ErrorKind::IsADirectory => "it is a folder; name a file in it".to_owned(),
        ErrorKind::PermissionDenied => "it may not be read; check its permissions (ls -l shows them)".to_owned(),
        _ => format!("{error}; check that it can be read"),
    };
    Failure::usage(format!("{option} {}: {problem}", path.display()))
}

/// The nearest name in the folder, or what else it has of that kind.
fn not_there(path: &Path) -> String {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = fs::read_dir(folder) else {
        return format!("there is no folder {}; check the path", folder.display());
    };
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    let wanted = path.file_name().unwrap_or_default().to_string_lossy();
    let near = names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&wanted, name), name))
        .filter(|(distance, name)| *distance <= name.len().max(wanted.len()) / 3)
        .min();
    if let Some((_, name)) = near {
        return format!("there is no such file; did you mean `{}`?", path.with_file_name(name).display());
    }
    let kind = path.extension();
    let alike: Vec<&String> = names.iter().filter(|name| Path::new(name).extension() == kind).collect();
    if alike.is_empty() || kind.is_none() {
        return "there is no such file; check the path".to_owned();
    }
    let shown: Vec<&str> = alike.iter().take(SHOWN).map(|name| name.as_str()).collect();
    let more = if alike.len() > SHOWN { ", …" } else { "" };
    format!("there is no such file; check the path (the folder has {}{more})", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        folder
    }

    #[test]
    fn a_near_name_is_offered_and_otherwise_files_of_that_kind() {
        let dir = folder(&["sharegpt.jsonl", "b.jsonl", "notes.md"]);
        let said = |name: &str| check("--dataset", &dir.path().join(name)).unwrap_err().message;
        assert!(said("sharegtp.jsonl").ends_with("sharegpt.jsonl`?"), "{}", said("sharegtp.jsonl"));
        assert!(said("wildchat-1m.jsonl").ends_with("(the folder has b.jsonl, sharegpt.jsonl)"));
        assert!(said("wildchat-1m.json").ends_with("there is no such file; check the path"));
        assert!(said("none/at/all").contains("there is no folder "));
        assert!(check("--dataset", dir.path()).unwrap_err().message.ends_with("it is a folder; name a file in it"));
        assert!(check("--dataset", &dir.path().join("b.jsonl")).is_ok());
    }

    #[test]
    fn a_file_is_hashed_as_its_bytes_are() {
        let dir = folder(&["a"]);
        let hash = sha256("--dataset", &dir.path().join("a")).unwrap();
        assert_eq!(hash, record::hash::sha256_hex(b"x"));
    }
}
