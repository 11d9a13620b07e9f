//! Servers that lie, drop, mix up and die: each is caught, and nothing recorded is lost.

mod common;

use common::{Act, HttpServer, UnixServer, expected, payloads};
use loadgen::arrivals::{Extent, Intensity, Schedule, Spacing};
use loadgen::driver::{Control, Options, Run, run_closed, run_open};
use loadgen::lateness::{Lateness, Reason, Verdict};
use loadgen::outcome::{ErrorClass, Outcome, Verification};
use loadgen::transport::{Endpoint, SocketOptions, Sockets};
use std::io::{Read, Write};

const MS: u64 = 1_000_000;

fn one_connection() -> Options {
    Options { connections: 1, timeout_ns: 300 * MS, ..Options::default() }
}

fn run(transport: Sockets, count: usize, options: &Options) -> Run {
    let intensity = Intensity::Constant { rate: 1000.0 };
    let schedule = Schedule::generate(&intensity, Spacing::Poisson, Extent::count(count), 3).unwrap();
    let run = run_open(transport, &payloads(), &schedule, None, options, &Control::default()).unwrap();
    // Whatever happens: one record a request, each with an end.
    assert_eq!(run.records.len(), count);
    assert!(run.records.iter().all(|record| record.outcome != Outcome::Pending && record.done_ns > 0));
    let failed = run.records.iter().filter(|record| !record.is_ok()).count();
    assert_eq!(run.errors.total(), failed as u64);
    run
}

fn verify(run: &Run) -> Verification {
    Verification::of(&run.records, &run.strays, &expected(&payloads()))
}

#[test]
fn an_honest_server_is_clean() {
    let server = UnixServer::start(|_| Act::Answer);
    let run = run(server.transport(), 100, &one_connection());
    assert!(verify(&run).is_clean() && run.errors.total() == 0);
    assert_eq!(run.strays, loadgen::outcome::Strays::default());
}

#[test]
fn dropped_requests_are_counted() {
    let server = UnixServer::start(|number| if number % 10 == 4 { Act::Drop } else { Act::Answer });
    let run = run(server.transport(), 100, &one_connection());
    let found = verify(&run);
    assert_eq!((found.dropped, found.matched, found.is_clean()), (10, 90, false));
    assert_eq!(run.errors.count(ErrorClass::Timeout), 10);
    assert!(run.errors.0[&ErrorClass::Timeout].first.contains("0.3 s"));
}

#[test]
fn answers_too_many_are_counted() {
    // The last one too: the sockets are watched beyond the last answer.
    let server = UnixServer::start(|number| if number % 10 == 9 { Act::Duplicate } else { Act::Answer });
    let run = run(server.transport(), 100, &one_connection());
    let found = verify(&run);
    assert_eq!((found.duplicated, found.matched, found.is_clean()), (10, 100, false));
}

#[test]
fn answers_of_other_requests_are_counted() {
    let server = UnixServer::start(|number| if number % 10 == 2 { Act::SwapWithNext } else { Act::Answer });
    let swapped = run(server.transport(), 100, &one_connection());
    let found = verify(&swapped);
    assert_eq!((found.swapped, found.wrong, found.matched), (20, 0, 80));
    assert_eq!(found.first_bad, Some(2));
    let server = UnixServer::start(|number| if number == 7 { Act::Garble } else { Act::Answer });
    let garbled = run(server.transport(), 100, &one_connection());
    let found = verify(&garbled);
    assert_eq!((found.swapped, found.wrong, found.first_bad), (0, 1, Some(7)));
}

#[test]
fn late_and_unasked_answers_are_told_apart() {
    let server = UnixServer::start(|number| match number {
        20 => Act::StallMs(150),
        60 => Act::Unasked,
        _ => Act::Answer,
    });
    let options = Options { connections: 1, timeout_ns: 100 * MS, linger_ns: 200 * MS, ..Options::default() };
    let run = run(server.transport(), 200, &options);
    assert_eq!((run.strays.unknown, run.strays.duplicated), (1, 0));
    // Those that waited longer than the limit were answered after all.
    let timeouts = run.errors.count(ErrorClass::Timeout);
    assert!(timeouts > 0 && run.strays.late == timeouts, "{timeouts} {:?}", run.strays);
}

#[test]
fn what_a_server_says_of_itself_has_its_class() {
    let server = UnixServer::start(|number| match number {
        0..50 => Act::Answer,
        50 => Act::Fail("the template is broken"),
        _ => Act::Fail("draining"),
    });
    let run = run(server.transport(), 100, &one_connection());
    assert_eq!(run.errors.count(ErrorClass::Status), 1);
    assert_eq!(run.errors.0[&ErrorClass::Status].first, "the template is broken");
    assert_eq!((run.errors.count(ErrorClass::Draining), verify(&run).matched), (49, 50));
}

#[test]
fn a_server_that_dies_loses_nothing_recorded() {
    let server = UnixServer::start_once(|number| if number == 150 { Act::Cut } else { Act::Answer });
    let run = run(server.transport(), 300, &one_connection());
    let found = verify(&run);
    assert_eq!((found.matched, found.swapped + found.wrong), (150, 0));
    assert_eq!(run.errors.count(ErrorClass::ShortBody), 1);
    let (reset, connect) = (run.errors.count(ErrorClass::Reset), run.errors.count(ErrorClass::Connect));
    assert!(connect > 0 && reset + connect == 149, "{reset} {connect}");
    assert!(run.errors.0[&ErrorClass::Connect].first.contains("cannot connect"));
}

/// The answers that a server wrote before it died count, however large and however late they are read.
#[test]
fn what_a_dead_server_wrote_is_read_to_the_end() {
    let server = UnixServer::start_once(|number| if number == 2 { Act::Close } else { Act::Answer });
    let payloads: Vec<Vec<u8>> = (0..3_u8).map(|number| vec![number; 1 << 20]).collect();
    let schedule = Schedule::generate(&Intensity::Constant { rate: 1e6 }, Spacing::Even, Extent::count(3), 0).unwrap();
    let run = run_open(server.transport(), &payloads, &schedule, None, &one_connection(), &Control::default()).unwrap();
    let found = Verification::of(&run.records, &run.strays, &expected(&payloads));
    assert_eq!((found.matched, run.errors.count(ErrorClass::Reset)), (2, 1), "{:?}", run.errors);
}

#[test]
fn an_answer_may_come_before_the_request_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let payloads = [vec![1_u8; 4 << 20]];
    let right = common::frame(0, &common::prepared(0, 1, &common::content(&payloads[0])));
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 12]).unwrap();
        stream.write_all(&right).unwrap();
        // Keeps the connection without reading more.
        std::thread::sleep(std::time::Duration::from_secs(1));
    });
    let transport = Sockets::new(Endpoint::Unix(path), SocketOptions::default()).unwrap();
    let schedule = Schedule::new(vec![0], None).unwrap();
    let run = run_open(transport, &payloads, &schedule, None, &one_connection(), &Control::default()).unwrap();
    let record = run.records[0];
    assert!(record.is_ok() && record.held_back, "{record:?}");
    assert_eq!((record.sent_ns, record.service_latency_ns()), (record.done_ns, 0));
}

#[test]
fn a_closed_loop_ends_when_its_server_is_gone() {
    let server = UnixServer::start_once(|number| if number == 100 { Act::Close } else { Act::Answer });
    let extent = Extent::duration(60_000 * MS);
    let run = run_closed(server.transport(), &payloads(), 4, extent, &one_connection(), &Control::default()).unwrap();
    assert!(run.ended_early && verify(&run).matched == 100);
    assert!((104..=112).contains(&run.records.len()), "{}", run.records.len());
}

#[test]
fn a_server_that_answers_nothing_is_invalid() {
    let server = UnixServer::start(|_| Act::Drop);
    let run = run(server.transport(), 20, &one_connection());
    assert_eq!(verify(&run).dropped, 20);
    assert!(Verdict::of(&run, &Lateness::of(&run), None).reasons.contains(&Reason::NoAnswer));
}

#[test]
fn http_faults_have_their_class() {
    let single = |act: Act, classes: &[(ErrorClass, u64)]| {
        let server = HttpServer::start(false, None, move |number| if number % 10 == 9 { act } else { Act::Answer });
        let run = run(server.transport(), 100, &one_connection());
        for &(class, count) in classes {
            assert_eq!(run.errors.count(class), count, "{act:?} {:?}", run.errors);
        }
        run
    };
    let status = single(Act::Fail("busy"), &[(ErrorClass::Status, 10)]);
    assert_eq!(status.errors.0[&ErrorClass::Status].first, "HTTP status 503: busy");
    single(Act::Cut, &[(ErrorClass::ShortBody, 10), (ErrorClass::Reset, 0)]);
    single(Act::Close, &[(ErrorClass::Reset, 10), (ErrorClass::ShortBody, 0)]);
    // A second answer that nobody asked for ends the connection; no request may get it.
    let twice = single(Act::Duplicate, &[]);
    let found = verify(&twice);
    assert_eq!(found.wrong, 0);
    assert!(twice.strays.unknown + found.swapped > 0, "{:?} {found:?}", twice.strays);
}

#[test]
fn a_request_that_timed_out_over_http_frees_no_wrong_answer() {
    let server = HttpServer::start(false, None, |number| if number == 5 { Act::StallMs(200) } else { Act::Answer });
    let options = Options { connections: 1, timeout_ns: 50 * MS, ..Options::default() };
    let run = run(server.transport(), 100, &options);
    let found = verify(&run);
    assert!(found.dropped >= 1 && found.swapped == 0 && found.wrong == 0, "{found:?}");
    assert_eq!(found.matched + found.dropped, 100);
}
