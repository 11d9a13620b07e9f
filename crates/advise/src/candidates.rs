//! The ways of spreading the pipeline over cores, as queues of measured times, and as servers that can be started.

use queuesim::Service;
use queuesim::machine::{Batch, Kind, LockRules, SWITCH_INTERVAL_NS, WindowFrom};
use queuesim::pools::Balance;
use queuesim::strategy::{Layout, Part, Strategy, Work};
use serde::Serialize;
use serde_json::{Value, json};

use super::evidence::{Cost, Origin};
use super::model::{Model, Stack, StackName, Stage};
use super::overheads::Served;

/// How long Linux's fair scheduler leaves a thread on its core while others wait, ns: 0.7 ms times one more than the logarithm of the
/// cores (3 at most), and then until the next tick.
const TURN_NS: u64 = 3_000_000;
/// Most requests of a micro-batch.
const MOST_BATCH: usize = 64;
/// Connections of an HTTP client, which the kernel deals out over the servers.
pub const HTTP_CONNECTIONS: usize = 64;

/// A way, from the simplest to what takes another language and more parts: of equals the first is recommended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    Inline,
    InlineLean,
    #[serde(rename = "executor-1")]
    Executor1,
    ExecutorThreads,
    MicroBatch,
    ServerProcesses,
    ProcessPool,
    FreeThreaded,
    SidecarRust,
    RustInline,
    RustThreads,
}

impl Way {
    /// All of them, the simplest first.
    pub const ALL: [Self; 11] = [
        Self::Inline,
        Self::InlineLean,
        Self::Executor1,
        Self::ExecutorThreads,
        Self::MicroBatch,
        Self::ServerProcesses,
        Self::ProcessPool,
        Self::FreeThreaded,
        Self::SidecarRust,
        Self::RustInline,
        Self::RustThreads,
    ];

    /// As in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inline => "inline asyncio",
            Self::InlineLean => "inline, jinja2 only",
            Self::Executor1 => "executor, 1 thread",
            Self::ExecutorThreads => "executor, threads",
            Self::MicroBatch => "micro-batch",
            Self::ServerProcesses => "server processes",
            Self::ProcessPool => "process pool",
            Self::FreeThreaded => "free-threaded",
            Self::SidecarRust => "Rust sidecar",
            Self::RustInline => "Rust, one thread",
            Self::RustThreads => "Rust threads",
        }
    }

    /// In a sentence: `build …`.
    pub fn what(self) -> &'static str {
        match self {
            Self::Inline => "everything on the asyncio event loop",
            Self::InlineLean => "everything on the event loop, jinja2 called without transformers",
            Self::Executor1 => "an asyncio front end with an executor of one thread",
            Self::ExecutorThreads => "an asyncio front end with an executor of one thread a core (GIL)",
            Self::MicroBatch => "a queue in front of encode_batch, templates on threads",
            Self::ServerProcesses => "one server process a core behind one port",
            Self::ProcessPool => "an asyncio front end with one worker process a core",
            Self::FreeThreaded => "an executor of one thread a core on free-threaded Python",
            Self::SidecarRust => "an asyncio front end that passes requests to a Rust sidecar",
            Self::RustInline => "a Rust server of one thread",
            Self::RustThreads => "a Rust server with one worker thread a core",
        }
    }

    /// Cores that it can use, of those that are there.
    pub fn most_cores(self, cores: usize) -> usize {
        match self {
            Self::Inline | Self::InlineLean | Self::RustInline => 1,
            Self::Executor1 => cores.min(2),
            _ => cores,
        }
    }

    /// Name of the strategy in experiment 5, where it has this way.
    pub fn measured_as(self) -> Option<&'static str> {
        match self {
            Self::Inline => Some("inline"),
            Self::InlineLean => None,
            Self::Executor1 => Some("executor-1"),
            Self::ExecutorThreads => Some("executor-shared"),
            Self::MicroBatch => Some("micro-batch-0"),
            Self::ServerProcesses => Some("http-uvicorn"),
            Self::ProcessPool => Some("processes-bytes"),
            Self::FreeThreaded => Some("free-threaded"),
            Self::SidecarRust => Some("sidecar-rust"),
            Self::RustInline => Some("rust-inline"),
            Self::RustThreads => Some("rust-threads"),
        }
    }

    /// The engines that it runs on.
    pub fn stack(self) -> StackName {
        match self {
            Self::InlineLean => StackName::Lean,
            Self::FreeThreaded => StackName::FreeThreaded,
            Self::SidecarRust | Self::RustInline | Self::RustThreads => StackName::Native,
            _ => StackName::Transformers,
        }
    }

    /// The server that does it. Stages are those of the model.
    pub fn server(self) -> ServerOf {
        let (kind, strategy, params) = match self {
            Self::Inline | Self::InlineLean => ("python", "inline", json!({})),
            Self::Executor1 => ("python", "executor", json!({"threads": 1})),
            Self::ExecutorThreads => ("python", "executor", json!({"objects": "shared"})),
            Self::MicroBatch => ("python", "micro-batch", json!({"wait_ms": 0, "max_batch": MOST_BATCH})),
            Self::ServerProcesses => ("python", "http-workers", json!({"server": "uvicorn"})),
            Self::ProcessPool => ("python", "process-pool", json!({"result": "bytes"})),
            Self::FreeThreaded => ("python", "free-threaded", json!({"objects": "shared"})),
            Self::SidecarRust => ("python", "sidecar", json!({"sidecar": "rust"})),
            Self::RustInline => ("native", "rust-inline", json!({})),
            Self::RustThreads => ("native", "rust-threads", json!({})),
        };
        let pipeline = match (kind, self) {
            ("native", _) => ["minijinja/render", "hf-tokenizers/encode", "native/pad"],
            (_, Self::InlineLean) => ["jinja2/render", "hf-tokenizers/encode", "numpy/pad"],
            _ => ["transformers/apply_chat_template", "hf-tokenizers/encode", "numpy/pad"],
        };
        ServerOf { kind, strategy, params, pipeline }
    }

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

/// How a way is started as a server of experiment 5.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerOf {
    /// `native` or `python`.
    pub kind: &'static str,
    pub strategy: &'static str,
    pub params: Value,
    /// Call paths of template, tokenize, collate.
    pub pipeline: [&'static str; 3],
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
