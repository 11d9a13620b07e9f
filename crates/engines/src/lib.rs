//! The native engines, one file each behind one trait ([`Engine`]), and the built-in model.
//!
//! | operation | module | engine | call paths |
//! |---|---|---|---|
//! | parse | [`parse`] | `serde` | `serde_json.from_slice` |
//! | template | [`render`] | `minijinja` | `render` |
//! | tokenize | [`tokenize`] | `hf-tokenizers` | `encode`, `encode_fast`, `encode_batch` |
//! | tokenize, load | [`tokenizers`] | all of the engine comparison | see there |
//! | collate | [`collate`] | `native` | `pad` |
//! | handoff | [`handoff`] | `rmp` | `encode` |
//!
//! A new tokenizer is a file in `tokenizers/`, a line in its table and its package in Cargo.toml. The engines of the Python worker are
//! known by name ([`python`]).

pub mod builtin;
pub mod catalog;
pub mod collate;
pub mod corpus;
mod engine;
pub mod handoff;
pub mod parse;
pub mod python;
pub mod render;
pub mod template;
pub mod tokenize;
pub mod tokenizers;
pub mod versions;

pub use engine::{Engine, EngineError};
pub use render::Template;
pub use tokenize::{Tokenizer, count_tokens};
