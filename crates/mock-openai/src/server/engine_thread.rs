//! The thread of the engine: brings the state machine together with the clock.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use netpoll::{Poller, now_ns};

use super::Shared;
use super::mailbox::Mailbox;
use super::tag::Tag;
use crate::engine::{Engine, Event, NewSequence};
use crate::front::{Front, Served, Work};

/// What the engine's thread is told.
#[derive(Debug)]
pub(super) enum ToEngine {
    Submit {
        received_ns: u64,
        work: Work,
        sequences: Vec<NewSequence>,
        /// When the front end served it, if threads did; otherwise the time is simulated.
        served: Option<Served>,
    },
    Abort {
        request: u64,
        at_ns: u64,
    },
    Stall {
        at_ns: u64,
        duration_ns: u64,
    },
}

/// What the threads of the sockets are told by the engine's.
#[derive(Debug, Clone, Copy)]
pub(super) enum FromEngine {
    Front { request: u64, served: Served },
    Event(Event),
}

pub(super) struct EngineThread {
    shared: Arc<Shared>,
    engine: Engine,
    front: Front,
    poller: Poller,
    events: Vec<Event>,
    /// For each thread of sockets.
    out: Vec<Vec<super::ToIo>>,
}

impl EngineThread {
    /// # Errors
    /// When the system refuses to wait.
    pub fn new(shared: Arc<Shared>, engine: Engine) -> io::Result<Self> {
        let mut poller = Poller::new()?;
        poller.add(shared.to_engine.as_fd(), 0, false)?;
        let front = Front::new(shared.config.front.clone());
        let out = shared.to_io.iter().map(|_| Vec::new()).collect();
        Ok(Self { shared, engine, front, poller, events: Vec::new(), out })
    }

    pub fn run(mut self) {
        let (mut messages, mut ready) = (Vec::new(), Vec::new());
        while !self.shared.is_stopping() {
            self.shared.to_engine.take(&mut messages);
            for message in messages.drain(..) {
                self.handle(message);
            }
            let now = now_ns();
            let due = self.engine.next_ns().filter(|due| *due <= now);
            self.engine.advance(now, &mut self.events);
            // Before anybody sees the last token of a request: then it no longer counts as running.
            self.shared.metrics.engine(self.engine.counts(), due.map(|due| now - due));
            self.deliver();
            let next = self.engine.next_ns().unwrap_or(u64::MAX);
            ready.clear();
            if let Err(error) = self.poller.wait(now_ns(), next, &mut ready) {
                self.shared.fail(format!("the engine cannot wait: {error}"));
                return;
            }
        }
    }

    fn handle(&mut self, message: ToEngine) {
        match message {
            ToEngine::Submit { received_ns, work, sequences, served } => {
                let served = served.unwrap_or_else(|| self.front.serve(received_ns, work));
                if let Some(first) = sequences.first() {
                    let request = first.key.request;
                    let message = super::ToIo::Engine(FromEngine::Front { request, served });
                    self.out[Tag(request).thread()].push(message);
                }
                for sequence in sequences {
                    self.engine.submit(served.done_ns, sequence);
                }
            }
            ToEngine::Abort { request, at_ns } => self.engine.abort(request, at_ns, &mut self.events),
            ToEngine::Stall { at_ns, duration_ns } => {
                // What was due before belongs before.
                self.engine.advance(at_ns, &mut self.events);
                self.engine.stall(at_ns, duration_ns);
            }
        }
    }

    fn deliver(&mut self) {
        for event in self.events.drain(..) {
            self.out[Tag(event.key().request).thread()].push(super::ToIo::Engine(FromEngine::Event(event)));
        }
        let mailboxes: &[Arc<Mailbox<super::ToIo>>] = &self.shared.to_io;
        for (messages, mailbox) in self.out.iter_mut().zip(mailboxes) {
            mailbox.send_all(messages);
        }
    }
}
