//! A call from another thread that ends a wait.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Ends the wait of a [`Poller`](crate::Poller) to which it was added, from any thread.
///
/// On Linux an eventfd, elsewhere a pair of sockets. Calls that nobody answered yet are one call.
#[derive(Debug)]
pub struct Waker {
    near: OwnedFd,
    #[cfg(not(target_os = "linux"))]
    far: OwnedFd,
}

impl Waker {
    /// # Errors
    /// When the process may open no more files.
    pub fn new() -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        {
            use rustix::event::{EventfdFlags, eventfd};
            Ok(Self { near: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)? })
        }
        #[cfg(not(target_os = "linux"))]
        {
            let (near, far) = std::os::unix::net::UnixStream::pair()?;
            near.set_nonblocking(true)?;
            far.set_nonblocking(true)?;
            Ok(Self { near: near.into(), far: far.into() })
        }
    }

    /// Ends the wait, or the next one.
    pub fn wake(&self) {
        #[cfg(target_os = "linux")]
        let far = &self.near;
        #[cfg(not(target_os = "linux"))]
        let far = &self.far;
        // It fails only when it is full, and then the other side is called already.
        let _ = rustix::io::write(far, &1u64.to_ne_bytes());
    }

    /// Takes the calls so far; to be called when the poller reports the waker, before looking at what the call was about.
    pub fn take(&self) {
        let mut buffer = [0u8; 64];
        while let Ok(taken) = rustix::io::read(&self.near, &mut buffer) {
            // An eventfd gives all calls at once.
            if taken < buffer.len() {
                break;
            }
        }
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.near.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Poller, now_ns};

    #[test]
    fn a_call_ends_a_wait_once() {
        let waker = Waker::new().unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(waker.as_fd(), 3, false).unwrap();
        let mut ready = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                waker.wake();
                waker.wake();
            });
            poller.wait(now_ns(), u64::MAX, &mut ready).unwrap();
        });
        assert_eq!(ready.iter().map(|ready| ready.token).collect::<Vec<_>>(), [3]);
        waker.take();
        ready.clear();
        poller.wait(now_ns(), 0, &mut ready).unwrap();
        assert!(ready.is_empty());
    }
}
