//! The prediction beside a measurement: the strategy as a real server, driven by the very schedule that was simulated.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use loadgen::arrivals::Schedule;
use loadgen::driver::{Control, Options, Run, run_open};
use loadgen::lateness::{Lateness, Verdict};
use loadgen::outcome::Verification;
use loadgen::transport::{Endpoint, SocketOptions, Sockets};
use queuesim::simulation::percentile;
use queuesim::{Arrivals, Window, multi};
use record::plan::SubjectSpec;
use record::protocol::serve::StartServer;
use record::protocol::{Inputs, ModelPaths, PROTOCOL};
use record::results::Support;
use runner::interrupt::Interrupt;
use runner::schedule::Launch;
use runner::subject::{Server, environment};
use serde::Serialize;
use serde_json::json;

use super::candidates::HTTP_CONNECTIONS;
use super::judge::{self, Judged, P};
use super::model::Model;
use super::question::Question;
use super::way::Way;
use record::format;
use workers::load::OPENING_GAP_NS;

/// The bar: the predicted p99 is within this of the measured one …
pub const BAR: f64 = 0.25;
/// … while the busiest resource is used less than this.
pub const BAR_UTILIZATION: f64 = 0.8;
/// A server imports its packages, starts its processes and warms them.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Connections of frames; each carries any number of requests.
const CONNECTIONS: usize = 8;
/// As in the simulation: the queue starts empty.
const WINDOW: Window = Window::STEADY;

/// What it takes to start servers and to know their right answers.
pub struct Bench {
    /// Workers that time calls, whose program and environment the servers have too.
    pub native: SubjectSpec,
    /// Where there is a Python.
    pub python: Option<SubjectSpec>,
    /// This program, which is the Rust sidecar.
    pub program: PathBuf,
    pub model: ModelPaths,
    /// Unix seconds; what templates see.
    pub timestamp: i64,
    pub inputs: Inputs,
    pub bodies: Vec<Vec<u8>>,
    /// Check of the right answer to each body.
    pub expected: Vec<u64>,
    /// Folder for sockets.
    pub sockets: PathBuf,
    /// Cores of this machine.
    pub cores: usize,
    pub interrupt: Interrupt,
}

/// A way, predicted and measured, or why it was not measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verified {
    pub way: Way,
    pub name: &'static str,
    pub workers: usize,
    pub reason: Option<String>,
    pub found: Option<Found>,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// Requests that count: all but the first tenth.
    pub requests: usize,
    pub p50: Pair,
    pub p99: Pair,
    /// Predicted, of the busiest resource.
    pub utilization: f64,
    pub service_mean_ns: Option<f64>,
    pub lateness_p99_ns: u64,
    /// Of one core.
    pub generator_share: f64,
    pub valid: bool,
    pub why_invalid: String,
}

/// One quantile three times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Pair {
    /// None where an overload was predicted.
    pub predicted_ns: Option<f64>,
    /// The queue over the same arrivals and the recorded service times, where one server process has no lock.
    pub replayed_ns: Option<f64>,
    pub measured_ns: f64,
}

impl Pair {
    /// Predicted over measured, less one.
    pub fn error(&self) -> Option<f64> {
        self.predicted_ns.map(|ns| ns / self.measured_ns - 1.0)
    }
}

impl Verified {
    fn refused(it: &Judged, reason: String) -> Self {
        Self { way: it.way, name: it.name, workers: it.cores, reason: Some(reason), found: None }
    }

    /// Whether a p99 of `level_ns` held when it was measured, with a sentence; none where no valid measurement is.
    pub fn meets(&self, level_ns: f64) -> Option<(bool, String)> {
        let found = self.found.as_ref().filter(|found| found.valid)?;
        let p99 = format::duration(found.p99.measured_ns);
        let holds = found.p99.measured_ns <= level_ns;
        let sentence = if holds {
            format!("Measured here with real arrivals: p99 {p99}.")
        } else {
            format!("But measured here with real arrivals it misses the level: p99 {p99}.")
        };
        Some((holds, sentence))
    }

    /// Whether the bar is met, with a sentence; none where nothing was measured or an overload was predicted.
    pub fn check(&self) -> Option<(Support, String)> {
        let found = self.found.as_ref()?;
        let error = found.p99.error()?;
        let (support, verdict) = match (found.valid, found.utilization < BAR_UTILIZATION, error.abs() <= BAR) {
            (false, ..) => (Support::Inconclusive, "the generator was not punctual, so this proves nothing".to_owned()),
            (_, false, _) => {
                let limit = format::percent(BAR_UTILIZATION);
                (Support::Inconclusive, format!("above {limit} utilization no accuracy is promised"))
            }
            (_, _, true) => (Support::Supported, format!("within the promised {}", format::percent(BAR))),
            (_, _, false) => (Support::NotSupported, format!("MISSES the promised {}", format::percent(BAR))),
        };
        let sentence = format!(
            "Checked {} on {} requests: predicted p99 {}, measured {}, off by {:+.0}%: {verdict}.",
            self.name,
            format::count(found.requests as u64),
            format::duration(found.p99.predicted_ns?),
            format::duration(found.p99.measured_ns),
            error * 100.0
        );
        Some((support, sentence))
    }
}

/// Runs a way as it was judged.
///
/// # Errors
/// A sentence when a server cannot be started or answers wrongly.
pub fn verify(question: &Question, model: &Model, it: &Judged, bench: &Bench) -> Result<Verified, String> {
    if it.cores > bench.cores {
        let reason = format!("needs {} cores and this machine has {}: extrapolated", it.cores, bench.cores);
        return Ok(Verified::refused(it, reason));
    }
    let server = it.way.server();
    let spec = match server.kind {
        "native" => &bench.native,
        _ => match &bench.python {
            Some(spec) => spec,
            None => return Ok(Verified::refused(it, "no Python that can serve it is here".to_owned())),
        },
    };
    let schedule = judge::schedule(question)?;
    let (run, stalled) = drive(it, spec, &schedule, bench)?;
    answers_are_right(it, &run, &bench.expected)?;
    if stalled {
        return Err(format!("{}: the run was interrupted before its end", it.name));
    }
    found(question, model, it, &run, &schedule).map(|found| Verified {
        way: it.way,
        name: it.name,
        workers: it.cores,
        reason: None,
        found: Some(found),
    })
}

/// Starts the server, sends the schedule, stops the server.
fn drive(it: &Judged, spec: &SubjectSpec, schedule: &Schedule, bench: &Bench) -> Result<(Run, bool), String> {
    let of = it.way.server();
    let is_python = of.kind == "python";
    let args: Vec<String> = if is_python {
        vec!["-m".to_owned(), "llmbench_worker.serve".to_owned()]
    } else {
        vec!["worker".to_owned(), "serve".to_owned()]
    };
    let mut params: BTreeMap<String, serde_json::Value> =
        of.params.as_object().cloned().unwrap_or_default().into_iter().collect();
    if of.strategy == "sidecar" {
        params.insert("command".to_owned(), json!([bench.program, "worker", "serve"]));
    }
    let stages = ["template", "tokenize", "collate"].map(str::to_owned);
    let start = StartServer {
        protocol: PROTOCOL,
        model: bench.model.clone(),
        timestamp: bench.timestamp,
        strategy: of.strategy.to_owned(),
        workers: u32::try_from(it.cores).unwrap_or(u32::MAX),
        params,
        pipeline: stages.into_iter().zip(of.pipeline.map(str::to_owned)).collect(),
        inputs: bench.inputs.clone(),
        socket: bench.sockets.join(format!("{}.sock", of.strategy)),
    };
    let env: BTreeMap<OsString, OsString> = environment(spec, Launch::default());
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", it.name);
    let (server, ready) = Server::start(&spec.program, &args, &env, start, START_TIMEOUT, &bench.interrupt)
        .map_err(|error| named(&error).replacen("the worker", "the server", 1))?;
    let sent = ready.endpoint.parse::<Endpoint>().map_err(|error| named(&error)).and_then(|endpoint| {
        let is_http = matches!(endpoint, Endpoint::Http { .. });
        let connections = if is_http { HTTP_CONNECTIONS } else { CONNECTIONS };
        let options = Options { connections, ..Options::default() };
        let opening_gap_ns = if is_http { OPENING_GAP_NS } else { 0 };
        let sockets = Sockets::new(endpoint, SocketOptions { opening_gap_ns, ..SocketOptions::default() });
        let sockets = sockets.map_err(|error| named(&error))?;
        run_open(sockets, &bench.bodies, schedule, None, &options, &Control::default()).map_err(|error| named(&error))
    });
    server.stop();
    sent.map(|run| {
        let ended_early = run.ended_early || bench.interrupt.is_set();
        (run, ended_early)
    })
}

/// Every answer must be the right one for its request, and each request must have one.
fn answers_are_right(it: &Judged, run: &Run, expected: &[u64]) -> Result<(), String> {
    let checked = Verification::of(&run.records, &run.strays, expected);
    if !checked.is_clean() {
        return Err(format!(
            "{}: of {} requests {} got the answer of another, {} a wrong one, {} none; report this",
            it.name,
            run.records.len(),
            checked.swapped,
            checked.wrong,
            checked.dropped
        ));
    }
    match run.errors.0.iter().next() {
        None => Ok(()),
        Some((class, failures)) => Err(format!(
            "{}: {} of {} requests failed ({}, the first: {})",
            it.name,
            run.errors.total(),
            run.records.len(),
            class.name(),
            failures.first
        )),
    }
}

fn found(question: &Question, model: &Model, it: &Judged, run: &Run, schedule: &Schedule) -> Result<Found, String> {
    let skipped = (run.records.len() as f64 * WINDOW.skip) as usize;
    let mut latencies: Vec<u64> = run.records[skipped..].iter().map(|record| record.latency_ns()).collect();
    latencies.sort_unstable();
    let services: Option<Vec<u64>> = run
        .records
        .iter()
        .map(|record| record.server.map(|server| server.finished_ns.saturating_sub(server.started_ns)))
        .collect();
    let replayed = services.as_deref().and_then(|services| replay(model, it, schedule, services));
    let pair = |predicted_ns: Option<f64>, p: f64| Pair {
        predicted_ns,
        replayed_ns: replayed.as_ref().map(|sorted| percentile(sorted, p) as f64),
        measured_ns: percentile(&latencies, p) as f64,
    };
    let (p50, p99) = (pair(it.p50_ns, 0.5), pair(it.p99_ns, P));
    let lateness = Lateness::of(run);
    let verdict = Verdict::of(run, &lateness, Some(p50.measured_ns as u64));
    if latencies.is_empty() {
        return Err(format!("{}: nothing was sent in {} requests", it.name, question.requests));
    }
    Ok(Found {
        requests: latencies.len(),
        p50,
        p99,
        utilization: it.utilization,
        service_mean_ns: services
            .map(|services| services.iter().map(|ns| *ns as f64).sum::<f64>() / services.len().max(1) as f64),
        lateness_p99_ns: lateness.own.p99_ns,
        generator_share: run.usage.share(),
        valid: verdict.is_valid(),
        why_invalid: verdict.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    })
}

/// The textbook queue over the same arrivals and the recorded service times, with the front end's part for each request: sorted
/// latencies of the window, ns. Only for ways whose recorded service is the work alone.
fn replay(model: &Model, it: &Judged, schedule: &Schedule, services: &[u64]) -> Option<Vec<u64>> {
    let over = &model.overheads;
    let (front_ns, servers) = match it.way {
        Way::Inline | Way::InlineLean => (over.front.ns, 1),
        Way::RustInline => (over.native_front.ns, 1),
        Way::RustThreads => (over.native_hand_over.ns, it.cores),
        _ => return None,
    };
    let arrivals = Arrivals::new(schedule.times_ns().to_vec()).ok()?;
    let occupied: Vec<u64> = services.iter().map(|ns| ns + front_ns as u64).collect();
    multi::multi(&arrivals, &occupied, servers).ok().map(|found| found.sorted_ns(WINDOW))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified(predicted_ns: f64, utilization: f64, valid: bool) -> Verified {
        let pair = Pair { predicted_ns: Some(predicted_ns), replayed_ns: None, measured_ns: 1e6 };
        let found = Found {
            requests: 18_000,
            p50: pair,
            p99: pair,
            utilization,
            service_mean_ns: None,
            lateness_p99_ns: 0,
            generator_share: 0.1,
            valid,
            why_invalid: String::new(),
        };
        Verified { way: Way::Inline, name: "inline", workers: 1, reason: None, found: Some(found) }
    }

    fn support(predicted_ns: f64, utilization: f64, valid: bool) -> Support {
        verified(predicted_ns, utilization, valid).check().unwrap().0
    }

    #[test]
    fn a_measured_p99_overrules_the_simulated_one() {
        let it = verified(0.1e6, 0.5, true);
        assert!(it.meets(2e6).unwrap().0);
        let (holds, sentence) = it.meets(0.5e6).unwrap();
        assert!(!holds && sentence.contains("misses the level: p99 1.00 ms"), "{sentence}");
        assert!(verified(0.1e6, 0.5, false).meets(0.5e6).is_none(), "a late generator proves nothing");
    }

    #[test]
    fn a_prediction_that_misses_is_not_supported() {
        assert_eq!(support(1.2e6, 0.5, true), Support::Supported);
        assert_eq!(support(1.44e6, 0.5, true), Support::NotSupported);
        assert_eq!(support(1.0e6, 0.9, true), Support::Inconclusive, "nothing is promised there");
        assert_eq!(support(1.0e6, 0.5, false), Support::Inconclusive, "the generator was late");
    }
}
