//! Servers behind TLS and on Unix sockets: the same stamps, and a sentence when they cannot be trusted.

#[path = "common/model.rs"]
#[allow(dead_code)]
mod model;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use loadgen::arrivals::{Extent, Intensity, Schedule, Spacing};
use loadgen::driver::Control;
use loadgen::serving::run;
use loadgen::serving::session::Load;
use loadgen::serving::target::Target;
use loadgen::transport::{OpenError, Protocol, Sockets, Transport};
use model::{HEAD, chunk, options, sessions, token};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

const SECOND: u64 = 1_000_000_000;

/// Reads one request; false at the end of the connection.
fn request(stream: &mut impl Read) -> bool {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return false;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap();
    stream.read_exact(&mut vec![0; length]).is_ok()
}

fn answers(mut stream: impl Read + Write) {
    while request(&mut stream) {
        let last =
            "data: {\"choices\":[{\"delta\":{\"content\":\"y\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        for part in [HEAD, &chunk(&token("x", "")), &chunk(last), "0\r\n\r\n"] {
            if stream.write_all(part.as_bytes()).and_then(|()| stream.flush()).is_err() {
                return;
            }
            thread::sleep(std::time::Duration::from_millis(2));
        }
    }
}

fn tls_server() -> u16 {
    let file = |name: &str| format!("{}/tests/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let certificates = vec![CertificateDer::from_pem_file(file("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            thread::spawn(move || answers(StreamOwned::new(session, stream)));
        }
    });
    port
}

fn transport(target: &Target) -> Result<Sockets, OpenError> {
    Sockets::to_server(target, Protocol::post(target, server_api::OPENAI_CHAT, None), SECOND)
}

/// All in one test: the authorities come from the environment, which belongs to the whole process.
#[test]
fn tls_is_spoken_and_checked() {
    let target: Target = format!("https://localhost:{}", tls_server()).parse().unwrap();
    let stranger = transport(&target).unwrap().open(1).unwrap_err();
    assert!(matches!(&stranger, OpenError::Tls { message, .. } if message.contains("UnknownIssuer")), "{stranger}");
    assert!(stranger.to_string().contains("SSL_CERT_FILE"));
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = plain.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in plain.incoming().map_while(Result::ok) {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let error = transport(&format!("https://localhost:{port}").parse().unwrap()).unwrap().open(1).unwrap_err();
    assert!(matches!(error, OpenError::Tls { .. }), "{error}");
    let authority = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/authority.pem");
    // SAFETY: no other thread of this process reads or writes the environment now: the servers above do not.
    unsafe { std::env::set_var("SSL_CERT_FILE", authority) };
    let schedule =
        Schedule::generate(&Intensity::Constant { rate: 500.0 }, Spacing::Even, Extent::count(40), 1).unwrap();
    let load = Load::Open { schedule: &schedule, cap: None };
    // One connection stands before the start, and the others are opened with requests waiting in them.
    let run = run(transport(&target).unwrap(), &sessions(), load, &options(1), &Control::default(), None).unwrap();
    assert_eq!((run.records.len(), run.errors.total()), (40, 0), "{:?}", run.errors);
    let late = run.records.iter().filter(|record| record.connected_ns > 0).count();
    assert!(late > 0 && run.opened_late.connect_ns.len() == late, "{late} {:?}", run.opened_late);
    for record in &run.records {
        let stamps = [record.began_ns, record.sent_ns, record.first_byte_ns, record.first_token_ns, record.done_ns];
        assert!(stamps.is_sorted() && record.chunks == 2, "{record:?}");
        assert!(record.connected_ns == 0 || (record.began_ns..=record.sent_ns).contains(&record.connected_ns));
    }
}

#[test]
fn a_unix_socket_is_a_server_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answers(stream));
        }
    });
    let target: Target = format!("unix:{}", path.display()).parse().unwrap();
    let load = Load::Closed { concurrency: 2, extent: Extent::count(6), stagger_ns: 0 };
    let run = run(transport(&target).unwrap(), &sessions(), load, &options(2), &Control::default(), None).unwrap();
    assert_eq!((run.records.len(), run.errors.total()), (6, 0), "{:?}", run.errors);
}
