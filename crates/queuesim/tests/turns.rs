//! Cores that threads take turns on, against schedules drawn by hand.

use queuesim::Arrivals;
use queuesim::lindley::lindley;
use queuesim::machine::{Kind, Machine, Phase, Place, Stage, Station};
use queuesim::pools::{Balance, Replicas};
use queuesim::service::Column;

/// Request i goes to a station of its own, so that each has a thread.
fn run(cores: usize, turn_ns: Option<u64>, arrivals: &[u64], phases: Vec<Vec<u64>>) -> Vec<u64> {
    let threads = arrivals.len();
    let station = |index| Station { name: format!("{index}"), threads: 1, lock: None, keeps_lock: false, batch: None };
    let machine = Machine { cores, turn_ns, locks: vec![], stations: (0..threads).map(station).collect() };
    let phases = phases.into_iter().map(|ns| Phase { kind: Kind::Free, ns: Column::Each(ns) }).collect();
    let stage = Stage { place: Place::Each((0..threads as u32).collect()), phases };
    machine.run(&Arrivals::new(arrivals.to_vec()).unwrap(), &[stage]).unwrap().latencies_ns
}

#[test]
fn one_that_wakes_waits_for_the_end_of_a_turn() {
    // A works from 0 to 3, B from 3 to 4, A from 4 to 11.
    assert_eq!(run(1, Some(3), &[0, 1], vec![vec![10, 1]]), [11, 3]);
    // A turn longer than the work: first come, first served.
    assert_eq!(run(1, Some(100), &[0, 1], vec![vec![10, 1]]), [10, 10]);
    // Sharing evenly: B gets half a core from 1 to 3.
    assert_eq!(run(1, None, &[0, 1], vec![vec![10, 1]]), [11, 2]);
}

#[test]
fn a_turn_that_was_over_before_anybody_waited_ends_when_somebody_does() {
    assert_eq!(run(1, Some(3), &[0, 7], vec![vec![10, 1]]), [11, 1]);
}

#[test]
fn phases_of_one_thread_share_its_turn() {
    // A: 2, then 1 of 2, its turn ends at 3; B: 1, then its second phase of 1; A: the rest.
    assert_eq!(run(1, Some(3), &[0, 1], vec![vec![2, 1], vec![2, 1]]), [6, 4]);
}

#[test]
fn two_cores_are_one_queue() {
    // Both cores are busy until 5 and 8; C, then D, take the first that is free.
    assert_eq!(run(2, Some(100), &[0, 0, 1, 2], vec![vec![5, 8, 2, 4]]), [5, 8, 6, 9]);
}

#[test]
fn with_a_core_for_each_thread_turns_change_nothing() {
    let arrivals: Vec<u64> = (0..40).map(|index| index * 3).collect();
    let work: Vec<u64> = (0..40).map(|index| 1 + (index * 7) % 23).collect();
    assert_eq!(run(40, Some(2), &arrivals, vec![work.clone()]), work);
}

#[test]
fn work_is_conserved() {
    let arrivals: Vec<u64> = vec![0; 30];
    let work: Vec<u64> = (1..=30).collect();
    let total: u64 = work.iter().sum();
    for turn in [1, 4, 1000] {
        assert_eq!(run(1, Some(turn), &arrivals, vec![work.clone()]).into_iter().max(), Some(total), "turn {turn}");
    }
}

#[test]
fn a_measured_share_of_the_busiest_replica_is_kept() {
    let arrivals = Arrivals::poisson(500.0, 20_000, 1).unwrap();
    let phases = [Phase { kind: Kind::Free, ns: Column::Same(1_000_000) }];
    let run = |busiest_permille| {
        let balance = Balance::Uneven { busiest_permille, seed: 1 };
        Replicas { cores: 2, turn_ns: None, replicas: 2, balance }.run(&arrivals, &phases).unwrap()
    };
    let alone = lindley(&arrivals, &vec![1_000_000; arrivals.len()]).unwrap();
    assert_eq!(run(1000).latencies_ns, alone.latencies_ns, "all go to one");
    let busy = |permille, worker: &str| run(permille).resource(worker).unwrap().busy_ns;
    let share = busy(740, "worker 0") / (busy(740, "worker 0") + busy(740, "worker 1"));
    assert!((share - 0.74).abs() < 0.01, "{share}");
}
