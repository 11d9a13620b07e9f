//! The clocks: CLOCK_MONOTONIC for every stamp (the servers' stamps are of the same clock on the same host), and what the
//! calling thread used and waited for.

use rustix::time::{ClockId, clock_gettime};

/// CLOCK_MONOTONIC, ns.
pub fn now_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// CLOCK_REALTIME, ns since 1970: only to compare with stamps of the kernel that are of this clock.
pub(crate) fn wall_ns() -> u64 {
    nanoseconds(ClockId::Realtime)
}

/// CPU time of the calling thread (CLOCK_THREAD_CPUTIME_ID), user and system, ns.
pub fn thread_cpu_ns() -> u64 {
    nanoseconds(ClockId::ThreadCPUTime)
}

/// How long the calling thread was runnable without a CPU, ns since it began; None where the kernel does not tell
/// (the second figure of `/proc/thread-self/schedstat`, Documentation/scheduler/sched-stats.rst).
pub fn thread_run_delay_ns() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_go_forward_and_count_work() {
        let (wall, cpu) = (now_ns(), thread_cpu_ns());
        while thread_cpu_ns() < cpu + 2_000_000 {
            std::hint::spin_loop();
        }
        assert!(now_ns() - wall >= 2_000_000);
        std::thread::sleep(std::time::Duration::from_millis(20));
        let slept = thread_cpu_ns() - cpu;
        assert!(slept < now_ns() - wall, "sleeping must not count: {slept}");
        if cfg!(target_os = "linux") {
            assert!(thread_run_delay_ns().is_some());
        }
    }
}
