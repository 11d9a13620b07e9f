//! A model's folder: the three files, checked as far as it takes to say in one sentence what is wrong with them.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use thiserror::Error;

use super::{CONFIG, TEMPLATE, TOKENIZER};

/// Kinds of model that the `tokenizers` library reads.
const KINDS: [&str; 4] = ["BPE", "Unigram", "WordPiece", "WordLevel"];

/// Vocabularies of other shapes, that a folder or repository without tokenizer.json may have instead, and what they are.
pub(crate) const OTHER_VOCABULARIES: [(&str, &str); 6] = [
    ("tokenizer.model", "a SentencePiece or tiktoken vocabulary"),
    ("tekken.json", "Mistral's own vocabulary"),
    ("spiece.model", "a SentencePiece vocabulary"),
    ("tiktoken.model", "a tiktoken vocabulary"),
    ("vocab.json", "a BPE vocabulary of the old kind"),
    ("vocab.txt", "a WordPiece vocabulary"),
];

/// The content of a normalised model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// tokenizer.json, byte for byte.
    pub tokenizer: Vec<u8>,
    /// tokenizer_config.json, byte for byte.
    pub config: Vec<u8>,
    /// The chat template with `\n` as its only line end, which is how Jinja2 reads any template.
    pub template: String,
    /// What was assumed; whole sentences.
    pub notes: Vec<String>,
}

/// Why a folder is no model. `label` names the folder or the Hugging Face id, as the user knows it.
#[derive(Debug, Error)]
pub enum FolderError {
    #[error("{label} has no tokenizer.json{}: {}", has(.other), conversion(label, .other))]
    NoTokenizer {
        label: String,
        /// A vocabulary of another shape that is there: its name and what it is.
        other: Option<(&'static str, &'static str)>,
    },
    #[error(
        "{label} has no tokenizer_config.json: copy it from the model's repository (or, if there is none, put the chat \
         template beside tokenizer.json as chat_template.jinja)"
    )]
    NoConfig { label: String },
    #[error(
        "{label} has no chat template (base models have none): take the model's instruct variant, or put a \
         chat_template.jinja beside its tokenizer.json"
    )]
    NoTemplate { label: String },
    #[error(
        "{label} has chat templates named {}, but none named `default`: put the wanted one into a chat_template.jinja \
         beside its tokenizer.json",
        .names.join(", ")
    )]
    NoDefault { label: String, names: Vec<String> },
    #[error("{}: `chat_template` is {found}, where a text or a list of {{name, template}} is expected", path.display())]
    TemplateShape { path: PathBuf, found: String },
    #[error("{} is empty: fetch it again from the model's repository", path.display())]
    Empty { path: PathBuf },
    #[error(
        "{} is a Git LFS pointer and not the file itself: run `git lfs pull` in its folder",
        path.display()
    )]
    LfsPointer { path: PathBuf },
    #[error("{} is truncated (it ends within a value at line {line}, column {column}): fetch it again from the model's repository", path.display())]
    Truncated { path: PathBuf, line: usize, column: usize },
    #[error("{} is not JSON at line {line}, column {column} ({reason}): fetch it again from the model's repository", path.display())]
    NotJson { path: PathBuf, line: usize, column: usize, reason: String },
    #[error("{} is JSON, but not what that file should hold ({reason}): fetch it again from the model's repository", path.display())]
    Shape { path: PathBuf, reason: String },
    #[error("{} is Mistral's own vocabulary (tekken.json) under another name: {TEKKEN}", path.display())]
    Tekken { path: PathBuf },
    #[error(
        "{} holds a tokenizer of the kind `{kind}`, and the tokenizers library reads only {}: take the tokenizer.json of the \
         model's Hugging Face repository, or another model",
        path.display(), KINDS.join(", ")
    )]
    Kind { path: PathBuf, kind: String },
    #[error("{} is not UTF-8 (byte {offset}): save it as UTF-8", path.display())]
    NotText { path: PathBuf, offset: usize },
    #[error("cannot read {}: {source}; check its permissions", path.display())]
    Read { path: PathBuf, source: io::Error },
}

/// transformers keeps this kind as it is, so that a conversion by it gives no tokenizer.json.
const TEKKEN: &str = "take a repository of the model that has a tokenizer.json (Mistral's newer ones have both)";

fn conversion(label: &str, other: &Option<(&str, &str)>) -> String {
    if other.is_some_and(|(name, _)| name == "tekken.json") {
        return TEKKEN.to_owned();
    }
    format!(
        "convert it once with `python -c \"from transformers import AutoTokenizer as T; \
         T.from_pretrained('{label}').save_pretrained('DIR')\"` and pass `--model DIR`"
    )
}

fn has(other: &Option<(&str, &str)>) -> String {
    other.map_or(String::new(), |(name, what)| format!(" (it has {name}, {what})"))
}

/// Reads and checks the model in `dir`. `label` is what errors call it.
///
/// chat_template.jinja takes precedence over `chat_template` in tokenizer_config.json. Of several named templates the one
/// named `default` is taken; one named `tool_use` stays in the configuration, for requests with tools. Without a tokenizer_config.json, a model with a chat_template.jinja is still read: that is
/// what `transformers` does; the template then knows no special tokens, and a note says so.
pub fn read(dir: &Path, label: &str) -> Result<Files, FolderError> {
    let mut notes = Vec::new();
    let Some(tokenizer) = read_file(&dir.join(TOKENIZER))? else {
        let other = OTHER_VOCABULARIES.into_iter().find(|(name, _)| dir.join(name).is_file());
        return Err(FolderError::NoTokenizer { label: label.to_owned(), other });
    };
    check_tokenizer(&dir.join(TOKENIZER), &tokenizer)?;
    let file_template = read_template(&dir.join(TEMPLATE))?;
    let config = match read_file(&dir.join(CONFIG))? {
        Some(bytes) => bytes,
        None if file_template.is_some() => {
            notes.push(format!(
                "{label} has no tokenizer_config.json, so its template knows no special tokens such as bos_token."
            ));
            br#"{"tokenizer_class": "PreTrainedTokenizerFast"}"#.to_vec()
        }
        None => {
            return Err(FolderError::NoConfig { label: label.to_owned() });
        }
    };
    let parsed: Config = parse(&dir.join(CONFIG), &config)?;
    let template = match file_template {
        Some(text) => text,
        None => config_template(&dir.join(CONFIG), parsed.chat_template, label, &mut notes)?,
    };
    Ok(Files { tokenizer, config, template: template.replace("\r\n", "\n").replace('\r', "\n"), notes })
}

/// The parts of tokenizer_config.json that matter here.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    chat_template: Value,
}

/// The parts of tokenizer.json that tell a tokenizer from any other JSON.
#[derive(Deserialize)]
struct Tokenizer {
    model: Option<TokenizerModel>,
    /// Of tekken.json.
    config: Option<TekkenConfig>,
}

/// What no other vocabulary has.
#[derive(Deserialize)]
struct TekkenConfig {
    default_vocab_size: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct TokenizerModel {
    #[serde(rename = "type")]
    kind: Option<String>,
    vocab: Option<IgnoredAny>,
}

fn check_tokenizer(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let tokenizer: Tokenizer = parse(path, bytes)?;
    let Some(model) = tokenizer.model else {
        let path = path.to_path_buf();
        return Err(match tokenizer.config.and_then(|config| config.default_vocab_size) {
            Some(_) => FolderError::Tekken { path },
            None => FolderError::Shape { path, reason: "it has no `model`".into() },
        });
    };
    match model.kind {
        Some(kind) if !KINDS.contains(&kind.as_str()) => Err(FolderError::Kind { path: path.to_path_buf(), kind }),
        // Old files name no kind; the library then tries each.
        _ if model.vocab.is_some() => Ok(()),
        _ => Err(FolderError::Shape { path: path.to_path_buf(), reason: "`model` has no `vocab`".into() }),
    }
}

fn read_template(path: &Path) -> Result<Option<String>, FolderError> {
    let Some(bytes) = read_file(path)? else {
        return Ok(None);
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(e) => Err(FolderError::NotText { path: path.to_path_buf(), offset: e.utf8_error().valid_up_to() }),
    }
}

fn config_template(path: &Path, value: Value, label: &str, notes: &mut Vec<String>) -> Result<String, FolderError> {
    let shape = |found: &str| FolderError::TemplateShape { path: path.to_path_buf(), found: found.to_owned() };
    let named: Vec<(String, String)> = match value {
        Value::String(text) if !text.is_empty() => return Ok(text),
        Value::Null | Value::String(_) => Vec::new(),
        Value::Array(list) => {
            let entries = list.into_iter().map(serde_json::from_value::<Named>);
            let entries: Result<Vec<Named>, _> = entries.collect();
            let entries = entries.map_err(|_| shape("a list of something else"))?;
            entries.into_iter().map(|n| (n.name, n.template)).collect()
        }
        Value::Object(map) => {
            let entries = map.into_iter().map(|(name, template)| match template {
                Value::String(text) => Ok((name, text)),
                _ => Err(shape("an object of something else than texts")),
            });
            entries.collect::<Result<_, _>>()?
        }
        other => return Err(shape(&other.to_string())),
    };
    if named.is_empty() {
        return Err(FolderError::NoTemplate { label: label.to_owned() });
    }
    let (default, rest): (Vec<_>, Vec<_>) = named.into_iter().partition(|(name, _)| name == "default");
    let mut names: Vec<String> = rest.into_iter().map(|(name, _)| name).collect();
    let Some((_, text)) = default.into_iter().next_back() else {
        return Err(FolderError::NoDefault { label: label.to_owned(), names });
    };
    // Workers find it in the configuration, for requests with tools.
    names.retain(|name| name != "tool_use");
    if !names.is_empty() {
        let others = names.join(", ");
        notes.push(format!("{label} has several chat templates; `default` is used, {others} not."));
    }
    Ok(text)
}

#[derive(Deserialize)]
struct Named {
    name: String,
    template: String,
}

/// The file's bytes, or none if there is no such file.
fn read_file(path: &Path) -> Result<Option<Vec<u8>>, FolderError> {
    match fs::read(path) {
        Ok(bytes) if bytes.is_empty() => Err(FolderError::Empty { path: path.to_path_buf() }),
        Ok(bytes) if bytes.starts_with(b"version https://git-lfs") => {
            Err(FolderError::LfsPointer { path: path.to_path_buf() })
        }
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FolderError::Read { path: path.to_path_buf(), source }),
    }
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path, bytes: &[u8]) -> Result<T, FolderError> {
    serde_json::from_slice(bytes).map_err(|e| {
        let path = path.to_path_buf();
        let (line, column) = (e.line(), e.column());
        match e.classify() {
            serde_json::error::Category::Eof => FolderError::Truncated { path, line, column },
            serde_json::error::Category::Data => FolderError::Shape { path, reason: e.to_string() },
            _ => {
                // The library's text ends with the place, which our sentence names itself.
                let text = e.to_string();
                let reason = text.split(" at line ").next().unwrap_or(&text).to_owned();
                FolderError::NotJson { path, line, column, reason }
            }
        }
    })
}
