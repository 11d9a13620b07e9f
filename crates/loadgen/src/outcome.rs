//! What became of each request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// No connection could be opened to send it.
    Connect,
    /// The connection ended before any of its answer came; over HTTP/2 also its stream alone (RST_STREAM).
    Reset,
    /// No answer within the limit. A request that the server dropped ends here.
    Timeout,
    /// The server answered that it failed: an HTTP status other than 2xx, or a status byte other than 0. Over a serving API, those
    /// statuses that have no class of their own.
    Status,
    /// The connection, or over HTTP/2 the stream, ended in the middle of the answer.
    ShortBody,
    /// The server answered that it takes no more requests; over HTTP/2 that it did not take this one (GOAWAY, REFUSED_STREAM).
    Draining,
    /// The answer is not of the protocol.
    Protocol,
    /// HTTP status 3xx. Requests go nowhere but to the given address.
    Redirect,
    /// HTTP status 401 or 403.
    Unauthorized,
    /// HTTP status 404: the path or the model is not there.
    NotFound,
    /// HTTP status 429.
    RateLimited,
    /// HTTP status 5xx.
    ServerError,
    /// An error inside an answer that began well.
    StreamError,
    /// A complete answer without a token.
    NoToken,
}

impl ErrorClass {
    /// All classes, in order.
    pub const ALL: [Self; 14] = [
        Self::Connect,
        Self::Reset,
        Self::Timeout,
        Self::Status,
        Self::ShortBody,
        Self::Draining,
        Self::Protocol,
        Self::Redirect,
        Self::Unauthorized,
        Self::NotFound,
        Self::RateLimited,
        Self::ServerError,
        Self::StreamError,
        Self::NoToken,
    ];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Status => "status",
            Self::ShortBody => "short_body",
            Self::Draining => "draining",
            Self::Protocol => "protocol",
            Self::Redirect => "redirect",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::RateLimited => "rate_limited",
            Self::ServerError => "server_error",
            Self::StreamError => "stream_error",
            Self::NoToken => "no_token",
        }
    }
}

/// The server's own stamps, CLOCK_MONOTONIC of the same host, ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStamps {
    /// The front end had read the whole request.
    pub received_ns: u64,
    /// Service began on the worker that does it.
    pub started_ns: u64,
    /// The result was ready at the front end, before it was written.
    pub finished_ns: u64,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Sent and not answered; no record of a finished run is in this state.
    Pending,
    Ok,
    Failed(ErrorClass),
}

/// One request. All times are CLOCK_MONOTONIC, ns; 0 is a stamp that never came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it was due. Latency is counted from here.
    pub scheduled_ns: u64,
    /// When the cap on requests in flight let it go; equal to `scheduled_ns` where no cap held it.
    pub released_ns: u64,
    /// When its bytes were first offered to the socket.
    pub began_ns: u64,
    /// When its last byte was written. Later than `began_ns` by more than the write where the server did not read; equal to
    /// `done_ns` where the server answered before it had read all.
    pub sent_ns: u64,
    /// When the first byte of its answer was read.
    pub first_byte_ns: u64,
    /// When the last byte of its answer was read, or when it failed.
    pub done_ns: u64,
    /// Where the transport carries them.
    pub server: Option<ServerStamps>,
    /// Hash of the answer ([`crate::check::check`]).
    pub check: u64,
    /// Length of the hashed answer, bytes.
    pub bytes: u32,
    /// Which of the payloads it was.
    pub input: u32,
    /// The socket took its bytes only in part at first: the server did not read.
    pub held_back: bool,
    pub outcome: Outcome,
}

impl Record {
    /// True if it was answered without an error.
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    /// From the scheduled arrival to the last byte, ns.
    pub fn latency_ns(&self) -> u64 {
        self.done_ns.saturating_sub(self.scheduled_ns)
    }

    /// From the last byte of the request to the last byte of the answer, ns.
    pub fn service_latency_ns(&self) -> u64 {
        self.done_ns.saturating_sub(self.sent_ns)
    }
}

/// Answers that belong to no waiting request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strays {
    /// For a request that was answered before.
    pub duplicated: u64,
    /// For a request that had timed out.
    pub late: u64,
    /// For a number that was never sent, or bytes that nobody asked for.
    pub unknown: u64,
}

/// How many requests failed in each way, and what the first of each said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errors(pub BTreeMap<ErrorClass, Failures>);

/// The failures of one class.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    pub count: u64,
    /// The message of the first.
    pub first: String,
}

impl Errors {
    /// Counts one.
    pub(crate) fn add(&mut self, class: ErrorClass, message: &str) {
        let failures = self.0.entry(class).or_default();
        if failures.count == 0 {
            failures.first = message.to_owned();
        }
        failures.count += 1;
    }

    /// Failures of a class.
    pub fn count(&self, class: ErrorClass) -> u64 {
        self.0.get(&class).map_or(0, |failures| failures.count)
    }

    /// Failures of all classes.
    pub fn total(&self) -> u64 {
        self.0.values().map(|failures| failures.count).sum()
    }
}

/// The answers of a run against the expected ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Requests answered as expected.
    pub matched: u64,
    /// Requests that got the expected answer of another input: the server mixed them up.
    pub swapped: u64,
    /// Requests that got an answer which no input should get.
    pub wrong: u64,
    /// Requests that never got an answer though the connection lived.
    pub dropped: u64,
    /// Answers beyond one a request.
    pub duplicated: u64,
    /// Number of the first request in the run that was swapped or wrong.
    pub first_bad: Option<usize>,
}

impl Verification {
    /// Compares each answer with `expected`, the check of the right answer to each input, by the input's number. An input
    /// beyond `expected` counts as wrong.
    pub fn of(records: &[Record], strays: &Strays, expected: &[u64]) -> Self {
        let known: std::collections::HashSet<u64> = expected.iter().copied().collect();
        let mut found = Self { duplicated: strays.duplicated, ..Self::default() };
        for (index, record) in records.iter().enumerate() {
            match record.outcome {
                Outcome::Ok if expected.get(record.input as usize) == Some(&record.check) => found.matched += 1,
                Outcome::Ok => {
                    if known.contains(&record.check) {
                        found.swapped += 1;
                    } else {
                        found.wrong += 1;
                    }
                    found.first_bad.get_or_insert(index);
                }
                Outcome::Failed(ErrorClass::Timeout) => found.dropped += 1,
                Outcome::Failed(_) | Outcome::Pending => {}
            }
        }
        found
    }

    /// True if nothing was swapped, wrong, dropped or duplicated.
    pub fn is_clean(&self) -> bool {
        self.swapped + self.wrong + self.dropped + self.duplicated == 0
    }
}
