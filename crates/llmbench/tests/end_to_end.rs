//! Whole runs with real workers, on models that the tests make.

#[allow(dead_code, reason = "cli.rs uses the rest")]
#[path = "cli/model.rs"]
mod model;
#[path = "end_to_end/native.rs"]
mod native;
#[allow(dead_code, reason = "cli.rs uses the rest")]
#[path = "cli/shell.rs"]
mod shell;
