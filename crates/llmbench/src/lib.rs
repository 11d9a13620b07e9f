//! `llmbench`: where the time goes in an LLM system outside the GPU, with evidence.
//!
//! The binary is a thin shell around this library: see [`suites`] for what is measured and [`report`] for what is shown.
//! [`Run`] is what `llmbench run` does, as a value:
//!
//! ```no_run
//! use llmbench::Run;
//!
//! fn main() -> Result<std::process::ExitCode, llmbench::Failure> {
//!     // The Rust engines are measured in fresh processes of this very program.
//!     if let Some(code) = llmbench::serve_if_worker() {
//!         return Ok(code);
//!     }
//!     let finished = Run::suite("preprocessing").quick().experiments(["anatomy"]).axis("tokens", [500]).measure()?;
//!     for record in finished.records().iter().filter(|record| record.metric == "time") {
//!         if let Some(time) = &record.estimate {
//!             println!("{} by {}: {:.0} ns", record.stage, record.engine, time.point);
//!         }
//!     }
//!     Ok(finished.exit.into())
//! }
//! ```
//!
//! A longer one, with intervals and findings: `cargo run --release --example run_from_rust`.

pub mod cli;
pub mod load;
mod run;
mod terminal;

pub use pipeline::{Exit, Failure, RunOptions};
pub use record::results;
pub use run::{Finished, Run, serve_if_worker};
