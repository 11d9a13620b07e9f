//! One client: frames in, frames out, many requests under way, answered in any order.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::UnixStream;

use super::frames::Splitter;
use crate::clock::now;

pub struct Connection {
    stream: UnixStream,
    unsent: Mutex<Unsent>,
}

/// What the socket did not take at once.
#[derive(Default)]
struct Unsent {
    bytes: Vec<u8>,
    closed: bool,
}

impl Connection {
    pub fn new(stream: UnixStream) -> Arc<Self> {
        Arc::new(Self { stream, unsent: Mutex::default() })
    }

    /// Hands on each request with its id, its body and when it was there (ns), until the client sends no more.
    ///
    /// Requests that one read completes have one time.
    pub async fn read(&self, mut take: impl FnMut(u64, Vec<u8>, u64)) {
        let mut splitter = Splitter::default();
        loop {
            if self.stream.readable().await.is_err() {
                return;
            }
            let read = match self.stream.try_read(splitter.space()) {
                Ok(0) => return,
                Ok(read) => read,
                Err(error) if is_passing(&error) => continue,
                Err(_) => return,
            };
            let received_ns = now();
            splitter.advance(read);
            loop {
                match splitter.next() {
                    Ok(Some((id, body))) => take(id, body, received_ns),
                    Ok(None) => break,
                    Err(_) => {
                        self.close();
                        return;
                    }
                }
            }
        }
    }

    /// Sends an answer, if the client is still there: at once, as far as the socket takes it, and the rest when it takes more.
    /// Must be called on the event loop.
    pub fn send(self: &Arc<Self>, mut frame: Vec<u8>) {
        let mut unsent = self.unsent();
        if unsent.closed {
            return;
        }
        if !unsent.bytes.is_empty() {
            unsent.bytes.append(&mut frame);
            return;
        }
        match self.stream.try_write(&frame) {
            Ok(written) if written == frame.len() => return,
            Ok(written) => drop(frame.drain(..written)),
            Err(error) if is_passing(&error) => {}
            Err(_) => {
                unsent.closed = true;
                return;
            }
        }
        unsent.bytes = frame;
        let connection = Arc::clone(self);
        tokio::spawn(async move { connection.flush().await });
    }

    /// Answers are thrown away from here on; the socket closes when nothing of it is under way.
    fn close(&self) {
        let mut unsent = self.unsent();
        unsent.closed = true;
        unsent.bytes = Vec::new();
    }

    async fn flush(&self) {
        loop {
            if self.stream.writable().await.is_err() {
                return self.close();
            }
            let mut unsent = self.unsent();
            match self.stream.try_write(&unsent.bytes) {
                Ok(written) => drop(unsent.bytes.drain(..written)),
                Err(error) if is_passing(&error) => {}
                Err(_) => {
                    unsent.closed = true;
                    unsent.bytes = Vec::new();
                }
            }
            if unsent.bytes.is_empty() {
                return;
            }
        }
    }

    fn unsent(&self) -> MutexGuard<'_, Unsent> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
