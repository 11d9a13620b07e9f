//! Faults in place of an answer.

use super::Fault;
use crate::http::Reply;

/// What a server sends that speaks something else.
pub const NO_HTTP: &[u8] = b"\x15\x03\x01\x00\x02\x02\x46 this is no HTTP \xff\xfe\r\n\r\n";

/// A port of the discard service's neighbourhood, where nobody listens.
const NOWHERE: &str = "http://127.0.0.1:1";

/// The answer of a fault that refuses a request; None for those that let it through.
pub fn refusal(fault: &Fault, path: &str) -> Option<Reply> {
    match fault {
        Fault::Status { status, retry_after_s } => {
            let reply = Reply::error(*status, &format!("status {status}, as the request's fault says"));
            Some(match retry_after_s {
                Some(seconds) => reply.with("retry-after", seconds.to_string()),
                None => reply,
            })
        }
        Fault::Redirect { to } => {
            let to = to.clone().unwrap_or_else(|| format!("{NOWHERE}{path}"));
            Some(Reply { status: 307, ..Reply::text("text/plain", String::new()) }.with("location", to))
        }
        _ => None,
    }
}
