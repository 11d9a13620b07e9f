//! Why requests wait: the busiest resource by Kingman's formula, beside what the simulation found.

use crate::arrivals::scv;
use crate::kingman::allen_cunneen;
use crate::simulation::Simulation;

/// The parts of the formula for the resource that is offered the most. It treats the resource as if it stood alone and
/// requests came to it as they arrive, so that it explains a simulated wait and does not replace it.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    pub resource: String,
    pub servers: usize,
    /// Offered utilization.
    pub utilization: f64,
    /// Squared coefficient of variation of the gaps between arrivals.
    pub gap_scv: f64,
    /// Squared coefficient of variation of a request's time at the resource.
    pub service_scv: f64,
    pub mean_service_ns: f64,
    /// Mean wait for the resource, ns; infinite from a utilization of 1 on.
    pub wait_ns: f64,
}

impl Simulation {
    /// Kingman's formula (of Allen and Cunneen for several servers) for the bottleneck. None without resources or with fewer
    /// than three requests.
    pub fn explanation(&self) -> Option<Explanation> {
        let (resource, utilization) = self.bottleneck()?;
        let count = self.arrivals_ns.len();
        if count < 3 {
            return None;
        }
        let gap_scv = scv(self.arrivals_ns.windows(2).map(|pair| pair[1] - pair[0]));
        let mean_service_ns = resource.demand.sum_ns / count as f64;
        let service_scv = resource.demand.scv();
        Some(Explanation {
            resource: resource.name.clone(),
            servers: resource.servers,
            utilization,
            gap_scv,
            service_scv,
            mean_service_ns,
            wait_ns: allen_cunneen(resource.servers, utilization, gap_scv, service_scv, mean_service_ns),
        })
    }
}
