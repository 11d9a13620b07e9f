//! Answers that are whole when they are written, and the heads of those that are not.

use std::io::Write;

use server_api::{Api, OPENAI_CHAT};

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub content_type: &'static str,
    /// Further header fields.
    pub fields: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// What an error says.
    pub error: Option<String>,
}

impl Reply {
    /// JSON with status 200.
    pub fn json(value: &serde_json::Value) -> Self {
        Self::text("application/json", value.to_string())
    }

    pub fn text(content_type: &'static str, body: String) -> Self {
        Self { status: 200, content_type, fields: Vec::new(), body: body.into_bytes(), error: None }
    }

    /// An error in the words of OpenAI's API.
    pub fn error(status: u16, message: &str) -> Self {
        let body = OPENAI_CHAT.error(status, message);
        Self { status, error: Some(message.to_owned()), ..Self::text("application/json", body) }
    }

    /// An error in the words of this API; any other answer as it is.
    pub fn spoken(mut self, api: Api) -> Self {
        if let Some(message) = &self.error {
            self.body = api.error(self.status, message).into_bytes();
        }
        self
    }

    /// Adds a header field.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// The bytes on the wire.
    pub fn write(&self, keep_alive: bool, out: &mut Vec<u8>) {
        let length = self.body.len().to_string();
        let fields = self.fields.iter().map(|(name, value)| (*name, value.as_str()));
        write_head(
            out,
            self.status,
            self.content_type,
            keep_alive,
            fields.chain([("content-length", length.as_str())]),
        );
        out.extend_from_slice(&self.body);
    }
}

/// The head of an answer.
pub fn write_head<'a>(
    out: &mut Vec<u8>,
    status: u16,
    content_type: &str,
    keep_alive: bool,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    // Writing to a vector does not fail.
    let _ = write!(
        out,
        "HTTP/1.1 {status} {}\r\nserver: llmbench-mock\r\ncontent-type: {content_type}\r\n",
        reason(status)
    );
    for (name, value) in fields {
        let _ = write!(out, "{name}: {value}\r\n");
    }
    if !keep_alive {
        out.extend_from_slice(b"connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// The words of a status.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Unknown",
    }
}
