//! Worker threads of this process as the server: for tests and for service times that are known.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::answer::{Answer, Failure};
use super::{Event, OpenError, Opening, Submitted, Transport};
use crate::check::check;
use crate::clock::now_ns;
use crate::outcome::ServerStamps;

/// What a worker made of a request: the content of the answer, or a failure.
pub type Served = Result<Vec<u8>, Failure>;

struct Job {
    id: u64,
    received_ns: u64,
    payload: Vec<u8>,
}

#[derive(Default)]
struct Queue {
    jobs: Mutex<(VecDeque<Job>, bool)>,
    arrived: Condvar,
}

impl Queue {
    /// A worker that panicked leaves the queue as it was: whole.
    fn lock(&self) -> MutexGuard<'_, (VecDeque<Job>, bool)> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job; None when the transport is dropped.
    fn next(&self) -> Option<Job> {
        let mut jobs = self.lock();
        loop {
            if jobs.1 {
                return None;
            }
            if let Some(job) = jobs.0.pop_front() {
                return Some(job);
            }
            jobs = self.arrived.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// One queue, first come first served, and a number of worker threads that call a function for each request. The stamps:
/// received when it is queued, started and finished around the call.
pub struct InProcess {
    queue: Arc<Queue>,
    done: Receiver<Event>,
    workers: Vec<JoinHandle<()>>,
}

impl InProcess {
    /// Starts the workers. The function gets the request's id and payload.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(workers: usize, serve: impl Fn(u64, &[u8]) -> Served + Send + Sync + 'static) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let (sender, done) = channel();
        let serve = Arc::new(serve);
        let mut transport = Self { queue, done, workers: Vec::new() };
        for number in 0..workers.max(1) {
            let (queue, sender, serve) = (Arc::clone(&transport.queue), sender.clone(), Arc::clone(&serve));
            let thread = std::thread::Builder::new().name(format!("worker-{number}"));
            transport.workers.push(thread.spawn(move || work(&queue, &sender, &*serve))?);
        }
        Ok(transport)
    }
}

fn work(queue: &Queue, done: &Sender<Event>, serve: &(impl Fn(u64, &[u8]) -> Served + ?Sized)) {
    // A worker that sleeps for its service time should not be stretched by the timer slack of 50 µs.
    crate::driver::be_punctual();
    while let Some(Job { id, received_ns, payload }) = queue.next() {
        let started_ns = now_ns();
        let reply = serve(id, &payload);
        let finished_ns = now_ns();
        let answer = reply.map(|content| Answer {
            server: Some(ServerStamps { received_ns, started_ns, finished_ns }),
            check: check(&content),
            bytes: u32::try_from(content.len()).unwrap_or(u32::MAX),
            content: Some(content),
        });
        // `first_byte_ns` is set where it is taken off the channel: that is this transport's read.
        if done.send(Event::Done { id, first_byte_ns: 0, done_ns: 0, answer, reply: None }).is_err() {
            return;
        }
    }
}

impl Transport for InProcess {
    /// There is nothing to open.
    fn open(&mut self, _: usize) -> Result<Opening, OpenError> {
        Ok(Opening::default())
    }

    fn submit(&mut self, id: u64, payload: &[u8]) -> Result<Submitted, Failure> {
        let began_ns = now_ns();
        self.queue.lock().0.push_back(Job { id, received_ns: began_ns, payload: payload.to_vec() });
        self.queue.arrived.notify_one();
        Ok(Submitted { began_ns, sent_ns: Some(now_ns()) })
    }

    fn wait(&mut self, until_ns: u64, events: &mut Vec<Event>) -> io::Result<()> {
        let left = Duration::from_nanos(until_ns.saturating_sub(now_ns()));
        match self.done.recv_timeout(left) {
            Ok(event) => {
                events.push(stamped(event));
                events.extend(self.done.try_iter().take(3).map(stamped));
                Ok(())
            }
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("all worker threads of the server are gone")),
        }
    }

    fn abandon(&mut self, _: u64) -> Option<Box<crate::serving::reply::Reply>> {
        None
    }

    fn opened_late(&self) -> Opening {
        Opening::default()
    }
}

fn stamped(event: Event) -> Event {
    match event {
        Event::Done { id, answer, .. } => {
            let now = now_ns();
            Event::Done { id, first_byte_ns: now, done_ns: now, answer, reply: None }
        }
        other => other,
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.queue.lock().1 = true;
        self.queue.arrived.notify_all();
        for worker in self.workers.drain(..) {
            // A worker that panicked has nothing to say here.
            let _ = worker.join();
        }
    }
}
