//! Whole runs with real workers, on models that the tests make and on those of a folder.

#[allow(dead_code, reason = "load.rs uses the rest")]
#[path = "end_to_end/environment.rs"]
mod environment;
#[path = "end_to_end/faults.rs"]
mod faults;
#[allow(dead_code, reason = "cli.rs uses the rest")]
#[path = "cli/model.rs"]
mod model;
#[path = "end_to_end/native.rs"]
mod native;
#[path = "end_to_end/python_suite.rs"]
mod python_suite;
#[path = "end_to_end/real_models.rs"]
mod real_models;
#[path = "end_to_end/resume.rs"]
mod resume;
#[path = "end_to_end/secrets.rs"]
mod secrets;
#[path = "end_to_end/serving.rs"]
mod serving;
#[allow(dead_code, reason = "cli.rs uses the rest")]
#[path = "cli/shell.rs"]
mod shell;
#[path = "end_to_end/special_tokens.rs"]
mod special_tokens;
#[path = "end_to_end/whole_suite.rs"]
mod whole_suite;
#[path = "end_to_end/world.rs"]
mod world;
