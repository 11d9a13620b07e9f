//! The model of a run: its files, and its template and tokenizer as workloads are made with them.

use std::path::Path;

use engines::template::{ChatTemplate, Conversation, Limits, SpecialTokens, tool_use_template};
use engines::{Tokenizer, builtin, corpus, count_tokens};
use provision::model::hub::HubConfig;
use provision::model::{self, Model, ModelSpec};
use serde::Deserialize;
use serde_json::Value;
use workload::{Corpus, Prompt};

use super::exit::Failure;
use super::observer::Observer;

/// Name of the built-in model in records.
pub const BUILT_IN: &str = "built-in";

/// Opens `--model`, or makes the built-in one.
///
/// # Errors
/// Usage, with the sentence of the folder or the hub.
pub fn open(name: Option<&str>, cache: &Path, observer: &dyn Observer) -> Result<Model, Failure> {
    let step = observer.step("model", None);
    let model = match name {
        None | Some(BUILT_IN) => {
            step.detail("generating the built-in vocabulary (once)");
            let made = builtin::ensure(cache, &|share| step.at((share * 100.0) as u64, 100)).map_err(Failure::usage)?;
            let mut model = model::normalise(&made.dir, BUILT_IN, cache).map_err(Failure::usage)?;
            model.paths.tiktoken = Some(made.tiktoken);
            model
        }
        Some(name) => model::open(name, cache, &HubConfig::from_env(), &mut |fetch| {
            step.detail(fetch.file);
            step.at(fetch.done, fetch.total);
        })
        .map_err(Failure::usage)?,
    };
    for note in &model.notes {
        step.note(&format!("note: {note}"));
    }
    step.done(&model.identity.name);
    Ok(model)
}

/// The model's template and tokenizer, as the workload is made with them.
pub struct ModelPrompt {
    /// Where the template stands, as the user knows it.
    template_name: String,
    template: ChatTemplate,
    /// Of requests with tools, where the model has one of its own.
    tool_use: Option<ChatTemplate>,
    tokenizer: Tokenizer,
    /// Tokens that are no text: what a corpus writes into some of its texts.
    added_tokens: Vec<String>,
}

impl ModelPrompt {
    /// Loads what the workload needs of the model.
    ///
    /// # Errors
    /// Usage: the tokenizer is not one that can be loaded, or the template has a syntax error.
    pub fn load(model: &Model, asked: Option<&str>, timestamp: i64) -> Result<Self, Failure> {
        let dir = &model.paths.dir;
        let places = Places::of(asked, model);
        let read = |name: &str| {
            let path = dir.join(name);
            std::fs::read(&path).map_err(|error| {
                Failure::usage(format!("cannot read {}: {error}; remove that folder and try again", path.display()))
            })
        };
        let definition = read(model::TOKENIZER)?;
        let tokenizer = Tokenizer::from_bytes(&places.tokenizer, &definition).map_err(Failure::usage)?;
        let added: AddedTokens = serde_json::from_slice(&definition)
            .map_err(|error| Failure::usage(format!("{}: {error}; correct it", places.tokenizer)))?;
        let added_tokens = added.added_tokens.into_iter().map(|token| token.content).collect();
        let config: Value = serde_json::from_slice(&read(model::CONFIG)?)
            .map_err(|error| Failure::usage(format!("{}: {error}; correct it", places.config)))?;
        let special = SpecialTokens::from_config(&config, None)
            .map_err(|error| Failure::usage(format!("{}: {error}", model.identity.name)))?;
        let source = String::from_utf8_lossy(&read(model::TEMPLATE)?).into_owned();
        let compile = |source: &str| {
            ChatTemplate::compile(source, &special, Limits::default(), timestamp)
                .map_err(|error| Failure::usage(format!("{}; {}", error.of(&places.template), error.remedy())))
        };
        let template = compile(&source)?;
        let tool_use = tool_use_template(&config, &source).map(|source| compile(&source)).transpose()?;
        Ok(Self { template_name: places.template, template, tool_use, tokenizer, added_tokens })
    }
}

impl ModelPrompt {
    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }
}

impl Prompt for ModelPrompt {
    fn render(&self, request: &Value) -> Result<String, String> {
        let tools = request.get("tools").filter(|tools| !tools.is_null());
        let conversation = Conversation::from_json(&request["messages"], tools).map_err(|error| error.to_string())?;
        let template = self.tool_use.as_ref().filter(|_| conversation.has_tools()).unwrap_or(&self.template);
        template.render(&conversation, true).map_err(|error| error.of(&self.template_name))
    }

    fn count(&self, texts: &[String]) -> Result<Vec<usize>, String> {
        count_tokens(&self.tokenizer, texts).map_err(|error| error.to_string())
    }
}

/// The part of a tokenizer.json that names the added tokens.
#[derive(Deserialize)]
struct AddedTokens {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
}

#[derive(Deserialize)]
struct AddedToken {
    content: String,
}

/// The texts of the engine comparison, with the model's own special tokens.
impl Corpus for ModelPrompt {
    fn texts(&self, kind: &str, bytes: u32, count: u32, seed: u64) -> Result<Vec<String>, String> {
        let known = corpus::Kind::ALL.map(corpus::Kind::name).join(", ");
        let kind = corpus::Kind::from_name(kind)
            .ok_or_else(|| format!("there is no kind of text {kind:?}; there are: {known}"))?;
        // Long words of random letters, whatever the seed: the shapes that repeat are one word for all caches.
        let seed = seed.wrapping_mul(3).wrapping_add(1);
        Ok(corpus::texts(kind, bytes as usize, count as usize, seed, &self.added_tokens))
    }
}

/// What the files of a model are called in errors: as the user named them, not as their copies in the cache.
struct Places {
    tokenizer: String,
    config: String,
    /// A template may stand in tokenizer_config.json; its lines are then counted within it.
    template: String,
}

impl Places {
    fn of(asked: Option<&str>, model: &Model) -> Self {
        let folder = match asked.map(ModelSpec::parse) {
            Some(Ok(ModelSpec::Folder(folder))) => folder,
            _ => {
                let of_model = |file: &str| format!("{file} of {}", model.identity.name);
                return Self {
                    tokenizer: of_model(model::TOKENIZER),
                    config: of_model(model::CONFIG),
                    template: of_model(model::TEMPLATE),
                };
            }
        };
        let config = folder.join(model::CONFIG).display().to_string();
        let template = folder.join(model::TEMPLATE);
        Self {
            tokenizer: folder.join(model::TOKENIZER).display().to_string(),
            template: if template.is_file() {
                template.display().to_string()
            } else {
                format!("the chat_template in {config}")
            },
            config,
        }
    }
}
