//! What to build: strategies simulated as queues fed by measured times, judged against a service level.
//!
//! ```text
//! run folder ─> [evidence] ─> [model] times, GIL shares, overheads of a request of the asked size
//!                                └─> [candidates] each way as a queue ─> [judge] cores, p99, headroom, cost
//!                                                                          └─> [explain], [tables], [page]; [verify] measures
//! ```
//!
//! The simulation is the answer; Kingman's formula explains it. Every number carries where it comes from ([`Origin`]).

pub mod candidates;
pub mod evidence;
pub mod explain;
pub mod judge;
pub mod model;
pub mod overheads;
pub mod page;
pub mod question;
pub mod tables;
pub mod verify;
pub mod way;

use serde::Serialize;

pub use self::evidence::{Cost, Evidence, Origin, Size};
pub use self::judge::{Judged, Verdicts};
pub use self::model::Model;
pub use self::question::Question;

/// Everything that is said in answer to a question; `advise.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    pub schema: u32,
    /// The run that it rests on.
    pub run_id: String,
    pub question: Question,
    /// Cores of the machine that was measured (affinity and quota); beyond them everything is extrapolated.
    pub effective_cores: u32,
    pub model: Model,
    pub verdicts: Verdicts,
    /// The recommendation first, then its reasons.
    pub sentences: Vec<String>,
    /// What if the conversation grows.
    pub sensitivity: Vec<judge::Change>,
    /// Predicted beside measured; empty without `--verify`.
    pub verified: Vec<verify::Verified>,
    /// What the answer rests on.
    pub notes: Vec<String>,
    /// What is assumed or missing, with the remedy.
    pub warnings: Vec<String>,
}

/// Simulates and judges every strategy.
///
/// # Errors
/// A sentence when the run has not even the times of one strategy's stages, or a simulation cannot be made of them.
pub fn advise(question: &Question, evidence: &Evidence) -> Result<Advice, String> {
    let model = candidates::model_of(evidence, question.size);
    let judge = judge::Judge::new(question, evidence.effective_cores())?;
    let verdicts = judge.all(&model, evidence)?;
    if verdicts.judged.is_empty() {
        return Err(format!(
            "run {} has not the times that a strategy's stages need ({}); measure them with: {}",
            evidence.info.run_id,
            model.missing.join(", "),
            question.measuring_command(question::MEASURED)
        ));
    }
    let sensitivity = judge.changes(evidence, &verdicts)?;
    Ok(Advice {
        schema: record::SCHEMA,
        run_id: evidence.info.run_id.clone(),
        question: question.clone(),
        effective_cores: evidence.effective_cores(),
        sentences: explain::sentences(question, &verdicts),
        notes: explain::notes(question, &model),
        warnings: explain::warnings(question, evidence, &model, &verdicts),
        model,
        verdicts,
        sensitivity,
        verified: Vec::new(),
    })
}
