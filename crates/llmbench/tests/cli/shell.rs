//! Command lines in a world of their own: an empty PATH, a home and a cache in a temporary folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A temporary folder in which command lines run.
pub struct Shell {
    dir: TempDir,
}

impl Shell {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["bin", "home"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file and returns its name, which is relative to the folder that command lines run in.
    pub fn file<'a>(&self, name: &'a str, bytes: impl AsRef<[u8]>) -> &'a str {
        std::fs::write(self.path(name), bytes).unwrap();
        name
    }

    /// `llmbench` with these arguments, no interpreter in reach and no variable of the user's.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_llmbench"));
        command.args(args);
        command
    }

    /// A script of a POSIX shell that finds `llmbench`, in the same world.
    #[allow(dead_code, reason = "one of the test programs that share this file calls it")]
    pub fn sh(&self, script: &str) -> Output {
        let link = self.path("bin/llmbench");
        if !link.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_llmbench"), link).unwrap();
        }
        self.program("/bin/sh").args(["-c", script]).output().unwrap()
    }

    fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("HOME", self.path("home"))
            .env("LLMBENCH_CACHE", self.path("cache"))
            .stdin(Stdio::null());
        command
    }

    pub fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// The command line, its exit code and what it wrote, as one text without names of this machine.
    pub fn session(&self, args: &[&str]) -> String {
        let output = self.output(args);
        let mut text = format!("$ llmbench {}\nexit code: {}\n", args.join(" "), code(&output));
        for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            if !bytes.is_empty() {
                text.push_str(&format!("--- {name}\n{}", String::from_utf8(bytes.clone()).unwrap()));
            }
        }
        self.anonymous(&text)
    }

    fn anonymous(&self, text: &str) -> String {
        let canonical = self.dir.path().canonicalize().unwrap();
        let hide = |text: String, path: &Path| text.replace(&path.display().to_string(), "[dir]");
        hide(hide(text.to_owned(), &canonical), self.dir.path())
    }
}

/// The exit code; -1 where a signal ended it.
pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}
