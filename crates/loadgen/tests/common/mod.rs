//! Servers of known behaviour, on threads of the test's process.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use loadgen::clock::now_ns;
use loadgen::transport::{Endpoint, SocketOptions, Sockets};

/// What a server does with a request; requests are numbered in the order in which the server (HTTP) or the connection (frames)
/// reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Answer,
    /// No answer, ever.
    Drop,
    /// The answer twice.
    Duplicate,
    /// The content that belongs to another payload.
    Garble,
    /// The answers of this request and of the next one, each under the other's id.
    SwapWithNext,
    /// An error with this message.
    Fail(&'static str),
    /// Half an answer, then the connection ends.
    Cut,
    /// The connection ends without an answer.
    Close,
    /// An answer under an id that was never sent.
    Unasked,
    /// Nothing is read or answered for this time.
    StallMs(u64),
}

/// The right answer to a payload.
pub fn content(payload: &[u8]) -> Vec<u8> {
    let mut content = payload.to_vec();
    content.reverse();
    content
}

pub fn expected(payloads: &[Vec<u8>]) -> Vec<u64> {
    payloads.iter().map(|payload| loadgen::check::check(&content(payload))).collect()
}

pub fn payloads() -> Vec<Vec<u8>> {
    (0..7).map(|number| format!("{{\"prompt\": \"number {number}\"}}").into_bytes()).collect()
}

/// Status and stamps, then the content.
pub fn prepared(status: u8, received_ns: u64, content: &[u8]) -> Vec<u8> {
    let now = now_ns();
    let mut payload = vec![status];
    for stamp in [received_ns, received_ns, now] {
        payload.extend(stamp.to_le_bytes());
    }
    payload.extend(content);
    payload
}

pub fn frame(id: u64, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_le_bytes().to_vec();
    frame.extend(id.to_le_bytes());
    frame.extend(payload);
    frame
}

/// A server on a Unix socket; removed with the folder.
pub struct UnixServer {
    folder: tempfile::TempDir,
}

impl UnixServer {
    /// Serves each connection on a thread of its own.
    pub fn start(act: impl Fn(u64) -> Act + Send + Sync + Copy + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A client that went away ends the connection; that is no concern of the server.
                thread::spawn(move || drop(serve_frames(&stream, act)));
            }
        });
        Self { folder }
    }

    /// Serves one connection, then closes the socket: the server is gone.
    pub fn start_once(act: impl Fn(u64) -> Act + Send + Sync + Copy + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            drop(listener);
            std::fs::remove_file(path).unwrap();
            drop(serve_frames(&stream, act));
        });
        Self { folder }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    pub fn transport(&self) -> Sockets {
        Sockets::new(Endpoint::Unix(self.path()), SocketOptions::default()).unwrap()
    }
}

fn serve_frames(stream: &UnixStream, act: impl Fn(u64) -> Act) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(64 << 10, stream);
    let mut writer = stream;
    let mut held: Option<(u64, Vec<u8>)> = None;
    for number in 0.. {
        let mut head = [0; 12];
        reader.read_exact(&mut head)?;
        let length = u32::from_le_bytes(head[..4].try_into().unwrap());
        let id = u64::from_le_bytes(head[4..].try_into().unwrap());
        let mut payload = vec![0; length as usize];
        reader.read_exact(&mut payload)?;
        let received = now_ns();
        let content = content(&payload);
        if let Some((other, waiting)) = held.take() {
            writer.write_all(&frame(id, &prepared(0, received, &waiting)))?;
            writer.write_all(&frame(other, &prepared(0, received, &content)))?;
            continue;
        }
        let good = frame(id, &prepared(0, received, &content));
        match act(number) {
            Act::Answer => writer.write_all(&good)?,
            Act::Drop => {}
            Act::Duplicate => writer.write_all(&[good.clone(), good].concat())?,
            Act::Garble => writer.write_all(&frame(id, &prepared(0, received, b"garbled")))?,
            Act::SwapWithNext => held = Some((id, content)),
            Act::Fail(message) => writer.write_all(&frame(id, &prepared(1, received, message.as_bytes())))?,
            Act::Cut => return writer.write_all(&good[..good.len() / 2]),
            Act::Close => return Ok(()),
            Act::Unasked => {
                writer.write_all(&frame(u64::MAX / 2, &prepared(0, received, b"unasked")))?;
                writer.write_all(&good)?;
            }
            Act::StallMs(milliseconds) => {
                thread::sleep(std::time::Duration::from_millis(milliseconds));
                writer.write_all(&good)?;
            }
        }
    }
    Ok(())
}

/// An HTTP server; `chunked` picks the coding of its answers, `requests` after how many a connection is closed.
pub struct HttpServer {
    port: u16,
}

impl HttpServer {
    pub fn start(
        chunked: bool,
        requests: Option<u64>,
        act: impl Fn(u64) -> Act + Send + Sync + Copy + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let count = Arc::new(AtomicU64::new(0));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let count = Arc::clone(&count);
                let act = move || act(count.fetch_add(1, Ordering::Relaxed));
                thread::spawn(move || drop(serve_http(&stream, chunked, requests, act)));
            }
        });
        Self { port }
    }

    pub fn transport(&self) -> Sockets {
        let endpoint = format!("http://127.0.0.1:{}", self.port).parse().unwrap();
        Sockets::new(endpoint, SocketOptions::default()).unwrap()
    }
}

fn serve_http(stream: &TcpStream, chunked: bool, requests: Option<u64>, act: impl Fn() -> Act) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    for number in 0..requests.unwrap_or(u64::MAX) {
        let (mut length, mut line) = (0, String::new());
        let mut first = true;
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if first {
                assert_eq!(line.trim_end(), "POST /prepare HTTP/1.1");
                first = false;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut payload = vec![0; length];
        reader.read_exact(&mut payload)?;
        let received = now_ns();
        let body = prepared(0, received, &content(&payload));
        let last = requests.is_some_and(|requests| number + 1 == requests);
        let end = if last { "connection: close\r\n" } else { "" };
        let mut good = if chunked {
            let (front, back) = body.split_at(body.len() / 3);
            let mut good = format!("HTTP/1.1 200 OK\r\n{end}transfer-encoding: chunked\r\n\r\n").into_bytes();
            for part in [front, back] {
                good.extend(format!("{:x}\r\n", part.len()).bytes());
                good.extend(part);
                good.extend(b"\r\n");
            }
            good.extend(b"0\r\n\r\n");
            good
        } else {
            let mut good = format!("HTTP/1.1 200 OK\r\n{end}content-length: {}\r\n\r\n", body.len()).into_bytes();
            good.extend(&body);
            good
        };
        match act() {
            Act::Answer => writer.write_all(&good)?,
            Act::Duplicate => {
                good.extend(good.clone());
                writer.write_all(&good)?;
            }
            Act::Fail(message) => {
                let length = message.len();
                write!(writer, "HTTP/1.1 503 Service Unavailable\r\ncontent-length: {length}\r\n\r\n{message}")?;
            }
            Act::Cut => return writer.write_all(&good[..good.len() - 3]),
            Act::Close => return Ok(()),
            Act::StallMs(milliseconds) => {
                thread::sleep(std::time::Duration::from_millis(milliseconds));
                writer.write_all(&good)?;
            }
            other => unimplemented!("{other:?} over HTTP"),
        }
    }
    Ok(())
}
