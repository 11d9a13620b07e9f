//! What an event loop of one thread waits with: sockets, a moment of CLOCK_MONOTONIC, and a call from another thread.
//!
//! The load generator and the simulated server share it, so that both ends of a measured connection are woken in the same way.

mod poller;
mod queue;
mod waker;

pub use poller::{AT_ONCE, Poller, Ready};
pub use queue::JobQueue;
pub use waker::Waker;

/// CLOCK_MONOTONIC, ns.
pub fn now_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
