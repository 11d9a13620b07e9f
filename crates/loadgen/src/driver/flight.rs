//! Requests under way, the same for both loops: sending, answers, failures, time limits.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use super::{Control, DriverError, Mode, Options, Run, Usage};
use crate::clock::{now_ns, thread_cpu_ns, thread_run_delay_ns};
use crate::outcome::{ErrorClass, Errors, Outcome, Record, Strays};
use crate::transport::{Event, Failure, Opening, Transport};

/// From opening the connections to the start of the clock: the thread reaches its first sleep within this, ns.
const LEAD_NS: u64 = 10_000_000;

/// Longest sleep: so long does a request to stop go unseen, ns.
const LOOK_NS: u64 = 100_000_000;

/// Requests of one run. The id of a request is its index in `records`.
pub(super) struct Flight<'a, T, P> {
    transport: T,
    payloads: &'a [P],
    options: &'a Options,
    control: &'a Control,
    pub start_ns: u64,
    pub records: Vec<Record>,
    pub in_flight: usize,
    most_in_flight: usize,
    /// Ends of requests since they were last taken: a slot is free from these times on.
    pub freed_ns: Vec<u64>,
    /// Time limits in the order of sending, which is their order in time.
    limits: VecDeque<(u64, usize)>,
    events: Vec<Event>,
    errors: Errors,
    strays: Strays,
    opening: Opening,
    wake_late_ns: Vec<u32>,
    cpu_at_start_ns: u64,
    delay_at_start_ns: Option<u64>,
}

impl<'a, T: Transport, P: AsRef<[u8]>> Flight<'a, T, P> {
    /// Opens the connections and starts the clock, a moment from now.
    pub fn begin(
        mut transport: T,
        payloads: &'a [P],
        options: &'a Options,
        control: &'a Control,
        expected: usize,
    ) -> Result<Self, DriverError> {
        if payloads.is_empty() {
            return Err(DriverError::NoPayload);
        }
        let opening = transport.open(options.connections)?;
        let records = Vec::with_capacity(expected);
        Ok(Self {
            transport,
            payloads,
            options,
            control,
            records,
            in_flight: 0,
            most_in_flight: 0,
            freed_ns: Vec::new(),
            limits: VecDeque::new(),
            events: Vec::new(),
            errors: Errors::default(),
            strays: Strays::default(),
            opening,
            wake_late_ns: Vec::new(),
            cpu_at_start_ns: thread_cpu_ns(),
            delay_at_start_ns: thread_run_delay_ns(),
            start_ns: now_ns() + LEAD_NS,
        })
    }

    /// True once the run is to send no more.
    pub fn is_stopped(&self) -> bool {
        self.control.is_stopped()
    }

    /// Sends the next request. False if it could not be handed to a connection; it is recorded as failed.
    pub fn send(&mut self, scheduled_ns: u64, released_ns: u64) -> bool {
        let id = self.records.len();
        let input = (self.options.offset + id) % self.payloads.len();
        let mut record = Record {
            scheduled_ns,
            released_ns,
            began_ns: 0,
            sent_ns: 0,
            first_byte_ns: 0,
            done_ns: 0,
            server: None,
            check: 0,
            bytes: 0,
            input: u32::try_from(input).unwrap_or(u32::MAX),
            held_back: false,
            outcome: Outcome::Pending,
        };
        let submitted = self.transport.submit(id as u64, self.payloads[input].as_ref());
        let accepted = submitted.is_ok();
        match submitted {
            Ok(submitted) => {
                record.began_ns = submitted.began_ns;
                record.sent_ns = submitted.sent_ns.unwrap_or(0);
                record.held_back = submitted.sent_ns.is_none();
                self.limits.push_back((submitted.began_ns.saturating_add(self.options.timeout_ns), id));
                self.in_flight += 1;
                self.most_in_flight = self.most_in_flight.max(self.in_flight);
            }
            Err(failure) => {
                record.done_ns = now_ns();
                record.outcome = Outcome::Failed(failure.class);
                self.count_failure(&failure);
            }
        }
        self.records.push(record);
        self.control.sent.fetch_add(1, Ordering::Relaxed);
        accepted
    }

    /// Waits until something happens or until `until_ns`, and takes in what happened. `arrival`: that is when a request is due.
    pub fn wait(&mut self, until_ns: Option<u64>, arrival: bool) -> Result<(), DriverError> {
        let now = now_ns();
        while self.limits.front().is_some_and(|&(_, id)| self.records[id].outcome != Outcome::Pending) {
            self.limits.pop_front();
        }
        let limit = self.limits.front().map_or(u64::MAX, |&(limit, _)| limit);
        let wanted = until_ns.unwrap_or(u64::MAX);
        let until = wanted.min(limit).min(now + LOOK_NS);
        self.transport.wait(until, &mut self.events).map_err(DriverError::Wait)?;
        let woke = now_ns();
        if arrival && now < wanted && woke >= wanted {
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

    /// Waits for all answers, then for answers too many, and makes the run of it.
    pub fn finish(
        mut self,
        mode: Mode,
        duration_ns: u64,
        unsent: usize,
        ended_early: bool,
    ) -> Result<Run, DriverError> {
        while self.in_flight > 0 {
            self.wait(None, false)?;
        }
        let linger = now_ns() + self.options.linger_ns;
        while now_ns() < linger {
            self.wait(Some(linger), false)?;
        }
        let delay = thread_run_delay_ns().zip(self.delay_at_start_ns).map(|(end, start)| end.saturating_sub(start));
        let usage = Usage {
            cpu_ns: thread_cpu_ns().saturating_sub(self.cpu_at_start_ns),
            wall_ns: now_ns().saturating_sub(self.start_ns),
            run_delay_ns: delay,
            niceness: super::niceness(),
            real_time: super::is_real_time(),
        };
        self.wake_late_ns.sort_unstable();
        Ok(Run {
            mode,
            start_ns: self.start_ns,
            duration_ns,
            records: self.records,
            errors: self.errors,
            strays: self.strays,
            opening: self.opening,
            opened_late: self.transport.opened_late(),
            client_limited: super::ClientLimited::default(),
            most_in_flight: self.most_in_flight,
            usage,
            wake_late_ns: self.wake_late_ns,
            unsent,
            ended_early,
        })
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Connected { .. } => {}
            Event::Sent { id, at_ns } => {
                if let Some(record) = self.pending(id) {
                    record.sent_ns = at_ns;
                }
            }
            Event::Done { id, first_byte_ns, done_ns, answer, .. } => {
                let Some(record) = self.pending(id) else { return self.stray(Some(id)) };
                (record.first_byte_ns, record.done_ns) = (first_byte_ns, done_ns);
                // The server answered before it had read the whole request.
                if record.sent_ns == 0 {
                    record.sent_ns = done_ns;
                }
                match answer {
                    Ok(answer) => {
                        record.outcome = Outcome::Ok;
                        (record.server, record.check, record.bytes) = (answer.server, answer.check, answer.bytes);
                        self.control.answered.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(failure) => {
                        record.outcome = Outcome::Failed(failure.class);
                        self.count_failure(&failure);
                    }
                }
                self.free(done_ns);
            }
            Event::Failed { id, at_ns, failure, .. } => {
                let Some(record) = self.pending(id) else { return };
                (record.done_ns, record.outcome) = (at_ns, Outcome::Failed(failure.class));
                self.count_failure(&failure);
                self.free(at_ns);
            }
            Event::Stray { id } => self.stray(id),
        }
    }

    fn pending(&mut self, id: u64) -> Option<&mut Record> {
        let record = self.records.get_mut(usize::try_from(id).ok()?)?;
        (record.outcome == Outcome::Pending).then_some(record)
    }

    fn stray(&mut self, id: Option<u64>) {
        let record = id.and_then(|id| self.records.get(usize::try_from(id).ok()?));
        let count = match record.map(|record| record.outcome) {
            Some(Outcome::Failed(ErrorClass::Timeout)) => &mut self.strays.late,
            Some(Outcome::Ok | Outcome::Failed(_)) => &mut self.strays.duplicated,
            Some(Outcome::Pending) | None => &mut self.strays.unknown,
        };
        *count += 1;
    }

    fn free(&mut self, at_ns: u64) {
        self.in_flight -= 1;
        self.freed_ns.push(at_ns);
    }

    fn count_failure(&mut self, failure: &Failure) {
        self.errors.add(failure.class, &failure.message);
        self.control.failed.fetch_add(1, Ordering::Relaxed);
    }

    fn expire(&mut self, now: u64) {
        while let Some(&(limit, id)) = self.limits.front()
            && limit <= now
        {
            self.limits.pop_front();
            if self.records[id].outcome != Outcome::Pending {
                continue;
            }
            (self.records[id].done_ns, self.records[id].outcome) = (now, Outcome::Failed(ErrorClass::Timeout));
            self.transport.abandon(id as u64);
            let seconds = self.options.timeout_ns as f64 / 1e9;
            self.count_failure(&Failure::new(ErrorClass::Timeout, format!("no answer within {seconds} s")));
            self.free(now);
        }
    }
}
