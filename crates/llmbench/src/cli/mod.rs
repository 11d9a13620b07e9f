//! The command line: one file a verb.

pub mod advise;
pub mod args;
pub mod calibrate;
pub mod console;
pub mod doctor;
pub mod dry_run;
pub mod list;
pub mod load;
pub mod mock;
mod numbers;
pub mod python;
pub mod rank;
pub mod report;
pub mod run;
mod show;
pub mod sidecar;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use pipeline::{Exit, Failure};

use self::args::{Cli, Verb};

/// Runs a command line to its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            if error.use_stderr() {
                // In the words of every other error: the program's name first.
                let text = error.render().to_string();
                eprint!("{}", text.strip_prefix("error: ").map_or(text.clone(), |rest| format!("llmbench: {rest}")));
                return Exit::Usage.into();
            }
            // Printing fails only when nobody listens any more.
            let _ = error.print();
            return Exit::Success.into();
        }
    };
    if let Verb::Worker { .. } = cli.verb {
        return workers::main();
    }
    log_to_stderr(cli.verbose);
    match dispatch(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("llmbench: {failure}");
            failure.exit.into()
        }
    }
}

fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    match cli.verb {
        Verb::Run(args) => run::run(&args),
        Verb::List(args) => list::list(&args),
        Verb::Doctor(args) => doctor::doctor(&args),
        Verb::Python(args) => python::python(&args),
        Verb::Report(args) => report::report(&args),
        Verb::Rank(args) => rank::rank(&args),
        Verb::Advise(args) => advise::run_verb(&args),
        Verb::Load(args) => load::load(&args),
        Verb::Calibrate(args) => calibrate::calibrate(&args),
        Verb::Mock(args) => mock::mock(&args),
        Verb::Sidecar(args) => sidecar::sidecar(&args),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "llmbench", &mut script);
            console::print(&String::from_utf8_lossy(&script))
        }
        Verb::Worker { .. } => Err(Failure::bug("the worker has its own way in")),
    }
}

/// `LLMBENCH_LOG` or `-v` say how much; what is logged never holds a secret.
fn log_to_stderr(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("LLMBENCH_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().try_init();
}
