//! A run that is killed, gone on with, interrupted, and gone on with again.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::model;
use super::world::{Run, TOKEN, World};

const RUNS: u64 = 4;
const SETTINGS: &str = "quick = true\nexp = [4]\nruns = [4]\nblocks = 2\n\
    [experiment.gil-scaling.axes]\ntokens = [4000]\nturns = [1]\nthreads = [1]\n\
    [experiment.gil-scaling.params]\nwindow_ms = 10\n";

#[test]
fn a_killed_and_an_interrupted_run_are_gone_on_with() {
    let Some(world) = World::with_settings(SETTINGS) else { return };
    model::write(&world.path("model"), model::CHATML);
    let samples = world.path("output/latest/samples.jsonl");

    let measure = [&super::world::MEASURE[..], &["--model", "model", "--no-plots"]].concat();
    let mut running = world.start(world.command(&measure));
    running.until("a sample of the second run", |events| has_sample(events, 1));
    let workers = workers(&samples);
    running.signal(Signal::KILL);
    assert_eq!(running.wait().code, -1);
    assert_eq!(workers.len(), 2, "one native, one Python");
    for (pid, environment) in workers {
        assert!(!environment.contains(TOKEN), "the worker {pid} can see the token");
        ends(&pid);
    }
    assert!(!world.path("output/latest/results.json").exists(), "it had no time to report");
    let killed = std::fs::read(&samples).unwrap();
    // What a crash cuts off in the middle of a line is dropped.
    std::fs::write(&samples, [&killed[..], b"{\"event\":\"sample\",\"run\":1,\"sam"].concat()).unwrap();

    let resume = ["run", "preprocessing", "--resume", "latest", "--no-plots"];
    let mut running = world.start(world.command(&resume));
    running.until("a sample of the third run", |events| has_sample(events, 2));
    running.signal(Signal::INT);
    let interrupted = running.wait().expect(130);
    assert!(interrupted.stderr.contains("interrupted; go on with: llmbench run preprocessing --resume "));
    let run = world.latest();
    assert_eq!(run.info["stopped"], "interrupted");
    let complete = complete(&run);
    assert!((2..RUNS).contains(&(complete.len() as u64)), "{complete:?}");
    assert!(run.rows("status", "ok").all(|row| row["estimate"]["runs"] == complete.len()), "two runs can be reported");
    let kept = std::fs::read(&samples).unwrap();
    assert!(kept.starts_with(&killed), "what was measured before the kill is kept");

    world.finish(world.command(&resume)).expect(0);
    let whole = std::fs::read(&samples).unwrap();
    assert!(whole.starts_with(&kept), "what was measured before the interrupt is kept");
    let run = world.latest();
    assert!(run.info["stopped"] == "runs" || run.info["stopped"] == "target", "{}", run.info["stopped"]);
    let numbers = self::complete(&run);
    assert_eq!(numbers.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(numbers.values().all(|times| *times == 1), "no run is made twice: {numbers:?}");
    assert_eq!(run.events("calibration_complete").count(), 1, "it is not calibrated again");
    run.all_ok_but(|_| false);
    for row in run.rows("metric", "throughput") {
        assert_eq!(row["estimate"]["runs"], RUNS, "{row:#}");
    }

    let again = world.finish(world.command(&resume)).expect(0);
    assert!(again.stderr.contains("report: "), "{}", again.stderr);
    assert_eq!(std::fs::read(&samples).unwrap(), whole, "nothing is left to measure");
}

fn has_sample(events: &[Value], run: u64) -> bool {
    events.iter().any(|event| event["event"] == "sample" && event["run"] == run)
}

/// Complete runs, and how often each was completed.
fn complete(run: &Run) -> BTreeMap<u64, usize> {
    let mut complete = BTreeMap::new();
    for event in run.events("run_complete") {
        *complete.entry(event["run"].as_u64().unwrap()).or_default() += 1;
    }
    complete
}

/// The workers of the present run that still live: process id, and what its command line and environment say.
fn workers(samples: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(samples).unwrap();
    let started = text.lines().filter(|line| line.contains("\"started\"") && line.contains("\"run\":1"));
    let pid = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["message"].as_str().unwrap().trim_start_matches("pid ").to_owned()
    };
    let read = |pid: String| {
        let of = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let text = String::from_utf8_lossy(&[of("cmdline"), of("environ")].concat()).into_owned();
        (pid, text)
    };
    started.map(pid).map(read).collect()
}

/// Waits until a process is gone, or waits to be reaped by whoever adopted it.
fn ends(pid: &str) {
    let start = Instant::now();
    let lives = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
    };
    while lives() {
        assert!(start.elapsed() < Duration::from_secs(30), "the worker {pid} outlives llmbench");
        std::thread::sleep(Duration::from_millis(50));
    }
}
