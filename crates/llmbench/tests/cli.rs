//! Whole command lines: what they print, on which stream, and their exit codes.

#[path = "cli/bad_input.rs"]
mod bad_input;
#[path = "cli/full_disk.rs"]
mod full_disk;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/mock.rs"]
mod mock;
#[path = "cli/model.rs"]
mod model;
#[path = "cli/other_verbs.rs"]
mod other_verbs;
#[path = "cli/shell.rs"]
mod shell;
#[path = "cli/usage.rs"]
mod usage;
