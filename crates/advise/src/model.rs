//! What a request of the asked size costs, stage by stage, and which share of it holds the GIL.

use std::collections::BTreeMap;

use record::results::Status;
use serde::Serialize;

use super::evidence::{Cost, Evidence, Origin, Path, Size, mean};
use super::overheads::{Overheads, Served};
use super::way::{StackName, Way};
use suites::present::word;

/// Share of a call in which it holds the GIL.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Hold {
    pub share: f64,
    pub origin: Origin,
}

/// One stage of a request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Stage {
    pub time: Cost,
    pub hold: Hold,
}

/// A request on one stack.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stack {
    pub parse: Stage,
    pub template: Stage,
    pub tokenize: Stage,
    /// `encode_batch`, a text.
    pub batch: Option<Stage>,
    pub collate: Stage,
}

impl Stack {
    /// Of all stages, ns.
    pub fn total_ns(&self) -> f64 {
        [self.parse, self.template, self.tokenize, self.collate].iter().map(|stage| stage.time.ns).sum()
    }

    /// The weakest origin among its times.
    pub fn origin(&self) -> Origin {
        let stages = [self.parse, self.template, self.tokenize, self.collate];
        stages.iter().map(|stage| stage.time.origin).max().unwrap_or(Origin::Assumed)
    }

    fn scaled(&self, factor: f64) -> Self {
        let scaled = |stage: Stage| Stage { time: stage.time.times(factor), ..stage };
        Self {
            parse: scaled(self.parse),
            template: scaled(self.template),
            tokenize: scaled(self.tokenize),
            batch: self.batch.map(scaled),
            collate: scaled(self.collate),
        }
    }
}

/// All that the simulations are made of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Model {
    pub size: Size,
    pub stacks: BTreeMap<StackName, Stack>,
    pub overheads: Overheads,
    /// Time of a request that meets no other, in which nobody works on it, ns: threads and processes that wake up, sockets. What
    /// a measured lone request took beyond the work.
    pub away: BTreeMap<Way, f64>,
    /// Of so many server processes on one port: the share of the requests that the busiest got.
    pub busiest_share: BTreeMap<usize, f64>,
    /// How service times scatter around their mean, Python and Rust.
    pub python: Served,
    pub native: Served,
    /// Call paths that the run has not, as `stage engine.call_path (subject)`.
    pub missing: Vec<String>,
}

/// Call paths of a stack: for each stage the one that the servers use, then those that can stand in for its growth with the size.
struct Paths {
    name: StackName,
    kind: &'static str,
    parse: &'static [Path],
    template: &'static [Path],
    tokenize: &'static [Path],
    batch: &'static [Path],
    collate: Path,
}

const PY_PARSE: &[Path] = &[("parse", "pydantic", "json.loads+model_validate")];
const APPLY: Path = ("template", "transformers", "apply_chat_template");
const JINJA2: Path = ("template", "jinja2", "render");
const ENCODE: Path = ("tokenize", "hf-tokenizers", "encode");
const ENCODE_BATCH: Path = ("tokenize", "hf-tokenizers", "encode_batch");
const ENCODE_FAST: Path = ("tokenize", "hf-tokenizers", "encode_fast");
const CALL: Path = ("tokenize", "transformers", "__call__");
const NUMPY: Path = ("collate", "numpy", "pad");

static STACKS: [Paths; 4] = [
    python(StackName::Transformers, &[APPLY, JINJA2]),
    python(StackName::Lean, &[JINJA2, APPLY]),
    python(StackName::FreeThreaded, &[APPLY, JINJA2]),
    Paths {
        name: StackName::Native,
        kind: "native",
        parse: &[("parse", "serde", "serde_json.from_slice")],
        template: &[("template", "minijinja", "render")],
        tokenize: &[ENCODE, ENCODE_FAST],
        batch: &[],
        collate: ("collate", "native", "pad"),
    },
];

const fn python(name: StackName, template: &'static [Path]) -> Paths {
    Paths {
        name,
        kind: "python",
        parse: PY_PARSE,
        template,
        tokenize: &[ENCODE, CALL],
        batch: &[ENCODE_BATCH, CALL],
        collate: NUMPY,
    }
}

impl Model {
    /// The work of a size; how long nobody works on a request is left open (see [`super::candidates::model_of`]).
    pub fn of(evidence: &Evidence, size: Size) -> Self {
        let mut missing = Vec::new();
        let mut stacks = BTreeMap::new();
        for paths in &STACKS {
            if let Some(stack) = paths.stack(evidence, size, &mut missing) {
                stacks.insert(paths.name, stack);
            }
        }
        let total = |name: StackName, size: Size| {
            let paths = STACKS.iter().find(|paths| paths.name == name)?;
            Some(paths.stack(evidence, size, &mut Vec::new())?.total_ns())
        };
        let python = Served::of(evidence, "inline", &|size| total(StackName::Transformers, size));
        let native = Served::of(evidence, "rust-inline", &|size| total(StackName::Native, size));
        for (name, stack) in &mut stacks {
            let served = if *name == StackName::Native { &native } else { &python };
            *stack = stack.scaled(served.factor);
        }
        missing.sort_unstable();
        missing.dedup();
        Self {
            size,
            stacks,
            overheads: Overheads::of(evidence),
            away: BTreeMap::new(),
            busiest_share: busiest_share(evidence),
            python,
            native,
            missing,
        }
    }

    /// A stack, if the run has its times.
    pub fn stack(&self, name: StackName) -> Option<&Stack> {
        self.stacks.get(&name)
    }
}

impl Paths {
    fn subject<'a>(&self, evidence: &'a Evidence) -> Option<&'a str> {
        evidence.subject(self.kind, self.name == StackName::FreeThreaded)
    }

    fn stack(&self, evidence: &Evidence, size: Size, missing: &mut Vec<String>) -> Option<Stack> {
        let Some(subject) = self.subject(evidence) else {
            // Only what everyone can have is missed.
            if self.name != StackName::FreeThreaded {
                missing.push(format!("all of {}", self.kind));
            }
            return None;
        };
        let mut stage = |paths: &[Path]| {
            let found = evidence.time(subject, paths, size);
            if found.is_none() {
                missing.extend(paths.first().map(|path| named(*path, subject)));
            }
            found.map(|time| self.stage(evidence, paths, time))
        };
        let (parse, template, tokenize) = (stage(self.parse), stage(self.template), stage(self.tokenize));
        let batch = evidence.time(subject, self.batch, size).map(|time| self.stage(evidence, self.batch, time));
        let collate = evidence.time_by_tokens(subject, self.collate, size);
        if collate.is_none() {
            missing.push(named(self.collate, subject));
        }
        let collate = self.stage(evidence, &[self.collate], collate?);
        Some(Stack { parse: parse?, template: template?, tokenize: tokenize?, batch, collate })
    }

    fn stage(&self, evidence: &Evidence, paths: &[Path], time: Cost) -> Stage {
        let hold = match (self.kind, paths.first()) {
            ("python", Some(path)) if self.name != StackName::FreeThreaded => hold(evidence, *path),
            _ => Hold { share: 0.0, origin: Origin::Measured },
        };
        Stage { time, hold }
    }
}

/// How unevenly processes on one port shared the requests, under open-loop load.
fn busiest_share(evidence: &Evidence) -> BTreeMap<usize, f64> {
    let cells = Way::ServerProcesses.measured_as().map(|strategy| evidence.served(strategy)).unwrap_or_default();
    let mut shares: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for cell in cells.into_iter().filter(|cell| word(&cell.axes, "load") != "capacity") {
        shares.entry(cell.op.threads as usize).or_default().extend(evidence.reading(cell, "busiest_process_share"));
    }
    shares.into_iter().filter_map(|(processes, shares)| Some((processes, mean(shares.into_iter())?))).collect()
}

fn named((op, engine, call_path): Path, subject: &str) -> String {
    format!("{op} {engine}.{call_path} ({subject})")
}

/// Share of a call that holds the GIL: by experiment gil-cost's probe; else by gil-scaling, where a path that does not scale holds
/// it all the time and another one for its serial fraction; else what the probe reads for it in its documentation.
fn hold(evidence: &Evidence, (_, engine, call_path): Path) -> Hold {
    let of_path = |metric: &'static str| {
        evidence.records.iter().filter(move |record| {
            record.metric == metric
                && record.engine == engine
                && record.call_path == call_path
                && record.gil != "disabled"
                && matches!(record.status, Status::Ok | Status::Unchecked)
        })
    };
    let points = of_path("hold_share").filter_map(|record| record.estimate.as_ref()).map(|estimate| estimate.point);
    if let Some(share) = mean(points) {
        return Hold { share: share.clamp(0.0, 1.0), origin: Origin::Measured };
    }
    if of_path("speedup").any(|record| record.verdict.as_deref() == Some("does_not_scale")) {
        return Hold { share: 1.0, origin: Origin::Fitted };
    }
    let fractions = of_path("serial_fraction").filter_map(|record| record.estimate.as_ref()).map(|found| found.point);
    if let Some(share) = mean(fractions) {
        return Hold { share: share.clamp(0.0, 1.0), origin: Origin::Fitted };
    }
    let share = if call_path == ENCODE_BATCH.2 { BATCH_HOLD } else { 1.0 };
    Hold { share, origin: Origin::Assumed }
}

/// What the probe reads for `encode_batch`; of all other paths that are used here it reads 0.97 to 1.
const BATCH_HOLD: f64 = 0.05;
