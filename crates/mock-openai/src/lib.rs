//! A simulated inference server whose timing is known.
//!
//! [`Server::start`] runs it in threads of this process: OpenAI's API (and those of SGLang and llama.cpp) before a simulated engine
//! with continuous batching, a paged KV cache and a prefix cache ([`engine`]). Three things set it apart from a server that only
//! looks like one:
//!
//! - **Stamps.** Each event of a stream carries `"llmbench":{"written_ns":N,"index":I}`: CLOCK_MONOTONIC immediately before the write that took
//!   its first byte, and the number of the event with content. A client on the same host knows by it how late it read. (The event
//!   with a chat's role is written together with the first content and has none; events after the last content carry the number
//!   of events with content.)
//! - **Truth.** What happened to each request, stage by stage, is kept ([`Truth`]) and told (`GET /llmbench/truth/ID`).
//! - **Faults.** What real servers do to their clients, on demand ([`fault`]).
//!
//! Answers are a function of the prompt's token ids alone, so that two ways to say the same prompt get the same answer.

mod api;
mod config;
pub mod engine;
pub mod fault;
pub mod front;
mod http;
mod metrics;
mod server;
pub mod tokens;
mod truth;

pub use config::Config;
pub use server::{Endpoint, Listen, Server, StartError};
pub use truth::{ChoiceTruth, Outcome, Truth};
