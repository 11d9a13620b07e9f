//! Can a run be used? A verdict on the client, not on the server.

use super::run::Run;
use crate::lateness::{LATE_NS, LATE_SHARE, Lateness, Note, Reason, SATURATED, Spread, Verdict};

/// The client's error that applies to a run, by its source.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ClientError {
    /// Received less sent at p99, ns.
    pub p99_ns: u64,
    pub source: ErrorSource,
}

/// How the client's error is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorSource {
    /// The server stamped every chunk of this very run.
    Measured,
    /// The kernel stamped what it received in this very run; the client's own delay, without the network.
    Kernel,
    /// `llmbench calibrate` measured it on this machine at no less load.
    Calibrated,
}

/// How late the requests of a run left.
pub fn lateness(run: &Run) -> Lateness {
    let sent = run.records.iter().filter(|record| record.sent_ns > 0);
    let began = run.records.iter().filter(|record| record.began_ns > 0);
    Lateness {
        sent: Spread::of(sent.map(|record| record.sent_ns.saturating_sub(record.scheduled_ns)).collect()),
        own: Spread::of(
            began
                .map(|record| {
                    let left = if record.held_back || record.sent_ns == 0 { record.began_ns } else { record.sent_ns };
                    left.saturating_sub(record.released_ns)
                })
                .collect(),
        ),
        timer: Spread::of(run.wake_late_ns.iter().map(|&late| u64::from(late)).collect()),
        held_back: run.records.iter().filter(|record| record.held_back).count(),
    }
}

/// Judges a run. `median_ttft_ns` sets the scale: what is late by less than 1% of it does no harm.
pub fn judge(run: &Run, lateness: &Lateness, median_ttft_ns: Option<f64>, error: Option<ClientError>) -> Verdict {
    let limit_ns = median_ttft_ns.map_or(0, |median| (median * LATE_SHARE) as u64).max(LATE_NS);
    let mut reasons = Vec::new();
    reasons.extend(lateness.reasons(run.mode, limit_ns));
    if run.usage.share() > SATURATED {
        reasons.push(Reason::Saturated { share: run.usage.share() });
    }
    if let Some(error) = error.filter(|error| error.p99_ns > limit_ns) {
        reasons.push(Reason::ClientError { p99_ns: error.p99_ns, limit_ns });
    }
    if !run.records.iter().any(super::record::Record::is_ok) {
        reasons.push(Reason::NoAnswer);
    }
    if run.ended_early {
        reasons.push(Reason::EndedEarly);
    }
    Verdict { reasons, notes: notes(run, lateness) }
}

/// The error that stamps of this very run show: those of our mock, else those of the kernel.
pub fn measured_error(run: &Run) -> Option<ClientError> {
    if let Some(p99_ns) = run.truth.as_ref().and_then(|truth| truth.error.quantile(0.99)) {
        return Some(ClientError { p99_ns, source: ErrorSource::Measured });
    }
    let p99_ns = run.read_delay.as_ref()?.quantile(0.99)?;
    Some(ClientError { p99_ns, source: ErrorSource::Kernel })
}

fn notes(run: &Run, lateness: &Lateness) -> Vec<Note> {
    let limited = run.client_limited;
    let connections = run.opened_late.connect_ns.len();
    let all = [
        (limited.waited > 0).then(|| Note::ClientLimited {
            waited: limited.waited,
            mean_ns: limited.total_ns / limited.waited.max(1) as u64,
        }),
        (lateness.held_back > 0).then_some(Note::HeldBack { requests: lateness.held_back }),
        (connections > 0).then_some(Note::OpenedLate { connections }),
        (run.strays > 0).then_some(Note::Strays { answers: run.strays }),
    ];
    all.into_iter().flatten().collect()
}
