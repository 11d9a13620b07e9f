//! The endpoints: what clients ask for. The words in which they ask and are answered are those of [`server_api`].
//!
//! | path | as |
//! |---|---|
//! | those of each [`server_api::Api`] | the API, with the fields that vLLM adds |
//! | `/tokenize` | vLLM and llama.cpp |
//! | `/v1/models`, `/health`, `/metrics` | all of them |
//! | `/llmbench/truth`, `/llmbench/truth/ID`, `/llmbench/stall/MS` | this server's own |

mod choice;
mod prompt;
mod route;

pub use choice::{Choice, tokens};
pub use prompt::ids;
pub use route::{Route, route};
