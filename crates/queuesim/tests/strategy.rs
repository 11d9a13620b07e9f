//! Strategies: what each arrangement does to the same load, and where it breaks.

mod common;

use common::{exponential, poisson};
use queuesim::headroom::{largest_rate, least_count};
use queuesim::lindley::lindley;
use queuesim::machine::{Batch, Kind, LockRules, SWITCH_INTERVAL_NS, WindowFrom};
use queuesim::pools::Balance;
use queuesim::strategy::{Layout, Part, Strategy, Work, break_point, latency_ns, least_cores, simulate};
use queuesim::{Arrivals, Service, Window};

const MS: u64 = 1_000_000;

fn python() -> Layout {
    Layout::Threads { lock: Some(LockRules { switch_interval_ns: Some(SWITCH_INTERVAL_NS), hand_over_ns: 0 }) }
}

/// A pipeline of 0.05 ms in front, 1 ms of work of which 80% is held, 0.05 ms behind; the same 500 measured requests in all.
fn strategy(layout: Layout, workers: usize, cores: usize) -> Strategy {
    let held: Vec<u64> = exponential(0.8 * MS as f64, 500, 1);
    let free = held.iter().map(|ns| ns / 4).collect();
    let front = |ns| Work::one(Kind::BYTECODE, Service::Constant(ns));
    Strategy {
        name: "test".into(),
        cores,
        turn_ns: None,
        away_ns: 0,
        layout,
        before: front(MS / 20),
        parts: vec![Part {
            workers,
            work: Work(vec![(Kind::HELD_CALL, Service::Samples(held)), (Kind::Free, Service::Samples(free))]),
            batch: None,
        }],
        after: front(MS / 20),
    }
}

/// Inline is one server with the sum of all parts.
#[test]
fn inline_is_a_lindley_recursion() {
    let arrivals = Arrivals::poisson(700.0, 5000, 1).unwrap();
    let inline = strategy(Layout::Inline, 1, 4);
    let draws = queuesim::Draws::new(arrivals.len(), 9);
    let parts: Vec<Vec<u64>> =
        inline.parts[0].work.0.iter().map(|(_, service)| service.draw(5000, 9).unwrap()).collect();
    assert_eq!(inline.parts[0].work.phases(&draws).unwrap().len(), 2);
    let services: Vec<u64> = parts[0].iter().zip(&parts[1]).map(|(held, free)| held + free + MS / 10).collect();
    let found = simulate(&inline, &arrivals, 9).unwrap();
    assert_eq!(found.latencies_ns, lindley(&arrivals, &services).unwrap().latencies_ns);
    // A replica alone, and a sidecar's or pool's sum of own work, are the same requests.
    let replica = strategy(Layout::Replicas { replicas: 1, balance: Balance::Random { seed: 3 } }, 1, 4);
    assert_eq!(simulate(&replica, &arrivals, 9).unwrap().latencies_ns, found.latencies_ns);
    let pool = simulate(&strategy(Layout::Processes, 4, 8), &arrivals, 9).unwrap();
    for (index, service) in services.iter().enumerate() {
        assert_eq!(pool.latencies_ns[index] - pool.waits_ns[index], *service);
    }
}

/// Break points in the order that the arithmetic gives. Ceilings, requests/s: inline 1/1.1 ms; GIL threads 1/(0.8 + 0.1 ms); four
/// processes 4/1 ms; four replicas 4/1.1 ms.
#[test]
fn break_points_are_ordered_and_below_their_ceilings() {
    let arrivals = poisson(0.5, 1, MS as f64, 20_000, 2);
    let mean = strategy(Layout::Inline, 1, 1).parts[0].work.mean_ns();
    let ceilings = [
        ("inline", Layout::Inline, 1e9 / (mean + 0.1e6)),
        ("threads", python(), 1e9 / (0.8 * mean + 0.1e6)),
        ("free-threaded", Layout::Threads { lock: None }, 4e9 / mean),
        ("processes", Layout::Processes, 4e9 / mean),
        ("replicas", Layout::Replicas { replicas: 4, balance: Balance::Shared }, 4e9 / (mean + 0.1e6)),
        (
            "random replicas",
            Layout::Replicas { replicas: 4, balance: Balance::Random { seed: 5 } },
            4e9 / (mean + 0.1e6),
        ),
        ("sidecar", Layout::Sidecar { hop_ns: 100_000 }, 4e9 / mean),
    ];
    let mut rates = Vec::new();
    for (name, layout, ceiling) in ceilings {
        let strategy = strategy(layout, 4, 8);
        let found = break_point(&strategy, &arrivals, 7, 0.99, 20.0 * MS as f64).unwrap().unwrap();
        println!("{name}: breaks at {:.0}/s of at most {ceiling:.0}/s, p99 {:.2} ms", found.rate, found.value / 1e6);
        assert!(found.rate < ceiling * 1.03 && found.rate > 0.5 * ceiling, "{name}: {} of {ceiling}", found.rate);
        assert!(found.value <= 20.0 * MS as f64);
        assert!((found.ratio - found.rate / arrivals.rate()).abs() < 1e-9);
        // 2% further it misses the limit.
        let beyond = arrivals.at_rate(found.rate * 1.02).unwrap();
        assert!(latency_ns(&strategy, &beyond, 7, Window::STEADY, 0.99).unwrap() > 20.0 * MS as f64);
        rates.push(found.rate);
    }
    let [inline, threads, freed, processes, shared, random, sidecar] = rates[..] else { panic!("seven strategies") };
    assert!(inline < threads && threads < random && random < shared && shared < processes);
    assert!((freed / processes - 1.0).abs() < 0.02);
    assert!(sidecar <= processes);
}

/// Beyond what a resource can serve there is no latency to speak of.
#[test]
fn overload_has_no_latency() {
    let arrivals = Arrivals::poisson(1500.0, 5000, 1).unwrap();
    let threads = strategy(python(), 4, 4);
    assert_eq!(latency_ns(&threads, &arrivals, 1, Window::STEADY, 0.99).unwrap(), f64::INFINITY);
    let simulation = simulate(&threads, &arrivals, 1).unwrap();
    let (_, offered) = simulation.bottleneck().unwrap();
    assert!(offered > 1.2);
    assert!(simulation.utilization("lock").unwrap() > 0.99);
    assert!(simulation.occupancy().at_end > 500);
}

#[test]
fn cores_that_a_load_needs() {
    let arrivals = Arrivals::poisson(2500.0, 20_000, 3).unwrap();
    let family = |cores| strategy(Layout::Replicas { replicas: cores, balance: Balance::Shared }, 1, cores);
    let cores = least_cores(family, 16, &arrivals, 1, 0.99, 20.0 * MS as f64).unwrap();
    // 2500/s · 1.1 ms = 2.75 cores: at least three.
    assert_eq!(cores, Some(3));
    let threads = |cores| strategy(python(), cores, cores);
    assert_eq!(least_cores(threads, 16, &arrivals, 1, 0.99, 20.0 * MS as f64).unwrap(), None);
}

/// Few connections over replicas leave some busier than others; one shared queue does not.
#[test]
fn balance_matters() {
    let arrivals = Arrivals::poisson(2000.0, 40_000, 3).unwrap();
    let p99 = |balance| {
        let it = strategy(Layout::Replicas { replicas: 4, balance }, 1, 4);
        simulate(&it, &arrivals, 1).unwrap().summary(Window::STEADY).p99_ns
    };
    let shared = p99(Balance::Shared);
    let random = p99(Balance::Random { seed: 1 });
    let connections = p99(Balance::Connections { connections: 8, seed: 1 });
    println!("p99: shared {shared}, random {random}, 8 connections {connections}");
    assert!(shared < random && random < connections);
}

#[test]
fn a_batch_needs_workers() {
    let arrivals = Arrivals::poisson(100.0, 100, 3).unwrap();
    let batched = |layout| {
        let mut it = strategy(layout, 2, 1);
        it.parts[0].batch = Some(Batch { max: 8, window_ns: 0, from: WindowFrom::Pickup, fixed: vec![] });
        simulate(&it, &arrivals, 1)
    };
    assert!(batched(Layout::Inline).is_err());
    assert!(batched(Layout::Replicas { replicas: 2, balance: Balance::Shared }).is_err());
    assert!(batched(python()).is_ok() && batched(Layout::Sidecar { hop_ns: 1 }).is_ok());
    let mut empty = strategy(Layout::Inline, 1, 1);
    empty.parts[0].work = Work::one(Kind::Free, Service::Samples(vec![]));
    assert!(simulate(&empty, &arrivals, 1).is_err());
}

/// M/M/1 again: its p99 is ln 100/(μ − λ), so that the break point of a limit L is μ − ln 100/L.
#[test]
fn headroom_of_a_known_queue() {
    let count = 400_000;
    let arrivals = poisson(0.3, 1, MS as f64, count, 1);
    let services = exponential(MS as f64, count, 2);
    let p99 = |scaled: &Arrivals| Ok(lindley(scaled, &services)?.summary(Window::STEADY).p99_ns as f64);
    let found = largest_rate(&arrivals, 20.0 * MS as f64, p99).unwrap().unwrap();
    let truth = 1000.0 - 100.0_f64.ln() / 0.020;
    println!("M/M/1 with p99 of 20 ms: {:.1}/s, theory {truth:.1}/s", found.rate);
    assert!((found.rate / truth - 1.0).abs() < 0.02);
    // A limit below the service time's own p99 can never be met; one that is never missed ends at the fastest rate.
    assert_eq!(largest_rate(&arrivals, 1.0, |_| Ok(2.0)).unwrap(), None);
    assert!(largest_rate(&arrivals, 1.0, |_| Ok(0.5)).unwrap().unwrap().ratio > 1e5);
    assert_eq!(least_count(8, 1.0, |count| Ok(4.0 / count as f64)).unwrap(), Some(4));
    assert_eq!(least_count(3, 1.0, |count| Ok(4.0 / count as f64)).unwrap(), None);
}

/// Rendering on threads, then tokenizing in batches that do not hold the lock: two parts in one process. Batches move the break
/// point beyond that of a call a request.
#[test]
fn parts_follow_each_other() {
    let arrivals = Arrivals::poisson(300.0, 20_000, 3).unwrap();
    let part = |workers, kind, ns, batch| Part { workers, work: Work::one(kind, Service::Constant(ns)), batch };
    let mut micro_batch = strategy(python(), 1, 4);
    let fixed = vec![(Kind::BYTECODE, MS)];
    let batch = |max| Some(Batch { max, window_ns: MS / 2, from: WindowFrom::Arrival, fixed: fixed.clone() });
    let breaks = |it: &Strategy| break_point(it, &arrivals, 1, 0.99, 30.0 * MS as f64).unwrap().unwrap().rate;
    micro_batch.parts = vec![part(2, Kind::BYTECODE, MS / 2, None), part(1, Kind::Free, MS, batch(64))];
    let found = simulate(&micro_batch, &arrivals, 1).unwrap();
    let names: Vec<&str> = found.resources.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["cores", "lock", "front end", "workers", "workers 1"]);
    assert!((micro_batch.mean_ns() - 1.6 * MS as f64).abs() < 1.0);
    // Own work with a batch's fixed phase: 0.1 in front, 0.5 rendering, 1 + 1.
    assert!(found.latencies_ns.iter().all(|latency| *latency >= 26 * MS / 10));
    let batched = breaks(&micro_batch);
    micro_batch.parts[1].batch = batch(1);
    let single = breaks(&micro_batch);
    println!("batches of 64 break at {batched:.0}/s, of 1 at {single:.0}/s");
    assert!(single < 500.0 && batched > 1.5 * single);
}
