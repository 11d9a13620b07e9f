//! The system around: kernel, container, address layout, limits, disk.

use std::path::Path;

use super::Roots;
use super::facts::{Facts, bytes};
use super::roots::value_of;

/// A full run writes some tens of megabytes; environments and models some gigabytes.
const ENOUGH_DISK: u64 = 2 << 30;
const TOO_LITTLE_DISK: u64 = 500_000_000;

/// Workers, pipes and shared libraries of a crew stay far below this.
const ENOUGH_FILES: u64 = 256;

/// Bit of personality(2) that switches the random address layout off (`setarch -R`).
const NO_RANDOM_LAYOUT: u64 = 0x0040000;

/// Adds the facts and returns the boot id.
pub(super) fn probe(roots: &Roots, folder: &Path, facts: &mut Facts) -> Option<String> {
    let kernel = roots
        .proc("sys/kernel/osrelease")
        .map(|release| format!("{} {release}", roots.proc("sys/kernel/ostype").unwrap_or_else(|| "Linux".to_owned())))
        .unwrap_or_else(|| format!("{} ({})", std::env::consts::OS, std::env::consts::ARCH));
    facts.info("os.kernel", "operating system", kernel);
    container(roots, facts);
    let boot_id = boot_id(roots);
    facts.info_or_unknown("os.boot_id", "boot id", boot_id.clone());
    layout(roots, facts);
    open_files(roots, facts);
    disk(folder, facts);
    boot_id
}

pub(super) fn boot_id(roots: &Roots) -> Option<String> {
    roots.proc("sys/kernel/random/boot_id").filter(|id| !id.is_empty())
}

fn container(roots: &Roots, facts: &mut Facts) {
    let names: [(&str, &[&str]); 4] =
        [("Kubernetes", &["kubepods"]), ("Docker", &["docker"]), ("Podman", &["libpod"]), ("LXC", &["lxc"])];
    let cgroup = roots.proc("self/cgroup").unwrap_or_default();
    let by_group =
        names.iter().find(|(_, marks)| marks.iter().any(|mark| cgroup.contains(mark))).map(|(name, _)| *name);
    let by_file = if roots.locate("/.dockerenv").exists() {
        Some("Docker")
    } else if roots.locate("/run/.containerenv").exists() {
        Some("Podman")
    } else {
        None
    };
    facts.info("os.container", "container", by_group.or(by_file).unwrap_or("no sign of one"));
}

/// Each run draws a new layout, so that the luck of one is not taken for speed (Mytkowicz et al. 2009, "Producing wrong data
/// without doing anything obviously wrong!").
fn layout(roots: &Roots, facts: &mut Facts) {
    const LAYOUT: (&str, &str) = ("os.aslr", "random address layout");
    let off_here = roots
        .proc("self/personality")
        .and_then(|text| u64::from_str_radix(&text, 16).ok())
        .is_some_and(|bits| bits & NO_RANDOM_LAYOUT != 0);
    if off_here {
        facts.warn(LAYOUT.0, LAYOUT.1, "off for this process", "start llmbench without setarch -R");
        return;
    }
    match roots.proc("sys/kernel/randomize_va_space").as_deref() {
        Some("2") => facts.ok(LAYOUT.0, LAYOUT.1, "full"),
        Some(level) => {
            let value = if level == "0" { "off" } else { "partial" };
            facts.warn(LAYOUT.0, LAYOUT.1, value, "sudo sysctl kernel.randomize_va_space=2");
        }
        None => facts.unknown(LAYOUT.0, LAYOUT.1, None),
    }
}

fn open_files(roots: &Roots, facts: &mut Facts) {
    const FILES: (&str, &str) = ("os.open_files", "open files allowed");
    let soft = roots
        .proc("self/limits")
        .and_then(|limits| value_of(&limits, "Max open files")?.split_whitespace().next().map(str::to_owned));
    match soft {
        Some(soft) if soft.parse::<u64>().is_ok_and(|soft| soft < ENOUGH_FILES) => {
            facts.warn(FILES.0, FILES.1, soft, "ulimit -n 1024");
        }
        Some(soft) => facts.ok(FILES.0, FILES.1, soft),
        None => facts.unknown(FILES.0, FILES.1, None),
    }
}

fn disk(folder: &Path, facts: &mut Facts) {
    const DISK: (&str, &str) = ("disk.free", "free disk space");
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    let space = absolute.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok());
    match space.map(|space| space.f_bavail.saturating_mul(space.f_frsize)) {
        Some(free) => judge_disk(DISK, free, facts),
        None => facts.unknown(DISK.0, DISK.1, None),
    }
}

fn judge_disk((key, title): (&str, &str), free: u64, facts: &mut Facts) {
    let remedy = "free space, or name a folder on another disk with --output";
    if free < TOO_LITTLE_DISK {
        facts.bad(key, title, bytes(free), remedy);
    } else if free < ENOUGH_DISK {
        facts.warn(key, title, bytes(free), remedy);
    } else {
        facts.ok(key, title, bytes(free));
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::testing::tree;
    use super::*;
    use record::results::FactVerdict;

    #[test]
    fn a_container_with_a_fixed_layout() {
        let (folder, roots) = tree(&[
            ("proc/sys/kernel/osrelease", "6.12.1\n"),
            ("proc/sys/kernel/ostype", "Linux\n"),
            ("proc/sys/kernel/random/boot_id", "3c5a53ed-0752\n"),
            ("proc/sys/kernel/randomize_va_space", "0\n"),
            ("proc/self/cgroup", "0::/\n"),
            (
                "proc/self/limits",
                "Limit                     Soft Limit           Hard Limit           Units\nMax open files            128                  4096                 files\n",
            ),
            ("proc/self/root/.dockerenv", ""),
        ]);
        let mut facts = Facts::default();
        let boot = probe(&roots, &folder.path().join("not/yet/there"), &mut facts);
        assert_eq!(boot.as_deref(), Some("3c5a53ed-0752"));
        assert_eq!(facts.get("os.kernel").value, "Linux 6.12.1");
        assert_eq!(facts.get("os.container").value, "Docker");
        assert_eq!(facts.get("os.aslr").verdict, FactVerdict::Warn);
        assert_eq!(facts.get("os.open_files").verdict, FactVerdict::Warn);
        assert_ne!(facts.get("disk.free").verdict, FactVerdict::Unknown);
    }

    #[test]
    fn the_layout_of_this_process_counts() {
        let (_folder, roots) =
            tree(&[("proc/sys/kernel/randomize_va_space", "2"), ("proc/self/personality", "00040000\n")]);
        let mut facts = Facts::default();
        layout(&roots, &mut facts);
        assert_eq!(facts.get("os.aslr").value, "off for this process");
    }

    #[test]
    fn a_full_disk_is_bad() {
        for (free, verdict) in
            [(499_999_999, FactVerdict::Bad), (500_000_000, FactVerdict::Warn), (2 << 30, FactVerdict::Ok)]
        {
            let mut facts = Facts::default();
            judge_disk(("disk.free", "free disk space"), free, &mut facts);
            assert_eq!(facts.get("disk.free").verdict, verdict, "{free}");
        }
    }

    #[test]
    fn another_system() {
        let (folder, roots) = tree(&[]);
        let mut facts = Facts::default();
        assert_eq!(probe(&roots, folder.path(), &mut facts), None);
        assert!(facts.get("os.kernel").value.contains(std::env::consts::OS));
        assert_eq!(facts.get("os.aslr").verdict, FactVerdict::Unknown);
    }
}
