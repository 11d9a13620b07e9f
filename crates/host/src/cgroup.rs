//! Limits that a control group puts on the process, in version 1 and 2 of the interface (Linux, Documentation/admin-guide/
//! cgroup-v1 and cgroup-v2.rst).

use std::path::{Component, Path, PathBuf};

use super::Roots;
use super::roots::{read, value_of};

/// The folders of one controller that hold the process, from its own group up to the mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Groups {
    folders: Vec<PathBuf>,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// How often the quota stopped the group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Throttling {
    pub periods: u64,
    pub throttled: u64,
    pub throttled_ns: u64,
}

impl Groups {
    /// The groups of a controller, `cpu` or `memory`; none where it is not mounted (no cgroups, not Linux).
    pub fn of(roots: &Roots, controller: &str) -> Option<Self> {
        let memberships = roots.proc("self/cgroup")?;
        let mounts = roots.proc("self/mountinfo")?;
        // A controller that version 1 owns is not in the unified tree.
        Self::find(roots, &memberships, &mounts, controller, Version::One)
            .or_else(|| Self::find(roots, &memberships, &mounts, controller, Version::Two))
    }

    fn find(roots: &Roots, memberships: &str, mounts: &str, controller: &str, version: Version) -> Option<Self> {
        let path = memberships.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let ours = match version {
                Version::One => controllers.split(',').any(|name| name == controller),
                Version::Two => id == "0" && controllers.is_empty(),
            };
            ours.then_some(path)
        })?;
        let (mounted, at) = mounts.lines().find_map(|line| mount(line, controller, version))?;
        // In a container the mount often shows only the group itself: then its folder is the mount. A group outside the
        // namespace is written with `..`, and nothing of it is to be seen.
        let below = Path::new(path).strip_prefix(mounted).unwrap_or(Path::new(""));
        let below = if below.components().any(|part| part == Component::ParentDir) { Path::new("") } else { below };
        let top = roots.locate(at);
        let folders = below.ancestors().map(|part| top.join(part)).filter(|folder| folder.is_dir()).collect();
        Some(Self { folders, version })
    }

    /// The tightest CPU quota in cores over the group and all above it; none if there is none.
    pub fn quota(&self) -> Option<f64> {
        self.quotas().map(|(cores, _)| cores).reduce(f64::min)
    }

    /// Counters of the group whose quota is the tightest, or of the own group.
    pub fn throttling(&self) -> Option<Throttling> {
        let tightest = self.quotas().reduce(|left, right| if right.0 < left.0 { right } else { left });
        let folder = tightest.map(|(_, folder)| folder).or(self.folders.first())?;
        let text = read(&folder.join("cpu.stat"))?;
        let count = |key| value_of(&text, key).and_then(|value| value.parse::<u64>().ok());
        Some(Throttling {
            periods: count("nr_periods")?,
            throttled: count("nr_throttled")?,
            throttled_ns: match self.version {
                Version::One => count("throttled_time")?,
                Version::Two => count("throttled_usec")?.saturating_mul(1_000),
            },
        })
    }

    /// The tightest memory limit in bytes; none if there is none.
    pub fn memory_limit(&self) -> Option<u64> {
        let name = match self.version {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.max",
        };
        let limits = self.folders.iter().filter_map(|folder| read(&folder.join(name))?.parse::<u64>().ok());
        // Version 1 writes "no limit" as the largest number of whole pages.
        limits.filter(|limit| *limit < 1 << 60).min()
    }

    fn quotas(&self) -> impl Iterator<Item = (f64, &PathBuf)> {
        self.folders.iter().filter_map(|folder| {
            let (quota, period) = match self.version {
                Version::One => (read(&folder.join("cpu.cfs_quota_us"))?, read(&folder.join("cpu.cfs_period_us"))?),
                Version::Two => {
                    let text = read(&folder.join("cpu.max"))?;
                    let (quota, period) = text.split_once(' ')?;
                    (quota.to_owned(), period.to_owned())
                }
            };
            let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
            (quota > 0.0 && period > 0.0).then_some((quota / period, folder))
        })
    }
}

/// `(root, mount point)` of a line of mountinfo that mounts the controller; format in proc_pid_mountinfo(5).
fn mount<'a>(line: &'a str, controller: &str, version: Version) -> Option<(&'a str, &'a str)> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    let (root, at) = (fields.next()?, fields.next()?);
    let mut fields = filesystem.split(' ');
    let (kind, options) = (fields.next()?, fields.nth(1)?);
    let ours = match version {
        Version::One => kind == "cgroup" && options.split(',').any(|option| option == controller),
        Version::Two => kind == "cgroup2",
    };
    ours.then_some((root, at))
}

#[cfg(test)]
mod tests {
    use super::super::facts::testing::tree;
    use super::*;

    const V2_MOUNT: &str =
        "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n";

    #[test]
    fn version_2_takes_the_tightest_group_above() {
        let (_folder, roots) = tree(&[
            ("proc/self/cgroup", "0::/user.slice/app.scope\n"),
            ("proc/self/mountinfo", V2_MOUNT),
            ("sys/fs/cgroup/user.slice/cpu.max", "150000 100000\n"),
            (
                "sys/fs/cgroup/user.slice/cpu.stat",
                "usage_usec 9\nnr_periods 40\nnr_throttled 10\nthrottled_usec 2500\n",
            ),
            ("sys/fs/cgroup/user.slice/memory.max", "max\n"),
            ("sys/fs/cgroup/user.slice/app.scope/cpu.max", "400000 100000\n"),
            ("sys/fs/cgroup/user.slice/app.scope/cpu.stat", "nr_periods 1\nnr_throttled 0\nthrottled_usec 0\n"),
            ("sys/fs/cgroup/user.slice/app.scope/memory.max", "1073741824\n"),
        ]);
        let cpu = Groups::of(&roots, "cpu").unwrap();
        assert_eq!(cpu.quota(), Some(1.5));
        assert_eq!(cpu.throttling(), Some(Throttling { periods: 40, throttled: 10, throttled_ns: 2_500_000 }));
        assert_eq!(Groups::of(&roots, "memory").unwrap().memory_limit(), Some(1 << 30));
    }

    #[test]
    fn version_2_passes_groups_without_a_limit() {
        let (_folder, roots) = tree(&[
            ("proc/self/cgroup", "0::/a/b\n"),
            ("proc/self/mountinfo", V2_MOUNT),
            ("sys/fs/cgroup/a/cpu.max", "250000 100000\n"),
            ("sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
        ]);
        assert_eq!(Groups::of(&roots, "cpu").unwrap().quota(), Some(2.5));
    }

    /// The process was moved out of the namespace that it reads: only the mount is to be seen.
    #[test]
    fn a_group_outside_the_namespace() {
        let (_folder, roots) = tree(&[
            ("proc/self/cgroup", "0::/../other\n"),
            ("proc/self/mountinfo", V2_MOUNT),
            ("sys/fs/cgroup/cpu.max", "300000 100000\n"),
            ("sys/fs/other/cpu.max", "100000 100000\n"),
        ]);
        assert_eq!(Groups::of(&roots, "cpu").unwrap().quota(), Some(3.0));
    }

    #[test]
    fn version_2_without_a_limit() {
        let (_folder, roots) = tree(&[
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", V2_MOUNT),
            ("sys/fs/cgroup/cpu.stat", "usage_usec 1\n"),
        ]);
        let cpu = Groups::of(&roots, "cpu").unwrap();
        assert_eq!(cpu.quota(), None);
        assert_eq!(cpu.throttling(), None);
        assert_eq!(cpu.memory_limit(), None);
    }

    /// Docker without a cgroup namespace: the membership names the group on the host, the mount shows it as its root.
    #[test]
    fn version_1_in_a_container() {
        let mounts = "30 25 0:27 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n\
                      31 25 0:28 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
                      32 25 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let (_folder, roots) = tree(&[
            ("proc/self/cgroup", "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/system.slice\n"),
            ("proc/self/mountinfo", mounts),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "200000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.stat", "nr_periods 7\nnr_throttled 3\nthrottled_time 1234\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        let cpu = Groups::of(&roots, "cpu").unwrap();
        assert_eq!(cpu.quota(), Some(2.0));
        assert_eq!(cpu.throttling(), Some(Throttling { periods: 7, throttled: 3, throttled_ns: 1234 }));
        assert_eq!(Groups::of(&roots, "memory").unwrap().memory_limit(), None);
    }

    #[test]
    fn version_1_without_a_quota() {
        let (_folder, roots) = tree(&[
            ("proc/self/cgroup", "1:cpu:/\n"),
            ("proc/self/mountinfo", "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(Groups::of(&roots, "cpu").unwrap().quota(), None);
    }

    #[test]
    fn none() {
        let (_folder, roots) = tree(&[]);
        assert_eq!(Groups::of(&roots, "cpu"), None);
    }
}
