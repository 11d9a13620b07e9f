//! Several identical servers with one queue.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::arrivals::Arrivals;
use crate::error::{QueueError, at_least_one, same_length};
use crate::simulation::{Load, Resource, Simulation};

/// G/G/c, first come first served, over given arrivals and service times (ns, one a request), exactly: each request goes to the
/// server that becomes free first (Kiefer and Wolfowitz 1955). The resource is `servers`.
///
/// Errors: [`QueueError::Length`], [`QueueError::Zero`].
pub fn multi(arrivals: &Arrivals, services_ns: &[u64], servers: usize) -> Result<Simulation, QueueError> {
    same_length("the list of service times", arrivals.len(), services_ns.len())?;
    at_least_one("the number of servers", servers)?;
    // More servers than requests are never used.
    let mut free: BinaryHeap<Reverse<u64>> = vec![Reverse(0); servers.min(arrivals.len())].into();
    let mut latencies = Vec::with_capacity(arrivals.len());
    for (arrival, service) in arrivals.times_ns().iter().zip(services_ns) {
        // The heap keeps its size, and has at least one server.
        if let Some(mut first) = free.peek_mut() {
            first.0 = first.0.max(*arrival) + service;
            latencies.push(first.0 - arrival);
        }
    }
    let demand = Load::of(services_ns);
    let resource = Resource { name: "servers".into(), servers, busy_ns: demand.sum_ns, demand };
    Ok(Simulation::new(arrivals, latencies, services_ns, vec![resource]))
}
