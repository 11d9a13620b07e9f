//! What the generator adds by itself: lateness and CPU at several rates against a server that only echoes.
//!
//!     cargo run --release -p loadgen --example lateness [seconds] [request bytes] [busy threads]
//!
//! The echo server is a thread of this process on a Unix socket (its CPU is not in the figures of the generator, which are of its
//! own thread). Busy threads spin beside it, to show the figures on a machine without a free core.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use loadgen::arrivals::{Extent, Intensity, Schedule, Spacing};
use loadgen::clock::now_ns;
use loadgen::driver::{Control, Options, run_closed, run_open};
use loadgen::lateness::{Lateness, Verdict};
use loadgen::summary::{Summary, Window};
use loadgen::transport::{Endpoint, SocketOptions, Sockets};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let arguments: Vec<u64> = std::env::args().skip(1).map(|value| value.parse()).collect::<Result<_, _>>()?;
    let argument = |index: usize, default: u64| arguments.get(index).copied().unwrap_or(default);
    let (seconds, bytes, busy) = (argument(0, 5), argument(1, 200) as usize, argument(2, 0));
    let stop = Arc::new(AtomicBool::new(false));
    for _ in 0..busy {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
    }
    let folder = std::env::temp_dir().join(format!("loadgen-lateness-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("socket");
    let listener = UnixListener::bind(&path)?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || drop(echo_frames(&stream)));
        }
    });
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    let http: Endpoint = format!("http://{}", tcp.local_addr()?).parse()?;
    std::thread::spawn(move || {
        for stream in tcp.incoming().map_while(Result::ok) {
            std::thread::spawn(move || drop(echo_http(&stream)));
        }
    });
    let payloads = vec![vec![b'x'; bytes]];
    println!("{bytes} bytes a request, {seconds} s a point, {busy} busy threads beside it");
    println!(
        "transport      rate  lateness p50/p99/max µs  wake p50/p99 µs  latency p50/p99 µs  CPU µs/request  share  verdict"
    );
    for (name, endpoint, rates) in
        [("unix", Endpoint::Unix(path), [1_000, 5_000, 20_000]), ("http", http, [1_000, 5_000, 20_000])]
    {
        for rate in rates {
            point(name, &endpoint, rate, seconds, &payloads)?;
        }
        let transport = Sockets::new(endpoint, SocketOptions::default())?;
        let options = Options { connections: 4, ..Options::default() };
        let extent = Extent::duration(seconds * 1_000_000_000);
        let run = run_closed(transport, &payloads, 4, extent, &options, &Control::default())?;
        let throughput = Summary::of(&run, Window::whole(&run)).throughput;
        let cpu = run.usage.cpu_ns as f64 / 1e3 / run.records.len() as f64;
        println!("{name:9} closed 4: {throughput:.0}/s, {cpu:.2} µs of CPU a request, share {:.2}", run.usage.share());
    }
    stop.store(true, Ordering::Relaxed);
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

fn point(name: &str, endpoint: &Endpoint, rate: u32, seconds: u64, payloads: &[Vec<u8>]) -> Result<(), Error> {
    let intensity = Intensity::Constant { rate: f64::from(rate) };
    let schedule =
        Schedule::generate(&intensity, Spacing::Poisson, Extent::duration(seconds * 1_000_000_000), u64::from(rate))?;
    let transport = Sockets::new(endpoint.clone(), SocketOptions::default())?;
    let run = run_open(transport, payloads, &schedule, None, &Options::default(), &Control::default())?;
    let (lateness, summary) = (Lateness::of(&run), Summary::of(&run, Window::whole(&run)));
    let us = |ns: u64| ns as f64 / 1e3;
    let at = |p| us(summary.from_scheduled.quantile_ns(p).unwrap_or(0));
    let verdict = Verdict::of(&run, &lateness, summary.from_scheduled.quantile_ns(0.5));
    println!(
        "{name:9} {rate:9}  {:7.1} {:7.1} {:8.1}  {:7.1} {:7.1}  {:8.1} {:9.1}  {:14.2}  {:5.2}  {}",
        us(lateness.own.p50_ns),
        us(lateness.own.p99_ns),
        us(lateness.own.max_ns),
        us(lateness.timer.p50_ns),
        us(lateness.timer.p99_ns),
        at(0.5),
        at(0.99),
        run.usage.cpu_ns as f64 / 1e3 / run.records.len() as f64,
        run.usage.share(),
        if verdict.is_valid() { "VALID" } else { "INVALID" },
    );
    for reason in &verdict.reasons {
        println!("          {reason}");
    }
    for note in &verdict.notes {
        println!("          {note}");
    }
    Ok(())
}

fn answer(content: &[u8]) -> Vec<u8> {
    let mut answer = vec![0];
    for _ in 0..3 {
        answer.extend(now_ns().to_le_bytes());
    }
    answer.extend(&content[..content.len().min(64)]);
    answer
}

fn echo_frames(stream: &UnixStream) -> std::io::Result<()> {
    let (mut reader, mut writer) = (BufReader::with_capacity(64 << 10, stream), stream);
    let mut payload = Vec::new();
    loop {
        let mut head = [0; 12];
        reader.read_exact(&mut head)?;
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        payload.resize(length as usize, 0);
        reader.read_exact(&mut payload)?;
        let answer = answer(&payload);
        let mut frame = (answer.len() as u32).to_le_bytes().to_vec();
        frame.extend(&head[4..]);
        frame.extend(answer);
        writer.write_all(&frame)?;
    }
}

fn echo_http(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    let (mut line, mut payload) = (String::new(), Vec::new());
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.trim().is_empty() {
                break;
            }
        }
        payload.resize(length, 0);
        reader.read_exact(&mut payload)?;
        let answer = answer(&payload);
        let mut all = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len()).into_bytes();
        all.extend(answer);
        writer.write_all(&all)?;
    }
}
