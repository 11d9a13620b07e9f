//! What the bytes of an inference server's APIs mean, for whoever writes or reads them: the client that offers load, the simulated
//! server, the sidecar, and the suites. No socket, no clock, no thread.
//!
//! An [`Api`] is a line of one table and one file under `api/`: its name, address and headers, the body of a request, the events of
//! a stream and the whole answer (read and written), usage, errors, and how token ids are passed. A server's page of counters is
//! one file under `metrics/`.
//!
//! | who | reads | writes |
//! |---|---|---|
//! | client | [`Api::read`]: [`Chunk`]s without an allocation | [`Api::body`], [`Api::headers`] |
//! | server | [`Api::parse`]: what is [`Wanted`] | [`Voice`]: events and answers |
//! | sidecar | [`Api::read`] of the server behind it | [`Api::forward`] |

mod api;
mod ask;
mod chunk;
mod conversation;
pub mod json;
pub mod metrics;
mod openai;
mod prompt;
mod request;
mod write;

pub use api::{
    ANTHROPIC_MESSAGES, Api, Headers, LLAMA_CPP, OPENAI_CHAT, OPENAI_COMPLETIONS, OPENAI_RESPONSES, SGLANG,
    SGLANG_INCREMENTAL, Upstream,
};
pub use ask::{Ask, BodyError, Settings};
pub use chunk::{Chunk, Ended, Fault, Finish, Piece, Usage, Written};
pub use prompt::{Part, Prompt};
pub use request::{BadBody, Wanted, parse_tokenize};
pub use write::{Choice, Ending, Tokens, Voice, Words, stamp};
