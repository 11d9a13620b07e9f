//! Versions of what this binary was built from.

/// Crate and version, as Cargo.lock had it at the build; `unknown` outside the workspace.
pub const CRATES: [(&str, &str); 10] = [
    ("bpe", env!("LLMBENCH_VERSION_BPE")),
    ("fastokens", env!("LLMBENCH_VERSION_FASTOKENS")),
    ("kitoken", env!("LLMBENCH_VERSION_KITOKEN")),
    ("minijinja", env!("LLMBENCH_VERSION_MINIJINJA")),
    ("rayon", env!("LLMBENCH_VERSION_RAYON")),
    ("rmp", env!("LLMBENCH_VERSION_RMP")),
    ("serde_json", env!("LLMBENCH_VERSION_SERDE_JSON")),
    ("tiktoken-rs", env!("LLMBENCH_VERSION_TIKTOKEN_RS")),
    ("tokenizers", env!("LLMBENCH_VERSION_TOKENIZERS")),
    // The release candidate is the same package under another name here.
    ("tokenizers-rc", env!("LLMBENCH_VERSION_TOKENIZERS_RC")),
];

/// Version of the compiler.
pub const RUSTC: &str = env!("LLMBENCH_RUSTC");

/// Optimisation level of the build: `3` in a release.
pub const OPT_LEVEL: &str = env!("LLMBENCH_OPT_LEVEL");

/// Target triple.
pub const TARGET: &str = env!("LLMBENCH_TARGET");

/// Version of `name`, or `unknown`.
pub fn of(name: &str) -> &'static str {
    CRATES.iter().find(|(crate_name, _)| *crate_name == name).map_or("unknown", |(_, version)| version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_stands_in_the_lock() {
        let lock = include_str!("../../../Cargo.lock");
        for (name, version) in CRATES {
            let name = name.trim_end_matches("-rc");
            let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
            assert!(lock.contains(&entry), "{name} {version} is not in Cargo.lock");
        }
        assert_eq!(of("no-such-crate"), "unknown");
        assert!(of("tokenizers").starts_with("0.") && of("tokenizers-rc").starts_with("1."), "{CRATES:?}");
        assert!(RUSTC.starts_with(|first: char| first.is_ascii_digit()), "{RUSTC}");
    }
}
