//! What is asked.

use std::collections::BTreeMap;

use pipeline::RunOptions;
use pipeline::options::ProfileName;
use record::command;
use serde::Serialize;
use suites::axes::AxisValue;

use super::evidence::Size;

/// Least number of requests that are simulated, and sent by `--verify`: without the first tenth, in which queues fill, more
/// than 20,000 count.
pub const LEAST_REQUESTS: usize = 22_500;
/// Experiments that measure what the answer needs.
pub const MEASURED: &[&str] = &["1"];
/// Those that also measure what hand-over, front ends and servers cost.
pub const MEASURED_SERVERS: &[&str] = &["1", "5"];
/// The model that needs no naming.
pub const BUILT_IN: &str = "built-in";

/// A load and the level of service that it must get.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Question {
    /// Arrivals, requests a second.
    pub rps: f64,
    /// The 99th percentile of the latency must not exceed this, ns.
    pub p99_ns: f64,
    pub size: Size,
    /// As the run names it.
    pub model: String,
    /// Cores that may be used at most.
    pub cores: usize,
    /// Shape of the gamma gaps between arrivals; 1 is Poisson, below 1 is burstier.
    pub burstiness: f64,
    pub gpu: Option<Gpu>,
    /// What an hour of one core costs, USD.
    pub cpu_hour_price: f64,
    /// Requests of a simulated schedule.
    pub requests: usize,
    pub seed: u64,
}

/// The engine that waits for the requests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Gpu {
    pub step_ns: u64,
    /// Requests a step.
    pub batch: usize,
}

impl Question {
    /// The run that measures what the answer needs by these experiments: the asked size and its doubles, so that time can be fitted over
    /// messages and over tokens.
    pub fn measuring(&self, experiments: &[&str]) -> RunOptions {
        let Size { tokens, turns } = self.size;
        let doubled = |value: u32| vec![AxisValue::Number(value), AxisValue::Number(value.saturating_mul(2))];
        RunOptions {
            profile: Some(ProfileName::Quick),
            experiments: experiments.iter().map(|id| (*id).to_owned()).collect(),
            model: (self.model != BUILT_IN).then(|| self.model.clone()),
            axes: BTreeMap::from([("tokens".to_owned(), doubled(tokens)), ("turns".to_owned(), doubled(turns))]),
            ..RunOptions::suite("preprocessing")
        }
    }

    /// The same as a command.
    pub fn measuring_command(&self, experiments: &[&str]) -> String {
        command::shell(self.measuring(experiments).command())
    }

    /// `500 requests/s of 2,000 tokens in 20 turns`
    pub fn load(&self) -> String {
        format!("{} of {}", record::format::rate(self.rps, "requests"), self.size.words())
    }
}
