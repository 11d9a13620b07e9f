//! What can go wrong with a template, and how much work one may do.

use std::fmt;

use minijinja::ErrorKind;

/// Bounds on what one rendering may do; a template comes from a model repository and is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Work, in minijinja's unit: one per instruction, one per 64 bytes written or created. It bounds
    /// time and memory together: all strings that a rendering creates hold at most `64 * fuel` bytes.
    pub fuel: u64,
    /// Size of the rendered text in bytes.
    pub output_bytes: usize,
    /// Size of the template's source in bytes.
    pub source_bytes: usize,
    /// Nesting of macro calls and includes, in minijinja's unit (a macro call costs 4, its maximum is 500).
    pub recursion: usize,
}

impl Default for Limits {
    /// 10 million steps (about a second), 64 MiB of text, 1 MiB of source, 125 nested macro calls.
    fn default() -> Self {
        Limits { fuel: 10_000_000, output_bytes: 64 << 20, source_bytes: 1 << 20, recursion: 500 }
    }
}

/// Why a template cannot be used or a conversation cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The model has no chat template.
    #[error(
        "the model has no chat template: add a chat_template.jinja to its folder or choose an instruction-tuned model"
    )]
    Missing,
    /// The model has named templates, none of which fits.
    #[error(
        "the model has named chat templates ({names}) but none is called \"default\": put the one to use into chat_template.jinja"
    )]
    NoDefault {
        /// The names that there are, sorted, separated by commas.
        names: String,
    },
    /// `tokenizer_config.json` holds something of the wrong type.
    #[error("tokenizer_config.json: {0}; download the file again or correct it")]
    Config(String),
    /// The source does not parse.
    #[error("chat template, line {line}: {reason}, near `{excerpt}`; correct the template or choose another model")]
    Syntax {
        /// Line in the template's source, from 1.
        line: usize,
        /// What the parser says.
        reason: String,
        /// The line, cut to 80 characters.
        excerpt: String,
    },
    /// The template refused the conversation with `raise_exception`.
    #[error(
        "the chat template refuses this conversation: {0}; change the messages as it asks (roles and their order are the usual reason)"
    )]
    Raised(String),
    /// The conversation is not a non-empty list of message objects.
    #[error("the conversation cannot be rendered: {0}")]
    Conversation(String),
    /// The template does something that Python would refuse as well.
    #[error(
        "chat template, line {line}: {reason}; the conversation lacks something that the template needs, or the template is wrong"
    )]
    Render {
        /// Line in the template's source, from 1; 0 where it is not known.
        line: usize,
        /// What failed.
        reason: String,
    },
    /// A bound of [`Limits`] was reached.
    #[error(
        "the chat template exceeds its {limit} limit of {allowed}; use a shorter conversation or raise the limit if you trust the template"
    )]
    Limit {
        /// Which bound.
        limit: LimitKind,
        /// Its value.
        allowed: u64,
    },
}

/// The bound that a rendering reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// [`Limits::fuel`].
    Work,
    /// [`Limits::output_bytes`].
    Output,
    /// [`Limits::source_bytes`].
    Source,
    /// [`Limits::recursion`], or values nested more than [`MAX_DEPTH`] deep.
    Recursion,
}

/// Values nested deeper than this are refused, as Python's recursion limit does at about 1,000.
pub(super) const MAX_DEPTH: usize = 500;

impl fmt::Display for LimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LimitKind::Work => "work (fuel)",
            LimitKind::Output => "output (bytes)",
            LimitKind::Source => "source (bytes)",
            LimitKind::Recursion => "recursion (depth)",
        })
    }
}

/// Carries a [`TemplateError`] through minijinja as the source of its error.
#[derive(Debug)]
pub(super) struct Carried(pub TemplateError);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Carried {}

/// A minijinja error that comes out of the engine as `error`.
pub(super) fn carry(error: TemplateError) -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, error.to_string()).with_source(Carried(error))
}

/// The error of values that are nested deeper than `allowed`.
pub(super) fn too_deep(allowed: usize) -> minijinja::Error {
    carry(TemplateError::Limit { limit: LimitKind::Recursion, allowed: allowed as u64 })
}

/// A failed operation, in words.
pub(super) fn invalid(message: impl Into<String>) -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, message.into())
}

/// Translates what minijinja reports; `source` is the text that was compiled.
pub(super) fn translate(error: &minijinja::Error, source: &str, limits: &Limits) -> TemplateError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(link) = cause {
        if let Some(Carried(inner)) = link.downcast_ref::<Carried>() {
            return inner.clone();
        }
        if let Some(inner) = link.downcast_ref::<minijinja::Error>() {
            if inner.kind() == ErrorKind::OutOfFuel {
                return TemplateError::Limit { limit: LimitKind::Work, allowed: limits.fuel };
            }
            if inner.detail().is_some_and(|text| text.contains("recursion limit")) {
                let allowed = limits.recursion as u64;
                return TemplateError::Limit { limit: LimitKind::Recursion, allowed };
            }
        }
        cause = link.source();
    }
    let line = error.line().unwrap_or(0);
    let reason = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    if matches!(error.kind(), ErrorKind::SyntaxError | ErrorKind::BadEscape) {
        let text = source.lines().nth(line.saturating_sub(1)).unwrap_or("").trim();
        let mut excerpt: String = text.chars().take(80).collect();
        if excerpt.len() < text.len() {
            excerpt.push('…');
        }
        return TemplateError::Syntax { line, reason, excerpt };
    }
    TemplateError::Render { line, reason }
}
