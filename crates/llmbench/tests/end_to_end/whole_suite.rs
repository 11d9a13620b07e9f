//! All four experiments in both languages: the rows, the files, the report.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::model;
use super::world::{Run, World, files_below};

const FORMAT: &str = include_str!("../../../../FORMAT.md");
const LOCK: &str = include_str!("../../../../python/requirements.lock");

/// As `--quick`, but with fewer and smaller cells; `SIZE` and `LARGE` are tokens.
const SETTINGS: &str = "runs = [2]\nblocks = 2\n\
    [experiment.anatomy.axes]\ntokens = [SIZE]\n\
    [experiment.history-tax.axes]\ntokens = [SIZE, LARGE]\nturns = [1, 4, 10]\n\
    [experiment.gpu-wait.axes]\ntokens = [SIZE]\nbatch = [4]\nthreads = [1, 2]\n\
    [experiment.gil-scaling.axes]\ntokens = [SIZE]\nthreads = [1, 2]\n\
    [experiment.gil-scaling.params]\nwindow_ms = 10\n";

fn settings(size: u32, large: u32) -> String {
    SETTINGS.replace("SIZE", &size.to_string()).replace("LARGE", &large.to_string())
}

#[test]
fn all_experiments_on_a_model_folder() {
    let Some(world) = World::with_settings(&settings(4000, 6000)) else { return };
    model::write(&world.path("model"), model::CHATML);
    let finished = world.measure(&["--quick", "--model", "model"]).expect(0);
    assert!(finished.stderr.contains("report: ") && finished.stderr.contains("report.html"), "{}", finished.stderr);

    let run = world.latest();
    rows_of_both_languages(&run);
    assert!(run.rows("engine", "tiktoken").next().is_none(), "its vocabulary is not that of the folder");
    csv_is_as_documented(&run, &finished.stdout);
    run_json(&run, world.python.program.as_path());
    samples(&run);
    report_is_one_file(&run.folder);

    let derived = derived(&run.folder);
    for experiment in EXPERIMENTS {
        for kind in ["svg", "png"] {
            let figure = |name: &String| name.starts_with(&format!("plots/{experiment}")) && name.ends_with(kind);
            assert!(derived.keys().any(figure), "no {kind} of {experiment}: {:?}", derived.keys());
        }
    }
    for _ in 0..2 {
        let again = world.finish(world.command(&["report", "output/latest"])).expect(0);
        assert_eq!(again.stdout, finished.stdout);
        let again = self::derived(&run.folder);
        assert_eq!(again.keys().collect::<Vec<_>>(), derived.keys().collect::<Vec<_>>());
        for (name, bytes) in &again {
            assert!(*bytes == derived[name], "{name} differs when the report is rendered again");
        }
    }
}

#[test]
fn all_experiments_on_the_built_in_model() {
    let Some(world) = World::with_settings(&settings(500, 1000)) else { return };
    world.measure(&["--quick", "--no-plots"]).expect(0);
    let run = world.latest();
    rows_of_both_languages(&run);
    assert!(run.rows("engine", "tiktoken").next().is_some(), "the vocabulary is tiktoken's own");
    assert_eq!(run.info["plan"]["model"]["name"], "built-in");
    report_is_one_file(&run.folder);
    assert!(!derived(&run.folder).keys().any(|name| name.starts_with("plots/")));
}

const EXPERIMENTS: [&str; 4] = ["anatomy", "history-tax", "gpu-wait", "gil-scaling"];

/// Every experiment has rows of every operation in both languages, and all are checked and measured.
fn rows_of_both_languages(run: &Run) {
    run.all_ok_but(|_| false);
    for experiment in EXPERIMENTS {
        for subject in ["native", "python"] {
            let rows = run.rows("experiment", experiment).filter(|row| row["subject"] == subject);
            assert!(rows.count() > 3, "{experiment} in {subject}");
        }
    }
    // The first call of a fresh process is timed once a subject.
    for (stack, wanted) in [("transformers", &["cold", "warm"][..]), ("lean", &["warm"]), ("native", &["cold", "warm"])]
    {
        let rows = run.rows("call_path", stack).filter(|row| row["stage"] == "total" && row["metric"] == "time");
        let caches: BTreeSet<&str> = rows.map(|row| row["cache"].as_str().unwrap()).collect();
        assert!(caches.iter().eq(wanted), "{stack}: {caches:?}");
    }
    // With two runs every figure that is compared has an interval around it.
    for row in run.records.iter().filter(|row| row["metric"] == "time_ratio") {
        let estimate = &row["estimate"];
        let of = |name: &str| estimate[name].as_f64().unwrap();
        assert!(of("lower") <= of("point") && of("point") <= of("upper") && estimate["runs"] == 2, "{row:#}");
        assert!(row["verdict"].is_string() && row["baseline_cell_id"].is_string(), "{row:#}");
    }
}

/// The cells of a table of FORMAT.md.
fn documented(section: &str, table: usize) -> Vec<Vec<&'static str>> {
    let section = FORMAT.split("\n## ").find(|part| part.starts_with(section)).unwrap();
    let table = section.split("\n\n").filter(|part| part.starts_with('|')).nth(table).unwrap();
    let row = |line: &'static str| line.trim().trim_matches('|').split('|').map(str::trim).collect();
    table.lines().skip(2).map(row).collect()
}

/// What stands in backquotes.
fn names(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.split('`').skip(1).step_by(2)
}

fn csv_is_as_documented(run: &Run, stdout: &str) {
    let csv = std::fs::read_to_string(run.folder.join("results.csv")).unwrap();
    assert!(csv == stdout, "what goes to a program is results.csv");
    let columns: Vec<&str> = documented("results.csv", 0).iter().flat_map(|row| names(row[0])).collect();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(reader.headers().unwrap().iter().collect::<Vec<_>>(), columns);
    assert_eq!(reader.records().map(Result::unwrap).count(), run.records.len());

    let metrics = documented("results.csv", 1);
    for record in &run.records {
        let (metric, unit) = (record["metric"].as_str().unwrap(), record["unit"].as_str().unwrap());
        let says =
            |row: &Vec<&'static str>| names(row[1]).any(|name| name == metric) && row[2].split(", ").any(|u| u == unit);
        assert!(metrics.iter().any(says), "FORMAT.md does not have {metric} in {unit}");
    }
}

fn run_json(run: &Run, python: &Path) {
    let info = &run.info;
    let sha256 = |bytes: &[u8]| Value::from(hex::encode(Sha256::digest(bytes)));
    let name = run.folder.file_name().unwrap().to_str().unwrap();
    assert_eq!(info["schema"], record::SCHEMA);
    assert_eq!(info["run_id"], name);
    assert_eq!(info["llmbench"], env!("CARGO_PKG_VERSION"));
    assert_eq!(info["binary_sha256"], sha256(&std::fs::read(env!("CARGO_BIN_EXE_llmbench")).unwrap()));
    assert!(name.ends_with(&format!("-preprocessing-{}", &info["plan_sha256"].as_str().unwrap()[..8])), "{name}");
    assert!(info["stopped"] == "runs" || info["stopped"] == "target", "{}", info["stopped"]);
    assert_eq!(info["command"].as_array().unwrap().last().unwrap(), "model");
    assert_eq!(info["loops"].as_object().unwrap().len(), run.cells().len());
    for part in ["set-up", "calibration", "runs", "busy_share"] {
        assert!(info["wall_s"][part].as_f64().unwrap() > 0.0, "{part}");
    }
    assert!(info["wall_s"]["busy_share"].as_f64().unwrap() <= 1.0);
    assert!(info["machine"].as_array().unwrap().iter().any(|fact| fact["key"] == "cpu.model"), "{}", info["machine"]);

    let plan = &info["plan"];
    assert_eq!(
        (&plan["suite"], &plan["profile"], &plan["seed"]),
        (&"preprocessing".into(), &"quick".into(), &1.into())
    );
    let subject = |id: &str| plan["subjects"].as_array().unwrap().iter().find(|subject| subject["id"] == id).unwrap();
    assert_eq!(subject("python")["lock"], sha256(LOCK.as_bytes()));
    assert_eq!(subject("python")["program"], python.to_str().unwrap());
    assert_eq!(info["subjects"]["native"]["gil"], "none");
    assert!(info["subjects"]["python"]["interpreter"].as_str().unwrap().starts_with("CPython 3."));
    for package in ["jinja2", "transformers", "tokenizers", "numpy", "pydantic", "msgspec"] {
        let version = info["subjects"]["python"]["versions"][package].as_str().unwrap();
        assert!(LOCK.to_lowercase().contains(&format!("{package}=={version}")), "{package} {version}");
    }

    for workload in plan["workloads"].as_array().unwrap() {
        let id = workload["id"].as_str().unwrap();
        let requests = workload["pool"].as_u64().unwrap() + workload["warmup"].as_u64().unwrap();
        assert_eq!(run.workload(id, "requests").len() as u64, requests, "{id}");
        assert_eq!(run.workload(id, "texts").len() as u64, requests, "{id}");
        assert_eq!(info["workload_sha256"][id].as_str().unwrap().len(), 64, "{id}");
    }
    for record in &run.records {
        assert_eq!(record["model_sha"], plan["model"]["sha256"]);
        let cell = run.cells().iter().find(|cell| cell["id"] == record["cell_id"]).unwrap();
        assert_eq!(record["workload_sha"], info["workload_sha256"][cell["workload"].as_str().unwrap()]);
    }
}

fn samples(run: &Run) {
    assert_eq!(run.events("calibration").count(), run.cells().len());
    assert_eq!(run.events("run_complete").count(), 2);
    for cell in run.cells() {
        for number in 0..2 {
            let mut samples = run
                .events("sample")
                .filter(|event| event["run"] == number && event["sample"]["cell_id"] == cell["id"])
                .map(|event| &event["sample"])
                .peekable();
            assert!(samples.peek().is_some(), "run {number} has no sample of {}", cell["id"]);
            for sample in samples {
                assert!(sample["start_ns"].as_u64() < sample["end_ns"].as_u64(), "{sample}");
                assert!(sample["calls"].as_u64().unwrap() > 0, "{sample}");
            }
        }
    }
    // Each run has fresh workers.
    let pids: Vec<&Value> =
        run.events("worker").filter(|event| event["what"] == "started").map(|e| &e["message"]).collect();
    let distinct: BTreeSet<&str> = pids.iter().map(|pid| pid.as_str().unwrap()).collect();
    assert!(pids.len() >= 6 && distinct.len() == pids.len(), "{pids:?}");
}

/// What the HTML shows, it holds: nothing is fetched.
fn report_is_one_file(folder: &Path) {
    let html = std::fs::read_to_string(folder.join("report.html")).unwrap();
    for experiment in EXPERIMENTS {
        assert!(html.contains(experiment), "{experiment}");
    }
    for (at, _) in html.match_indices("://") {
        let before = &html[html[..at].rfind(['"', '\'', ' ', '(', '>']).unwrap_or(0)..at];
        let attribute = &html[..at - before.len()];
        assert!(attribute.ends_with("xmlns=") || attribute.ends_with("xmlns:xlink="), "{}", &html[at - 40..at + 40]);
    }
    for name in ["src=", "href=", "action=", "poster=", "data="] {
        for (at, _) in html.match_indices(&format!(" {name}")) {
            let value = html[at + 1 + name.len()..].trim_start_matches(['"', '\'']);
            assert!(value.starts_with('#') || value.starts_with("data:"), "{name}{:.60}", value);
        }
    }
    assert!(!html.contains("@import") && !html.contains("<link") && !html.contains("url(/"));
}

/// The files that `report` makes, by their name in the run folder.
fn derived(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let name = |path: &Path| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
    let made =
        |name: &String| name.starts_with("plots/") || name.starts_with("results.") || name.starts_with("report.");
    let files = files_below(folder).into_iter().map(|(path, bytes)| (name(&path), bytes));
    let files: BTreeMap<_, _> = files.filter(|(name, _)| made(name)).collect();
    for name in ["results.csv", "results.json", "report.html", "report.md"] {
        assert!(!files[name].is_empty(), "{name}");
    }
    files
}
