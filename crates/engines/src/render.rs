//! Rendering a conversation into a prompt by the model's chat template, with `minijinja`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::{Engine, EngineError};
use crate::parse::ChatRequest;
use crate::template::{
    ChatTemplate, Conversation, Limits, Now, SpecialTokens, TemplateError, select_template, tool_use_template,
};

/// From a conversation to the text of its prompt, generation prompt included.
pub type Render = dyn Engine<Input = Conversation, Output = String>;

pub const ENGINE: &str = "minijinja";
pub const CALL_PATHS: [&str; 1] = ["render"];

/// A model's compiled chat templates, shared by all threads.
#[derive(Clone)]
pub struct Template(Arc<Compiled>);

struct Compiled {
    default: ChatTemplate,
    /// Of requests with tools, where the model has one of its own.
    tool_use: Option<ChatTemplate>,
}

/// Why the template of a model folder cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    #[error("{} cannot be read: {reason}; give a model folder that holds a tokenizer_config.json", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("{} is not JSON ({reason}); fetch it again", path.display())]
    NotJson { path: PathBuf, reason: String },
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl Template {
    /// Compiles the template of a model folder: its `chat_template.jinja`, else the one of its `tokenizer_config.json`.
    /// `now` is what `strftime_now` shows, in UTC; Unix seconds are a moment that stays.
    pub fn load(dir: &Path, now: impl Into<Now>) -> Result<Self, LoadError> {
        let now = now.into();
        let path = dir.join("tokenizer_config.json");
        let unreadable = |path: &Path, error: std::io::Error| LoadError::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let config = std::fs::read(&path).map_err(|error| unreadable(&path, error))?;
        let config = serde_json::from_slice(&config)
            .map_err(|error| LoadError::NotJson { path: path.clone(), reason: error.to_string() })?;
        let path = dir.join("chat_template.jinja");
        let file = match std::fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(unreadable(&path, error)),
        };
        let source = select_template(&config, file.as_deref(), false)?;
        let special = SpecialTokens::from_config(&config, None)?;
        let compile = |source: &str| ChatTemplate::compile(source, &special, Limits::default(), now);
        let tool_use = tool_use_template(&config, &source).map(|source| compile(&source)).transpose()?;
        Ok(Self(Arc::new(Compiled { default: compile(&source)?, tool_use })))
    }

    /// The prompt, by the template that `transformers` chooses for the request.
    ///
    /// # Errors
    /// What the template raises.
    pub fn render(&self, conversation: &Conversation) -> Result<String, TemplateError> {
        self.render_with(conversation, true)
    }

    /// The same, with the beginning of a reply behind the conversation or not.
    ///
    /// # Errors
    /// What the template raises.
    pub fn render_with(
        &self,
        conversation: &Conversation,
        add_generation_prompt: bool,
    ) -> Result<String, TemplateError> {
        let Compiled { default, tool_use } = self.0.as_ref();
        let chosen = tool_use.as_ref().filter(|_| conversation.has_tools()).unwrap_or(default);
        chosen.render(conversation, add_generation_prompt)
    }

    /// The call path of that name, if there is one.
    pub fn call_path(&self, name: &str) -> Option<Box<Render>> {
        (name == CALL_PATHS[0]).then(|| Box::new(Minijinja(self.clone())) as Box<Render>)
    }
}

/// What the template is given of a validated request: as in a Python server, its messages and tools become plain values.
pub fn conversation(request: &ChatRequest) -> Result<Conversation, EngineError> {
    let messages = serde_json::to_value(&request.messages).map_err(EngineError::failed)?;
    let tools = request.tools.as_ref().map(serde_json::to_value).transpose().map_err(EngineError::failed)?;
    Conversation::from_json(&messages, tools.as_ref()).map_err(EngineError::failed)
}

/// The compiled template's `render`.
struct Minijinja(Template);

impl Engine for Minijinja {
    type Input = Conversation;
    type Output = String;

    fn run(&self, conversation: &Conversation) -> Result<String, EngineError> {
        self.0.render(conversation).map_err(EngineError::failed)
    }
}
