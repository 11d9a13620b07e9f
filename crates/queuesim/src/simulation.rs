//! What a simulation found.

use benchstats::order::quantile;

use crate::arrivals::Arrivals;

/// Which requests count, by their order of arrival.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Share of the requests that is left out at the start, in [0, 1): the queue starts empty and needs time to fill.
    pub skip: f64,
}

impl Window {
    /// Every request, for example where a simulation is laid beside a measurement of the same schedule.
    pub const ALL: Window = Window { skip: 0.0 };
    /// All but the first tenth.
    pub const STEADY: Window = Window { skip: 0.1 };

    fn start(self, count: usize) -> usize {
        ((self.skip.clamp(0.0, 1.0) * count as f64) as usize).min(count.saturating_sub(1))
    }
}

/// Something that requests wait for: servers, threads, cores, a lock.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    pub name: String,
    /// How many requests it serves at a time.
    pub servers: usize,
    /// Time for which it was occupied, ns, summed over its servers.
    pub busy_ns: f64,
    /// The least time for which the requests need it: their own work, with full batches. Threads are occupied for longer
    /// where they wait for a lock or share cores, batches where they are small.
    pub demand: Load,
}

/// What requests ask of a resource.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    /// Requests, with those that do not need it.
    pub requests: usize,
    pub sum_ns: f64,
    /// Sum of the squares, ns².
    pub squares_ns2: f64,
}

impl Load {
    /// The load of given times, ns.
    pub(crate) fn of(times_ns: &[u64]) -> Self {
        let mut load = Self::default();
        times_ns.iter().for_each(|ns| load.add(*ns as f64));
        load
    }

    pub(crate) fn add(&mut self, ns: f64) {
        self.requests += 1;
        self.sum_ns += ns;
        self.squares_ns2 += ns * ns;
    }

    /// Squared coefficient of variation of a request's time; 0 if there is no load.
    pub fn scv(&self) -> f64 {
        if self.sum_ns == 0.0 {
            return 0.0;
        }
        (self.squares_ns2 * self.requests as f64 / (self.sum_ns * self.sum_ns) - 1.0).max(0.0)
    }
}

/// A simulated schedule. All lists are in the order of arrival.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    pub arrivals_ns: Vec<u64>,
    /// Arrival to departure, ns.
    pub latencies_ns: Vec<u64>,
    /// The part of the latency that is not the request's own work, ns.
    pub waits_ns: Vec<u64>,
    /// The part of the wait in which it waited for a lock, ns; empty where no lock is simulated.
    pub lock_waits_ns: Vec<u64>,
    pub resources: Vec<Resource>,
}

/// Latencies of the requests of a window, ns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    pub window: Window,
    /// How many requests lie in the window.
    pub requests: usize,
    pub mean_ns: f64,
    pub mean_wait_ns: f64,
    pub p50_ns: u64,
    pub p90_ns: u64,
    pub p99_ns: u64,
    pub p999_ns: u64,
    pub max_ns: u64,
}

/// How many requests are in the system (waiting or served), over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Occupancy {
    /// Time average, from the first arrival to the last departure.
    pub mean: f64,
    /// Time average of those that wait: by Little's law the waits over the same time.
    pub mean_waiting: f64,
    pub max: usize,
    /// How many are still there when the last request arrives; in a stable queue it stays small, else it grows with the run.
    pub at_end: usize,
}

impl Simulation {
    /// When request `index` left, ns.
    pub fn departure_ns(&self, index: usize) -> u64 {
        self.arrivals_ns[index] + self.latencies_ns[index]
    }

    /// When each request left, in the order of arrival, ns.
    pub fn departures_ns(&self) -> Vec<u64> {
        (0..self.latencies_ns.len()).map(|index| self.departure_ns(index)).collect()
    }

    /// From the first arrival to the last departure, ns.
    pub fn makespan_ns(&self) -> u64 {
        let last = (0..self.latencies_ns.len()).map(|index| self.departure_ns(index)).max().unwrap_or(0);
        last - self.arrivals_ns.first().copied().unwrap_or(0)
    }

    /// Departures a second over the makespan; NaN if it is 0.
    pub fn throughput(&self) -> f64 {
        self.latencies_ns.len() as f64 * 1e9 / self.makespan_ns() as f64
    }

    /// The resource of a name.
    pub fn resource(&self, name: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.name == name)
    }

    /// Achieved utilization: the share of the makespan for which the resource's servers were occupied, in [0, 1]; 0 if no time passed.
    /// None if there is no such resource.
    pub fn utilization(&self, name: &str) -> Option<f64> {
        self.resource(name).map(|it| it.busy_ns / (it.servers as f64 * self.makespan_ns().max(1) as f64))
    }

    /// Offered utilization: the demand over the time in which requests arrive. Above 1 the queue grows for as long as the
    /// load lasts, and latencies mean nothing but the length of the run. None if there is no such resource.
    pub fn offered(&self, name: &str) -> Option<f64> {
        let arrivals = &self.arrivals_ns;
        let span = arrivals.last()? - arrivals.first()?;
        self.resource(name).map(|it| it.demand.sum_ns / (it.servers as f64 * span as f64))
    }

    /// The resource with the highest offered utilization, and that utilization. None without resources.
    pub fn bottleneck(&self) -> Option<(&Resource, f64)> {
        let offered = |it: &Resource| self.offered(&it.name).unwrap_or(0.0);
        self.resources.iter().map(|it| (it, offered(it))).max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Whether the load is more than can be served: a resource is offered as much as it has or more, or more than a twentieth of
    /// the requests still wait when the last one arrives (threads, a lock and cores can delay each other so that none of
    /// them is used in full).
    pub fn is_overloaded(&self) -> bool {
        // Those in service do not wait. Cores serve whom the threads serve.
        let servers: usize = self.resources.iter().filter(|it| it.name != "cores").map(|it| it.servers).sum();
        self.bottleneck().is_some_and(|(_, offered)| offered >= 1.0)
            || self.occupancy().at_end > servers + self.arrivals_ns.len() / 20
    }

    /// Latencies of the requests of a window, ns, in ascending order.
    pub fn sorted_ns(&self, window: Window) -> Vec<u64> {
        let mut sorted = self.latencies_ns[window.start(self.latencies_ns.len())..].to_vec();
        sorted.sort_unstable();
        sorted
    }

    /// Mean and percentiles of a window.
    pub fn summary(&self, window: Window) -> Summary {
        let start = window.start(self.latencies_ns.len());
        let sorted = self.sorted_ns(window);
        let mean = |values: &[u64]| values.iter().map(|ns| *ns as f64).sum::<f64>() / values.len() as f64;
        Summary {
            window,
            requests: sorted.len(),
            mean_ns: mean(&sorted),
            mean_wait_ns: mean(&self.waits_ns[start..]),
            p50_ns: percentile(&sorted, 0.5),
            p90_ns: percentile(&sorted, 0.9),
            p99_ns: percentile(&sorted, 0.99),
            p999_ns: percentile(&sorted, 0.999),
            max_ns: percentile(&sorted, 1.0),
        }
    }

    /// The mean time that the requests at or above the `p`-quantile of a window waited for a lock, over their mean
    /// latency, in [0, 1]: how much of the tail the lock is. 0 where no lock is simulated.
    pub fn lock_share_of_tail(&self, window: Window, p: f64) -> f64 {
        if self.lock_waits_ns.is_empty() {
            return 0.0;
        }
        let limit = percentile(&self.sorted_ns(window), p);
        let start = window.start(self.latencies_ns.len());
        let tail = (start..self.latencies_ns.len()).filter(|index| self.latencies_ns[*index] >= limit);
        let (locked, all) = tail.fold((0.0, 0.0), |(locked, all), index| {
            (locked + self.lock_waits_ns[index] as f64, all + self.latencies_ns[index] as f64)
        });
        if all > 0.0 { locked / all } else { 0.0 }
    }

    /// How many requests were in the system.
    pub fn occupancy(&self) -> Occupancy {
        let mut departures = self.departures_ns();
        departures.sort_unstable();
        let (mut gone, mut max, mut now) = (0, 0, 0);
        for (index, arrival) in self.arrivals_ns.iter().enumerate() {
            while departures[gone] <= *arrival && gone < index {
                gone += 1;
            }
            now = index + 1 - gone;
            max = max.max(now);
        }
        let makespan = self.makespan_ns().max(1) as f64;
        let sum = |values: &[u64]| values.iter().map(|ns| *ns as f64).sum::<f64>();
        Occupancy {
            mean: sum(&self.latencies_ns) / makespan,
            mean_waiting: sum(&self.waits_ns) / makespan,
            max,
            at_end: now,
        }
    }
}

impl Simulation {
    /// From departures of a queue in which nothing but `demand_ns` is the request's own work.
    pub(crate) fn new(
        arrivals: &Arrivals,
        latencies_ns: Vec<u64>,
        demand_ns: &[u64],
        resources: Vec<Resource>,
    ) -> Self {
        let waits_ns = latencies_ns.iter().zip(demand_ns).map(|(all, own)| all.saturating_sub(*own)).collect();
        Self { arrivals_ns: arrivals.times_ns().to_vec(), latencies_ns, waits_ns, lock_waits_ns: Vec::new(), resources }
    }
}

/// The `p`-quantile of values in ascending order by nearest rank ([`quantile`]); 0 if there is none.
pub fn percentile(sorted: &[u64], p: f64) -> u64 {
    quantile(sorted, p.clamp(0.0, 1.0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simulation() -> Simulation {
        let arrivals = Arrivals::new(vec![0, 10, 20, 100]).unwrap();
        let resource =
            Resource { name: "server".into(), servers: 1, busy_ns: 100.0, demand: Load::of(&[30, 30, 20, 20]) };
        Simulation::new(&arrivals, vec![30, 50, 60, 20], &[30, 30, 20, 20], vec![resource])
    }

    #[test]
    fn by_hand() {
        let simulation = simulation();
        assert_eq!(simulation.departures_ns(), [30, 60, 80, 120]);
        assert_eq!(simulation.waits_ns, [0, 20, 40, 0]);
        assert_eq!(simulation.makespan_ns(), 120);
        assert_eq!(simulation.utilization("server"), Some(100.0 / 120.0));
        assert_eq!(simulation.offered("server"), Some(1.0));
        assert_eq!(simulation.utilization("nobody"), None);
        let occupancy = simulation.occupancy();
        assert_eq!((occupancy.max, occupancy.at_end), (3, 1));
        assert!((occupancy.mean - 160.0 / 120.0).abs() < 1e-12);
        assert!((occupancy.mean_waiting - 60.0 / 120.0).abs() < 1e-12);
    }

    #[test]
    fn windows_and_percentiles() {
        let all = simulation().summary(Window::ALL);
        assert_eq!((all.requests, all.p50_ns, all.p99_ns, all.max_ns), (4, 30, 60, 60));
        let half = simulation().summary(Window { skip: 0.5 });
        assert_eq!((half.requests, half.p50_ns, half.max_ns), (2, 20, 60));
        assert_eq!(half.mean_ns, 40.0);
        let values: Vec<u64> = (1..=100).collect();
        assert_eq!(percentile(&values, 0.99), 99);
        assert_eq!(percentile(&[], 0.5), 0);
    }
}
