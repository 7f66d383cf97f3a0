//! The program: flags, configuration, logging, run, exit code.

use std::process::ExitCode;

use athena::cli::{Cli, Next};
use athena::config::Config;
use clap::Parser as _;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(Next::Exit) => ExitCode::SUCCESS,
        Ok(Next::Serve(config)) => match serve(*config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("athena: {error:#}");
                ExitCode::FAILURE
            }
        },
        Err(failure) => {
            eprintln!("athena: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

/// Serves until a signal ends it.
fn serve(config: Config) -> anyhow::Result<()> {
    let addresses = config.dns.listen;
    anyhow::bail!("nobody serves {addresses:?}: this build ends at the configuration")
}
