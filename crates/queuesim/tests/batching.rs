//! Batches by hand, and what they do to a queue.

mod common;

use common::{p99, poisson};
use queuesim::batching::batching;
use queuesim::machine::{Batch, Kind, WindowFrom};
use queuesim::{Arrivals, Simulation, Window};

fn run(times: &[u64], each: u64, workers: usize, max: usize, window_ns: u64, from: WindowFrom) -> Simulation {
    let batch = Batch { max, window_ns, from, fixed: vec![(Kind::Free, 100)] };
    let arrivals = Arrivals::new(times.to_vec()).unwrap();
    batching(&arrivals, &vec![each; times.len()], workers, &batch).unwrap()
}

/// No window: the worker takes what waits. 0 alone until 110; then 10, 20, 30 together, 100 + 3·10.
#[test]
fn without_a_window_it_takes_what_is_there() {
    let found = run(&[0, 10, 20, 30], 10, 1, 8, 0, WindowFrom::Pickup);
    assert_eq!(found.departures_ns(), [110, 240, 240, 240]);
    assert_eq!(found.resource("workers").unwrap().busy_ns, 240.0);
    assert_eq!(run(&[0, 10, 20, 30], 10, 1, 2, 0, WindowFrom::Pickup).departures_ns(), [110, 230, 230, 340]);
}

/// A window of 50: the first batch collects until 50; the next worker's window depends on where it starts.
#[test]
fn windows_start_at_arrival_or_at_pickup() {
    let times = [0, 40, 60, 300];
    // 0 and 40 run 50-170. 60 waited since 60: from its arrival the window is over at 170, from its pickup at 220.
    assert_eq!(run(&times, 10, 1, 8, 50, WindowFrom::Arrival).departures_ns(), [170, 170, 280, 460]);
    assert_eq!(run(&times, 10, 1, 8, 50, WindowFrom::Pickup).departures_ns(), [170, 170, 330, 490]);
}

#[test]
fn a_full_batch_does_not_wait() {
    let found = run(&[0, 5, 9, 9], 10, 2, 2, 1000, WindowFrom::Pickup);
    // 0 and 5 start at 5, the two at 9 start at once on the other worker.
    assert_eq!(found.departures_ns(), [125, 125, 129, 129]);
}

/// Batches spread the fixed cost: a request alone takes 110 ns, in a full batch of 64 it takes 11.6 ns.
#[test]
fn batches_carry_a_load_that_single_requests_cannot() {
    let arrivals = poisson(5.0, 1, 110.0, 50_000, 3);
    let services = vec![10; arrivals.len()];
    let at_most = |max| {
        let batch = Batch { max, window_ns: 0, from: WindowFrom::Pickup, fixed: vec![(Kind::Free, 100)] };
        batching(&arrivals, &services, 1, &batch).unwrap()
    };
    let (single, batched) = (at_most(1), at_most(64));
    assert!(single.offered("workers").unwrap() > 4.0);
    // A worker that takes what is there is always busy, with batches as small as the load allows: about 8 here, since
    // 100 + 10·n = 22·n. That is not an overload.
    assert!(batched.utilization("workers").unwrap() > 0.95);
    assert!((batched.offered("workers").unwrap() - (10.0 + 100.0 / 64.0) / 22.0).abs() < 0.01);
    assert!(single.is_overloaded() && !batched.is_overloaded());
    assert!(p99(&batched.latencies_ns) < 2000.0);
    assert!(single.summary(Window::STEADY).p50_ns > 1_000_000);
    // In overload batches fill: the requests served a second approach 64/(100 + 640 ns).
    let flood = Arrivals::new(vec![0; 6400]).unwrap();
    let batch = Batch { max: 64, window_ns: 0, from: WindowFrom::Arrival, fixed: vec![(Kind::Free, 100)] };
    let found = batching(&flood, &vec![10; 6400], 1, &batch).unwrap();
    // The first arrival starts alone, at once: 1, then 99 full batches, then 63.
    assert_eq!(found.makespan_ns(), 110 + 99 * 740 + 730);
}
