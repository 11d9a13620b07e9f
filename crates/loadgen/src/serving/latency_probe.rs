//! How long the cheapest exchange with a server takes: alone, and while load is on it.
//!
//! What is asked is its list of models, which costs a server next to nothing. Alone, the exchange is the network and the way through the HTTP
//! front end; how much longer it takes under load is the wait for that front end. Under load the moments are those of a Poisson process: what
//! it meets is what the time average of the server is (Wolff 1982, PASTA). Nothing is skipped: an exchange that is answered late does not hold back the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::histogram::Histogram;
use super::probe::ProbeError;
use super::target::Target;
use crate::arrivals::{Extent, Intensity, Schedule, Spacing};
use crate::clock::now_ns;
use crate::transport::{Event, Protocol, Sockets, Transport};

/// What is asked.
pub const CALL: &str = "/v1/models";
/// Longest sleep: so long does a call to stop go unseen, ns.
const LOOK_NS: u64 = 20_000_000;
/// Longest time of one exchange under load, and of all of them alone, ns.
const PATIENCE_NS: u64 = 10_000_000_000;
/// Longest stretch of exchanges, s.
const MOST_S: f64 = 600.0;

/// Times of exchanges, ns, from the first byte of the request to the last of the answer; connecting is in none of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exchanges {
    pub took_ns: Vec<u64>,
    /// How long bytes of answers had been in the kernel when they were read, on average, ns: this client's own lateness, which is no wait for the
    /// server. 0 where the system does not tell.
    pub read_late_ns: f64,
    /// Those that failed or were not answered in time: the mean is then of the quicker ones.
    pub failed: usize,
}

impl Exchanges {
    /// Less the lateness of reading.
    pub fn mean_ns(&self) -> Option<f64> {
        let n = self.took_ns.len();
        (n > 0).then(|| (self.took_ns.iter().sum::<u64>() as f64 / n as f64 - self.read_late_ns).max(0.0))
    }

    pub fn median_ns(&self) -> Option<f64> {
        let mut sorted = self.took_ns.clone();
        sorted.sort_unstable();
        let n = sorted.len();
        (n > 0).then(|| (sorted[(n - 1) / 2] + sorted[n / 2]) as f64 / 2.0)
    }
}

fn connect(target: &Target, key: Option<&str>) -> Result<Sockets, ProbeError> {
    let mut protocol = Protocol::get(target, CALL, key);
    // Connecting is no part of it.
    protocol.single_use = false;
    let mut transport = Sockets::to_server(target, protocol, PATIENCE_NS)?;
    transport.open(1)?;
    Ok(transport)
}

/// Exchanges one after another on one connection, of a server that has nothing else to do.
///
/// # Errors
/// The server cannot be reached.
pub fn alone(target: &Target, key: Option<&str>, count: usize) -> Result<Exchanges, ProbeError> {
    let mut prober = Prober::new(connect(target, key)?);
    // The first finds caches cold: it is no part of the figure.
    let until = now_ns() + PATIENCE_NS;
    for number in 0..=count {
        prober.send();
        while !prober.waiting.is_empty() {
            if now_ns() >= until || !prober.listen((now_ns() + LOOK_NS).min(until)) {
                // A front end that is busy for so long has no such figure; what is under way is of nobody's interest.
                prober.exchanges.failed += prober.waiting.len();
                return Ok(prober.told());
            }
        }
        if number == 0 {
            prober.exchanges = Exchanges::default();
        }
    }
    Ok(prober.told())
}

/// Exchanges in a thread of its own until they are stopped.
#[derive(Debug)]
pub struct LatencyProbe {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Exchanges>>,
}

impl LatencyProbe {
    /// Starts, `per_s` exchanges a second on average.
    ///
    /// # Errors
    /// The server cannot be reached; the thread cannot be started.
    pub fn start(target: &Target, key: Option<&str>, per_s: f64, seed: u64) -> Result<Self, String> {
        let mut prober = Prober::new(connect(target, key).map_err(|error| error.to_string())?);
        let extent = Extent::duration((MOST_S * 1e9) as u64);
        let schedule = Schedule::generate(&Intensity::Constant { rate: per_s }, Spacing::Poisson, extent, seed)
            .map_err(|error| error.to_string())?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = move || {
            let start = now_ns();
            let mut due = schedule.times_ns().iter().map(|at| start + at).peekable();
            while !stopped.load(Ordering::Relaxed) {
                let now = now_ns();
                while due.next_if(|at| *at <= now).is_some() {
                    prober.send();
                }
                let until = due.peek().copied().unwrap_or(u64::MAX).min(now + LOOK_NS);
                if !prober.listen(until) {
                    break;
                }
            }
            // What was asked while there was load is waited for: the slowest answers are not to be left out.
            let until = now_ns() + PATIENCE_NS;
            while !prober.waiting.is_empty() && now_ns() < until && prober.listen(now_ns() + LOOK_NS) {}
            prober.exchanges.failed += prober.waiting.len();
            prober.told()
        };
        let thread = std::thread::Builder::new().name("latency-probe".to_owned()).spawn(work);
        let thread = thread.map_err(|error| format!("no thread can be started: {error}"))?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Stops, waits for what is under way, and gives all times.
    pub fn stop(mut self) -> Exchanges {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for LatencyProbe {
    fn drop(&mut self) {
        // A thread that nobody waits for ends by itself.
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Connections, and who waits at them.
struct Prober {
    transport: Sockets,
    next: u64,
    /// When each was sent.
    waiting: BTreeMap<u64, u64>,
    exchanges: Exchanges,
    events: Vec<Event>,
}

impl Prober {
    fn new(transport: Sockets) -> Self {
        Self { transport, next: 0, waiting: BTreeMap::new(), exchanges: Exchanges::default(), events: Vec::new() }
    }

    fn told(mut self) -> Exchanges {
        self.exchanges.read_late_ns = self.transport.read_delay().and_then(Histogram::mean).unwrap_or(0.0);
        self.exchanges
    }

    fn send(&mut self) {
        let id = self.next;
        self.next += 1;
        match self.transport.submit(id, b"") {
            Ok(submitted) => {
                // From before the write: a client that lost its core after it would make the exchange too short.
                self.waiting.insert(id, submitted.began_ns);
            }
            Err(_) => self.exchanges.failed += 1,
        }
    }

    /// Waits for answers until a moment. False where it cannot be waited any more.
    fn listen(&mut self, until_ns: u64) -> bool {
        if self.transport.wait(until_ns, &mut self.events).is_err() {
            return false;
        }
        for event in self.events.drain(..) {
            match event {
                Event::Sent { id, at_ns } => {
                    if let Some(sent_ns) = self.waiting.get_mut(&id) {
                        *sent_ns = at_ns;
                    }
                }
                Event::Done { id, done_ns, answer, .. } => {
                    let sent_ns = self.waiting.remove(&id);
                    match (sent_ns, answer) {
                        (Some(sent_ns), Ok(_)) => self.exchanges.took_ns.push(done_ns.saturating_sub(sent_ns)),
                        _ => self.exchanges.failed += 1,
                    }
                }
                Event::Failed { id, .. } => {
                    self.waiting.remove(&id);
                    self.exchanges.failed += 1;
                }
                Event::Connected { .. } | Event::Stray { .. } => {}
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;

    /// Answers each request after so long, each connection in a thread, and counts the connections.
    fn server(after: Duration) -> (Target, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::Relaxed);
                std::thread::spawn(move || {
                    let mut buffer = [0; 1000];
                    while stream.read(&mut buffer).is_ok_and(|n| n > 0) {
                        std::thread::sleep(after);
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"data\":[]}");
                    }
                });
            }
        });
        (format!("http://127.0.0.1:{port}").parse().unwrap(), connections)
    }

    #[test]
    fn exchanges_take_as_long_as_the_server_does() {
        let (target, connections) = server(Duration::from_millis(5));
        let exchanges = alone(&target, None, 5).unwrap();
        assert_eq!(connections.load(Ordering::Relaxed), 1, "connecting is no part of an exchange");
        assert_eq!((exchanges.took_ns.len(), exchanges.failed), (5, 0));
        assert!(exchanges.took_ns.iter().all(|ns| *ns >= 5_000_000), "{exchanges:?}");
        assert!(exchanges.median_ns() <= exchanges.took_ns.iter().max().map(|ns| *ns as f64));
    }

    #[test]
    fn a_slow_answer_does_not_hold_the_next_back() {
        // 100 a second, each answered after 200 ms: one after another they would be 5 a second.
        let probe = LatencyProbe::start(&server(Duration::from_millis(200)).0, None, 100.0, 1).unwrap();
        std::thread::sleep(Duration::from_millis(600));
        let exchanges = probe.stop();
        assert!(exchanges.took_ns.len() > 15 && exchanges.failed == 0, "{exchanges:?}");
        assert!(exchanges.mean_ns().unwrap() >= 200e6, "{exchanges:?}");
    }

    #[test]
    fn nobody_at_home_is_an_error() {
        let target = "http://127.0.0.1:1".parse().unwrap();
        assert!(alone(&target, None, 1).is_err() && LatencyProbe::start(&target, None, 1.0, 1).is_err());
    }
}
