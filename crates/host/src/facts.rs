//! Collecting facts.

use record::results::{Fact, FactVerdict};

/// The facts found so far.
#[derive(Debug, Default)]
pub(super) struct Facts(Vec<Fact>);

impl Facts {
    pub fn into_vec(self) -> Vec<Fact> {
        self.0
    }

    pub fn ok(&mut self, key: &str, title: &str, value: impl Into<String>) {
        self.add(key, title, value, FactVerdict::Ok, None);
    }

    pub fn info(&mut self, key: &str, title: &str, value: impl Into<String>) {
        self.add(key, title, value, FactVerdict::Info, None);
    }

    pub fn warn(&mut self, key: &str, title: &str, value: impl Into<String>, remedy: impl Into<String>) {
        self.add(key, title, value, FactVerdict::Warn, Some(remedy.into()));
    }

    pub fn bad(&mut self, key: &str, title: &str, value: impl Into<String>, remedy: impl Into<String>) {
        self.add(key, title, value, FactVerdict::Bad, Some(remedy.into()));
    }

    /// Could not be found out here; `remedy` says where it can.
    pub fn unknown(&mut self, key: &str, title: &str, remedy: Option<&str>) {
        self.add(key, title, "unknown", FactVerdict::Unknown, remedy.map(str::to_owned));
    }

    /// The value as information, or unknown.
    pub fn info_or_unknown(&mut self, key: &str, title: &str, value: Option<String>) {
        match value {
            Some(value) => self.info(key, title, value),
            None => self.unknown(key, title, None),
        }
    }

    pub fn add(
        &mut self,
        key: &str,
        title: &str,
        value: impl Into<String>,
        verdict: FactVerdict,
        remedy: Option<String>,
    ) {
        self.0.push(Fact { key: key.to_owned(), title: title.to_owned(), value: value.into(), verdict, remedy });
    }
}

/// `23.5 GiB`
pub(super) fn bytes(bytes: u64) -> String {
    let mebibytes = bytes as f64 / (1 << 20) as f64;
    if mebibytes >= 1024.0 { format!("{:.1} GiB", mebibytes / 1024.0) } else { format!("{mebibytes:.0} MiB") }
}

/// `4.1%` of a share in [0, 1].
pub(super) fn percent(share: f64) -> String {
    format!("{:.1}%", 100.0 * share)
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    impl Facts {
        pub fn get(&self, key: &str) -> &Fact {
            self.0.iter().find(|fact| fact.key == key).unwrap_or_else(|| panic!("no fact {key} in {:?}", self.0))
        }
    }

    /// A fake tree, one file a pair of path (`proc/…`, `sys/…`) and text.
    pub fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, super::super::Roots) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let roots = super::super::Roots { proc: folder.path().join("proc"), sys: folder.path().join("sys") };
        (folder, roots)
    }
}
