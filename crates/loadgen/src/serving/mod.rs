//! Load on servers of language models: what a client sees of streamed answers.

pub mod chunk;
pub mod json;
pub mod reply;
pub mod sse;
pub mod varint;
