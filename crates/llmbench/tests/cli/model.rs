//! Model folders small enough to be made by a test: a byte-level BPE tokenizer learned from the licence text, and ChatML.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::{Map, Value, json};

/// What the vocabulary is learned from: English, and always the same.
const TEXT: &str = include_str!("../../../../LICENSE");

/// Merges learned; enough for common syllables and words.
const MERGES: usize = 600;

/// ChatML without tools.
pub const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + \
     '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// What stands in `tokenizer.json`.
pub fn tokenizer(with_bos: bool) -> Value {
    let (vocabulary, merges) = learned();
    let first = vocabulary.len();
    let special = ["<|im_start|>", "<|im_end|>", "<s>"];
    let added: Vec<Value> = special
        .iter()
        .enumerate()
        .map(|(index, content)| {
            json!({"id": first + index, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        })
        .collect();
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let bos = json!({"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [first + 2], "tokens": ["<s>"]}}});
    json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": byte_level, "post_processor": if with_bos { bos } else { Value::Null },
        "decoder": byte_level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": merges}})
}

/// Writes a model with this chat template.
pub fn write(dir: &Path, template: &str) {
    write_files(dir, &tokenizer(false).to_string(), template);
}

/// A model whose tokenizer adds BOS by itself, and whose template writes it too, as Llama's do.
#[allow(dead_code, reason = "one of the two test programs that share this file uses it")]
pub fn write_with_bos(dir: &Path) {
    write_files(dir, &tokenizer(true).to_string(), &format!("{{{{ bos_token }}}}{CHATML}"));
}

/// Writes a model whose `tokenizer.json` is this text.
pub fn write_files(dir: &Path, tokenizer: &str, template: &str) {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("tokenizer.json"), tokenizer).unwrap();
    let config = json!({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>", "model_max_length": 131_072, "chat_template": template});
    std::fs::write(dir.join("tokenizer_config.json"), config.to_string()).unwrap();
}

/// The printable character that stands for each byte in byte-level BPE (as GPT-2 has it): itself if it is printable, else
/// the next one from U+0100 on.
fn character(byte: u8) -> char {
    let printable = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|byte| !printable(*byte)).count() as u32;
    char::from_u32(256 + before).unwrap()
}

/// Vocabulary and merges: the commonest pair of neighbours becomes a token, again and again.
fn learned() -> (Map<String, Value>, Vec<String>) {
    let mut words: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for word in TEXT.split_whitespace() {
        let symbols = format!(" {word}").bytes().map(|byte| character(byte).to_string()).collect();
        *words.entry(symbols).or_default() += 1;
    }
    let mut words: Vec<(Vec<String>, usize)> = words.into_iter().collect();
    let mut vocabulary: Vec<String> = (0..=255).map(|byte| character(byte).to_string()).collect();
    let mut merges = Vec::new();
    while merges.len() < MERGES {
        let mut pairs: HashMap<(&str, &str), usize> = HashMap::new();
        for (symbols, count) in &words {
            for pair in symbols.windows(2) {
                *pairs.entry((&pair[0], &pair[1])).or_default() += count;
            }
        }
        let best = pairs.into_iter().max_by_key(|(pair, count)| (*count, *pair)).map(|(pair, _)| pair);
        let Some((left, right)) = best.map(|(left, right)| (left.to_owned(), right.to_owned())) else { break };
        let joined = format!("{left}{right}");
        for (symbols, _) in &mut words {
            let mut at = 0;
            while at + 1 < symbols.len() {
                if symbols[at] == left && symbols[at + 1] == right {
                    symbols[at].clone_from(&joined);
                    symbols.remove(at + 1);
                }
                at += 1;
            }
        }
        if !vocabulary.contains(&joined) {
            vocabulary.push(joined);
        }
        merges.push(format!("{left} {right}"));
    }
    (vocabulary.into_iter().enumerate().map(|(id, token)| (token, Value::from(id))).collect(), merges)
}
