//! A disk that is full before all runs are made. The test fills a small file system of its own, which takes a Linux that lets
//! a user make a mount namespace; elsewhere it says so and ends.

use std::path::Path;
use std::process::{Command, Stdio};

use super::model;
use super::shell::Shell;

const SETTINGS: &str = "quick = true\nexp = [4]\nruns = [12]\nblocks = 3\n\
    [experiment.gil-scaling.axes]\ntokens = [2000]\nturns = [1]\nthreads = [1]\n\
    [experiment.gil-scaling.params]\nwindow_ms = 10\n";

/// Measures on a file system of 24 MB, fills it after the first run, then makes room and goes on. `$1` is the program, `$2`
/// a folder without programs.
const SCRIPT: &str = r#"
mount -t tmpfs -o size=24m tmpfs output 2>/dev/null || exit 77
PATH=$2 "$1" run preprocessing --config settings.toml --model model --python /nonexistent --no-plots >out 2>err &
worker=$!
until grep -q run_complete output/latest/samples.jsonl 2>/dev/null; do
    kill -0 $worker 2>/dev/null || break
    sleep 0.02
done
cat /dev/zero >output/filler 2>/dev/null
wait $worker
echo "ended $?" >>err
rm output/filler
PATH=$2 "$1" run preprocessing --resume latest --no-plots >out-again 2>err-again
echo "ended $?" >>err-again
grep -c run_complete output/latest/samples.jsonl >runs
"#;

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_keeps_the_complete_runs_and_says_how_to_go_on() {
    let shell = Shell::new();
    model::write(&shell.path("model"), model::CHATML);
    shell.file("settings.toml", SETTINGS);
    std::fs::create_dir(shell.path("output")).unwrap();
    let Some(unshare) = ["/usr/bin/unshare", "/bin/unshare"].into_iter().find(|path| Path::new(path).exists()) else {
        eprintln!("not tested: there is no unshare");
        return;
    };
    let ended = Command::new(unshare)
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh", env!("CARGO_BIN_EXE_llmbench")])
        .arg(shell.path("bin"))
        .current_dir(shell.path("."))
        .env("LLMBENCH_CACHE", shell.path("cache"))
        .env("HOME", shell.path("home"))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    // 1: unshare itself was refused.
    if matches!(ended.code(), Some(1 | 77)) {
        eprintln!("not tested: no file system can be mounted here");
        return;
    }
    let read = |name: &str| std::fs::read_to_string(shell.path(name)).unwrap();
    let err = read("err");
    let last = err.lines().rev().take(2).collect::<Vec<_>>();
    assert_eq!(last[0], "ended 100", "{err}");
    assert!(last[1].starts_with("llmbench: no space is left on the disk for output/"), "{err}");
    assert!(last[1].contains("/samples.jsonl: 1 complete run is kept; free some space and go on with: "), "{err}");
    assert!(last[1].contains("llmbench run preprocessing --resume output/"), "{err}");
    assert!(!err.contains("interrupted"), "{err}");
    assert!(read("out").contains("gil-scaling"), "what the complete run says is shown: {err}");
    // Python is missing in this test, so its rows have failed.
    assert!(read("err-again").ends_with("ended 100\n"), "{}", read("err-again"));
    assert_eq!(read("runs").trim(), "12", "{}", read("err-again"));
}
