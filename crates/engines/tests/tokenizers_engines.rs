//! Every engine against the reference, on every kind of text, for the built-in model and the real ones.
//!
//! The real ones are those that `../shared/models/unpack` writes, or the folders in `LLMBENCH_TEST_MODELS`; without them the
//! tests say that they skip. Where an engine is known to differ, [`KNOWN`] says where and why: a difference that is
//! not there, and one that is there and no longer found, both fail.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use engines::corpus::{Kind, text};
use engines::tokenizers::load_cost::load_cost;
use engines::tokenizers::{self, KINDS, REFERENCE, difference, load};
use engines::{EngineError, Tokenizer, builtin};
use serde_json::Value;

/// Known differences: model, engine, kind of text, cause.
///
/// Not found by these draws, but possible: the reference's normal form (NFC, of Qwen 3) knows Unicode 9, those of the
/// release candidate, of kitoken, and of `bpe` and `tiktoken-rs` here know Unicode 17, with combining marks that are newer.
const KNOWN: &[(&str, &str, Kind, &str)] = &[(
    "deepseek_v3",
    "hf-tokenizers-rc",
    Kind::RandomUnicode,
    "its tables of letters are of Unicode 17 (U+11DCF is one there), Oniguruma's in the reference are older",
)];

/// Engines that cannot represent a model: model, engine, part of the reason.
const UNFIT: &[(&str, &str, &str)] =
    &[("deepseek_v3", "tiktoken-rs", "it splits the text by 3 patterns one after the other, and tiktoken by one")];

struct Model {
    name: String,
    dir: PathBuf,
    special: Vec<String>,
    reference: Tokenizer,
}

struct Models {
    all: Vec<Model>,
    _cache: tempfile::TempDir,
}

static MODELS: LazyLock<Models> = LazyLock::new(|| {
    let cache = tempfile::tempdir().unwrap();
    let builtin = builtin::ensure(cache.path(), &|_| {}).unwrap().dir;
    let mut dirs = vec![("builtin".to_owned(), builtin)];
    dirs.extend(real_models(cache.path()));
    let all = dirs
        .into_iter()
        .map(|(name, dir)| {
            let file = dir.join("tokenizer.json");
            let json: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            let added = json["added_tokens"].as_array().unwrap();
            let special = added.iter().map(|token| token["content"].as_str().unwrap().to_owned()).collect();
            Model { name, reference: Tokenizer::load(&file).unwrap(), dir, special }
        })
        .collect();
    Models { all, _cache: cache }
});

/// Folders of real models, by name.
fn real_models(cache: &Path) -> Vec<(String, PathBuf)> {
    let folder = match std::env::var_os("LLMBENCH_TEST_MODELS") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models/unpack");
            let folder = cache.join("models");
            if !script.exists() || !Command::new(script).arg(&folder).status().is_ok_and(|status| status.success()) {
                eprintln!("SKIPPED: no real models; set LLMBENCH_TEST_MODELS to a folder of model folders");
                return Vec::new();
            }
            folder
        }
    };
    let mut models: Vec<(String, PathBuf)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("tokenizer.json").exists())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path))
        .collect();
    models.sort();
    models
}

/// Size and seed of the texts of a kind: short ones from many seeds, and a long one.
fn draws(kind: Kind) -> Vec<(usize, u64)> {
    let mut draws: Vec<(usize, u64)> = (0..40).map(|seed| (300, seed)).chain([(20_000, 1_000)]).collect();
    if kind == Kind::LongWord {
        draws = (0..3).flat_map(|shape| [(10, shape), (1_000, shape), (5_000, shape)]).collect();
    }
    draws.push((0, 0));
    draws
}

/// Differences of an engine from the reference: by kind, the first.
fn differences(model: &Model, engine: &str) -> Result<Vec<(Kind, String)>, EngineError> {
    let loaded = load(engine, &model.dir)?;
    let mut found = Vec::new();
    for call_path in tokenizers::kind(engine).unwrap().call_paths {
        let encode = loaded.call_path(call_path).unwrap();
        for kind in Kind::ALL {
            let first = draws(kind).into_iter().find_map(|(bytes, seed)| {
                let text = text(kind, bytes, seed, &model.special);
                match encode.run(&text) {
                    Err(error) => Some(format!("{bytes} bytes, seed {seed}: {error}")),
                    Ok(ids) => difference(&model.reference, &text, &ids)
                        .unwrap()
                        .map(|difference| format!("{bytes} bytes, seed {seed}: {difference}")),
                }
            });
            found
                .extend(first.map(|difference| (kind, format!("{engine}/{call_path}, {}: {difference}", kind.name()))));
        }
    }
    Ok(found)
}

/// Compares what was found for an engine with what is known.
fn check(engine: &str) {
    let kind = tokenizers::kind(engine).unwrap();
    if !kind.is_built() {
        eprintln!("SKIPPED: this build is without {engine}");
        return;
    }
    for model in &MODELS.all {
        let unfit = UNFIT.iter().find(|(name, other, _)| *name == model.name && *other == engine);
        match (differences(model, engine), unfit) {
            (Err(EngineError::Unavailable(reason)), Some((_, _, expected))) => {
                assert!(reason.contains(expected), "{}: {reason}", model.name);
            }
            (Err(error), _) => panic!("{}: {error}", model.name),
            (Ok(_), Some(_)) => panic!("{}: {engine} was known not to represent it", model.name),
            (Ok(found), None) => {
                for (kind, difference) in &found {
                    let cause =
                        KNOWN.iter().find(|(name, other, of, _)| *name == model.name && *other == engine && of == kind);
                    match cause {
                        Some((.., cause)) => eprintln!("{}: {difference}\n    known: {cause}", model.name),
                        None => panic!("{}: {difference}", model.name),
                    }
                }
                for (name, other, kind, cause) in KNOWN {
                    let expected = *name == model.name && *other == engine;
                    assert!(
                        !expected || found.iter().any(|(of, _)| of == kind),
                        "{name}: {engine} no longer differs on {} ({cause})",
                        kind.name()
                    );
                }
            }
        }
    }
}

#[test]
fn every_engine_agrees_by_all_call_paths() {
    for kind in KINDS {
        check(kind.engine);
    }
}

#[test]
fn the_gate_says_where_ids_part() {
    let model = &MODELS.all[0];
    let text = "The quick brown fox 🦀 jumps over the lazy dog";
    let ids = model.reference.ids(text).unwrap();
    assert_eq!(difference(&model.reference, text, &ids).unwrap(), None);

    let crab = text.find('🦀').unwrap();
    let at = model.reference.ids(&text[..crab]).unwrap().len();
    let mut wrong = ids.clone();
    wrong[at] += 1;
    let found = difference(&model.reference, text, &wrong).unwrap().unwrap();
    assert_eq!(found.position, at);
    assert!(found.byte >= crab - 1 && found.byte <= crab, "{found:?}");
    assert_eq!((found.reference[0], found.ids[0]), (ids[at], ids[at] + 1));
    assert!(found.before.ends_with("brown fox") || found.before.ends_with("fox "), "{found}");
    assert!(found.to_string().starts_with(&format!("id {at} (byte {}): ", found.byte)), "{found}");

    // Cut short, and empty: there is an end to point at.
    let cut = difference(&model.reference, text, &ids[..ids.len() - 1]).unwrap().unwrap();
    assert_eq!((cut.position, cut.ids.len(), cut.reference.len()), (ids.len() - 1, 0, 1));
    let longer = [ids.as_slice(), &[7]].concat();
    let more = difference(&model.reference, text, &longer).unwrap().unwrap();
    assert_eq!((more.byte, more.reference.len(), more.after.as_str()), (text.len(), 0, ""));
}

#[test]
fn special_tokens_in_a_text_are_single_ids_and_none_are_added() {
    for model in &MODELS.all {
        let token = model.special.iter().find(|token| token.contains("end")).unwrap();
        let id = model.reference.inner().token_to_id(token).unwrap();
        for kind in KINDS.iter().filter(|kind| kind.is_built()) {
            let Ok(loaded) = load(kind.engine, &model.dir) else { continue };
            for path in kind.call_paths {
                let ids = loaded.call_path(path).unwrap().run(&format!("{token}{token}")).unwrap();
                assert_eq!(ids, [id, id], "{}: {}/{path}", model.name, kind.engine);
            }
            assert!(loaded.call_path("encode_slow").is_none());
        }
    }
}

#[test]
fn what_cannot_be_loaded_says_why_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for kind in KINDS.iter().filter(|kind| kind.is_built()) {
        let message =
            |result: Result<_, EngineError>| result.map(|_: Box<dyn tokenizers::Loaded>| ()).unwrap_err().to_string();
        assert!(message(load(kind.engine, &folder.path().join("none"))).contains("tokenizer.json"), "{}", kind.engine);
        std::fs::write(folder.path().join("tokenizer.json"), b"{\"model\": {").unwrap();
        assert!(load(kind.engine, folder.path()).is_err(), "{}: half a file", kind.engine);
    }
    let unigram = r#"{"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null,
        "decoder": null, "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.0]], "byte_fallback": false}}"#;
    std::fs::write(folder.path().join("tokenizer.json"), unigram).unwrap();
    for engine in ["bpe", "tiktoken-rs"] {
        match load(engine, folder.path()).map(|_| ()).unwrap_err() {
            EngineError::Unavailable(reason) => assert!(
                reason.contains("of the kind Unigram, not BPE")
                    && reason.ends_with("leave this engine out for this model"),
                "{reason}"
            ),
            EngineError::Failed(error) => panic!("{engine}: {error}"),
        }
    }
    let error = load("gpt", folder.path()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("there is no engine gpt") && error.contains("kitoken"), "{error}");
}

#[test]
fn loading_has_a_cost_in_time_and_memory() {
    let model = &MODELS.all[0];
    let size = std::fs::metadata(model.dir.join("tokenizer.json")).unwrap().len();
    let (loaded, cost) = load_cost(REFERENCE, &model.dir).unwrap();
    assert_eq!(loaded.call_path("encode").unwrap().run("a").unwrap().len(), 1);
    assert!(cost.load_ns > 1_000_000, "{cost:?}");
    if cfg!(target_os = "linux") {
        // Other tests of this process allocate at the same time: only the order of magnitude is told.
        assert!(cost.resident_bytes.is_some_and(|bytes| bytes < 1_000 * size), "{cost:?}");
    }
}
