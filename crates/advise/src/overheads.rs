//! What a request costs beside its stages: front ends, hand-overs, other processes. And how service times scatter.

use serde::Serialize;

use super::evidence::{Cost, Evidence, Origin, Size, mean, size_of};
use suites::present::word;

/// CPU time a request, ns. Measured values are differences between strategies of experiment 5.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Overheads {
    /// Python's event loop: reading a frame, a turn of the loop, writing the answer.
    pub front: Cost,
    /// Handing a request to a thread and its result back.
    pub executor: Cost,
    /// The same for a process, half of it in the front end.
    pub pool: Cost,
    /// HTTP instead of frames.
    pub http: Cost,
    /// A front end that passes bodies on to a sidecar, all of it.
    pub sidecar_front: Cost,
    /// One way over the sidecar's socket: time in which nobody works on the request. Stands in where [`super::model::Model::away`]
    /// was not measured.
    pub hop: Cost,
    /// tokio's event loop, as `front`.
    pub native_front: Cost,
    /// As `executor`, between Rust threads.
    pub native_hand_over: Cost,
    /// From the release of the GIL by one thread until another one that waits for it runs.
    pub gil_hand_over: Cost,
}

/// Typical of a core of 2.5 GHz with requests of some kB.
const DEFAULTS: Overheads = Overheads {
    front: Cost { ns: 120_000.0, origin: Origin::Assumed },
    executor: Cost { ns: 90_000.0, origin: Origin::Assumed },
    pool: Cost { ns: 350_000.0, origin: Origin::Assumed },
    http: Cost { ns: 300_000.0, origin: Origin::Assumed },
    sidecar_front: Cost { ns: 180_000.0, origin: Origin::Assumed },
    hop: Cost { ns: 30_000.0, origin: Origin::Assumed },
    native_front: Cost { ns: 25_000.0, origin: Origin::Assumed },
    native_hand_over: Cost { ns: 15_000.0, origin: Origin::Assumed },
    gil_hand_over: Cost { ns: 10_000.0, origin: Origin::Assumed },
};

/// No hand-over is free; a smaller difference is noise, ns.
const LEAST: f64 = 1_000.0;

impl Overheads {
    /// From experiment 5 where the run has it, else the defaults. One thread that does everything is saturated at its capacity, so
    /// that the inverse of the capacity less the service time is its front end; hand-overs are differences of CPU time a request.
    pub fn of(evidence: &Evidence) -> Self {
        let cell =
            |strategy: &str| evidence.served(strategy).into_iter().find(|cell| word(&cell.axes, "load") == "capacity");
        let cpu = |strategy: &str| evidence.reading(cell(strategy)?, "server_cpu_ns_per_request");
        let front = |strategy: &str| {
            let cell = cell(strategy)?;
            Some(evidence.per_call(cell)? - evidence.reading(cell, "service_mean_ns")?)
        };
        let beyond = |strategy: &str, base: &str| Some(cpu(strategy)? - cpu(base)?);
        let known = |found: Option<f64>, default: Cost| match found {
            Some(ns) => Cost { ns: ns.max(LEAST), origin: Origin::Measured },
            None => default,
        };
        let pool = beyond("processes-bytes", "inline").or_else(|| beyond("processes-pickle", "inline"));
        Self {
            front: known(front("inline"), DEFAULTS.front),
            executor: known(beyond("executor-1", "inline"), DEFAULTS.executor),
            pool: known(pool, DEFAULTS.pool),
            http: known(beyond("http-uvicorn", "inline"), DEFAULTS.http),
            sidecar_front: known(beyond("sidecar-rust", "rust-inline"), DEFAULTS.sidecar_front),
            native_front: known(front("rust-inline"), DEFAULTS.native_front),
            native_hand_over: known(beyond("rust-threads", "rust-inline"), DEFAULTS.native_hand_over),
            ..DEFAULTS
        }
    }

    /// By name, for tables and notes.
    pub fn named(&self) -> [(&'static str, Cost); 9] {
        [
            ("Python front end", self.front),
            ("hand-over to a thread", self.executor),
            ("hand-over to a process", self.pool),
            ("HTTP over frames", self.http),
            ("front end of a sidecar", self.sidecar_front),
            ("one way to a sidecar", self.hop),
            ("Rust front end", self.native_front),
            ("hand-over to a Rust thread", self.native_hand_over),
            ("hand-over of the GIL", self.gil_hand_over),
        ]
    }
}

/// Most service times that stand for their distribution.
const MOST_FACTORS: usize = 4096;

/// How a server's service times relate to the stages timed alone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Served {
    /// Mean service time in the server over the sum of the stages at the same size; 1 where no server was measured.
    pub factor: f64,
    pub origin: Origin,
    /// Service times over their mean; empty: constant.
    #[serde(skip)]
    pub factors: Vec<f64>,
    /// Squared coefficient of variation of the service times.
    pub scv: f64,
}

impl Served {
    /// From the strategy whose one thread does everything. `sum_ns` gives the sum of the stages at a size.
    pub fn of(evidence: &Evidence, strategy: &str, sum_ns: &dyn Fn(Size) -> Option<f64>) -> Self {
        let all = evidence.served(strategy);
        // Arrivals that leave a server idle in between find its caches colder than a closed loop does.
        let open: Vec<_> = all.iter().copied().filter(|cell| word(&cell.axes, "load") != "capacity").collect();
        let cells = if open.is_empty() { all } else { open };
        let ratios =
            cells.iter().filter_map(|cell| Some(evidence.reading(cell, "service_mean_ns")? / sum_ns(size_of(cell)?)?));
        let factor = mean(ratios);
        let mut times: Vec<f64> = Vec::new();
        for cell in cells {
            // A file that cannot be read any more leaves the distribution unknown, and the mean as it is.
            let _ = evidence.measurements.each_sample(&cell.id, &mut |_, sample| {
                times.extend(sample.series.get("service_ns").into_iter().flatten().map(|ns| *ns as f64));
            });
        }
        let factors = relative(times);
        let scv = mean(factors.iter().map(|factor| (factor - 1.0).powi(2))).unwrap_or(0.0);
        let origin = if factor.is_some() { Origin::Measured } else { Origin::Assumed };
        Self { factor: factor.unwrap_or(1.0), origin, factors, scv }
    }
}

/// Values over their mean, evenly thinned.
fn relative(mut times: Vec<f64>) -> Vec<f64> {
    let stride = times.len().div_ceil(MOST_FACTORS).max(1);
    times = times.into_iter().step_by(stride).collect();
    let Some(mean) = mean(times.iter().copied()).filter(|mean| *mean > 0.0) else { return Vec::new() };
    times.iter().map(|ns| ns / mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_have_mean_one_and_are_few() {
        let factors = relative((1..=10_000).map(f64::from).collect());
        assert!(factors.len() <= MOST_FACTORS);
        assert!((mean(factors.iter().copied()).unwrap() - 1.0).abs() < 1e-9);
        assert!(relative(Vec::new()).is_empty());
    }
}
