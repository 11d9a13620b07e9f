//! The kinds of faults and how they are written.

use std::str::FromStr;

/// One fault. Counts of chunks are of events with content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    Stall { ms: u64, after: u32 },
    StallServer { ms: u64 },
    Reset { after: u32 },
    Truncate { after: u32 },
    NoDone,
    Empty,
    Endless { every_ms: u64 },
    SplitLine { gap_ms: u64 },
    SplitUtf8 { gap_ms: u64 },
    TokensPerChunk { tokens: u32 },
    Garbage { after: u32 },
    ErrorEvent { after: u32 },
    NoUsage,
    UsageInChoice,
    Huge { bytes: u64 },
    SlowHead { ms: u64 },
    ContentType { name: String },
    Close,
    Status { status: u16, retry_after_s: Option<u32> },
    Redirect { to: Option<String> },
    NoHttp,
}

/// What is no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no fault: {why}")]
pub struct BadFault {
    text: String,
    why: String,
}

/// The kinds for an error message.
const KINDS: &str = "write KIND or KIND:ARG with a KIND of stall, stall-server, reset, truncate, no-done, empty, endless, split-line, split-utf8, \
    tokens-per-chunk, garbage, error-event, no-usage, usage-in-choice, huge, slow-head, content-type, close, 401, 429, 503, status, redirect, no-http";

impl FromStr for Fault {
    type Err = BadFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |why: &str| BadFault { text: text.to_owned(), why: why.to_owned() };
        let (kind, argument) = text.split_once(':').map_or((text, None), |(kind, argument)| (kind, Some(argument)));
        let mut arguments = argument.into_iter().flat_map(|all| all.split(':'));
        let mut number = |default: Option<u64>| match arguments.next() {
            Some(digits) => digits.parse().map_err(|_| bad("its argument is no number")),
            None => default.ok_or_else(|| bad("it needs an argument")),
        };
        let count = |number: u64| u32::try_from(number).map_err(|_| bad("its argument is too large"));
        let fault = match kind {
            "stall" => Self::Stall { ms: number(None)?, after: count(number(Some(0))?)? },
            "stall-server" => Self::StallServer { ms: number(None)? },
            "reset" => Self::Reset { after: count(number(Some(0))?)? },
            "truncate" => Self::Truncate { after: count(number(Some(1))?)? },
            "no-done" => Self::NoDone,
            "empty" => Self::Empty,
            "endless" => Self::Endless { every_ms: number(Some(10))?.max(1) },
            "split-line" => Self::SplitLine { gap_ms: number(Some(2))? },
            "split-utf8" => Self::SplitUtf8 { gap_ms: number(Some(2))? },
            "tokens-per-chunk" => Self::TokensPerChunk { tokens: count(number(None)?)?.max(1) },
            "garbage" => Self::Garbage { after: count(number(Some(1))?)? },
            "error-event" => Self::ErrorEvent { after: count(number(Some(1))?)? },
            "no-usage" => Self::NoUsage,
            "usage-in-choice" => Self::UsageInChoice,
            "huge" => Self::Huge { bytes: number(Some(64 << 20))? },
            "slow-head" => Self::SlowHead { ms: number(Some(200))? },
            "content-type" => Self::ContentType { name: field(argument, "text/html").map_err(bad)? },
            "close" => Self::Close,
            "401" => Self::Status { status: 401, retry_after_s: None },
            "429" => Self::Status { status: 429, retry_after_s: Some(count(number(Some(1))?)?) },
            "503" => Self::Status { status: 503, retry_after_s: Some(count(number(Some(1))?)?) },
            "status" => {
                let status = number(None)?;
                let status = u16::try_from(status).ok().filter(|status| (200..600).contains(status));
                Self::Status { status: status.ok_or_else(|| bad("a status is 200 to 599"))?, retry_after_s: None }
            }
            "redirect" => Self::Redirect { to: argument.map(|to| field(Some(to), "").map_err(bad)).transpose()? },
            "no-http" => Self::NoHttp,
            _ => return Err(bad(KINDS)),
        };
        // These take the rest as it is.
        let is_free = matches!(fault, Self::ContentType { .. } | Self::Redirect { .. });
        if !is_free && arguments.next().is_some() {
            return Err(bad("it has too many arguments"));
        }
        Ok(fault)
    }
}

/// A value that goes into a header field.
fn field(text: Option<&str>, default: &str) -> Result<String, &'static str> {
    let text = text.unwrap_or(default);
    let plain = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if plain { Ok(text.to_owned()) } else { Err("its argument does not fit into a header field") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_written_as_stated() {
        for (text, fault) in [
            ("stall:50", Fault::Stall { ms: 50, after: 0 }),
            ("stall:50:3", Fault::Stall { ms: 50, after: 3 }),
            ("reset", Fault::Reset { after: 0 }),
            ("truncate", Fault::Truncate { after: 1 }),
            ("endless:0", Fault::Endless { every_ms: 1 }),
            ("429", Fault::Status { status: 429, retry_after_s: Some(1) }),
            ("503:7", Fault::Status { status: 503, retry_after_s: Some(7) }),
            ("status:500", Fault::Status { status: 500, retry_after_s: None }),
            ("redirect", Fault::Redirect { to: None }),
            ("redirect:http://127.0.0.1:1/x", Fault::Redirect { to: Some("http://127.0.0.1:1/x".into()) }),
            ("content-type:a/b; c=d", Fault::ContentType { name: "a/b; c=d".into() }),
        ] {
            assert_eq!(text.parse(), Ok(fault), "{text}");
        }
        for (text, part) in [
            ("", "KIND"),
            ("nonsense", "stall-server"),
            ("stall", "needs an argument"),
            ("stall:x", "no number"),
            ("stall:1:2:3", "too many"),
            ("no-done:1", "too many"),
            ("reset:5000000000", "too large"),
            ("status:99", "200 to 599"),
            ("redirect:a\r\nb", "header field"),
        ] {
            let message = text.parse::<Fault>().unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
