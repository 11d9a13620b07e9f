//! Connections to the server behind, kept and used again.

use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::metrics::Metrics;
use super::refusal::Refusal;
use super::settings::{BaseUrl, Endpoint, Settings};

/// An idle connection older than this is not used again. Servers close idle connections without a word: uvicorn, which most
/// engines listen with, after 5 s.
const IDLE: Duration = Duration::from_secs(4);

type Sender = SendRequest<Full<Bytes>>;

/// A request as it can be sent once more.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: Method,
    /// With what stands before it on this upstream left out.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The server behind.
pub struct Upstream {
    url: BaseUrl,
    host: HeaderValue,
    connect_timeout: Duration,
    silence_timeout: Duration,
    metrics: Arc<Metrics>,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    sender: Sender,
    since: Instant,
}

impl Upstream {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// The URL's host cannot stand in a header.
    pub fn new(settings: &Settings, metrics: &Arc<Metrics>) -> Result<Arc<Self>, String> {
        let host = match &settings.upstream.endpoint {
            Endpoint::Tcp(authority) => authority.as_str(),
            Endpoint::Unix(_) => "localhost",
        };
        Ok(Arc::new(Self {
            host: HeaderValue::from_str(host)
                .map_err(|_| format!("{host:?} is no name of a host; correct --upstream"))?,
            url: settings.upstream.clone(),
            connect_timeout: settings.connect_timeout,
            silence_timeout: settings.silence_timeout,
            metrics: Arc::clone(metrics),
            idle: Mutex::default(),
        }))
    }

    /// Longest silence within an answer.
    pub fn silence_timeout(&self) -> Duration {
        self.silence_timeout
    }

    /// Sends a request and returns with the head of the answer. Dropping the future, or later the body, closes the connection, by
    /// which the server learns that nobody waits any more.
    ///
    /// A request that finds its kept connection closed before a byte of an answer is sent once more, on a new one. A generation
    /// changes nothing on the server, so at worst one is computed twice.
    ///
    /// # Errors
    /// 502 or 504, with what happened.
    pub async fn send(self: &Arc<Self>, call: Call) -> Result<Response<Answer>, Refusal> {
        let used = self.take_idle();
        let again = used.is_some().then(|| call.clone());
        let sender = match used {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        match (self.try_send(sender, call).await, again) {
            (Err(Failed::Sent(error)), Some(call)) if is_stale(&error) => {
                let sender = self.connect().await?;
                self.try_send(sender, call).await.map_err(|failed| self.refusal(failed))
            }
            (result, _) => result.map_err(|failed| self.refusal(failed)),
        }
    }

    async fn try_send(self: &Arc<Self>, mut sender: Sender, call: Call) -> Result<Response<Answer>, Failed> {
        let mut request = Request::new(Full::new(call.body));
        *request.method_mut() = call.method;
        let uri = format!("{}{}", self.url.prefix, call.path);
        *request.uri_mut() = uri.parse().map_err(|_| Failed::Path(uri))?;
        *request.headers_mut() = call.headers;
        request.headers_mut().insert(HOST, self.host.clone());
        let response = timeout(self.silence_timeout, sender.send_request(request)).await;
        let response = response.map_err(|_| Failed::Silent)?.map_err(Failed::Sent)?;
        Ok(response.map(|body| Answer { body, sender: Some(sender), upstream: Arc::clone(self) }))
    }

    fn refusal(&self, failed: Failed) -> Refusal {
        let url = &self.url;
        match failed {
            Failed::Silent => Refusal::upstream(
                504,
                format!("the upstream {url} sent no answer within {} s", self.silence_timeout.as_secs_f64()),
            ),
            Failed::Sent(error) => {
                Refusal::upstream(502, format!("the upstream {url} broke off before an answer: {}", causes(&error)))
            }
            Failed::Path(uri) => Refusal::client(400, format!("{uri:?} is no path")),
        }
    }

    async fn connect(&self) -> Result<Sender, Refusal> {
        let url = &self.url;
        let fail = |error: io::Error| {
            Refusal::upstream(502, format!("cannot connect to the upstream {url}: {error}; check that the server runs"))
        };
        let connecting = async {
            match &self.url.endpoint {
                Endpoint::Tcp(authority) => {
                    let stream = TcpStream::connect(authority.as_str()).await.map_err(fail)?;
                    stream.set_nodelay(true).map_err(fail)?;
                    self.handshake(stream).await
                }
                Endpoint::Unix(path) => self.handshake(UnixStream::connect(path).await.map_err(fail)?).await,
            }
        };
        timeout(self.connect_timeout, connecting).await.unwrap_or_else(|_| {
            let seconds = self.connect_timeout.as_secs_f64();
            Err(Refusal::upstream(
                504,
                format!("no connection to the upstream {url} within {seconds} s; check that the server runs"),
            ))
        })
    }

    async fn handshake<T>(&self, stream: T) -> Result<Sender, Refusal>
    where
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Refusal::upstream(502, format!("the upstream {}: {}", self.url, causes(&error))))?;
        self.metrics.upstream_connections.fetch_add(1, Relaxed);
        // What breaks is told to the request that is under way.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    /// The connection that was used last: those that are not needed grow old and go.
    fn take_idle(&self) -> Option<Sender> {
        let mut idle = self.idle();
        while let Some(Idle { sender, since }) = idle.pop() {
            if since.elapsed() > IDLE {
                // All below are older.
                idle.clear();
                return None;
            }
            if sender.is_ready() && !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    fn keep(self: &Arc<Self>, mut sender: Sender) {
        if sender.is_closed() {
            return;
        }
        let upstream = Arc::clone(self);
        // It is ready for the next request once its own task has seen the end of the last.
        tokio::spawn(async move {
            if sender.ready().await.is_ok() {
                upstream.idle().push(Idle { sender, since: Instant::now() });
            }
        });
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no answer.
enum Failed {
    Silent,
    Sent(hyper::Error),
    Path(String),
}

/// Whether a kept connection was closed before it answered.
fn is_stale(error: &hyper::Error) -> bool {
    error.is_canceled()
        || error.is_closed()
        || error.is_incomplete_message()
        || error.is_body_write_aborted()
        || is_reset(error)
}

fn is_reset(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    let broken = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionAborted];
    cause.is_some_and(|cause| broken.contains(&cause.kind()))
}

/// An error with what caused it.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// The body of the upstream's answer. Read to its end, its connection is kept; dropped before, it is closed.
pub struct Answer {
    body: Incoming,
    sender: Option<Sender>,
    upstream: Arc<Upstream>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Err(_)) => drop(self.sender.take()),
            None => self.give_back(),
            Some(Ok(_)) if self.body.is_end_stream() => self.give_back(),
            Some(Ok(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Answer {
    fn give_back(&mut self) {
        if let Some(sender) = self.sender.take() {
            self.upstream.keep(sender);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // An answer without a body is never polled.
        if self.body.is_end_stream() {
            self.give_back();
        }
    }
}
