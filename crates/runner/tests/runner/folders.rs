//! The run folder and a device without space.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use record::folder::{FolderError, RunFolder};
use record::measurements::Measurements;
use record::results::Status;
use record::samples::{Event, SamplesWriter, read_events};
use runner::Progress;
use serde_json::{Value, json};

use crate::support::{Bench, cell, fake, gone, log, marks, plan, reference};

#[test]
fn latest_points_to_the_newest_and_names_are_never_shared() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("new/output");
    let make = || RunFolder::create(&output, "20261124T035746Z", "preprocessing", "0123abcd").unwrap();
    let first = make();
    assert_eq!(first.run_id(), "20261124T035746Z-preprocessing-0123abcd");
    assert!(first.workload_dir().is_dir() && first.plots_dir().is_dir());
    // A set-up that has not succeeded moves no link.
    assert!(!output.join("latest").exists());
    first.make_latest().unwrap();
    let second = make();
    assert_eq!(second.run_id(), "20261124T035746Z-preprocessing-0123abcd-2");
    assert_eq!(fs::read_link(output.join("latest")).unwrap(), Path::new(&first.run_id()));
    second.make_latest().unwrap();
    assert_eq!(fs::read_link(output.join("latest")).unwrap(), Path::new(&second.run_id()));
    // No temporary name is left.
    assert_eq!(fs::read_dir(&output).unwrap().count(), 3);

    fs::remove_file(output.join("latest")).unwrap();
    fs::create_dir(output.join("latest")).unwrap();
    let error = RunFolder::create(&output, "x", "y", "z").unwrap_err();
    assert!(error.to_string().contains("latest is not a link"));
}

#[test]
fn a_folder_is_opened_by_path_by_name_or_as_the_latest() {
    let marks = marks();
    let plan = plan(vec![fake("s", marks.path(), &[])], vec![cell("a", "s", json!({}))]);
    let bench = Bench::new(&plan);
    let output = bench.dir.path();
    let id = bench.folder.run_id();
    for name in [output.join(&id), output.join("latest"), "latest".into(), id.clone().into()] {
        assert_eq!(RunFolder::open(&name, output).unwrap().run_id(), id);
    }
    let error = RunFolder::open(Path::new("elsewhere"), output).unwrap_err();
    assert!(matches!(error, FolderError::NotARun(_)));
    fs::create_dir(output.join("empty")).unwrap();
    let error = RunFolder::open(Path::new("empty"), output).unwrap_err();
    assert!(error.to_string().starts_with("empty is no run folder"));
}

#[test]
fn another_schema_version_says_which_llmbench_to_use() {
    let marks = marks();
    let plan = plan(vec![fake("s", marks.path(), &[])], vec![cell("a", "s", json!({}))]);
    let bench = Bench::new(&plan);
    let path = bench.folder.path().join("run.json");
    let text = fs::read_to_string(&path).unwrap();
    let with = |schema: Option<u64>| {
        let mut value: Value = serde_json::from_str(&text).unwrap();
        match schema {
            Some(schema) => value["schema"] = json!(schema),
            None => drop(value.as_object_mut().unwrap().remove("schema")),
        }
        value["llmbench"] = json!("2.5.0");
        fs::write(&path, value.to_string()).unwrap();
        RunFolder::open(bench.folder.path(), bench.dir.path()).unwrap_err().to_string()
    };
    let newer = with(Some(9));
    assert!(newer.contains(" is a run folder of schema 9, written by llmbench 2.5.0, and this llmbench "), "{newer}");
    assert!(newer.ends_with(" reads schema 2: update llmbench to 2.5.0 or newer"), "{newer}");
    assert!(with(Some(0)).ends_with("use llmbench 2.5.0 for it, or measure again"));
    assert!(with(None).contains("run.json names no schema version"));
    fs::write(&path, &text[..100]).unwrap();
    let error = RunFolder::open(bench.folder.path(), bench.dir.path()).unwrap_err().to_string();
    assert!(error.contains("run.json is damaged ("), "{error}");
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let marks = marks();
    let plan = plan(vec![fake("s", marks.path(), &[])], vec![cell("a", "s", json!({}))]);
    let bench = Bench::new(&plan);
    let folder = &bench.folder;
    folder.write_atomic("results.csv", b"one").unwrap();
    folder.write_atomic("results.csv", b"two").unwrap();
    assert_eq!(fs::read(folder.path().join("results.csv")).unwrap(), b"two");
    // The target is a folder: the rename fails, and nothing is left behind.
    let files = || fs::read_dir(folder.path()).unwrap().count();
    let before = files();
    assert!(folder.write_atomic("plots", b"x").is_err());
    assert_eq!(files(), before);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_device_is_named_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("samples.jsonl");
    symlink("/dev/full", &path).unwrap();
    let mut writer = SamplesWriter::create(&path).unwrap();
    writer.write(&Event::CalibrationStart).unwrap();
    let error = writer.flush().unwrap_err();
    assert!(error.is_no_space());
    assert_eq!(
        error.to_string(),
        format!(
            "no space is left on the device that holds {}: free 64 MiB, or pass --output with a folder on another device",
            path.display()
        )
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_device_that_fills_up_stops_the_measurement_and_keeps_what_is_there() {
    let marks = marks();
    let cells = vec![reference(cell("a", "s", json!({}))), cell("b", "s", json!({}))];
    let plan = plan(vec![fake("s", marks.path(), &[])], cells);
    let bench = Bench::new(&plan);
    let stop = |p: &Progress<'_>| matches!(p, Progress::VisitDone { run: 1, done: 2, .. });
    bench.measure_with(&plan, &stop, &mut |_| vec![1.0]).0.unwrap();
    // From here on every write fails; the file so far is put back for the reader.
    let path = bench.folder.samples_path();
    let kept = bench.folder.path().join("kept");
    let bench = bench.resumed();
    fs::rename(&path, &kept).unwrap();
    symlink("/dev/full", &path).unwrap();
    let fresh = Bench { identity: None, ..bench };
    let (outcome, _) = fresh.measure_with(&plan, &|_| false, &mut |_| vec![1.0]);
    let error = outcome.unwrap_err();
    assert!(error.is_no_space(), "{error}");
    for line in log(&marks) {
        assert!(gone(&line[1]));
    }
    fs::remove_file(&path).unwrap();
    fs::rename(&kept, &path).unwrap();
    let read = Measurements::read(&fresh.folder).unwrap();
    assert_eq!((read.runs.len(), read.status("a")), (1, Status::Ok));
}

#[test]
fn events_are_read_back_as_they_were_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("samples.jsonl");
    let events = [
        Event::CalibrationStart,
        Event::Calibration {
            cell_id: "a".to_owned(),
            loops: 3,
            ns_per_call: 0.1 + 0.2,
            hashes: vec!["h".to_owned()],
            found: BTreeMap::from([("x_ns".to_owned(), 0.5)]),
        },
        Event::Cell { cell_id: "a".to_owned(), run: None, status: Status::Timeout, message: "\n\"ä".to_owned() },
        Event::RunComplete { run: 4, wall_ns: u64::MAX, busy_ns: 1 },
    ];
    let mut writer = SamplesWriter::create(&path).unwrap();
    for event in &events {
        writer.write(event).unwrap();
    }
    writer.flush().unwrap();
    let mut read = Vec::new();
    read_events(&path, &mut |event, place| {
        read.push((event, place.line));
        Ok(())
    })
    .unwrap();
    assert_eq!(read.iter().map(|(_, line)| *line).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(read.iter().map(|(event, _)| event).eq(&events));
    // A tail that a crash cut off is cut away before anything is appended.
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [whole.as_slice(), br#"{"event":"run_st"#].concat()).unwrap();
    drop(SamplesWriter::resume(&path).unwrap());
    assert_eq!(fs::read(&path).unwrap(), whole);
    fs::write(&path, b"{\"event\"").unwrap();
    drop(SamplesWriter::resume(&path).unwrap());
    assert!(fs::read(&path).unwrap().is_empty());
}
