//! The operations that a cell can time, one file each.
//!
//! An op is made in `prepare` with its inputs; a call does the timed part for one request and nothing else.

mod batch;
mod collate;
mod handoff;
mod load;
mod parse;
mod produced;
mod template;
mod tokenize;
mod total;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use engines::EngineError;
use record::plan;
use serde_json::Value;

use super::inputs::Inputs;
use super::model::Model;
use super::pools::Pools;

pub use load::Fresh;
pub use produced::{Produced, Stages};

/// An operation on one workload.
pub trait Op: Send + Sync {
    /// The timed part, on the request of that index (of the pool, or of the warm-up requests behind it).
    fn call(&self, index: usize) -> Result<Produced, EngineError>;

    /// [`Op::call`] and the end of its result, which the optimiser must take for used.
    ///
    /// A method of the op and not of the loop, so that a result of several hundred bytes is not copied through the dynamic
    /// call: that alone was 20 ns a turn.
    fn run(&self, index: usize) -> Result<(), EngineError> {
        let produced = self.call(index)?;
        black_box(&produced);
        Ok(())
    }

    /// Untimed calls in every thread of the op's own pool, for at least `duration_ns` each, one thread after the other;
    /// `turn` counts them over the warm-up requests. Returns the wall time of all, ns: 0 for an op without a pool.
    fn warm_pool(&self, turn: &AtomicUsize, duration_ns: u64) -> Result<u64, EngineError> {
        let _ = (turn, duration_ns);
        Ok(0)
    }
}

/// The operation that `op` describes.
pub fn make(op: &plan::Op, inputs: &Inputs, model: &Model, pools: &mut Pools) -> Result<Arc<dyn Op>, EngineError> {
    let pair = format!("{}/{}", op.engine, op.call_path);
    Ok(match op.name.as_str() {
        "parse" => Arc::new(parse::Parse::new(model.parse(&pair)?, inputs)?),
        "template" => Arc::new(template::Template::new(model.render(&pair)?, inputs)?),
        "tokenize" => Arc::new(tokenize::Tokenize::new(model.tokenize(&pair)?, inputs)?),
        "load" => {
            let (kind, dir) = model.load_of(&pair)?;
            Arc::new(load::Load::new(kind, dir, inputs)?)
        }
        "collate" => {
            let ids = inputs.ids(model.tokenizer()?)?;
            Arc::new(collate::Collate::new(model.collate(&pair)?, &ids, inputs.extent, size(op, "batch", 1)?)?)
        }
        "handoff" => Arc::new(handoff::Handoff::new(model.handoff(&pair)?, &inputs.ids(model.tokenizer()?)?)),
        "total" => Arc::new(total::Total::new(op, inputs, model)?),
        "batch" => Arc::new(batch::Batch::new(op, inputs, model, pools.rayon(threads(op)?)?)?),
        other => {
            return Err(EngineError::Unavailable(format!(
                "the native worker has no operation {other}; it has: parse, template, tokenize, load, collate, handoff, total, batch"
            )));
        }
    })
}

/// Threads that the op uses.
pub fn threads(op: &plan::Op) -> Result<usize, EngineError> {
    match op.threads {
        0 => Err(EngineError::Failed("threads must be a positive whole number, not 0".to_owned())),
        threads => Ok(threads as usize),
    }
}

/// A parameter that is a positive whole number.
fn size(op: &plan::Op, name: &str, default: usize) -> Result<usize, EngineError> {
    match op.params.get(name) {
        None => Ok(default),
        Some(value) => value
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .filter(|&number| number > 0)
            .ok_or_else(|| EngineError::Failed(format!("{name} must be a positive whole number, not {value}"))),
    }
}

/// The pair that a parameter of `total` or `batch` names for a stage.
fn pair<'a>(op: &'a plan::Op, stage: &str) -> Result<&'a str, EngineError> {
    op.params.get(stage).and_then(Value::as_str).ok_or_else(|| {
        EngineError::Failed(format!("the parameter {stage} of {} must name an engine and a call path", op.name))
    })
}
