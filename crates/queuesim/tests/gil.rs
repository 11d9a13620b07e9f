//! Threads under one lock: ceilings, CPython's turns by hand, the front end that the lock delays.

mod common;

use common::{exponential, poisson};
use queuesim::gil::{Executor, Gil, executor, split};
use queuesim::machine::{Kind, LockRules, Machine, Phase, Place, SWITCH_INTERVAL_NS, Stage, Station};
use queuesim::pipeline::FrontEnd;
use queuesim::service::Column;
use queuesim::{Arrivals, Window};

const MS: u64 = 1_000_000;

fn each(kind: Kind, ns: &[u64]) -> Phase {
    Phase { kind, ns: Column::Each(ns.to_vec()) }
}

fn same(kind: Kind, ns: u64) -> Phase {
    Phase { kind, ns: Column::Same(ns) }
}

fn python(cores: usize, threads: usize, interval: Option<u64>) -> Gil {
    Gil { cores, threads, lock: Some(LockRules { switch_interval_ns: interval, hand_over_ns: 0 }), batch: None }
}

/// All requests are there at once: what leaves in a second, over what one thread does in a second.
fn speedup(share: f64, cores: usize, threads: usize, services: &[u64]) -> f64 {
    let count = services.len();
    let arrivals = Arrivals::new(vec![0; count]).unwrap();
    let work = split(services, share, 1, Kind::HELD_CALL).unwrap();
    let simulation = python(cores, threads, None).run(&arrivals, &FrontEnd::default(), &work).unwrap();
    services.iter().sum::<u64>() as f64 / simulation.makespan_ns() as f64
}

/// The ceiling min(c, 1/s): never passed, and with equal requests and enough threads reached.
#[test]
fn throughput_has_a_ceiling() {
    let equal = vec![MS; 20_000];
    let random = exponential(1e6, 20_000, 1);
    for share in [0.05, 0.1, 0.25, 0.5, 0.75, 0.9] {
        for cores in [1, 2, 4, 8] {
            let ceiling = f64::min(cores as f64, 1.0 / share);
            let (reached, varied) = (speedup(share, cores, 32, &equal), speedup(share, cores, 32, &random));
            println!("s {share} c {cores}: ceiling {ceiling:.2}, equal {reached:.3}, exponential {varied:.3}");
            assert!(reached <= ceiling * 1.0001 && varied <= ceiling * 1.0001);
            assert!(reached > 0.97 * ceiling, "s {share} c {cores}: {reached} of {ceiling}");
            assert!(varied > 0.80 * ceiling, "s {share} c {cores}: {varied} of {ceiling}");
        }
    }
}

/// Two threads, each with 12 ms of bytecode, interval 5 ms: turns of 5 ms, then what is left. Thread 0: 0-5, 10-15, 20-22;
/// thread 1: 5-10, 15-20, 22-24.
#[test]
fn bytecode_takes_turns() {
    let arrivals = Arrivals::new(vec![0, 0]).unwrap();
    let found = python(4, 2, Some(SWITCH_INTERVAL_NS))
        .run(&arrivals, &FrontEnd::default(), &[same(Kind::BYTECODE, 12 * MS)])
        .unwrap();
    assert_eq!(found.latencies_ns, [22 * MS, 24 * MS]);
    assert_eq!(found.lock_waits_ns, [10 * MS, 12 * MS]);
    assert_eq!(found.waits_ns, found.lock_waits_ns);
}

/// Calls into C are not interrupted: the request to drop counts at their end.
#[test]
fn calls_that_hold_the_lock_are_not_interrupted() {
    let arrivals = Arrivals::new(vec![0, MS]).unwrap();
    let run = |first: &[Phase]| {
        // Request 1 has one ms of bytecode and nothing else.
        python(4, 2, Some(SWITCH_INTERVAL_NS)).run(&arrivals, &FrontEnd::default(), first).unwrap().latencies_ns
    };
    // 20 ms in one call: the other, from 1 ms on, asks at 6 ms and gets the lock at 20.
    assert_eq!(run(&[each(Kind::HELD_CALL, &[20 * MS, 0]), each(Kind::BYTECODE, &[0, MS])]), [20 * MS, 20 * MS]);
    // Two calls of 10 ms: it gets the lock between them.
    let halves =
        [each(Kind::HELD_CALL, &[10 * MS, 0]), each(Kind::HELD_CALL, &[10 * MS, 0]), each(Kind::BYTECODE, &[0, MS])];
    assert_eq!(run(&halves), [21 * MS, 10 * MS]);
    // Two calls of 4 ms: at 4 ms nobody has waited for 5 ms, so that the second follows.
    let short =
        [each(Kind::HELD_CALL, &[4 * MS, 0]), each(Kind::HELD_CALL, &[4 * MS, 0]), each(Kind::BYTECODE, &[0, MS])];
    assert_eq!(run(&short), [8 * MS, 8 * MS]);
    // The same 20 ms as bytecode: it has the lock at 6 ms.
    assert_eq!(run(&[each(Kind::BYTECODE, &[20 * MS, MS])]), [21 * MS, 6 * MS]);
}

/// A thread asks only if the lock did not change hands during its interval: of two that wait beside a long one, the second
/// starts its interval anew at the first's turn.
#[test]
fn a_change_of_holder_starts_the_interval_anew() {
    let arrivals = Arrivals::new(vec![0, MS, 2 * MS]).unwrap();
    let phases = [each(Kind::BYTECODE, &[100 * MS, 100 * MS, MS])];
    let found = python(4, 3, Some(SWITCH_INTERVAL_NS)).run(&arrivals, &FrontEnd::default(), &phases).unwrap();
    // 6 ms: request 1 asks and runs. 7 ms: request 2's interval ends, but the holder changed at 6, and it starts another, to 12.
    // Request 0 stepped back at 6, so that its interval is the first to end without a change, at 11; the next in the
    // queue is request 2, which runs 11-12. Then request 0 (it stepped back at 6) and request 1 (at 11) take turns.
    assert_eq!(found.departure_ns(2), 12 * MS);
}

/// Handing the lock to a waiting thread takes time; taking a free one does not.
#[test]
fn a_hand_over_costs_time() {
    let arrivals = Arrivals::new(vec![0, 0, 100]).unwrap();
    let lock = Some(LockRules { switch_interval_ns: None, hand_over_ns: 7 });
    let process = Gil { cores: 4, threads: 3, lock, batch: None };
    let found = process.run(&arrivals, &FrontEnd::default(), &[same(Kind::HELD_CALL, 10)]).unwrap();
    assert_eq!(found.departures_ns(), [10, 27, 110]);
    assert_eq!(found.resource("lock").unwrap().busy_ns, 37.0);
    assert_eq!(found.resource("cores").unwrap().busy_ns, 30.0);
}

/// Three threads on two cores run at two thirds of the speed, and the lock's holder has no privilege.
#[test]
fn more_threads_than_cores_share() {
    let arrivals = Arrivals::new(vec![0, 0, 0]).unwrap();
    let phases = [each(Kind::HELD_CALL, &[20, 0, 0]), each(Kind::Free, &[0, 20, 40])];
    let found = python(2, 3, None).run(&arrivals, &FrontEnd::default(), &phases).unwrap();
    assert_eq!(found.latencies_ns, [30, 30, 50]);
    assert_eq!(found.utilization("cores"), Some(80.0 / 100.0));
}

/// The convoy: a front end that needs the lock for 20 µs waits for long held calls of its workers, at most one at a time; the
/// same workers in another process cost it nothing.
#[test]
fn held_calls_delay_the_front_end() {
    let count = 20_000;
    let arrivals = poisson(0.5, 1, 10.0 * MS as f64, count, 5);
    let front = FrontEnd { before: vec![same(Kind::BYTECODE, 20_000)], after: vec![] };
    let call = [same(Kind::HELD_CALL, 10 * MS)];
    let inside = python(8, 4, Some(SWITCH_INTERVAL_NS)).run(&arrivals, &front, &call).unwrap();
    let outside = queuesim::pools::Pool { cores: 8, workers: 4, batch: None }.run(&arrivals, &front, &call).unwrap();
    assert!(inside.lock_waits_ns.iter().any(|wait| *wait > 8 * MS));
    assert!(outside.lock_waits_ns.is_empty());
    let (inside, outside) = (inside.summary(Window::STEADY), outside.summary(Window::STEADY));
    println!(
        "inside p50 {} p99 {}, outside p50 {} p99 {}",
        inside.p50_ns, inside.p99_ns, outside.p50_ns, outside.p99_ns
    );
    assert!(inside.mean_wait_ns > 4.0 * outside.mean_wait_ns);
}

/// How much of the tail is the lock: all of the wait when everything is held and there are threads enough.
#[test]
fn the_tail_names_the_lock() {
    let count = 20_000;
    let arrivals = poisson(0.8, 1, MS as f64, count, 8);
    let services = exponential(MS as f64, count, 9);
    let tail = |share: f64| {
        let work = split(&services, share, 1, Kind::HELD_CALL).unwrap();
        let found = python(4, 200, None).run(&arrivals, &FrontEnd::default(), &work).unwrap();
        found.lock_share_of_tail(Window::STEADY, 0.99)
    };
    let (all, none) = (tail(1.0), tail(0.0));
    println!("lock's share of the slowest 1%: {all} with all held");
    assert!(all > 0.7 && all < 1.0);
    assert_eq!(none, 0.0);
}

/// Two processes with a lock each do not delay each other.
#[test]
fn locks_are_their_own() {
    let station =
        |name: &str, lock| Station { name: name.into(), threads: 2, lock: Some(lock), keeps_lock: false, batch: None };
    let machine = |second| Machine {
        cores: 4,
        turn_ns: None,
        locks: vec![LockRules::default(), LockRules::default()],
        stations: vec![station("one", 0), station("two", second)],
    };
    let arrivals = Arrivals::new(vec![0, 0]).unwrap();
    let stage = Stage { place: Place::Each(vec![0, 1]), phases: vec![same(Kind::HELD_CALL, 10)] };
    let run = |second| machine(second).run(&arrivals, std::slice::from_ref(&stage)).unwrap();
    assert_eq!(run(1).latencies_ns, [10, 10]);
    assert_eq!(run(0).latencies_ns, [10, 20]);
    assert_eq!(run(1).resource("lock 1").unwrap().busy_ns, 10.0);
}

/// An event loop keeps the lock for all that is ready: with three requests waiting for it behind a long call, it does them in one
/// hold; a station that does not keep it lets the worker in between.
#[test]
fn an_event_loop_keeps_the_lock() {
    let arrivals = Arrivals::new(vec![0, 10, 10, 10]).unwrap();
    let run = |keeps_lock| {
        let station =
            |name: &str, keeps_lock| Station { name: name.into(), threads: 1, lock: Some(0), keeps_lock, batch: None };
        let stations = vec![station("loop", keeps_lock), station("worker", false)];
        let machine = Machine { cores: 4, turn_ns: None, locks: vec![LockRules::default()], stations };
        let at = |station, phases| Stage { place: Place::Station(station), phases };
        // Request 0 works for two calls of 100; the others only pass the loop, for 2 each.
        let calls = vec![
            each(Kind::HELD_CALL, &[100, 0, 0, 0]),
            each(Kind::Free, &[1, 0, 0, 0]),
            each(Kind::HELD_CALL, &[100, 0, 0, 0]),
        ];
        machine.run(&arrivals, &[at(0, vec![same(Kind::BYTECODE, 2)]), at(1, calls)]).unwrap()
    };
    // The loop's second request waits for the lock from 10 to 102, and finds two more: 104, 106, 108. The worker has asked
    // since 103.
    assert_eq!(run(true).departure_ns(0), 208);
    // Without keeping it: 104, then the worker.
    assert_eq!(run(false).departure_ns(0), 204);
}

#[test]
fn what_a_thread_pool_adds() {
    let around = Executor { take_ns: 1, store_ns: 2, wake_ns: 3, rest_ns: 4 };
    let phases = executor(vec![same(Kind::HELD_CALL, 10)], around);
    let kinds: Vec<Kind> = phases.iter().map(|phase| phase.kind).collect();
    assert_eq!(kinds, [Kind::BYTECODE, Kind::HELD_CALL, Kind::BYTECODE, Kind::Free, Kind::BYTECODE]);
    let arrivals = Arrivals::new(vec![0]).unwrap();
    assert_eq!(python(1, 1, None).run(&arrivals, &FrontEnd::default(), &phases).unwrap().latencies_ns, [20]);
}
