//! The front end as threads: where its time is burnt, or where a real tokenizer runs.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use netpoll::now_ns;
use rustix::time::{ClockId, clock_gettime};

use super::prepare::{Prepared, prepare};
use super::tag::Tag;
use super::{Shared, ToIo};
use crate::front::Served;
use crate::http::Reply;
use server_api::Wanted;

/// A request that waits for the front end.
#[derive(Debug)]
pub(super) struct Job {
    pub ask: Wanted,
    pub request: u64,
    pub reasoning: u32,
}

/// What the front end made of a request.
#[derive(Debug)]
pub(super) struct Made {
    pub request: u64,
    pub prepared: Result<Prepared, Reply>,
    /// None: no thread served it, and the time of the service is to be simulated, from now on.
    pub served: Option<Served>,
}

/// Requests in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    waiting: Mutex<VecDeque<Job>>,
    called: Condvar,
}

impl Jobs {
    pub fn send(&self, job: Job) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(job);
        self.called.notify_one();
    }

    /// Ends the wait of all threads.
    pub fn wake_all(&self) {
        // Under the lock, or a thread that has just looked would miss it.
        let _waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.called.notify_all();
    }

    /// None when the server stops.
    fn next(&self, shared: &Shared) -> Option<Job> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if shared.is_stopping() {
                return None;
            }
            if let Some(job) = waiting.pop_front() {
                return Some(job);
            }
            waiting = self.called.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// One worker of the front end.
pub(super) fn work(shared: &Arc<Shared>) {
    let burns = shared.config.front.burn;
    while let Some(job) = shared.jobs.next(shared) {
        let (start_ns, start_cpu_ns) = (now_ns(), thread_cpu_ns());
        let prepared = prepare(&job.ask, job.request, job.reasoning, &shared.config, &shared.reply_ids);
        let work = prepared.as_ref().map(|prepared| prepared.work).unwrap_or_default();
        let service_ns = shared.config.front.service_ns(work);
        // What a tokenizer used counts, here as there.
        if burns {
            while thread_cpu_ns() - start_cpu_ns < service_ns {
                std::hint::spin_loop();
            }
        } else if prepared.is_ok() {
            sleep_until(start_ns.saturating_add(service_ns));
        }
        let served = Some(Served { start_ns, done_ns: now_ns() });
        let made = Made { request: job.request, prepared, served };
        shared.to_io[Tag(job.request).thread()].send(ToIo::Made(Box::new(made)));
    }
}

/// The thread is the worker: nothing else is served meanwhile.
fn sleep_until(due_ns: u64) {
    loop {
        match due_ns.saturating_sub(now_ns()) {
            0 => return,
            left_ns => std::thread::sleep(Duration::from_nanos(left_ns)),
        }
    }
}

/// CPU time of this thread, ns.
fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
