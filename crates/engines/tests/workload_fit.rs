//! The token count asked for, by the real templates and tokenizers: the built-in model, a vocabulary of 600 merges that is
//! made here, and the models that `../shared/models/unpack` writes (or those in the folder `LLMBENCH_TEST_MODELS`).

use std::path::{Path, PathBuf};
use std::process::Command;

use engines::template::{ChatTemplate, Conversation, Limits, SpecialTokens, select_template};
use engines::{Tokenizer, builtin, count_tokens};
use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, TokenizerBuilder};
use workload::{Prompt, WorkloadError, WorkloadSpec, build};

struct Model {
    name: String,
    template: ChatTemplate,
    tokenizer: Tokenizer,
}

impl Prompt for Model {
    fn render(&self, request: &Value) -> Result<String, String> {
        let conversation = Conversation::from_json(&request["messages"], None).map_err(|error| error.to_string())?;
        self.template.render(&conversation, true).map_err(|error| error.to_string())
    }

    fn count(&self, texts: &[String]) -> Result<Vec<usize>, String> {
        count_tokens(&self.tokenizer, texts).map_err(|error| error.to_string())
    }
}

impl Model {
    fn folder(name: &str, dir: &Path) -> Self {
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).ok();
        let config: Value = serde_json::from_str(&read("tokenizer_config.json").unwrap()).unwrap();
        let source = select_template(&config, read("chat_template.jinja").as_deref(), false).unwrap();
        let special = SpecialTokens::from_config(&config, None).unwrap();
        Self {
            name: name.to_owned(),
            template: ChatTemplate::compile(&source, &special, Limits::default(), 0).unwrap(),
            tokenizer: Tokenizer::load(&dir.join("tokenizer.json")).unwrap(),
        }
    }

    /// Byte-level BPE of so many merges, learned from the licence, with the built-in template, whose marks it has no tokens
    /// for.
    fn tiny(merges: usize) -> Self {
        let mut trainer = BpeTrainerBuilder::new()
            .vocab_size(256 + merges)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let mut learned =
            TokenizerBuilder::<BPE, NormalizerWrapper, ByteLevel, PostProcessorWrapper, DecoderWrapper>::new()
                .with_model(BPE::default())
                .with_pre_tokenizer(Some(ByteLevel::new(false, true, true)))
                .build()
                .unwrap();
        learned.train(&mut trainer, [include_str!("../../../LICENSE")].into_iter()).unwrap();
        let json = learned.to_string(false).unwrap();
        let special = SpecialTokens::from_config(&json!({}), None).unwrap();
        let source = std::str::from_utf8(include_bytes!("../src/builtin/chat_template.jinja")).unwrap();
        Self {
            name: format!("{merges} merges"),
            template: ChatTemplate::compile(source, &special, Limits::default(), 0).unwrap(),
            tokenizer: Tokenizer::from_bytes("tiny", json.as_bytes()).unwrap(),
        }
    }
}

/// Builds a workload, counts its prompts again, and says how far they are from what was asked for: the worst, in percent.
fn worst(model: &Model, kind: &str, tokens: u32, turns: u32) -> Result<f64, WorkloadError> {
    let dir = tempfile::tempdir().unwrap();
    let (pool, warmup) = if tokens > 10_000 { (1, 1) } else { (4, 2) };
    let spec = WorkloadSpec { id: "w".to_owned(), kind: kind.to_owned(), tokens, turns, pool, warmup, bytes: 0 };
    let files = build(&spec, 7, model, dir.path(), &mut |_, _| {})?;
    let requests = std::fs::read_to_string(&files.requests).unwrap();
    let mut worst: f64 = 0.0;
    for line in requests.lines() {
        let request: Value = serde_json::from_str(line).unwrap();
        assert_eq!(request["messages"].as_array().unwrap().len(), 2 * turns as usize - 1);
        let text = model.render(&request).unwrap();
        let found = model.tokenizer.ids(&text).unwrap().len();
        worst = worst.max((found as f64 / f64::from(tokens) - 1.0).abs() * 100.0);
    }
    Ok(worst)
}

/// Within 1% on the whole grid; what does not fit is refused with the smallest size that does, and that one fits.
fn fits(model: &Model, kinds: &[&str]) {
    let mut wrong = Vec::new();
    for kind in kinds {
        for tokens in [200, 1_000, 10_000, 50_000] {
            for turns in [1, 3, 10, 100] {
                let label = format!("{}: {kind}, {tokens} tokens, {turns} turns", model.name);
                match worst(model, kind, tokens, turns) {
                    Ok(worst) if worst <= 1.0 => {}
                    Ok(worst) => wrong.push(format!("{label}: off by {worst:.2}%")),
                    Err(WorkloadError::TooFewTokens { smallest, .. }) => {
                        assert!(smallest > tokens, "{label}: {smallest} is not more");
                        match worst(model, kind, smallest, turns) {
                            Ok(worst) if worst <= 1.0 => eprintln!("{label}: {smallest} fit"),
                            Ok(worst) => wrong.push(format!("{label}: at {smallest} off by {worst:.2}%")),
                            Err(error) => wrong.push(format!("{label}: at {smallest}: {error}")),
                        }
                    }
                    Err(error) => wrong.push(format!("{label}: {error}")),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_built_in_model() {
    let cache = tempfile::tempdir().unwrap();
    let made = builtin::ensure(cache.path(), &|_| {}).unwrap();
    fits(&Model::folder("built-in", &made.dir), &["words", "letters"]);
}

#[test]
fn vocabularies_in_which_a_sentence_is_many_tokens() {
    fits(&Model::tiny(600), &["words", "letters"]);
    // Nearly bytes.
    fits(&Model::tiny(20), &["words"]);
}

#[test]
fn the_models_at_hand() {
    let (root, _made) = match std::env::var_os("LLMBENCH_TEST_MODELS") {
        Some(path) if !path.is_empty() => (PathBuf::from(path), None),
        _ => {
            let unpack = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models/unpack");
            if !unpack.is_file() {
                eprintln!("SKIPPED: set LLMBENCH_TEST_MODELS to a folder of model folders to fit workloads to them");
                return;
            }
            let made = tempfile::tempdir().unwrap();
            assert!(Command::new(unpack).arg(made.path()).output().unwrap().status.success());
            (made.path().to_owned(), Some(made))
        }
    };
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|folder| folder.join("tokenizer_config.json").is_file());
    folders.sort();
    assert!(!folders.is_empty(), "no model folder below {}", root.display());
    for folder in folders {
        fits(&Model::folder(&folder.file_name().unwrap().to_string_lossy(), &folder), &["words"]);
    }
}
