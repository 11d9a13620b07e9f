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

/// Why a template cannot be used or a conversation cannot be rendered. A line counts from 1 in the template's source; it is 0
/// where it is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// The model has no chat template.
    Missing,
    /// The model has named templates, none of which fits.
    NoDefault {
        /// The names that there are, sorted, separated by commas.
        names: String,
    },
    /// `tokenizer_config.json` holds something of the wrong type.
    Config(String),
    /// The source does not parse.
    Syntax {
        line: usize,
        /// What the parser says.
        reason: String,
        /// The line, cut to 80 characters.
        excerpt: String,
    },
    /// The template refused the conversation with `raise_exception`.
    Raised {
        line: usize,
        /// What the template says.
        message: String,
    },
    /// The conversation is not a non-empty list of message objects.
    Conversation(String),
    /// The template does something that Python would refuse as well.
    Render {
        line: usize,
        /// What failed.
        reason: String,
    },
    /// A bound was reached.
    Limit {
        line: usize,
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
    /// The length of a `range`, [`MAX_RANGE`].
    Range,
}

impl TemplateError {
    /// What is wrong, without the remedy, where the template is called `template` (`model/chat_template.jinja`): a caller that
    /// knows where the conversation comes from knows the better remedy.
    pub fn of(&self, template: &str) -> String {
        match self {
            Self::Missing => "the model has no chat template".to_owned(),
            Self::NoDefault { names } => {
                format!("the model has named chat templates ({names}) but none is called \"default\"")
            }
            Self::Config(reason) => format!("tokenizer_config.json: {reason}"),
            Self::Conversation(reason) => format!("the conversation cannot be rendered: {reason}"),
            Self::Syntax { line, reason, excerpt } => format!("{}: {reason}, near `{excerpt}`", at(template, *line)),
            Self::Raised { line, message } => {
                format!("{} refuses the conversation with raise_exception: {message}", at(template, *line))
            }
            Self::Render { line, reason } => format!("{}: {reason}", at(template, *line)),
            Self::Limit { line, limit, allowed } => {
                format!("{} exceeds the limit on {limit}, {allowed}", at(template, *line))
            }
        }
    }

    /// What mends it, for whoever has the template and the conversation.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Missing => "add a chat_template.jinja to its folder or choose an instruction-tuned model",
            Self::NoDefault { .. } => "put the one to use into chat_template.jinja",
            Self::Config(_) => "download the file again or correct it",
            Self::Conversation(_) => "correct the conversation",
            Self::Raised { .. } => {
                "change the messages as it asks (roles and their order are the usual reason) or choose another model"
            }
            Self::Limit { .. } => {
                "correct the template (a loop without end is the usual reason) or choose another model"
            }
            Self::Syntax { .. } | Self::Render { .. } => "correct the template or choose another model",
        }
    }

    /// Puts in the line where it is not known yet.
    fn with_line(mut self, found: usize) -> Self {
        if let Self::Raised { line, .. } | Self::Render { line, .. } | Self::Limit { line, .. } = &mut self
            && *line == 0
        {
            *line = found;
        }
        self
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.of("the chat template"), self.remedy())
    }
}

impl std::error::Error for TemplateError {}

fn at(template: &str, line: usize) -> String {
    if line == 0 { template.to_owned() } else { format!("{template}, line {line}") }
}

/// minijinja's own bound on the length of a `range`, and that of jinja2's sandbox.
const MAX_RANGE: u64 = 100_000;

/// Values nested deeper than this are refused, as Python's recursion limit does at about 1,000.
pub(super) const MAX_DEPTH: usize = 500;

impl fmt::Display for LimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LimitKind::Work => "work (steps)",
            LimitKind::Output => "output (bytes)",
            LimitKind::Source => "source (bytes)",
            LimitKind::Recursion => "recursion (depth)",
            LimitKind::Range => "the length of a range",
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
    carry(TemplateError::Limit { line: 0, limit: LimitKind::Recursion, allowed: allowed as u64 })
}

/// A failed operation, in words.
pub(super) fn invalid(message: impl Into<String>) -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, message.into())
}

/// Translates what minijinja reports; `source` is the text that was compiled.
pub(super) fn translate(error: &minijinja::Error, source: &str, limits: &Limits) -> TemplateError {
    let line = error.line().unwrap_or(0);
    let limit = |limit, allowed| TemplateError::Limit { line, limit, allowed };
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(link) = cause {
        if let Some(Carried(inner)) = link.downcast_ref::<Carried>() {
            return inner.clone().with_line(line);
        }
        if let Some(inner) = link.downcast_ref::<minijinja::Error>() {
            if inner.kind() == ErrorKind::OutOfFuel {
                return limit(LimitKind::Work, limits.fuel);
            }
            if inner.detail().is_some_and(|text| text.contains("recursion limit")) {
                return limit(LimitKind::Recursion, limits.recursion as u64);
            }
            if inner.detail().is_some_and(|text| text.contains("range has too many elements")) {
                return limit(LimitKind::Range, MAX_RANGE);
            }
        }
        cause = link.source();
    }
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
