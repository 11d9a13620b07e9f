//! What the lines of `pip` and `uv` mean: how far they are, and why they failed.

use std::path::Path;

use super::child::Outcome;
use super::{EnvError, EnvProgress, Version};

/// How far an installation is, from the lines of the tool.
#[derive(Debug)]
pub(super) struct Meter {
    /// Packages of the lock that this interpreter needs.
    total: usize,
    seen: usize,
}

impl Meter {
    pub(super) fn new(lock: &str) -> Self {
        Self { total: packages(lock), seen: 0 }
    }

    /// Hears a line, and tells what it says about the progress.
    pub(super) fn hear<'l>(&mut self, line: &'l str) -> Option<EnvProgress<'l>> {
        let text = line.trim();
        // pip: a package whose marker does not hold here.
        if text.starts_with("Ignoring ") {
            self.total = self.total.saturating_sub(1);
            return None;
        }
        // uv knows the number of packages after it has read the lock.
        if let Some(rest) = text.strip_prefix("Resolved ") {
            self.total = rest.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(self.total);
            return None;
        }
        if text.starts_with("Installing collected packages") || text.starts_with("Prepared ") {
            return Some(EnvProgress::Installing { total: self.total });
        }
        let name = ["Collecting ", "Requirement already satisfied: ", "Downloaded "]
            .iter()
            .find_map(|start| text.strip_prefix(start))?;
        let name = name.split([' ', '=', '<', '>', '[', ';']).next().unwrap_or(name);
        self.seen = (self.seen + 1).min(self.total);
        Some(EnvProgress::Package { done: self.seen.saturating_sub(1), total: self.total, name })
    }
}

/// Lines of a lock that name a package. Where several stand for several interpreters, the tool says which it ignores.
fn packages(lock: &str) -> usize {
    lock.lines().filter(|l| l.starts_with(|c: char| c.is_ascii_alphanumeric())).count()
}

/// Why the tool failed.
pub(super) fn failure(tool: &'static str, outcome: &Outcome, version: &Version, dir: &Path) -> EnvError {
    let lines: Vec<&str> = outcome.lines.iter().map(|l| l.trim()).filter(|l| !l.is_empty()).collect();
    let find = |words: &[&str]| {
        let hit = |line: &&&str| words.iter().any(|w| line.to_lowercase().contains(w));
        lines.iter().rev().find(hit).map(|line| without_password(line))
    };
    const DISK: [&str; 3] = ["no space left on device", "errno 28", "os error 28"];
    const HASH: [&str; 3] = ["do not match the hashes", "hash mismatch", "hashes are required"];
    const NETWORK: [&str; 15] = [
        "newconnectionerror",
        "name resolution",
        "max retries exceeded",
        "connection refused",
        "connection broken",
        "network is unreachable",
        "proxyerror",
        "readtimeouterror",
        "connecttimeouterror",
        "dns error",
        "error sending request",
        "failed to fetch",
        "sslerror",
        "not a trusted or secure host",
        "could not fetch url",
    ];
    const WHEEL: [&str; 4] =
        ["no matching distribution found for ", "no usable wheels", "has no wheels with", "no wheels are available"];
    if find(&DISK).is_some() {
        return EnvError::Full { tool, dir: dir.to_path_buf() };
    }
    if let Some(line) = find(&HASH) {
        // pip names the package on the next line.
        let next = lines.iter().skip_while(|l| !l.contains("DO NOT MATCH THE HASHES")).nth(1);
        let line = next.map_or(line, |l| without_password(l.trim_end_matches(':')));
        return EnvError::Hash { tool, line: shorten(line.split(" (from ").next().unwrap_or(&line)) };
    }
    // Before the missing wheel: pip finds no distribution either when it cannot ask for one.
    if let Some(line) = find(&NETWORK) {
        return EnvError::Network { tool, line: shorten(cause(&line)) };
    }
    if let Some(line) = find(&WHEEL) {
        let package = match line.split_once("No matching distribution found for ") {
            Some((_, rest)) => rest.split([' ', '(']).next().unwrap_or(rest).to_owned(),
            None => line,
        };
        return EnvError::NoWheel { package, version: version.clone() };
    }
    let line = find(&["error:", "error ", "failed"]).or_else(|| lines.last().map(|l| without_password(l)));
    let line = line.map_or_else(|| "it said nothing".to_owned(), |l| shorten(&l));
    EnvError::Failed { tool, line }
}

/// The system's own words out of a line that wraps them in Python objects.
fn cause(line: &str) -> &str {
    let start = line.rfind("[Errno").unwrap_or(0);
    line[start..].split("')").next().unwrap_or(line)
}

fn shorten(line: &str) -> String {
    match line.char_indices().nth(240) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// The line without what stands between `://` and `@`: an index's address may hold a password.
fn without_password(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        out.push_str(before);
        let host_end = after.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(after.len());
        let at = after[..host_end].rfind('@');
        if at.is_some() {
            out.push_str("***");
        }
        rest = &after[at.unwrap_or(0)..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::super::child::End;
    use super::*;

    fn failed(lines: &[&str]) -> String {
        let end = End::Exit(ExitStatus::from_raw(256));
        let outcome = Outcome { end, lines: lines.iter().map(|l| l.to_string()).collect() };
        let version = Version { major: 3, minor: 13, level: "final".into(), free_threaded: true, ..Version::default() };
        failure("pip", &outcome, &version, Path::new("/cache/envs/x")).to_string()
    }

    #[test]
    fn each_failure_has_its_remedy() {
        let e = failed(&[
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...)': /simple/jinja2/",
            "ERROR: Could not find a version that satisfies the requirement jinja2==3.1.6 (from versions: none)",
            "ERROR: No matching distribution found for jinja2==3.1.6",
        ]);
        assert!(e.contains("cannot reach the package index") && e.contains("--no-env"), "{e}");
        let e = failed(&[
            "ERROR: Could not find a version that satisfies the requirement tokenizers==0.23.2 (from versions: none)",
            "ERROR: No matching distribution found for tokenizers==0.23.2",
        ]);
        assert!(e.contains("no wheel of tokenizers==0.23.2 for Python 3.13.0t") && e.contains("--python"), "{e}");
        let e = failed(&[
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
            "    numpy==1 from https://i/n:",
        ]);
        assert!(e.contains("not the one in the lock (numpy==1 from https://i/n)"), "{e}");
        let e = failed(&[
            "WARNING: Retrying after connection broken by 'NewConnectionError('<x at 0x7f>: Failed to establish a new \
         connection: [Errno 111] Connection refused')': /simple/a/",
        ]);
        assert!(e.contains("index ([Errno 111] Connection refused): check"), "{e}");
        let e = failed(&["ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"]);
        assert!(e.contains("no space is left") && e.contains("LLMBENCH_CACHE"), "{e}");
        let e = failed(&["Collecting x", "ERROR: something odd", "", "[notice] a new release"]);
        assert!(e.contains("pip failed (ERROR: something odd)"), "{e}");
        let e = failed(&[]);
        assert!(e.contains("it said nothing"), "{e}");
    }

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        let line = "Looking in https://me:se@cret@host/simple, http://host2/x@y";
        assert_eq!(without_password(line), "Looking in https://***@host/simple, http://host2/x@y");
        let e = failed(&["error: Failed to fetch: `https://u:p4ss@index/simple/jinja2/`"]);
        assert!(!e.contains("p4ss"), "{e}");
    }

    #[test]
    fn progress_of_pip() {
        let lock = "a==1 \\\n    --hash=sha256:0\nb==1 ; python_full_version < '3.11' \\\n    --hash=sha256:0\nc==2\n";
        let mut meter = Meter::new(lock);
        assert_eq!(meter.hear("Ignoring b: markers 'x' don't match your environment"), None);
        let first = meter.hear("Collecting a==1 (from -r lock (line 1))");
        assert_eq!(first, Some(EnvProgress::Package { done: 0, total: 2, name: "a" }));
        assert_eq!(meter.hear("  Downloading a-1.whl (1 kB)"), None);
        let second = meter.hear("Collecting c==2 (from -r lock (line 3))");
        assert_eq!(second, Some(EnvProgress::Package { done: 1, total: 2, name: "c" }));
        assert_eq!(meter.hear("Installing collected packages: a, c"), Some(EnvProgress::Installing { total: 2 }));
    }

    #[test]
    fn progress_of_uv() {
        let mut meter = Meter::new("a==1\nb==1\nc==1\n");
        assert_eq!(meter.hear("Resolved 2 packages in 5ms"), None);
        assert_eq!(meter.hear(" Downloaded a"), Some(EnvProgress::Package { done: 0, total: 2, name: "a" }));
        assert_eq!(meter.hear("Prepared 2 packages in 1s"), Some(EnvProgress::Installing { total: 2 }));
    }
}
