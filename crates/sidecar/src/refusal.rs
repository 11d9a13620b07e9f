//! Answers that are errors, in the form that OpenAI's clients read.

use serde::Serialize;

/// A request that gets an error instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// What is wrong and what to do, as a sentence.
    pub message: String,
    /// OpenAI's class of error.
    pub kind: &'static str,
    /// When to come again, seconds.
    pub retry_after_s: Option<u64>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: u16,
}

impl Refusal {
    fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), kind, retry_after_s: None }
    }

    /// 400: the request is wrong, or asks for what a sidecar cannot do.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", message)
    }

    /// Another status of the 4xx.
    pub fn client(status: u16, message: impl Into<String>) -> Self {
        Self::new(status, "invalid_request_error", message)
    }

    /// 503: come again.
    pub fn overloaded(message: impl Into<String>, retry_after_s: u64) -> Self {
        Self { retry_after_s: Some(retry_after_s), ..Self::new(503, "overloaded_error", message) }
    }

    /// 502 or 504: the server behind.
    pub fn upstream(status: u16, message: impl Into<String>) -> Self {
        Self::new(status, "upstream_error", message)
    }

    /// 500: a mistake of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "internal_error", message)
    }

    /// The body of the answer, and the data of an event within a stream.
    pub fn json(&self) -> Vec<u8> {
        let error = Inner { message: &self.message, r#type: self.kind, param: None, code: self.status };
        // Strings and numbers always become JSON.
        serde_json::to_vec(&Envelope { error }).unwrap_or_default()
    }
}
