//! Dedicated threads behind a bounded channel.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use engines::EngineError;
use engines::parse::ChatRequest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::service::{Maker, Pipeline, Served, caught};
use super::settings::Settings;
use netpoll::JobQueue;

/// Threads that wait for requests. They end with the process.
pub struct Threads {
    queue: Arc<JobQueue<Job>>,
    /// Free places in the channel. Requests that find none wait on the event loop, in the order in which they came.
    room: Arc<Semaphore>,
}

struct Job {
    request: ChatRequest,
    answer: oneshot::Sender<Served>,
    /// Its place in the channel, given back when a thread takes it.
    place: OwnedSemaphorePermit,
}

impl Threads {
    /// Starts and warms all threads, one after the other, which share one set of objects or load their own.
    pub fn start(settings: &Settings, maker: &Maker) -> Result<Self, EngineError> {
        let shared = if settings.per_thread { None } else { Some(Arc::new(maker.pipeline()?)) };
        let queue = Arc::new(JobQueue::default());
        for index in 0..settings.workers {
            let (queue, shared, maker) = (Arc::clone(&queue), shared.clone(), maker.clone());
            let (warmed, ready) = mpsc::channel();
            let work = move || match caught(|| prepare(shared, &maker)) {
                Ok(pipeline) => {
                    // Refused only when the server already gave up.
                    if warmed.send(Ok(())).is_ok() {
                        work_on(&queue, &pipeline);
                    }
                }
                Err(error) => drop(warmed.send(Err(error))),
            };
            let started = thread::Builder::new().name(format!("worker-{index}")).spawn(work);
            started.map_err(|error| EngineError::Failed(format!("a thread cannot be started: {error}")))?;
            ready.recv().map_err(|_| EngineError::failed("a thread ended before it was ready"))??;
        }
        Ok(Self { queue, room: Arc::new(Semaphore::new(settings.queue)) })
    }

    /// None only when the threads are gone.
    pub async fn serve(&self, request: ChatRequest) -> Option<Served> {
        let place = Arc::clone(&self.room).acquire_owned().await.ok()?;
        let (answer, answered) = oneshot::channel();
        self.queue.put(Job { request, answer, place });
        answered.await.ok()
    }
}

fn work_on(queue: &JobQueue<Job>, pipeline: &Pipeline) {
    while let Some(Job { request, answer, place }) = queue.take() {
        drop(place);
        // Nobody waits any more when the server ends.
        let _ = answer.send(Served::by(|| pipeline.ids(&request)));
    }
}

fn prepare(shared: Option<Arc<Pipeline>>, maker: &Maker) -> Result<Arc<Pipeline>, EngineError> {
    let pipeline = match shared {
        Some(shared) => shared,
        None => Arc::new(maker.pipeline()?),
    };
    maker.warm(|body| pipeline.whole(body))?;
    Ok(pipeline)
}
