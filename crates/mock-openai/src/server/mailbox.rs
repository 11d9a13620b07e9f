//! Messages to a thread that waits for sockets.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use netpoll::Waker;

/// Messages for one thread; it is called when the first comes after it has looked.
#[derive(Debug)]
pub(super) struct Mailbox<T> {
    messages: Mutex<Vec<T>>,
    waker: Waker,
}

impl<T> Mailbox<T> {
    /// # Errors
    /// When the process may open no more files.
    pub fn new() -> io::Result<Self> {
        Ok(Self { messages: Mutex::new(Vec::new()), waker: Waker::new()? })
    }

    pub fn send(&self, message: T) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.push(message);
        if messages.len() == 1 {
            self.waker.wake();
        }
    }

    /// Sends all of `from` and leaves it empty.
    pub fn send_all(&self, from: &mut Vec<T>) {
        if from.is_empty() {
            return;
        }
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = messages.is_empty();
        messages.append(from);
        if was_empty {
            self.waker.wake();
        }
    }

    /// Swaps what has come into `into`, which must be empty.
    pub fn take(&self, into: &mut Vec<T>) {
        // Before the look: who sends after it calls again.
        self.waker.take();
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *messages, into);
    }

    /// Ends the thread's wait though there is no message.
    pub fn wake(&self) {
        self.waker.wake();
    }
}

impl<T> AsFd for Mailbox<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}
