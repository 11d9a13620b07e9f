//! Embeds the Python worker and the locks of its optional engines: the binary is all that a user has to carry.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let python = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("../../python");
    println!("cargo::rerun-if-changed={}", python.join("llmbench_worker").display());
    println!("cargo::rerun-if-changed={}", python.join("requirements.lock").display());
    let mut files = Vec::new();
    collect(&python.join("llmbench_worker"), &mut files)?;
    files.sort();
    let mut list = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(&python).map_err(io::Error::other)?.display().to_string();
        let path = fs::canonicalize(&file)?.display().to_string();
        // Writing to a string cannot fail.
        let _ = writeln!(list, "    ({name:?}, include_bytes!({path:?})),");
    }
    list.push_str("]\n");
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    fs::write(out.join("python_worker.rs"), list)?;
    fs::write(out.join("optional_locks.rs"), optional(&python.join("optional"))?)
}

/// The list of packages that have a lock of their own, by name, and the locks.
fn optional(folder: &Path) -> io::Result<String> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut locks = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = fs::canonicalize(entry?.path())?;
        if path.extension().is_some_and(|extension| extension == "lock") {
            locks.push(path);
        }
    }
    locks.sort();
    let name = |path: &Path| path.file_stem().unwrap_or_default().display().to_string();
    let lines =
        locks.iter().map(|path| format!("    ({:?}, include_str!({:?})),\n", name(path), path.display().to_string()));
    Ok(format!("&[\n{}]\n", lines.collect::<String>()))
}

/// The sources below a folder; compiled bytecode stays behind.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "py" || extension == "c" || extension == "json")
        {
            files.push(path);
        }
    }
    Ok(())
}
