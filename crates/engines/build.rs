//! Puts the versions of the packages, as Cargo.lock has them, and of the compiler into the crate: records name them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let home = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let read = |path: &Path| {
        println!("cargo::rerun-if-changed={}", path.display());
        fs::read_to_string(path).unwrap_or_default()
    };
    let (manifest, lock) = (read(&home.join("Cargo.toml")), read(&home.join("../../Cargo.lock")));
    let own = lock.split("[[package]]").find(|package| package.contains("name = \"engines\"")).unwrap_or("");
    let dependencies =
        manifest.split("\n[dependencies]\n").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap_or("");
    let versions: Vec<(&str, &str)> = dependencies
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .filter(|(name, _)| !name.starts_with('#'))
        .filter_map(|(name, value)| Some((name, version(&lock, own, name, value)?)))
        .collect();
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("versions.rs"), format!("&{versions:?}"))?;
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
    Ok(())
}

/// The version in the lock of the dependency `name`, whose right side in the manifest is `value`.
///
/// The lock lists a crate that it has several of with each version (`"tokenizers 0.23.2"`), in ascending order. A dependency under
/// another name (`package = …`) is the one that its own requirement begins; any other is the lowest, which is the stable one.
fn version<'a>(lock: &'a str, own: &'a str, name: &str, value: &str) -> Option<&'a str> {
    let text = |key: &str| value.split_once(&format!("{key} = \""))?.1.split('"').next();
    let package = text("package").unwrap_or(name);
    let listed =
        own.lines().filter_map(|line| line.trim().strip_prefix(&format!("\"{package} "))?.split(['"', ' ']).next());
    let wanted = text("package").and(text("version")).map_or("", |version| version.trim_start_matches(['=', '^']));
    listed.into_iter().find(|version| version.starts_with(wanted)).or_else(|| {
        let entry = lock.split("[[package]]").find(|entry| entry.contains(&format!("\nname = \"{package}\"\n")))?;
        entry.lines().find_map(|line| line.strip_prefix("version = \""))?.split('"').next()
    })
}
