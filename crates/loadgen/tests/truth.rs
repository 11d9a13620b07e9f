//! Open-loop latencies against queueing theory over the same arrivals and the recorded service times.

mod common;

use std::time::Duration;

use benchstats::order::quantile;
use loadgen::arrivals::{Extent, Intensity, Sampler, Schedule, Spacing};
use loadgen::clock::now_ns;
use loadgen::driver::{Control, Options, Run, run_open};
use loadgen::lateness::{Lateness, Spread};
use loadgen::summary::{Summary, Window};
use loadgen::transport::InProcess;

const SECOND: f64 = 1e9;

/// How a worker spends its service time.
#[derive(Clone, Copy)]
enum Spend {
    Sleep,
    Spin,
}

fn spend(how: Spend, ns: u64) {
    match how {
        Spend::Sleep => std::thread::sleep(Duration::from_nanos(ns)),
        Spend::Spin => {
            let end = now_ns() + ns;
            while now_ns() < end {
                std::hint::spin_loop();
            }
        }
    }
}

/// A single server with exponential service times of the given mean, at the given utilization.
fn single_server(how: Spend, mean_ns: f64, utilization: f64, count: usize, seed: u64) -> Run {
    let mut sampler = Sampler::new(seed, "service");
    let services: Vec<u64> = (0..count).map(|_| (mean_ns * sampler.exponential()) as u64).collect();
    let worker = InProcess::start(1, move |id, _| {
        spend(how, services[id as usize]);
        Ok(id.to_le_bytes().to_vec())
    });
    let rate = utilization * SECOND / mean_ns;
    let schedule =
        Schedule::generate(&Intensity::Constant { rate }, Spacing::Poisson, Extent::count(count), seed).unwrap();
    let options = Options::default();
    let run = run_open(worker.unwrap(), &[b"request"], &schedule, None, &options, &Control::default()).unwrap();
    assert!(
        run.records
            .iter()
            .enumerate()
            .all(|(id, record)| record.is_ok() && record.check == loadgen::check::check(&(id as u64).to_le_bytes()))
    );
    run
}

/// The recorded service times, ns: from started to finished.
fn services(run: &Run) -> Vec<u64> {
    run.records
        .iter()
        .map(|record| record.server.unwrap())
        .map(|server| server.finished_ns - server.started_ns)
        .collect()
}

/// For how long each request kept the worker from the next, ns: where the next one waited already, until that was started; so the
/// time that the worker took to hand an answer over, or stood still in between, is in it.
fn occupancies(run: &Run) -> Vec<u64> {
    let mut occupied = services(run);
    for (occupied, pair) in occupied.iter_mut().zip(run.records.windows(2)) {
        let (this, next) = (pair[0].server.unwrap(), pair[1].server.unwrap());
        if next.received_ns <= this.finished_ns {
            *occupied = next.started_ns - this.started_ns;
        }
    }
    occupied
}

/// Lindley's recursion (1952) for one server, first come first served: `W₁ = 0`, `Wₙ₊₁ = max(0, Wₙ + Sₙ − Aₙ)`, over the gaps of the
/// *scheduled* arrivals. Returns the sojourns `W + service`, ns, in the order of arrival.
fn lindley(run: &Run, occupied: &[u64]) -> Vec<u64> {
    let services = services(run);
    let mut wait = 0_i64;
    let mut sojourns = Vec::new();
    for (index, record) in run.records.iter().enumerate() {
        sojourns.push(wait as u64 + services[index]);
        if let Some(next) = run.records.get(index + 1) {
            wait = (wait + occupied[index] as i64 - (next.scheduled_ns - record.scheduled_ns) as i64).max(0);
        }
    }
    sojourns
}

/// Measured over predicted at one quantile.
fn ratio(name: &str, run: &Run, occupied: &[u64], p: f64) -> f64 {
    let mut predicted = lindley(run, occupied);
    predicted.sort_unstable();
    let summary = Summary::of(run, Window::whole(run));
    let measured = summary.from_scheduled.quantile_ns(p).unwrap() as f64;
    let theory = quantile(&predicted, p).unwrap() as f64;
    let ratio = measured / theory;
    println!("{name}: p{:.0} {:.3} ms, Lindley {:.3} ms: {ratio:.4}", p * 100.0, measured / 1e6, theory / 1e6);
    ratio
}

fn describe(name: &str, run: &Run) {
    let summary = Summary::of(run, Window::whole(run));
    let (server, little) = (summary.server.unwrap(), summary.little.unwrap());
    let turn = services(run).iter().zip(occupancies(run)).map(|(service, occupied)| occupied - service).collect();
    println!("{name}: in service {:.3}, Little {:.4}", server.in_service, little.ratio());
    println!("{name}: lateness {:?}", Lateness::of(run).own);
    println!("{name}: between two services {:?}", Spread::of(turn));
}

/// Generous bounds, which a neighbour on the same cores does not break.
#[test]
fn latencies_follow_lindleys_recursion() {
    let (name, run) = ("sleep 3 ms at 70%", single_server(Spend::Sleep, 3e6, 0.7, 700, 5));
    describe(name, &run);
    for p in [0.5, 0.99] {
        let pure = ratio(name, &run, &services(&run), p);
        assert!((0.97..1.5).contains(&pure), "{pure}");
        let exact = ratio(name, &run, &occupancies(&run), p);
        assert!((0.97..1.25).contains(&exact), "{exact}");
    }
    // A request starts no earlier than it arrives and than the one before it ends: the recursion is a lower bound for each.
    let theory = lindley(&run, &services(&run));
    assert!(theory.iter().zip(&run.records).all(|(theory, record)| record.latency_ns() >= *theory));
}

/// The claim itself, for a machine that is quiet: p99 within 5%, with the time that the worker was occupied by each request. With the
/// pure service times it is printed: handing an answer over wakes the generator's thread, some 20 µs of the worker's time that
/// are in no service, and a sojourn grows by that `1/(1 − utilization)` times.
#[test]
#[ignore = "needs a quiet machine: cargo test --release -p loadgen --test truth -- --ignored --nocapture"]
fn latencies_follow_lindleys_recursion_within_5_percent() {
    let cases = [
        ("sleep 3 ms at 50%", Spend::Sleep, 3e6, 0.5, 2500),
        ("sleep 3 ms at 85%", Spend::Sleep, 3e6, 0.85, 3000),
        ("spin 1 ms at 70%", Spend::Spin, 1e6, 0.7, 7000),
    ];
    for (index, (name, how, mean, utilization, count)) in cases.into_iter().enumerate() {
        let run = single_server(how, mean, utilization, count, 100 + index as u64);
        describe(name, &run);
        ratio(name, &run, &services(&run), 0.99);
        let p99 = ratio(name, &run, &occupancies(&run), 0.99);
        assert!((0.95..1.05).contains(&p99), "{name}: p99 {p99}");
        let median = ratio(name, &run, &occupancies(&run), 0.5);
        assert!((0.95..1.10).contains(&median), "{name}: median {median}");
    }
}

/// Several workers, more work than they can do: what is reported is what the stamps say.
#[test]
fn an_overloaded_server_shows_its_backlog() {
    let worker = InProcess::start(2, |_, _| {
        spend(Spend::Sleep, 4_000_000);
        Ok(Vec::new())
    });
    // Two workers do at most 500 a second; 1,000 a second are due for 0.3 s.
    let schedule =
        Schedule::generate(&Intensity::Constant { rate: 1000.0 }, Spacing::Even, Extent::count(300), 1).unwrap();
    let options = Options::default();
    let run = run_open(worker.unwrap(), &[b""], &schedule, None, &options, &Control::default()).unwrap();
    let summary = Summary::of(&run, Window::whole(&run));
    assert_eq!((summary.due, summary.failed), (300, 0));
    assert!(summary.throughput < 510.0, "{}", summary.throughput);
    let server = summary.server.unwrap();
    assert!((1.5..=2.01).contains(&server.in_service), "{}", server.in_service);
    // The last waits for 150 services of 4 ms less the 300 ms in which it was not there: at least 300 ms.
    assert!(run.records[299].latency_ns() > 290_000_000, "{}", run.records[299].latency_ns());
    assert!(summary.little.unwrap().ratio() < 0.9);
}
