//! The accounting of process trees, on processes whose use is known.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use loadgen::proctree::{ProcessTree, process_tree};

/// A shell that runs a script and then says "ready" and waits for its input to end.
fn shell(script: &str) -> Child {
    let mut child = Command::new("sh")
        .args(["-c", &format!("{script}; echo ready; read line")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

fn tree(child: &Child) -> ProcessTree {
    process_tree(child.id()).unwrap()
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    child.wait().unwrap();
}

/// A loop of the shell that takes many ticks.
const WORK: &str = "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done";

#[test]
fn a_child_that_ended_still_counts() {
    let idle = shell("true");
    let worked = shell(&format!("({WORK})"));
    let (idle_tree, worked_tree) = (tree(&idle), tree(&worked));
    assert_eq!((idle_tree.processes.len(), worked_tree.processes.len()), (1, 1));
    // The work was done by a subshell, which is gone.
    assert!(worked_tree.processes[0].reaped_cpu_ns >= 50_000_000, "{worked_tree:?}");
    assert!(worked_tree.cpu_ns > idle_tree.cpu_ns + 50_000_000);
    assert!(worked_tree.processes[0].own_cpu_ns < worked_tree.processes[0].reaped_cpu_ns);
    end(idle);
    end(worked);
}

#[test]
fn living_children_and_grandchildren_count() {
    let parent = shell("sh -c 'sleep 60 & wait' & sleep 0.2");
    let found = tree(&parent);
    let names: Vec<&str> = found.processes.iter().map(|process| process.name.as_str()).collect();
    assert_eq!(names.iter().filter(|name| **name == "sleep").count(), 1, "{names:?}");
    assert_eq!((found.processes.len(), found.threads), (3, 3), "{names:?}");
    assert_eq!(found.processes[0].pid, parent.id());
    let one = found.processes[0].pss_bytes.unwrap();
    assert!(one > 0 && found.pss_bytes.unwrap() > one);
    for process in &found.processes[1..] {
        let _ = Command::new("kill").arg(process.pid.to_string()).status();
    }
    end(parent);
}

#[test]
fn time_is_counted_finer_than_ticks_and_grows_with_work() {
    let own = std::process::id();
    let before = process_tree(own).unwrap().processes[0].own_cpu_ns;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(30) {
        std::hint::spin_loop();
    }
    let after = process_tree(own).unwrap().processes[0].own_cpu_ns;
    assert!(after > before && !(after - before).is_multiple_of(10_000_000), "{before} {after}");
}

#[test]
fn memory_that_is_touched_shows() {
    let before = process_tree(std::process::id()).unwrap().processes[0].pss_bytes.unwrap();
    let touched = std::hint::black_box(vec![1_u8; 64 << 20]);
    let after = process_tree(std::process::id()).unwrap().processes[0].pss_bytes.unwrap();
    assert!(after > before + (48 << 20), "{before} {after}");
    drop(touched);
}

#[test]
fn a_process_that_is_gone_has_no_tree() {
    let child = shell("true");
    let pid = child.id();
    end(child);
    assert_eq!(process_tree(pid), None);
}
