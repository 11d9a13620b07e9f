//! How many requests a second of machine time each model simulates: `cargo run --release -p queuesim --example speed`.

use std::hint::black_box;
use std::time::Instant;

use queuesim::gil::{Gil, split};
use queuesim::machine::{Batch, Kind, LockRules, Phase, SWITCH_INTERVAL_NS, WindowFrom};
use queuesim::pipeline::FrontEnd;
use queuesim::pools::{Balance, Pool, Replicas};
use queuesim::service::Column;
use queuesim::{Arrivals, QueueError, Service, Simulation};

const COUNT: usize = 1_000_000;
const ROUNDS: usize = 5;
const MS: f64 = 1e6;

/// The best of five rounds: what else the machine does can only slow it down.
fn report(name: &str, mut run: impl FnMut() -> Result<Simulation, QueueError>) -> Result<(), QueueError> {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        black_box(run()?);
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{name:48} {:8.2} million requests/s", COUNT as f64 / best / 1e6);
    Ok(())
}

fn main() -> Result<(), QueueError> {
    // Exponential service times of mean 1 ms, as samples to draw from.
    let gaps = Arrivals::poisson(1e9 / MS, 10_001, 1)?;
    let samples = gaps.times_ns().windows(2).map(|pair| pair[1] - pair[0]).collect();
    let services = Service::Samples(samples).draw(COUNT, 2)?;
    let at = |rate: f64| Arrivals::poisson(rate, COUNT, 3);
    let (one, four) = (at(800.0)?, at(3200.0)?);
    report("lindley, 80%", || queuesim::lindley::lindley(&one, &services))?;
    report("multi, 4 servers, 80%", || queuesim::multi::multi(&four, &services, 4))?;
    report("multi, 64 servers, 80%", || queuesim::multi::multi(&at(51_200.0)?, &services, 64))?;
    let front = FrontEnd {
        before: vec![Phase { kind: Kind::BYTECODE, ns: Column::Same(20_000) }],
        after: vec![Phase { kind: Kind::BYTECODE, ns: Column::Same(20_000) }],
    };
    let lock = Some(LockRules { switch_interval_ns: Some(SWITCH_INTERVAL_NS), hand_over_ns: 5_000 });
    for (hold, rate) in [(0.0, 2_500.0), (0.3, 2_000.0), (0.9, 800.0)] {
        let arrivals = at(rate)?;
        let work = split(&services, hold, 1, Kind::HELD_CALL)?;
        for threads in [4, 64] {
            let process = Gil { cores: 4, threads, lock: lock.clone(), batch: None };
            let name = format!("gil, front end, {threads} threads, 4 cores, hold {hold}");
            report(&name, || process.run(&arrivals, &front, &work))?;
        }
    }
    let free = vec![Phase { kind: Kind::Free, ns: Column::Each(services.clone()) }];
    let pool = Pool { cores: 8, workers: 4, batch: None };
    report("pool, front end, 4 workers", || pool.run(&four, &front, &free))?;
    let replicas = Replicas { cores: 4, turn_ns: None, replicas: 4, balance: Balance::Random { seed: 1 } };
    report("4 replicas, random", || replicas.run(&four, &free))?;
    let batch = Batch { max: 64, window_ns: 2_000_000, from: WindowFrom::Pickup, fixed: vec![(Kind::Free, 100_000)] };
    report("batching, 4 workers, 2 ms", || queuesim::batching::batching(&four, &services, 4, &batch))?;
    Ok(())
}
