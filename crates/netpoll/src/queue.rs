//! Jobs on their way from an event loop to threads: the first thread that is free takes the oldest.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A queue of jobs for any number of threads.
pub struct JobQueue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

struct State<T> {
    jobs: VecDeque<T>,
    closed: bool,
}

impl<T> Default for JobQueue<T> {
    fn default() -> Self {
        Self { state: Mutex::new(State { jobs: VecDeque::new(), closed: false }), filled: Condvar::new() }
    }
}

impl<T> JobQueue<T> {
    /// Adds a job behind all others.
    pub fn put(&self, job: T) {
        self.state().jobs.push_back(job);
        self.filled.notify_one();
    }

    /// The same, unless as many as `limit` wait already: then the job comes back.
    ///
    /// # Errors
    /// The job that found no place.
    pub fn try_put(&self, job: T, limit: usize) -> Result<(), T> {
        let mut state = self.state();
        if state.jobs.len() >= limit {
            return Err(job);
        }
        state.jobs.push_back(job);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// The oldest job; waits for one. None once the queue is closed and empty.
    pub fn take(&self) -> Option<T> {
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Jobs that wait.
    pub fn waiting(&self) -> usize {
        self.state().jobs.len()
    }

    /// No more jobs will come: threads end when they have taken those that are there.
    pub fn close(&self) {
        self.state().closed = true;
        self.filled.notify_all();
    }

    /// A panic of a thread that held the lock leaves the queue as it was: nothing that can panic runs under it.
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_first_and_none_beyond_the_limit() {
        let queue = JobQueue::default();
        assert_eq!(queue.try_put(1, 2), Ok(()));
        assert_eq!(queue.try_put(2, 2), Ok(()));
        assert_eq!(queue.try_put(3, 2), Err(3));
        assert_eq!((queue.waiting(), queue.take()), (2, Some(1)));
        assert_eq!(queue.try_put(4, 2), Ok(()));
        queue.close();
        assert_eq!((queue.take(), queue.take(), queue.take()), (Some(2), Some(4), None));
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn closing_wakes_all_that_wait() {
        let queue = JobQueue::<u32>::default();
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..3).map(|_| scope.spawn(|| queue.take())).collect();
            queue.put(7);
            queue.close();
            let mut taken: Vec<_> = waiting.into_iter().map(|thread| thread.join().unwrap()).collect();
            taken.sort_unstable();
            assert_eq!(taken, [None, None, Some(7)]);
        });
    }
}
