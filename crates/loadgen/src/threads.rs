//! What the threads of processes use, and how long they waited for a core.

use std::collections::BTreeMap;

use crate::proctree::members;

/// A process of a tree and its threads at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessUse {
    pub pid: u32,
    /// The title that it gave itself (`VLLM::EngineCore`), else the kernel's name for it.
    pub name: String,
    /// CPU time of all its threads, ended ones too, ns.
    pub cpu_ns: u64,
    pub threads: Vec<ThreadUse>,
}

/// A thread that lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadUse {
    pub tid: u32,
    /// The kernel's name for it (15 bytes at most).
    pub name: String,
    /// User and system, ns; exact to a clock tick (10 ms) where the kernel keeps no statistics of its scheduler.
    pub cpu_ns: u64,
    /// How long it was runnable without a core, ns; None where the kernel does not tell.
    pub run_delay_ns: Option<u64>,
}

/// A process and its descendants with their threads as they are now; empty if the process is gone. On systems other than Linux none is seen.
pub fn of_tree(pid: u32) -> Vec<ProcessUse> {
    let one = |(pid, name, cpu_ns): (u32, String, u64)| ProcessUse {
        pid,
        name: title(pid).unwrap_or(name),
        cpu_ns,
        threads: threads(pid),
    };
    members(pid).into_iter().map(one).collect()
}

/// What a name stands for came to between two moments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Used {
    /// CPU time, ns.
    pub cpu_ns: u64,
    /// How long threads that live were runnable without a core, summed over them, ns; None where the kernel does not tell.
    pub run_delay_ns: Option<u64>,
    /// The same by the names of threads; those of one name are added. Ended threads are in the process's CPU time alone.
    pub threads: BTreeMap<String, Used>,
}

/// Use by the names of processes; those of one name are added. A process or thread that began in between counts from its beginning.
pub fn between(before: &[ProcessUse], after: &[ProcessUse]) -> BTreeMap<String, Used> {
    let mut all: BTreeMap<String, Used> = BTreeMap::new();
    for process in after {
        let earlier = before.iter().find(|one| one.pid == process.pid);
        let used = all.entry(process.name.clone()).or_default();
        used.cpu_ns += process.cpu_ns.saturating_sub(earlier.map_or(0, |one| one.cpu_ns));
        for thread in &process.threads {
            let was = earlier.and_then(|one| one.threads.iter().find(|other| other.tid == thread.tid));
            let cpu_ns = thread.cpu_ns.saturating_sub(was.map_or(0, |was| was.cpu_ns));
            let delay = thread
                .run_delay_ns
                .map(|delay| delay.saturating_sub(was.and_then(|was| was.run_delay_ns).unwrap_or(0)));
            let of = used.threads.entry(thread.name.clone()).or_default();
            of.cpu_ns += cpu_ns;
            add(&mut of.run_delay_ns, delay);
            add(&mut used.run_delay_ns, delay);
        }
    }
    all
}

fn add(sum: &mut Option<u64>, more: Option<u64>) {
    if let Some(more) = more {
        *sum = Some(sum.unwrap_or(0) + more);
    }
}

/// The title that a process set in place of its command line (as `setproctitle` does): one word without a path, other than the
/// name of its program.
fn title(pid: u32) -> Option<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    titled(&String::from_utf8_lossy(&line)).map(str::to_owned)
}

fn titled(line: &str) -> Option<&str> {
    let mut words = line.split('\0');
    let first = words.next()?.trim();
    let alone = words.all(str::is_empty);
    (alone && first.contains("::") && !first.contains(['/', ' '])).then_some(first)
}

fn threads(pid: u32) -> Vec<ThreadUse> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let tid = |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse::<u32>().ok();
    // A thread that ends meanwhile is passed over.
    tasks.filter_map(tid).filter_map(|tid| thread(pid, tid)).collect()
}

fn thread(pid: u32, tid: u32) -> Option<ThreadUse> {
    let read = |file: &str| std::fs::read(format!("/proc/{pid}/task/{tid}/{file}")).ok();
    let name = String::from_utf8_lossy(&read("comm")?).trim_end().to_owned();
    let schedule = read("schedstat").and_then(|text| scheduled(&String::from_utf8_lossy(&text)));
    let (cpu_ns, run_delay_ns) = match schedule {
        Some((cpu_ns, delay_ns)) => (cpu_ns, Some(delay_ns)),
        None => (ticked(&String::from_utf8_lossy(&read("stat")?))?, None),
    };
    Some(ThreadUse { tid, name, cpu_ns, run_delay_ns })
}

/// On a core and waiting for one, ns (the first two figures of `schedstat`, Documentation/scheduler/sched-stats.rst). A kernel
/// without these statistics has zeros.
fn scheduled(text: &str) -> Option<(u64, u64)> {
    let mut fields = text.split_ascii_whitespace();
    let (cpu_ns, delay_ns) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let slices: u64 = fields.next()?.parse().ok()?;
    (slices > 0).then_some((cpu_ns, delay_ns))
}

/// User and system time of `stat` (proc_pid_stat(5)), ns.
fn ticked(text: &str) -> Option<u64> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // The first of them is field 3 of the manual.
    let ticks = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let tick_ns = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    Some((ticks(14)? + ticks(15)?) * tick_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_told_from_command_lines() {
        assert_eq!(titled("VLLM::EngineCore\0\0\0"), Some("VLLM::EngineCore"));
        assert_eq!(titled("sglang::scheduler"), Some("sglang::scheduler"));
        for line in ["", "/usr/bin/python3\0-m\0a", "python", "python\0a::b", "a::b --x\0", "/a::b"] {
            assert_eq!(titled(line), None, "{line:?}");
        }
    }

    #[test]
    fn lines_by_hand() {
        assert_eq!(scheduled("700 6768 17\n"), Some((700, 6768)));
        assert_eq!(scheduled("0 0 0\n"), None);
        let line = "12 (a) b) S 7 12 12 0 -1 4194560 1 2 3 4 100 20 30 4 20 0 5 0 99 0 0 1";
        assert_eq!(ticked(line), Some(120 * 1_000_000_000 / rustix::param::clock_ticks_per_second()));
        assert_eq!(ticked("12 (a) S 7"), None);
    }

    #[test]
    fn use_between_two_moments_is_by_name() {
        let thread =
            |tid, name: &str, cpu_ns, delay| ThreadUse { tid, name: name.into(), cpu_ns, run_delay_ns: Some(delay) };
        let process = |pid, name: &str, cpu_ns, threads| ProcessUse { pid, name: name.into(), cpu_ns, threads };
        let before = [
            process(1, "api", 100, vec![thread(1, "main", 60, 5), thread(2, "io", 40, 5)]),
            process(9, "gone", 5, vec![]),
        ];
        let after = [
            process(1, "api", 190, vec![thread(1, "main", 100, 9), thread(3, "io", 20, 2), thread(4, "io", 10, 1)]),
            process(5, "api", 7, vec![thread(5, "main", 7, 0)]),
        ];
        let used = between(&before, &after);
        assert_eq!(used.len(), 1);
        // The thread that ended (2) had 20 more before it did: they are in the process's time alone.
        assert_eq!((used["api"].cpu_ns, used["api"].run_delay_ns), (97, Some(7)));
        assert_eq!((used["api"].threads["main"].cpu_ns, used["api"].threads["io"].cpu_ns), (47, 30));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn work_of_a_thread_is_seen_under_its_name() {
        let before = of_tree(std::process::id());
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let (say, worked) = std::sync::mpsc::channel();
        let worker = std::thread::Builder::new().name("hard-worker".to_owned()).spawn(move || {
            let start = crate::clock::thread_cpu_ns();
            while crate::clock::thread_cpu_ns() < start + 60_000_000 {
                std::hint::spin_loop();
            }
            say.send(()).unwrap();
            // It must live while it is looked at.
            let _ = wait.recv();
        });
        worked.recv().unwrap();
        let after = of_tree(std::process::id());
        drop(done);
        worker.unwrap().join().unwrap();
        let used = between(&before, &after);
        let mine = used.values().find_map(|process| process.threads.get("hard-worker")).unwrap();
        assert!(mine.cpu_ns >= 40_000_000, "{mine:?}");
        assert!(used.values().map(|process| process.cpu_ns).sum::<u64>() >= mine.cpu_ns, "{used:?}");
    }
}
