//! The endpoints: what clients ask for, and the words in which they are answered.
//!
//! | path | as |
//! |---|---|
//! | `/v1/chat/completions`, `/v1/completions` | OpenAI, with the fields that vLLM adds |
//! | `/generate` | SGLang |
//! | `/completion` | llama.cpp |
//! | `/tokenize` | vLLM and llama.cpp |
//! | `/v1/models`, `/health`, `/metrics` | all of them |
//! | `/llmbench/truth`, `/llmbench/truth/ID`, `/llmbench/stall/MS` | this server's own |

mod body;
mod encode;
mod prompt;
mod route;

pub use body::{Ask, BadBody};
pub use encode::{Choice, Ending, Usage, Voice, stamp};
pub use route::{Route, route};

/// The API of a request for tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Chat,
    Completions,
    Sglang,
    LlamaCpp,
}

impl Api {
    /// The path of its endpoint.
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Sglang => "/generate",
            Self::LlamaCpp => "/completion",
        }
    }
}
