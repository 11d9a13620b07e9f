//! A server with small times, and a client that reads raw bytes.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use mock_openai::engine::EngineConfig;
use mock_openai::{Config, Listen, Server};
use serde_json::Value;

/// Steps of 2 ms and no more: quick, and long enough to tell a chunk from the next.
pub fn config() -> Config {
    Config {
        engine: EngineConfig {
            step_ns: 2_000_000,
            prefill_token_ns: 1_000,
            decode_sequence_ns: 1_000,
            ..EngineConfig::default()
        },
        ..Config::default()
    }
}

pub fn start(config: Config) -> Server {
    Server::start(config, &Listen::Tcp("127.0.0.1:0".parse().unwrap())).unwrap()
}

/// CLOCK_MONOTONIC, ns.
pub fn now_ns() -> u64 {
    netpoll::now_ns()
}

/// A read of the client: when it returned, and what it brought.
pub type Part = (u64, Vec<u8>);

pub struct Client {
    pub stream: TcpStream,
    /// Bytes that were read beyond an answer.
    rest: Vec<u8>,
}

/// An answer, whole.
pub struct Answer {
    pub status: u16,
    /// Lower case.
    pub head: String,
    /// Without the chunked coding.
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&self.body)))
    }

    /// The data of each event.
    pub fn events(&self) -> Vec<String> {
        let events = self.text().split_terminator("\n\n");
        events
            .map(|event| event.strip_prefix("data: ").unwrap_or_else(|| panic!("{event:?} is no event")).to_owned())
            .collect()
    }

    /// The events that are JSON.
    pub fn chunks(&self) -> Vec<Value> {
        let events = self.events();
        events.iter().filter(|event| *event != "[DONE]").map(|event| serde_json::from_str(event).unwrap()).collect()
    }
}

impl Client {
    pub fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(server.endpoint().address().unwrap()).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream, rest: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn post(&mut self, path: &str, fields: &str, body: &str) {
        self.send(&request(path, fields, body));
    }

    pub fn ask(&mut self, path: &str, fields: &str, body: &str) -> Answer {
        self.post(path, fields, body);
        self.answer().unwrap()
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
        self.answer().unwrap()
    }

    /// What comes until the connection ends, read by read, and the error that ended it.
    pub fn until_end(&mut self) -> (Vec<Part>, Option<std::io::ErrorKind>) {
        let mut parts = Vec::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return (parts, None),
                Ok(count) => parts.push((now_ns(), buffer[..count].to_vec())),
                Err(error) => return (parts, Some(error.kind())),
            }
        }
    }

    /// The next answer; None if the connection ends before it is whole.
    pub fn answer(&mut self) -> Option<Answer> {
        let mut bytes = std::mem::take(&mut self.rest);
        let mut buffer = vec![0; 1 << 20];
        loop {
            if let Some((answer, used)) = parse(&bytes) {
                self.rest = bytes.split_off(used);
                return Some(answer);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            }
        }
    }
}

pub fn request(path: &str, fields: &str, body: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\n{fields}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A whole answer at the beginning of `bytes`, and how many bytes it takes.
pub fn parse(bytes: &[u8]) -> Option<(Answer, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).unwrap().to_lowercase();
    let status = head[9..12].parse().unwrap();
    let mut rest = &bytes[end..];
    if status == 100 {
        return Some((Answer { status, head, body: Vec::new() }, end));
    }
    let mut body = Vec::new();
    if head.contains("transfer-encoding: chunked") {
        loop {
            let line = rest.windows(2).position(|window| window == b"\r\n")?;
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
            rest = rest.get(line + 2..)?;
            let data = rest.get(..size + 2)?;
            assert_eq!(&data[size..], b"\r\n");
            body.extend_from_slice(&data[..size]);
            rest = &rest[size + 2..];
            if size == 0 {
                break;
            }
        }
    } else {
        let length = head.split("content-length: ").nth(1).unwrap_or_else(|| panic!("no length in {head}"));
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        body.extend_from_slice(rest.get(..length)?);
        rest = &rest[length..];
    }
    let used = bytes.len() - rest.len();
    Some((Answer { status, head, body }, used))
}

/// The truth of a request that has ended or is about to.
#[track_caller]
pub fn truth_of(server: &Server, id: &str) -> std::sync::Arc<mock_openai::Truth> {
    server.wait_for_truth(id, Duration::from_secs(10)).unwrap_or_else(|| panic!("no truth of {id} after 10 s"))
}

/// Waits until something is so; panics after 10 s.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}: not so after 10 s");
        std::thread::sleep(Duration::from_millis(1));
    }
}
