//! The shell around the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    llmbench::cli::main(std::env::args_os())
}
