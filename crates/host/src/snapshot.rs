//! What the host did to the runs while they went on.

use super::Roots;
use super::cgroup::{Groups, Throttling};
use super::facts::{bytes, percent};
use super::load::CpuTime;
use super::roots::value_of;

/// Up to these shares, and below this amount, a disturbance is not worth a warning.
const STEAL: f64 = 0.01;
const OTHERS: f64 = 0.1;
const SWAPPED_BYTES: u64 = 1 << 20;

/// Pages are counted as 4 KiB, right on x86 and most Arm kernels; elsewhere too small by a factor of 4 or 16.
const PAGE: u64 = 4096;

/// Counters of the host at one moment. A counter that cannot be read is none and gives no warning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    cpu: Option<CpuTime>,
    /// Ticks of this process and of its children that have ended.
    own: Option<u64>,
    throttling: Option<Throttling>,
    /// Pages read back from swap since boot.
    swapped_in: Option<u64>,
}

/// Who uses the cores beside this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Nobody who should be there.
    Strangers,
    /// The server that is measured may be among them.
    Server,
}

impl Snapshot {
    /// Reads the counters below `roots`.
    pub fn take(roots: &Roots) -> Self {
        Self {
            cpu: CpuTime::read(roots),
            own: roots.proc("self/stat").and_then(|stat| own_ticks(&stat)),
            throttling: Groups::of(roots, "cpu").and_then(|groups| groups.throttling()),
            swapped_in: roots.proc("vmstat").and_then(|text| value_of(&text, "pswpin")?.parse().ok()),
        }
    }

    /// Warnings about what happened from `before` to this snapshot, one sentence each with what to do. Take both while no
    /// child is running: a running child's CPU time would count as that of others. `others` says who they are where that is known.
    pub fn since(&self, before: &Self, others: Others) -> Vec<String> {
        let mut warnings = Vec::new();
        if let (Some(now), Some(then)) = (self.cpu, before.cpu) {
            let passed = now.since(&then);
            if let Some(share) = passed.share(passed.steal).filter(|share| *share > STEAL) {
                warnings.push(format!(
                    "the hypervisor took {} of the CPU time during the runs (steal); repeat on a quieter host",
                    percent(share)
                ));
            }
            if let (Some(now), Some(then)) = (self.own, before.own) {
                let used = passed.busy.saturating_sub(now.saturating_sub(then));
                if let Some(share) = passed.share(used).filter(|share| *share > OTHERS) {
                    let share = percent(share);
                    warnings.push(match others {
                        Others::Strangers => format!(
                            "other processes used {share} of the cores during the runs; stop them (top shows them) and repeat"
                        ),
                        Others::Server => format!(
                            "the server, if it runs on this machine, and other processes used {share} of the cores during the runs; give the server cores of its own and stop what else runs (top shows it)"
                        ),
                    });
                }
            }
        }
        if let (Some(now), Some(then)) = (self.throttling, before.throttling) {
            let throttled = now.throttled.saturating_sub(then.throttled);
            if throttled > 0 {
                let share = throttled as f64 / now.periods.saturating_sub(then.periods).max(1) as f64;
                warnings.push(format!(
                    "the CPU quota of the cgroup stopped the runs {throttled} times, in {} of its periods ({:.1} s in all); give whole cores by a cpuset instead",
                    percent(share),
                    now.throttled_ns.saturating_sub(then.throttled_ns) as f64 / 1e9
                ));
            }
        }
        if let (Some(now), Some(then)) = (self.swapped_in, before.swapped_in) {
            let read = now.saturating_sub(then).saturating_mul(PAGE);
            if read >= SWAPPED_BYTES {
                warnings.push(format!("{} came back from swap during the runs; free memory and repeat", bytes(read)));
            }
        }
        warnings
    }
}

/// utime + stime + cutime + cstime, fields 14 to 17 of proc_pid_stat(5). The name in field 2 may hold spaces and brackets.
fn own_ticks(stat: &str) -> Option<u64> {
    let after_name = stat.rsplit_once(')')?.1;
    let ticks: Vec<u64> =
        after_name.split_whitespace().skip(11).take(4).map_while(|field| field.parse().ok()).collect();
    (ticks.len() == 4).then(|| ticks.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::super::facts::testing::tree;
    use super::*;

    fn host(stat: &str, own: u64, throttled: &str, swapped: u64) -> Snapshot {
        let own = format!("7 (llm) bench) S 1 7 7 0 -1 4194560 1 2 3 4 {own} 0 0 0 20 0 1 0 100\n");
        let swapped = format!("pgfault 9\npswpin {swapped}\npswpout 3\n");
        let (_folder, roots) = tree(&[
            ("proc/stat", stat),
            ("proc/self/stat", &own),
            ("proc/vmstat", &swapped),
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
            ("sys/fs/cgroup/cpu.max", "100000 100000\n"),
            ("sys/fs/cgroup/cpu.stat", throttled),
        ]);
        Snapshot::take(&roots)
    }

    const CALM: &str = "nr_periods 10\nnr_throttled 1\nthrottled_usec 5\n";

    #[test]
    fn each_disturbance_is_named_with_its_size_and_remedy() {
        let before = host("cpu  1000 0 0 1000 0 0 0 0 0 0\n", 500, CALM, 0);
        // 1,000 ticks: 41 stolen, 600 busy of which 450 were ours.
        let after = host(
            "cpu  1600 0 0 1359 0 0 0 41 0 0\n",
            950,
            "nr_periods 110\nnr_throttled 26\nthrottled_usec 3400005\n",
            2048,
        );
        assert_eq!(
            after.since(&before, Others::Strangers),
            [
                "the hypervisor took 4.1% of the CPU time during the runs (steal); repeat on a quieter host",
                "other processes used 15.0% of the cores during the runs; stop them (top shows them) and repeat",
                "the CPU quota of the cgroup stopped the runs 25 times, in 25.0% of its periods (3.4 s in all); give whole cores by a cpuset instead",
                "8 MiB came back from swap during the runs; free memory and repeat",
            ]
        );
        let beside_a_server = after.since(&before, Others::Server);
        assert!(
            beside_a_server[1].starts_with("the server, if it runs on this machine, and other processes used 15.0%")
        );
    }

    #[test]
    fn a_quiet_host_gives_no_warning() {
        let before = host("cpu  1000 0 0 1000 0 0 0 0 0 0\n", 500, CALM, 7);
        // 1,000 ticks: 10 stolen (1%), 900 busy of which 800 were ours (10% others): at the limits, not over them.
        let after = host("cpu  1900 0 0 1090 0 0 0 10 0 0\n", 1300, CALM, 7);
        assert_eq!(after.since(&before, Others::Strangers), Vec::<String>::new());
    }

    #[test]
    fn unknown_counters_give_no_warning() {
        let (_folder, roots) = tree(&[]);
        let nothing = Snapshot::take(&roots);
        assert_eq!(nothing, Snapshot::default());
        assert!(nothing.since(&nothing, Others::Strangers).is_empty());
    }
}
