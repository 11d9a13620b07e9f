//! Whole runs against real Unix and TCP servers.

mod common;

use common::{Act, HttpServer, UnixServer, expected, payloads};
use loadgen::arrivals::{Extent, Intensity, Schedule, Spacing};
use loadgen::capacity::{Point, Stop, search};
use loadgen::driver::{Control, Options, Run, run_closed, run_open};
use loadgen::lateness::{Lateness, Note, Reason, Verdict};
use loadgen::outcome::{Record, Verification};
use loadgen::summary::{Summary, Window};
use loadgen::transport::{Endpoint, OpenError, SocketOptions, Sockets, Transport, ask};

const MS: u64 = 1_000_000;

fn poisson(rate: f64, count: usize) -> Schedule {
    Schedule::generate(&Intensity::Constant { rate }, Spacing::Poisson, Extent::count(count), 11).unwrap()
}

fn open(transport: Sockets, schedule: &Schedule, cap: Option<usize>, options: &Options) -> Run {
    run_open(transport, &payloads(), schedule, cap, options, &Control::default()).unwrap()
}

fn verify(run: &Run) -> Verification {
    Verification::of(&run.records, &run.strays, &expected(&payloads()))
}

fn stamps_are_in_order(record: &Record) -> bool {
    let stamps = [record.scheduled_ns, record.released_ns, record.began_ns, record.sent_ns, record.done_ns];
    let server = record.server.unwrap();
    let around = [record.began_ns, server.received_ns, server.started_ns, server.finished_ns, record.first_byte_ns];
    stamps.is_sorted() && around.is_sorted() && record.first_byte_ns <= record.done_ns
}

#[test]
fn open_loop_over_a_unix_socket() {
    let server = UnixServer::start(|_| Act::Answer);
    let schedule = poisson(2000.0, 1000);
    let options = Options { connections: 3, offset: 5, ..Options::default() };
    let run = open(server.transport(), &schedule, None, &options);
    assert_eq!(run.records.len(), 1000);
    assert_eq!(verify(&run).matched, 1000, "{:?} {:?}", verify(&run), run.errors);
    assert!(run.records.iter().all(stamps_are_in_order));
    for (index, (record, &time)) in run.records.iter().zip(schedule.times_ns()).enumerate() {
        assert_eq!(record.scheduled_ns, run.start_ns + time);
        assert_eq!(record.input as usize, (5 + index) % 7);
    }
    assert_eq!((run.opening.connect_ns.len(), run.opened_late.connect_ns.len()), (3, 0));
    assert!(run.usage.cpu_ns > 0 && run.usage.cpu_ns < run.usage.wall_ns);
    let summary = Summary::of(&run, Window::whole(&run));
    assert_eq!((summary.due, summary.failed), (1000, 0));
    assert!((summary.rate / schedule.rate() - 1.0).abs() < 1e-6);
    let ratio = summary.little.unwrap().ratio();
    assert!((0.9..=1.1).contains(&ratio), "{ratio}");
}

#[test]
fn open_loop_over_http_opens_what_it_needs() {
    for chunked in [false, true] {
        let server = HttpServer::start(chunked, None, |_| Act::StallMs(5));
        // 1,000 a second for 5 ms each: five at once on average, and one connection to begin with.
        let options = Options { connections: 1, ..Options::default() };
        let run = open(server.transport(), &poisson(1000.0, 300), None, &options);
        assert_eq!(verify(&run).matched, 300, "{:?}", run.errors);
        assert!(run.records.iter().all(stamps_are_in_order));
        assert_eq!(run.opening.connect_ns.len(), 1);
        let late = run.opened_late.connect_ns.len();
        assert!((1..300).contains(&late), "{late}");
        let verdict = Verdict::of(&run, &Lateness::of(&run), None);
        assert!(verdict.notes.contains(&Note::OpenedLate { connections: late }));
    }
}

#[test]
fn connections_that_the_server_closes_are_replaced() {
    let server = HttpServer::start(false, Some(10), |_| Act::Answer);
    let options = Options { connections: 2, ..Options::default() };
    let run = open(server.transport(), &poisson(500.0, 200), None, &options);
    assert_eq!(verify(&run).matched, 200, "{:?}", run.errors);
    // Each connection carries ten.
    assert!(run.opened_late.connect_ns.len() >= 18, "{}", run.opened_late.connect_ns.len());
}

#[test]
fn closed_loop_keeps_its_concurrency() {
    let unix = UnixServer::start(|_| Act::StallMs(2));
    let http = HttpServer::start(false, None, |_| Act::StallMs(2));
    for transport in [unix.transport(), http.transport()] {
        let options = Options { connections: 4, ..Options::default() };
        let control = Control::default();
        let run = run_closed(transport, &payloads(), 4, Extent::count(200), &options, &control).unwrap();
        assert_eq!((run.records.len(), run.most_in_flight), (200, 4));
        assert_eq!(verify(&run).matched, 200, "{:?}", run.errors);
        assert!(run.records.is_sorted_by_key(|record| record.scheduled_ns));
        assert_eq!(control.progress().answered, 200);
        let summary = Summary::of(&run, Window::whole(&run));
        let open = summary.little.unwrap().open;
        assert!((3.0..=4.01).contains(&open), "{open}");
        // No more than four at once for 2 ms each.
        assert!(summary.throughput <= 2000.0, "{}", summary.throughput);
    }
}

#[test]
fn a_closed_loop_ends_at_its_time() {
    let server = UnixServer::start(|_| Act::StallMs(1));
    let options = Options { connections: 2, ..Options::default() };
    let extent = Extent::duration(200 * MS);
    let run = run_closed(server.transport(), &payloads(), 2, extent, &options, &Control::default()).unwrap();
    assert!(run.records.len() > 20 && !run.ended_early);
    assert_eq!(run.duration_ns, 200 * MS);
    assert!(run.records.iter().all(|record| record.scheduled_ns < run.start_ns + 200 * MS && record.is_ok()));
}

#[test]
fn large_requests_are_written_in_parts() {
    let server = UnixServer::start(|_| Act::Answer);
    // Far beyond a socket's buffer, in both directions.
    let payloads: Vec<Vec<u8>> = (1..=3_u8).map(|number| vec![number; 2 << 20]).collect();
    let options = Options { connections: 2, ..Options::default() };
    let run =
        run_open(server.transport(), &payloads, &poisson(200.0, 30), None, &options, &Control::default()).unwrap();
    let found = Verification::of(&run.records, &run.strays, &expected(&payloads));
    assert_eq!(found.matched, 30, "{:?}", run.errors);
    let held = run.records.iter().filter(|record| record.held_back).count();
    assert!(held > 0 && Lateness::of(&run).held_back == held);
    assert!(run.records.iter().all(|record| record.sent_ns >= record.began_ns && record.done_ns >= record.sent_ns));
}

/// The reason for timing from the schedule: a stall is seen by all who arrive during it.
#[test]
fn a_stall_shows_from_the_schedule() {
    let server = UnixServer::start(|number| if number == 50 { Act::StallMs(400) } else { Act::Answer });
    let options = Options { connections: 1, ..Options::default() };
    let run = open(server.transport(), &poisson(500.0, 500), None, &options);
    assert_eq!(verify(&run).matched, 500);
    let slow = run.records.iter().filter(|record| record.latency_ns() > 100 * MS).count();
    // 500 a second for the first 300 ms of the stall.
    assert!((100..220).contains(&slow), "{slow}");
}

#[test]
fn a_cap_is_shown_as_client_limited() {
    let server = HttpServer::start(false, None, |_| Act::StallMs(10));
    let options = Options { connections: 2, ..Options::default() };
    // Two at once for 10 ms each: at most 200 a second, and 400 are due.
    let run = open(server.transport(), &poisson(400.0, 120), Some(2), &options);
    assert_eq!(verify(&run).matched, 120, "nothing may be skipped: {:?}", run.errors);
    assert!(run.most_in_flight <= 2 && run.opened_late.connect_ns.is_empty());
    let limited = run.client_limited;
    assert!(limited.waited > 60 && limited.longest_ns > 50 * MS, "{limited:?}");
    let released = run.records.iter().filter(|record| record.released_ns > record.scheduled_ns);
    let waits: u64 = released.clone().map(|record| record.released_ns - record.scheduled_ns).sum();
    assert_eq!((released.count(), waits), (limited.waited, limited.total_ns));
    let lateness = Lateness::of(&run);
    let verdict = Verdict::of(&run, &lateness, None);
    assert!(verdict.notes.iter().any(|note| matches!(note, Note::ClientLimited { .. })), "{verdict:?}");
    // The wait is in the latency from the schedule, and not in that from the last byte.
    let summary = Summary::of(&run, Window::whole(&run));
    let p99 = |latencies: &loadgen::summary::Latencies| latencies.quantile_ns(0.99).unwrap();
    assert!(p99(&summary.from_scheduled) > p99(&summary.from_sent) + 20 * MS);
    assert!(lateness.sent.max_ns > lateness.own.max_ns + 20 * MS);
}

#[test]
fn capacity_of_a_server_with_four_at_once() {
    // Each connection is served one request at a time for 4 ms: four connections, and no more than 1,000 a second.
    let server = UnixServer::start(|_| Act::StallMs(4));
    let measure = |concurrency| {
        let options = Options { connections: 4, ..Options::default() };
        let extent = Extent::duration(300 * MS);
        let run =
            run_closed(server.transport(), &payloads(), concurrency, extent, &options, &Control::default()).unwrap();
        Ok::<_, ()>(Some(Point::of(&run, Window::within(&run, 50 * MS, 0).unwrap())))
    };
    let capacity = search(64, measure).unwrap();
    // On a busy machine a late point may still gain.
    assert!(matches!(capacity.stop, Stop::Flat | Stop::Cap), "{capacity:?}");
    let plateau = capacity.plateau.unwrap();
    assert!((300.0..=1010.0).contains(&plateau), "{capacity:?}");
    assert!(capacity.points[0].throughput < 260.0, "{capacity:?}");
    assert!(capacity.knee.unwrap() >= 2, "{capacity:?}");
}

#[test]
fn one_answer_can_be_looked_at() {
    for keep_content in [true, false] {
        let server = UnixServer::start(|number| if number == 1 { Act::Drop } else { Act::Answer });
        let options = SocketOptions { keep_content, ..SocketOptions::default() };
        let mut transport = Sockets::new(Endpoint::Unix(server.path()), options).unwrap();
        transport.open(1).unwrap();
        let answer = ask(&mut transport, 1, b"abc", 1000 * MS).unwrap();
        assert_eq!(answer.content.as_deref(), keep_content.then_some(&b"cba"[..]));
        let failure = ask(&mut transport, 2, b"abc", 50 * MS).unwrap_err();
        assert_eq!(failure.class, loadgen::outcome::ErrorClass::Timeout);
    }
}

/// A rate at which no machine keeps up: the generator must say so itself.
#[test]
fn a_generator_that_cannot_keep_up_is_invalid() {
    let server = UnixServer::start(|_| Act::Answer);
    let schedule =
        Schedule::generate(&Intensity::Constant { rate: 5e7 }, Spacing::Even, Extent::count(50_000), 1).unwrap();
    let run = open(server.transport(), &schedule, None, &Options::default());
    assert_eq!(verify(&run).matched, 50_000, "late, but none skipped: {:?}", run.errors);
    let verdict = Verdict::of(&run, &Lateness::of(&run), Some(MS));
    assert!(!verdict.is_valid());
    assert!(verdict.reasons.iter().any(|reason| matches!(reason, Reason::Late { .. })), "{verdict:?}");
}

#[test]
fn a_stopped_run_keeps_what_it_has() {
    let server = UnixServer::start(|_| Act::Answer);
    let control = Control::default();
    let schedule = poisson(200.0, 10_000);
    let transport = server.transport();
    let run = std::thread::scope(|scope| {
        scope.spawn(|| {
            while control.progress().answered < 20 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            control.stop();
        });
        run_open(transport, &payloads(), &schedule, None, &Options::default(), &control).unwrap()
    });
    assert!(run.ended_early && run.records.len() >= 20);
    assert_eq!(run.records.len() + run.unsent, 10_000);
    assert_eq!(verify(&run).matched, run.records.len() as u64);
    assert!(Verdict::of(&run, &Lateness::of(&run), None).reasons.contains(&Reason::EndedEarly));
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nobody");
    let transport = Sockets::new(Endpoint::Unix(path.clone()), SocketOptions::default()).unwrap();
    let error = run_open(transport, &payloads(), &poisson(1.0, 1), None, &Options::default(), &Control::default());
    let message = error.unwrap_err().to_string();
    assert!(message.contains(path.to_str().unwrap()) && message.contains("running"), "{message}");
    let long = Sockets::new(Endpoint::Unix("x".repeat(200).into()), SocketOptions::default());
    assert!(matches!(long, Err(OpenError::Connect { .. })));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint: Endpoint = format!("http://127.0.0.1:{port}").parse().unwrap();
    let transport = Sockets::new(endpoint, SocketOptions::default()).unwrap();
    let run = run_open(transport, &payloads(), &poisson(1.0, 1), None, &Options::default(), &Control::default());
    assert!(run.unwrap_err().to_string().contains("refused"));
}
