//! A running sidecar: its socket, its connections, its end.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::metrics::Metrics;
use super::prepare::Pipeline;
use super::refusal::Refusal;
use super::routes::{State, refused, route};
use super::settings::{Endpoint, Settings};
use super::upstream::Upstream;
use super::workers::Workers;

/// Longest time for the head of a request, and longest rest between two requests of a connection.
const HEAD: Duration = Duration::from_secs(75);
/// Longest time for telling a client that there are too many connections.
const REFUSED: Duration = Duration::from_secs(2);
/// Clients that are told so at a time; those beyond are closed without a word.
const MOST_REFUSED: usize = 256;
/// Pause after a connection could not be accepted, for want of descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A sidecar that serves, in threads of its own. Dropping it ends it at once; [`Sidecar::drain`] lets requests finish.
pub struct Sidecar {
    // The runtime goes first: its tasks hold the state, whose workers are joined.
    runtime: Option<Runtime>,
    endpoint: Endpoint,
    state: Arc<State>,
    connections: Arc<Connections>,
    accepting: Option<JoinHandle<()>>,
    drain: watch::Sender<bool>,
}

/// How a sidecar ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every request had its answer.
    Completely,
    /// So many connections were cut when the time was over.
    Cut(usize),
}

#[derive(Default)]
struct Connections {
    open: AtomicUsize,
    /// Those of them that are only told that there are too many.
    refused: AtomicUsize,
    idle: Notify,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Sidecar {
    /// Opens the socket and serves.
    ///
    /// # Errors
    /// A sentence about the socket, the upstream's name or a thread that the system refuses.
    pub fn start(settings: Settings, pipeline: &Arc<Pipeline>) -> Result<Self, String> {
        let metrics = Arc::new(Metrics::default());
        let upstream = Upstream::new(&settings, &metrics)?;
        let workers = Workers::start(pipeline, settings.api, settings.workers, settings.queue, &metrics)
            .map_err(|error| format!("a thread cannot be started: {error}; ask for fewer --workers"))?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(settings.io_threads.max(1))
            .thread_name("sidecar-io")
            .enable_all()
            .build()
            .map_err(|error| format!("the event loop cannot be started: {error}"))?;
        let (listener, endpoint) = runtime.block_on(listen(&settings.listen))?;
        let started_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        let state = Arc::new(State {
            settings,
            workers,
            upstream,
            intake: Arc::default(),
            metrics,
            draining: AtomicBool::new(false),
            answers: AtomicU64::new(0),
            started_ns,
        });
        let connections = Arc::new(Connections::default());
        let (drain, draining) = watch::channel(false);
        let accepting = runtime.spawn(accept(listener, Arc::clone(&state), Arc::clone(&connections), draining));
        Ok(Self { runtime: Some(runtime), endpoint, state, connections, accepting: Some(accepting), drain })
    }

    /// Where it listens, with the port that it has.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.state.metrics
    }

    /// Takes no more requests, lets those under way finish, for so long at most, and ends.
    pub fn drain(mut self, longest: Duration) -> Drained {
        self.state.draining.store(true, SeqCst);
        // Fails only when no connection and no listener is left.
        let _ = self.drain.send(true);
        let Some(runtime) = self.runtime.take() else { return Drained::Completely };
        let connections = Arc::clone(&self.connections);
        let accepting = self.accepting.take();
        let all_gone = async move {
            // It closes the socket, after which no connection comes in uncounted; it ends at once and in no other way.
            if let Some(accepting) = accepting {
                let _ = accepting.await;
            }
            loop {
                let gone = connections.idle.notified();
                if connections.open.load(SeqCst) == 0 {
                    return;
                }
                gone.await;
            }
        };
        let ended = runtime.block_on(async { timeout(longest, all_gone).await });
        let left = self.connections.open.load(SeqCst);
        runtime.shutdown_background();
        if ended.is_ok() { Drained::Completely } else { Drained::Cut(left) }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn listen(endpoint: &Endpoint) -> Result<(Listener, Endpoint), String> {
    let fail = |error: io::Error| format!("cannot listen at {endpoint}: {error}; choose another --listen");
    match endpoint {
        Endpoint::Tcp(address) => {
            let listener = TcpListener::bind(address.as_str()).await.map_err(fail)?;
            let address = listener.local_addr().map_err(fail)?;
            Ok((Listener::Tcp(listener), Endpoint::Tcp(address.to_string())))
        }
        Endpoint::Unix(path) => {
            remove_stale(path).await.map_err(fail)?;
            let listener = UnixListener::bind(path).map_err(fail)?;
            Ok((Listener::Unix(listener, path.clone()), endpoint.clone()))
        }
    }
}

/// Removes a socket at which nobody listens any more; anything else stays, and binding says what it is.
async fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket {
        let refused = UnixStream::connect(path).await;
        if refused.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

async fn accept(
    listener: Listener,
    state: Arc<State>,
    connections: Arc<Connections>,
    mut draining: watch::Receiver<bool>,
) {
    let of_connection = draining.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = draining.changed() => break,
        };
        let most = state.settings.max_connections;
        let (state, open, draining) = (Arc::clone(&state), Open::new(&connections), of_connection.clone());
        let refused = connections.refused.load(SeqCst);
        let is_beyond = connections.open.load(SeqCst) - refused > most;
        match accepted {
            // Even those that are told so are bounded.
            Ok(_) if is_beyond && refused >= MOST_REFUSED => {}
            Ok(Client::Tcp(stream)) if is_beyond => drop(tokio::spawn(refuse(stream, most, Refused::new(open)))),
            Ok(Client::Unix(stream)) if is_beyond => drop(tokio::spawn(refuse(stream, most, Refused::new(open)))),
            Ok(Client::Tcp(stream)) => drop(tokio::spawn(serve(stream, state, open, draining))),
            Ok(Client::Unix(stream)) => drop(tokio::spawn(serve(stream, state, open, draining))),
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
    if let Listener::Unix(listener, path) = listener {
        drop(listener);
        // Gone already: nobody can connect to it either way.
        let _ = std::fs::remove_file(path);
    }
}

/// A client.
enum Client {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    async fn accept(&self) -> io::Result<Client> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Client::Tcp(stream))
            }
            Self::Unix(listener, _) => Ok(Client::Unix(listener.accept().await?.0)),
        }
    }
}

/// An open connection, counted.
struct Open(Arc<Connections>);

impl Open {
    fn new(connections: &Arc<Connections>) -> Self {
        connections.open.fetch_add(1, SeqCst);
        Self(Arc::clone(connections))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, SeqCst) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

/// An open connection beyond the limit.
struct Refused(Open);

impl Refused {
    fn new(open: Open) -> Self {
        open.0.refused.fetch_add(1, SeqCst);
        Self(open)
    }
}

impl Drop for Refused {
    fn drop(&mut self) {
        self.0.0.refused.fetch_sub(1, SeqCst);
    }
}

/// Tells a client that there are too many connections, and closes its own.
async fn refuse<T>(stream: T, most: usize, _refused: Refused)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|_| async move {
        let message =
            format!("the sidecar has as many connections as it may ({most}, see --max-connections); try again later");
        Ok::<_, Infallible>(refused(&Refusal::overloaded(message, 1)))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(REFUSED)
        .serve_connection(TokioIo::new(stream), service);
    // Whoever does not listen is not waited for.
    let _ = timeout(REFUSED, connection).await;
}

async fn serve<T>(stream: T, state: Arc<State>, _open: Open, mut draining: watch::Receiver<bool>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| route(Arc::clone(&state), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // A connection that breaks has nobody to tell it to.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = draining.wait_for(|draining| *draining) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
