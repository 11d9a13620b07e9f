//! One server, first come first served.

use crate::arrivals::Arrivals;
use crate::error::{QueueError, same_length};
use crate::simulation::{Load, Resource, Simulation};

/// G/G/1 over given arrivals and service times (ns, one a request), exactly: `W₍ₙ₊₁₎ = max(0, Wₙ + Sₙ − (A₍ₙ₊₁₎ − Aₙ))`
/// (Lindley 1952). The resource is `server`.
///
/// Errors: [`QueueError::Length`].
pub fn lindley(arrivals: &Arrivals, services_ns: &[u64]) -> Result<Simulation, QueueError> {
    same_length("the list of service times", arrivals.len(), services_ns.len())?;
    let mut free = 0_u64;
    let latencies = arrivals.times_ns().iter().zip(services_ns).map(|(arrival, service)| {
        free = free.max(*arrival) + service;
        free - arrival
    });
    let latencies = latencies.collect();
    let demand = Load::of(services_ns);
    let server = Resource { name: "server".into(), servers: 1, busy_ns: demand.sum_ns, demand };
    Ok(Simulation::new(arrivals, latencies, services_ns, vec![server]))
}
