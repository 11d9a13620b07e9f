//! A server behind the sidecar that does what a test says, and remembers what it was asked.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// After this something hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Asked {
    pub line: String,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What a script writes to.
pub struct Conn(TcpStream);

/// What becomes of a connection after an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Then {
    Keep,
    Close,
}

impl Conn {
    pub fn raw(&mut self, bytes: &[u8]) {
        // The sidecar may have gone, which some scripts wait for.
        let _ = self.0.write_all(bytes);
    }

    pub fn whole(&mut self, status: &str, kind: &str, body: &str) {
        let length = body.len();
        self.raw(
            format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nx-served-by: script\r\n\r\n{body}")
                .as_bytes(),
        );
    }

    pub fn stream_head(&mut self) {
        self.raw(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n",
        );
    }

    pub fn chunk(&mut self, bytes: &[u8]) {
        let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
        framed.extend_from_slice(bytes);
        framed.extend_from_slice(b"\r\n");
        self.raw(&framed);
    }

    pub fn stream_end(&mut self) {
        self.raw(b"0\r\n\r\n");
    }

    /// A stream of events, cut into pieces of so many bytes.
    pub fn stream(&mut self, text: &str, step: usize) {
        self.stream_head();
        for piece in text.as_bytes().chunks(step) {
            self.chunk(piece);
        }
        self.stream_end();
    }

    /// Waits until the other side has closed; false if it does not.
    pub fn is_left(&mut self) -> bool {
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        match self.0.read(&mut [0; 64]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

/// The running server. Its threads end with the test.
pub struct Upstream {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
}

impl Upstream {
    pub fn start(script: impl Fn(&Asked, &mut Conn) -> Then + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, connections) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
        let upstream = Self { port, asked: Arc::clone(&asked), connections: Arc::clone(&connections) };
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                connections.fetch_add(1, SeqCst);
                let (asked, script) = (Arc::clone(&asked), Arc::clone(&script));
                std::thread::spawn(move || serve(stream, &asked, &*script));
            }
        });
        upstream
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

fn serve(stream: TcpStream, asked: &Mutex<Vec<Asked>>, script: &dyn Fn(&Asked, &mut Conn) -> Then) {
    let mut conn = Conn(stream);
    let mut buffer = Vec::new();
    while let Some(request) = receive(&mut conn.0, &mut buffer) {
        asked.lock().unwrap().push(request.clone());
        if script(&request, &mut conn) == Then::Close {
            return;
        }
    }
}

fn receive(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Asked> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, buffer)?;
    };
    let head = String::from_utf8(buffer[..head_end].to_vec()).unwrap();
    let mut lines = head.lines();
    let line = lines.next().unwrap().to_owned();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    while buffer.len() < head_end + length {
        more(stream, buffer)?;
    }
    let body = buffer[head_end..head_end + length].to_vec();
    buffer.drain(..head_end + length);
    Some(Asked { line, headers, body })
}

fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 65536];
    match stream.read(&mut piece) {
        Ok(0) | Err(_) => None,
        Ok(read) => {
            buffer.extend_from_slice(&piece[..read]);
            Some(())
        }
    }
}
