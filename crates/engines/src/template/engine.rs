//! Compiling a chat template once and rendering it often.

use std::fmt;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Enumerator, Object, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior, Value};
use serde_json::Value as Json;

use super::conversation::Conversation;
use super::error::{LimitKind, Limits, TemplateError, translate};
use super::methods::call_method;
use super::now::Now;
use super::pyrepr::write_str;
use super::select::SpecialTokens;
use super::source::prepare;
use super::text::Text;
use super::{checks, filters, globals, nesting};

/// Name under which the environment keeps its only template.
const NAME: &str = "chat";

/// A compiled chat template. It can be shared between threads; rendering changes nothing in it.
pub struct ChatTemplate {
    env: Environment<'static>,
    tokens: Arc<[(Box<str>, Value)]>,
    source: String,
    limits: Limits,
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate")
            .field("source_bytes", &self.source.len())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl ChatTemplate {
    /// Compiles `source`. `now` is what `strftime_now` shows, in UTC.
    ///
    /// # Errors
    /// [`TemplateError::Syntax`] with line and excerpt, or [`TemplateError::Limit`] if the source is too large.
    pub fn compile(
        source: &str,
        special: &SpecialTokens,
        limits: Limits,
        now: impl Into<Now>,
    ) -> Result<ChatTemplate, TemplateError> {
        if source.len() > limits.source_bytes {
            let allowed = limits.source_bytes as u64;
            return Err(TemplateError::Limit { line: 0, limit: LimitKind::Source, allowed });
        }
        let source = prepare(source);
        let fail = |error: &Error| translate(error, &source, &limits);
        let mut env = Environment::new();
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_undefined_behavior(UndefinedBehavior::Lenient);
        env.set_debug(false);
        env.set_fuel(Some(limits.fuel));
        env.set_recursion_limit(limits.recursion);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        env.set_syntax(syntax.map_err(|error| fail(&error))?);
        env.set_formatter(|out, state, value| format_value(out, state, value));
        env.set_unknown_method_callback(|state, value, name, args| call_method(state, value, name, args));
        filters::add(&mut env);
        nesting::add(&mut env);
        checks::add(&mut env);
        globals::add(&mut env, now.into());
        env.add_template_owned(NAME, source.clone()).map_err(|error| fail(&error))?;
        let tokens = special.iter().map(|(name, text)| (name.into(), Value::from(text))).collect();
        Ok(ChatTemplate { env, tokens, source, limits })
    }

    /// Renders a conversation: the text that `apply_chat_template(…, tokenize=False)` returns.
    ///
    /// # Errors
    /// [`TemplateError::Raised`], [`TemplateError::Render`] or [`TemplateError::Limit`].
    pub fn render(&self, conversation: &Conversation, add_generation_prompt: bool) -> Result<String, TemplateError> {
        let root = Root { tokens: Arc::clone(&self.tokens), conversation: conversation.clone(), add_generation_prompt };
        let root = Value::from_object(root);
        match run(&self.env, root.clone()) {
            Ok(text) if text.len() <= self.limits.output_bytes => Ok(text),
            Ok(_) => Err(TemplateError::Limit {
                line: 0,
                limit: LimitKind::Output,
                allowed: self.limits.output_bytes as u64,
            }),
            Err(error) => Err(self.explain(error, root)),
        }
    }

    /// Like [`ChatTemplate::render`], from JSON: builds the values of the conversation first.
    ///
    /// # Errors
    /// Those of [`Conversation::from_json`] and of [`ChatTemplate::render`].
    pub fn render_json(
        &self,
        messages: &Json,
        tools: Option<&Json>,
        add_generation_prompt: bool,
        extra: &serde_json::Map<String, Json>,
    ) -> Result<String, TemplateError> {
        let mut conversation = Conversation::from_json(messages, tools)?;
        for (name, value) in extra {
            conversation = conversation.with_variable(name, value);
        }
        self.render(&conversation, add_generation_prompt)
    }

    /// The limits that the template was compiled with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// An undefined value is reported without its name unless minijinja keeps track of origins, which
    /// costs time; so a rendering that failed this way is repeated once with tracking.
    #[cold]
    fn explain(&self, error: Error, root: Value) -> TemplateError {
        let mut error = error;
        if error.kind() == ErrorKind::UndefinedError {
            let mut env = self.env.clone();
            env.set_debug(true);
            if let Err(detailed) = run(&env, root) {
                error = detailed;
            }
        }
        translate(&error, &self.source, &self.limits)
    }
}

fn run(env: &Environment<'_>, root: Value) -> Result<String, Error> {
    env.get_template(NAME)?.render(root)
}

/// Prints the value of `{{ … }}`.
fn format_value(out: &mut minijinja::Output, state: &State, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::String => {
            if let Some(text) = value.as_str() {
                out.write_str(text).map_err(Error::from)?;
            }
        }
        ValueKind::Undefined => {}
        _ => {
            let mut text = Text::new(Some(state));
            write_str(&mut text, value)?;
            out.write_str(&text.buf).map_err(Error::from)?;
        }
    }
    Ok(())
}

/// The variables that a template sees.
struct Root {
    tokens: Arc<[(Box<str>, Value)]>,
    conversation: Conversation,
    add_generation_prompt: bool,
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<context>")
    }
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match key {
            "messages" => return Some(self.conversation.messages.clone()),
            "tools" => return Some(self.conversation.tools.clone()),
            "add_generation_prompt" => return Some(Value::from(self.add_generation_prompt)),
            _ => {}
        }
        let extra = &self.conversation.variables;
        if let Some((_, value)) = extra.iter().find(|(name, _)| name == key) {
            return Some(value.clone());
        }
        if key == "documents" {
            return Some(Value::from(()));
        }
        self.tokens.iter().find(|(name, _)| **name == *key).map(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["messages", "tools", "documents", "add_generation_prompt"])
    }
}
