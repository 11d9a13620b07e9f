//! What can go wrong while a report is made.

use std::io;
use std::path::{Path, PathBuf};

/// Result of the report.
pub type Result<T> = std::result::Result<T, Error>;

/// One sentence that names the thing and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no space is left on the disk for {}; what was measured is kept: free some space and render again with `llmbench report`",
        path.display()
    )]
    NoSpace { path: PathBuf },
    #[error("cannot write {}: {source}; check that the folder exists and may be written to", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the figure `{figure}` cannot be drawn: {message}; `--no-plots` leaves the figures out")]
    Figure { figure: String, message: String },
    #[error("the report cannot be rendered: {0}; this is a bug of llmbench")]
    Template(#[from] minijinja::Error),
    #[error("the results cannot be written as {format}: {message}; this is a bug of llmbench")]
    Encode { format: &'static str, message: String },
}

impl Error {
    /// A failed write, with a full disk (or quota) told apart.
    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path: path.to_owned() },
            _ => Self::Write { path: path.to_owned(), source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_told_apart_from_a_folder_that_may_not_be_written() {
        const ENOSPC: i32 = 28;
        const EDQUOT: i32 = 122;
        const EACCES: i32 = 13;
        let said = |errno| Error::write(Path::new("run/results.csv"), io::Error::from_raw_os_error(errno)).to_string();
        for errno in [ENOSPC, EDQUOT] {
            let text = said(errno);
            assert!(text.starts_with("no space is left on the disk for run/results.csv"), "{text}");
            assert!(text.contains("llmbench report"), "{text}");
        }
        assert!(said(EACCES).starts_with("cannot write run/results.csv: "), "{}", said(EACCES));
    }
}
