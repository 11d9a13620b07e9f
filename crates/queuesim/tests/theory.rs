//! Against closed forms, at sizes where they hold: two million requests a point, 40 batch means, four standard errors.

mod common;

use common::{assert_close, batch_means, exponential, mean, p99, poisson};
use queuesim::kingman::{allen_cunneen, erlang_c, erlang_c_wait, kingman};
use queuesim::lindley::lindley;
use queuesim::multi::multi;
use queuesim::{Arrivals, Window};

const COUNT: usize = 2_000_000;
const SERVICE: f64 = 1e6;

/// M/M/1: the latency is exponential with mean E[S]/(1 − ρ), so that p99 is ln 100 times the mean.
#[test]
fn mm1_mean_and_p99() {
    for (seed, utilization) in [(1, 0.5), (2, 0.7), (3, 0.8)] {
        let arrivals = poisson(utilization, 1, SERVICE, COUNT, seed);
        let simulation = lindley(&arrivals, &exponential(SERVICE, COUNT, seed + 100)).unwrap();
        let truth = SERVICE / (1.0 - utilization);
        assert_close(&format!("M/M/1 {utilization} mean"), batch_means(&simulation.latencies_ns, mean), truth, 0.02);
        assert_close(
            &format!("M/M/1 {utilization} p99"),
            batch_means(&simulation.latencies_ns, p99),
            truth * 100.0_f64.ln(),
            0.02,
        );
        let achieved = simulation.utilization("server").unwrap();
        assert!((achieved - utilization).abs() < 0.005);
        // Little's law, with a mean number of ρ/(1 − ρ) in the system.
        let occupancy = simulation.occupancy();
        assert!((occupancy.mean / (utilization / (1.0 - utilization)) - 1.0).abs() < 0.05);
    }
}

/// Erlang's series for the wait of M/D/1 with service time 1 (1909): P(W ≤ t) = (1 − ρ)·Σ (ρ(k − t))ᵏ/k!·e^(−ρ(k − t)), k from 0
/// to ⌊t⌋. Alternating, and good in double precision for the few service times that are needed here.
fn md1_wait_cdf(utilization: f64, t: f64) -> f64 {
    let term = |k: u32| {
        let x = utilization * (f64::from(k) - t);
        let power = (1..=k).fold(1.0, |power, i| power * x / f64::from(i));
        power * (-x).exp()
    };
    (1.0 - utilization) * (0..=t.floor() as u32).map(term).sum::<f64>()
}

fn md1_wait_p99(utilization: f64) -> f64 {
    let (mut low, mut high) = (0.0, 20.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if md1_wait_cdf(utilization, middle) < 0.99 { low = middle } else { high = middle }
    }
    high
}

/// M/D/1: Pollaczek and Khinchine's mean, and p99 by Erlang's series.
#[test]
fn md1_mean_and_p99() {
    for (seed, utilization) in [(11, 0.5), (12, 0.7), (13, 0.8)] {
        let arrivals = poisson(utilization, 1, SERVICE, COUNT, seed);
        let simulation = lindley(&arrivals, &vec![SERVICE as u64; COUNT]).unwrap();
        let wait = utilization / (2.0 * (1.0 - utilization)) * SERVICE;
        assert_close(&format!("M/D/1 {utilization} mean wait"), batch_means(&simulation.waits_ns, mean), wait, 0.02);
        assert_close(
            &format!("M/D/1 {utilization} p99"),
            batch_means(&simulation.latencies_ns, p99),
            (1.0 + md1_wait_p99(utilization)) * SERVICE,
            0.02,
        );
    }
}

/// M/M/c: Erlang C gives the share that waits and the mean wait.
#[test]
fn mmc_waits() {
    for (seed, servers, utilization) in [(21, 2, 0.5), (22, 2, 0.8), (23, 4, 0.7), (24, 8, 0.8), (25, 32, 0.9)] {
        let arrivals = poisson(utilization, servers, SERVICE, COUNT, seed);
        let simulation = multi(&arrivals, &exponential(SERVICE, COUNT, seed + 100), servers).unwrap();
        let name = format!("M/M/{servers} {utilization}");
        let truth = erlang_c_wait(servers, utilization, SERVICE);
        assert_close(&format!("{name} mean wait"), batch_means(&simulation.waits_ns, mean), truth, 0.04);
        let waiting = |waits: &[u64]| waits.iter().filter(|wait| **wait > 0).count() as f64 / waits.len() as f64;
        assert_close(
            &format!("{name} share that waits"),
            batch_means(&simulation.waits_ns, waiting),
            erlang_c(servers, utilization),
            0.02,
        );
    }
}

/// Erlang-4 service times: sums of four exponential ones, with a squared coefficient of variation of 1/4.
fn erlang4(count: usize, seed: u64) -> Vec<u64> {
    exponential(SERVICE / 4.0, 4 * count, seed).chunks_exact(4).map(|parts| parts.iter().sum()).collect()
}

/// Kingman's formula is exact for Poisson arrivals, and near in heavy traffic for others: gamma gaps of shape 4 and of shape
/// 1/2 before exponential and Erlang-4 services, at 90%, within 15%.
#[test]
fn kingman_in_heavy_traffic() {
    for (seed, burstiness) in [(31, 4.0), (32, 0.5), (33, 1.0)] {
        for (name, services, scv) in
            [("Erlang-4", erlang4(COUNT, seed), 0.25), ("exponential", exponential(SERVICE, COUNT, seed + 50), 1.0)]
        {
            let arrivals = Arrivals::renewal(0.9 * 1e9 / SERVICE, burstiness, COUNT, seed + 100).unwrap();
            let found = lindley(&arrivals, &services).unwrap().summary(Window::STEADY).mean_wait_ns;
            let formula = kingman(0.9, 1.0 / burstiness, scv, SERVICE);
            println!("G/G/1 burstiness {burstiness} {name}: {found:.0}, Kingman {formula:.0}");
            assert!((found / formula - 1.0).abs() < 0.15, "burstiness {burstiness}, {name}: {found} and {formula}");
        }
    }
    // Several servers, by Allen and Cunneen: 10% for M/E4/4 at 90%.
    let arrivals = poisson(0.9, 4, SERVICE, COUNT, 41);
    let found = multi(&arrivals, &erlang4(COUNT, 42), 4).unwrap().summary(Window::STEADY).mean_wait_ns;
    let formula = allen_cunneen(4, 0.9, 1.0, 0.25, SERVICE);
    println!("M/E4/4: {found:.0}, Allen-Cunneen {formula:.0}");
    assert!((found / formula - 1.0).abs() < 0.10);
}

/// M/G/1 with processor sharing: the mean latency depends on the mean service time only, E[S]/(1 − ρ) (Kleinrock 1976, section 4.4).
/// Tests the machine's shared cores: one core, as many threads as are ever needed.
#[test]
fn shared_cores_against_processor_sharing() {
    use queuesim::gil::{Gil, split};
    use queuesim::machine::Kind;
    use queuesim::pipeline::FrontEnd;
    let count = 400_000;
    for (name, seed, services) in
        [("M/M/1-PS", 51, exponential(SERVICE, count, 151)), ("M/D/1-PS", 52, vec![SERVICE as u64; count])]
    {
        let arrivals = poisson(0.7, 1, SERVICE, count, seed);
        let process = Gil { cores: 1, threads: 1000, lock: None, batch: None };
        let work = split(&services, 0.0, 1, Kind::BYTECODE).unwrap();
        let simulation = process.run(&arrivals, &FrontEnd::default(), &work).unwrap();
        let found = batch_means(&simulation.latencies_ns, mean);
        assert_close(name, found, SERVICE / 0.3, 0.03);
    }
}

/// The explanation of a simulated queue is the formula with the parts as they were: exact for M/M/1, and the busiest of
/// several resources is named.
#[test]
fn a_simulation_explains_itself() {
    let arrivals = poisson(0.8, 1, SERVICE, COUNT, 61);
    let services = exponential(SERVICE, COUNT, 62);
    let simulation = lindley(&arrivals, &services).unwrap();
    let found = simulation.explanation().unwrap();
    println!("{found:?}");
    assert_eq!((found.resource.as_str(), found.servers), ("server", 1));
    assert!((found.utilization - 0.8).abs() < 0.005);
    assert!((found.gap_scv - 1.0).abs() < 0.01 && (found.service_scv - 1.0).abs() < 0.01);
    assert!((found.wait_ns / simulation.summary(Window::STEADY).mean_wait_ns - 1.0).abs() < 0.05);

    use queuesim::gil::{Gil, split};
    use queuesim::machine::{Kind, LockRules};
    let (count, lock) = (100_000, Some(LockRules::default()));
    let arrivals = poisson(0.8, 1, SERVICE, count, 63);
    let work = split(&services[..count], 0.9, 1, Kind::HELD_CALL).unwrap();
    let process = Gil { cores: 4, threads: 64, lock, batch: None };
    let found = process.run(&arrivals, &queuesim::pipeline::FrontEnd::default(), &work).unwrap().explanation().unwrap();
    assert_eq!(found.resource, "lock");
    assert!((found.utilization - 0.72).abs() < 0.02);
    assert!((found.mean_service_ns / (0.9 * SERVICE) - 1.0).abs() < 0.02);
}
