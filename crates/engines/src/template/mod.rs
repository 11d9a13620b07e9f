//! Chat templates, rendered byte for byte as `transformers` renders them.
//!
//! `transformers` compiles a model's chat template with jinja2 in an immutable sandbox
//! (`trim_blocks`, `lstrip_blocks`, loop controls, its own `tojson`, `raise_exception`, `strftime_now`
//! and the `generation` tag) and hands it plain Python data. This module does the same with
//! `minijinja`, and closes the gaps between the two languages:
//!
//! ```text
//! source ──> [source]  newlines, string escapes, generation tags ──┐
//! config ──> [select]  which template, which special tokens        ├─> [engine] compile once, render often
//! request ─> [conversation] messages and tools as template values ─┘
//!                      [pyvalue] [pyview] [pynumber] [pyrepr] [json] [methods] [filters] [checks] [nesting] [format] [strftime]: what Python does
//! ```
//!
//! The facts come from `transformers` 5.23 (`utils/chat_template_utils.py`,
//! `tokenization_utils_base.py`) and jinja2 3.1.6; `tests/template_transformers.rs` compares the
//! output with both.
//!
//! What jinja2 has and this has not, because no chat template needs it: `varargs`, `kwargs` and defaults that
//! name another parameter in macros, `cycler`, `joiner`, `autoescape`, `%` behind anything but a string literal,
//! and the filters `filesizeformat`, `striptags`, `truncate`, `urlencode`, `urlize`, `wordwrap`, `xmlattr`. All
//! but the defaults and `autoescape` end in an error. Comparing values of unlike types is an error in Python and
//! an order here. Arithmetic on integers beyond 128 bits is an error. An integer beyond 64 bits in a request is a float, as
//! `serde_json` reads it, and `NaN` and `Infinity` in a request are no JSON.
//!
//! A template is untrusted input: work, output and nesting are bounded by [`Limits`].

mod args;
mod checks;
mod conversation;
mod engine;
mod error;
mod filters;
mod format;
mod globals;
mod json;
mod methods;
mod nesting;
mod now;
mod pynumber;
mod pyrepr;
mod pyvalue;
mod pyview;
mod select;
mod source;
mod strftime;
mod text;
mod unicode;

pub use conversation::Conversation;
pub use engine::ChatTemplate;
pub use error::{LimitKind, Limits, TemplateError};
pub use now::Now;
pub use select::{SpecialTokens, select_template, tool_use_template};
pub use strftime::strftime_utc;
