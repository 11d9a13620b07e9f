//! `batch`: a batch of requests made ready by a pool of threads; the time that a GPU would wait.
//!
//! `stages`: all are rendered, then all are tokenized, with a barrier after each; a stage's time is its wall time.
//! `requests`: each request is rendered and then tokenized in one thread; the time of both stages is the sum over the
//! requests of the calls' own wall times. In both, the calling thread collates at the end.

use std::hint::black_box;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

use engines::template::Conversation;
use engines::{EngineError, collate, render, tokenize};
use rayon::ThreadPool;
use rayon::prelude::*;
use record::plan;
use serde_json::Value;

use super::{Op, Produced, Stages, pair, size};
use crate::clock::now;
use crate::inputs::{Extent, Inputs};
use crate::model::Model;
use crate::timing;
use crate::window::next_turn;

/// Requests of a batch when the plan does not say.
const BATCH: usize = 64;

enum Mode {
    Stages,
    Requests,
}

pub struct Batch {
    mode: Mode,
    batch: usize,
    extent: Extent,
    conversations: Arc<Vec<Conversation>>,
    render: Box<render::Render>,
    tokenize: Box<tokenize::Tokenize>,
    collate: Box<collate::Collate>,
    pool: Arc<ThreadPool>,
}

impl Batch {
    pub fn new(op: &plan::Op, inputs: &Inputs, model: &Model, pool: Arc<ThreadPool>) -> Result<Self, EngineError> {
        let mode = match op.params.get("mode").and_then(Value::as_str) {
            Some("stages") => Mode::Stages,
            Some("requests") => Mode::Requests,
            other => {
                let other = other.unwrap_or("nothing");
                return Err(EngineError::Failed(format!("the batch's mode must be stages or requests, not {other}")));
            }
        };
        Ok(Self {
            mode,
            batch: size(op, "batch", BATCH)?,
            extent: inputs.extent,
            conversations: inputs.conversations()?,
            render: model.render(pair(op, "template")?)?,
            tokenize: model.tokenize(pair(op, "tokenize")?)?,
            collate: model.collate(pair(op, "collate")?)?,
            pool,
        })
    }

    /// The conversation at that place of the batch that starts at request `first`.
    fn conversation(&self, first: usize, place: usize) -> &Conversation {
        &self.conversations[self.extent.following(first, place)]
    }

    /// What a thread of the pool does with a request.
    fn one(&self, conversation: &Conversation) -> Result<(Vec<u32>, u64, u64), EngineError> {
        let start = now();
        let text = self.render.run(conversation)?;
        let rendered = now();
        let ids = self.tokenize.run(&text)?;
        Ok((ids, rendered - start, now() - rendered))
    }

    fn stages(&self, first: usize) -> Result<Produced, EngineError> {
        // One request is one task: with rayon's own splitting a thread could take several and leave another idle.
        let start = now();
        let texts: Vec<String> = self.pool.install(|| {
            let places = (0..self.batch).into_par_iter().with_max_len(1);
            places.map(|place| self.render.run(self.conversation(first, place))).collect::<Result<_, _>>()
        })?;
        let rendered = now();
        let ids: Vec<Vec<u32>> = self.pool.install(|| {
            texts.par_iter().with_max_len(1).map(|text| self.tokenize.run(text)).collect::<Result<_, _>>()
        })?;
        let tokenized = now();
        let collated = self.collate.run(&ids)?;
        let end = now();
        let stages = Stages { template: rendered - start, tokenize: tokenized - rendered, collate: end - tokenized };
        Ok(Produced::Batch(collated, stages))
    }

    fn requests(&self, first: usize) -> Result<Produced, EngineError> {
        let one = |place: usize| self.one(self.conversation(first, place));
        let done: Vec<(Vec<u32>, u64, u64)> = self
            .pool
            .install(|| (0..self.batch).into_par_iter().with_max_len(1).map(one).collect::<Result<_, EngineError>>())?;
        let mut stages = Stages::default();
        let mut ids = Vec::with_capacity(done.len());
        for (list, rendered, tokenized) in done {
            stages.template += rendered;
            stages.tokenize += tokenized;
            ids.push(list);
        }
        let start = now();
        let collated = self.collate.run(&ids)?;
        stages.collate = now() - start;
        Ok(Produced::Batch(collated, stages))
    }
}

impl Op for Batch {
    fn call(&self, index: usize) -> Result<Produced, EngineError> {
        match self.mode {
            Mode::Stages => self.stages(index),
            Mode::Requests => self.requests(index),
        }
    }

    fn warm_pool(&self, turn: &AtomicUsize, duration_ns: u64) -> Result<u64, EngineError> {
        self.extent.can_warm()?;
        let Extent { pool, warmup } = self.extent;
        let alone = Mutex::new(());
        let start = now();
        let done = self.pool.broadcast(|_| {
            let _turn = alone.lock().unwrap_or_else(PoisonError::into_inner);
            timing::call_for(duration_ns, || {
                let index = pool + next_turn(turn) % warmup;
                self.one(&self.conversations[index]).map(black_box).map(drop)
            })
        });
        done.into_iter().collect::<Result<Vec<u64>, _>>()?;
        Ok(now() - start)
    }
}
