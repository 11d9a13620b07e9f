//! Runs one small experiment from Rust and reads its records:
//!
//!     cargo run --release --example run_from_rust
//!
//! Where there is no Python, the rows of the Rust engines are measured and the Python rows say what is missing.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use llmbench::Run;
use llmbench::results::Estimate;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // The Rust engines are measured in fresh processes of this very program.
    if let Some(code) = llmbench::serve_if_worker() {
        return Ok(code);
    }

    let finished = Run::suite("preprocessing")
        .quick()
        .experiments(["anatomy"])
        .axis("tokens", [500])
        .runs([3])
        .output(Path::new("output"))
        .measure()?;

    // Every record is a row of results.csv: what was measured, on what, and the interval across runs.
    for record in finished.records().iter().filter(|record| record.metric == "time") {
        let name = format!("{} by {} {} ({})", record.stage, record.engine, record.call_path, record.subject);
        match &record.estimate {
            Some(Estimate { point, lower: Some(lower), upper: Some(upper), .. }) => {
                println!("{name}: {:.1} us, 95% interval {:.1} to {:.1}", point / 1e3, lower / 1e3, upper / 1e3)
            }
            _ => println!("{name}: {}", record.error.as_deref().unwrap_or("no interval")),
        }
    }
    for finding in finished.experiments().iter().flat_map(|experiment| &experiment.findings) {
        println!("{:?}: {}", finding.support, finding.sentence);
    }
    println!("report: {}", finished.folder.join("report.html").display());
    Ok(finished.exit.into())
}
