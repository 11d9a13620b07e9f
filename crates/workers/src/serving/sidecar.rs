//! Our sidecar between the client and the server: a process of this program, started when a cell asks for it.

use std::ffi::OsString;
use std::path::Path;

use loadgen::proctree::process_tree;
use loadgen::serving::target::{Place, Target};

use crate::child::Listening;
use crate::load_worker::Refusal;
use record::protocol::target::TargetCommand;

/// One that listens.
pub struct Sidecar {
    child: Listening,
    /// Where requests go.
    pub target: Target,
    upstream: Target,
}

impl Sidecar {
    /// CPU time that it has used, ns; none where the system does not tell.
    pub fn cpu_ns(&self) -> Option<u64> {
        process_tree(self.child.pid()).map(|tree| tree.cpu_ns)
    }
}

/// The sidecar, once it is needed.
#[derive(Default)]
pub struct Sidecars {
    running: Option<Sidecar>,
}

impl Sidecars {
    /// The sidecar before that server; one that has ended, or stands before another server, is replaced.
    ///
    /// # Errors
    /// It cannot be started; unavailable where it cannot speak to such a server.
    pub fn get(&mut self, command: &TargetCommand, upstream: &Target, model: &Path) -> Result<&Sidecar, Refusal> {
        let usable =
            self.running.as_mut().is_some_and(|sidecar| sidecar.upstream == *upstream && !sidecar.child.has_ended());
        if !usable {
            self.stop();
            self.running = Some(start(command, upstream, model)?);
        }
        self.running.as_ref().ok_or_else(|| Refusal::failed("the sidecar is gone"))
    }

    /// Ends it, if there is one.
    pub fn stop(&mut self) {
        self.running = None;
    }
}

fn start(command: &TargetCommand, upstream: &Target, model: &Path) -> Result<Sidecar, Refusal> {
    if matches!(upstream.place, Place::Tcp { tls: true, .. }) {
        return Err(Refusal::unavailable(format!(
            "a sidecar stands beside its server and speaks no TLS, which {upstream} wants; measure on the server's host with --base-url http://…"
        )));
    }
    let mut args: Vec<OsString> = ["sidecar", "--listen", "127.0.0.1:0", "--upstream"].map(OsString::from).to_vec();
    args.extend([upstream.to_string().into(), "--model".into(), model.as_os_str().to_owned()]);
    let (child, address) = Listening::start("sidecar", &command.program, &args).map_err(Refusal::failed)?;
    let target = address.parse().map_err(Refusal::failed)?;
    Ok(Sidecar { child, target, upstream: upstream.clone() })
}

#[cfg(test)]
mod tests {
    use record::protocol::ErrorKind;

    use super::*;
    use record::protocol::target::Patience;

    /// A program that listens, as far as its first line tells.
    fn command(dir: &Path) -> TargetCommand {
        use std::os::unix::fs::PermissionsExt;
        let program = dir.join("program");
        std::fs::write(&program, "#!/bin/sh\necho http://127.0.0.1:9\nexec sleep 100\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        TargetCommand {
            base_url: None,
            model: None,
            key_env: None,
            program,
            mock: Vec::new(),
            patience: Patience::default(),
        }
    }

    #[test]
    fn one_that_has_ended_or_stands_before_another_server_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let command = command(dir.path());
        let mut sidecars = Sidecars::default();
        let mut pid = |upstream: &str| {
            let sidecar = sidecars.get(&command, &upstream.parse().unwrap(), Path::new("model")).map_err(|e| e.message);
            sidecar.unwrap().child.pid()
        };
        let first = pid("http://a:1");
        assert_eq!(pid("http://a:1"), first);
        let other = pid("http://b:1");
        assert_ne!(other, first);
        let process = rustix::process::Pid::from_raw(i32::try_from(other).unwrap()).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
        let began = std::time::Instant::now();
        while pid("http://b:1") == other {
            assert!(began.elapsed().as_secs() < 20, "its end was not noticed");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    #[test]
    fn a_server_behind_tls_has_no_sidecar() {
        let command = TargetCommand {
            base_url: None,
            model: None,
            key_env: None,
            program: "none".into(),
            mock: Vec::new(),
            patience: Patience::default(),
        };
        let upstream = "https://host".parse().unwrap();
        let refusal = Sidecars::default().get(&command, &upstream, Path::new("model")).err().unwrap();
        assert!(refusal.kind == ErrorKind::Unavailable && refusal.message.contains("TLS"), "{}", refusal.message);
    }
}
