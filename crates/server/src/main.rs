//! The program: reads the command line and runs the command.

use std::process::ExitCode;

fn main() -> ExitCode {
    grantor::cli::run()
}
