//! The house that every suite stands in: what is measured (plan), by whom (subject), on what (workload, model), where
//! (machine), and what was found (samples, records). It knows no engine and no experiment.

pub mod cache;
pub mod folder;
pub mod hash;
pub mod interrupt;
pub mod machine;
pub mod measurements;
pub mod model;
pub mod plan;
pub mod protocol;
pub mod pyenv;
pub mod record;
pub mod runner;
pub mod samples;
pub mod schedule;
pub mod subject;
pub mod workload;

/// Version of the run folder's files. Raised when a reader of the old files would read the new ones wrongly.
pub const SCHEMA: u32 = 1;
