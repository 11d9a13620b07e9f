//! The simulated server in a process of its own, on this machine.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use loadgen::serving::target::Target;
use rustix::process::{Pid, Signal, kill_process};

use crate::Failure;

/// How long it may take to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(2);

/// A running `llmbench mock`; dropping it ends it.
#[derive(Debug)]
pub struct MockChild {
    child: Child,
    target: Target,
}

impl MockChild {
    /// Starts this very program as `mock` on a free port of the loopback interface, and waits until it listens.
    ///
    /// # Errors
    /// Usage, with what it said; a bug, where this program cannot be started.
    pub fn start(args: &[&str]) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(Failure::bug)?;
        let mut command = Command::new(program);
        command.arg("mock").args(["--host", "127.0.0.1", "--port", "0"]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(Failure::bug)?;
        let mut first = String::new();
        if let Some(stdout) = child.stdout.as_mut() {
            BufReader::new(stdout).read_line(&mut first).map_err(Failure::bug)?;
        }
        match first.trim().parse() {
            Ok(target) => Ok(Self { child, target }),
            Err(_) => {
                end(&mut child);
                Err(Failure::usage("the simulated server did not start; what it said stands above"))
            }
        }
    }

    /// Where it listens.
    pub fn target(&self) -> &Target {
        &self.target
    }
}

impl Drop for MockChild {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Asks it to end, and kills it if it does not.
fn end(child: &mut Child) {
    // It may be gone already; then there is nothing to ask.
    let _ = kill_process(Pid::from_child(child), Signal::TERM);
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
}
