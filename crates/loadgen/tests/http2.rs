//! HTTP/2 against a server that this project did not write: requests side by side on a connection, limits, windows, faults.

#[path = "common/h2_server.rs"]
mod h2_server;
#[path = "common/model.rs"]
#[allow(dead_code)]
mod model;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::thread;

use h2::Reason;
use h2_server::{Act, Server, Setup, every_code};
use loadgen::arrivals::{Extent, Intensity, Schedule, Spacing};
use loadgen::driver::{Control, Options};
use loadgen::outcome::ErrorClass;
use loadgen::serving::probe::{fetch, probe};
use loadgen::serving::session::{Load, Session};
use loadgen::serving::target::{HttpVersion, Target};
use loadgen::serving::{Run, run};
use loadgen::transport::{OpenError, Protocol, Sockets, Transport};
use model::{options, sessions};

const SECOND: u64 = 1_000_000_000;

fn transport(target: &Target) -> Sockets {
    Sockets::to_server(target, Protocol::post(target, server_api::OPENAI_CHAT, Some("sk-1")), SECOND).unwrap()
}

fn closed(server: &Server, concurrency: usize, count: usize) -> Run {
    let load = Load::Closed { concurrency, extent: Extent::count(count), stagger_ns: 0 };
    run(transport(&server.target()), &sessions(), load, &options(concurrency), &Control::default(), None).unwrap()
}

fn open(server: &Server, rate: f64, count: usize, options: &Options) -> Run {
    let schedule = Schedule::generate(&Intensity::Constant { rate }, Spacing::Even, Extent::count(count), 1).unwrap();
    let load = Load::Open { schedule: &schedule, cap: None };
    run(transport(&server.target()), &sessions(), load, options, &Control::default(), None).unwrap()
}

fn assert_whole(run: &Run, tokens: u32) {
    assert_eq!((run.errors.total(), run.strays, run.malformed), (0, 0, 0), "{:?}", run.errors);
    for record in &run.records {
        let stamps = [
            record.scheduled_ns,
            record.began_ns,
            record.sent_ns,
            record.first_byte_ns,
            record.first_token_ns,
            record.last_token_ns,
            record.done_ns,
        ];
        assert!(stamps.is_sorted() && stamps[0] > 0, "{record:?}");
        assert_eq!((record.chunks, record.output_tokens, record.prompt_tokens), (tokens, tokens, 7));
    }
}

#[test]
fn requests_share_a_connection() {
    let server = Server::start(Setup::default(), |_| Act::Stream { tokens: 10, gap_ms: 5 });
    let run = open(&server, 500.0, 60, &options(32));
    assert_eq!(run.records.len(), 60);
    assert_whole(&run, 10);
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
    assert_eq!((run.opening.connect_ns.len(), run.opened_late.connect_ns.len()), (1, 0));
    assert!(server.most_streams.load(Ordering::Relaxed) > 5);
    // Received less written, by the stamps that the server put into each chunk.
    let truth = run.truth.as_ref().unwrap();
    assert_eq!(truth.error.count(), 600);
    let asked = server.asked.lock().unwrap();
    let (first, length) = &asked[0];
    assert_eq!((first.method().as_str(), first.uri().path()), ("POST", "/v1/chat/completions"));
    assert_eq!(first.uri().authority().unwrap().as_str(), server.target().authority());
    assert_eq!(first.headers()["authorization"], "Bearer sk-1");
    assert_eq!(first.headers()["content-type"], "application/json");
    assert_eq!(first.headers()["content-length"], length.to_string());
    assert!(asked.iter().all(|(request, length)| request.version() == http::Version::HTTP_2 && *length > 10));
}

#[test]
fn as_many_connections_as_the_limit_of_streams_wants() {
    let server = Server::start(Setup { max_streams: 3, ..Setup::default() }, |_| Act::Stream { tokens: 4, gap_ms: 2 });
    let run = closed(&server, 8, 80);
    assert_eq!(run.records.len(), 80);
    assert_whole(&run, 4);
    // Eight users take three connections of three streams, all opened before the clock started.
    assert_eq!((run.opening.connect_ns.len(), run.opened_late.connect_ns.len()), (3, 0));
    assert_eq!(server.connections.load(Ordering::Relaxed), 3);
    assert!(server.most_streams.load(Ordering::Relaxed) <= 3);
}

#[test]
fn one_stream_at_a_time_is_a_limit_like_any_other() {
    let server = Server::start(Setup { max_streams: 1, ..Setup::default() }, |_| Act::Stream { tokens: 3, gap_ms: 5 });
    let run = open(&server, 400.0, 40, &options(1));
    assert_eq!(run.records.len(), 40);
    assert_whole(&run, 3);
    let connections = server.connections.load(Ordering::Relaxed);
    let late: Vec<_> = run.records.iter().filter(|record| record.connected_ns > 0).collect();
    assert_eq!((server.most_streams.load(Ordering::Relaxed), run.opened_late.connect_ns.len()), (1, connections - 1));
    assert_eq!(late.len(), connections - 1);
    // What a request waits for its connection is between its first and its last byte.
    assert!(connections > 1 && late.iter().all(|one| (one.began_ns..=one.sent_ns).contains(&one.connected_ns)));
}

#[test]
fn large_requests_wait_for_small_windows() {
    let server = Server::start(Setup { window: 1_000, ..Setup::default() }, |_| Act::Whole);
    let body = vec![b' '; 300_000];
    let sessions = [Session::single(body)];
    let load = Load::Closed { concurrency: 4, extent: Extent::count(12), stagger_ns: 0 };
    let run = run(transport(&server.target()), &sessions, load, &options(4), &Control::default(), None).unwrap();
    assert_eq!((run.records.len(), run.errors.total()), (12, 0), "{:?}", run.errors);
    assert!(server.asked.lock().unwrap().iter().all(|(_, length)| *length == 300_000));
    assert!(run.records.iter().all(|record| record.held_back && record.sent_ns > record.began_ns), "{:?}", run.records);
    assert!(run.records.iter().all(|record| record.first_token_ns == 0 && record.output_tokens == 2));
}

#[test]
fn resets_and_refusals_are_told_apart() {
    let server = Server::start(Setup::default(), |number| match number {
        0 => Act::Reset { tokens: 0, reason: Reason::INTERNAL_ERROR },
        1 => Act::Reset { tokens: 3, reason: Reason::ENHANCE_YOUR_CALM },
        2 => Act::Reset { tokens: 0, reason: Reason::REFUSED_STREAM },
        3 => Act::Refuse { status: 429 },
        4 => Act::Refuse { status: 503 },
        _ => Act::Stream { tokens: 2, gap_ms: 0 },
    });
    let run = closed(&server, 1, 8);
    let of = |class: ErrorClass| run.errors.0.get(&class).map(|failures| (failures.count, failures.first.as_str()));
    assert_eq!(of(ErrorClass::Reset), Some((1, "the server reset the stream before it answered (INTERNAL_ERROR)")));
    let short = "the server reset the stream in the middle of the answer (ENHANCE_YOUR_CALM)";
    assert_eq!(of(ErrorClass::ShortBody), Some((1, short)));
    assert_eq!(of(ErrorClass::Draining), Some((1, "the server did not take the request (REFUSED_STREAM)")));
    let busy = format!("HTTP status 429 (Retry-After: {}): not now", every_code());
    assert_eq!(of(ErrorClass::RateLimited), Some((1, busy.as_str())));
    assert_eq!(of(ErrorClass::ServerError).unwrap().0, 1);
    assert_eq!((run.errors.total(), run.records[1].chunks), (5, 3));
    assert_eq!(server.connections.load(Ordering::Relaxed), 1, "each of them ended a stream and no connection");
}

#[test]
fn a_request_that_is_given_up_ends_only_its_stream() {
    let server = Server::start(Setup { max_streams: 2, ..Setup::default() }, |number| match number {
        0 => Act::Silence,
        _ => Act::Stream { tokens: 2, gap_ms: 3 },
    });
    let options = Options { timeout_ns: 300_000_000, ..options(2) };
    let run = open(&server, 100.0, 50, &options);
    assert_eq!((run.errors.count(ErrorClass::Timeout), run.errors.total(), run.strays), (1, 1, 0), "{:?}", run.errors);
    assert_eq!(run.records[0].outcome, loadgen::outcome::Outcome::Failed(ErrorClass::Timeout));
    assert!(server.most_streams.load(Ordering::Relaxed) <= 2);
}

#[test]
fn after_a_goodbye_requests_go_elsewhere() {
    let server = Server::start(Setup::default(), |number| match number {
        3 => Act::LastWords { tokens: 30 },
        _ => Act::Stream { tokens: 10, gap_ms: 2 },
    });
    let run = open(&server, 200.0, 30, &options(1));
    // Those that crossed the goodbye were not taken; nobody sends them twice.
    let draining = run.errors.count(ErrorClass::Draining);
    assert_eq!(run.errors.total(), draining, "{:?}", run.errors);
    assert!(draining <= 3, "{draining}");
    assert_eq!(run.records.iter().filter(|record| record.is_ok()).count() as u64, 30 - draining);
    assert_eq!((run.records[3].chunks, server.connections.load(Ordering::Relaxed)), (30, 2));
}

#[test]
fn pages_and_the_first_request_are_asked_the_same_way() {
    let server = Server::start(Setup::default(), |number| match number {
        0 => Act::Refuse { status: 404 },
        _ => Act::Stream { tokens: 2, gap_ms: 0 },
    });
    let page = fetch(&server.target(), "/v1/models", None, SECOND).unwrap();
    assert_eq!((page.status, page.body.as_slice()), (404, &b"{\"error\":{\"message\":\"not now\"}}"[..]));
    let seen = probe(&server.target(), server_api::OPENAI_CHAT, None, b"{}", 2 * SECOND).unwrap();
    assert_eq!((seen.reply.chunks, seen.closes), (2, false));
    let asked = server.asked.lock().unwrap();
    assert_eq!((asked[0].0.method().as_str(), asked[0].1, asked[1].0.method().as_str()), ("GET", 0, "POST"));
}

#[test]
fn unix_sockets_carry_it_too() {
    let server = Server::on_unix_socket(|_| Act::Stream { tokens: 3, gap_ms: 1 });
    let run = closed(&server, 5, 20);
    assert_whole(&run, 3);
    assert_eq!((run.records.len(), server.connections.load(Ordering::Relaxed)), (20, 1));
    assert_eq!(server.asked.lock().unwrap()[0].0.uri().authority().unwrap().as_str(), "localhost");
}

/// All in one test: the authorities come from the environment, which belongs to the whole process.
#[test]
fn over_tls_it_is_agreed_on() {
    let authority = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/authority.pem");
    // SAFETY: of this process's tests only this one reads the variable, and no other writes to the environment.
    unsafe { std::env::set_var("SSL_CERT_FILE", authority) };
    let tls = Setup { tls: true, max_streams: 4, ..Setup::default() };
    let server = Server::start(tls, |_| Act::Stream { tokens: 6, gap_ms: 2 });
    let run = open(&server, 400.0, 40, &options(1));
    assert_eq!(run.records.len(), 40);
    assert_whole(&run, 6);
    let connections = server.connections.load(Ordering::Relaxed);
    assert_eq!(run.opened_late.connect_ns.len(), connections - 1);
    assert!(connections > 1 && server.most_streams.load(Ordering::Relaxed) <= 4);
    assert_eq!(server.asked.lock().unwrap()[0].0.uri().scheme_str(), Some("https"));
    for (alpn, said) in [(None, "did not agree to HTTP/2"), (Some("http/1.1"), "NoApplicationProtocol")] {
        let server = Server::start(Setup { alpn, ..tls }, |_| Act::Whole);
        let error = transport(&server.target()).open(1).unwrap_err();
        assert!(matches!(&error, OpenError::Http2 { message, .. } if message.contains(said)), "{error}");
    }
}

/// A server that does `serve` with each connection.
fn other(serve: impl Fn(std::net::TcpStream) + Send + Sync + 'static) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(serve));
    format!("http://127.0.0.1:{port}").parse::<Target>().unwrap().spoken(HttpVersion::Http2)
}

#[test]
fn servers_of_other_protocols_get_a_sentence() {
    let refused = |target: &Target| {
        let protocol = Protocol::post(target, server_api::OPENAI_CHAT, None);
        let error = Sockets::to_server(target, protocol, SECOND / 5).unwrap().open(1).unwrap_err();
        let OpenError::Http2 { message, .. } = &error else { panic!("{error}") };
        assert!(error.to_string().ends_with("; leave out --http-version 2"), "{error}");
        message.clone()
    };
    let old = other(|mut stream| {
        let _ = stream.read(&mut [0; 1024]);
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").unwrap();
    });
    assert_eq!(refused(&old), "the server answered `HTTP/1.1 400 Bad Request`");
    let shy = other(|mut stream| drop(stream.read(&mut [0; 1024])));
    assert!(refused(&shy).contains("closed the connection"));
    let silent = other(|stream| {
        thread::sleep(std::time::Duration::from_secs(2));
        drop(stream);
    });
    assert!(refused(&silent).contains("said nothing"));
    let foreign = other(|mut stream| drop(stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n")));
    assert!(refused(&foreign).contains("none of HTTP/2"));
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = format!("http://{gone}").parse::<Target>().unwrap().spoken(HttpVersion::Http2);
    assert!(matches!(transport(&gone).open(1), Err(OpenError::Connect { .. })));
}
