//! Looks at a server before load is put on it: does it answer, which models has it, does it keep connections.

use server_api::Api;
use server_api::json::{Cursor, Raw};

use super::reply::Reply;
use super::target::Target;
use crate::clock::now_ns;
use crate::outcome::ErrorClass;
use crate::transport::{Event, Failure, OpenError, Protocol, Sockets, Transport};

/// How long a connection is watched after an answer: a server that closes it in spite of its word does so within this, ns.
const WATCH_NS: u64 = 200_000_000;

/// A page that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Fetches `call` of the target (`/v1/models`, `/metrics`).
///
/// # Errors
/// [`ProbeError`]; an answer of any status is none.
pub fn fetch(target: &Target, call: &str, key: Option<&str>, timeout_ns: u64) -> Result<Page, ProbeError> {
    let mut transport = Sockets::to_server(target, Protocol::get(target, call, key), timeout_ns)?;
    page(&mut transport, b"", timeout_ns)
}

/// Posts JSON to the target and takes the answer whole, whatever its status.
///
/// # Errors
/// [`ProbeError`].
pub fn post(target: &Target, api: Api, key: Option<&str>, body: &[u8], timeout_ns: u64) -> Result<Page, ProbeError> {
    let mut transport = Sockets::to_server(target, Protocol::post(target, api, key).whole(), timeout_ns)?;
    page(&mut transport, body, timeout_ns)
}

fn page(transport: &mut Sockets, body: &[u8], timeout_ns: u64) -> Result<Page, ProbeError> {
    transport.open(1)?;
    let (reply, content) = once(transport, body, timeout_ns)?;
    Ok(Page { status: reply.status, body: content })
}

/// The names of the server's models, in its order; None where it has no such list.
///
/// # Errors
/// [`ProbeError`] if the server cannot be reached.
pub fn models(target: &Target, key: Option<&str>, timeout_ns: u64) -> Result<Option<Vec<String>>, ProbeError> {
    let page = match fetch(target, "/v1/models", key, timeout_ns) {
        // A server may have trouble with its list and none with requests.
        Err(ProbeError::Failed(_)) => return Ok(None),
        other => other?,
    };
    Ok((page.status == 200).then(|| model_names(&page.body)).flatten())
}

/// The names in an answer of `/v1/models`.
fn model_names(body: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut cursor = Cursor::new(body);
    cursor.members(|cursor, name| match name {
        b"data" => cursor.items(|cursor| {
            cursor.members(|cursor, name| {
                match name {
                    b"id" => names.extend(cursor.text()?.map(Raw::decode)),
                    _ => cursor.skip()?,
                }
                Some(())
            })
        }),
        _ => cursor.skip(),
    })?;
    Some(names)
}

/// What one request showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    pub reply: Reply,
    /// The server closed the connection after the answer although it had said that it would keep it: connections are then used
    /// once, so that no request is written into one that is about to close.
    pub closes: bool,
    /// How long the request took, ns.
    pub took_ns: u64,
}

/// Sends one request of the load and watches the connection afterwards.
///
/// # Errors
/// [`ProbeError::Open`] if the server cannot be reached; the failure of the request otherwise.
pub fn probe(target: &Target, api: Api, key: Option<&str>, body: &[u8], timeout_ns: u64) -> Result<Probe, ProbeError> {
    let protocol = Protocol::post(target, api, key);
    let mut transport = Sockets::to_server(target, protocol, timeout_ns.min(10_000_000_000))?;
    transport.open(1)?;
    let began = now_ns();
    let (reply, _) = once(&mut transport, body, timeout_ns)?;
    let took_ns = now_ns() - began;
    // A server that said that it closes is believed, and needs no rule.
    let kept = transport.standing() > 0;
    let until = now_ns() + WATCH_NS;
    let mut events = Vec::new();
    while kept && transport.standing() > 0 && now_ns() < until {
        transport.wait(until, &mut events).map_err(|error| ProbeError::Failed(lost(&error)))?;
    }
    Ok(Probe { reply, closes: kept && transport.standing() == 0, took_ns })
}

fn once(transport: &mut Sockets, body: &[u8], timeout_ns: u64) -> Result<(Reply, Vec<u8>), ProbeError> {
    let deadline = now_ns().saturating_add(timeout_ns);
    transport.submit(0, body)?;
    let mut events = Vec::new();
    while now_ns() < deadline {
        transport.wait(deadline, &mut events).map_err(|error| ProbeError::Failed(lost(&error)))?;
        for event in events.drain(..) {
            match event {
                Event::Done { answer, reply, .. } => {
                    let answer = answer?;
                    return Ok((reply.map(|reply| *reply).unwrap_or_default(), answer.content.unwrap_or_default()));
                }
                Event::Failed { failure, .. } => return Err(failure.into()),
                _ => {}
            }
        }
    }
    let seconds = timeout_ns as f64 / 1e9;
    Err(ProbeError::Failed(Failure::new(ErrorClass::Timeout, format!("no complete answer within {seconds} s"))))
}

fn lost(error: &std::io::Error) -> Failure {
    Failure::new(ErrorClass::Connect, format!("waiting for the answer failed: {error}"))
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Failed(#[from] Failure),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_models() {
        let list = br#"{"object":"list","data":[{"id":"a/b","object":"model","permission":[{}]},{"id":"c"}]}"#;
        assert_eq!(model_names(list), Some(vec!["a/b".to_owned(), "c".to_owned()]));
        assert_eq!(model_names(b"<html>"), None);
        assert_eq!(model_names(b"{}"), Some(Vec::new()));
    }
}
