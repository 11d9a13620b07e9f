//! The shell around the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(feature = "lead")]
    return llmbench::cli::main(std::env::args_os());
    #[cfg(not(feature = "lead"))]
    ExitCode::SUCCESS
}
