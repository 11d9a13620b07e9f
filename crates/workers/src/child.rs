//! A process of this program that listens: it says where on the first line that it writes, and lives as long as its owner.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use record::protocol::target::TARGET_VAR;

/// It says where it listens within this time: tokenizers are loaded and compared before.
pub const START: Duration = Duration::from_secs(60);
/// Once its output has ended, what it said last is there within this.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The process; dropping it ends it.
pub struct Listening {
    child: Child,
}

impl Listening {
    /// Starts `program` with `args` and waits for its address, which comes second. `name` is its verb.
    ///
    /// # Errors
    /// It does not start, or ends before it listens; the sentence has what it said last.
    pub fn start(name: &str, program: &Path, args: &[OsString]) -> Result<(Self, String), String> {
        let mut child = Command::new(program)
            .args(args)
            .env_remove(TARGET_VAR)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", program.display()))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let listening = Self { child };
        let stdout = stdout.ok_or_else(|| format!("the {name} has no standard output"))?;
        let (say, said) = channel();
        // What it writes later is of no interest, but a full pipe would stop it.
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stdout);
            let mut first = String::new();
            let read = lines.read_line(&mut first);
            // Nobody waits any more when it came too late.
            let _ = say.send(read.map(|_| first));
            let _ = sink(&mut lines);
        });
        let last = Arc::new(Mutex::new(String::new()));
        let (end, ended) = channel();
        if let Some(stderr) = stderr {
            let last = Arc::clone(&last);
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    if !line.trim().is_empty() {
                        *last.lock().unwrap_or_else(PoisonError::into_inner) = line;
                    }
                }
                let _ = end.send(());
            });
        }
        match said.recv_timeout(START) {
            Ok(Ok(first)) if !first.trim().is_empty() => Ok((listening, first.trim().to_owned())),
            Ok(_) => {
                // It may have closed its output without a word.
                let _ = ended.recv_timeout(LAST_WORDS);
                let last = last.lock().unwrap_or_else(PoisonError::into_inner);
                Err(format!(
                    "the {name} ended before it listened: {}",
                    if last.is_empty() { "it said nothing" } else { &last }
                ))
            }
            Err(_) => Err(format!(
                "the {name} did not say where it listens within {} s; see what keeps this machine busy",
                START.as_secs()
            )),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

fn sink(from: &mut impl Read) -> std::io::Result<u64> {
    std::io::copy(from, &mut std::io::sink())
}

impl Drop for Listening {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<(Listening, String), String> {
        Listening::start("mock", Path::new("/bin/sh"), &["-c".into(), script.into()])
    }

    #[test]
    fn the_first_line_is_the_address_and_its_end_is_noticed() {
        let (mut child, address) = shell("echo http://h:1; echo more; exec sleep 100").unwrap();
        assert_eq!((address.as_str(), child.has_ended()), ("http://h:1", false));
        let (mut child, _) = shell("echo unix:/a").unwrap();
        let began = std::time::Instant::now();
        while !child.has_ended() && began.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(child.has_ended());
    }

    #[test]
    fn what_it_said_last_is_the_reason() {
        let error = shell("echo first >&2; echo the port is taken >&2; exit 2").err().unwrap();
        assert_eq!(error, "the mock ended before it listened: the port is taken");
        let error = Listening::start("mock", Path::new("/no/such/program"), &[]).err().unwrap();
        assert!(error.contains("/no/such/program"), "{error}");
    }
}
