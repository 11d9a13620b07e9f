//! The threads that stand between a worker's pipes and the parent, so that no full or silent pipe can hold the parent up.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, PipeReader, Read, Write};
use std::process::ChildStdin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

/// Kept of what a worker writes to stdout and stderr, bytes.
const TAIL: usize = 64 << 10;
/// Answers that may wait to be taken.
const QUEUE: usize = 256;
/// Longest answer, bytes: a dump of a prompt of some millions of tokens.
const LONGEST: u64 = 64 << 20;
/// How long the end of stderr is waited for after a worker died. A grandchild that left the group could keep it open.
const SETTLE: Duration = Duration::from_millis(500);

/// Writes requests.
#[derive(Debug)]
pub(super) struct Requests(Sender<Vec<u8>>);

impl Requests {
    pub(super) fn new(stdin: Option<ChildStdin>) -> Self {
        let (sender, receiver) = channel::<Vec<u8>>();
        spawn(move || {
            let Some(mut stdin) = stdin else { return };
            while let Ok(line) = receiver.recv() {
                if stdin.write_all(&line).and_then(|()| stdin.flush()).is_err() {
                    return;
                }
            }
        });
        Self(sender)
    }

    pub(super) fn send(&self, line: Vec<u8>) {
        // Fails only when the worker is gone, which the missing answer tells.
        let _ = self.0.send(line);
    }
}

/// A line of the answer channel.
#[derive(Debug)]
pub(super) enum Line<A> {
    Answer(Box<A>),
    Garbage(String),
}

/// Reads answers.
#[derive(Debug)]
pub(super) struct Answers<A>(Receiver<Line<A>>);

impl<A: DeserializeOwned + Send + 'static> Answers<A> {
    pub(super) fn new(pipe: PipeReader) -> Self {
        let (sender, receiver) = sync_channel(QUEUE);
        spawn(move || read_answers(pipe, &sender));
        Self(receiver)
    }

    pub(super) fn next(&self, timeout: Duration) -> Result<Line<A>, RecvTimeoutError> {
        self.0.recv_timeout(timeout)
    }
}

fn read_answers<A: DeserializeOwned>(pipe: PipeReader, sender: &SyncSender<Line<A>>) {
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let answer = match serde_json::from_slice(&line) {
            Ok(answer) => Line::Answer(Box::new(answer)),
            // A worker that dies may leave half a line; its death says more than the half line.
            Err(_) if line.last() != Some(&b'\n') && (line.len() as u64) < LONGEST => return,
            Err(_) => Line::Garbage(String::from_utf8_lossy(&line).trim_end().to_owned()),
        };
        if sender.send(answer).is_err() {
            return;
        }
    }
}

/// The end of what a worker wrote to stdout and stderr.
#[derive(Debug)]
pub(super) struct Tail {
    bytes: Arc<Mutex<VecDeque<u8>>>,
    thread: JoinHandle<()>,
}

impl Tail {
    pub(super) fn new(mut pipe: PipeReader) -> Self {
        let bytes = Arc::new(Mutex::new(VecDeque::new()));
        let shared = Arc::clone(&bytes);
        let thread = spawn(move || {
            let mut buffer = [0; 8192];
            loop {
                let n = match pipe.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(n) => n,
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(_) => return,
                };
                let mut kept = shared.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(&buffer[..n]);
                let surplus = kept.len().saturating_sub(TAIL);
                kept.drain(..surplus);
            }
        });
        Self { bytes, thread }
    }

    /// Waits until everything that a dead worker wrote is here.
    pub(super) fn settle(&self) {
        let deadline = Instant::now() + SETTLE;
        while !self.thread.is_finished() && Instant::now() < deadline {
            sleep(Duration::from_millis(1));
        }
    }

    /// The last line that is not empty.
    pub(super) fn last_line(&self) -> Option<String> {
        let mut kept = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(kept.make_contiguous());
        text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
    }
}
