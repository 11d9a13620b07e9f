//! What an answer's bytes mean.

use serde::{Deserialize, Serialize};

use crate::check::check;
use crate::outcome::{ErrorClass, ServerStamps};

/// The message of a server that takes no more requests.
const DRAINING: &str = "draining";

/// Bytes in front of the content of a prepared answer: status and three stamps.
const PREPARED_HEAD: usize = 1 + 3 * 8;

/// How the payload of an answer is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AnswerFormat {
    /// Of a strategy server: u8 status (0 ok), three u64 LE stamps (received, started, finished), then the ids as u32 LE, or a
    /// message in UTF-8.
    Prepared,
    /// Bytes without a meaning here; all of them are hashed.
    Opaque,
}

/// An answer without an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub server: Option<ServerStamps>,
    /// Hash of the content, without status and stamps.
    pub check: u64,
    /// Length of the content, bytes.
    pub bytes: u32,
    /// The content, where the transport was asked to keep it.
    pub content: Option<Vec<u8>>,
}

/// A failed request: its class and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub class: ErrorClass,
    pub message: String,
}

impl Failure {
    pub(crate) fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }
}

impl AnswerFormat {
    /// Reads a whole payload.
    pub(crate) fn read(self, payload: &[u8], keep: bool) -> Result<Answer, Failure> {
        let (server, content) = match self {
            Self::Opaque => (None, payload),
            Self::Prepared => {
                let (stamps, content) = prepared(payload)?;
                (Some(stamps), content)
            }
        };
        Ok(Answer {
            server,
            check: check(content),
            bytes: u32::try_from(content.len()).unwrap_or(u32::MAX),
            content: keep.then(|| content.to_vec()),
        })
    }
}

fn prepared(payload: &[u8]) -> Result<(ServerStamps, &[u8]), Failure> {
    if payload.len() < PREPARED_HEAD {
        let message = format!("an answer of {} bytes has no room for its status and stamps", payload.len());
        return Err(Failure::new(ErrorClass::Protocol, message));
    }
    let (head, content) = payload.split_at(PREPARED_HEAD);
    let stamp = |index: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&head[1 + index * 8..9 + index * 8]);
        u64::from_le_bytes(bytes)
    };
    match head[0] {
        0 => Ok((ServerStamps { received_ns: stamp(0), started_ns: stamp(1), finished_ns: stamp(2) }, content)),
        1 => {
            let message = String::from_utf8_lossy(content);
            let class = if message.trim() == DRAINING { ErrorClass::Draining } else { ErrorClass::Status };
            Err(Failure::new(class, message))
        }
        other => Err(Failure::new(ErrorClass::Protocol, format!("an answer has the unknown status {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(status: u8, content: &[u8]) -> Vec<u8> {
        let mut payload = vec![status];
        for stamp in [10_u64, 20, 30] {
            payload.extend(stamp.to_le_bytes());
        }
        payload.extend(content);
        payload
    }

    #[test]
    fn an_answer_has_stamps_and_a_check_of_its_content_only() {
        let answer = AnswerFormat::Prepared.read(&payload(0, b"idsids"), true).unwrap();
        assert_eq!(answer.server, Some(ServerStamps { received_ns: 10, started_ns: 20, finished_ns: 30 }));
        assert_eq!((answer.check, answer.bytes), (check(b"idsids"), 6));
        assert_eq!(answer.content.as_deref(), Some(&b"idsids"[..]));
        assert_eq!(AnswerFormat::Opaque.read(b"abc", false).unwrap().check, check(b"abc"));
    }

    #[test]
    fn errors_have_their_class() {
        let class = |payload: &[u8]| AnswerFormat::Prepared.read(payload, false).unwrap_err().class;
        assert_eq!(class(&payload(1, b"draining")), ErrorClass::Draining);
        assert_eq!(class(&payload(1, b"no such model")), ErrorClass::Status);
        assert_eq!(class(&payload(7, b"")), ErrorClass::Protocol);
        assert_eq!(class(b"\0short"), ErrorClass::Protocol);
        assert_eq!(class(b""), ErrorClass::Protocol);
    }
}
