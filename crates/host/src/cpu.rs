//! The CPUs: how many, how many of them for us, how fast and how steady.

use std::collections::BTreeSet;

use super::Roots;
use super::cgroup::Groups;
use super::facts::{Facts, percent};
use super::roots::{members, value_of};

const ASK_THE_HOST: &str = "virtual machines hide it: ask on the host (cpupower frequency-info)";

/// How many cores there are.
pub(super) struct Cores {
    pub logical: u32,
    pub effective: u32,
}

pub(super) fn probe(roots: &Roots, facts: &mut Facts) -> Cores {
    let cpuinfo = roots.proc("cpuinfo").unwrap_or_default();
    facts.info_or_unknown("cpu.model", "CPU", model(&cpuinfo));
    let cores = count(roots, &cpuinfo, facts);
    frequency(roots, facts);
    turbo(roots, facts);
    virtualization(roots, &cpuinfo, facts);
    cores
}

fn model(cpuinfo: &str) -> Option<String> {
    if let Some(name) = value_of(cpuinfo, "model name").or_else(|| value_of(cpuinfo, "Model")) {
        return Some(name.to_owned());
    }
    // Arm names its cores by two numbers only.
    let implementer = value_of(cpuinfo, "CPU implementer")?;
    let part = value_of(cpuinfo, "CPU part")?;
    Some(format!("Arm, implementer {implementer}, part {part}"))
}

fn online(roots: &Roots) -> Option<Vec<u32>> {
    roots.sys("devices/system/cpu/online").and_then(|list| members(&list))
}

fn count(roots: &Roots, cpuinfo: &str, facts: &mut Facts) -> Cores {
    let online = online(roots).or_else(|| {
        let processors = cpuinfo.lines().filter(|line| line.starts_with("processor")).count() as u32;
        (processors > 0).then(|| (0..processors).collect())
    });
    let fallback = || std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
    let logical = online.as_ref().map_or_else(fallback, |online| online.len() as u32);
    facts.info("cpu.logical", "logical cores", logical.to_string());
    physical(roots, online.as_deref(), is_virtual(roots, cpuinfo), facts);

    let allowed = roots
        .proc("self/status")
        .and_then(|status| value_of(&status, "Cpus_allowed_list").and_then(members))
        .map(|mask| mask.iter().filter(|cpu| online.as_ref().is_none_or(|online| online.contains(cpu))).count() as u32);
    match allowed {
        Some(allowed) if allowed < logical => {
            facts.info("cpu.affinity", "affinity", format!("{allowed} of {logical} cores"));
        }
        Some(allowed) => facts.ok("cpu.affinity", "affinity", format!("all {allowed} cores")),
        None => facts.unknown("cpu.affinity", "affinity", None),
    }
    let allowed = allowed.unwrap_or(logical).max(1);

    let groups = Groups::of(roots, "cpu");
    let quota = groups.as_ref().and_then(Groups::quota);
    cgroup(groups.as_ref(), quota, allowed, facts);
    let effective = quota.map_or(allowed, |quota| allowed.min(quota.ceil() as u32)).max(1);
    if effective == 1 {
        facts.warn(
            "cpu.effective",
            "usable cores",
            "1",
            "thread scaling cannot be seen on one core; give the process more (taskset, docker run --cpus)",
        );
    } else {
        facts.ok("cpu.effective", "usable cores", effective.to_string());
    }
    Cores { logical, effective }
}

/// A virtual machine that shows each logical core as a core of its own may hide that two of them share one.
fn physical(roots: &Roots, online: Option<&[u32]>, is_virtual: bool, facts: &mut Facts) {
    const CORES: (&str, &str) = ("cpu.cores", "physical cores");
    let cores: Option<BTreeSet<(String, String)>> = online.and_then(|online| {
        online
            .iter()
            .map(|cpu| {
                let topology = format!("devices/system/cpu/cpu{cpu}/topology");
                let package = roots.sys(&format!("{topology}/physical_package_id"))?;
                Some((package, roots.sys(&format!("{topology}/core_id"))?))
            })
            .collect()
    });
    match (cores, online) {
        (Some(cores), Some(online)) if cores.len() < online.len() => facts.info(
            CORES.0,
            CORES.1,
            format!("{}, SMT on ({} threads a core)", cores.len(), online.len().div_ceil(cores.len())),
        ),
        (Some(cores), Some(_)) if !is_virtual => {
            facts.info(CORES.0, CORES.1, format!("{}, no SMT", cores.len()));
        }
        (Some(_), Some(_)) => facts.unknown(
            CORES.0,
            CORES.1,
            Some(
                "the virtual machine shows no siblings: ask the provider whether two of its cores share a physical one",
            ),
        ),
        _ => facts.unknown(CORES.0, CORES.1, None),
    }
}

fn cgroup(groups: Option<&Groups>, quota: Option<f64>, allowed: u32, facts: &mut Facts) {
    const QUOTA: (&str, &str) = ("cgroup.cpu.quota", "CPU quota");
    let Some(groups) = groups else {
        facts.unknown(QUOTA.0, QUOTA.1, None);
        return;
    };
    match quota {
        Some(quota) if quota < f64::from(allowed) => facts.warn(
            QUOTA.0,
            QUOTA.1,
            format!("{quota:.2} cores"),
            "threads beyond the quota are stopped for part of each period: give whole cores instead (docker run --cpuset-cpus 0-3, or the static CPU manager policy of Kubernetes)",
        ),
        Some(quota) => facts.ok(QUOTA.0, QUOTA.1, format!("{quota:.2} cores, not below the affinity")),
        None => facts.ok(QUOTA.0, QUOTA.1, "none"),
    }
    const THROTTLED: (&str, &str) = ("cgroup.cpu.throttled", "CPU throttling");
    match groups.throttling() {
        Some(throttling) if throttling.throttled > 0 => {
            let share = throttling.throttled as f64 / throttling.periods.max(1) as f64;
            let value = format!("in {} of the periods since the group began", percent(share));
            if share >= 0.01 {
                facts.warn(
                    THROTTLED.0,
                    THROTTLED.1,
                    value,
                    "raise the group's CPU quota, or give whole cores by a cpuset",
                );
            } else {
                facts.info(THROTTLED.0, THROTTLED.1, value);
            }
        }
        Some(_) => facts.ok(THROTTLED.0, THROTTLED.1, "none"),
        None if quota.is_none() => facts.ok(THROTTLED.0, THROTTLED.1, "none"),
        None => facts.unknown(THROTTLED.0, THROTTLED.1, None),
    }
}

fn frequency(roots: &Roots, facts: &mut Facts) {
    const GOVERNOR: (&str, &str) = ("cpu.governor", "CPU governor");
    let of_core = |cpu| roots.sys(&format!("devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"));
    let governors: BTreeSet<String> =
        online(roots).unwrap_or_else(|| vec![0]).into_iter().filter_map(of_core).collect();
    let value = governors.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    if governors.is_empty() {
        facts.unknown(GOVERNOR.0, GOVERNOR.1, Some(ASK_THE_HOST));
    } else if value == "performance" {
        facts.ok(GOVERNOR.0, GOVERNOR.1, value);
    } else {
        facts.warn(GOVERNOR.0, GOVERNOR.1, value, "sudo cpupower frequency-set --governor performance");
    }
}

fn turbo(roots: &Roots, facts: &mut Facts) {
    const TURBO: (&str, &str) = ("cpu.turbo", "turbo");
    let (no_turbo, boost) = ("devices/system/cpu/intel_pstate/no_turbo", "devices/system/cpu/cpufreq/boost");
    let on = |path: &str, command: &str, facts: &mut Facts| {
        facts.warn(
            TURBO.0,
            TURBO.1,
            "on: the clock falls as more cores work, which looks like bad scaling",
            format!("{command} | sudo tee /sys/{path}"),
        );
    };
    match (roots.sys(no_turbo).as_deref(), roots.sys(boost).as_deref()) {
        (Some("0"), _) => on(no_turbo, "echo 1", facts),
        (_, Some("1")) => on(boost, "echo 0", facts),
        (Some("1"), _) | (_, Some("0")) => facts.ok(TURBO.0, TURBO.1, "off"),
        _ => facts.unknown(TURBO.0, TURBO.1, Some(ASK_THE_HOST)),
    }
}

fn is_virtual(roots: &Roots, cpuinfo: &str) -> bool {
    let flagged = value_of(cpuinfo, "flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor"));
    flagged || roots.sys("hypervisor/type").is_some()
}

fn virtualization(roots: &Roots, cpuinfo: &str, facts: &mut Facts) {
    let kind = roots.sys("hypervisor/type");
    let product = roots.sys("class/dmi/id/product_name").filter(|product| !product.is_empty());
    let value = match (is_virtual(roots, cpuinfo), kind.or(product)) {
        (true, Some(name)) => format!("a virtual machine ({name}): neighbours change its speed"),
        (true, None) => "a virtual machine: neighbours change its speed".to_owned(),
        (false, _) if cpuinfo.is_empty() => {
            facts.unknown("cpu.virtualization", "virtualization", None);
            return;
        }
        (false, _) => "no sign of one".to_owned(),
    };
    facts.info("cpu.virtualization", "virtualization", value);
}

#[cfg(test)]
mod tests {
    use super::super::facts::testing::tree;
    use super::*;
    use record::results::FactVerdict;

    const MOUNT: &str = "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

    /// Four logical cores on two physical ones, three allowed, a quota of `quota`.
    fn probe_with(quota: &str) -> (Cores, Facts) {
        let (_folder, roots) = tree(&[
            ("proc/cpuinfo", "processor\t: 0\nmodel name\t: Test CPU @ 3 GHz\nflags\t\t: fpu hypervisor sse\n"),
            ("proc/self/status", "Name:\tx\nCpus_allowed:\t7\nCpus_allowed_list:\t0-2\n"),
            ("proc/self/cgroup", "0::/a\n"),
            ("proc/self/mountinfo", MOUNT),
            ("sys/fs/cgroup/a/cpu.max", quota),
            ("sys/fs/cgroup/a/cpu.stat", "nr_periods 100\nnr_throttled 20\nthrottled_usec 5\n"),
            ("sys/devices/system/cpu/online", "0-3\n"),
            ("sys/devices/system/cpu/cpu0/topology/physical_package_id", "0"),
            ("sys/devices/system/cpu/cpu0/topology/core_id", "0"),
            ("sys/devices/system/cpu/cpu1/topology/physical_package_id", "0"),
            ("sys/devices/system/cpu/cpu1/topology/core_id", "1"),
            ("sys/devices/system/cpu/cpu2/topology/physical_package_id", "0"),
            ("sys/devices/system/cpu/cpu2/topology/core_id", "0"),
            ("sys/devices/system/cpu/cpu3/topology/physical_package_id", "0"),
            ("sys/devices/system/cpu/cpu3/topology/core_id", "1"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
            ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave\n"),
            ("sys/devices/system/cpu/cpufreq/boost", "1\n"),
        ]);
        let mut facts = Facts::default();
        (probe(&roots, &mut facts), facts)
    }

    #[test]
    fn effective_cores_are_the_smaller_of_affinity_and_quota_rounded_up() {
        for (quota, effective) in [("max 100000", 3), ("150000 100000", 2), ("50000 100000", 1), ("800000 100000", 3)] {
            let (cores, _) = probe_with(quota);
            assert_eq!((cores.logical, cores.effective), (4, effective), "{quota}");
        }
    }

    #[test]
    fn what_disturbs_is_told_with_its_remedy() {
        let (_, facts) = probe_with("150000 100000");
        assert_eq!(facts.get("cpu.model").value, "Test CPU @ 3 GHz");
        assert_eq!(facts.get("cpu.cores").value, "2, SMT on (2 threads a core)");
        assert_eq!(facts.get("cpu.affinity").value, "3 of 4 cores");
        assert_eq!(facts.get("cgroup.cpu.quota").value, "1.50 cores");
        assert_eq!(facts.get("cpu.governor").value, "performance, powersave");
        assert_eq!(
            facts.get("cpu.governor").remedy.as_deref(),
            Some("sudo cpupower frequency-set --governor performance")
        );
        assert_eq!(facts.get("cpu.virtualization").value, "a virtual machine: neighbours change its speed");
        for key in ["cgroup.cpu.quota", "cgroup.cpu.throttled", "cpu.governor", "cpu.turbo"] {
            let fact = facts.get(key);
            assert_eq!(fact.verdict, FactVerdict::Warn, "{key}");
            assert!(fact.remedy.is_some(), "{key}");
        }
        assert_eq!(
            facts.get("cpu.turbo").remedy.as_deref(),
            Some("echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost")
        );
    }

    #[test]
    fn a_machine_that_shows_nothing_is_unknown_and_not_an_error() {
        let (_folder, roots) = tree(&[]);
        let mut facts = Facts::default();
        let cores = probe(&roots, &mut facts);
        assert!(cores.logical >= 1);
        assert_eq!(cores.effective, cores.logical);
        for key in [
            "cpu.model",
            "cpu.cores",
            "cpu.affinity",
            "cgroup.cpu.quota",
            "cpu.governor",
            "cpu.turbo",
            "cpu.virtualization",
        ] {
            assert_eq!(facts.get(key).verdict, FactVerdict::Unknown, "{key}");
        }
    }

    /// Each logical core as a core of its own: true on bare metal, not to be trusted in a virtual machine.
    #[test]
    fn siblings_that_may_be_hidden_are_unknown() {
        for (flags, verdict) in [("fpu sse", FactVerdict::Info), ("fpu hypervisor sse", FactVerdict::Unknown)] {
            let (_folder, roots) = tree(&[
                ("proc/cpuinfo", &format!("processor\t: 0\nmodel name\t: Test\nflags\t\t: {flags}\n")),
                ("sys/devices/system/cpu/online", "0-1\n"),
                ("sys/devices/system/cpu/cpu0/topology/physical_package_id", "0"),
                ("sys/devices/system/cpu/cpu0/topology/core_id", "0"),
                ("sys/devices/system/cpu/cpu1/topology/physical_package_id", "0"),
                ("sys/devices/system/cpu/cpu1/topology/core_id", "1"),
            ]);
            let mut facts = Facts::default();
            probe(&roots, &mut facts);
            assert_eq!(facts.get("cpu.cores").verdict, verdict, "{flags}");
        }
    }

    #[test]
    fn arm_and_intel() {
        assert_eq!(
            model("processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n").as_deref(),
            Some("Arm, implementer 0x41, part 0xd0c")
        );
        let (_folder, roots) = tree(&[("sys/devices/system/cpu/intel_pstate/no_turbo", "1\n")]);
        let mut facts = Facts::default();
        turbo(&roots, &mut facts);
        assert_eq!(facts.get("cpu.turbo").verdict, FactVerdict::Ok);
    }
}
