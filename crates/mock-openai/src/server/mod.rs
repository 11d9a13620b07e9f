//! The server: its threads and what they share.
//!
//! ```text
//!            requests                        sequences
//! client ──> [io] ──(front threads)──> [engine_thread] ── steps on the clock
//!            <── one write a chunk ───  events
//! ```
//!
//! One thread (or several) reads and writes sockets; the engine has a thread of its own that sleeps until the end of the step under
//! way, by an absolute time. A step that is noticed late is not moved: its tokens go out late, with the stamp of their write, and the
//! next step ends when it would have ended.

mod answer;
mod connection;
mod engine_thread;
mod front_threads;
mod io;
mod listen;
mod mailbox;
mod outbox;
mod prepare;
mod scratch;
mod tag;
mod whole;

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use netpoll::now_ns;

use self::engine_thread::{EngineThread, FromEngine, ToEngine};
use self::front_threads::{Jobs, Made};
use self::io::{Io, Numbers};
pub use self::listen::{Endpoint, Listen};
use self::mailbox::Mailbox;
use crate::config::Config;
use crate::engine::{Counts, Engine, EngineConfigError};
use crate::metrics::Metrics;
use crate::tokens::{ReplyIds, Tokenizer};
use crate::truth::{Truth, Truths};

/// What the threads of the sockets are told.
#[derive(Debug)]
enum ToIo {
    Connection(OwnedFd),
    Engine(FromEngine),
    Made(Box<Made>),
}

/// What all threads share.
#[derive(Debug)]
struct Shared {
    config: Config,
    reply_ids: Arc<ReplyIds>,
    metrics: Metrics,
    truths: Truths,
    jobs: Jobs,
    numbers: Numbers,
    /// Whether requests go through the threads of the front end.
    has_front_threads: bool,
    to_engine: Mailbox<ToEngine>,
    to_io: Vec<Arc<Mailbox<ToIo>>>,
    stopping: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Shared {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// A thread cannot go on: the server stops and keeps the reason.
    fn fail(&self, reason: String) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.stop();
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.to_engine.wake();
        for mailbox in &self.to_io {
            mailbox.wake();
        }
        self.jobs.wake_all();
    }
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {endpoint}: {message}")]
    Listen { endpoint: String, message: String },
    #[error(transparent)]
    Engine(#[from] EngineConfigError),
    #[error("{0}")]
    Config(String),
    #[error("cannot start the server's threads: {0}")]
    System(#[from] std::io::Error),
}

/// A running server; dropping it stops it.
#[derive(Debug)]
pub struct Server {
    endpoint: Endpoint,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts a server in threads of this process.
    ///
    /// # Errors
    /// [`StartError`]: the address is taken, or the settings make no sense.
    pub fn start(config: Config, listen: &Listen) -> Result<Self, StartError> {
        check(&config)?;
        let engine = Engine::new(config.engine.clone())?;
        let (listener, endpoint) = listen.open()?;
        let mut to_io = Vec::new();
        for _ in 0..config.io_threads {
            to_io.push(Arc::new(Mailbox::new()?));
        }
        let has_front_threads = config.front.burn || matches!(config.tokenizer, Tokenizer::Custom(_));
        let shared = Arc::new(Shared {
            reply_ids: Arc::new(ReplyIds::of(&config.tokenizer)),
            metrics: Metrics::default(),
            truths: Truths::new(config.truth),
            jobs: Jobs::default(),
            numbers: Numbers::default(),
            has_front_threads,
            to_engine: Mailbox::new()?,
            to_io,
            stopping: AtomicBool::new(false),
            failure: Mutex::new(None),
            config,
        });
        shared.metrics.engine(engine.counts(), None);
        let engine_thread = EngineThread::new(Arc::clone(&shared), engine)?;
        let mut listener = Some(listener);
        let mut ios = Vec::new();
        for number in 0..shared.config.io_threads {
            ios.push(Io::new(Arc::clone(&shared), number, listener.take())?);
        }
        let mut server = Self { endpoint, shared, threads: Vec::new() };
        // On an error what was started so far stops with `server`.
        server.spawn("mock-engine", || engine_thread.run())?;
        for io in ios {
            server.spawn("mock-io", || io.run())?;
        }
        if has_front_threads {
            for _ in 0..server.shared.config.front.workers.max(1) {
                let shared = Arc::clone(&server.shared);
                server.spawn("mock-front", move || front_threads::work(&shared))?;
            }
        }
        Ok(server)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        self.threads.push(std::thread::Builder::new().name(name.to_owned()).spawn(work)?);
        Ok(())
    }

    /// Where it listens: `http://127.0.0.1:PORT` or `unix:/path`.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The truths of the last requests, in the order of their ends.
    pub fn truths(&self) -> Vec<Arc<Truth>> {
        self.shared.truths.all()
    }

    /// The truth of the last request of this id; None while it is under way, or when it is forgotten.
    pub fn truth(&self, id: &str) -> Option<Arc<Truth>> {
        self.shared.truths.find(id)
    }

    /// The same, after waiting for the request's end for at most so long: a client can have read the last byte of an answer before this
    /// server has noted its end.
    pub fn wait_for_truth(&self, id: &str, patience: Duration) -> Option<Arc<Truth>> {
        self.shared.truths.wait_for(id, patience)
    }

    /// What the engine holds now.
    pub fn counts(&self) -> Counts {
        self.shared.metrics.counts()
    }

    /// The whole engine stops for so long, from now on.
    pub fn stall(&self, duration: Duration) {
        let duration_ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4);
        self.shared.to_engine.send(ToEngine::Stall { at_ns: now_ns(), duration_ns });
    }

    /// Why the server stopped by itself; None while it runs.
    pub fn failure(&self) -> Option<String> {
        self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops the server: connections are closed, whatever they wait for. Returns when its threads have ended.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop();
        for thread in self.threads.drain(..) {
            // A thread that panicked has told so on stderr.
            let _ = thread.join();
        }
        self.endpoint.forget();
    }
}

fn check(config: &Config) -> Result<(), StartError> {
    let wrong = |message: &str| Err(StartError::Config(message.to_owned()));
    if !(1..=tag::MOST_THREADS).contains(&config.io_threads) {
        return wrong("the number of threads for sockets must be 1 to 256");
    }
    if config.front.workers == 0 {
        return wrong("the front end needs at least 1 worker");
    }
    if config.default_output_tokens == 0 || config.tokens_per_chunk == 0 {
        return wrong("an answer and a chunk have at least 1 token");
    }
    if config.max_model_len < 2 || config.max_model_len > u32::MAX as usize {
        return wrong("the context of the model must be 2 to 4294967295 tokens");
    }
    if config.natural_tokens.as_ref().is_some_and(|range| range.is_empty() || *range.start() == 0) {
        return wrong("the lengths of answers must be a range from 1 on");
    }
    if !(0.0..=1.0).contains(&config.faults.probability) {
        return wrong("the probability of faults must be 0 to 1");
    }
    Ok(())
}
