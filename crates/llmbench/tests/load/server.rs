//! A small server of a model that says of itself what a test wants.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub head: String,
    pub body: String,
}

/// A server on a port of its own, until the test's process ends.
pub struct Server {
    pub url: String,
    pub asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers each request with the bytes that `answer` makes of it.
    pub fn start(answer: impl Fn(&Asked) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (list, answer) = (Arc::clone(&asked), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (list, answer) = (Arc::clone(&list), Arc::clone(&answer));
                thread::spawn(move || drop(serve(&stream, &list, &*answer)));
            }
        });
        Self { url, asked }
    }

    /// A server with one model that streams so many tokens.
    pub fn tokens(tokens: u32) -> Self {
        Self::start(move |asked| if asked.path == "/v1/models" { models(&["tiny"]) } else { stream(tokens) })
    }

    pub fn posts(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().filter(|asked| asked.head.starts_with("POST")).cloned().collect()
    }
}

pub fn models(names: &[&str]) -> String {
    let data: Vec<String> = names.iter().map(|name| format!("{{\"id\":\"{name}\"}}")).collect();
    answer(200, &format!("{{\"object\":\"list\",\"data\":[{}]}}", data.join(",")))
}

pub fn answer(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

pub fn stream(tokens: u32) -> String {
    let token = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n".repeat(tokens as usize);
    let end = format!(
        "data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"length\"}}],\"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":{tokens}}}}}\n\ndata: [DONE]\n\n"
    );
    let body = token + &end;
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn serve(stream: &TcpStream, asked: &Mutex<Vec<Asked>>, answer: &dyn Fn(&Asked) -> String) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    loop {
        let mut head = String::new();
        loop {
            let before = head.len();
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
            if head[before..].trim().is_empty() {
                break;
            }
        }
        let lower = head.to_ascii_lowercase();
        let length =
            lower.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let request = Asked { path, head, body: String::from_utf8_lossy(&body).into_owned() };
        asked.lock().unwrap().push(request.clone());
        thread::sleep(Duration::from_millis(2));
        writer.write_all(answer(&request).as_bytes())?;
    }
}
