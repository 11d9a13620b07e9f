//! What a process and everything that it started use: CPU time and memory, from `/proc`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The figures of a process tree at one moment. On systems other than Linux there are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessTree {
    /// The process asked for, then its descendants by pid.
    pub processes: Vec<Process>,
    /// CPU time of the whole tree, ns: user and system, all threads, ended ones too; and that of children that ended and were waited
    /// for. It does not fall while every process of the tree lives or is waited for by its parent; a process whose parent ended
    /// first leaves the tree.
    pub cpu_ns: u64,
    /// Memory of the whole tree, bytes: proportional set size, in which a page shared by `n` processes counts `1/n` in each. None
    /// where the kernel does not tell for one of the processes.
    pub pss_bytes: Option<u64>,
    pub threads: u64,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: u32,
    /// The kernel's name for it (15 bytes at most).
    pub name: String,
    /// CPU time of its own threads, ns.
    pub own_cpu_ns: u64,
    /// CPU time of children that ended and were waited for, ns, exact to a clock tick (10 ms).
    pub reaped_cpu_ns: u64,
    /// Bytes.
    pub pss_bytes: Option<u64>,
    pub threads: u64,
}

/// The tree of a process as it is now; None if the process is gone or the system has no `/proc`.
pub fn process_tree(pid: u32) -> Option<ProcessTree> {
    let stats = all_stats();
    stats.get(&pid)?;
    let mut pids = vec![pid];
    pids.extend(descendants(pid, &stats));
    let processes: Vec<Process> = pids.into_iter().filter_map(|pid| Some(process(pid, stats.get(&pid)?))).collect();
    Some(ProcessTree {
        cpu_ns: processes.iter().map(|process| process.own_cpu_ns + process.reaped_cpu_ns).sum(),
        pss_bytes: processes.iter().map(|process| process.pss_bytes).sum(),
        threads: processes.iter().map(|process| process.threads).sum(),
        processes,
    })
}

/// Pid, name and CPU time of its own threads (ns) of a process and its descendants: the tree without its memory, which the kernel holds up a
/// large process to count. Empty if the process is gone.
pub(crate) fn members(pid: u32) -> Vec<(u32, String, u64)> {
    let stats = all_stats();
    if !stats.contains_key(&pid) {
        return Vec::new();
    }
    let pids = std::iter::once(pid).chain(descendants(pid, &stats));
    pids.filter_map(|pid| stats.get(&pid).map(|stat| (pid, stat.name.clone(), own_cpu_ns(pid, stat)))).collect()
}

/// What is needed of `/proc/<pid>/stat` (proc_pid_stat(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stat {
    name: String,
    state: char,
    parent: u32,
    /// Clock ticks, without children.
    own_ticks: u64,
    reaped_ticks: u64,
    threads: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name stands in parentheses and may contain spaces and parentheses.
        let (front, rest) = text.rsplit_once(')')?;
        let name = front.split_once('(')?.1.to_owned();
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // `fields[0]` is field 3 of the manual.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            name,
            state: fields.first()?.chars().next()?,
            parent: u32::try_from(number(4)?).ok()?,
            own_ticks: number(14)? + number(15)?,
            // A negative figure is not possible, though the manual prints these as signed.
            reaped_ticks: number(16)? + number(17)?,
            threads: number(20)?,
        })
    }
}

fn all_stats() -> BTreeMap<u32, Stat> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return BTreeMap::new() };
    let stat = |entry: std::io::Result<std::fs::DirEntry>| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        // A process that ended meanwhile is passed over. A name need not be UTF-8.
        let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, Stat::parse(&String::from_utf8_lossy(&text))?))
    };
    entries.filter_map(stat).collect()
}

fn descendants(root: u32, stats: &BTreeMap<u32, Stat>) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        let children = stats.iter().filter(|(pid, stat)| stat.parent == parent && **pid != root);
        for (&pid, _) in children {
            if found.insert(pid) {
                open.push(pid);
            }
        }
    }
    found
}

fn tick_ns() -> u64 {
    1_000_000_000 / rustix::param::clock_ticks_per_second().max(1)
}

fn own_cpu_ns(pid: u32, stat: &Stat) -> u64 {
    cpu_clock_ns(pid).unwrap_or(stat.own_ticks * tick_ns())
}

fn process(pid: u32, stat: &Stat) -> Process {
    // A zombie has no memory any more.
    let pss_bytes = if stat.state == 'Z' { Some(0) } else { pss_bytes(pid) };
    Process {
        pid,
        name: stat.name.clone(),
        own_cpu_ns: own_cpu_ns(pid, stat),
        reaped_cpu_ns: stat.reaped_ticks * tick_ns(),
        pss_bytes,
        threads: stat.threads,
    }
}

/// The process's CPU clock (clock_getcpuclockid(3)): exact, where `stat` counts in ticks of 10 ms. None if the process is gone.
#[cfg(target_os = "linux")]
fn cpu_clock_ns(pid: u32) -> Option<u64> {
    let pid = libc::pid_t::try_from(pid).ok()?;
    let mut clock: libc::clockid_t = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both calls write only to the variable that they are given, which outlives them.
    let read = unsafe {
        libc::clock_getcpuclockid(pid, &raw mut clock) == 0 && libc::clock_gettime(clock, &raw mut time) == 0
    };
    read.then_some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

#[cfg(not(target_os = "linux"))]
fn cpu_clock_ns(_: u32) -> Option<u64> {
    None
}

fn pss_bytes(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_contain_anything() {
        let line = "12 (a) b (c) S 7 12 12 0 -1 4194560 1 2 3 4 100 20 30 4 20 0 5 0 99 0 0 18446744073709551615";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.name.as_str(), stat.state, stat.parent), ("a) b (c", 'S', 7));
        assert_eq!((stat.own_ticks, stat.reaped_ticks, stat.threads), (120, 34, 5));
        assert_eq!(Stat::parse("12 (a) S 7"), None);
    }

    #[test]
    fn descendants_are_found_through_generations() {
        let stat = |parent| Stat { name: String::new(), state: 'S', parent, own_ticks: 0, reaped_ticks: 0, threads: 1 };
        let stats: BTreeMap<u32, Stat> =
            [(1, 0), (5, 1), (6, 5), (7, 6), (8, 1), (9, 5)].map(|(pid, parent)| (pid, stat(parent))).into();
        assert_eq!(descendants(5, &stats).into_iter().collect::<Vec<_>>(), [6, 7, 9]);
    }
}
