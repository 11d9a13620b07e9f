//! Threads that live as long as the worker, by their number; cells that use as many share them.

use std::collections::HashMap;
use std::sync::Arc;

use engines::EngineError;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::window::WindowThreads;

/// The thread pools of a worker.
#[derive(Default)]
pub struct Pools {
    rayon: HashMap<usize, Arc<ThreadPool>>,
    window: HashMap<usize, WindowThreads>,
}

impl Pools {
    /// A pool of that many threads, apart from rayon's global one.
    pub fn rayon(&mut self, threads: usize) -> Result<Arc<ThreadPool>, EngineError> {
        if let Some(pool) = self.rayon.get(&threads) {
            return Ok(Arc::clone(pool));
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("batch-{index}"))
            .build()
            .map_err(|error| EngineError::Failed(format!("a pool of {threads} threads cannot be started: {error}")))?;
        let pool = Arc::new(pool);
        self.rayon.insert(threads, Arc::clone(&pool));
        Ok(pool)
    }

    /// Threads that start together and count calls.
    pub fn window(&mut self, threads: usize) -> Result<&WindowThreads, EngineError> {
        use std::collections::hash_map::Entry;
        Ok(match self.window.entry(threads) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(WindowThreads::start(threads)?),
        })
    }
}
