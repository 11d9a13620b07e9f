//! What is planned and what was found: the schema that a reader of results depends on, and nothing heavy.
//!
//! [`plan`] says what will be measured, [`protocol`] how a subject is told and answers, [`samples`] what came back, [`folder`] where
//! it all lies, [`measurements`] what the samples say of each cell, and [`results`] the rows and findings that were computed from them.

pub mod command;
pub mod folder;
pub mod format;
pub mod hash;
pub mod measurements;
pub mod plan;
pub mod protocol;
pub mod results;
pub mod samples;

/// Version of the run folder's files. Raised when a reader of the old files would read the new ones wrongly.
pub const SCHEMA: u32 = 2;
