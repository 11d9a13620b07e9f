//! The user's cache folder: models, Python environments and worker sources that can be made again at any time.
//!
//! Everything in it appears under its final name only when it is complete, so that a crash, a full disk or a second
//! process at the same moment leaves nothing half-made to be trusted later.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use thiserror::Error;

/// Names the cache folder, ahead of the platform's own.
pub const CACHE_VAR: &str = "LLMBENCH_CACHE";

/// Why something could not be put into the cache.
#[derive(Debug, Error)]
pub enum CacheError {
    #[error("no home folder is known for this user, so there is no place for a cache: set {CACHE_VAR} to a folder")]
    NoHome,
    #[error("no space is left for {}: free some, or set {CACHE_VAR} to a folder on another disk", path.display())]
    Full { path: PathBuf },
    #[error("{} cannot be written ({reason}): set {CACHE_VAR} to a folder that can be written", path.display())]
    Denied { path: PathBuf, reason: String },
    #[error(
        "{} has been locked by another process for {waited_s} s: wait for it or end it, then try again",
        path.display()
    )]
    Locked { path: PathBuf, waited_s: u64 },
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

impl CacheError {
    /// The error of a failed write, create or rename of `path`, told apart by what the user can do about it.
    pub fn writing(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full { path },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotADirectory => {
                let reason = source.to_string();
                Self::Denied { path, reason }
            }
            _ => Self::Io { action, path, source },
        }
    }
}

/// The cache folder, made if it is not there: `LLMBENCH_CACHE`, or `llmbench` in the platform's cache folder
/// (`$XDG_CACHE_HOME` or `~/.cache` on Linux, `~/Library/Caches` on macOS).
pub fn root() -> Result<PathBuf, CacheError> {
    root_from(std::env::var_os(CACHE_VAR), dirs::cache_dir())
}

fn root_from(var: Option<OsString>, platform: Option<PathBuf>) -> Result<PathBuf, CacheError> {
    let dir = match var.filter(|v| !v.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => platform.ok_or(CacheError::NoHome)?.join("llmbench"),
    };
    // Workers start in folders of their own, so a relative path would mean another place to them.
    let dir = std::path::absolute(&dir).map_err(|e| CacheError::writing("find", &dir, e))?;
    make_dir(&dir)?;
    Ok(dir)
}

/// Makes a folder and its parents.
pub fn make_dir(dir: &Path) -> Result<(), CacheError> {
    match fs::create_dir_all(dir) {
        Ok(()) => Ok(()),
        // A file of that name: "File exists" alone would puzzle.
        Err(_) if dir.is_file() => {
            Err(CacheError::Denied { path: dir.to_path_buf(), reason: "it is a file, not a folder".into() })
        }
        Err(e) => Err(CacheError::writing("make", dir, e)),
    }
}

/// How long a repair of a folder waits for another one.
const REPAIR_PATIENCE: Duration = Duration::from_secs(60);

/// Writes the folder `parent/name` with exactly these files (paths relative to it, bytes) and returns its path.
///
/// The folder is written under a temporary name and renamed, so it is there completely or not at all. One that is there
/// already is kept if its files are these, and replaced otherwise. Two processes that install the same folder at the
/// same time both succeed.
pub fn install(parent: &Path, name: &str, files: &[(&str, &[u8])]) -> Result<PathBuf, CacheError> {
    let target = parent.join(name);
    if holds(&target, files) {
        return Ok(target);
    }
    make_dir(parent)?;
    let staged = temporary(parent, name);
    let result = write_all(&staged, files).and_then(|()| swap_in(&staged, &target, files));
    if result.is_err() {
        let _ = fs::remove_dir_all(&staged);
    }
    result.map(|()| target)
}

/// A name beside the final one that no other process or thread uses.
pub(crate) fn temporary(parent: &Path, name: &str) -> PathBuf {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    parent.join(format!(".{name}.{}-{n}.tmp", std::process::id()))
}

/// Writes a file under a temporary name beside its final one and renames it.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
    let staged = temporary(path.parent().unwrap_or(Path::new(".")), &name.unwrap_or_default());
    let result = write(&staged, bytes)
        .and_then(|()| fs::rename(&staged, path).map_err(|e| CacheError::writing("rename", path, e)));
    if result.is_err() {
        let _ = fs::remove_file(&staged);
    }
    result
}

fn write_all(dir: &Path, files: &[(&str, &[u8])]) -> Result<(), CacheError> {
    make_dir(dir)?;
    for (name, bytes) in files {
        let path = dir.join(name);
        if let Some(parent) = path.parent() {
            make_dir(parent)?;
        }
        write(&path, bytes)?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
    let io = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        // Some file systems report a full disk only here.
        file.sync_all()
    };
    io().map_err(|e| CacheError::writing("write", path, e))
}

/// Puts the staged folder into place. A damaged one is moved away under a lock: without it, one of two repairers could move
/// away what the other has just mended, or take the moment in which nothing is there for a failure.
fn swap_in(staged: &Path, target: &Path, files: &[(&str, &[u8])]) -> Result<(), CacheError> {
    let taken = |e: &io::Error| matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists);
    match fs::rename(staged, target) {
        Ok(()) => return Ok(()),
        Err(e) if !taken(&e) && !target.exists() => return Err(CacheError::writing("rename", target, e)),
        Err(_) => {}
    }
    let parent = target.parent().unwrap_or(Path::new("."));
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let _lock = Lock::acquire(&parent.join(format!(".{name}.lock")), REPAIR_PATIENCE, &mut || {})?;
    // Who installs for the first time holds no lock, so the place can be filled between our two renames; what fills it
    // then is the same content, unless a process of another content uses the same name.
    for _ in 0..8 {
        if holds(target, files) {
            let _ = fs::remove_dir_all(staged);
            return Ok(());
        }
        let old = temporary(parent, "old");
        if fs::rename(target, &old).is_ok() {
            let _ = fs::remove_dir_all(&old);
        }
        match fs::rename(staged, target) {
            Ok(()) => return Ok(()),
            Err(e) if taken(&e) => {}
            Err(e) => return Err(CacheError::writing("rename", target, e)),
        }
    }
    let source = io::Error::other("other processes keep replacing it");
    Err(CacheError::writing("rename", target, source))
}

/// True if every file is there with these bytes.
fn holds(dir: &Path, files: &[(&str, &[u8])]) -> bool {
    dir.is_dir()
        && files.iter().all(|(name, bytes)| {
            let path = dir.join(name);
            // The length first: most differences show there, without reading megabytes.
            fs::metadata(&path).is_ok_and(|m| m.is_file() && m.len() == bytes.len() as u64)
                && fs::read(&path).is_ok_and(|found| found == *bytes)
        })
}

/// An exclusive lock between processes, held until it is dropped. The kernel frees it when its holder dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits up to `patience` for the lock on `path` (a file of its own, which stays there). `on_wait` is called once if
    /// another process holds it.
    pub fn acquire(path: &Path, patience: Duration, on_wait: &mut dyn FnMut()) -> Result<Self, CacheError> {
        if let Some(parent) = path.parent() {
            make_dir(parent)?;
        }
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
        let file = file.map_err(|e| CacheError::writing("open", path, e))?;
        let start = Instant::now();
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) => {}
                // Some network file systems have no locks. Names that are written last still keep what is made whole;
                // only the work may be done twice.
                Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => return Ok(Self { _file: file }),
                Err(TryLockError::Error(e)) => return Err(CacheError::writing("lock", path, e)),
            }
            if !told {
                on_wait();
                told = true;
            }
            if start.elapsed() >= patience {
                return Err(CacheError::Locked { path: path.to_path_buf(), waited_s: patience.as_secs() });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_wins_and_an_empty_one_is_none() {
        let tmp = tempfile::tempdir().unwrap();
        let named = tmp.path().join("a/b");
        let platform = Some(tmp.path().join("xdg"));
        assert_eq!(root_from(Some(named.clone().into()), platform.clone()).unwrap(), named);
        assert!(named.is_dir());
        assert_eq!(root_from(Some("".into()), platform).unwrap(), tmp.path().join("xdg/llmbench"));
        assert!(matches!(root_from(None, None), Err(CacheError::NoHome)));
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let tmp = tempfile::tempdir().unwrap();
        let file = tmp.path().join("taken");
        fs::write(&file, "x").unwrap();
        for place in [file.clone(), file.join("below")] {
            let message = root_from(Some(place.into()), None).unwrap_err().to_string();
            assert!(message.contains("taken") && message.contains(CACHE_VAR), "{message}");
        }
    }

    #[test]
    fn a_full_disk_names_the_remedy() {
        let e = CacheError::writing("write", Path::new("/c/f"), io::Error::from(ErrorKind::StorageFull));
        assert!(e.to_string().contains("no space is left for /c/f"), "{e}");
    }

    #[test]
    fn install_repairs_and_survives_races() {
        let tmp = tempfile::tempdir().unwrap();
        let files: [(&str, &[u8]); 2] = [("a.txt", b"one"), ("sub/b.txt", b"two")];
        let dir = install(tmp.path(), "x", &files).unwrap();
        assert_eq!(fs::read(dir.join("sub/b.txt")).unwrap(), b"two");
        // Many rounds: the moment in which one repairer finds nothing where another works is short.
        for _ in 0..10 {
            fs::write(dir.join("a.txt"), "bad").unwrap();
            std::thread::scope(|s| {
                for _ in 0..8 {
                    s.spawn(|| install(tmp.path(), "x", &files).unwrap());
                }
            });
            assert_eq!(fs::read(dir.join("a.txt")).unwrap(), b"one");
        }
        let mut left: Vec<_> = fs::read_dir(tmp.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".x.lock", "x"], "nothing temporary stays");
    }

    #[test]
    fn a_lock_excludes_until_it_is_dropped() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("locks/l");
        let held = Lock::acquire(&path, Duration::ZERO, &mut || {}).unwrap();
        let mut waited = 0;
        let second = Lock::acquire(&path, Duration::ZERO, &mut || waited += 1);
        assert!(matches!(second, Err(CacheError::Locked { .. })));
        assert_eq!(waited, 1);
        drop(held);
        assert!(Lock::acquire(&path, Duration::ZERO, &mut || {}).is_ok());
    }
}
