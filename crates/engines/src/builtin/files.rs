//! The files of the built-in model, as bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use tiktoken_rs::O200K_BASE_PAT_STR;

use super::vocabulary::{byte_alphabet, byte_level, special_tokens};

/// Our own ChatML template.
pub const CHAT_TEMPLATE: &str = include_str!("chat_template.jinja");

/// `tokenizer.json`: byte-level BPE behind the o200k split, with `ignore_merges`, which looks a whole word up first, as the
/// original engine does (the ids are the same without it).
pub fn tokenizer_json(ranks: &[Vec<u8>], merges: &[(u32, u32)]) -> Result<Vec<u8>, serde_json::Error> {
    let alphabet = byte_alphabet();
    let tokens: Vec<String> = ranks.iter().map(|bytes| byte_level(bytes, &alphabet)).collect();
    let vocabulary: Map<String, Value> =
        tokens.iter().zip(0u32..).map(|(token, id)| (token.clone(), id.into())).collect();
    let pairs: Vec<Value> = merges
        .iter()
        .map(|&(left, right)| format!("{} {}", tokens[left as usize], tokens[right as usize]).into())
        .collect();
    let added: Vec<Value> = special_tokens().into_iter().map(|(name, id)| added_token(&name, Some(id))).collect();
    serde_json::to_vec(&json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": O200K_BASE_PAT_STR}, "behavior": "Isolated", "invert": false},
                {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}
            ]
        },
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": true,
            "vocab": vocabulary,
            "merges": pairs
        }
    }))
}

/// `tokenizer_config.json`. There is no BOS token, and nothing is added to a rendered prompt.
pub fn tokenizer_config() -> Result<Vec<u8>, serde_json::Error> {
    let decoder: Map<String, Value> =
        special_tokens().into_iter().map(|(name, id)| (id.to_string(), added_token(&name, None))).collect();
    serde_json::to_vec_pretty(&json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "added_tokens_decoder": decoder,
        "add_bos_token": false,
        "bos_token": null,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": null,
        "clean_up_tokenization_spaces": false,
        "model_max_length": 1_048_576
    }))
}

/// A `.tiktoken` file: one line a token, base64 of its bytes, a space, its rank.
pub fn tiktoken_ranks(ranks: &[Vec<u8>]) -> Vec<u8> {
    let mut file = String::with_capacity(ranks.len() * 20);
    for (bytes, rank) in ranks.iter().zip(0u32..) {
        STANDARD.encode_string(bytes, &mut file);
        file.push(' ');
        file.push_str(&rank.to_string());
        file.push('\n');
    }
    file.into_bytes()
}

fn added_token(name: &str, id: Option<u32>) -> Value {
    let mut token = Map::new();
    if let Some(id) = id {
        token.insert("id".to_owned(), id.into());
    }
    token.insert("content".to_owned(), name.into());
    for flag in ["single_word", "lstrip", "rstrip", "normalized"] {
        token.insert(flag.to_owned(), false.into());
    }
    token.insert("special".to_owned(), true.into());
    Value::Object(token)
}
