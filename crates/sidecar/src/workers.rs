//! Threads that render and tokenize, behind a queue that can be full.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use server_api::Api;
use tokio::sync::oneshot;

use super::intake::Held;
use super::metrics::Metrics;
use super::prepare::{Pipeline, Prepared};
use super::refusal::Refusal;
use netpoll::JobQueue;

/// The threads. They end when this goes.
pub struct Workers {
    queue: Arc<JobQueue<Job>>,
    limit: usize,
    count: usize,
    metrics: Arc<Metrics>,
    threads: Vec<JoinHandle<()>>,
}

struct Job {
    held: Held,
    since: Instant,
    answer: oneshot::Sender<Result<Prepared, Refusal>>,
}

impl Workers {
    /// Starts `count` threads, for which `limit` requests may wait.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(
        pipeline: &Arc<Pipeline>,
        api: Api,
        count: usize,
        limit: usize,
        metrics: &Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(JobQueue::default());
        let mut workers =
            Self { queue, limit, count, metrics: Arc::clone(metrics), threads: Vec::with_capacity(count) };
        for index in 0..count {
            let (queue, pipeline, metrics) = (Arc::clone(&workers.queue), Arc::clone(pipeline), Arc::clone(metrics));
            let work = move || work_on(&queue, &pipeline, api, &metrics);
            workers.threads.push(thread::Builder::new().name(format!("tokenize-{index}")).spawn(work)?);
        }
        Ok(workers)
    }

    /// Prepares a request's body in one of the threads. If the caller stops waiting, it is not worked on.
    ///
    /// # Errors
    /// The pipeline's; 503 when as many as may wait do.
    pub async fn prepare(&self, held: Held) -> Result<Prepared, Refusal> {
        let (answer, answered) = oneshot::channel();
        let job = Job { held, since: Instant::now(), answer };
        if self.queue.try_put(job, self.limit).is_err() {
            return Err(self.is_full());
        }
        answered.await.unwrap_or_else(|_| Err(Refusal::overloaded("the sidecar is ending; ask another one", 1)))
    }

    /// Whether a request could wait now.
    ///
    /// # Errors
    /// 503 when as many as may wait do.
    pub fn check_room(&self) -> Result<(), Refusal> {
        if self.queue.waiting() < self.limit { Ok(()) } else { Err(self.is_full()) }
    }

    fn is_full(&self) -> Refusal {
        Refusal::overloaded(
            format!(
                "the sidecar's queue is full ({} requests wait for {} threads); try again later",
                self.limit, self.count
            ),
            self.wait_s(),
        )
    }

    /// Requests that wait.
    pub fn queued(&self) -> usize {
        self.queue.waiting()
    }

    /// How long a full queue takes, whole seconds, at least one.
    fn wait_s(&self) -> u64 {
        let stages = [&self.metrics.json, &self.metrics.template, &self.metrics.tokenize];
        let each: f64 = stages.iter().filter_map(|stage| stage.mean_s()).sum();
        (each * self.limit as f64 / self.count.max(1) as f64).ceil().clamp(1.0, 60.0) as u64
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // A panic of a thread was caught where it arose.
            let _ = thread.join();
        }
    }
}

fn work_on(queue: &JobQueue<Job>, pipeline: &Pipeline, api: Api, metrics: &Metrics) {
    while let Some(Job { held, since, answer }) = queue.take() {
        metrics.queue.observe(since.elapsed());
        // Nobody waits any more: the client has gone.
        if answer.is_closed() {
            continue;
        }
        let prepared = catch_unwind(AssertUnwindSafe(|| pipeline.prepare(&held.body, api))).unwrap_or_else(|_| {
            Err(Refusal::internal("the request broke the template or the tokenizer; please report it"))
        });
        if let Ok(Prepared { times, .. }) = &prepared {
            metrics.json.observe_ns(times.json_ns);
            metrics.template.observe_ns(times.template_ns);
            metrics.tokenize.observe_ns(times.tokenize_ns);
        }
        // Nobody waits any more: the client has gone.
        let _ = answer.send(prepared);
    }
}
