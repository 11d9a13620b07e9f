//! Folders as `--model` takes them: what is read, what is assumed, and what each broken piece is called.

use std::fs;
use std::path::Path;

use provision::model::{self, Fetch, HubConfig, Model};

const TOKENIZER: &str = r#"{"version":"1.0","model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#;
const CONFIG: &str = r#"{"bos_token":"<s>","chat_template":"{{ bos_token }}"}"#;

fn write(dir: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        fs::write(dir.join(name), text).unwrap();
    }
}

fn open(files: &[(&str, &str)]) -> (Result<Model, String>, tempfile::TempDir) {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("my-model");
    fs::create_dir(&dir).unwrap();
    write(&dir, files);
    let cache = tmp.path().join("cache");
    let hub = HubConfig::from_lookup(&|_| None, Some(tmp.path().to_path_buf()));
    let model = model::open(dir.to_str().unwrap(), &cache, &hub, &mut |_: &Fetch| {});
    (model.map_err(|e| e.to_string()), tmp)
}

fn template(files: &[(&str, &str)]) -> String {
    let (model, _tmp) = open(files);
    let path = model.unwrap().paths.dir.join("chat_template.jinja");
    fs::read_to_string(path).unwrap()
}

fn error(files: &[(&str, &str)]) -> String {
    open(files).0.unwrap_err()
}

#[test]
fn the_normalised_folder_has_exactly_three_files_under_its_hash() {
    let weights = ("model.safetensors", "heavy");
    let (model, tmp) = open(&[("tokenizer.json", TOKENIZER), ("tokenizer_config.json", CONFIG), weights]);
    let model = model.unwrap();
    let sha = &model.identity.sha256;
    assert_eq!(sha.len(), 64);
    assert_eq!(model.paths.dir, tmp.path().join("cache/models").join(&sha[..16]));
    assert_eq!(model.identity.name, "my-model");
    assert_eq!((model.paths.tiktoken, model.commit, model.notes), (None, None, vec![]));
    let mut names: Vec<_> = fs::read_dir(&model.paths.dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["chat_template.jinja", "tokenizer.json", "tokenizer_config.json"]);
    assert_eq!(fs::read_to_string(model.paths.dir.join("tokenizer.json")).unwrap(), TOKENIZER);
    assert_eq!(fs::read_to_string(model.paths.dir.join("tokenizer_config.json")).unwrap(), CONFIG);
}

#[test]
fn a_later_edit_of_the_original_does_not_reach_the_copy() {
    let (model, tmp) = open(&[("tokenizer.json", TOKENIZER), ("tokenizer_config.json", CONFIG)]);
    let original = tmp.path().join("my-model/tokenizer.json");
    let mut file = fs::OpenOptions::new().append(true).open(original).unwrap();
    std::io::Write::write_all(&mut file, b" ").unwrap();
    let copy = model.unwrap().paths.dir.join("tokenizer.json");
    assert_eq!(fs::read_to_string(copy).unwrap(), TOKENIZER);
}

#[test]
fn a_model_normalises_to_itself_and_each_file_counts() {
    let (model, tmp) = open(&[("tokenizer.json", TOKENIZER), ("tokenizer_config.json", CONFIG)]);
    let first = model.unwrap();
    let again = model::normalise(&first.paths.dir, "x", &tmp.path().join("other")).unwrap();
    assert_eq!(again.identity.sha256, first.identity.sha256);
    let mut seen = vec![first.identity.sha256];
    for (name, text) in [
        ("tokenizer.json", TOKENIZER.replace("\"a\"", "\"b\"")),
        ("tokenizer_config.json", CONFIG.replace("<s>", "<t>")),
        ("chat_template.jinja", "other".to_owned()),
    ] {
        let mut files = vec![("tokenizer.json", TOKENIZER), ("tokenizer_config.json", CONFIG)];
        files.push((name, &text));
        seen.push(open(&files).0.unwrap().identity.sha256);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4);
}

#[test]
fn a_damaged_copy_in_the_cache_is_made_again() {
    let (model, tmp) = open(&[("tokenizer.json", TOKENIZER), ("tokenizer_config.json", CONFIG)]);
    let dir = model.unwrap().paths.dir;
    fs::write(dir.join("tokenizer.json"), TOKENIZER.replace("\"a\"", "\"b\"")).unwrap();
    let again = model::normalise(&tmp.path().join("my-model"), "x", &tmp.path().join("cache")).unwrap();
    assert_eq!(again.paths.dir, dir);
    assert_eq!(fs::read_to_string(dir.join("tokenizer.json")).unwrap(), TOKENIZER);
}

#[test]
fn where_the_template_comes_from() {
    let tokenizer = ("tokenizer.json", TOKENIZER);
    let config = ("tokenizer_config.json", CONFIG);
    assert_eq!(template(&[tokenizer, config]), "{{ bos_token }}");
    assert_eq!(template(&[tokenizer, config, ("chat_template.jinja", "from file\n")]), "from file\n");
    let list = r#"{"chat_template":[{"name":"tool_use","template":"T"},{"name":"default","template":"D"}]}"#;
    assert_eq!(template(&[tokenizer, ("tokenizer_config.json", list)]), "D");
    let map = r#"{"chat_template":{"default":"D","rag":"R"}}"#;
    assert_eq!(template(&[tokenizer, ("tokenizer_config.json", map)]), "D");
    let crlf = ("chat_template.jinja", "a\r\nb\rc\n");
    assert_eq!(template(&[tokenizer, config, crlf]), "a\nb\nc\n", "Jinja2 reads every line end as \\n");
}

#[test]
fn assumptions_are_told() {
    let tokenizer = ("tokenizer.json", TOKENIZER);
    // `tool_use` is found by the workers, for requests with tools; other names are used by nobody.
    let list = r#"{"chat_template":[{"name":"tool_use","template":"T"},{"name":"default","template":"D"},{"name":"rag","template":"R"}]}"#;
    let notes = |files: &[(&str, &str)]| open(files).0.unwrap().notes;
    let told = notes(&[tokenizer, ("tokenizer_config.json", list)]);
    assert!(told[0].contains("`default` is used, rag not"), "{told:?}");
    let told = notes(&[tokenizer, ("chat_template.jinja", "x")]);
    assert!(told[0].contains("no tokenizer_config.json"), "{told:?}");
}

#[test]
fn each_missing_piece_has_its_sentence() {
    let tokenizer = ("tokenizer.json", TOKENIZER);
    let config = ("tokenizer_config.json", CONFIG);
    let e = error(&[config]);
    assert!(e.contains("my-model has no tokenizer.json:") && e.contains("save_pretrained"), "{e}");
    let e = error(&[config, ("tokenizer.model", "sp")]);
    assert!(e.contains("(it has tokenizer.model, a SentencePiece") && e.contains("save_pretrained"), "{e}");
    let e = error(&[config, ("tekken.json", "{}")]);
    assert!(e.contains("(it has tekken.json, Mistral's own vocabulary): take a repository"), "{e}");
    assert!(!e.contains("save_pretrained"), "{e}");
    let e = error(&[tokenizer]);
    assert!(e.contains("no tokenizer_config.json"), "{e}");
    for none in ["{}", r#"{"chat_template":null}"#, r#"{"chat_template":""}"#, r#"{"chat_template":[]}"#] {
        let e = error(&[tokenizer, ("tokenizer_config.json", none)]);
        assert!(e.contains("no chat template") && e.contains("instruct"), "{e}");
    }
    let named = r#"{"chat_template":[{"name":"rag","template":"R"},{"name":"tool_use","template":"T"}]}"#;
    let e = error(&[tokenizer, ("tokenizer_config.json", named)]);
    assert!(e.contains("rag, tool_use") && e.contains("`default`"), "{e}");
}

#[test]
fn each_broken_piece_has_its_sentence() {
    let config = ("tokenizer_config.json", CONFIG);
    let broken = |text: &str| error(&[("tokenizer.json", text), config]);
    let e = broken("{\"model\":\n {]}");
    assert!(e.contains("tokenizer.json is not JSON at line 2, column 3 (") && e.contains("): fetch it again"), "{e}");
    let e = broken(&TOKENIZER[..40]);
    assert!(e.contains("is truncated (it ends within a value at line 1, column 40)"), "{e}");
    let e = broken("");
    assert!(e.contains("tokenizer.json is empty"), "{e}");
    let e = broken("<!DOCTYPE html>");
    assert!(e.contains("is not JSON") && e.contains("line 1, column 1"), "{e}");
    let e = broken("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    assert!(e.contains("git lfs pull"), "{e}");
    let e = broken("[1]");
    assert!(e.contains("not what that file should hold") && e.contains("fetch it again"), "{e}");
    let e = broken("{\"added_tokens\":[]}");
    assert!(e.contains("it has no `model`"), "{e}");
    let e = broken(r#"{"config":{"pattern":"x","default_vocab_size":131072},"vocab":[]}"#);
    assert!(e.contains("Mistral's own vocabulary (tekken.json)") && e.contains("take a repository"), "{e}");
    let e = broken(r#"{"model":{"type":"BPE"}}"#);
    assert!(e.contains("`model` has no `vocab`"), "{e}");
    let e = broken(r#"{"model":{"type":"Quantum","vocab":{}}}"#);
    assert!(e.contains("kind `Quantum`") && e.contains("BPE, Unigram, WordPiece, WordLevel"), "{e}");

    let tokenizer = ("tokenizer.json", TOKENIZER);
    let e = error(&[tokenizer, ("tokenizer_config.json", "{\"a\":")]);
    assert!(e.contains("tokenizer_config.json is truncated"), "{e}");
    let e = error(&[tokenizer, ("tokenizer_config.json", r#"{"chat_template":7}"#)]);
    assert!(e.contains("`chat_template` is 7"), "{e}");
}

#[test]
fn a_template_that_is_no_text_names_the_byte() {
    let tmp = tempfile::tempdir().unwrap();
    write(tmp.path(), &[("tokenizer.json", TOKENIZER), ("tokenizer_config.json", CONFIG)]);
    fs::write(tmp.path().join("chat_template.jinja"), b"ab\xff").unwrap();
    let e = model::normalise(tmp.path(), "x", &tmp.path().join("c")).unwrap_err().to_string();
    assert!(e.contains("chat_template.jinja is not UTF-8 (byte 2)"), "{e}");
}

#[test]
fn an_old_tokenizer_names_no_kind() {
    let old = r#"{"model":{"vocab":{"a":0},"merges":[]}}"#;
    assert!(open(&[("tokenizer.json", old), ("tokenizer_config.json", CONFIG)]).0.is_ok());
}
