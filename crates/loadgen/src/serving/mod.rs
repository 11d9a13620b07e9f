//! Load on servers of language models: what a client sees of streamed answers.
//!
//! A [`session`] is what is asked, [`target`] says of whom; [`server`] is what is found out before, [`mod@accounts`] what the server itself counted. Bytes become events ([`sse`]), events become chunks (by the
//! [`server_api::Api`] that the server speaks), and chunks become the [`reply`] to a request: stamps that were taken at the reads of the socket, before any of
//! this. What is kept of each request is its [`record`]; gaps of streams are counted in a [`histogram`] and written to a [`samples_file`].
//! [`run()`] is the loop that does it.

pub mod accounts;
pub mod figures;
pub mod histogram;
pub mod latency_probe;
pub mod mark;
pub mod probe;
pub mod record;
pub mod reply;
mod run;
pub mod samples_file;
pub mod server;
pub mod session;
pub mod slo;
mod source;
pub mod sse;
mod tally;
pub mod target;
pub mod varint;
pub mod verdict;

pub use run::{Run, run};
pub use tally::Truth;
