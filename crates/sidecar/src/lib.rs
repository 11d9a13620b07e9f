//! The sidecar: chat completions for clients, token ids for the server behind.
//!
//! A process beside an inference server that takes its preprocessing away from it: it renders the chat template, tokenizes, and
//! sends the ids on; what comes back is streamed to the client as chunks of a chat.
//!
//! ```text
//! client ─> [routes] ─> [workers] queue, threads ─> [prepare] JSON, template, ids ─> [upstream] connections, kept
//! client <─ [stream] <─ [chat] chunks <───────────────── [said] what a server says <── [sse] events <─┘
//! ```
//!
//! Sockets are served by an event loop, the CPU's work is done by a bounded number of threads behind a bounded queue: beyond it,
//! requests get 503 at once rather than a long wait. What is held before the queue is bounded as well ([intake]): connections, bytes
//! of bodies, and the time in which a body has to come. What each server's API says is in [`server_api`]. Nothing of a request is logged, and its key goes to the upstream only.
//!
//! Replies are passed on as text: tool calls and reasoning in them are not taken apart, and what would need it is refused.

mod body;
mod chat;
pub mod conversation;
mod intake;
pub mod metrics;
pub mod prepare;
pub mod refusal;
mod reply;
mod routes;
mod said;
mod server;
pub mod settings;
mod sse;
mod stream;
mod upstream;
mod workers;

pub use prepare::Pipeline;
pub use server::{Drained, Sidecar};
pub use server_api::Api;
pub use settings::{BaseUrl, Endpoint, Settings};
