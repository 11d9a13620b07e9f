//! A stretch of load on a server, and what a client saw.

use std::collections::BTreeMap;
use std::time::Instant;

use loadgen::arrivals::{Extent, Intensity, Schedule, Spacing};
use loadgen::capacity::{MOST_FAILED, Stop, search};
use loadgen::driver::{Control, Options};
use loadgen::lateness::{Lateness, Reason, Verdict};
use loadgen::order::{CAPACITY, CONCURRENCY, LoadOrder};
use loadgen::outcome::ErrorClass;
use loadgen::serving::figures::{Distribution, Figures};
use loadgen::serving::record::{From, Record};
use loadgen::serving::server::{Access, Found};
use loadgen::serving::session::{Load, stagger_ns};
use loadgen::serving::target::Target;
use loadgen::serving::verdict::{judge, lateness, measured_error};
use loadgen::serving::{Run, run};
use loadgen::transport::{Protocol, Sockets};
use record::protocol::Sample;
use record::protocol::target::Patience;
use server_api::Settings;

use super::accounts::Accounts;
use super::asks::{Pool, Way};
use super::patience::{open_s, request_ns};
use super::server::Running;
use super::sidecar::Sidecar;
use crate::clock::now;
use crate::load_worker::Refusal;

const PERCENTILES: [f64; 4] = [50.0, 90.0, 95.0, 99.0];
/// Opening a connection may take this, ns.
const CONNECT_NS: u64 = 5_000_000_000;
/// Connections that are open before an open loop starts; more are opened where they are needed, and counted.
const CONNECTIONS: usize = 64;
/// Answers that each user of a closed loop is to have, and all of them together.
const ROUNDS: f64 = 3.0;
const LEAST_ANSWERS: f64 = 50.0;
/// A stretch that is shorter than it should be by this factor is long enough.
const ENOUGH: f64 = 1.1;
/// Most requests at once in the search for the plateau.
const MOST_AT_ONCE: usize = 128;
const WARM_AT_ONCE: usize = 4;

/// A server, and what it is asked.
pub struct Drive<'a> {
    pub server: &'a Running,
    /// Requests go to it, and from it to the server.
    pub sidecar: Option<&'a Sidecar>,
    pub way: &'a Way,
    pub pool: &'a Pool,
    pub patience: &'a Patience,
    /// What one request alone showed ([`Drive::look`]).
    pub found: Found,
    pub offset: usize,
}

/// A stretch and everything that was counted around it.
pub struct Stretch {
    pub run: Run,
    pub figures: Figures,
    pub lateness: Lateness,
    pub verdict: Verdict,
    /// What the server's own counters and the system say of the whole stretch.
    accounts: BTreeMap<String, f64>,
    /// CPU time of the sidecar for an answer, ns.
    sidecar_cpu_ns: Option<f64>,
    /// Mean number of requests between sent and done.
    in_flight: f64,
    /// Each request was to be one that no cache has met, and the server found this share of their tokens in its cache all the same.
    contradicted: Option<f64>,
}

impl Drive<'_> {
    /// Drives the server as ordered. The sample names no cell and block.
    pub fn block(&self, order: &LoadOrder) -> Result<Sample, Refusal> {
        match order {
            LoadOrder::Closed { concurrency, span_ns } => {
                let concurrency = usize::try_from(*concurrency).map_err(Refusal::failed)?;
                Ok(self.closed(concurrency, *span_ns)?.sample(concurrency as f64))
            }
            LoadOrder::Open { per_s, requests, seed } => {
                let count = usize::try_from(*requests).map_err(Refusal::failed)?;
                let most_s = open_s(self.patience, count as f64 / per_s);
                Ok(self.open(*per_s, count, most_s, *seed)?.sample(*per_s))
            }
            LoadOrder::Limit { search, span_ns, seed } => super::limit::search(self, *search, *span_ns, *seed),
            LoadOrder::Search { span_ns } => self.plateau(*span_ns),
        }
    }

    /// So many requests at once, for so long, or longer where answers take so long that few users would be answered twice.
    ///
    /// Counted is from when every user has had an answer until no more requests are sent: between them the loop is full.
    fn closed(&self, concurrency: usize, span_ns: u64) -> Result<Stretch, Refusal> {
        let (stretch, seconds) = (self.closed_for(concurrency, span_ns)?, span_ns as f64 / 1e9);
        let answers = stretch.run.records.iter().filter(|record| record.is_ok()).count() as f64;
        let wanted = (ROUNDS * concurrency as f64).max(LEAST_ANSWERS);
        let needed_s = wanted / (answers / (stretch.run.duration_ns as f64 / 1e9));
        let most_s = self.patience.stretch_s.max(seconds);
        let (stretch, seconds) = if needed_s <= seconds * ENOUGH || most_s <= seconds * ENOUGH {
            (stretch, seconds)
        } else {
            let longer_s = (needed_s * ENOUGH).min(most_s);
            (self.closed_for(concurrency, (longer_s * 1e9) as u64)?, longer_s)
        };
        stretch.steady(concurrency, (seconds * 1e9) as u64).ok_or_else(|| {
            Refusal::failed(format!(
                "with {concurrency} requests at once, answers take so long that none was answered twice within {seconds:.0} s; ask for fewer at \
                 once, for shorter prompts or for shorter answers"
            ))
        })
    }

    fn closed_for(&self, concurrency: usize, span_ns: u64) -> Result<Stretch, Refusal> {
        self.stretch(self.users(concurrency, Extent::duration(span_ns)), concurrency)
    }

    /// Closed loop over concurrency 1, 2, 4, … to the plateau of throughput.
    ///
    /// Where the client was late at every point, their throughput is shown all the same, and the sample says why it is INVALID.
    fn plateau(&self, span_ns: u64) -> Result<Sample, Refusal> {
        let mut reasons = Vec::new();
        let began = Instant::now();
        let found = search(MOST_AT_ONCE, |concurrency| {
            if concurrency > 1 && began.elapsed().as_secs_f64() > self.patience.search_s {
                return Ok(None);
            }
            let stretch = self.closed(concurrency, span_ns)?;
            let throughput = stretch.figures.request_throughput;
            reasons.extend(stretch.verdict.reasons.iter().copied());
            Ok::<_, Refusal>(Some(loadgen::capacity::Point {
                concurrency,
                throughput,
                failed: stretch.figures.failed as f64 / stretch.figures.sent.max(1) as f64,
                valid: stretch.verdict.is_valid(),
            }))
        })?;
        let answered = found.points.iter().filter(|point| point.failed <= MOST_FAILED);
        let best = answered.max_by(|a, b| a.throughput.total_cmp(&b.throughput));
        let usable = found.plateau.zip(found.knee);
        let (plateau, knee) = usable
            .or(best.map(|point| (point.throughput, point.concurrency)))
            .ok_or_else(|| Refusal::failed("requests failed at every number of requests at once"))?;
        // As many calls as the plateau's rate makes in a span: the sample's time of a call is the rate's inverse.
        let calls = ((plateau * span_ns as f64 / 1e9).round() as u64).max(1);
        let length = (calls as f64 / plateau * 1e9).round() as u64;
        let mut readings = BTreeMap::from([
            (CONCURRENCY.to_owned(), knee as f64),
            (CAPACITY.to_owned(), plateau),
            ("points".to_owned(), found.points.len() as f64),
            ("out_of_time".to_owned(), f64::from(u8::from(found.stop == Stop::Time))),
            ("valid".to_owned(), f64::from(u8::from(usable.is_some()))),
        ]);
        if usable.is_none() {
            readings.extend(reasons.iter().map(|reason| (reason_name(*reason).to_owned(), 1.0)));
            let errors = reasons.iter().filter_map(|reason| match reason {
                Reason::ClientError { p99_ns, .. } => Some(*p99_ns as f64),
                _ => None,
            });
            readings.extend(errors.reduce(f64::max).map(|worst| ("client_error_p99_ns".to_owned(), worst)));
        }
        Ok(Sample { start_ns: 0, end_ns: length.max(1), calls, readings, ..Sample::default() })
    }

    /// Where requests go.
    fn target(&self) -> &Target {
        self.sidecar.map_or(&self.server.access.target, |sidecar| &sidecar.target)
    }

    /// Sends one request. What is wrong with it shows under load, and is said there.
    pub fn look(&self) -> Found {
        let server = self.server;
        let body = self.pool.one(self.way, server.model.as_deref(), self.offset, self.way.output_tokens, true);
        let access = Access {
            target: self.target().clone(),
            backend: self.way.backend,
            timeout_ns: request_ns(self.patience),
            ..server.access.clone()
        };
        let settings = Settings { model: server.model.clone(), ..Settings::default() };
        body.and_then(|body| access.examine(&settings, &[], &body)).unwrap_or_default()
    }

    /// A closed loop whose users begin over one response time.
    fn users(&self, concurrency: usize, extent: Extent) -> Load<'static> {
        Load::Closed { concurrency, extent, stagger_ns: stagger_ns(self.found.response_ns, concurrency, extent) }
    }

    /// Asks for so many requests of the pool, so that a cache of the server has met what will come again.
    pub fn warm(&self, requests: usize) -> Result<(), Refusal> {
        let extent = Extent { count: Some(requests), duration_ns: Some((self.patience.warm_s * 1e9) as u64) };
        self.stretch(self.users(WARM_AT_ONCE, extent), WARM_AT_ONCE).map(drop)
    }

    /// Poisson arrivals at a rate: so many, and those of at most so long.
    pub fn open(&self, per_s: f64, count: usize, most_s: f64, seed: u64) -> Result<Stretch, Refusal> {
        let intensity = Intensity::Constant { rate: per_s };
        let extent = Extent { count: Some(count), duration_ns: Some((most_s * 1e9) as u64) };
        let schedule = Schedule::generate(&intensity, Spacing::Poisson, extent, seed).map_err(Refusal::failed)?;
        self.stretch(Load::Open { schedule: &schedule, cap: None }, CONNECTIONS.min(count))
    }

    fn stretch(&self, load: Load<'_>, connections: usize) -> Result<Stretch, Refusal> {
        let server = self.server;
        // No stretch of this boot has the same: what one made unique, another must not find in the server's cache.
        let number = now();
        let sessions = self.pool.sessions(self.way, server.model.as_deref(), number).map_err(Refusal::failed)?;
        let target = self.target();
        let mut protocol = Protocol::post(target, self.way.backend, server.key());
        protocol.single_use = self.found.closes;
        let sockets = Sockets::to_server(target, protocol, CONNECT_NS).map_err(Refusal::failed)?;
        let connections = if self.found.closes { 0 } else { connections };
        let options =
            Options { connections, timeout_ns: request_ns(self.patience), offset: self.offset, ..Options::default() };
        let accounts = Accounts::open(server);
        let sidecar_before = self.sidecar.and_then(Sidecar::cpu_ns);
        let run = run(sockets, &sessions, load, &options, &Control::default(), None).map_err(Refusal::failed)?;
        let sidecar_after = self.sidecar.and_then(Sidecar::cpu_ns);
        let accounts = accounts.close(&run);
        let figures = Figures::of(&run, None, &PERCENTILES);
        if figures.completed == 0 {
            return Err(Refusal::failed(format!("no request was answered{}", self.first_error(&run))));
        }
        let lateness = lateness(&run);
        let median = figures.ttft.as_ref().map(Distribution::median);
        let verdict = judge(&run, &lateness, median, measured_error(&run));
        let sidecar_cpu_ns = sidecar_before
            .zip(sidecar_after)
            .map(|(before, after)| after.saturating_sub(before) as f64 / figures.completed as f64);
        let in_flight = in_flight(&run.records, run.start_ns, run.start_ns + run.duration_ns);
        let contradicted = if self.way.unique { unique_hits(&figures, &accounts) } else { None };
        Ok(Stretch { run, figures, lateness, verdict, accounts, sidecar_cpu_ns, in_flight, contradicted })
    }

    fn first_error(&self, run: &Run) -> String {
        let Some((class, failures)) = run.errors.0.iter().next() else { return String::new() };
        let remedy = if *class == ErrorClass::Timeout {
            format!(
                "; it takes longer than {} s: ask for fewer requests at once, shorter prompts or shorter answers",
                self.patience.request_s
            )
        } else {
            String::new()
        };
        let (failed, of) = (run.errors.total(), run.records.len());
        format!(": {failed} of {of} ({}, the first: {}){remedy}", class.name(), failures.first)
    }
}

/// Mean number of requests between sent and done within a window.
fn in_flight(records: &[Record], from_ns: u64, to_ns: u64) -> f64 {
    let inside = |record: &Record| {
        let end = if record.done_ns > 0 { record.done_ns } else { to_ns };
        end.min(to_ns).saturating_sub(record.sent_ns.max(from_ns))
    };
    let open = records.iter().filter(|record| record.sent_ns > 0);
    open.map(inside).sum::<u64>() as f64 / to_ns.saturating_sub(from_ns).max(1) as f64
}

impl Stretch {
    /// The part of a closed loop in which it is full: the answers from when every user has had one until no more requests are sent. None
    /// without such a part.
    fn steady(mut self, concurrency: usize, span_ns: u64) -> Option<Self> {
        let first = self.run.records.iter().filter(|record| (record.session as usize) < concurrency);
        let from_ns = first.map(|record| record.done_ns).max()?;
        let to_ns = self.run.start_ns + span_ns;
        if to_ns <= from_ns {
            return None;
        }
        self.in_flight = in_flight(&self.run.records, from_ns, to_ns);
        self.run.records.retain(|record| record.done_ns > from_ns && record.done_ns <= to_ns);
        (self.run.start_ns, self.run.duration_ns) = (from_ns, to_ns - from_ns);
        self.figures = Figures::of(&self.run, None, &PERCENTILES);
        (self.figures.completed > 0).then_some(self)
    }

    /// The readings of a cell. `offered` is the concurrency or the rate that was asked for.
    pub fn sample(&self, offered: f64) -> Sample {
        let (run, figures) = (&self.run, &self.figures);
        let mut readings = BTreeMap::new();
        let mut read = |name: &str, value: f64| {
            if value.is_finite() {
                readings.insert(name.to_owned(), value);
            }
        };
        read("offered", offered);
        read("throughput_per_s", figures.request_throughput);
        read("output_tokens_per_s", figures.output_throughput);
        read("requests", figures.sent as f64);
        read("failed", figures.failed as f64);
        read("in_flight", self.in_flight);
        read("prompt_tokens", figures.input_tokens as f64 / figures.completed as f64);
        read("cached_tokens", figures.cached_tokens as f64 / figures.completed as f64);
        for (name, distribution) in [
            ("ttft", &figures.ttft),
            ("ttft_sent", &figures.ttft_sent),
            ("tpot", &figures.tpot),
            ("gap", &figures.gap),
            ("e2e", &figures.e2e),
            ("connect", &figures.connect),
        ] {
            let Some(distribution) = distribution else { continue };
            read(&format!("{name}_mean_ns"), distribution.mean);
            for percentile in [50.0, 90.0, 95.0, 99.0] {
                if let Some(value) = distribution.percentile(percentile) {
                    read(&format!("{name}_p{percentile}_ns"), value);
                }
            }
        }
        // Between the last byte of the request and the last of the answer: what Little's law is about.
        let open = |record: &&Record| record.sent_ns > 0 && record.done_ns > 0;
        let spans: Vec<f64> = run
            .records
            .iter()
            .filter(open)
            .map(|record| record.done_ns.saturating_sub(record.sent_ns) as f64)
            .collect();
        read("response_mean_ns", spans.iter().sum::<f64>() / spans.len().max(1) as f64);
        read("finished_per_s", spans.len() as f64 / figures.duration_s);
        read("valid", f64::from(u8::from(self.verdict.is_valid())));
        for reason in &self.verdict.reasons {
            read(reason_name(*reason), 1.0);
        }
        if let Some(share) = self.contradicted {
            read("valid", 0.0);
            read("invalid_unique_hits", 1.0);
            read("unique_hit_share", share);
        }
        read("lateness_p99_ns", self.lateness.own.p99_ns as f64);
        read("generator_share", run.usage.share());
        read("generator_real_time", f64::from(u8::from(run.usage.real_time)));
        if let Some(error) = measured_error(run) {
            read("client_error_p99_ns", error.p99_ns as f64);
        }
        if let Some(cpu) = self.sidecar_cpu_ns {
            read("sidecar_cpu_ns_per_request", cpu);
        }
        readings.extend(self.accounts.iter().map(|(name, value)| (name.clone(), *value)));
        Sample {
            start_ns: run.start_ns,
            end_ns: run.start_ns + run.duration_ns.max(1),
            calls: figures.completed as u64,
            readings,
            ..Sample::default()
        }
    }

    /// Values of a figure, ns, of the requests that succeeded; and how many of them have none.
    pub fn values(&self, figure: loadgen::service_level::Figure) -> (Vec<f64>, usize) {
        use loadgen::service_level::Figure;
        let ok: Vec<&Record> = self.run.records.iter().filter(|record| record.is_ok()).collect();
        let of = |record: &&&Record| match figure {
            Figure::Ttft => record.ttft_ns(From::Scheduled).map(|ns| ns as f64),
            Figure::Tpot => record.tpot_ns(),
            Figure::E2e => record.e2e_ns(From::Scheduled).map(|ns| ns as f64),
        };
        let values: Vec<f64> = ok.iter().filter_map(|record| of(&record)).collect();
        let none = ok.len() - values.len();
        (values, none)
    }
}

/// What a template puts before the first message is the same in all requests, and may be in a cache: so many tokens, or this share.
const TEMPLATE_TOKENS: f64 = 32.0;
const TEMPLATE_SHARE: f64 = 0.1;

/// The share of prompt tokens that came from a cache although no two prompts begin alike, by the usage in the answers and by the server's
/// counters, whichever says more; none where it is no more than templates explain.
fn unique_hits(figures: &Figures, accounts: &BTreeMap<String, f64>) -> Option<f64> {
    let tokens = figures.input_tokens as f64;
    let told = if tokens > 0.0 { figures.cached_tokens as f64 / tokens } else { 0.0 };
    let share = accounts.get("hit_rate").copied().unwrap_or(0.0).max(told);
    let template = if tokens > 0.0 { TEMPLATE_TOKENS * figures.completed as f64 / tokens } else { 0.0 };
    (share > TEMPLATE_SHARE.max(template)).then_some(share)
}

fn reason_name(reason: Reason) -> &'static str {
    match reason {
        Reason::Late { .. } => "invalid_late",
        Reason::Saturated { .. } => "invalid_saturated",
        Reason::TimerLate { .. } => "invalid_timer_late",
        Reason::ClientError { .. } => "invalid_client_error",
        Reason::NoAnswer => "invalid_no_answer",
        Reason::EndedEarly => "invalid_ended_early",
    }
}

#[cfg(test)]
mod tests;
