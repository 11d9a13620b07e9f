//! How many chunks a second the simulated server writes, what one costs, and how late they go out, with a client in the same process
//! that does no more than read and find the stamps.
//!
//!     cargo run --release -p mock-openai --example throughput -- STREAMS STEP_MS TOKENS
//!
//! Every stream gets a token each step: STREAMS / STEP_MS thousand chunks/s are asked for. The server is late by written - due, where due
//! is the end of the step; the client by read - written.

use std::collections::HashMap;
use std::io::Write;
use std::net::TcpStream;
use std::os::fd::AsFd;

use mock_openai::engine::EngineConfig;
use mock_openai::{Config, Listen, Server};
use netpoll::{Poller, now_ns};
use rustix::net::RecvFlags;
use rustix::time::{ClockId, clock_gettime};

const STAMP: &[u8] = b"\"written_ns\":";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: usize| {
        args.next().map_or(Ok(default), |text| text.parse::<f64>().map(|value| (value * 1000.0) as usize))
    };
    let (streams, step_us, tokens) = (number(500_000)? / 1000, number(10_000)?, number(500_000)? / 1000);
    let engine = EngineConfig {
        step_ns: step_us as u64 * 1000,
        prefill_token_ns: 0,
        decode_sequence_ns: 0,
        max_batched_tokens: 1 << 20,
        max_sequences: streams,
        ..EngineConfig::default()
    };
    let server = Server::start(Config { engine, ..Config::default() }, &Listen::Tcp("127.0.0.1:0".parse()?))?;
    let address = server.endpoint().address().ok_or("no address")?;
    let mut poller = Poller::new()?;
    let mut sockets = Vec::new();
    for index in 0..streams {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        poller.add(stream.as_fd(), index as u64, false)?;
        sockets.push(stream);
    }
    for (index, mut socket) in sockets.iter().enumerate() {
        let body = format!("{{\"prompt\":\"stream {index}\",\"max_tokens\":{tokens},\"stream\":true}}");
        let head = format!(
            "POST /v1/completions HTTP/1.1\r\nx-request-id: s{index}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all(format!("{head}{body}").as_bytes())?;
        socket.set_nonblocking(true)?;
    }
    let (start_ns, start_cpu, start_own) = (now_ns(), cpu(ClockId::ProcessCPUTime), cpu(ClockId::ThreadCPUTime));
    let (mut ready, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    let (mut late, mut open, mut reads) = (Vec::with_capacity(streams * tokens), streams, 0u64);
    while open > 0 {
        ready.clear();
        poller.wait(now_ns(), u64::MAX, &mut ready)?;
        for one in &ready {
            let socket = &sockets[one.token as usize];
            let Ok((_, count)) = rustix::net::recv(socket, &mut *buffer, RecvFlags::empty()) else { continue };
            let read_ns = now_ns();
            reads += 1;
            if count == 0 {
                poller.remove(socket.as_fd(), one.token)?;
                open -= 1;
            }
            // A stamp that two reads share is not counted; there are few.
            let mut rest = &buffer[..count];
            while let Some(at) = rest.windows(STAMP.len()).position(|window| window == STAMP) {
                rest = &rest[at + STAMP.len()..];
                let digits = rest.iter().copied().skip_while(|byte| *byte == b' ').take_while(u8::is_ascii_digit);
                let written = digits.fold(0u64, |value, digit| value * 10 + u64::from(digit - b'0'));
                late.push(read_ns.saturating_sub(written));
            }
        }
    }
    let wall = (now_ns() - start_ns) as f64 / 1e9;
    let own = cpu(ClockId::ThreadCPUTime) - start_own;
    let all = cpu(ClockId::ProcessCPUTime) - start_cpu;
    let truths: HashMap<String, _> = server.truths().into_iter().map(|truth| (truth.id.clone(), truth)).collect();
    let mut server_late: Vec<u64> = Vec::new();
    for truth in truths.values() {
        let first = truth.choices[0].first_token_ns.unwrap_or_default();
        let due = (0u64..).map(|index| first + index * step_us as u64 * 1000);
        server_late.extend(truth.written_ns.iter().zip(due).map(|(written, due)| written.saturating_sub(due)));
    }
    let chunks = (streams * tokens) as f64;
    println!(
        "{streams} streams, {tokens} chunks each, a step every {:.3} ms, {} stamps read in {reads} reads",
        step_us as f64 / 1e3,
        late.len()
    );
    println!("{:.0} chunks/s of {:.0} asked for, {wall:.2} s", chunks / wall, streams as f64 * 1e6 / step_us as f64);
    println!("CPU a chunk: server {:.2} µs, client {:.2} µs", (all - own) * 1e6 / chunks, own * 1e6 / chunks);
    print_late("server: written - due ", &mut server_late);
    print_late("client: read - written", &mut late);
    println!("blocked writes: {}", truths.values().map(|truth| truth.blocked).sum::<u32>());
    Ok(())
}

fn print_late(name: &str, values: &mut [u64]) {
    values.sort_unstable();
    let at = |share: f64| {
        values.get((values.len() as f64 * share) as usize).or(values.last()).map_or(0.0, |ns| *ns as f64 / 1e6)
    };
    let mean = values.iter().sum::<u64>() as f64 / 1e6 / values.len().max(1) as f64;
    println!("{name}: mean {mean:.3} ms, p50 {:.3}, p99 {:.3}, max {:.3}", at(0.5), at(0.99), at(1.0));
}

/// s.
fn cpu(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
