//! The program: flags, configuration, logging, run, exit code.

use std::process::ExitCode;

use anyhow::Context as _;
use athena::app::{self, StartError};
use athena::cli::{Cli, Next};
use athena::systemd::Inherited;
use clap::Parser as _;

fn main() -> ExitCode {
    let (command, config) = match Cli::parse().run() {
        Ok(Next::Exit(code)) => return ExitCode::from(code),
        Ok(Next::Serve(serve)) => *serve,
        Err(failure) => {
            eprintln!("athena: {failure}");
            return ExitCode::from(failure.code());
        }
    };
    let greeting = command.greeting(&config);
    let serve = || -> anyhow::Result<()> {
        // Before there are other threads: it changes the environment.
        let inherited = Inherited::take().context("sockets from the service manager")?;
        let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
        let started = |_: &app::Running| eprint!("{greeting}");
        runtime.block_on(app::run(config, inherited, || command.load(), started))?;
        Ok(())
    };
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("athena: {error:#}");
            let configuration = error.downcast_ref::<StartError>().is_some_and(StartError::is_configuration);
            ExitCode::from(if configuration { 2 } else { 1 })
        }
    }
}
