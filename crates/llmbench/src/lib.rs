//! `llmbench`: where the time goes in an LLM system outside the GPU, with evidence.
//!
//! The binary is a thin shell around this library: see [`suites`] for what is measured and [`report`] for what is shown.

pub mod cli;
pub mod report;
pub mod suites;
pub mod worker;

pub use report::format;
