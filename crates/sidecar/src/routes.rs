//! What a client can ask for.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::timeout;

use super::body::Body;
use super::chat::Writer;
use super::intake::Intake;
use super::metrics::{Metrics, Outcome};
use super::prepare::{Prepared, Times};
use super::refusal::Refusal;
use super::said::Reader;
use super::settings::Settings;
use super::stream::{ChatStream, Ticket, Translator};
use super::upstream::{Answer, Call, Upstream, causes};
use super::workers::Workers;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
/// Longest whole answer of an upstream, bytes.
const LONGEST_ANSWER: usize = 256 << 20;
/// How long `/ready` waits for the upstream.
const READY: Duration = Duration::from_secs(2);

/// What all connections share.
pub struct State {
    pub settings: Settings,
    pub workers: Workers,
    pub upstream: Arc<Upstream>,
    pub intake: Arc<Intake>,
    pub metrics: Arc<Metrics>,
    pub draining: AtomicBool,
    /// Numbers the answers.
    pub answers: AtomicU64,
    /// Of this process, in the ids of answers.
    pub started_ns: u64,
}

/// Answers one request.
pub async fn route(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let reading = method == Method::GET || method == Method::HEAD;
    Ok(match path.as_str() {
        "/v1/chat/completions" if method == Method::POST => chat(&state, request).await,
        "/v1/models" if reading => models(&state, request).await,
        "/health" if reading => health(&state),
        "/ready" if reading => ready(&state).await,
        "/metrics" if reading => {
            let text = state.metrics.render(state.workers.queued(), state.intake.held());
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            answer(StatusCode::OK, kind, text)
        }
        "/v1/chat/completions" => not_allowed("POST", &method, &path),
        "/v1/models" | "/health" | "/ready" | "/metrics" => not_allowed("GET", &method, &path),
        _ => refused(&Refusal::client(
            404,
            format!(
                "there is no {path} here; a sidecar has POST /v1/chat/completions and GET /v1/models, /health, /ready, /metrics"
            ),
        )),
    })
}

async fn chat(state: &Arc<State>, request: Request<Incoming>) -> Response<Body> {
    let mut ticket = Ticket::new(&state.metrics);
    match try_chat(state, request, &mut ticket).await {
        Ok(Replied::Stream { response, translator }) => {
            let (parts, answer) = response.into_parts();
            let headers = passed_back(&parts.headers);
            let longest = state.upstream.silence_timeout();
            let stream = ChatStream::new(answer, *translator, ticket, longest);
            let mut response = Response::new(Body::Chat(Box::new(stream)));
            *response.headers_mut() = headers;
            response.headers_mut().insert(CONTENT_TYPE, EVENTS);
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            response
        }
        Ok(Replied::Whole { status, headers, body }) => {
            let outcome = if status.is_success() { Outcome::Answered } else { Outcome::UpstreamStatus };
            ticket.set(outcome);
            let mut response = Response::new(Body::Full(Some(body), Some(ticket)));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            response
        }
        Err(refusal) => {
            ticket.set(match refusal.status {
                503 => Outcome::Overloaded,
                502 | 504 => Outcome::UpstreamFailed,
                500 => Outcome::Internal,
                _ => Outcome::Refused,
            });
            let mut response = refused(&refusal);
            *response.body_mut() = Body::Full(Some(refusal.json().into()), Some(ticket));
            response
        }
    }
}

enum Replied {
    Stream { response: Response<Answer>, translator: Box<Translator> },
    Whole { status: StatusCode, headers: HeaderMap, body: Bytes },
}

async fn try_chat(state: &Arc<State>, request: Request<Incoming>, ticket: &mut Ticket) -> Result<Replied, Refusal> {
    if state.draining.load(Relaxed) {
        return Err(Refusal::overloaded("the sidecar is draining and takes no more requests; ask another one", 1));
    }
    let (parts, body) = request.into_parts();
    // Nothing is read for a queue that has no room.
    state.workers.check_room()?;
    let held = state.intake.read(body, &state.settings).await?;
    let Prepared { body, prompt_tokens, reply, times } = state.workers.prepare(held).await?;
    state.metrics.prompt_tokens.fetch_add(prompt_tokens as u64, Relaxed);
    let api = state.settings.api;
    let mut headers = passed_on(&parts.headers);
    headers.insert(CONTENT_TYPE, JSON);
    let accepted = if reply.stream { EVENTS } else { JSON };
    headers.insert(ACCEPT, accepted);
    ticket.sent();
    let call = Call { method: Method::POST, path: api.path().to_owned(), headers, body };
    let mut response = state.upstream.send(call).await?;
    let timing = server_timing(times);
    if !response.status().is_success() {
        return pass_error(state, response, ticket).await;
    }
    let number = state.answers.fetch_add(1, Relaxed);
    let id = format!("chatcmpl-{:x}-{number:x}", state.started_ns);
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let writer = Writer::new(id, created, reply.clone());
    let mut reader = Reader::new(api, prompt_tokens);
    response.headers_mut().insert(HeaderName::from_static("server-timing"), timing.clone());
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if reply.stream && kind.to_ascii_lowercase().starts_with("text/event-stream") {
        return Ok(Replied::Stream { response, translator: Box::new(Translator::new(reader, writer)) });
    }
    let kind = kind.to_owned();
    let mut headers = passed_back(response.headers());
    let body = collect(state, response, ticket).await?;
    if reply.stream {
        let shown: String = String::from_utf8_lossy(&body).chars().take(200).collect();
        return Err(Refusal::upstream(
            502,
            format!("the upstream was asked for a stream and sent {kind:?}: {shown:?}; check --upstream-api"),
        ));
    }
    let said = reader.event(&body).map_err(|reason| Refusal::upstream(502, reason))?;
    if let Some(error) = &said.error {
        return Err(Refusal::upstream(502, format!("the upstream answered with an error: {error}")));
    }
    let body = writer.whole(&said).map_err(|reason| Refusal::upstream(502, reason))?;
    headers.insert(CONTENT_TYPE, JSON);
    Ok(Replied::Whole { status: StatusCode::OK, headers, body: body.into() })
}

/// The upstream's own error, as it is.
async fn pass_error(state: &State, response: Response<Answer>, ticket: &mut Ticket) -> Result<Replied, Refusal> {
    let status = response.status();
    if status.is_redirection() || status.is_informational() {
        return Err(Refusal::upstream(
            502,
            format!("the upstream answered with {status}; nothing is followed: name the server itself with --upstream"),
        ));
    }
    let mut headers = passed_back(response.headers());
    for name in [CONTENT_TYPE, RETRY_AFTER, hyper::header::WWW_AUTHENTICATE] {
        if let Some(value) = response.headers().get(&name) {
            headers.insert(name, value.clone());
        }
    }
    let body = collect(state, response, ticket).await?;
    Ok(Replied::Whole { status, headers, body })
}

/// The whole body of the upstream's answer.
async fn collect(state: &State, response: Response<Answer>, ticket: &mut Ticket) -> Result<Bytes, Refusal> {
    let mut body = Limited::new(response.into_body(), LONGEST_ANSWER);
    let mut all = Vec::new();
    let longest = state.upstream.silence_timeout();
    loop {
        let frame = timeout(longest, body.frame()).await.map_err(|_| {
            Refusal::upstream(504, format!("the upstream broke off: nothing came for {} s", longest.as_secs_f64()))
        })?;
        ticket.first_byte();
        match frame {
            None => break,
            Some(Ok(frame)) => all.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Some(Err(error)) => {
                let cause = causes(&*error);
                return Err(Refusal::upstream(
                    502,
                    format!("the upstream broke off in the middle of its answer: {cause}"),
                ));
            }
        }
    }
    ticket.upstream_ended();
    Ok(all.into())
}

async fn models(state: &Arc<State>, request: Request<Incoming>) -> Response<Body> {
    let headers = passed_on(request.headers());
    let call = Call { method: Method::GET, path: "/v1/models".to_owned(), headers, body: Bytes::new() };
    let sent = match state.upstream.send(call).await {
        Ok(response) => pass_all(state, response).await,
        Err(refusal) => Err(refusal),
    };
    sent.unwrap_or_else(|refusal| refused(&refusal))
}

async fn pass_all(state: &State, response: Response<Answer>) -> Result<Response<Body>, Refusal> {
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE).cloned().unwrap_or(JSON);
    let body = timeout(state.upstream.silence_timeout(), Limited::new(response.into_body(), LONGEST_ANSWER).collect());
    let body = body.await.map_err(|_| Refusal::upstream(504, "the upstream's list of models did not end"))?;
    let body = body.map_err(|error| Refusal::upstream(502, causes(&*error)))?.to_bytes();
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

/// Of this process alone: whoever restarts it on a bad answer should not do so because of the server behind.
fn health(state: &State) -> Response<Body> {
    if state.draining.load(Relaxed) {
        return refused(&Refusal::overloaded("the sidecar is draining", 1));
    }
    answer(StatusCode::OK, JSON, r#"{"status":"ok"}"#)
}

/// Whether a request could be answered: the upstream's own health is asked.
async fn ready(state: &Arc<State>) -> Response<Body> {
    if state.draining.load(Relaxed) {
        return refused(&Refusal::overloaded("the sidecar is draining", 1));
    }
    let call = Call { method: Method::GET, path: "/health".to_owned(), headers: HeaderMap::new(), body: Bytes::new() };
    match timeout(READY, state.upstream.send(call)).await {
        Ok(Ok(response)) if response.status().is_success() => answer(StatusCode::OK, JSON, r#"{"status":"ok"}"#),
        Ok(Ok(response)) => {
            refused(&Refusal::overloaded(format!("the upstream's /health answers {}", response.status()), 1))
        }
        Ok(Err(refusal)) => refused(&Refusal::overloaded(refusal.message, 1)),
        Err(_) => refused(&Refusal::overloaded(
            format!("the upstream's /health sent no answer within {} s", READY.as_secs()),
            1,
        )),
    }
}

/// Headers of the client that the upstream gets: its key, its trace, and what begins with `x-`.
fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let known = |name: &HeaderName| {
        *name == AUTHORIZATION || matches!(name.as_str(), "traceparent" | "tracestate" | "baggage") || is_extra(name)
    };
    headers.iter().filter(|(name, _)| known(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Headers of the upstream that the client gets.
fn passed_back(headers: &HeaderMap) -> HeaderMap {
    let known = |name: &HeaderName| is_extra(name) || name.as_str() == "server-timing";
    headers.iter().filter(|(name, _)| known(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn is_extra(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-")
}

/// What the stages here took, as the W3C's Server Timing has it, ms.
fn server_timing(times: Times) -> HeaderValue {
    let ms = |ns: u64| ns as f64 / 1e6;
    let text = format!(
        "json;dur={:.3}, template;dur={:.3}, tokenize;dur={:.3}",
        ms(times.json_ns),
        ms(times.template_ns),
        ms(times.tokenize_ns)
    );
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

fn answer(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

pub fn refused(refusal: &Refusal) -> Response<Body> {
    // All statuses here are ones that HTTP knows.
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = answer(status, JSON, refusal.json());
    if matches!(refusal.status, 408 | 413) {
        // The rest of the body is not read.
        response.headers_mut().insert(hyper::header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(seconds) = refusal.retry_after_s {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn not_allowed(allowed: &'static str, method: &Method, path: &str) -> Response<Body> {
    let mut response = refused(&Refusal::client(405, format!("{path} takes {allowed}, not {method}")));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}
