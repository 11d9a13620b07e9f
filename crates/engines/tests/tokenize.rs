//! Loading a `tokenizer.json`, and how it fails.

use std::path::Path;

use engines::tokenize::{LoadError, Tokenizer};
use serde_json::json;

/// A byte-level BPE tokenizer over the bytes and a few merges, with padding and truncation switched on.
fn tiny() -> serde_json::Value {
    let mut vocabulary = serde_json::Map::new();
    for byte in 33u8..=126 {
        vocabulary.insert(char::from(byte).to_string(), vocabulary.len().into());
    }
    for token in ["Ġ", "Ċ", "th", "he", "the", "Ġt"] {
        vocabulary.insert(token.to_owned(), vocabulary.len().into());
    }
    json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 32}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "!"},
        "added_tokens": [{"id": vocabulary.len(), "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [vocabulary.len()], "tokens": ["<s>"]}}},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": ["t h", "h e", "th e", "Ġ t"]}
    })
}

fn load(bytes: &[u8]) -> Result<Tokenizer, LoadError> {
    Tokenizer::from_bytes("folder/tokenizer.json", bytes)
}

fn error(bytes: &[u8]) -> LoadError {
    load(bytes).map(|_| ()).unwrap_err()
}

#[test]
fn nothing_is_added_padded_or_cut() {
    let tokenizer = load(tiny().to_string().as_bytes()).unwrap();
    let text = "the the other";
    for name in ["encode", "encode_fast", "encode_batch"] {
        let ids = tokenizer.call_path(name).unwrap().run(text).unwrap();
        let tokens: Vec<String> = ids.iter().map(|id| tokenizer.inner().id_to_token(*id).unwrap()).collect();
        assert_eq!(tokens, ["the", "Ġ", "the", "Ġ", "o", "the", "r"], "{name}");
        assert_eq!(tokenizer.call_path(name).unwrap().run("<s>a").unwrap().len(), 2, "a BOS in the text is one token");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Tokenizer::load(Path::new("no-such-folder/tokenizer.json")).map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no-such-folder/tokenizer.json does not exist; give a model folder that holds a tokenizer.json"
    );
}

#[test]
fn a_truncated_file_is_told_from_one_that_is_not_json() {
    let whole = tiny().to_string();
    for cut in [1, 10, whole.len() / 2, whole.len() - 1] {
        assert!(matches!(error(&whole.as_bytes()[..cut]), LoadError::Truncated { .. }), "cut at {cut}");
    }
    for bytes in
        [&b""[..], b"version https://git-lfs.github.com/spec/v1\n", b"\x0a\x0e\x0a\x05<unk>", b"{\"a\": 1} x", b"  \n"]
    {
        let error = error(bytes);
        assert!(matches!(error, LoadError::NotJson { .. }), "{error}");
        assert!(error.to_string().starts_with("folder/tokenizer.json is not JSON ("), "{error}");
    }
}

#[test]
fn json_that_is_no_tokenizer_or_of_an_unknown_kind_is_told() {
    for bytes in [&b"{}"[..], b"[]", b"3", b"{\"architectures\": [\"LlamaForCausalLM\"]}"] {
        assert!(matches!(error(bytes), LoadError::NotATokenizer { .. }));
    }
    let mut other = tiny();
    other["model"]["type"] = "Tekken".into();
    let message = error(other.to_string().as_bytes()).to_string();
    assert!(message.contains("kind `Tekken`") && message.contains("BPE, Unigram, WordPiece or WordLevel"), "{message}");

    let mut merge = tiny();
    merge["model"]["merges"] = json!(["q x"]);
    let message = error(merge.to_string().as_bytes()).to_string();
    assert!(message.contains("not supported by tokenizers 0."), "{message}");

    let mut part = tiny();
    part["pre_tokenizer"] = json!({"type": "Telepathy"});
    assert!(matches!(error(part.to_string().as_bytes()), LoadError::Unsupported { .. }));
}
