//! A pool of connections to one server, driven by the thread that owns it.
//!
//! A little over 500 lines: opening, placing, losing and reading a connection change the same few tables, which no other file may touch.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;

use super::answer::Failure;
use super::connection::{Address, Connection, Received, ended};
use super::endpoint::Endpoint;
use super::poller::{AT_ONCE, Poller, Ready};
use super::protocol::Protocol;
use super::remote::{Remote, SocketOptions, connect_failure, open_error};
use super::{Event, MOST_BYTES, OpenError, Opening, Submitted, Transport};
use crate::clock::now_ns;
use crate::outcome::ErrorClass;
use crate::serving::histogram::Histogram;
use crate::serving::reply::Reply;
use crate::serving::target::Target;

/// Read buffer, bytes: most answers come whole in one read.
const SCRATCH: usize = 256 << 10;

/// Most bytes of a read where many answers share a connection: understanding so many takes some 0.2 ms, in which nothing is sent.
const SHARED_SCRATCH: usize = 32 << 10;

/// How many ready sockets are read before the time is looked at. Reading one takes a few µs.
const BETWEEN_LOOKS: usize = 4;

/// So long what the poller told of a connection is taken for its state, ns: some sends in a row.
const KNOWN_NS: u64 = 1_000_000;

/// Order in which connections are taken: those that the server reads first, then the fewest requests in flight, then the one
/// that was used longest ago. So load is spread over all connections, and over all processes behind one port.
pub(super) type Turn = (bool, usize, u64, usize);

/// Connections to one server over Unix or TCP sockets.
///
/// Where a protocol carries one request at a time (HTTP/1.1) and none is free, or a connection died, another is opened during the
/// run without blocking; [`Transport::opened_late`] counts these.
///
/// HTTP/2 carries as many on a connection as the server lets it: [`Transport::open`] then opens only as many as it takes for that
/// many requests at once, and another one follows when all are full.
pub struct Sockets {
    remote: Remote,
    poller: Poller,
    connections: Vec<Option<Connection>>,
    vacant: Vec<usize>,
    /// Connections that take a request.
    free: BTreeSet<Turn>,
    /// On which connection a request waits.
    flights: HashMap<u64, usize>,
    ready: VecDeque<Ready>,
    /// When the poller last told of all sockets, ns …
    polled_ns: u64,
    /// … and the same of the last time that all that it told was taken in.
    looked_ns: u64,
    /// What happened outside `wait`.
    backlog: Vec<Event>,
    late: Opening,
    turn: u64,
    generation: u32,
    scratch: Box<[u8]>,
    delay: Histogram,
}

impl Sockets {
    /// A pool without connections yet.
    ///
    /// # Errors
    /// [`OpenError::Connect`] for an address that cannot be resolved, [`OpenError::Poller`].
    pub fn new(endpoint: Endpoint, options: SocketOptions) -> Result<Self, OpenError> {
        Self::to(Remote::of_endpoint(endpoint, options)?)
    }

    /// A pool of connections to a server of models, without connections yet. All answers come with a
    /// [`Reply`](crate::serving::reply::Reply).
    ///
    /// # Errors
    /// As [`Sockets::new`], and [`OpenError::Tls`].
    pub fn to_server(target: &Target, protocol: Protocol, connect_timeout_ns: u64) -> Result<Self, OpenError> {
        Self::to(Remote::of_server(target, protocol, connect_timeout_ns)?)
    }

    fn to(remote: Remote) -> Result<Self, OpenError> {
        Ok(Self {
            remote,
            poller: Poller::new().map_err(OpenError::Poller)?,
            connections: Vec::new(),
            vacant: Vec::new(),
            free: BTreeSet::new(),
            flights: HashMap::new(),
            ready: VecDeque::new(),
            polled_ns: 0,
            looked_ns: 0,
            backlog: Vec::new(),
            late: Opening::default(),
            turn: 0,
            generation: 0,
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            delay: Histogram::new(),
        })
    }

    /// Connections that stand or are being opened.
    pub fn standing(&self) -> usize {
        self.connections.iter().flatten().count()
    }

    /// Begins a connection and returns where it is kept.
    fn start(&mut self, address: &Address) -> io::Result<usize> {
        self.generation += 1;
        let connection = Connection::start(address, (self.remote.speak)(), self.remote.peer.as_ref(), self.generation)?;
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let mut connection = connection;
        connection.watched_for_room = connection.wants_room();
        if self.remote.measures_delay {
            connection.measure_delay();
        }
        let token = token(index, connection.generation);
        if let Err(error) = self.poller.add(connection.fd(), token, connection.watched_for_room) {
            self.vacant.push(index);
            return Err(error);
        }
        self.connections[index] = Some(connection);
        Ok(index)
    }

    /// Opens one connection and waits until it stands.
    fn open_one(&mut self) -> io::Result<()> {
        let deadline = now_ns() + self.remote.connect_timeout_ns;
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in self.remote.addresses.clone() {
            match self.open_at(&address, deadline) {
                Ok(()) => {
                    self.remote.addresses = vec![address];
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn open_at(&mut self, address: &Address, deadline: u64) -> io::Result<()> {
        let index = loop {
            match self.start(address) {
                // The backlog of a Unix socket is full: the server will accept soon.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && now_ns() < deadline => {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                result => break result?,
            }
        };
        while let Some(connection) = self.connections[index].as_mut().filter(|one| one.connecting_ns.is_some()) {
            let token = token(index, connection.generation);
            let mut ready = Vec::new();
            self.poller.wait(now_ns(), deadline, &mut ready)?;
            let mut result = Ok(());
            if ready.iter().any(|one| one.token == token) {
                result = connection.advance(&mut self.scratch);
            } else if now_ns() >= deadline {
                result = Err(if connection.is_unanswered() {
                    io::Error::new(io::ErrorKind::Unsupported, "it took the connection and said nothing of it")
                } else {
                    io::ErrorKind::TimedOut.into()
                });
            }
            self.watch(index)?;
            // What other connections report this early is reported again: nothing was read from them.
            if let Err(error) = result {
                self.remove(index);
                return Err(error);
            }
        }
        self.watch(index)?;
        self.place(index);
        Ok(())
    }

    /// Opens a connection during the run, without waiting for it: requests queue in it.
    fn open_late(&mut self) -> Result<usize, Failure> {
        let began = now_ns();
        let address = self.remote.addresses[0].clone();
        let index = self.start(&address).map_err(|error| connect_failure(&self.remote.name, &error))?;
        if self.connections[index].as_ref().is_some_and(|one| one.connecting_ns.is_none()) {
            self.late.connect_ns.push(now_ns() - began);
        }
        Ok(index)
    }

    /// Requests that all connections carry at once.
    fn carried(&self) -> usize {
        self.connections.iter().flatten().fold(0, |sum, one| sum.saturating_add(one.codec.at_once()))
    }

    /// Offers a connection for requests in its turn, if it takes any.
    fn place(&mut self, index: usize) {
        let Some(one) = &mut self.connections[index] else { return };
        let takes = one.codec.is_reusable() && one.in_flight < one.codec.at_once();
        let wanted = takes.then(|| turn(one, index));
        if wanted != one.placed {
            one.placed.take().map(|old| self.free.remove(&old));
            one.placed = wanted;
            self.free.extend(wanted);
        }
    }

    fn unplace(&mut self, index: usize) {
        if let Some(placed) = self.connections[index].as_mut().and_then(|one| one.placed.take()) {
            self.free.remove(&placed);
        }
    }

    /// Watches for room to write exactly while bytes wait for it.
    fn watch(&mut self, index: usize) -> io::Result<()> {
        if let Some(one) = &mut self.connections[index] {
            let wanted = one.wants_room();
            if wanted != one.watched_for_room {
                self.poller.modify(one.fd(), token(index, one.generation), wanted)?;
                one.watched_for_room = wanted;
            }
        }
        Ok(())
    }

    /// Forgets a connection.
    fn remove(&mut self, index: usize) {
        self.unplace(index);
        if let Some(one) = self.connections[index].take() {
            // It is closed now in any case; an error here would change nothing.
            let _ = self.poller.remove(one.fd(), token(index, one.generation));
            self.vacant.push(index);
        }
    }

    /// Reads once.
    fn receive(&mut self, index: usize, events: &mut Vec<Event>) -> Reading {
        let mut decoded = Vec::new();
        let Some(one) = self.connections[index].as_mut() else { return Reading::Nothing };
        let room = if self.remote.shares { SHARED_SCRATCH } else { SCRATCH };
        let received = one.receive(&mut self.scratch[..room], &mut decoded);
        if let Some(delay) = one.read_delay_ns.take() {
            self.delay.add(delay);
        }
        let mut short = None;
        if matches!(received, Received::End(_)) {
            let mut last = Vec::new();
            short = one.codec.end(&mut last);
            let now = now_ns();
            decoded.extend(last.into_iter().map(|answer| (answer, now)));
        }
        // Mostly a read brings a part of an answer, and nothing changes for the pool.
        let is_quiet = decoded.is_empty() && matches!(received, Received::Bytes | Received::Nothing);
        if is_quiet && self.connections[index].as_ref().is_some_and(|one| one.in_flight > 0) {
            self.place(index);
            return if matches!(received, Received::Bytes) { Reading::More } else { Reading::Nothing };
        }
        for (answer, done_ns) in decoded {
            if self.flights.get(&answer.id) != Some(&index) {
                events.push(Event::Stray { id: Some(answer.id) });
                continue;
            }
            self.flights.remove(&answer.id);
            if let Some(one) = &mut self.connections[index] {
                one.in_flight -= 1;
            }
            let (id, first_byte_ns) = (answer.id, answer.first_byte_ns);
            events.push(Event::Done { id, first_byte_ns, done_ns, answer: answer.answer, reply: answer.reply });
        }
        match received {
            Received::Broken(failure) => return Reading::Lost(Lost { short: None, failure }),
            Received::End(error) => return Reading::Lost(Lost { short, failure: ended(error.as_ref()) }),
            Received::Bytes | Received::Nothing => {}
        }
        let spent = self.connections[index].as_ref().is_some_and(|one| !one.codec.is_reusable() && one.in_flight == 0);
        if spent {
            self.remove(index);
        } else {
            self.place(index);
        }
        if matches!(received, Received::Bytes) { Reading::More } else { Reading::Nothing }
    }

    /// A connection is gone: its requests failed.
    fn lose(&mut self, index: usize, lost: &Lost, events: &mut Vec<Event>) {
        let at_ns = now_ns();
        let mut waiting: Vec<u64> = self.flights.iter().filter(|(_, at)| **at == index).map(|(id, _)| *id).collect();
        waiting.sort_unstable();
        if waiting.is_empty() && lost.failure.class == ErrorClass::Protocol {
            events.push(Event::Stray { id: None });
        }
        for id in waiting {
            self.flights.remove(&id);
            let failure = if lost.short == Some(id) {
                Failure::new(ErrorClass::ShortBody, "the connection ended in the middle of the answer")
            } else {
                lost.failure.clone()
            };
            let reply = self.connections[index].as_mut().and_then(|one| one.codec.partial(id));
            events.push(Event::Failed { id, at_ns, failure, reply });
        }
        self.remove(index);
    }

    /// A write failed: reads what the server still sent, then gives the connection up.
    fn lose_after_write(&mut self, index: usize, error: &io::Error, events: &mut Vec<Event>) {
        let lost = loop {
            match self.receive(index, events) {
                Reading::More => {}
                // No end is there to be read: what failed is the write.
                Reading::Nothing => break Lost { short: None, failure: ended(Some(error)) },
                Reading::Lost(lost) => break lost,
            }
        };
        self.lose(index, &lost, events);
    }

    fn handle(&mut self, ready: Ready, events: &mut Vec<Event>) -> io::Result<()> {
        let (index, generation) = (ready.token as u32 as usize, (ready.token >> 32) as u32);
        let Some(one) = self.connections.get_mut(index).and_then(Option::as_mut) else { return Ok(()) };
        // The connection of this report may be gone, and another in its place.
        if one.generation != generation {
            return Ok(());
        }
        if ready.writable && one.watched_for_room {
            let began = one.connecting_ns;
            if !one.is_open
                && let Err(error) = one.connected()
            {
                let lost = Lost { short: None, failure: connect_failure(&self.remote.name, &error) };
                self.lose(index, &lost, events);
                return Ok(());
            }
            self.stood(index, began, events);
            let mut sent = Vec::new();
            let flushed = self.connections[index].as_mut().map_or(Ok(()), |one| one.flush(&mut sent));
            events.extend(sent.into_iter().map(|(id, at_ns)| Event::Sent { id, at_ns }));
            if let Err(error) = flushed {
                self.lose_after_write(index, &error, events);
                return Ok(());
            }
            self.place(index);
            self.watch(index)?;
        }
        if ready.readable {
            let began = self.connections[index].as_ref().and_then(|one| one.connecting_ns);
            let reading = self.receive(index, events);
            self.stood(index, began, events);
            if let Some(one) = &mut self.connections[index] {
                events.extend(one.flushed.drain(..).map(|(id, at_ns)| Event::Sent { id, at_ns }));
            }
            if let Reading::Lost(lost) = reading {
                self.lose(index, &lost, events);
            } else {
                self.watch(index)?;
            }
        }
        Ok(())
    }

    /// Reports a connection that began at `began` if it stands now.
    fn stood(&mut self, index: usize, began: Option<u64>, events: &mut Vec<Event>) {
        let (Some(began), Some(one)) = (began, &self.connections[index]) else { return };
        if one.connecting_ns.is_none() {
            let at_ns = one.stands_ns;
            self.late.connect_ns.push(at_ns.saturating_sub(began));
            events.extend(one.first_unsent().map(|id| Event::Connected { id, at_ns }));
        }
    }
}

impl Transport for Sockets {
    fn open(&mut self, connections: usize) -> Result<Opening, OpenError> {
        let mut opening = Opening::default();
        for number in 1..=connections {
            if number > 1 && self.remote.opening_gap_ns > 0 {
                std::thread::sleep(std::time::Duration::from_nanos(self.remote.opening_gap_ns));
            }
            let began = now_ns();
            self.open_one().map_err(|error| open_error(&self.remote.name, number, connections, &error))?;
            opening.connect_ns.push(now_ns() - began);
            if self.remote.shares && self.carried() >= connections {
                break;
            }
        }
        Ok(opening)
    }

    fn submit(&mut self, id: u64, payload: &[u8]) -> Result<Submitted, Failure> {
        if payload.len() > MOST_BYTES {
            let message = format!("a request of {} bytes is over the limit of {MOST_BYTES}", payload.len());
            return Err(Failure::new(ErrorClass::Protocol, message));
        }
        let began_ns = now_ns();
        loop {
            let (index, is_new) = match self.free.first() {
                Some(&(.., index)) => (index, false),
                None => (self.open_late()?, true),
            };
            self.unplace(index);
            let Some(one) = self.connections[index].as_mut() else { continue };
            // A request is handed to another connection only while no byte of it was taken: a server that closed this one is
            // found out before the request is written, not by losing it.
            // One that was never used has no answer behind it after which a server closes: what the poller told of it a moment ago stands,
            // and a burst of first requests costs one system call each, not two.
            let is_known = one.last_used == 0 && began_ns.saturating_sub(self.looked_ns) < KNOWN_NS;
            if !is_new && !is_known && one.codec.is_serial() && one.connecting_ns.is_none() && one.is_spent() {
                let mut events = std::mem::take(&mut self.backlog);
                if let Reading::Lost(lost) = self.receive(index, &mut events) {
                    self.lose(index, &lost, &mut events);
                }
                self.remove(index);
                self.backlog = events;
                continue;
            }
            // The same where requests share a connection, and it was of no use for a while.
            if self.remote.shares && !is_new && one.in_flight == 0 && one.connecting_ns.is_none() && one.has_news() {
                let mut events = std::mem::take(&mut self.backlog);
                if let Reading::Lost(lost) = self.receive(index, &mut events) {
                    self.lose(index, &lost, &mut events);
                }
                self.backlog = events;
                // A connection that cannot be watched is found out when it is written.
                let _ = self.watch(index);
                continue;
            }
            match one.send(id, payload) {
                Ok(sent_ns) => {
                    one.in_flight += 1;
                    self.turn += 1;
                    one.last_used = self.turn;
                    self.flights.insert(id, index);
                    self.place(index);
                    if let Err(error) = self.watch(index) {
                        let mut events = std::mem::take(&mut self.backlog);
                        self.lose(index, &Lost { short: None, failure: ended(Some(&error)) }, &mut events);
                        self.backlog = events;
                    }
                    return Ok(Submitted { began_ns, sent_ns });
                }
                // No byte was taken: the request goes another way, unless the way was opened for it.
                Err(error) => {
                    let mut events = std::mem::take(&mut self.backlog);
                    self.lose_after_write(index, &error, &mut events);
                    self.backlog = events;
                    if is_new {
                        return Err(ended(Some(&error)));
                    }
                }
            }
        }
    }

    fn wait(&mut self, until_ns: u64, events: &mut Vec<Event>) -> io::Result<()> {
        if !self.backlog.is_empty() {
            events.append(&mut self.backlog);
            return Ok(());
        }
        if self.ready.is_empty() {
            self.poller.wait(now_ns(), until_ns, &mut self.ready)?;
            // It tells of so many at a time: of a full list there may be more.
            self.polled_ns = if self.ready.len() < AT_ONCE { now_ns() } else { 0 };
        }
        let mut handled = 0;
        while let Some(ready) = self.ready.pop_front() {
            self.handle(ready, events)?;
            handled += 1;
            // What ended may let the next request go: it does not wait for the reading of all that is there.
            if handled % BETWEEN_LOOKS == 0 && (!events.is_empty() || now_ns() >= until_ns) {
                break;
            }
        }
        if self.ready.is_empty() {
            self.looked_ns = self.polled_ns;
        }
        Ok(())
    }

    fn abandon(&mut self, id: u64) -> Option<Box<Reply>> {
        let index = self.flights.remove(&id)?;
        let one = self.connections[index].as_mut()?;
        one.in_flight -= 1;
        let reply = one.codec.partial(id);
        if one.codec.is_serial() {
            // The answer would be taken for that of the next request.
            self.remove(index);
        } else {
            // A connection that cannot be written is found lost when it is read.
            let _ = one.push_output();
            self.place(index);
            let _ = self.watch(index);
        }
        reply
    }

    fn opened_late(&self) -> Opening {
        self.late.clone()
    }

    fn read_delay(&self) -> Option<&Histogram> {
        (self.delay.count() > 0).then_some(&self.delay)
    }
}

/// What one reading brought.
enum Reading {
    /// Bytes, and perhaps there are more.
    More,
    Nothing,
    Lost(Lost),
}

/// How a connection ended.
struct Lost {
    /// The request whose answer is cut short.
    short: Option<u64>,
    /// What the others that wait on it get.
    failure: Failure,
}

fn token(index: usize, generation: u32) -> u64 {
    u64::from(generation) << 32 | index as u64
}

fn turn(one: &Connection, index: usize) -> Turn {
    (one.is_blocked() || one.connecting_ns.is_some(), one.in_flight, one.last_used, index)
}
