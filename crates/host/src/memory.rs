//! Memory: how much, how much of it for us, and how it is laid out.

use super::Roots;
use super::cgroup::Groups;
use super::facts::{Facts, bytes};
use super::roots::{members, value_of};

/// Two models with their engines and workers need about this much; with less, workers swap or are killed.
const ENOUGH: u64 = 2 << 30;

pub(super) fn probe(roots: &Roots, facts: &mut Facts) {
    let meminfo = roots.proc("meminfo").unwrap_or_default();
    let size = |key: &str| -> Option<u64> {
        let kibibytes: u64 = value_of(&meminfo, key)?.split(' ').next()?.parse().ok()?;
        Some(kibibytes * 1024)
    };
    let total = size("MemTotal");
    facts.info_or_unknown("memory.total", "memory", total.map(bytes));
    enough(
        "memory.available",
        "available memory",
        size("MemAvailable"),
        "stop programs that hold memory, or measure fewer engines",
        facts,
    );
    // A limit above the memory is none.
    let limit = Groups::of(roots, "memory")
        .map(|groups| groups.memory_limit().filter(|limit| total.is_none_or(|total| *limit < total)));
    match limit {
        Some(Some(limit)) => enough(
            "cgroup.memory.limit",
            "memory limit",
            Some(limit),
            "raise the group's memory limit (docker run --memory 4g)",
            facts,
        ),
        Some(None) => facts.ok("cgroup.memory.limit", "memory limit", "none"),
        None => facts.unknown("cgroup.memory.limit", "memory limit", None),
    }
    swap(size("SwapTotal"), size("SwapFree"), total, facts);
    huge_pages(roots, facts);
    nodes(roots, facts);
}

fn enough(key: &str, title: &str, size: Option<u64>, remedy: &str, facts: &mut Facts) {
    match size {
        Some(size) if size < ENOUGH => facts.bad(key, title, bytes(size), remedy),
        Some(size) => facts.ok(key, title, bytes(size)),
        None => facts.unknown(key, title, None),
    }
}

fn swap(total: Option<u64>, free: Option<u64>, memory: Option<u64>, facts: &mut Facts) {
    const SWAP: (&str, &str) = ("memory.swap", "swap in use");
    match (total, free, memory) {
        (Some(0), _, _) => facts.ok(SWAP.0, SWAP.1, "no swap"),
        (Some(total), Some(free), Some(memory)) => {
            let used = total.saturating_sub(free);
            if used > memory / 10 {
                facts.warn(
                    SWAP.0,
                    SWAP.1,
                    bytes(used),
                    "free memory before measuring; pages that come back from swap stop a worker for milliseconds",
                );
            } else {
                facts.ok(SWAP.0, SWAP.1, bytes(used));
            }
        }
        _ => facts.unknown(SWAP.0, SWAP.1, None),
    }
}

fn huge_pages(roots: &Roots, facts: &mut Facts) {
    let chosen = roots.sys("kernel/mm/transparent_hugepage/enabled").and_then(|text| {
        let choice = text.split(' ').find(|choice| choice.starts_with('['))?;
        Some(choice.trim_matches(['[', ']']).to_owned())
    });
    facts.info_or_unknown("memory.huge_pages", "transparent huge pages", chosen);
}

fn nodes(roots: &Roots, facts: &mut Facts) {
    const NODES: (&str, &str) = ("memory.numa", "NUMA nodes");
    match roots.sys("devices/system/node/online").and_then(|list| members(&list)) {
        Some(nodes) if nodes.len() > 1 => facts.warn(
            NODES.0,
            NODES.1,
            nodes.len().to_string(),
            "bind the whole run to one node: numactl --cpunodebind=0 --membind=0 llmbench …",
        ),
        Some(_) => facts.ok(NODES.0, NODES.1, "1"),
        None => facts.unknown(NODES.0, NODES.1, None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::testing::tree;
    use super::*;
    use record::results::FactVerdict;

    #[test]
    fn a_small_machine_that_swaps() {
        let (_folder, roots) = tree(&[
            (
                "proc/meminfo",
                "MemTotal: 4194304 kB\nMemFree: 1 kB\nMemAvailable: 1048576 kB\nSwapTotal: 2097152 kB\nSwapFree: 1048576 kB\n",
            ),
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
            ("sys/fs/cgroup/memory.max", "3221225472\n"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
            ("sys/devices/system/node/online", "0-1\n"),
        ]);
        let mut facts = Facts::default();
        probe(&roots, &mut facts);
        let shown = |key: &str| (facts.get(key).value.as_str(), facts.get(key).verdict);
        assert_eq!(shown("memory.total"), ("4.0 GiB", FactVerdict::Info));
        assert_eq!(shown("memory.available"), ("1.0 GiB", FactVerdict::Bad));
        assert_eq!(shown("cgroup.memory.limit"), ("3.0 GiB", FactVerdict::Ok));
        assert_eq!(shown("memory.swap"), ("1.0 GiB", FactVerdict::Warn));
        assert_eq!(shown("memory.huge_pages"), ("madvise", FactVerdict::Info));
        assert_eq!(shown("memory.numa"), ("2", FactVerdict::Warn));
    }

    #[test]
    fn a_limit_above_the_memory_is_none() {
        let (_folder, roots) = tree(&[
            ("proc/meminfo", "MemTotal: 4194304 kB\n"),
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
            ("sys/fs/cgroup/memory.max", "8589934592\n"),
        ]);
        let mut facts = Facts::default();
        probe(&roots, &mut facts);
        assert_eq!(facts.get("cgroup.memory.limit").value, "none");
        assert_eq!(facts.get("memory.available").verdict, FactVerdict::Unknown);
    }
}
