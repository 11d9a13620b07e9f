//! Versions of what this binary was built from.

/// Every package that this crate depends on, as its manifest names it, and its version in Cargo.lock at the build.
const PACKAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/versions.rs"));

/// Version of the compiler.
pub const RUSTC: &str = env!("LLMBENCH_RUSTC");

/// Optimisation level of the build: `3` in a release.
pub const OPT_LEVEL: &str = env!("LLMBENCH_OPT_LEVEL");

/// Target triple.
pub const TARGET: &str = env!("LLMBENCH_TARGET");

/// Version of the package `name`, or `unknown`, as all are outside the workspace.
pub fn of(name: &str) -> &'static str {
    PACKAGES.iter().find(|(package, _)| *package == name).map_or("unknown", |(_, version)| version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_stands_in_the_lock() {
        let lock = include_str!("../../../Cargo.lock");
        for (name, version) in PACKAGES.iter().filter(|(name, _)| lock.contains(&format!("name = \"{name}\""))) {
            let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
            assert!(lock.contains(&entry), "{name} {version} is not in Cargo.lock");
        }
        assert_eq!(of("no-such-crate"), "unknown");
        assert!(of("tokenizers").starts_with("0.") && of("tokenizers-rc").starts_with("1."), "{PACKAGES:?}");
        assert!(RUSTC.starts_with(|first: char| first.is_ascii_digit()), "{RUSTC}");
    }
}
