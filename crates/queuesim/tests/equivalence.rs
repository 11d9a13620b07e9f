//! Models that must be the same queue, on random inputs, to the nanosecond; and what holds for every model.

mod common;

use common::{exponential, poisson};
use proptest::prelude::*;
use queuesim::batching::batching;
use queuesim::gil::{Gil, split};
use queuesim::lindley::lindley;
use queuesim::machine::{
    Batch, Kind, LockRules, Machine, Phase, Place, SWITCH_INTERVAL_NS, Stage, Station, WindowFrom,
};
use queuesim::multi::multi;
use queuesim::pipeline::FrontEnd;
use queuesim::pools::{Balance, Pool, Replicas};
use queuesim::service::Column;
use queuesim::sidecar::Sidecar;
use queuesim::{Arrivals, QueueError, Simulation};

/// Arrivals with ties and bursts, and service times that may be 0.
fn inputs() -> impl Strategy<Value = (Arrivals, Vec<u64>)> {
    prop::collection::vec((0_u64..100, 0_u64..150), 1..200).prop_map(|pairs| {
        let times = pairs.iter().scan(1000, |clock, (gap, _)| {
            *clock += gap;
            Some(*clock)
        });
        (Arrivals::new(times.collect()).unwrap(), pairs.iter().map(|pair| pair.1).collect())
    })
}

/// The same with service times above 0: a held phase of no length asks for no lock, and so overtakes those that wait for it.
fn held_inputs() -> impl Strategy<Value = (Arrivals, Vec<u64>)> {
    inputs().prop_map(|(arrivals, services)| (arrivals, services.iter().map(|ns| ns + 1).collect()))
}

fn free(services: &[u64]) -> Vec<Phase> {
    vec![Phase { kind: Kind::Free, ns: Column::Each(services.to_vec()) }]
}

fn column(kind: Kind, ns: u64) -> Vec<Phase> {
    vec![Phase { kind, ns: Column::Same(ns) }]
}

fn process(cores: usize, threads: usize) -> Gil {
    Gil { cores, threads, lock: Some(LockRules::default()), batch: None }
}

/// G/G/c by the definition: the vector of the servers' remaining work, sorted anew for each arrival (Kiefer and Wolfowitz).
fn kiefer_wolfowitz(arrivals: &Arrivals, services: &[u64], servers: usize) -> Vec<u64> {
    let mut work = vec![0_u64; servers];
    let mut before = 0;
    let mut latencies = Vec::new();
    for (arrival, service) in arrivals.times_ns().iter().zip(services) {
        work.iter_mut().for_each(|left| *left = left.saturating_sub(arrival - before));
        work.sort_unstable();
        latencies.push(work[0] + service);
        work[0] += service;
        before = *arrival;
    }
    latencies
}

proptest! {
    #[test]
    fn several_servers_follow_the_definition((arrivals, services) in inputs(), servers in 1_usize..6) {
        let found = multi(&arrivals, &services, servers).unwrap();
        prop_assert_eq!(&found.latencies_ns, &kiefer_wolfowitz(&arrivals, &services, servers));
        if servers == 1 {
            prop_assert_eq!(found.latencies_ns, lindley(&arrivals, &services).unwrap().latencies_ns);
        }
    }

    /// Nothing held: as many threads as cores are that many servers.
    #[test]
    fn without_a_held_share_it_is_several_servers((arrivals, services) in inputs(), cores in 1_usize..6) {
        let work = split(&services, 0.0, 1, Kind::HELD_CALL).unwrap();
        let found = process(cores, cores).run(&arrivals, &FrontEnd::default(), &work).unwrap();
        let truth = multi(&arrivals, &services, cores).unwrap();
        prop_assert_eq!(&found.latencies_ns, &truth.latencies_ns);
        prop_assert_eq!(found.waits_ns, truth.waits_ns);
        prop_assert!(found.lock_waits_ns.iter().all(|wait| *wait == 0));
    }

    /// All held: one server, whatever the threads and cores.
    #[test]
    fn all_held_is_one_server((arrivals, services) in held_inputs(), cores in 1_usize..6, threads in 1_usize..9) {
        let work = split(&services, 1.0, 1, Kind::HELD_CALL).unwrap();
        let found = process(cores, threads).run(&arrivals, &FrontEnd::default(), &work).unwrap();
        prop_assert_eq!(found.latencies_ns, lindley(&arrivals, &services).unwrap().latencies_ns);
    }

    /// With a switch interval threads take turns, but the lock never rests while there is work: busy periods end as before.
    #[test]
    fn turns_conserve_work((arrivals, services) in held_inputs(), threads in 1_usize..9, interval in 1_u64..60, preemptible: bool) {
        let work = split(&services, 1.0, 1, Kind::Held { preemptible }).unwrap();
        let lock = Some(LockRules { switch_interval_ns: Some(interval), hand_over_ns: 0 });
        let found = Gil { cores: 3, threads, lock, batch: None }.run(&arrivals, &FrontEnd::default(), &work).unwrap();
        let truth = lindley(&arrivals, &services).unwrap();
        prop_assert_eq!(found.makespan_ns(), truth.makespan_ns());
        let busy = found.resource("lock").unwrap().busy_ns;
        prop_assert_eq!(busy, services.iter().sum::<u64>() as f64);
        if !preemptible {
            // One call into C a request: nothing to interrupt.
            prop_assert_eq!(found.latencies_ns, truth.latencies_ns);
        }
    }

    #[test]
    fn batches_of_one_are_one_server((arrivals, services) in inputs(), workers in 1_usize..4, fixed in 0_u64..50, window in 0_u64..99) {
        // A batch of one is full at once: its window never counts.
        let batch = Batch { max: 1, window_ns: window, from: WindowFrom::Pickup, fixed: vec![(Kind::Free, fixed)] };
        let found = batching(&arrivals, &services, workers, &batch).unwrap();
        let services: Vec<u64> = services.iter().map(|ns| ns + fixed).collect();
        let truth = multi(&arrivals, &services, workers).unwrap();
        prop_assert_eq!(found.latencies_ns, truth.latencies_ns);
        prop_assert_eq!(found.waits_ns, truth.waits_ns);
    }

    /// A pool whose front end costs nothing is its workers; one shared queue before replicas is the same.
    #[test]
    fn a_free_front_end_vanishes((arrivals, services) in inputs(), workers in 1_usize..5, hop in 0_u64..100) {
        let truth = multi(&arrivals, &services, workers).unwrap().latencies_ns;
        let none = FrontEnd { before: column(Kind::BYTECODE, 0), after: column(Kind::BYTECODE, 0) };
        let pool = Pool { cores: workers, workers, batch: None }.run(&arrivals, &none, &free(&services)).unwrap();
        prop_assert_eq!(&pool.latencies_ns, &truth);
        let replicas = Replicas { cores: workers, turn_ns: None, replicas: workers, balance: Balance::Shared };
        prop_assert_eq!(&replicas.run(&arrivals, &free(&services)).unwrap().latencies_ns, &truth);
        let sidecar = Sidecar { cores: workers, workers, hop_ns: hop, batch: None };
        let found = sidecar.run(&arrivals, &none, &free(&services)).unwrap().latencies_ns;
        let delayed: Vec<u64> = truth.iter().map(|ns| ns + 2 * hop).collect();
        prop_assert_eq!(found, delayed);
    }

    /// Two servers in a row, first come first served, are two recursions in a row.
    #[test]
    fn stages_in_a_row_are_recursions_in_a_row((arrivals, services) in inputs(), second in 0_u64..80) {
        let front = FrontEnd { before: free(&services), after: vec![] };
        let pool = Pool { cores: 2, workers: 1, batch: None };
        let found = pool.run(&arrivals, &front, &column(Kind::Free, second)).unwrap();
        let between = Arrivals::new(lindley(&arrivals, &services).unwrap().departures_ns()).unwrap();
        let truth = lindley(&between, &vec![second; services.len()]).unwrap();
        prop_assert_eq!(found.departures_ns(), truth.departures_ns());
    }

    /// On one core, whatever is shared how: the core never rests while a request could run, and does not do more than the work.
    #[test]
    fn a_core_conserves_work((arrivals, services) in inputs(), hold in 0.0_f64..1.0, threads in 2_usize..9, pieces in 1_usize..4) {
        let work = split(&services, hold, pieces, Kind::BYTECODE).unwrap();
        let lock = Some(LockRules { switch_interval_ns: Some(20), hand_over_ns: 0 });
        let found = Gil { cores: 1, threads, lock, batch: None }.run(&arrivals, &FrontEnd::default(), &work).unwrap();
        let truth = lindley(&arrivals, &services).unwrap();
        prop_assert!(found.makespan_ns().abs_diff(truth.makespan_ns()) <= 1);
        prop_assert!((found.resource("cores").unwrap().busy_ns - services.iter().sum::<u64>() as f64).abs() < 1e-3);
    }

    /// Every request leaves once, never before its arrival and its own work; utilizations are shares; the same again gives the same.
    #[test]
    fn every_request_leaves(
        (arrivals, services) in inputs(),
        hold in 0.0_f64..1.0,
        cores in 1_usize..4,
        workers in 1_usize..6,
        max in 1_usize..5,
        window in 0_u64..200,
        hand_over in 0_u64..10,
        preemptible: bool,
    ) {
        let batch = Batch { max, window_ns: window, from: WindowFrom::Arrival, fixed: vec![(Kind::HELD_CALL, 7)] };
        let lock = Some(LockRules { switch_interval_ns: Some(30), hand_over_ns: hand_over });
        let front = FrontEnd { before: column(Kind::BYTECODE, 5), after: column(Kind::Away, 3) };
        let work = split(&services, hold, 2, Kind::Held { preemptible }).unwrap();
        let run = || -> Vec<Simulation> {
            vec![
                Gil { cores, threads: workers, lock: lock.clone(), batch: Some(batch.clone()) }.run(&arrivals, &front, &work).unwrap(),
                Gil { cores, threads: workers, lock: lock.clone(), batch: None }.run(&arrivals, &front, &work).unwrap(),
                Pool { cores, workers, batch: Some(batch.clone()) }.run(&arrivals, &front, &work).unwrap(),
                Sidecar { cores, workers, hop_ns: 11, batch: None }.run(&arrivals, &front, &work).unwrap(),
                Replicas { cores, turn_ns: None, replicas: workers, balance: Balance::Connections { connections: 4, seed: 1 } }.run(&arrivals, &work).unwrap(),
            ]
        };
        let own = [15, 8, 15, 30, 0];
        for (simulation, extra) in run().iter().zip(own) {
            prop_assert_eq!(simulation.latencies_ns.len(), arrivals.len());
            for (latency, service) in simulation.latencies_ns.iter().zip(&services) {
                prop_assert!(*latency >= service + extra);
                prop_assert!(*latency < 1 << 40);
            }
            for resource in &simulation.resources {
                let used = simulation.utilization(&resource.name).unwrap();
                prop_assert!((0.0..=1.0 + 1e-9).contains(&used), "{} is used to {}", resource.name, used);
            }
        }
        prop_assert_eq!(run(), run());
    }
}

/// The same at a size at which heaps and virtual time have run long: 200,000 requests, mixed.
#[test]
fn long_runs_stay_exact() {
    let count = 200_000;
    let arrivals = poisson(0.9, 4, 1e6, count, 1);
    let services = exponential(1e6, count, 2);
    let found = process(4, 4).run(&arrivals, &FrontEnd::default(), &free(&services)).unwrap();
    assert_eq!(found.latencies_ns, multi(&arrivals, &services, 4).unwrap().latencies_ns);
    // One core, in turns of CPython's interval: the last request of every busy period leaves as with one server.
    let arrivals = poisson(0.9, 1, 1e6, count, 3);
    let work = split(&services, 1.0, 1, Kind::BYTECODE).unwrap();
    let lock = Some(LockRules { switch_interval_ns: Some(SWITCH_INTERVAL_NS), hand_over_ns: 0 });
    let turns = Gil { cores: 4, threads: 64, lock, batch: None }.run(&arrivals, &FrontEnd::default(), &work).unwrap();
    let truth = lindley(&arrivals, &services).unwrap();
    let idle_seen = |simulation: &Simulation| {
        let mut departures = simulation.departures_ns();
        departures.sort_unstable();
        let starts = arrivals.times_ns().iter().skip(1).zip(&departures).filter(|(arrival, left)| arrival >= left);
        starts.map(|(arrival, _)| *arrival).collect::<Vec<_>>()
    };
    // Busy periods begin where the number of departures so far equals that of arrivals.
    assert_eq!(idle_seen(&turns), idle_seen(&truth));
    assert!(idle_seen(&truth).len() > 1000);
    assert_ne!(turns.latencies_ns, truth.latencies_ns);
}

#[test]
fn what_cannot_be_simulated_is_named() {
    let arrivals = Arrivals::new(vec![0, 1]).unwrap();
    let error = lindley(&arrivals, &[1]).unwrap_err();
    assert_eq!(error.to_string(), "the list of service times has 1 values for 2 requests: give one for each request");
    assert_eq!(multi(&arrivals, &[1, 1], 0), Err(QueueError::Zero { what: "the number of servers" }));
    assert!(split(&[1], 1.5, 1, Kind::BYTECODE).is_err());
    assert!(split(&[1], 0.5, 0, Kind::BYTECODE).is_err());
    let station = |lock, batch| Station { name: "s".into(), threads: 1, lock, keeps_lock: false, batch };
    let stage = |place| Stage { place, phases: column(Kind::Free, 1) };
    let run = |station, stages: &[Stage]| {
        Machine { cores: 1, turn_ns: None, locks: vec![], stations: vec![station] }.run(&arrivals, stages)
    };
    let unknown = QueueError::Unknown { what: "lock", index: 0, count: 0 };
    assert_eq!(run(station(Some(0), None), &[stage(Place::Station(0))]), Err(unknown));
    assert!(run(station(None, None), &[stage(Place::Station(1))]).is_err());
    assert!(run(station(None, None), &[stage(Place::Each(vec![0]))]).is_err());
    assert!(run(station(None, None), &[]).is_err());
    let batch = |max| Some(Batch { max, window_ns: 0, from: WindowFrom::Pickup, fixed: vec![] });
    assert!(run(station(None, batch(0)), &[stage(Place::Station(0))]).is_err());
    assert!(run(station(None, batch(2)), &[stage(Place::Station(0)), stage(Place::Station(0))]).is_err());
    assert!(run(station(None, batch(2)), &[stage(Place::Delay), stage(Place::Station(0))]).is_ok());
}

#[test]
fn a_request_that_takes_no_time_uses_nothing() {
    let arrivals = Arrivals::new(vec![1000]).unwrap();
    let work = split(&[0], 0.0, 1, Kind::HELD_CALL).unwrap();
    let found = process(1, 1).run(&arrivals, &FrontEnd::default(), &work).unwrap();
    assert_eq!(found.makespan_ns(), 0);
    for resource in &found.resources {
        assert_eq!(found.utilization(&resource.name), Some(0.0), "{}", resource.name);
    }
}
