//! Puts the versions of the engines, as Cargo.lock has them, and of the compiler into the crate: records name them.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Crates whose version is told, in the order of `src/versions.rs`.
const CRATES: [&str; 9] =
    ["bpe", "fastokens", "kitoken", "minijinja", "rayon", "rmp", "serde_json", "tiktoken-rs", "tokenizers"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let lock = manifest.join("../../Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock.display());
    let lock = fs::read_to_string(lock).unwrap_or_default();
    for name in CRATES {
        let version = version(&lock, name).unwrap_or_else(|| "unknown".to_owned());
        let variable = name.to_uppercase().replace('-', "_");
        println!("cargo::rustc-env=LLMBENCH_VERSION_{variable}={version}");
    }
    let candidate = listed(&lock, "tokenizers").into_iter().next_back().unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=LLMBENCH_VERSION_TOKENIZERS_RC={candidate}");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let rustc = Command::new(rustc)
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .and_then(|text| text.split_whitespace().nth(1).map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=LLMBENCH_RUSTC={rustc}");
    println!("cargo::rustc-env=LLMBENCH_OPT_LEVEL={}", env::var("OPT_LEVEL").unwrap_or_default());
    println!("cargo::rustc-env=LLMBENCH_TARGET={}", env::var("TARGET").unwrap_or_default());
}

/// The version of `name` that this package depends on; of several the lowest, which is the stable one.
fn version(lock: &str, name: &str) -> Option<String> {
    listed(lock, name).into_iter().next().or_else(|| {
        let package = lock.split("[[package]]").find(|package| package.contains(&format!("\nname = \"{name}\"\n")))?;
        Some(package.lines().find_map(|line| line.strip_prefix("version = \""))?.trim_end_matches('"').to_owned())
    })
}

/// Versions of `name` in this package's own list, in the lock's order, which is ascending. Only a crate that the lock has
/// several of is listed with a version (`"tokenizers 0.23.2"`).
fn listed(lock: &str, name: &str) -> Vec<String> {
    let own = lock.split("[[package]]").find(|package| package.contains("name = \"engines\"")).unwrap_or("");
    own.lines()
        .filter_map(|line| line.trim().strip_prefix(&format!("\"{name} "))?.split(['"', ' ']).next())
        .map(str::to_owned)
        .collect()
}
