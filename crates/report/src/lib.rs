//! From [`Results`] and [`RunInfo`] to everything that a person reads: terminal, figures, HTML, Markdown, CSV.
//!
//! All of it is a pure function of the two values: no clock, no path of the machine, no order of a hash map. The same
//! run folder gives the same bytes, so a report can be rendered again, compared and kept under version control.
//!
//! Text in the two values is not trusted: errors come from templates and tokenizers of strangers. It is escaped for each
//! format, and control characters are made visible.

mod csv;
mod error;
pub mod figures;
pub mod html;
pub mod markdown;
mod overview;
mod problems;
pub mod terminal;
mod text;
mod words;
mod write;

pub use csv::csv;
pub use error::{Error, Result};
pub use write::write_all;

#[cfg(doc)]
use record::results::{Results, RunInfo};
