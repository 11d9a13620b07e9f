//! Environments: made once, made anew when half-made, and every failure with its remedy.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use provision::pyenv::{
    EnsureOptions, EnvError, EnvProgress, Environment, Interpreter, Surroundings, discover, install_sources,
};

use crate::fake::{Fake, script};

const LOCK: &str = "a==1 \\\n    --hash=sha256:00\n";

struct Place {
    tmp: tempfile::TempDir,
    interpreter: Interpreter,
    uv: Option<PathBuf>,
}

impl Place {
    fn new(fake: Fake) -> Self {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("python3");
        fake.write(&path);
        let found = discover(&[path.display().to_string()], &Surroundings::default());
        let interpreter = found.usable.into_iter().next().unwrap();
        Self { tmp, interpreter, uv: None }
    }

    fn with_pip(pip: &str) -> Self {
        Self::new(Fake { pip: pip.into(), ..Fake::default() })
    }

    fn cache(&self) -> PathBuf {
        self.tmp.path().join("cache")
    }

    fn options(&self) -> EnsureOptions<'static> {
        EnsureOptions { timeout: Duration::from_secs(60), cancel: &|| false, uv: self.uv.clone() }
    }

    fn ensure(&self, lock: &str) -> Result<Environment, EnvError> {
        Environment::ensure(&self.interpreter, lock, &self.cache(), &self.options(), &mut |_| {})
    }

    fn error(&self) -> String {
        let e = self.ensure(LOCK).unwrap_err().to_string();
        assert!(!e.contains('\n'), "{e}");
        let left = fs::read_dir(self.cache().join("envs")).unwrap();
        let left: Vec<_> = left.filter(|e| e.as_ref().unwrap().path().is_dir()).collect();
        assert!(left.is_empty(), "a failed environment is removed: {left:?}");
        e
    }

    /// How many environments were made.
    fn made(&self) -> usize {
        fs::read_to_string(self.tmp.path().join("made")).map_or(0, |text| text.lines().count())
    }
}

#[test]
fn it_is_made_once_a_lock() {
    let place = Place::new(Fake::default());
    let mut steps = vec![];
    let options = place.options();
    let first = Environment::ensure(&place.interpreter, LOCK, &place.cache(), &options, &mut |p| {
        steps.push(format!("{p:?}"));
    });
    let first = first.unwrap();
    assert!(first.made && first.python.is_file());
    let expected = [
        EnvProgress::Creating { tool: "venv" },
        EnvProgress::Package { done: 0, total: 1, name: "a" },
        EnvProgress::Installing { total: 1 },
    ];
    assert_eq!(steps, expected.map(|p| format!("{p:?}")));
    let name = first.dir.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.starts_with(&format!("{}-3.12.1-", &first.lock_sha[..8])), "{name}");
    assert_eq!(first.lock_sha.len(), 64);
    assert_eq!(fs::read_to_string(first.dir.join("requirements.lock")).unwrap(), LOCK);

    let again = place.ensure(LOCK).unwrap();
    assert_eq!(again, Environment { made: false, ..first.clone() });
    assert_eq!(place.made(), 1);
    let other = place.ensure("b==1 --hash=sha256:00\n").unwrap();
    assert_ne!(other.dir, first.dir);
    assert_eq!(place.made(), 2);
}

#[test]
fn a_half_made_one_is_made_anew() {
    let place = Place::new(Fake::default());
    let first = place.ensure(LOCK).unwrap();
    fs::remove_file(first.dir.join("llmbench-env.json")).unwrap();
    fs::write(first.dir.join("left-over"), "").unwrap();
    assert!(place.ensure(LOCK).unwrap().made);
    assert!(!first.dir.join("left-over").exists());
    fs::remove_file(&first.python).unwrap();
    assert!(place.ensure(LOCK).unwrap().made, "its interpreter is gone");
    assert_eq!(place.made(), 3);
}

#[test]
fn two_at_once_make_one() {
    let place = Place::with_pip("sleep 0.3");
    std::thread::scope(|s| {
        let both = [s.spawn(|| place.ensure(LOCK)), s.spawn(|| place.ensure(LOCK))];
        let made: Vec<bool> = both.map(|t| t.join().unwrap().unwrap().made).into();
        assert_eq!(made.iter().filter(|m| **m).count(), 1);
    });
    assert_eq!(place.made(), 1);
}

#[test]
fn pip_is_told_to_take_only_what_the_lock_names() {
    let place = Place::with_pip(r#"echo "$@" > "$(dirname "$0")/said""#);
    let env = place.ensure(LOCK).unwrap();
    let said = fs::read_to_string(env.dir.join("bin/said")).unwrap();
    for flag in ["-I -m pip install", "--require-hashes", "--no-input", "--only-binary :all:"] {
        assert!(said.contains(flag), "{flag} is not in {said}");
    }
}

#[test]
fn failures_of_pip() {
    let case = |pip: &str| Place::with_pip(&format!("{pip}; exit 1")).error();
    let e = case("echo 'ERROR: No matching distribution found for tokenizers==0.23.2' >&2");
    assert!(e.contains("no wheel of tokenizers==0.23.2 for Python 3.12.1"), "{e}");
    let e = case(
        "echo \"WARNING: connection broken by 'NewConnectionError'\" >&2; echo 'ERROR: No matching distribution found for a'",
    );
    assert!(e.contains("cannot reach the package index"), "{e}");
    let e = case("echo 'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES' >&2");
    assert!(e.contains("not the one in the lock"), "{e}");
    let e = case("echo 'OSError: [Errno 28] No space left on device' >&2");
    assert!(e.contains("no space is left") && e.contains("LLMBENCH_CACHE"), "{e}");
    let e = case("echo 'Traceback'; echo 'ValueError: odd'");
    assert!(e.contains("pip failed (ValueError: odd)") && e.contains("--no-env") && e.contains("--python"), "{e}");
    let e = case("kill -9 $$");
    assert!(e.contains("pip failed"), "{e}");
}

#[test]
fn without_ensurepip_it_takes_uv() {
    let mut place = Place::new(Fake { has_ensurepip: false, ..Fake::default() });
    let e = place.error();
    assert!(e.contains("`ensurepip` is missing") && e.contains("apt install python3.12-venv"), "{e}");
    let uv = place.tmp.path().join("uv");
    let text = r#"#!/bin/sh
echo "$@" >> "$(dirname "$0")/said"
case "$1" in
venv) for last; do :; done; mkdir -p "$last/bin"; echo x > "$last/bin/python" ;;
esac
"#;
    script(&uv, text);
    place.uv = Some(uv);
    assert!(place.ensure(LOCK).unwrap().made);
    let said = fs::read_to_string(place.tmp.path().join("said")).unwrap();
    for flag in ["venv ", "pip install", "--require-hashes", "--only-binary :all:"] {
        assert!(said.contains(flag), "{flag} is not in {said}");
    }
}

#[test]
fn where_uv_fails_pip_may_not() {
    let mut place = Place::new(Fake::default());
    let uv = place.tmp.path().join("uv");
    script(&uv, "#!/bin/sh\necho 'error: Failed to fetch: `https://index/a`' >&2; exit 2\n");
    place.uv = Some(uv);
    assert!(place.ensure(LOCK).unwrap().made);
    assert_eq!(place.made(), 1);
    // But a package of another content stays one.
    let mut place = Place::new(Fake::default());
    let uv = place.tmp.path().join("uv");
    script(&uv, "#!/bin/sh\necho 'error: Hash mismatch for a==1' >&2; exit 2\n");
    place.uv = Some(uv);
    assert!(place.error().contains("uv got a package that is not the one in the lock"));
    assert_eq!(place.made(), 0);
}

#[test]
fn it_can_be_cancelled_and_has_a_time_limit() {
    let place = Place::with_pip(r#"echo started > "$(dirname "$0")/../../../started"; sleep 600"#);
    let started = place.cache().join("started");
    let cancel = || started.exists();
    let options = EnsureOptions { cancel: &cancel, ..place.options() };
    let e = Environment::ensure(&place.interpreter, LOCK, &place.cache(), &options, &mut |_| {}).unwrap_err();
    assert!(matches!(e, EnvError::Cancelled));
    let options = EnsureOptions { timeout: Duration::from_secs(1), ..place.options() };
    let e = Environment::ensure(&place.interpreter, LOCK, &place.cache(), &options, &mut |_| {}).unwrap_err();
    assert!(e.to_string().contains("was not ready after 1 s"), "{e}");
}

#[test]
fn a_cache_that_is_a_file() {
    let place = Place::new(Fake::default());
    fs::write(place.cache(), "").unwrap();
    let e = place.ensure(LOCK).unwrap_err().to_string();
    assert!(e.contains("LLMBENCH_CACHE"), "{e}");
}

#[test]
fn sources_are_installed_under_their_hash() {
    let tmp = tempfile::tempdir().unwrap();
    let files: [(&str, &[u8]); 2] = [("w/__main__.py", b"print(1)"), ("w/engines/a.py", b"")];
    let dir = install_sources(&files, tmp.path()).unwrap();
    assert_eq!(dir.parent(), Some(tmp.path().join("worker").as_path()));
    assert_eq!(fs::read(dir.join("w/__main__.py")).unwrap(), b"print(1)");
    let turned: [(&str, &[u8]); 2] = [files[1], files[0]];
    assert_eq!(install_sources(&turned, tmp.path()).unwrap(), dir);
    let edited: [(&str, &[u8]); 2] = [("w/__main__.py", b"print(2)"), files[1]];
    assert_ne!(install_sources(&edited, tmp.path()).unwrap(), dir);
    // What Python leaves beside them does no harm.
    fs::create_dir(dir.join("w/__pycache__")).unwrap();
    assert_eq!(install_sources(&files, tmp.path()).unwrap(), dir);
    assert!(Path::new(&dir.join("w/__pycache__")).exists());
}
