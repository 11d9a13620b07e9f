//! Shell scripts that answer as an interpreter does.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a script pretends to be.
#[derive(Clone)]
pub struct Fake {
    pub version: (u32, u32, u32),
    pub implementation: &'static str,
    pub free_threaded: bool,
    pub has_ensurepip: bool,
    /// What the `pip` of its environments does, as shell code; `$0` lies in the environment.
    pub pip: String,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            version: (3, 12, 1),
            implementation: "CPython",
            free_threaded: false,
            has_ensurepip: true,
            pip: "echo 'Collecting a==1 (from -r lock)'; echo 'Installing collected packages: a'".into(),
        }
    }
}

impl Fake {
    pub fn version(major: u32, minor: u32, micro: u32) -> Self {
        Self { version: (major, minor, micro), ..Self::default() }
    }

    /// Writes the script. Each environment that it makes adds a line to the file `made` beside it.
    pub fn write(&self, path: &Path) {
        let (major, minor, micro) = self.version;
        let (free_threaded, ensurepip, name) = (self.free_threaded, self.has_ensurepip, self.implementation);
        let answer = format!(
            r#"{{"version":[{major},{minor},{micro},"final",0],"implementation":"{name}","executable":"'$0'","#
        ) + r#""real":"'$(readlink -f "$0")'","prefix":"'$(dirname "$(readlink -f "$0")")'","in_venv":false,"#
            + &format!(r#""free_threaded":{free_threaded},"build":{{}},"has_venv":true,"has_ensurepip":{ensurepip}}}"#);
        let inner = format!("#!/bin/sh\n{}\n", self.pip);
        let text = format!(
            r#"#!/bin/sh
case "$*" in
*llmbench-probe*)
    echo noise of sitecustomize
    echo 'llmbench-probe:{answer}' ;;
"-I -m venv "*)
    echo made >> "$(dirname "$0")/made"
    mkdir -p "$4/bin"
    cat > "$4/bin/python" <<'END'
{inner}
END
    chmod +x "$4/bin/python" ;;
*) echo "unexpected: $*" >&2; exit 9 ;;
esac
"#
        );
        script(path, &text);
    }
}

/// Writes an executable file by way of a child: were it open for writing here while another thread forks, it could not
/// be run ("text file busy").
pub fn script(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let write = r#"printf %s "$2" > "$1" && chmod +x "$1""#;
    let status = Command::new("/bin/sh").args(["-c", write, "sh"]).arg(path).arg(text).status();
    assert!(status.unwrap().success());
}

/// `PATH` of these folders, and of the tools that the scripts call.
pub fn path_of(dirs: &[&Path]) -> std::ffi::OsString {
    std::env::join_paths(dirs.iter().map(PathBuf::from)).unwrap()
}
