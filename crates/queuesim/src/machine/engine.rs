//! The events of a [`Machine`].

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::cores::Cores;
use super::demand::demand;
use super::lock::Lock;
use super::{Batch, Kind, Machine, Phase, Place, Stage, WindowFrom};
use crate::arrivals::Arrivals;
use crate::simulation::{Resource, Simulation};

/// What happens at a time of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timed {
    /// A thread comes back from an [`Kind::Away`] phase.
    Back(u32),
    /// A request has passed a [`Place::Delay`] and goes on to a stage.
    Enter { request: u32, stage: u32 },
    /// The chosen owner of a lock runs.
    HandedOver(u32),
    /// The batch that a thread collects waits no longer.
    Close { thread: u32, job: u64 },
}

#[derive(Default)]
struct Thread {
    station: usize,
    stage: usize,
    /// Requests of the current job; empty when idle.
    members: Vec<u32>,
    /// Number of the current job.
    job: u64,
    phase: usize,
    started: f64,
    /// Work of a held phase for which it waits for the lock, ns.
    pending: f64,
    /// Since when it waits for the lock.
    asked: f64,
    /// The current phase gives the lock up on request.
    preemptible: bool,
    /// With how many more requests it goes on before it releases the lock.
    burst: usize,
}

#[derive(Default)]
struct Queue {
    /// (request, stage, time of entry).
    waiting: VecDeque<(u32, u32, f64)>,
    idle: Vec<u32>,
    /// The thread whose batch is still open.
    collecting: Option<u32>,
    busy: f64,
}

pub(super) struct Engine<'a> {
    machine: &'a Machine,
    arrivals: &'a Arrivals,
    stages: &'a [Stage],
    now: f64,
    cores: Cores,
    locks: Vec<Lock>,
    threads: Vec<Thread>,
    queues: Vec<Queue>,
    timed: BinaryHeap<Reverse<(u64, u64, Timed)>>,
    /// How many timed events there were, so that those of one time happen in the order in which they were set.
    sequence: u64,
    /// Stations that have something to hand to a thread.
    dirty: VecDeque<usize>,
    departures: Vec<f64>,
    lock_waits: Vec<f64>,
}

impl<'a> Engine<'a> {
    pub(super) fn new(machine: &'a Machine, arrivals: &'a Arrivals, stages: &'a [Stage]) -> Self {
        let mut threads = Vec::new();
        let mut queues = Vec::new();
        for (station, it) in machine.stations.iter().enumerate() {
            let mut queue = Queue::default();
            // More threads than requests are never used.
            for _ in 0..it.threads.min(arrivals.len()) {
                queue.idle.push(threads.len() as u32);
                threads.push(Thread { station, ..Thread::default() });
            }
            // The first thread is taken first.
            queue.idle.reverse();
            queues.push(queue);
        }
        Self {
            machine,
            arrivals,
            stages,
            now: 0.0,
            cores: Cores::new(machine.cores, machine.turn_ns, threads.len()),
            locks: machine.locks.iter().map(|rules| Lock::new(rules, threads.len())).collect(),
            lock_waits: vec![0.0; if machine.locks.is_empty() { 0 } else { arrivals.len() }],
            threads,
            queues,
            timed: BinaryHeap::new(),
            sequence: 0,
            dirty: VecDeque::new(),
            departures: vec![f64::NAN; arrivals.len()],
        }
    }

    pub(super) fn run(mut self) -> Simulation {
        let times = self.arrivals.times_ns();
        let mut arrived = 0;
        loop {
            let arrival = times.get(arrived).map_or(f64::INFINITY, |ns| *ns as f64);
            let finish = self.cores.next();
            let timed = self.timed.peek().map_or(f64::INFINITY, |Reverse((time, ..))| f64::from_bits(*time));
            let (mut patience, mut impatient) = (f64::INFINITY, 0);
            for (index, lock) in self.locks.iter_mut().enumerate() {
                let timer = lock.next_timer();
                if timer < patience {
                    (patience, impatient) = (timer, index);
                }
            }
            // At one time, what ends comes before what begins.
            let next = finish.min(timed).min(arrival);
            // Timers of waiting threads alone cannot move anything: someone must run, or be about to.
            if next == f64::INFINITY {
                break;
            }
            let next = next.min(patience);
            self.now = next;
            self.cores.advance(next);
            if finish <= next {
                if let Some(thread) = self.cores.finish() {
                    self.go_on(thread);
                }
            } else if timed <= next {
                if let Some(Reverse((.., event))) = self.timed.pop() {
                    self.happen(event);
                }
            } else if patience <= next {
                self.lose_patience(impatient);
            } else {
                self.enter(arrived as u32, 0);
                arrived += 1;
            }
            while let Some(station) = self.dirty.pop_front() {
                self.dispatch(station);
            }
        }
        self.result()
    }

    fn happen(&mut self, event: Timed) {
        match event {
            Timed::Back(thread) => self.go_on(thread),
            Timed::Enter { request, stage } => self.enter(request, stage as usize),
            Timed::HandedOver(lock) => self.run_owner(lock as usize),
            Timed::Close { thread, job } => {
                let station = self.threads[thread as usize].station;
                if self.queues[station].collecting == Some(thread) && self.threads[thread as usize].job == job {
                    self.close(station, thread);
                }
            }
        }
    }

    fn at(&mut self, time: f64, event: Timed) {
        self.sequence += 1;
        self.timed.push(Reverse((time.to_bits(), self.sequence, event)));
    }

    /// A request comes to a stage, or has passed the last.
    fn enter(&mut self, request: u32, stage: usize) {
        let Some(spec) = self.stages.get(stage) else {
            self.departures[request as usize] = self.now;
            return;
        };
        let station = match &spec.place {
            Place::Station(station) => *station,
            Place::Each(stations) => stations[request as usize] as usize,
            Place::Delay => {
                let delay: u64 = spec.phases.iter().map(|phase| phase.ns.get(request as usize)).sum();
                self.at(self.now + delay as f64, Timed::Enter { request, stage: stage as u32 + 1 });
                return;
            }
        };
        self.queues[station].waiting.push_back((request, stage as u32, self.now));
        self.dirty.push_back(station);
    }

    /// Gives a station's waiting requests to its threads.
    fn dispatch(&mut self, station: usize) {
        let machine = self.machine;
        let batch = machine.stations[station].batch.as_ref();
        loop {
            let queue = &mut self.queues[station];
            if let (Some(batch), Some(thread)) = (batch, queue.collecting) {
                let members = &mut self.threads[thread as usize].members;
                while members.len() < batch.max
                    && let Some((request, ..)) = queue.waiting.pop_front()
                {
                    members.push(request);
                }
                if members.len() < batch.max {
                    return;
                }
                self.close(station, thread);
                continue;
            }
            let Some((request, stage, entered)) = queue.waiting.front().copied() else { return };
            let Some(thread) = queue.idle.pop() else { return };
            queue.waiting.pop_front();
            let state = &mut self.threads[thread as usize];
            state.members.push(request);
            state.stage = stage as usize;
            state.job += 1;
            let job = state.job;
            match batch {
                None => self.begin(thread),
                Some(batch) => {
                    queue.collecting = Some(thread);
                    let from = if batch.from == WindowFrom::Arrival { entered } else { self.now };
                    let deadline = from + batch.window_ns as f64;
                    if deadline > self.now {
                        self.at(deadline, Timed::Close { thread, job });
                    } else {
                        self.fill_and_close(station, thread, batch);
                    }
                }
            }
        }
    }

    /// A batch whose window is over takes what is there.
    fn fill_and_close(&mut self, station: usize, thread: u32, batch: &Batch) {
        let queue = &mut self.queues[station];
        let members = &mut self.threads[thread as usize].members;
        let more = queue.waiting.len().min(batch.max - members.len());
        members.extend(queue.waiting.drain(..more).map(|(request, ..)| request));
        self.close(station, thread);
    }

    fn close(&mut self, station: usize, thread: u32) {
        self.queues[station].collecting = None;
        // A waiting request may start the next batch on another thread.
        self.dirty.push_back(station);
        self.begin(thread);
    }

    fn begin(&mut self, thread: u32) {
        let now = self.now;
        let state = &mut self.threads[thread as usize];
        state.started = now;
        state.phase = 0;
        self.phase(thread);
    }

    /// The current phase has ended.
    fn go_on(&mut self, thread: u32) {
        self.threads[thread as usize].phase += 1;
        self.phase(thread);
    }

    /// Starts the thread's current phase, or ends its job.
    fn phase(&mut self, thread: u32) {
        let machine = self.machine;
        let station = &machine.stations[self.threads[thread as usize].station];
        let holds = station.lock.is_some_and(|lock| self.locks[lock].is_held_by(thread));
        loop {
            let Some((kind, work)) = self.work(thread) else {
                if holds && self.go_on_holding(thread) {
                    continue;
                }
                if let (true, Some(lock)) = (holds, station.lock) {
                    self.release(lock);
                }
                self.finish(thread);
                return;
            };
            if work == 0.0 {
                self.threads[thread as usize].phase += 1;
                continue;
            }
            match (kind, station.lock) {
                (Kind::Held { preemptible }, Some(lock)) => {
                    let state = &mut self.threads[thread as usize];
                    state.preemptible = preemptible;
                    state.pending = work;
                    if !holds {
                        self.acquire(lock, thread);
                    } else if self.locks[lock].requested && self.locks[lock].has_waiters() {
                        self.step_back(lock, thread);
                    } else {
                        self.cores.start(thread, work);
                    }
                }
                (Kind::Free | Kind::Away, lock) => {
                    if let (true, Some(lock)) = (holds, lock) {
                        self.release(lock);
                    }
                    if kind == Kind::Away {
                        self.at(self.now + work, Timed::Back(thread));
                    } else {
                        self.cores.start(thread, work);
                    }
                }
                (Kind::Held { .. }, None) => self.cores.start(thread, work),
            }
            return;
        }
    }

    /// Kind and duration of a thread's current phase: a batch's fixed ones first, then the sums over its requests.
    fn work(&self, thread: u32) -> Option<(Kind, f64)> {
        let state = &self.threads[thread as usize];
        let fixed = self.machine.stations[state.station].batch.as_ref().map_or(&[][..], |batch| &batch.fixed);
        if let Some((kind, ns)) = fixed.get(state.phase) {
            return Some((*kind, *ns as f64));
        }
        let phase: &Phase = self.stages[state.stage].phases.get(state.phase - fixed.len())?;
        let ns: u64 = state.members.iter().map(|request| phase.ns.get(*request as usize)).sum();
        Some((phase.kind, ns as f64))
    }

    fn acquire(&mut self, lock: usize, thread: u32) {
        let state = &mut self.threads[thread as usize];
        state.asked = self.now;
        if self.locks[lock].owner.is_none() {
            self.locks[lock].take(thread, self.now);
            state.burst = self.queues[state.station].waiting.len();
            self.cores.start(thread, state.pending);
        } else {
            self.locks[lock].wait(thread, self.now);
        }
    }

    fn release(&mut self, lock: usize) {
        if self.locks[lock].release(self.now).is_none() {
            return;
        }
        if self.locks[lock].hand_over > 0.0 {
            self.locks[lock].handing_over = true;
            self.at(self.now + self.locks[lock].hand_over, Timed::HandedOver(lock as u32));
        } else {
            self.run_owner(lock);
        }
    }

    /// A lock's new owner, which waited for it, runs.
    fn run_owner(&mut self, lock: usize) {
        self.locks[lock].handing_over = false;
        let Some(thread) = self.locks[lock].owner else { return };
        let state = &mut self.threads[thread as usize];
        state.burst = self.queues[state.station].waiting.len();
        for request in &state.members {
            self.lock_waits[*request as usize] += self.now - state.asked;
        }
        self.cores.start(thread, state.pending);
    }

    /// The holder obeys a request: it queues again, and the first in the queue goes on.
    fn step_back(&mut self, lock: usize, thread: u32) {
        self.threads[thread as usize].asked = self.now;
        // The release comes first: the interval of the one that steps back starts with the new holder.
        self.release(lock);
        self.locks[lock].wait(thread, self.now);
    }

    fn lose_patience(&mut self, lock: usize) {
        self.locks[lock].expire(self.now);
        if !self.locks[lock].requested || self.locks[lock].handing_over {
            return;
        }
        if let Some(owner) = self.locks[lock].owner
            && self.threads[owner as usize].preemptible
        {
            self.threads[owner as usize].pending = self.cores.stop(owner);
            self.step_back(lock, owner);
        }
    }

    /// Ends the job of a thread that holds the lock and starts the next without releasing it, if its station works so and a
    /// request waits that was there when it got the lock.
    fn go_on_holding(&mut self, thread: u32) -> bool {
        let state = &mut self.threads[thread as usize];
        let station = state.station;
        if !self.machine.stations[station].keeps_lock || state.burst == 0 {
            return false;
        }
        state.burst -= 1;
        let Some((request, stage, _)) = self.queues[station].waiting.pop_front() else { return false };
        self.leave(thread);
        let state = &mut self.threads[thread as usize];
        state.members.push(request);
        state.stage = stage as usize;
        state.job += 1;
        state.started = self.now;
        state.phase = 0;
        true
    }

    fn finish(&mut self, thread: u32) {
        self.leave(thread);
        let station = self.threads[thread as usize].station;
        self.queues[station].idle.push(thread);
        self.dirty.push_back(station);
    }

    /// The requests of a thread go on to their next stage.
    fn leave(&mut self, thread: u32) {
        let state = &mut self.threads[thread as usize];
        let stage = state.stage;
        let mut members = std::mem::take(&mut state.members);
        self.queues[state.station].busy += self.now - state.started;
        for request in &members {
            self.enter(*request, stage + 1);
        }
        members.clear();
        self.threads[thread as usize].members = members;
    }

    fn result(self) -> Simulation {
        let times = self.arrivals.times_ns();
        let latencies = self.departures.iter().zip(times).map(|(end, start)| end.round() as u64 - start).collect();
        let demand = demand(self.machine, self.stages, times.len());
        let resource = |name: String, servers, busy_ns, demand| Resource { name, servers, busy_ns, demand };
        let mut resources = vec![resource("cores".into(), self.machine.cores, self.cores.busy(), demand.cores)];
        for (index, (lock, demand)) in self.locks.iter().zip(&demand.locks).enumerate() {
            let name = if index == 0 { "lock".into() } else { format!("lock {index}") };
            resources.push(resource(name, 1, lock.busy, *demand));
        }
        let stations = self.machine.stations.iter().zip(&self.queues).zip(&demand.stations);
        resources
            .extend(stations.map(|((it, queue), demand)| resource(it.name.clone(), it.threads, queue.busy, *demand)));
        let mut simulation = Simulation::new(self.arrivals, latencies, &demand.requests, resources);
        simulation.lock_waits_ns = self.lock_waits.iter().map(|ns| ns.round() as u64).collect();
        simulation
    }
}
