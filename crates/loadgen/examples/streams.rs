//! What this client costs and how late it sees chunks: so many streams of our mock, in a process with it.
//!
//!     cargo run --release -p loadgen --example streams -- STREAMS STEP_MS TOKENS
//!
//! Every stream gets a token each step: STREAMS / STEP_MS thousand chunks/s are asked for. The error is received less written, by the
//! stamps that the mock puts into its chunks; TTFT's is that of the first chunks. (`llmbench calibrate` measures the same with the mock in a
//! process of its own.)

use loadgen::arrivals::Extent;
use loadgen::driver::{Control, Options};
use loadgen::serving::histogram::Histogram;
use loadgen::serving::session::{Load, Session};
use loadgen::serving::target::Target;
use loadgen::serving::{Run, run};
use loadgen::transport::{Protocol, Sockets};
use mock_openai::engine::EngineConfig;
use mock_openai::{Config, Listen, Server};
use rustix::time::{ClockId, clock_gettime};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: f64| args.next().map_or(Ok(default), |text| text.parse::<f64>());
    let (streams, step_ms, tokens) = (number(500.0)? as usize, number(10.0)?, number(500.0)? as usize);
    let engine = EngineConfig {
        step_ns: (step_ms * 1e6) as u64,
        prefill_token_ns: 0,
        decode_sequence_ns: 0,
        max_batched_tokens: 1 << 20,
        max_sequences: streams,
        ..EngineConfig::default()
    };
    let server = Server::start(Config { engine, ..Config::default() }, &Listen::Tcp("127.0.0.1:0".parse()?))?;
    let target: Target = server.endpoint().to_string().parse()?;
    let transport =
        Sockets::to_server(&target, Protocol::post(&target, server_api::OPENAI_COMPLETIONS, None), 1_000_000_000)?;
    let body = |number: usize| format!("{{\"prompt\":\"stream {number}\",\"max_tokens\":{tokens},\"stream\":true}}");
    let sessions: Vec<Session> = (0..streams).map(|number| Session::single(body(number).into_bytes())).collect();
    let options = Options { connections: streams, timeout_ns: 600_000_000_000, linger_ns: 0, offset: 0 };
    let load = Load::Closed { concurrency: streams, extent: Extent::count(streams), stagger_ns: 0 };
    let before = process_cpu_s();
    let run = run(transport, &sessions, load, &options, &Control::default(), None)?;
    print(&run, process_cpu_s() - before, streams as f64 * 1e3 / step_ms);
    Ok(())
}

fn print(run: &Run, cpu_s: f64, asked: f64) {
    let chunks: u64 = run.records.iter().map(|record| u64::from(record.chunks)).sum();
    let failed = run.errors.total();
    println!("{:.0} chunks/s of {asked:.0} asked for, {failed} failed", chunks as f64 * 1e9 / run.duration_ns as f64);
    let client = run.usage.cpu_ns as f64 / 1e3 / chunks.max(1) as f64;
    let server = cpu_s * 1e6 / chunks.max(1) as f64 - client;
    let share = run.usage.share() * 100.0;
    let priority =
        if run.usage.real_time { "real-time".to_owned() } else { format!("niceness {}", run.usage.niceness) };
    println!("CPU a chunk: client {client:.2} µs ({share:.0}% of a core, {priority}), server {server:.2} µs");
    let Some(truth) = &run.truth else { return };
    let ms = |histogram: &Histogram, p: f64| histogram.quantile(p).unwrap_or(0) as f64 / 1e6;
    let line = |name: &str, of: &Histogram| {
        let mean = of.mean().unwrap_or(0.0) / 1e6;
        println!("{name}: mean {mean:.3} ms, p50 {:.3}, p99 {:.3}, max {:.3}", ms(of, 0.5), ms(of, 0.99), ms(of, 1.0));
    };
    line("TTFT error ", &truth.first_error);
    line("chunk error", &truth.error);
    println!("chunk gap at p99: {:.3} ms received, {:.3} ms written", ms(&run.gaps, 0.99), ms(&truth.gaps, 0.99));
}

/// s.
fn process_cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
