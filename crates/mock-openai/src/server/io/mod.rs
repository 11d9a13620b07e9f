//! A thread of sockets: waits, reads, writes.

mod requests;

pub(super) use self::requests::Numbers;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use netpoll::{Poller, Ready, now_ns};
use rustix::io::Errno;
use rustix::net::RecvFlags;

use super::answer::{Answer, End};
use super::connection::Connection;
use super::engine_thread::{FromEngine, ToEngine};
use super::listen::Listener;
use super::outbox::Written;
use super::scratch::{Line, Scratch};
use super::tag::{MOST_CONNECTIONS, Tag};
use super::{Shared, ToIo};
use crate::truth::Outcome;

const LISTENER: u64 = u64::MAX - 1;
const MAILBOX: u64 = u64::MAX - 2;

/// Bytes of one read.
const READ: usize = 64 << 10;

/// Messages that are done before the sockets are looked at again: some 100 chunks, under a millisecond.
const BETWEEN_LOOKS: u32 = 100;

/// How long a client that was refused within its request may go on sending before its connection is closed, ns.
const LINGER_NS: u64 = 1_000_000_000;

/// For how long no connection is accepted when the process may open no more files, ns.
const PAUSE_NS: u64 = 50_000_000;

pub(super) struct Io {
    shared: Arc<Shared>,
    /// The number of this thread.
    number: usize,
    poller: Poller,
    listener: Option<Listener>,
    /// The listener is not looked at before.
    paused_until_ns: Option<u64>,
    /// Which thread gets the next connection.
    turn: usize,
    connections: Vec<Option<Connection>>,
    vacant: Vec<usize>,
    generation: u32,
    /// Requests so far.
    serial: u32,
    timers: BinaryHeap<Reverse<(u64, usize, u32)>>,
    messages: Vec<ToIo>,
    scratch: Scratch,
    written: Vec<Written>,
    buffer: Vec<u8>,
}

impl Io {
    /// # Errors
    /// When the system refuses to wait.
    pub fn new(shared: Arc<Shared>, number: usize, listener: Option<Listener>) -> io::Result<Self> {
        let mut poller = Poller::new()?;
        poller.add(shared.to_io[number].as_fd(), MAILBOX, false)?;
        if let Some(listener) = &listener {
            poller.add(listener.as_fd(), LISTENER, false)?;
        }
        Ok(Self {
            shared,
            number,
            poller,
            listener,
            paused_until_ns: None,
            turn: 0,
            connections: Vec::new(),
            vacant: Vec::new(),
            generation: 0,
            serial: 0,
            timers: BinaryHeap::new(),
            messages: Vec::new(),
            scratch: Scratch::default(),
            written: Vec::new(),
            buffer: vec![0; READ],
        })
    }

    pub fn run(mut self) {
        let mut ready: Vec<Ready> = Vec::new();
        while !self.shared.is_stopping() {
            let timer = self.timers.peek().map(|Reverse((at, ..))| *at);
            let until = timer.into_iter().chain(self.paused_until_ns).min().unwrap_or(u64::MAX);
            ready.clear();
            if let Err(error) = self.poller.wait(now_ns(), until, &mut ready) {
                self.shared.fail(format!("the server cannot wait for its sockets: {error}"));
                return;
            }
            for one in &ready {
                match one.token {
                    MAILBOX => self.take_messages(),
                    LISTENER => self.accept(),
                    _ => self.look(*one),
                }
            }
            self.ring();
        }
    }

    /// What the other threads have to say.
    fn take_messages(&mut self) {
        let mut messages = std::mem::take(&mut self.messages);
        self.shared.to_io[self.number].take(&mut messages);
        let mut tokens = 0;
        for (number, message) in (1..).zip(messages.drain(..)) {
            if number % BETWEEN_LOOKS == 0 {
                self.glance();
            }
            match message {
                ToIo::Connection(socket) => self.add(socket),
                ToIo::Made(made) => self.made(*made),
                ToIo::Engine(FromEngine::Front { request, served }) => {
                    if let Some(answer) = self.answer(request) {
                        answer.served(served);
                    }
                }
                ToIo::Engine(FromEngine::Event(event)) => tokens += self.engine_event(event),
            }
        }
        self.shared.metrics.generated(tokens);
        self.messages = messages;
    }

    /// Reads what has come, between the writes of a step: a request that comes while a thousand chunks go out is not late for that.
    fn glance(&mut self) {
        let mut ready: Vec<Ready> = Vec::new();
        // An error comes again at the next wait, which tells it.
        if self.poller.wait(now_ns(), 0, &mut ready).is_ok() {
            for one in ready {
                match one.token {
                    // What is in the mailbox comes after what is being done.
                    MAILBOX => {}
                    LISTENER => self.accept(),
                    _ => self.look(one),
                }
            }
        }
    }

    /// The request of this tag, if it is still there.
    fn answer(&mut self, request: u64) -> Option<&mut Answer> {
        let connection = self.connections.get_mut(Tag(request).connection())?.as_mut()?;
        connection.answer.as_deref_mut().filter(|answer| answer.request == request)
    }

    fn engine_event(&mut self, event: crate::engine::Event) -> u64 {
        let request = event.key().request;
        let index = Tag(request).connection();
        let early_head = self.shared.config.early_head;
        let mut tokens = 0;
        self.with_answer(index, request, |answer, line| {
            tokens = answer.on_event(event, early_head, line)?;
            Ok(())
        });
        tokens
    }

    /// Lets an answer write, and does what follows from it.
    fn with_answer(
        &mut self,
        index: usize,
        request: u64,
        act: impl FnOnce(&mut Answer, &mut Line<'_>) -> io::Result<()>,
    ) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else { return };
        let Some(answer) = connection.answer.as_deref_mut().filter(|answer| answer.request == request) else { return };
        let mut line = Line {
            socket: &connection.socket,
            outbox: &mut connection.outbox,
            scratch: &mut self.scratch,
            written: &mut self.written,
        };
        let acted = act(answer, &mut line);
        if !self.written.is_empty() {
            answer.note(&mut self.written, self.shared.truths.is_kept());
        }
        if acted.is_err() {
            self.lose(index);
        } else if answer.end.is_some() || !connection.outbox.is_empty() || answer.extra_ns.is_some() {
            self.settle(index);
        }
    }

    /// Takes up the connections that wait.
    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        if self.paused_until_ns.is_some() {
            return;
        }
        let mut accepted = Vec::new();
        loop {
            match listener.accept() {
                Ok(socket) => accepted.push(socket),
                Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
                    // Neither this connection nor the next can be taken up: it would only be tried over and over.
                    Some(Errno::MFILE | Errno::NFILE) => {
                        self.shared.metrics.accepts_paused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        let _ = self.poller.remove(listener.as_fd(), LISTENER);
                        self.paused_until_ns = Some(now_ns() + PAUSE_NS);
                        break;
                    }
                    Some(Errno::INTR | Errno::CONNABORTED) => {}
                    _ => break,
                },
            }
        }
        for socket in accepted {
            let thread = self.turn % self.shared.to_io.len();
            self.turn += 1;
            if thread == self.number {
                self.add(socket);
            } else {
                self.shared.to_io[thread].send(ToIo::Connection(socket));
            }
        }
    }

    fn add(&mut self, socket: OwnedFd) {
        let index = self.vacant.pop().unwrap_or(self.connections.len());
        if index >= MOST_CONNECTIONS {
            return;
        }
        if index == self.connections.len() {
            self.connections.push(None);
        }
        self.generation = self.generation.wrapping_add(1) & (u32::MAX >> 1);
        let connection = Connection::new(socket, self.generation);
        let added = self.poller.add(connection.socket.as_fd(), token(index, self.generation), false);
        if added.is_ok() {
            self.connections[index] = Some(connection);
        } else {
            self.vacant.push(index);
        }
    }

    /// A socket is ready.
    fn look(&mut self, ready: Ready) {
        let (index, generation) = (ready.token as u32 as usize, (ready.token >> 32) as u32);
        let is_same = |connection: &&mut Connection| connection.generation == generation;
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut).filter(is_same) else { return };
        if ready.writable && connection.watched_for_room {
            self.flush(index);
        }
        if ready.readable {
            self.read(index);
        }
    }

    fn read(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else { return };
        match rustix::net::recv(&connection.socket, &mut *self.buffer, RecvFlags::empty()) {
            // A client that ends its side has gone, as most servers see it.
            Ok((_, 0)) => self.lose(index),
            Ok((_, count)) => {
                let at_ns = now_ns();
                if connection.closing {
                    return;
                }
                connection.reader.push(&self.buffer[..count]);
                let most = self.shared.config.largest_body + (1 << 20);
                if connection.reader.held() > most {
                    self.lose(index);
                } else if connection.answer.is_none() {
                    self.take_requests(index, at_ns);
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.lose(index),
        }
    }

    fn flush(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else { return };
        let flushed = connection.outbox.flush(&connection.socket, &mut self.written);
        match &mut connection.answer {
            Some(answer) => answer.note(&mut self.written, self.shared.truths.is_kept()),
            None => self.written.clear(),
        }
        match flushed {
            Ok(()) => self.settle(index),
            Err(_) => self.lose(index),
        }
    }

    /// Does what is due: timers of connections, and the listener's.
    fn ring(&mut self) {
        let now = now_ns();
        while let Some(Reverse((at, index, generation))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else { continue };
            if connection.generation != generation || connection.timer_ns != Some(at) {
                continue;
            }
            connection.timer_ns = None;
            let extra = connection.answer.as_ref().and_then(|answer| Some((answer.request, answer.extra_ns?)));
            match extra.filter(|_| connection.outbox.is_empty()) {
                Some((request, due)) if due <= now => {
                    self.with_answer(index, request, |answer, line| answer.extra(due, line))
                }
                _ => self.flush(index),
            }
        }
        if self.paused_until_ns.is_some_and(|until| until <= now) {
            self.paused_until_ns = None;
            if let Some(listener) = &self.listener
                && self.poller.add(listener.as_fd(), LISTENER, false).is_err()
            {
                self.paused_until_ns = Some(now + PAUSE_NS);
            }
        }
    }

    /// After anything was done with a connection: writes on, ends its answer, takes up its next request, or waits.
    fn settle(&mut self, index: usize) {
        loop {
            let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else { return };
            if connection.outbox.is_overfull() {
                return self.lose(index);
            }
            if connection.outbox.next_ns().is_some_and(|at| at <= now_ns()) {
                return self.flush(index);
            }
            if !connection.outbox.is_empty() || connection.answer.as_ref().is_some_and(|answer| answer.end.is_none()) {
                return self.wait_for(index);
            }
            let end = connection.answer.as_ref().and_then(|answer| answer.end);
            if let Some((outcome, _)) = end {
                self.finish(index, outcome);
            }
            let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else { return };
            match end {
                Some((_, End::Reset)) => {
                    connection.reset_on_close();
                    return self.remove(index);
                }
                Some((_, End::Close)) => return self.remove(index),
                _ if connection.closing => match connection.lingers_until_ns {
                    Some(until) if now_ns() < until => return self.wait_for(index),
                    _ => return self.remove(index),
                },
                _ => {}
            }
            if connection.reader.held() == 0 {
                return self.wait_for(index);
            }
            let before = connection.reader.held();
            self.take_requests(index, now_ns());
            match self.connections.get(index) {
                Some(Some(connection)) if connection.reader.held() < before && connection.answer.is_none() => {}
                _ => return,
            }
        }
    }

    /// Sets what the connection waits for: room to write, or a time.
    fn wait_for(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else { return };
        let room = connection.outbox.blocked && !connection.outbox.is_empty();
        if room != connection.watched_for_room {
            let token = token(index, connection.generation);
            if self.poller.modify(connection.socket.as_fd(), token, room).is_err() {
                return self.lose(index);
            }
            connection.watched_for_room = room;
        }
        if let Some(at) = connection.next_ns()
            && connection.timer_ns.is_none_or(|set| at < set)
        {
            connection.timer_ns = Some(at);
            self.timers.push(Reverse((at, index, connection.generation)));
        }
    }

    /// The answer of a connection is over.
    fn finish(&mut self, index: usize, outcome: Outcome) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else { return };
        let Some(mut answer) = connection.answer.take() else { return };
        let at_ns = now_ns();
        if answer.is_live() {
            self.shared.to_engine.send(ToEngine::Abort { request: answer.request, at_ns });
        }
        let stopped = answer.stopped();
        answer.truth.finished_ns = at_ns;
        answer.truth.outcome = outcome;
        self.shared.metrics.finished(&answer.truth, stopped);
        self.shared.truths.keep(answer.truth);
    }

    /// The client is gone.
    fn lose(&mut self, index: usize) {
        self.written.clear();
        self.finish(index, Outcome::Aborted);
        self.remove(index);
    }

    fn remove(&mut self, index: usize) {
        if let Some(connection) = self.connections.get_mut(index).and_then(Option::take) {
            // It is closed now in any case; an error here would change nothing.
            let _ = self.poller.remove(connection.socket.as_fd(), token(index, connection.generation));
            self.vacant.push(index);
        }
    }
}

/// A generation has 31 bits: the tokens of the listener and the mailbox are no connection's.
fn token(index: usize, generation: u32) -> u64 {
    u64::from(generation) << 32 | index as u64
}
