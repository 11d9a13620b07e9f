//! The clock that times everything.

use rustix::time::{ClockId, clock_getres, clock_gettime};

use super::Roots;
use super::facts::Facts;

/// Clock sources that are one read of a register of the core: of x86, and the only ones of Arm and RISC-V. Those that a
/// hypervisor provides (kvm-clock) are read without a system call too, but scaled by what the host last wrote.
const FAST: [&str; 3] = ["tsc", "arch_sys_counter", "riscv_clocksource"];

/// A pair of readings must stay below 1% of the shortest sample, 100 µs.
const PAIR_LIMIT_NS: u64 = 1_000;

pub(super) fn probe(roots: &Roots, facts: &mut Facts) {
    source(roots, facts);
    let resolution = clock_getres(ClockId::Monotonic);
    let nanoseconds = resolution.tv_sec as u64 * 1_000_000_000 + resolution.tv_nsec as u64;
    if nanoseconds <= 1_000 {
        facts.ok("clock.resolution", "clock resolution", format!("{nanoseconds} ns"));
    } else {
        facts.warn(
            "clock.resolution",
            "clock resolution",
            format!("{nanoseconds} ns"),
            "start Linux with high-resolution timers (highres=on)",
        );
    }
    let pair = pair_ns();
    if pair <= PAIR_LIMIT_NS {
        facts.ok("clock.pair", "two readings of the clock", format!("{pair} ns"));
    } else {
        facts.warn(
            "clock.pair",
            "two readings of the clock",
            format!("{pair} ns"),
            "use a faster clock source: tsc where the host has it",
        );
    }
}

fn source(roots: &Roots, facts: &mut Facts) {
    const SOURCE: (&str, &str) = ("clock.source", "clock source");
    let folder = "devices/system/clocksource/clocksource0";
    match roots.sys(&format!("{folder}/current_clocksource")) {
        Some(source) if FAST.contains(&source.as_str()) => facts.ok(SOURCE.0, SOURCE.1, source),
        Some(source) => {
            let available = roots.sys(&format!("{folder}/available_clocksource")).unwrap_or_default();
            let better = FAST.iter().find(|fast| available.split(' ').any(|name| name == **fast));
            let remedy = match better {
                Some(fast) => format!("echo {fast} | sudo tee /sys/{folder}/current_clocksource"),
                None => "the kernel offers no faster one here; repeat on another host or instance type".to_owned(),
            };
            facts.warn(SOURCE.0, SOURCE.1, source, remedy);
        }
        None => facts.unknown(SOURCE.0, SOURCE.1, None),
    }
}

/// The median time in nanoseconds from one reading of `CLOCK_MONOTONIC` to the next.
fn pair_ns() -> u64 {
    let now = || {
        let time = clock_gettime(ClockId::Monotonic);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    };
    let mut pairs: Vec<u64> = (0..2_001)
        .map(|_| {
            let first = now();
            now() - first
        })
        .collect();
    let middle = pairs.len() / 2;
    *pairs.select_nth_unstable(middle).1
}

#[cfg(test)]
mod tests {
    use super::super::facts::testing::tree;
    use super::*;
    use record::results::FactVerdict;

    #[test]
    fn a_slow_source_names_the_fast_one_that_is_there() {
        let folder = "sys/devices/system/clocksource/clocksource0";
        let (_folder, roots) = tree(&[
            (&format!("{folder}/current_clocksource"), "hpet\n"),
            (&format!("{folder}/available_clocksource"), "hpet tsc acpi_pm\n"),
        ]);
        let mut facts = Facts::default();
        probe(&roots, &mut facts);
        let fact = facts.get("clock.source");
        assert_eq!(fact.verdict, FactVerdict::Warn);
        assert_eq!(
            fact.remedy.as_deref(),
            Some("echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource")
        );
        assert!(facts.get("clock.pair").value.ends_with(" ns"));
    }

    #[test]
    fn each_source_has_its_verdict() {
        for (name, verdict) in [
            ("tsc", FactVerdict::Ok),
            ("arch_sys_counter", FactVerdict::Ok),
            ("kvm-clock", FactVerdict::Warn),
            ("acpi_pm", FactVerdict::Warn),
        ] {
            let (_folder, roots) = tree(&[("sys/devices/system/clocksource/clocksource0/current_clocksource", name)]);
            let mut facts = Facts::default();
            source(&roots, &mut facts);
            assert_eq!(facts.get("clock.source").verdict, verdict, "{name}");
        }
    }
}
