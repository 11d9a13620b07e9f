//! How fast each engine encodes 1 MB of English and code in one thread, against the stable `tokenizers`; what it costs to load.
//!
//!     cargo run --release -p engines --example encode_speed -- [MODEL FOLDER] [ROUNDS]
//!
//! Cold: the first text of a fresh process. Warm: a new text, after others of the same kind went through. In every round all
//! engines get the same text, in an order of its own, and a ratio is taken within the round; shown are the geometric
//! mean and the range over the rounds. A look, not a measurement with intervals: `llmbench run` makes those.

use std::env;
use std::error::Error;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::time::Instant;

use engines::corpus::{Kind, text};
use engines::tokenize::Tokenize;
use engines::tokenizers::load_cost::load_cost;
use engines::tokenizers::{KINDS, ONE_THREAD, REFERENCE, load};
use engines::{EngineError, builtin};

/// Bytes of a text.
const BYTES: usize = 1_000_000;

/// Texts that go through before the warm ones.
const WARMUP: u64 = 2;

struct Row {
    engine: &'static str,
    call_path: &'static str,
    /// Seconds of each round.
    cold: Vec<f64>,
    warm: Vec<f64>,
    load_s: Vec<f64>,
    resident: Vec<f64>,
    peak: Vec<f64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if ONE_THREAD.iter().any(|(name, value)| env::var(name).as_deref() != Ok(value)) {
        let status = Command::new(env::current_exe()?).args(&arguments).envs(ONE_THREAD).status()?;
        exit(status.code().unwrap_or(1));
    }
    if let [mode, engine, call_path, model, seed] = arguments.as_slice()
        && mode == "cold"
    {
        return cold(engine, call_path, Path::new(model), seed.parse()?);
    }
    let made = env::temp_dir().join("llmbench-encode-speed");
    let model = match arguments.first() {
        Some(folder) => PathBuf::from(folder),
        None => {
            std::fs::create_dir_all(&made)?;
            builtin::ensure(&made, &|_| {})?.dir
        }
    };
    let rounds: u64 = arguments.get(1).map_or(Ok(5), |rounds| rounds.parse())?;

    let mut rows = Vec::new();
    let mut engines = Vec::new();
    for kind in KINDS.iter().filter(|kind| kind.is_built()) {
        match load(kind.engine, &model) {
            Err(error) => println!("{}: {error}", kind.engine),
            Ok(loaded) => {
                for call_path in kind.call_paths {
                    engines.extend(loaded.call_path(call_path));
                    rows.push(Row {
                        engine: kind.engine,
                        call_path,
                        cold: Vec::new(),
                        warm: Vec::new(),
                        load_s: Vec::new(),
                        resident: Vec::new(),
                        peak: Vec::new(),
                    });
                }
            }
        }
    }
    for round in 0..rounds {
        for row in in_turn(rows.len(), round) {
            measure_cold(&mut rows[row], &model, round)?;
        }
    }
    for seed in 0..WARMUP {
        let text = sample(1_000 + seed);
        engines.iter().try_for_each(|engine| engine.run(&text).map(drop))?;
    }
    for round in 0..rounds {
        let text = sample(2_000 + round);
        for row in in_turn(rows.len(), round) {
            rows[row].warm.push(seconds(&*engines[row], &text)?);
        }
    }
    print(&rows);
    Ok(())
}

/// All of `count`, each round from another one on.
fn in_turn(count: usize, round: u64) -> impl Iterator<Item = usize> {
    (0..count).map(move |index| (index + round as usize * 3) % count)
}

/// Half English, half code.
fn sample(seed: u64) -> String {
    text(Kind::English, BYTES / 2, seed, &[]) + &text(Kind::Code, BYTES / 2, seed, &[])
}

fn seconds(engine: &Tokenize, text: &str) -> Result<f64, EngineError> {
    let start = Instant::now();
    black_box(engine.run(black_box(text))?);
    Ok(start.elapsed().as_secs_f64())
}

/// In a process of its own: loads, encodes one text, and prints what that took.
fn cold(engine: &str, call_path: &str, model: &Path, seed: u64) -> Result<(), Box<dyn Error>> {
    let text = sample(seed);
    let (loaded, cost) = load_cost(engine, model)?;
    let encode = loaded.call_path(call_path).ok_or("there is no such call path")?;
    let first = seconds(&*encode, &text)?;
    println!(
        "{first} {} {} {}",
        cost.load_ns as f64 / 1e9,
        cost.resident_bytes.unwrap_or(0),
        cost.peak_bytes.unwrap_or(0)
    );
    Ok(())
}

fn measure_cold(row: &mut Row, model: &Path, round: u64) -> Result<(), Box<dyn Error>> {
    let output = Command::new(env::current_exe()?)
        .args(["cold", row.engine, row.call_path])
        .arg(model)
        .arg(round.to_string())
        .output()?;
    let line = String::from_utf8(output.stdout)?;
    let values: Vec<f64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [first, load, resident, peak] = values.as_slice() else {
        return Err(format!("{}: {}", row.engine, String::from_utf8_lossy(&output.stderr)).into());
    };
    row.cold.push(*first);
    row.load_s.push(*load);
    row.resident.push(*resident);
    row.peak.push(*peak);
    Ok(())
}

fn print(rows: &[Row]) {
    let Some(reference) = rows.iter().find(|row| row.engine == REFERENCE) else { return };
    println!(
        "{:<34} {:>22} {:>22} {:>10} {:>8} {:>8} {:>8}",
        "engine/call_path", "cold, times", "warm, times", "warm MB/s", "load s", "RSS MB", "peak MB"
    );
    for row in rows {
        println!(
            "{:<34} {:>22} {:>22} {:>10.2} {:>8.2} {:>8.0} {:>8.0}",
            format!("{}/{}", row.engine, row.call_path),
            ratio(&reference.cold, &row.cold),
            ratio(&reference.warm, &row.warm),
            BYTES as f64 / 1e6 / mean(&row.warm),
            mean(&row.load_s),
            mean(&row.resident) / 1e6,
            mean(&row.peak) / 1e6,
        );
    }
}

/// Geometric mean and range of the rounds' ratios.
fn ratio(reference: &[f64], other: &[f64]) -> String {
    let ratios: Vec<f64> = reference.iter().zip(other).map(|(reference, other)| reference / other).collect();
    let (low, high) =
        ratios.iter().fold((f64::INFINITY, 0.0f64), |(low, high), &ratio| (low.min(ratio), high.max(ratio)));
    format!("{:.1} ({low:.1} to {high:.1})", mean(&ratios))
}

/// The geometric mean.
fn mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.max(f64::MIN_POSITIVE).ln()).sum::<f64>() / values.len() as f64).exp()
}
