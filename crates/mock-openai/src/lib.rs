//! A simulated inference server whose timing is known.

pub mod engine;
pub mod tokens;
