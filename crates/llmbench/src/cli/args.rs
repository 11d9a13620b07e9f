//! The command line: its verbs, each with the arguments that stand in the verb's own file.

use clap::{Parser, Subcommand};

use super::doctor::DoctorArgs;
use super::list::ListArgs;
use super::python::PythonArgs;
use super::rank::RankArgs;
use super::report::ReportArgs;
use super::run::RunArgs;

/// Measures where the time goes in an LLM system outside the GPU.
#[derive(Debug, Parser)]
#[command(
    name = "llmbench",
    version,
    about = "Finds the bottleneck in an LLM pipeline outside the GPU, with evidence",
    max_term_width = 100,
    after_help = "Examples:\n  llmbench run preprocessing --quick     the whole suite on the built-in model\n  llmbench run preprocessing --exp 1 3   two experiments, in full\n  llmbench doctor                        is this machine fit for measuring?\n  llmbench list                          suites, experiments, engines"
)]
pub struct Cli {
    /// Log more to stderr (-v: info, -vv: debug).
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,

    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Measure a suite of experiments and write a report.
    Run(Box<RunArgs>),
    /// Show suites, experiments and engines, and what is available here.
    List(ListArgs),
    /// Examine the machine, the clocks, the interpreters and the GPU; say what to mend.
    Doctor(DoctorArgs),
    /// List the Python interpreters: GIL or free-threaded, which engines are there, how to get the rest.
    Python(PythonArgs),
    /// Render the report of a run folder again, without measuring.
    Report(ReportArgs),
    /// Say what to build for a load and a service level, from what a run measured.
    Advise(Box<super::advise::AdviseArgs>),
    /// Put load on a server of a model and show what a client sees.
    Load(Box<super::load::LoadArgs>),
    /// Measure how late the client of `load` sees what is sent on this machine.
    Calibrate(super::calibrate::CalibrateArgs),
    /// Rank the engines of a run over the texts on which all of them are right.
    Rank(RankArgs),
    /// Run template and tokenizer in front of an inference server, which gets token ids.
    Sidecar(Box<super::sidecar::SidecarArgs>),
    /// Serve a simulated inference engine whose timing is known, with faults on demand.
    Mock(Box<super::mock::MockArgs>),
    /// Print the completion script of a shell.
    #[command(
        after_help = "Examples:\n  llmbench completions fish > ~/.config/fish/completions/llmbench.fish\n  source <(llmbench completions bash)"
    )]
    Completions { shell: clap_complete::Shell },
    /// The native worker; started by `run`.
    #[command(hide = true)]
    Worker {
        /// `load` drives servers, `serve` is one, `serving` asks servers of models; without it, calls are timed.
        role: Option<String>,
    },
}
