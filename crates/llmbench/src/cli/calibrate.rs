//! `llmbench calibrate`: how late this machine's client sees what a server sends, and up to which load that stays below a millisecond.

use std::ffi::OsString;

use clap::Args;
use loadgen::arrivals::{Extent, Spacing};
use server_api::{Ask, Settings};

use loadgen::serving::server::{Access, Found};
use loadgen::serving::session::Session;
use provision::cache;
use record::results::{CellValue, Row, Status, Table};
use runner::interrupt::Interrupt;

use super::console;
use super::numbers::{List, list};
use crate::load::calibration::{self, Calibrated, Calibration, SUSTAINED_NS, load_of};
use crate::load::drive::{Bench, now};
use crate::load::points::Point;
use crate::load::workload::Requests;
use pipeline::{Exit, Failure};
use record::format::{count, duration, significant};
use report::terminal::{self, Style};
use suites::present::{column, text};
use workers::child::Listening;

/// A step of the simulated engine, ms: each stream gets 100 chunks a second.
const STEP_MS: u32 = 10;

/// Streams of the first point, and the most.
const FIRST: usize = 32;
const MOST: usize = 8192;

/// Points between the last load that is sustained and the first that is not.
const REFINEMENTS: u32 = 3;

/// `llmbench calibrate`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  llmbench calibrate\n  llmbench calibrate --streams 100,500,1000 --seconds 10\n\nThe simulated server runs on this machine and shares its cores with the\nclient, as a real one would. `llmbench load` states the error that applies.\n\nExit codes:\n    0  measured and kept in the cache folder\n    2  wrong arguments, or a limit of the system is too low\n  130  interrupted"
)]
pub struct CalibrateArgs {
    /// Streams at a time: a list or a sweep [default: doubled until the error exceeds 1 ms, then refined].
    #[arg(long, value_name = "LIST", value_parser = list)]
    pub streams: Option<List>,

    /// How long each point lasts, s.
    #[arg(long, value_name = "S", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub seconds: u32,

    /// For programs.
    #[arg(long)]
    pub json: bool,
}

/// Measures, shows, and keeps the result for `llmbench load`.
///
/// # Errors
/// Usage: the simulated server does not start, or a limit of the system is too low.
pub fn calibrate(args: &CalibrateArgs) -> Result<Exit, Failure> {
    let interrupt = Interrupt::install().map_err(Failure::bug)?;
    let cache = cache::root().map_err(Failure::usage)?;
    let mut calibration = Calibration::new(calibration::this_machine(), now());
    let points = match &args.streams {
        Some(streams) => {
            let mut points = Vec::new();
            for &streams in &streams.0 {
                points.extend(measure(streams as usize, args.seconds, &interrupt)?);
            }
            points
        }
        None => search(|streams| measure(streams, args.seconds, &interrupt))?,
    };
    calibration.points = points;
    calibration.points.sort_by_key(|point| point.streams);
    if interrupt.is_set() {
        return Err(Failure::new(Exit::Interrupted, "interrupted while calibrating; nothing was kept, start again"));
    }
    let path = calibration.write(&cache).map_err(Failure::usage)?;
    if args.json {
        let text = serde_json::to_string_pretty(&calibration).map_err(Failure::bug)?;
        return console::print(&format!("{text}\n"));
    }
    let width = console::width().unwrap_or(80);
    console::print(&terminal::table(&table(&calibration), width, Style::of_stdout()))?;
    eprintln!("kept: {}", path.display());
    Ok(Exit::Success)
}

/// Doubles the streams until the error is too large, then halves the step between.
fn search(mut measure: impl FnMut(usize) -> Result<Option<Calibrated>, Failure>) -> Result<Vec<Calibrated>, Failure> {
    let mut points = Vec::new();
    let (mut good, mut bad) = (0, MOST * 2);
    let mut streams = FIRST;
    let mut refinements = 0;
    while streams <= MOST {
        let Some(point) = measure(streams)? else { break };
        let is_good = point.error_p99_ns < SUSTAINED_NS;
        points.push(point);
        *(if is_good { &mut good } else { &mut bad }) = streams;
        if bad > MOST {
            streams *= 2;
            continue;
        }
        refinements += 1;
        if refinements > REFINEMENTS || bad - good < 2 {
            break;
        }
        streams = good + (bad - good) / 2;
    }
    Ok(points)
}

/// One point; None if somebody interrupted.
fn measure(streams: usize, seconds: u32, interrupt: &Interrupt) -> Result<Option<Calibrated>, Failure> {
    if streams == 0 || interrupt.is_set() {
        return Ok(None);
    }
    let step = STEP_MS.to_string();
    let most = streams.to_string();
    let args = ["--step-ms", &step, "--prefill-us", "0", "--decode-us", "0", "--max-num-seqs", &most];
    let program = std::env::current_exe().map_err(Failure::bug)?;
    let args: Vec<OsString> =
        ["mock", "--host", "127.0.0.1", "--port", "0"].iter().chain(&args).map(OsString::from).collect();
    let (_child, address) = Listening::start("simulated server", &program, &args).map_err(Failure::usage)?;
    let tokens = seconds * 1000 / STEP_MS;
    let settings = Settings { model: Some("mock".to_owned()), max_tokens: Some(tokens), ..Settings::default() };
    let body =
        |number: usize| server_api::OPENAI_COMPLETIONS.body(&Ask::Text(&format!("calibration {number}")), &settings);
    let sessions: Result<Vec<Session>, _> = (0..streams).map(|number| body(number).map(Session::single)).collect();
    let requests = Requests {
        prompt_tokens: vec![vec![0]; streams],
        sessions: sessions.map_err(Failure::bug)?,
        name: "calibration".to_owned(),
        notes: Vec::new(),
    };
    let access = Access {
        target: address.parse().map_err(Failure::bug)?,
        backend: server_api::OPENAI_COMPLETIONS,
        key: None,
        key_var: String::new(),
        timeout_ns: u64::from(seconds + 60) * 1_000_000_000,
    };
    let found = Found { counts_tokens: true, ..Found::default() };
    let bench = Bench {
        access: &access,
        found: &found,
        requests: &requests,
        tokenizer: None,
        extent: Extent::count(streams),
        spacing: Spacing::Even,
        trace: None,
        intensity: None,
        seed: 1,
        slo: None,
        percentiles: vec![50.0, 99.0],
        samples: None,
        interrupt: interrupt.clone(),
        calibration: None,
    };
    let measured = bench.measure(Point::Concurrency { users: streams }, 1, 0)?;
    if interrupt.is_set() {
        return Ok(None);
    }
    let outcome = &measured.outcome;
    let Some(truth) = outcome.truth.filter(|_| outcome.figures.failed == 0) else {
        let first = outcome.errors.values().next().map_or("no stamps came", |failed| failed.first.as_str());
        return Err(Failure::usage(format!("the simulated server failed at {streams} streams: {first}")));
    };
    let gap_p99 = outcome.figures.gap.as_ref().and_then(|gap| gap.percentile(99.0)).unwrap_or(0.0);
    let (_, chunks_per_s) = load_of(&measured.run);
    Ok(Some(Calibrated {
        streams,
        chunks_per_s,
        error_mean_ns: truth.error_mean,
        error_p50_ns: truth.error_p50,
        error_p99_ns: truth.error_p99,
        ttft_error_mean_ns: truth.first_mean,
        ttft_error_p99_ns: truth.first_p99,
        gap_p99_error_ns: gap_p99 as i64 - truth.gap_p99 as i64,
        cpu_per_chunk_ns: outcome.cpu_per_chunk_ns.unwrap_or(0.0),
        share: outcome.usage.share(),
    }))
}

fn table(calibration: &Calibration) -> Table {
    let time = |ns: f64| CellValue { text: duration(ns), sort: Some(ns) };
    let row = |point: &Calibrated| Row {
        values: vec![
            CellValue { text: count(point.streams as u64), sort: Some(point.streams as f64) },
            CellValue { text: significant(point.chunks_per_s, 3), sort: Some(point.chunks_per_s) },
            time(point.error_p50_ns as f64),
            time(point.error_p99_ns as f64),
            time(point.ttft_error_mean_ns),
            time(point.gap_p99_error_ns.unsigned_abs() as f64),
            time(point.cpu_per_chunk_ns),
            text(format!("{:.0}%", point.share * 100.0)),
            text(if point.error_p99_ns < SUSTAINED_NS { "yes" } else { "no" }),
        ],
        status: Status::Ok,
        group: String::new(),
    };
    let best = calibration.sustained().max_by(|a, b| a.chunks_per_s.total_cmp(&b.chunks_per_s));
    let said = match best {
        Some(point) => format!(
            "This client sustains {} streams with {} chunks/s in all at an error below {} at p99, on {}.",
            count(point.streams as u64),
            significant(point.chunks_per_s, 3),
            duration(SUSTAINED_NS as f64),
            calibration.machine
        ),
        None => "No load was sustained with an error below 1 ms at p99: the machine is busy; see `llmbench doctor`."
            .to_owned(),
    };
    Table {
        id: "calibration".to_owned(),
        title: "Client error: received less sent".to_owned(),
        columns: vec![
            column("streams", true, 0),
            column("chunks/s", true, 0),
            column("p50", true, 1),
            column("p99", true, 0),
            column("TTFT mean", true, 0),
            column("gap p99", true, 2),
            column("CPU/chunk", true, 0),
            column("core", true, 1),
            column("sustained", false, 0),
        ],
        rows: calibration.points.iter().map(row).collect(),
        notes: vec![said],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn point(streams: usize, error_p99_ns: u64) -> Calibrated {
        serde_json::from_value(json!({
            "streams": streams, "chunks_per_s": streams * 100, "error_mean_ns": 0.0, "error_p50_ns": 0, "error_p99_ns": error_p99_ns,
            "ttft_error_mean_ns": 0.0, "ttft_error_p99_ns": 0, "gap_p99_error_ns": 0, "cpu_per_chunk_ns": 0.0, "share": 0.0
        }))
        .unwrap()
    }

    #[test]
    fn the_search_closes_in_on_the_limit() {
        let visited = |limit: usize| {
            let points =
                search(|streams| Ok(Some(point(streams, if streams <= limit { 1 } else { 2_000_000 })))).unwrap();
            points.iter().map(|point| point.streams).collect::<Vec<_>>()
        };
        assert_eq!(visited(600), [32, 64, 128, 256, 512, 1024, 768, 640, 576]);
        assert_eq!(visited(0), [32, 16, 8, 4]);
        assert_eq!(visited(1 << 20).last(), Some(&MOST));
        assert_eq!(search(|_| Ok(None)).unwrap(), []);
    }
}
