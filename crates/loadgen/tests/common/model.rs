//! A small server of a model that streams as it is told, for tests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use loadgen::clock::now_ns;
use loadgen::driver::Options;
use loadgen::serving::session::Session;
use loadgen::serving::target::Target;
use loadgen::transport::{Protocol, Sockets};

/// What the server does with a request.
#[derive(Debug, Clone)]
#[allow(dead_code)]
pub enum Act {
    /// So many tokens, the first after `first_ms`, then one every `gap_ms`, each with its stamp.
    Stream { tokens: u32, first_ms: u64, gap_ms: u64 },
    /// The same without stamps, `[DONE]` and usage; the reason to finish is on the last chunk.
    Bare { tokens: u32 },
    /// So many tokens, then the connection ends.
    Cut { tokens: u32 },
    /// Exactly these bytes, then the connection stays.
    Bytes(Vec<u8>),
    /// Exactly these bytes, then the connection ends.
    Last(Vec<u8>),
    /// Tokens for ever.
    Endless,
    /// Nothing, and the connection stays.
    Silence,
    /// A stream, then the connection ends although it was to be kept.
    Liar { tokens: u32 },
    /// One JSON text after so many ms.
    Whole { ms: u64 },
}

/// Listens until the test's process ends.
pub struct Model {
    port: u16,
    pub connections: Arc<AtomicU64>,
    /// Heads and bodies of all requests, in the order of their coming.
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl Model {
    pub fn start(act: impl Fn(u64) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let model = Self { port, connections: Arc::default(), asked: Arc::default() };
        let (connections, asked) = (Arc::clone(&model.connections), Arc::clone(&model.asked));
        let (act, count) = (Arc::new(act), Arc::new(AtomicU64::new(0)));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                connections.fetch_add(1, Ordering::Relaxed);
                let (act, count, asked) = (Arc::clone(&act), Arc::clone(&count), Arc::clone(&asked));
                thread::spawn(move || drop(serve(&stream, &*act, &count, &asked)));
            }
        });
        model
    }

    pub fn target(&self) -> Target {
        format!("http://127.0.0.1:{}/v1", self.port).parse().unwrap()
    }

    pub fn transport(&self) -> Sockets {
        let target = self.target();
        Sockets::to_server(&target, Protocol::post(&target, server_api::OPENAI_CHAT, None), 1_000_000_000).unwrap()
    }
}

pub fn sessions() -> Vec<Session> {
    (0..5).map(|number| Session::single(format!("{{\"prompt\":\"number {number}\"}}").into_bytes())).collect()
}

pub fn options(connections: usize) -> Options {
    Options { connections, timeout_ns: 2_000_000_000, linger_ns: 0, offset: 0 }
}

pub fn token(text: &str, rest: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]{rest}}}\n\n")
}

pub const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

pub fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

fn serve(
    stream: &TcpStream,
    act: &(dyn Fn(u64) -> Act + Sync),
    count: &AtomicU64,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let before = head.len();
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
            let line = head[before..].to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        asked.lock().unwrap().push(head + &String::from_utf8_lossy(&body));
        let mut put = |text: &str| writer.write_all(text.as_bytes());
        let wait = |ms: u64| thread::sleep(Duration::from_millis(ms));
        let act = act(count.fetch_add(1, Ordering::Relaxed));
        match act {
            Act::Stream { tokens, .. } | Act::Liar { tokens } => {
                let (first_ms, gap_ms) = match act {
                    Act::Stream { first_ms, gap_ms, .. } => (first_ms, gap_ms),
                    _ => (0, 0),
                };
                put(HEAD)?;
                for index in 0..tokens {
                    wait(if index == 0 { first_ms } else { gap_ms });
                    let stamp = format!(",\"llmbench\":{{\"written_ns\":{},\"index\":{index}}}", now_ns());
                    put(&chunk(&token("x", &stamp)))?;
                }
                let end = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n";
                let usage = format!(
                    "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":7,\"completion_tokens\":{tokens}}}}}\n\ndata: [DONE]\n\n"
                );
                put(&format!("{}{}0\r\n\r\n", chunk(end), chunk(&usage)))?;
                if matches!(act, Act::Liar { .. }) {
                    return Ok(());
                }
            }
            Act::Bare { tokens } => {
                put(HEAD)?;
                for _ in 1..tokens {
                    put(&chunk(&token("x", "")))?;
                }
                put(&chunk("data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"length\"}]}\n\n"))?;
                put("0\r\n\r\n")?;
            }
            Act::Cut { tokens } => {
                put(HEAD)?;
                for _ in 0..tokens {
                    put(&chunk(&token("x", "")))?;
                }
                return Ok(());
            }
            Act::Bytes(bytes) => writer.write_all(&bytes)?,
            Act::Last(bytes) => return writer.write_all(&bytes),
            Act::Endless => {
                put(HEAD)?;
                loop {
                    wait(2);
                    put(&chunk(&token("x", "")))?;
                }
            }
            Act::Silence => {}
            Act::Whole { ms } => {
                wait(ms);
                let body = "{\"choices\":[{\"message\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}],\"usage\":{\"completion_tokens\":2}}";
                put(&format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                ))?;
            }
        }
    }
}
