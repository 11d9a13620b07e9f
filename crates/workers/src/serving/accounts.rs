//! What a stretch of load was to the server: its own counters before and after, CPU of its processes and threads where it is on this
//! host, the GPUs, and how long the cheapest exchange with it took alone and meanwhile.
//!
//! Everything here is about the whole stretch, from its first request to its last answer: counters cannot be cut to the part of a closed loop
//! that is full.

use std::collections::BTreeMap;

use host::GpuWatch;
use loadgen::clock::now_ns;
use loadgen::listener::{Listening, listeners};
use loadgen::serving::latency_probe::{self, LatencyProbe};
use loadgen::serving::record::{From, Record};
use loadgen::serving::target::Place;
use loadgen::serving::{Run, accounts};
use loadgen::threads::{self, ProcessUse, Used};
use server_api::metrics::{self, Page};

use super::server::Running;

/// Exchanges before the load begins.
const ALONE: usize = 11;
/// Exchanges a second under load: a percent of a core of a slow front end.
const PROBES_PER_S: f64 = 10.0;
/// Threads of a process that are told apart: those with the most CPU time.
const MOST_THREADS: usize = 8;
/// Separates a process from its thread in the name of a reading.
const WITHIN: char = '>';

/// What was before the load.
pub struct Accounts<'a> {
    server: &'a Running,
    page: Option<Page>,
    processes: Vec<ProcessUse>,
    alone_ns: Option<f64>,
    probe: Option<LatencyProbe>,
    gpus: Option<GpuWatch>,
}

impl<'a> Accounts<'a> {
    /// Looks at the server before a stretch, and begins to watch. What cannot be had is unknown, and no error.
    pub fn open(server: &'a Running) -> Self {
        let is_local = server.access.target.is_local();
        let alone = latency_probe::alone(&server.access.target, server.key(), ALONE).ok();
        Self {
            page: accounts::page(&server.access.target, server.key()),
            processes: processes(server),
            alone_ns: alone.and_then(|exchanges| exchanges.median_ns()),
            gpus: is_local.then(GpuWatch::start).flatten(),
            // Two stretches never meet the server at the same moments.
            probe: LatencyProbe::start(&server.access.target, server.key(), PROBES_PER_S, now_ns()).ok(),
            server,
        }
    }

    /// Looks again after it: readings by name, durations in ns.
    pub fn close(self, run: &Run) -> BTreeMap<String, f64> {
        let mut readings = Readings::default();
        let exchanges = self.probe.map(LatencyProbe::stop).unwrap_or_default();
        for gpu in self.gpus.map(GpuWatch::stop).unwrap_or_default() {
            let share = gpu.mean_utilization_percent.map(|percent| percent / 100.0);
            readings.put(&format!("gpu_utilization:{}", gpu.index), share);
        }
        let after = processes(self.server);
        let seen = accounts::seen(&run.records);
        if !self.processes.is_empty() && seen.ok > 0 {
            readings.used(&threads::between(&self.processes, &after), seen.ok as f64);
        }
        let first_tokens: Vec<&Record> =
            run.records.iter().filter(|record| record.is_ok() && record.first_token_ns > 0).collect();
        let mean = |of: &dyn Fn(&Record) -> u64| {
            let n = first_tokens.len() as f64;
            (n > 0.0).then(|| first_tokens.iter().map(|record| of(record)).sum::<u64>() as f64 / n)
        };
        readings.put("all_requests", Some(seen.ok as f64));
        readings.put("all_duration_ns", Some(run.duration_ns as f64));
        readings.put("all_ttft_mean_ns", mean(&|record| record.ttft_ns(From::Scheduled).unwrap_or(0)));
        readings.put("all_client_wait_mean_ns", mean(&|record| record.sent_ns.saturating_sub(record.scheduled_ns)));
        readings.put("network_ns", self.alone_ns);
        readings.put("knock_mean_ns", exchanges.mean_ns());
        readings.put("knocks", Some(exchanges.took_ns.len() as f64));
        readings.put("knocks_failed", Some(exchanges.failed as f64));
        let (target, key) = (&self.server.access.target, self.server.key());
        if let Some(accounted) = self.page.and_then(|before| accounts::after(&before, &run.records, target, key)) {
            let account = accounted.account;
            readings.put("hit_rate", accounted.hit_rate);
            readings.put("server_requests", account.requests);
            readings.put("sent_requests", account.requests.map(|_| seen.sent as f64));
            readings.put("server_prompt_tokens", account.prompt_tokens);
            readings.put("sent_prompt_tokens", account.prompt_tokens.and(account.told(&seen)).map(|n| n as f64));
            readings.put("server_agrees", account.agrees(&seen).map(|agrees| f64::from(u8::from(agrees))));
            readings.put("server_ttft_mean_ns", account.ttft_ns);
            readings.put("server_queue_mean_ns", account.queue_ns);
            readings.put("server_prefill_mean_ns", account.prefill_ns);
        }
        readings.0
    }
}

#[derive(Default)]
struct Readings(BTreeMap<String, f64>);

impl Readings {
    fn put(&mut self, name: &str, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.0.insert(name.to_owned(), value);
        }
    }

    /// CPU time, and waiting for a core, by process and by its busiest threads; each for an answer.
    fn used(&mut self, used: &BTreeMap<String, Used>, answers: f64) {
        let all: u64 = used.values().map(|process| process.cpu_ns).sum();
        self.put("server_cpu_ns_per_request", Some(all as f64 / answers));
        for (process, of) in used {
            let process = plain(process);
            self.one(&process, of, answers);
            let mut threads: Vec<(&String, &Used)> = of.threads.iter().collect();
            threads.sort_by_key(|(_, used)| std::cmp::Reverse(used.cpu_ns));
            // A process of one thread is that thread.
            for (thread, of) in threads.into_iter().take(MOST_THREADS).filter(|_| of.threads.len() > 1) {
                self.one(&format!("{process}{WITHIN}{}", plain(thread)), of, answers);
            }
        }
    }

    fn one(&mut self, name: &str, used: &Used, answers: f64) {
        self.put(&format!("server_cpu_ns_per_request:{name}"), Some(used.cpu_ns as f64 / answers));
        let delay = used.run_delay_ns.map(|delay| delay as f64 / answers);
        self.put(&format!("server_run_delay_ns_per_request:{name}"), delay);
    }
}

/// A name without what separates names, and without what a terminal or a page could take for more than a name.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c == WITHIN || c.is_control() { '_' } else { c }).collect()
}

/// The family of the server, as its counters tell it.
pub fn family(server: &Running) -> Option<&'static str> {
    Some(metrics::of(&accounts::page(&server.access.target, server.key())?)?.server)
}

/// The server's processes: those that it was started with here, or the tree of those that listen at its address on this host. Empty where
/// they cannot be seen.
fn processes(server: &Running) -> Vec<ProcessUse> {
    let roots = match (server.pid(), &server.access.target.place) {
        (Some(pid), _) => vec![pid],
        (None, Place::Tcp { port, .. }) if server.access.target.is_local() => listeners(Listening::Port(*port)),
        (None, Place::Unix(path)) => listeners(Listening::Path(path)),
        (None, Place::Tcp { .. }) => Vec::new(),
    };
    let mut all: Vec<ProcessUse> = Vec::new();
    for process in roots.into_iter().flat_map(threads::of_tree) {
        // One listener can be the child of another.
        if all.iter().all(|known| known.pid != process.pid) {
            all.push(process);
        }
    }
    all
}

#[cfg(test)]
mod tests;
