//! Offers load to a server of models and keeps a record of each request.
//!
//! One thread does everything, as in [`crate::driver`]: it sleeps until the next request is due or a socket has something,
//! whichever is first. Bytes are stamped as they are read, and only then looked at.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::histogram::Histogram;
use super::record::Record;
use super::reply::Reply;
use super::samples_file::SamplesFile;
use super::session::{Load, Session};
use super::source::{Due, Source};
use super::tally::{Tally, Truth};
use crate::clock::{now_ns, thread_cpu_ns, thread_run_delay_ns};
use crate::driver::{ClientLimited, Control, DriverError, Mode, Options, Usage, on_own_thread};
use crate::outcome::{ErrorClass, Errors, Outcome};
use crate::transport::{Event, Failure, Opening, Transport};

/// From opening the connections to the start of the clock, ns.
const LEAD_NS: u64 = 10_000_000;

/// Longest sleep: so long does a request to stop go unseen, ns.
const LOOK_NS: u64 = 100_000_000;

/// Most requests sent in a row before answers are looked at.
const BURST: usize = 8;

/// Everything that a run left.
#[derive(Debug)]
pub struct Run {
    pub mode: Mode,
    /// Time 0 of the schedule, CLOCK_MONOTONIC, ns.
    pub start_ns: u64,
    /// Length of the time in which requests were due, ns.
    pub due_ns: u64,
    /// From the start to the end of the last request, ns.
    pub duration_ns: u64,
    /// One for each request that was sent, in the order of sending.
    pub records: Vec<Record>,
    /// From each chunk with content to the next, of the requests that succeeded, ns.
    pub gaps: Histogram,
    /// Where the server is our mock.
    pub truth: Option<Truth>,
    /// How long bytes had been in the kernel when they were read, ns, of one read in eight; where the system tells.
    pub read_delay: Option<Histogram>,
    pub errors: Errors,
    /// Answers to requests that had been given up.
    pub strays: u64,
    /// Events of streams that are neither JSON nor `[DONE]`.
    pub malformed: u64,
    pub opening: Opening,
    pub opened_late: Opening,
    pub client_limited: ClientLimited,
    pub most_in_flight: usize,
    pub usage: Usage,
    /// For each sleep that ended with a due time: how late the thread woke, ns, ascending.
    pub wake_late_ns: Vec<u32>,
    /// Scheduled sessions that did not begin because the run was stopped.
    pub unsent: usize,
    /// The run was stopped, or every user of a closed loop lost the server.
    pub ended_early: bool,
    /// The file of samples.
    pub samples: Option<PathBuf>,
}

/// Offers `load` of `sessions` (in order, again from the start when they are used up). Nothing is skipped: a request that is late is
/// sent late, and its latency counts from when it was due.
///
/// A stopped run sends nothing more and waits for what is in flight.
///
/// # Errors
/// [`DriverError`]. Requests that fail are no error: they are in the records.
pub fn run<T: Transport>(
    transport: T,
    sessions: &[Session],
    load: Load<'_>,
    options: &Options,
    control: &Control,
    samples_file: Option<SamplesFile>,
) -> Result<Run, DriverError> {
    check(sessions, load)?;
    on_own_thread(|| {
        let expected = match load {
            Load::Open { schedule, .. } => schedule.len(),
            Load::Closed { extent, .. } => extent.count.unwrap_or(1 << 12),
        };
        let mut flight = Flight::begin(transport, options, control, Tally::new(expected, samples_file))?;
        let mut source = Source::new(load, sessions, options.offset, flight.start_ns);
        let (mode, most) = match load {
            Load::Open { cap, .. } => (Mode::Open { cap }, cap.unwrap_or(usize::MAX)),
            Load::Closed { concurrency, .. } => (Mode::Closed { concurrency }, usize::MAX),
        };
        let mut limited = ClientLimited::default();
        // Whoever sends takes what it needs of a body at once.
        let mut scratch = Vec::new();
        // Whether the next request has waited for a slot, and when slots became free since.
        let (mut blocked, mut freed) = (false, Slots::default());
        while !control.is_stopped() {
            // Before anything is sent: what ended makes room, and the next request of its user due.
            for ended in flight.ended.drain(..) {
                freed.add(ended.at_ns);
                source.ended(ended.session, ended.turn, ended.at_ns, ended.is_ok, ended.lost);
            }
            let mut burst = 0;
            while burst < BURST && flight.in_flight < most {
                let Some(due) = source.next(now_ns()) else { break };
                let released = if blocked { due.at_ns.max(freed.next()) } else { due.at_ns };
                limited.add(released - due.at_ns);
                let turn = &source.session(due.session).turns[usize::from(due.turn)];
                flight.send(due, turn.body_of(due.session, &mut scratch), released);
                burst += 1;
            }
            // A request that could not be handed over has ended already.
            if !flight.ended.is_empty() {
                continue;
            }
            if flight.in_flight == 0 && source.is_dry() {
                break;
            }
            let full = flight.in_flight >= most;
            blocked = full || (blocked && source.has_ready());
            if !blocked {
                freed.clear();
            }
            let until = match source.has_ready() {
                // Only an end lets the next request go.
                _ if full => None,
                // More is due than one burst: look at the sockets without waiting.
                true => Some(0),
                false => source.next_ns(),
            };
            flight.wait(until, !full)?;
        }
        let stopped = control.is_stopped() && (flight.in_flight > 0 || !source.is_dry());
        let early = stopped || source.lost_all();
        let due_ns = match load {
            Load::Open { schedule, .. } => schedule.duration_ns(),
            Load::Closed { .. } => now_ns().saturating_sub(flight.start_ns),
        };
        let mut run = flight.finish(mode, due_ns, early)?;
        (run.client_limited, run.unsent) = (limited, source.unsent());
        Ok(run)
    })
}

fn check(sessions: &[Session], load: Load<'_>) -> Result<(), DriverError> {
    if sessions.is_empty() || sessions.iter().any(|session| session.turns.is_empty()) {
        return Err(DriverError::NoPayload);
    }
    match load {
        Load::Open { cap: Some(0), .. } | Load::Closed { concurrency: 0, .. } => Err(DriverError::NoConcurrency),
        Load::Closed { extent, .. } if extent.count.is_none() && extent.duration_ns.is_none() => {
            Err(DriverError::Endless)
        }
        _ => Ok(()),
    }
}

/// When slots of a cap became free, for the requests that wait for one: the first in line could leave with the first of them.
#[derive(Default)]
struct Slots {
    free: VecDeque<u64>,
    last_ns: u64,
}

impl Slots {
    fn add(&mut self, at_ns: u64) {
        self.free.push_back(at_ns);
    }

    /// Takes the first; the last that was taken again where there is none.
    fn next(&mut self) -> u64 {
        self.last_ns = self.free.pop_front().map_or(self.last_ns, |at_ns| at_ns.max(self.last_ns));
        self.last_ns
    }

    /// Nobody waits.
    fn clear(&mut self) {
        self.last_ns = self.free.drain(..).fold(self.last_ns, u64::max);
    }
}

/// A request that ended.
struct Ended {
    session: u32,
    turn: u16,
    at_ns: u64,
    is_ok: bool,
    lost: bool,
}

/// Requests under way. The id of a request is the index of its record.
struct Flight<'a, T> {
    transport: T,
    options: &'a Options,
    control: &'a Control,
    tally: Tally,
    start_ns: u64,
    in_flight: usize,
    most_in_flight: usize,
    ended: Vec<Ended>,
    last_end_ns: u64,
    /// Time limits in the order of sending, which is their order in time.
    limits: VecDeque<(u64, usize)>,
    events: Vec<Event>,
    strays: u64,
    opening: Opening,
    wake_late_ns: Vec<u32>,
    /// No sleep goes beyond it. It moves on only when it has passed: setting another end of a sleep is a system call.
    look_ns: u64,
    cpu_at_start_ns: u64,
    delay_at_start_ns: Option<u64>,
}

impl<'a, T: Transport> Flight<'a, T> {
    fn begin(mut transport: T, options: &'a Options, control: &'a Control, tally: Tally) -> Result<Self, DriverError> {
        let opening = transport.open(options.connections)?;
        let start_ns = now_ns() + LEAD_NS;
        Ok(Self {
            transport,
            options,
            control,
            tally,
            start_ns,
            in_flight: 0,
            most_in_flight: 0,
            ended: Vec::new(),
            last_end_ns: start_ns,
            limits: VecDeque::new(),
            events: Vec::new(),
            strays: 0,
            opening,
            wake_late_ns: Vec::new(),
            look_ns: 0,
            cpu_at_start_ns: thread_cpu_ns(),
            delay_at_start_ns: thread_run_delay_ns(),
        })
    }

    fn send(&mut self, due: Due, body: &[u8], released_ns: u64) {
        let id = self.tally.records.len();
        let mut record = Record::due(due.session, due.turn, due.at_ns, released_ns);
        self.control.sent.fetch_add(1, Ordering::Relaxed);
        match self.transport.submit(id as u64, body) {
            Ok(submitted) => {
                record.began_ns = submitted.began_ns;
                record.sent_ns = submitted.sent_ns.unwrap_or(0);
                record.held_back = submitted.sent_ns.is_none();
                self.tally.records.push(record);
                self.limits.push_back((submitted.began_ns.saturating_add(self.options.timeout_ns), id));
                self.in_flight += 1;
                self.most_in_flight = self.most_in_flight.max(self.in_flight);
            }
            Err(failure) => {
                record.began_ns = now_ns();
                self.tally.records.push(record);
                self.in_flight += 1;
                self.end(id, now_ns(), Err(failure), None);
            }
        }
    }

    /// Waits until something happens or until `until_ns`, and takes in what happened. `timed`: a request is due then.
    fn wait(&mut self, until_ns: Option<u64>, timed: bool) -> Result<(), DriverError> {
        let now = now_ns();
        while self.limits.front().is_some_and(|&(_, id)| self.tally.records[id].outcome != Outcome::Pending) {
            self.limits.pop_front();
        }
        let limit = self.limits.front().map_or(u64::MAX, |&(limit, _)| limit);
        let wanted = until_ns.unwrap_or(u64::MAX);
        if self.look_ns <= now {
            self.look_ns = now + LOOK_NS;
        }
        let until = wanted.min(limit).min(self.look_ns);
        self.transport.wait(until, &mut self.events).map_err(DriverError::Wait)?;
        let woke = now_ns();
        if timed && now < wanted && woke >= wanted {
            self.wake_late_ns.push(u32::try_from(woke - wanted).unwrap_or(u32::MAX));
        }
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            self.take(event);
        }
        self.events = events;
        if limit <= woke {
            self.expire(woke);
        }
        Ok(())
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Connected { id, at_ns } => {
                if let Some(id) = self.pending(id) {
                    self.tally.records[id].connected_ns = at_ns;
                }
            }
            Event::Sent { id, at_ns } => {
                if let Some(id) = self.pending(id) {
                    self.tally.records[id].sent_ns = at_ns;
                }
            }
            Event::Done { id, done_ns, answer, reply, .. } => match self.pending(id) {
                Some(id) => self.end(id, done_ns, answer.map(|_| ()), reply),
                None => self.strays += 1,
            },
            Event::Failed { id, at_ns, failure, reply } => {
                if let Some(id) = self.pending(id) {
                    self.end(id, at_ns, Err(failure), reply);
                }
            }
            Event::Stray { .. } => self.strays += 1,
        }
    }

    fn pending(&self, id: u64) -> Option<usize> {
        let id = usize::try_from(id).ok()?;
        self.tally.records.get(id).filter(|record| record.outcome == Outcome::Pending).map(|_| id)
    }

    fn end(&mut self, id: usize, at_ns: u64, result: Result<(), Failure>, reply: Option<Box<Reply>>) {
        self.in_flight -= 1;
        self.last_end_ns = self.last_end_ns.max(at_ns);
        if let Some(reply) = reply {
            self.tally.take(id, &reply, result.is_ok());
        }
        let record = &mut self.tally.records[id];
        record.done_ns = at_ns;
        let mut lost = false;
        match &result {
            Ok(()) => {
                record.outcome = Outcome::Ok;
                // The server may answer before it has read the whole request.
                if record.sent_ns == 0 {
                    record.sent_ns = record.first_byte_ns;
                }
                self.control.answered.fetch_add(1, Ordering::Relaxed);
                self.control.tokens.fetch_add(u64::from(record.output_tokens), Ordering::Relaxed);
            }
            Err(failure) => {
                record.outcome = Outcome::Failed(failure.class);
                lost = failure.class == ErrorClass::Connect;
                self.tally.errors.add(failure.class, &failure.message);
                self.control.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        let (session, turn) = (record.session, record.turn);
        self.ended.push(Ended { session, turn, at_ns, is_ok: result.is_ok(), lost });
    }

    fn expire(&mut self, now: u64) {
        while let Some(&(limit, id)) = self.limits.front()
            && limit <= now
        {
            self.limits.pop_front();
            if self.tally.records[id].outcome != Outcome::Pending {
                continue;
            }
            let reply = self.transport.abandon(id as u64);
            let seconds = self.options.timeout_ns as f64 / 1e9;
            let failure = Failure::new(ErrorClass::Timeout, format!("no complete answer within {seconds} s"));
            self.end(id, now, Err(failure), reply);
        }
    }

    /// Waits for what is in flight and makes the run of it.
    fn finish(mut self, mode: Mode, due_ns: u64, ended_early: bool) -> Result<Run, DriverError> {
        while self.in_flight > 0 {
            self.wait(None, false)?;
        }
        let delay = thread_run_delay_ns().zip(self.delay_at_start_ns).map(|(end, start)| end.saturating_sub(start));
        let usage = Usage {
            cpu_ns: thread_cpu_ns().saturating_sub(self.cpu_at_start_ns),
            wall_ns: now_ns().saturating_sub(self.start_ns),
            run_delay_ns: delay,
            niceness: crate::driver::niceness(),
            real_time: crate::driver::is_real_time(),
        };
        self.wake_late_ns.sort_unstable();
        let Tally { records, gaps, truth, errors, malformed, samples_file } = self.tally;
        let samples = samples_file.map(SamplesFile::finish).transpose().map_err(DriverError::Samples)?;
        Ok(Run {
            mode,
            start_ns: self.start_ns,
            due_ns,
            duration_ns: self.last_end_ns - self.start_ns,
            records,
            gaps,
            truth: (truth.error.count() > 0).then_some(truth),
            read_delay: self.transport.read_delay().cloned(),
            errors,
            strays: self.strays,
            malformed,
            opening: self.opening,
            opened_late: self.transport.opened_late(),
            client_limited: ClientLimited::default(),
            most_in_flight: self.most_in_flight,
            usage,
            wake_late_ns: self.wake_late_ns,
            unsent: 0,
            ended_early,
            samples,
        })
    }
}
