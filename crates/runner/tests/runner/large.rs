//! What needs more room, or rights, than every machine gives: run with `--ignored`.

use std::io::Write;
use std::process::Command;

use record::folder::write_atomic;
use record::measurements::Measurements;
use record::plan::Timing;
use serde_json::json;

use crate::support::{Bench, cell, fake, marks, plan, reference};

/// A file system of 600 KiB that goes away with this.
struct Tiny(tempfile::TempDir);

impl Tiny {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=600k", "tmpfs"]).arg(dir.path()).status();
        assert!(mounted.unwrap().success(), "this test must be allowed to mount a tmpfs");
        Self(dir)
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
#[ignore = "needs the right to mount a tmpfs"]
fn a_small_device_fills_up_and_the_complete_runs_are_kept() {
    let marks = marks();
    let mut cells = vec![reference(cell("a", "s", json!({}))), cell("each", "s", json!({}))];
    cells[1].timing = Timing::Each;
    cells[1].target_ns = 500_000_000;
    let mut plan = plan(vec![fake("s", marks.path(), &[])], cells);
    plan.runs.looks = vec![20];
    let tiny = Tiny::new();
    let bench = Bench::at(&plan, tiny.0.path());
    let error = bench.measure(&plan).unwrap_err();
    assert!(error.is_no_space());
    assert!(error.to_string().ends_with("samples.jsonl: free 64 MiB or pass --output"), "{error}");
    let read = bench.read();
    assert!(!read.runs.is_empty() && read.runs.len() < 20);
    assert_eq!(read.cells["each"].samples(), read.runs.len() as u64 * 3 * 500);

    let file = bench.folder.path().join("report.html");
    let error = write_atomic(&file, &vec![0; 3 << 20]).unwrap_err();
    assert!(error.to_string().ends_with("report.html: free 3 MiB or pass --output"), "{error}");
    let names = std::fs::read_dir(bench.folder.path()).unwrap().map(|e| e.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().ends_with(".tmp")));
}

#[test]
#[ignore = "writes 400 MB"]
#[cfg(target_os = "linux")]
fn millions_of_samples_are_read_in_little_memory() {
    let marks = marks();
    let mut cells = vec![cell("a", "s", json!({}))];
    cells[0].timing = Timing::Each;
    let plan = plan(vec![fake("s", marks.path(), &[])], cells);
    let bench = Bench::new(&plan);
    let mut out = std::io::BufWriter::new(std::fs::File::create(bench.folder.samples_path()).unwrap());
    for run in 0..20 {
        writeln!(out, r#"{{"event":"run_start","run":{run}}}"#).unwrap();
        for i in 0..150_000_u64 {
            let (block, start) = (i / 10_000, i * 1000);
            let end = start + 900;
            writeln!(
                out,
                r#"{{"event":"sample","run":{run},"sample":{{"cell_id":"a","block":{block},"start_ns":{start},"end_ns":{end},"calls":1,"gc":0}}}}"#
            )
            .unwrap();
        }
        writeln!(out, r#"{{"event":"run_complete","run":{run},"wall_ns":1,"busy_ns":1}}"#).unwrap();
    }
    out.flush().unwrap();
    let start = std::time::Instant::now();
    let read = Measurements::read(&bench.folder).unwrap();
    eprintln!("{} samples in {:?}", read.cells["a"].samples(), start.elapsed());
    assert_eq!(read.cells["a"].samples(), 3_000_000);
    assert_eq!(read.run_values("a")[&19], 900.0);
    let times = read.sample_times("a").unwrap();
    assert!(times.len() == 20 && times[&0].len() == 150_000 && times[&7].iter().all(|&ns| ns == 900.0));
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    eprintln!("peak {peak} kB");
    // What the harness may take, however many samples there are.
    assert!(peak < 300_000);
}
