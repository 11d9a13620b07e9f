//! A server that answers as the hub does: one thread, one request a connection, every request kept.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }
}

/// How much of an answer's body is sent.
#[derive(Debug, Clone, Copy)]
pub enum Send {
    All,
    /// This many bytes, then the connection is closed.
    Cut(usize),
    /// This many bytes, then nothing, until the client goes away.
    Stall(usize),
}

#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub send: Send,
}

impl Reply {
    pub fn new(status: u16) -> Self {
        Self { status, headers: vec![], body: vec![], send: Send::All }
    }

    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn send(mut self, send: Send) -> Self {
        self.send = send;
        self
    }
}

pub struct Server {
    pub url: String,
    log: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// `answer` gets each request and how many of the same method and path came before.
    pub fn start(answer: impl Fn(&Asked, usize) -> Reply + std::marker::Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let log: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let kept = Arc::clone(&log);
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let Some(asked) = read(&stream) else { return };
                    let earlier = {
                        let mut log = kept.lock().unwrap();
                        let same = |a: &&Asked| a.method == asked.method && a.path == asked.path;
                        let n = log.iter().filter(same).count();
                        log.push(asked.clone());
                        n
                    };
                    let reply = answer(&asked, earlier);
                    let _ = write(stream, &asked, &reply);
                });
            }
        });
        Self { url, log }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }

    /// `GET path` and the like, in order.
    pub fn lines(&self) -> Vec<String> {
        self.asked().iter().map(|a| format!("{} {}", a.method, a.path)).collect()
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = vec![];
    for line in lines {
        let line = line.ok()?;
        match line.split_once(':') {
            Some((name, value)) => headers.push((name.to_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    Some(Asked { method, path, headers })
}

fn write(mut stream: TcpStream, asked: &Asked, reply: &Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Status\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !reply.headers.iter().any(|(n, _)| n == "Content-Length") {
        head += &format!("Content-Length: {}\r\n", reply.body.len());
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if asked.method != "HEAD" {
        match reply.send {
            Send::All => stream.write_all(&reply.body)?,
            Send::Cut(n) => stream.write_all(&reply.body[..n])?,
            Send::Stall(n) => {
                stream.write_all(&reply.body[..n])?;
                stream.flush()?;
                // Ends when the client hangs up.
                stream.set_read_timeout(Some(Duration::from_secs(30)))?;
                let _ = stream.read(&mut [0]);
            }
        }
    }
    stream.shutdown(Shutdown::Write)?;
    // Reads until the client closes, so that no reset overtakes the answer.
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    while matches!(stream.read(&mut [0; 64]), Ok(n) if n > 0) {}
    Ok(())
}
