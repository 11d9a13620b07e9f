//! What a block and a cell may take in all, as it follows from how long their parts may: the runner is told, and ends a worker that hangs.

use loadgen::order::Drive;
use record::protocol::target::Patience;

use crate::child::START;

/// For a list of models, a page of counters or an exchange of the latency probe, all of them around one stretch, s.
const AROUND_S: f64 = 60.0;
/// Stretches of load that a closed loop takes: one that shows how long it has to be, and one of that length.
const STRETCHES: f64 = 2.0;

/// A request may take this, ns.
pub fn request_ns(patience: &Patience) -> u64 {
    ns(patience.request_s)
}

/// Within what time a block ends by itself, ns.
pub fn block_ns(patience: &Patience, drive: &Drive, span_ns: u64) -> u64 {
    let span_s = span_ns as f64 / 1e9;
    let stretch = |seconds: f64| AROUND_S + seconds + patience.request_s;
    let closed = stretch(span_s) + (STRETCHES - 1.0) * stretch(patience.stretch_s.max(span_s));
    let load = match drive {
        Drive::Closed { .. } => closed,
        // A search looks at the time before each point.
        Drive::Capacity => patience.search_s + closed,
        Drive::Limit(_) => patience.search_s + stretch(patience.try_s.max(span_s)),
        Drive::Open { .. } | Drive::Share { .. } => stretch(open_s(patience, span_s)),
    };
    // A server and a sidecar may have to be started, one request is looked at, and the pool is shown.
    ns(2.0 * START.as_secs_f64() + AROUND_S + patience.request_s + stretch(patience.warm_s) + load)
}

/// Within what time a cell is ready, ns.
pub fn prepare_ns(patience: &Patience) -> u64 {
    ns(2.0 * START.as_secs_f64() + AROUND_S + patience.gate_s)
}

/// Longest time of arrivals that are to take `span_s`: a Poisson process is now slower, now faster.
pub fn open_s(patience: &Patience, span_s: f64) -> f64 {
    2.0 * span_s + patience.try_s
}

fn ns(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_block_may_take_follows_from_its_parts() {
        let patience =
            Patience { request_s: 10.0, stretch_s: 20.0, warm_s: 1.0, try_s: 5.0, search_s: 40.0, gate_s: 3.0 };
        let of = |drive| block_ns(&patience, &drive, 2_000_000_000) / 1_000_000_000;
        let before = 2 * 60 + 60 + 10 + 71;
        assert_eq!(of(Drive::Closed { concurrency: 400 }), before + 72 + 90);
        assert_eq!(of(Drive::Capacity), before + 40 + 72 + 90);
        assert_eq!(of(Drive::Open { per_s: 0.1 }), before + 60 + 9 + 10);
        assert_eq!(prepare_ns(&patience) / 1_000_000_000, 120 + 60 + 3);
        // A user's settings name only what they change.
        let some: Patience = serde_json::from_str(r#"{"request_s": 1}"#).unwrap();
        assert_eq!(some, Patience { request_s: 1.0, ..Patience::default() });
    }
}
