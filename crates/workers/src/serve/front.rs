//! The front end: an event loop in a thread of its own, which owns the socket.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use engines::EngineError;
use record::protocol::serve::{ServerAnswer, ServerRequest, ServerStats};
use tokio::net::UnixListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::yield_now;

use super::connection::Connection;
use super::counters::{Counters, DRAINING};
use super::frames::{Stamps, answer};
use super::lag::Lag;
use super::service::{Maker, Served};
use super::settings::Settings;
use super::strategy::Strategy;
use crate::channel::Channel;
use crate::clock::now;

/// How long the event loop may take to notice that it should end; one with a long backlog takes longer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Blocking threads are warmed once and must not go: their caches would go with them.
const KEEP_ALIVE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Pause after a connection could not be accepted, for want of descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// The harness's hold on a running front end.
pub struct Front {
    orders: UnboundedSender<ServerRequest>,
    ended: mpsc::Receiver<()>,
    socket: PathBuf,
}

impl Front {
    /// Starts the event loop and returns when it serves, warmed.
    ///
    /// # Errors
    /// When the pipeline does not load, a warm-up request fails, or the socket cannot be opened.
    pub fn start(settings: Settings, maker: Maker, channel: Channel) -> Result<Self, EngineError> {
        let socket = maker.start().socket.clone();
        let (orders, received) = unbounded_channel();
        let (begun, ready) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let run = move || {
            let _end = end;
            let made = runtime(&settings).and_then(|runtime| {
                let loaded = runtime.block_on(Loop::make(&settings, &maker))?;
                Ok((runtime, loaded))
            });
            match made {
                Ok((runtime, (state, listener))) => {
                    // Refused only when the process ends anyway.
                    let _ = begun.send(Ok(()));
                    runtime.block_on(state.run(listener, received, channel));
                    runtime.shutdown_background();
                }
                Err(error) => drop(begun.send(Err(error))),
            }
        };
        thread::Builder::new()
            .name("front".to_owned())
            .spawn(run)
            .map_err(|error| EngineError::Failed(format!("a thread cannot be started: {error}")))?;
        ready.recv().map_err(|_| EngineError::failed("the front end ended while it loaded; its stderr says why"))??;
        Ok(Self { orders, ended, socket })
    }

    /// Passes a request to the event loop, which answers it.
    pub fn ask(&self, request: ServerRequest) {
        // Refused only when the event loop has ended, which the missing answer tells.
        let _ = self.orders.send(request);
    }

    /// Stops to serve and removes the socket.
    pub fn end(self) {
        drop(self.orders);
        // The end of the loop's thread closes this channel; a loop that is stuck ends with the process.
        let _ = self.ended.recv_timeout(PATIENCE);
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn runtime(settings: &Settings) -> Result<Runtime, EngineError> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(settings.workers)
        .thread_keep_alive(KEEP_ALIVE)
        .thread_name("blocking")
        .build()
        .map_err(|error| EngineError::Failed(format!("the event loop cannot be started: {error}")))
}

/// What lives on the event loop.
struct Loop {
    strategy: Strategy,
    counters: Counters,
    lag: Lag,
}

impl Loop {
    async fn make(settings: &Settings, maker: &Maker) -> Result<(Arc<Self>, UnixListener), EngineError> {
        let strategy = Strategy::make(settings, maker).await?;
        let path = &maker.start().socket;
        let listener = UnixListener::bind(path).map_err(|error| {
            EngineError::Failed(format!(
                "the socket {} cannot be opened ({error}); use a short path in a folder that is yours",
                path.display()
            ))
        })?;
        Ok((Arc::new(Self { strategy, counters: Counters::default(), lag: Lag::default() }), listener))
    }

    /// Serves, and answers orders until there can be no more.
    async fn run(
        self: Arc<Self>,
        listener: UnixListener,
        mut orders: UnboundedReceiver<ServerRequest>,
        channel: Channel,
    ) {
        let (accepting, beating) = (Arc::clone(&self), Arc::clone(&self));
        tokio::spawn(async move { accepting.accept(&listener).await });
        tokio::spawn(async move { beating.lag.beat().await });
        while let Some(order) = orders.recv().await {
            // One turn of the loop later, so that beats which are due count before they are asked for or forgotten.
            yield_now().await;
            let said = match order {
                ServerRequest::Stats => {
                    let stats = ServerStats { loop_lag: Some(self.lag.summary()), ..self.counters.stats() };
                    say(&channel, &ServerAnswer::Stats(stats))
                }
                ServerRequest::Reset => {
                    self.counters.reset();
                    self.lag.reset();
                    say(&channel, &ServerAnswer::Done)
                }
                ServerRequest::Drain => {
                    // In a task of its own: the harness may say goodbye before it is done.
                    let (draining, channel) = (Arc::clone(&self), channel.clone());
                    tokio::spawn(async move {
                        draining.counters.drain().await;
                        let _ = say(&channel, &ServerAnswer::Done);
                    });
                    Ok(())
                }
                ServerRequest::Start(_) | ServerRequest::Bye => Ok(()),
            };
            if said.is_err() {
                // Nobody reads the answers: the end of the requests is near.
                return;
            }
        }
    }

    async fn accept(self: Arc<Self>, listener: &UnixListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let connection = Connection::new(stream);
                    let front = Arc::clone(&self);
                    tokio::spawn(async move {
                        connection.read(|id, body, received_ns| front.take(&connection, id, body, received_ns)).await;
                    });
                }
                Err(error) => {
                    eprintln!("a connection cannot be accepted: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Lets a request in, as a task of its own, or refuses it.
    fn take(self: &Arc<Self>, connection: &Arc<Connection>, id: u64, body: Vec<u8>, received_ns: u64) {
        if !self.counters.arrive() {
            let time = now();
            let stamps = Stamps { received_ns, started_ns: time, finished_ns: time };
            connection.send(answer(id, stamps, Err(DRAINING)));
            return;
        }
        let (front, connection) = (Arc::clone(self), Arc::clone(connection));
        tokio::spawn(async move {
            let Served { started_ns, ids } = front.strategy.serve(&body).await;
            let stamps = Stamps { received_ns, started_ns, finished_ns: now() };
            let message = ids.as_ref().err().map(ToString::to_string).unwrap_or_default();
            connection.send(answer(id, stamps, ids.as_deref().map_err(|_| message.as_str())));
            front.counters.leave(ids.is_ok());
        });
    }
}

fn say(channel: &Channel, answer: &ServerAnswer) -> io::Result<()> {
    super::answer(channel, answer)
}
