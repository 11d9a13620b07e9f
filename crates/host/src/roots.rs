//! Where the kernel's files are found.

use std::path::{Path, PathBuf};

/// The roots below which facts are read; the default is this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// `/proc`
    pub proc: PathBuf,
    /// `/sys`
    pub sys: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: PathBuf::from("/proc"), sys: PathBuf::from("/sys") }
    }
}

impl Roots {
    /// A file below `/proc`, without the white space around it; none if it cannot be read.
    pub(super) fn proc(&self, path: &str) -> Option<String> {
        read(&self.proc.join(path))
    }

    /// A file below `/sys`.
    pub(super) fn sys(&self, path: &str) -> Option<String> {
        read(&self.sys.join(path))
    }

    /// Where a path as the kernel writes it is found.
    pub(super) fn locate(&self, path: &str) -> PathBuf {
        let path = Path::new(path);
        if let Ok(rest) = path.strip_prefix("/sys") {
            self.sys.join(rest)
        } else {
            // The kernel shows each process its root folder below /proc.
            self.proc.join("self/root").join(path.strip_prefix("/").unwrap_or(path))
        }
    }
}

/// A file's text without the white space around it; none if it cannot be read.
pub(super) fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// The value of a line `key: value` or `key value` of a file of the kernel.
pub(super) fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(key)?;
        let rest = rest.trim_start();
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        // `cpu` must not find `cpuset`.
        line[key.len()..].starts_with([':', ' ', '\t']).then(|| rest.trim())
    })
}

/// Members of a list as the kernel writes it: `0-3,8` has 0, 1, 2, 3 and 8.
pub(super) fn members(list: &str) -> Option<Vec<u32>> {
    let mut members = Vec::new();
    for part in list.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if last < first || last - first > 65_536 {
            return None;
        }
        members.extend(first..=last);
    }
    (!members.is_empty()).then_some(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_the_kernel() {
        assert_eq!(members("0-3,8\n"), Some(vec![0, 1, 2, 3, 8]));
        assert_eq!(members("0"), Some(vec![0]));
        assert_eq!(members(""), None);
        assert_eq!(members("3-1"), None);
        assert_eq!(members("a-b"), None);
    }

    #[test]
    fn keys_are_whole_words() {
        let text = "cpuset 1\nmodel name\t: AMD EPYC\ncpu  5 6\nMemTotal:   24684084 kB";
        assert_eq!(value_of(text, "cpu"), Some("5 6"));
        assert_eq!(value_of(text, "model name"), Some("AMD EPYC"));
        assert_eq!(value_of(text, "MemTotal"), Some("24684084 kB"));
        assert_eq!(value_of(text, "Swap"), None);
    }

    #[test]
    fn paths_are_found_below_the_roots() {
        let roots = Roots { proc: "p".into(), sys: "s".into() };
        assert_eq!(roots.locate("/sys/fs/cgroup"), PathBuf::from("s/fs/cgroup"));
        assert_eq!(roots.locate("/mnt/cgroup"), PathBuf::from("p/self/root/mnt/cgroup"));
    }
}
