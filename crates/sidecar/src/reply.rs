//! What the client wants back.

/// What the client wants back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub stream: bool,
    /// The stream ends with a chunk of the usage.
    pub usage: bool,
    /// As the client named it; empty where it did not.
    pub model: String,
    /// How many replies to one prompt.
    pub choices: u32,
}
