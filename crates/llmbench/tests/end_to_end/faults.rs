//! Engines and workers that are made to fail: what is said of them, what becomes of the rest, how the command ends.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::model;
use super::world::{Finished, MEASURE, Run, World};

/// Template and tokenize alone.
const ONE_THREAD: &str = "quick = true\nexp = [4]\nruns = [1]\nblocks = 2\n\
    [experiment.gil-scaling.axes]\ntokens = [4000]\nturns = [1]\nthreads = [1]\n\
    [experiment.gil-scaling.params]\nwindow_ms = 10\n";

/// With comparisons between call paths and between numbers of threads.
const COMPARED: &str = "quick = true\nexp = [1, 4]\nruns = [2]\nblocks = 2\n\
    [experiment.anatomy.axes]\ntokens = [4000]\nturns = [1]\n\
    [experiment.gil-scaling.axes]\ntokens = [4000]\nturns = [1]\nthreads = [1, 2]\n\
    [experiment.gil-scaling.params]\nwindow_ms = 10\n";

/// A call path that both workers have under one name.
const BOTH: &str = "hf-tokenizers/encode_batch";

fn world(settings: &str) -> Option<World> {
    let world = World::with_settings(settings)?;
    model::write(&world.path("model"), model::CHATML);
    Some(world)
}

fn measure(world: &World, fault: &str) -> (Finished, Run) {
    let mut command = world.command(&[&MEASURE[..], &["--model", "model", "--no-plots"]].concat());
    command.env("LLMBENCH_TEST_FAULT", fault);
    let finished = world.finish(command);
    (finished, world.latest())
}

fn is_of(row: &Value, pair: &str) -> bool {
    pair == format!("{}/{}", row["engine"].as_str().unwrap(), row["call_path"].as_str().unwrap())
}

/// Checks that only rows that use a wrong engine are mismatches, and that nothing is concluded from them. Returns what is
/// said of the rows.
fn only_these_are_wrong(run: &Run, wrong: &[&str]) -> Vec<String> {
    let is_wrong = |row: &Value| wrong.iter().any(|pair| is_of(row, pair));
    run.all_ok_but(is_wrong);
    let bad: Vec<&Value> = run.records.iter().filter(|row| is_wrong(row)).collect();
    for row in &bad {
        assert_eq!(row["status"], "mismatch", "{row:#}");
        // What was measured is shown; no ratio, share or speed-up is made of it.
        assert!(row["metric"] == "time" || row["metric"] == "throughput", "{row:#}");
        assert!(row["verdict"].is_null() && row["baseline_cell_id"].is_null(), "{row:#}");
    }
    let ids: Vec<&str> = bad.iter().map(|row| row["cell_id"].as_str().unwrap()).collect();
    for row in &run.records {
        assert!(!ids.iter().any(|id| row["baseline_cell_id"] == *id), "compared with a wrong row: {row:#}");
    }
    let results: Value = serde_json::from_slice(&std::fs::read(run.folder.join("results.json")).unwrap()).unwrap();
    let findings = results["experiments"].as_array().unwrap().iter().flat_map(|e| e["findings"].as_array().unwrap());
    for finding in findings.filter(|finding| finding["support"] == "supported") {
        let cells = finding["cells"].as_array().unwrap();
        assert!(!cells.iter().any(|cell| ids.iter().any(|id| cell == *id)), "rests on a wrong row: {finding:#}");
    }
    bad.iter().map(|row| row["error"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn wrong_ids_are_located_and_never_ranked() {
    let Some(world) = world(COMPARED) else { return };
    let (finished, run) = measure(&world, "ids:hf-tokenizers/encode_fast");
    finished.expect(101);
    // encode_fast is also the tokenizer of the native stack.
    let said = only_these_are_wrong(&run, &["hf-tokenizers/encode_fast", "stack/native"]);
    assert_eq!(said.len(), 5, "{said:#?}");
    for error in said {
        let (place, ids) = error.split_once(" at id 3: ").unwrap_or_else(|| panic!("{error}"));
        assert!(place.starts_with("request 0 differs from ") && place.contains("tokenize/hf-tokenizers.encode/"));
        let (here, there) = ids.split_once(" here, ").unwrap();
        let list = |text: &str| -> Vec<u32> { serde_json::from_str(text.trim_end_matches(" there")).unwrap() };
        let (here, there) = (list(here), list(there));
        let differing: Vec<(usize, u32)> =
            here.iter().zip(&there).map(|(a, b)| a ^ b).enumerate().filter(|(_, bits)| *bits != 0).collect();
        assert_eq!(differing, [(3, 1)], "{error}");
    }
    // The others are compared as ever, but not with encode_fast as the control of the tokenizers.
    let stages = |metric: &'static str| -> Vec<&str> {
        run.rows("metric", metric).map(|row| row["stage"].as_str().unwrap()).collect()
    };
    assert!(stages("time_ratio").contains(&"tokenize") && stages("speedup").contains(&"tokenize"));
    assert_eq!(stages("speedup_over_control"), ["template", "template"]);
}

#[test]
fn wrong_text_is_located() {
    let Some(world) = world(ONE_THREAD) else { return };
    let (finished, run) = measure(&world, "text:jinja2/render");
    finished.expect(101);
    let text = run.workload("words-t4000-n1", "texts")[0].as_str().unwrap().to_owned();
    let last = text.chars().count() - 1;
    let said = only_these_are_wrong(&run, &["jinja2/render"]);
    assert_eq!(said.len(), 1);
    for error in said {
        assert!(error.contains("template/transformers.apply_chat_template/"), "{error}");
        assert!(error.contains(&format!(" at character {last}: \"")), "{error}");
        assert!(error.contains("?\" here, ") && error.ends_with("\\n\" there"), "{error}");
    }
}

/// Runs with a fault in a call path of both languages; its rows are errors that say so, all others are measured.
fn fails_alone(kind: &str, says: impl Fn(&str) -> &'static str) -> Option<Run> {
    let world = world(ONE_THREAD)?;
    let (finished, run) = measure(&world, &format!("{kind}:{BOTH}"));
    finished.expect(100);
    run.all_ok_but(|row| is_of(row, BOTH));
    for subject in ["native", "python"] {
        let rows: Vec<&Value> = run.rows("subject", subject).filter(|row| is_of(row, BOTH)).collect();
        assert_eq!(rows.len(), 1, "{subject}");
        let error = rows[0]["error"].as_str().unwrap();
        assert_eq!(rows[0]["status"], "error", "{error}");
        assert!(rows[0]["estimate"].is_null() && error.contains(says(subject)), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    Some(run)
}

/// How many workers failed.
fn failures(run: &Run) -> usize {
    run.events("worker").filter(|event| event["what"] == "failed").count()
}

#[test]
fn a_worker_that_crashes_costs_its_cell() {
    let says = |subject: &str| if subject == "native" { "signal 6, abort" } else { "signal 9, out of memory?" };
    let Some(run) = fails_alone("crash", says) else { return };
    assert_eq!(failures(&run), 2, "the workers are started again, and not for that cell");
}

#[test]
fn a_worker_that_exits_is_quoted() {
    let Some(run) = fails_alone("exit", |_| "(exit code 3): the worker was told to exit") else { return };
    assert_eq!(failures(&run), 2);
}

#[test]
fn a_worker_that_writes_garbage_is_ended_and_shown() {
    let says = |_: &str| "wrote something that is no answer and was ended: \"this line is not JSON\"";
    let Some(run) = fails_alone("garbage", says) else { return };
    assert_eq!(failures(&run), 2);
}

#[test]
fn memory_that_runs_out_in_a_call_is_an_error_of_its_cell() {
    let Some(run) =
        fails_alone(
            "oom",
            |subject| {
                if subject == "native" { "out of memory" } else { "use fewer tokens, a smaller batch" }
            },
        )
    else {
        return;
    };
    assert_eq!(failures(&run), 0, "the workers live on");
}

#[test]
fn stray_prints_do_no_harm() {
    let Some(world) = world(ONE_THREAD) else { return };
    let (finished, run) = measure(&world, &format!("print:{BOTH}"));
    let finished = finished.expect(0);
    run.all_ok_but(|_| false);
    assert_eq!(run.records.iter().filter(|row| is_of(row, BOTH)).count(), 2);
    assert_eq!(failures(&run), 0);
    assert!(!finished.stdout.contains("a stray print"));
}

#[test]
fn a_worker_that_hangs_can_be_interrupted() {
    let Some(world) = world(ONE_THREAD) else { return };
    let mut command = world.command(&[&MEASURE[..], &["--model", "model"]].concat());
    command.env("LLMBENCH_TEST_FAULT", format!("hang:{BOTH}"));
    let mut running = world.start(command);
    running.until("a worker that was started", |events| events.iter().any(|event| event["event"] == "worker"));
    // No other cell takes so long, so that it hangs by then.
    std::thread::sleep(Duration::from_secs(2));
    running.signal(Signal::INT);
    running.wait().expect(130);
    assert_eq!(world.latest().info["stopped"], "interrupted");
}

#[test]
#[ignore = "waits for the time limit of three minutes"]
fn a_worker_that_hangs_is_ended() {
    let Some(world) = world(ONE_THREAD) else { return };
    let (finished, run) = measure(&world, "hang:transformers/__call__");
    finished.expect(100);
    let hangs = |row: &Value| is_of(row, "transformers/__call__");
    run.all_ok_but(hangs);
    for row in run.records.iter().filter(|row| hangs(row)) {
        assert_eq!(row["status"], "timeout", "{row:#}");
        assert!(row["error"].as_str().unwrap().contains("did not finish prepare within 180.000 s"), "{row:#}");
    }
}
