//! Tokenizers and chat templates of real models: all engines agree on them.
//!
//! `LLMBENCH_TEST_MODELS` names a folder of model folders; without it they are those that the script
//! `../shared/models/unpack` beside the project writes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::environment::skipped;
use super::world::World;

const SETTINGS: &str = "quick = true\nexp = [1, 4]\nruns = [1]\nblocks = 2\n\
    [experiment.anatomy.axes]\ntokens = [1000]\n\
    [experiment.gil-scaling.axes]\ntokens = [1000]\nthreads = [1]\n\
    [experiment.gil-scaling.params]\nwindow_ms = 10\n";

#[test]
fn engines_agree_on_real_models() {
    let Some(world) = World::with_settings(SETTINGS) else { return };
    let Some(models) = models(&world.path("models")) else { return };
    for model in models {
        world.measure(&["--no-plots", "--model", model.to_str().unwrap()]).expect(0);
        let run = world.latest();
        run.all_ok_but(|_| false);

        // Rows are ok when their checks are equal; here are the checks themselves.
        let mut hashes: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        let mut engines: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for event in run.events("calibration") {
            let cell = run.cells().iter().find(|cell| cell["id"] == event["cell_id"]).unwrap();
            let op = cell["op"]["name"].as_str().unwrap();
            assert!(!event["hashes"].as_array().unwrap().is_empty(), "{} {}", model.display(), cell["id"]);
            engines.entry(op).or_default().insert(cell["op"]["engine"].as_str().unwrap());
            hashes.entry(op).or_default().insert(event["hashes"].to_string());
        }
        for op in ["template", "tokenize"] {
            assert_eq!(hashes[op].len(), 1, "{}: {op}", model.display());
        }
        assert_eq!(engines["template"], BTreeSet::from(["jinja2", "minijinja", "transformers"]));
        assert_eq!(engines["tokenize"], BTreeSet::from(["hf-tokenizers", "transformers"]));
    }
}

/// Model folders, by name; they are unpacked to `dest` where no variable names a folder of them.
fn models(dest: &Path) -> Option<Vec<PathBuf>> {
    let folder = match std::env::var_os("LLMBENCH_TEST_MODELS") {
        Some(folder) if !folder.is_empty() => folder.into(),
        _ => {
            let unpack = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models/unpack");
            if !unpack.is_file() {
                skipped("set LLMBENCH_TEST_MODELS to a folder of model folders to measure on real models");
                return None;
            }
            let unpacked = Command::new(unpack).arg(dest).output().unwrap();
            assert!(unpacked.status.success(), "{}", String::from_utf8_lossy(&unpacked.stderr));
            dest.to_owned()
        }
    };
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut models: Vec<PathBuf> = entries.filter(|path| path.join("tokenizer_config.json").is_file()).collect();
    models.sort();
    assert!(!models.is_empty(), "no model folder below {}", folder.display());
    Some(models)
}
