//! The ways of spreading the pipeline over cores as queues of measured times.

use queuesim::Service;
use queuesim::machine::{Batch, Kind, LockRules, SWITCH_INTERVAL_NS, WindowFrom};
use queuesim::pools::Balance;
use queuesim::strategy::{Layout, Part, Strategy, Work};

use super::evidence::{Cost, Evidence, Origin, Size, size_of};
use super::model::{Model, Stack, Stage};
use super::overheads::Served;
use super::way::{MOST_BATCH, StackName, Way};

/// How long Linux's fair scheduler leaves a thread on its core while others wait, ns: 0.7 ms times one more than the logarithm of the
/// cores (3 at most), and then until the next tick.
const TURN_NS: u64 = 3_000_000;
/// Connections of an HTTP client, which the kernel deals out over the servers.
pub const HTTP_CONNECTIONS: usize = 64;

impl Way {
    /// The way on that many cores. None if the model has not its times.
    pub fn on_cores(self, model: &Model, cores: usize) -> Option<Strategy> {
        let parts = Parts { model, stack: model.stack(self.stack())?, way: self };
        parts.strategy(cores)
    }

    /// The weakest origin among the times that matter to it.
    pub fn origin(self, model: &Model) -> Origin {
        model.stack(self.stack()).map_or(Origin::Assumed, Stack::origin)
    }
}

/// The times of a size, and of each way that was measured alone how long nobody works on a request.
pub fn model_of(evidence: &Evidence, size: Size) -> Model {
    let mut model = Model::of(evidence, size);
    for way in Way::ALL {
        let cell = way.measured_as().and_then(|strategy| evidence.served(strategy).into_iter().next());
        let measured = cell.and_then(|cell| Some((cell, evidence.reading(cell, "alone_latency_p50_ns")?)));
        let Some((cell, alone_ns)) = measured else { continue };
        // At the size at which it was measured; what is left over hardly depends on it.
        let there = size_of(cell).filter(|there| *there != size).map(|there| Model::of(evidence, there));
        let there = there.as_ref().unwrap_or(&model);
        if let Some(work_ns) = way.on_cores(there, cell.op.threads as usize).map(|strategy| strategy.mean_ns()) {
            model.away.insert(way, (alone_ns - work_ns).max(0.0));
        }
    }
    model
}

/// Phases of one way.
struct Parts<'a> {
    model: &'a Model,
    stack: &'a Stack,
    way: Way,
}

impl Parts<'_> {
    fn strategy(&self, cores: usize) -> Option<Strategy> {
        let over = &self.model.overheads;
        let (front, all) = (self.front(over.front), self.all());
        let (layout, before, parts, after) = match self.way {
            Way::Inline | Way::InlineLean => {
                (Layout::Inline, join([front.read, self.parse()]), vec![part(1, all)], front.write)
            }
            Way::RustInline => {
                let front = self.front(over.native_front);
                (Layout::Inline, join([front.read, self.parse()]), vec![part(1, all)], front.write)
            }
            Way::Executor1 => self.threads(1, &front),
            Way::ExecutorThreads | Way::FreeThreaded => self.threads(cores, &front),
            Way::MicroBatch => self.micro_batch(cores, &front)?,
            Way::ServerProcesses => {
                // HTTP costs the server before and after.
                let front = self.front(Cost { ns: over.front.ns + over.http.ns, origin: over.http.origin });
                let balance = match self.model.busiest_share.get(&cores) {
                    Some(share) => Balance::Uneven { busiest_permille: (share * 1000.0).round() as u32, seed: 1 },
                    None => Balance::Connections { connections: HTTP_CONNECTIONS, seed: 1 },
                };
                let layout = Layout::Replicas { replicas: cores, balance };
                (layout, join([front.read, self.parse()]), vec![part(cores, all)], front.write)
            }
            Way::ProcessPool => {
                let half = |share: f64| Work::one(Kind::BYTECODE, whole(over.pool.ns * share));
                let before = join([front.read, self.parse(), half(0.3)]);
                let work = join([half(0.25), all, half(0.25)]);
                (Layout::Processes, before, vec![part(cores, work)], join([half(0.2), front.write]))
            }
            Way::SidecarRust => {
                let front = self.front(over.sidecar_front);
                let own = Work::one(Kind::Free, whole(over.native_front.ns + over.native_hand_over.ns));
                let work = join([own, self.parse(), all]);
                // Where a lone request was measured, the way over the sockets is in its time away.
                let hop_ns = if self.model.away.contains_key(&self.way) { 0 } else { over.hop.ns as u64 };
                let layout = Layout::Sidecar { hop_ns };
                (layout, front.read, vec![part(cores, work)], front.write)
            }
            Way::RustThreads => {
                let front = self.front(over.native_front);
                let work = join([Work::one(Kind::Free, whole(over.native_hand_over.ns)), all]);
                let layout = Layout::Threads { lock: None };
                (layout, join([front.read, self.parse()]), vec![part(cores, work)], front.write)
            }
        };
        let away_ns = self.model.away.get(&self.way).copied().unwrap_or(0.0) as u64;
        let (name, turn_ns) = (self.way.name().to_owned(), Some(TURN_NS));
        Some(Strategy { name, cores, turn_ns, away_ns, layout, before, parts, after })
    }

    /// Threads of one process behind its event loop, all under the GIL if there is one.
    fn threads(&self, threads: usize, front: &Front) -> (Layout, Work, Vec<Part>, Work) {
        let before = join([front.read.clone(), self.parse()]);
        let work = join([self.taken(), self.all(), self.returned()]);
        (Layout::Threads { lock: self.lock() }, before, vec![part(threads, work)], front.write.clone())
    }

    /// Templates on threads, then batches of texts on one more.
    fn micro_batch(&self, cores: usize, front: &Front) -> Option<(Layout, Work, Vec<Part>, Work)> {
        let rendered = join([self.taken(), self.template(), self.returned()]);
        let encoded = join([self.call(self.stack.batch?), self.call(self.stack.collate)]);
        let hand_over = self.model.overheads.executor.ns as u64;
        let batch = Batch {
            max: MOST_BATCH,
            window_ns: 0,
            from: WindowFrom::Pickup,
            fixed: vec![(Kind::BYTECODE, hand_over / 2), (Kind::Free, hand_over / 2)],
        };
        let parts = vec![part(cores, rendered), Part { workers: 1, work: encoded, batch: Some(batch) }];
        let before = join([front.read.clone(), self.parse()]);
        Some((Layout::Threads { lock: self.lock() }, before, parts, front.write.clone()))
    }

    fn lock(&self) -> Option<LockRules> {
        (self.way != Way::FreeThreaded).then_some(LockRules {
            switch_interval_ns: Some(SWITCH_INTERVAL_NS),
            hand_over_ns: self.model.overheads.gil_hand_over.ns as u64,
        })
    }

    /// What a front end does before and after: system calls, which release the lock, around bytecode.
    fn front(&self, cost: Cost) -> Front {
        let part = |share: f64| whole(cost.ns * share);
        Front {
            read: Work(vec![(Kind::Free, part(0.15)), (Kind::BYTECODE, part(0.4))]),
            write: Work(vec![(Kind::BYTECODE, part(0.25)), (Kind::Free, part(0.2))]),
        }
    }

    /// Taking a request from the executor's queue.
    fn taken(&self) -> Work {
        Work::one(Kind::BYTECODE, whole(self.model.overheads.executor.ns * 0.4))
    }

    /// Storing the result, waking the event loop up by a system call, and going back to wait.
    fn returned(&self) -> Work {
        let part = |share: f64| whole(self.model.overheads.executor.ns * share);
        Work(vec![(Kind::BYTECODE, part(0.3)), (Kind::Free, part(0.1)), (Kind::BYTECODE, part(0.2))])
    }

    fn parse(&self) -> Work {
        self.call(self.stack.parse)
    }

    fn template(&self) -> Work {
        self.work(self.stack.template, Kind::BYTECODE)
    }

    /// A stage that is one call into an extension.
    fn call(&self, stage: Stage) -> Work {
        self.work(stage, Kind::HELD_CALL)
    }

    /// Template, tokenize, collate.
    fn all(&self) -> Work {
        join([self.template(), self.call(self.stack.tokenize), self.call(self.stack.collate)])
    }

    /// A stage with the scatter of the measured service times, split into what holds the lock and what does not.
    fn work(&self, stage: Stage, kind: Kind) -> Work {
        let served: &Served =
            if self.way.stack() == StackName::Native { &self.model.native } else { &self.model.python };
        let service = |share: f64| {
            let mean = stage.time.ns * share;
            if served.factors.is_empty() {
                whole(mean)
            } else {
                Service::Samples(served.factors.iter().map(|factor| (factor * mean).round() as u64).collect())
            }
        };
        let held = stage.hold.share;
        let parts = [(kind, held), (Kind::Free, 1.0 - held)];
        Work(parts.into_iter().filter(|(_, share)| *share > 0.0).map(|(kind, share)| (kind, service(share))).collect())
    }
}

/// A front end's work around a request.
struct Front {
    read: Work,
    write: Work,
}

fn whole(ns: f64) -> Service {
    Service::Constant(ns.max(0.0).round() as u64)
}

fn join(works: impl IntoIterator<Item = Work>) -> Work {
    Work(works.into_iter().flat_map(|work| work.0).collect())
}

fn part(workers: usize, work: Work) -> Part {
    Part { workers, work, batch: None }
}
